//! This client's copy of a document. Three things that are kept in step: the engine's document, the gate's index of it, and
//! the board as it is read.
//!
//! Others' bytes go through the gate, then into the document ([`LocalCopy::take`]); edits are made in the document, then noted by
//! the gate ([`LocalCopy::edit`]), which then knows which entries of the board each has touched.

use std::sync::{Arc, Mutex, PoisonError};

use ruang::board::edit::{Author, Edit, EditError, make};
use ruang::board::live::{Change, LiveBoard};
use ruang::board::schema::ROOTS;
use ruang::board::view::RetroRoomState;
use ruang::document::Document;
use ruang::gate::{Gate, Refusal, Source, parse_state_vector};
use ruang::ids::ClientId;
use yrs::undo::Options as UndoOptions;
use yrs::{Doc, Transact, TransactionMut, UndoManager};

/// Entries of the board, blocks and deletes that one update may touch to be read again one by one: more is read as a
/// whole, which takes as long.
const ENTRIES_MAX: usize = 512;

/// The origin of one's own edits, which can be undone. What others did has none.
const EDIT: &str = "edit";

/// What became of the document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taken {
    /// What is new in it, if anything is, as an update V1.
    pub update: Option<Vec<u8>>,
    /// What of the board is another.
    pub change: Change,
    /// Something was left out, because it builds on what is not here.
    pub gap: bool,
    /// Others have written under this client's id.
    pub id_taken: bool,
}

/// Why a copy is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The bytes are none that a server may send or a store may hold.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The edit cannot be made.
    #[error("{0}")]
    Edit(#[from] EditError),
    /// The engine failed, now or before: the copy is of no use any more.
    #[error("this copy of the document is broken: load it again")]
    Broken,
}

/// One copy of one document.
pub struct LocalCopy {
    client: ClientId,
    document: Document,
    gate: Gate,
    board: LiveBoard,
    /// Nothing once the copy is broken: it would wait for a transaction that never ends.
    undo: Option<UndoManager>,
    /// What the newest step of undo or redo wrote.
    undone: Arc<Mutex<Option<Vec<u8>>>>,
    broken: bool,
}

impl LocalCopy {
    /// An empty one that writes as `client`.
    #[must_use]
    pub fn new(client: ClientId) -> Self {
        let document = Document::of_client(client);
        let undo = undo_of(document.doc());
        let undone = Arc::new(Mutex::new(None));
        let (into, origin) = (Arc::clone(&undone), undo.as_origin());
        let watch = move |transaction: &mut TransactionMut<'_>| {
            if transaction.origin() == Some(&origin) && transaction.has_changes() {
                *into.lock().unwrap_or_else(PoisonError::into_inner) = Some(transaction.encode_update_v1());
            }
        };
        document.doc().observe_after_transaction("undone", watch).expect("no transaction is open: it is new");
        let (gate, board) = (Gate::new(), LiveBoard::default());
        Self { client, document, gate, board, undo: Some(undo), undone, broken: false }
    }

    /// Takes in an update of others: of the server, of the store, of another tab.
    ///
    /// # Errors
    /// [`CopyError::Refused`]: nothing was taken in. [`CopyError::Broken`].
    pub fn take(&mut self, update: &[u8]) -> Result<Taken, CopyError> {
        self.check()?;
        let admission = match self.gate.admit(update, Source::Step2) {
            Err(Refusal::OrderUnknown) => {
                let document = self.document.encode_full();
                self.gate.learn_order([&document[..]])?;
                self.gate.admit(update, Source::Step2)?
            }
            other => other?,
        };
        let gap = admission.dropped.is_gap();
        let Some(remainder) = admission.remainder else { return Ok(Taken { gap, ..Taken::default() }) };
        let deleted = self.document.apply(&[&remainder.update]).map_err(|_| self.break_down())?;
        self.gate.note_deleted(&deleted);
        self.gate.settle(&remainder.receipt);
        let id_taken = remainder.receipt.blocks.iter().any(|part| part.0 == self.client);
        let change = self.read_again(&remainder.update)?;
        Ok(Taken { update: Some(remainder.update), change, gap, id_taken })
    }

    /// Makes an edit: one transaction, and one step of undo.
    ///
    /// # Errors
    /// [`CopyError::Edit`]: nothing was written. [`CopyError::Broken`].
    pub fn edit(&mut self, edit: &Edit, author: Author<'_>) -> Result<Taken, CopyError> {
        self.check()?;
        if let Some(undo) = &mut self.undo {
            undo.reset();
        }
        let update = {
            let mut transaction = self.document.doc().transact_mut_with(EDIT);
            make(&mut transaction, edit, author)?;
            transaction.has_changes().then(|| transaction.encode_update_v1())
        };
        self.written(update)
    }

    /// Takes the newest of this copy's edits back that was not taken back yet; nothing if there is none.
    ///
    /// # Errors
    /// [`CopyError::Broken`].
    pub fn undo(&mut self) -> Result<Taken, CopyError> {
        self.check()?;
        if let Some(undo) = &mut self.undo {
            undo.undo_blocking();
        }
        let update = self.undone.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.written(update)
    }

    /// Makes again what was taken back last.
    ///
    /// # Errors
    /// [`CopyError::Broken`].
    pub fn redo(&mut self) -> Result<Taken, CopyError> {
        self.check()?;
        if let Some(undo) = &mut self.undo {
            undo.redo_blocking();
        }
        let update = self.undone.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.written(update)
    }

    /// Whether there is an edit to take back.
    #[must_use]
    pub fn can_undo(&self) -> bool {
        self.undo.as_ref().is_some_and(UndoManager::can_undo)
    }

    /// Whether there is one to make again.
    #[must_use]
    pub fn can_redo(&self) -> bool {
        self.undo.as_ref().is_some_and(UndoManager::can_redo)
    }

    /// The board as it is read.
    #[must_use]
    pub fn state(&self) -> &RetroRoomState {
        self.board.state()
    }

    /// The engine's document, to read.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        self.document.doc()
    }

    /// Which clocks are known.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The next clock of this client.
    #[must_use]
    pub fn own_clock(&self) -> u32 {
        self.gate.known(self.client)
    }

    /// Whether the copy is of no use any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The encoded state vector.
    #[must_use]
    pub fn state_vector(&self) -> Vec<u8> {
        self.document.state_vector()
    }

    /// All of it, as an update V1.
    ///
    /// # Errors
    /// [`CopyError::Broken`].
    pub fn encode(&self) -> Result<Vec<u8>, CopyError> {
        self.check()?;
        Ok(self.document.encode_full())
    }

    /// What somebody with this state vector lacks, as an update V1.
    ///
    /// # Errors
    /// [`CopyError::Refused`] if it is no state vector. [`CopyError::Broken`].
    pub fn encode_since(&self, state_vector: &[u8]) -> Result<Vec<u8>, CopyError> {
        self.check()?;
        parse_state_vector(state_vector)?;
        self.document.diff(state_vector).map_err(|_| CopyError::Broken)
    }

    /// Notes what was written in the document here.
    fn written(&mut self, update: Option<Vec<u8>>) -> Result<Taken, CopyError> {
        let Some(update) = update else { return Ok(Taken::default()) };
        // It came out of the document, so the gate takes it whole.
        let admission = self.gate.admit(&update, Source::Record).map_err(|_| self.break_down())?;
        if admission.dropped.is_gap() {
            return Err(self.break_down());
        }
        self.gate.note_deleted(&[]);
        let change = self.read_again(&update)?;
        Ok(Taken { update: Some(update), change, gap: false, id_taken: false })
    }

    fn read_again(&mut self, update: &[u8]) -> Result<Change, CopyError> {
        let doc = self.document.doc();
        match self.gate.entries(update, ENTRIES_MAX) {
            Ok(Some(entries)) => Ok(self.board.refresh(doc, entries)),
            Ok(None) => Ok(self.board.rebuild(doc)),
            Err(_) => Err(self.break_down()),
        }
    }

    fn check(&self) -> Result<(), CopyError> {
        if self.broken { Err(CopyError::Broken) } else { Ok(()) }
    }

    fn break_down(&mut self) -> CopyError {
        self.broken = true;
        std::mem::forget(self.undo.take());
        CopyError::Broken
    }
}

/// Follows one's own edits in all parts of a board. No two of them become one step: what is one step is one edit, so no
/// clock is needed.
fn undo_of(doc: &Doc) -> UndoManager {
    let options = UndoOptions {
        capture_timeout_millis: 0,
        tracked_origins: [EDIT.into()].into(),
        capture_transaction: None,
        timestamp: Arc::new(|| 0),
        init_undo_stack: Vec::new(),
        init_redo_stack: Vec::new(),
    };
    let mut undo = UndoManager::with_options(options);
    for root in ROOTS {
        undo.expand_scope(doc, &doc.get_or_insert_map(root));
    }
    undo
}

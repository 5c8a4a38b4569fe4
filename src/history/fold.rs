//! One step of a room's history: a record goes through the gate into the document. Pure.
//!
//! Rooms that open, compaction and every replay verb fold through here, so they all agree on what
//! the log says.

mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use judge::Admitted;

use super::apart::Apart;
use super::folding::{Folding, Returned, Unfolded};
use super::kind::Known;
use super::snapshot::{About, Snapshot, SnapshotError};
use super::wrote::Wrote;
use crate::document::{Document, ENGINE};
use crate::gate::{Gate, Gathered, Source};
use crate::generation::Generations;
use crate::ids::{ClientId, Generation, Position, RoomName};
use crate::kind::RoomKind;
use crate::log::record::StoredRecord;

/// A record that is in the log but, whole or in part, not in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it stands.
    pub position: Position,
    /// What is wrong with it, for an operator. No bytes of the document.
    pub why: String,
}

impl SetAside {
    /// A record that builds on one that is missing: what of it does not is in the document, as everyone has it who folds the
    /// log.
    pub(crate) fn in_part(position: Position) -> Self {
        Self { position, why: "in part: it builds on a record that is missing".to_owned() }
    }
}

/// What to do about a record that is damaged, incomplete, or not to be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTrouble {
    /// Set it aside and go on: the room is served without it.
    SetAside,
    /// Stop right before it: what comes out holds all of every record that it covers.
    Stop,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folded {
    /// It changed the document.
    New,
    /// It brought nothing that the records before it had not brought.
    Known,
    /// It is passed over: another instance has stored something else under an id of it before, and nothing of its batch was
    /// shown or acked.
    PassedOver,
    /// It is not, or not whole, in the document.
    SetAside(SetAside),
}

/// The document engine could not take a record that the gate had admitted. The fold is of no use:
/// fold again from the start, without that record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record at {} cannot be folded: {}", .0.position, .0.why)]
pub struct Broken(pub SetAside);

/// A room as its records tell it, up to one of them.
pub struct Fold {
    room: RoomName,
    gate: Gate,
    /// Without what is unfolded; an empty one while it is lent.
    document: Document,
    unfolded: Option<Unfolded>,
    /// The document as one update, if it is what a snapshot says.
    encoded: Option<Vec<u8>>,
    last: Position,
    records: u64,
    /// Bytes of all records up to `last`.
    log_bytes: u64,
    /// The largest that the encoded document can be: what was folded, never less what was overwritten.
    bytes: usize,
    claims: BTreeMap<ClientId, Arc<str>>,
    pub(super) wrote: Wrote,
    /// As far as it is known.
    kind: Known,
    apart: Apart,
    set_aside: Vec<SetAside>,
    /// Records that the snapshot at the start had to leave out.
    left_out: Vec<Position>,
    on_trouble: OnTrouble,
    /// Where a fold that stops at trouble has stopped.
    stopped: Option<SetAside>,
}

/// The parts of a fold, for who goes on with them.
pub struct Parts {
    /// What the document holds, and nothing in flight.
    pub gate: Gate,
    /// The document.
    pub document: Document,
    /// The document as one update, where that is known without encoding it.
    pub encoded: Option<Vec<u8>>,
    /// Of the newest record folded.
    pub last: Position,
    /// See [`Fold::bytes`].
    pub bytes: usize,
    /// See [`Fold::claims`].
    pub claims: BTreeMap<ClientId, Arc<str>>,
    /// Who has written behind the snapshot that the fold began with.
    pub wrote: Wrote,
    /// See [`Fold::kind`].
    pub kind: Option<RoomKind>,
}

impl Fold {
    /// Nothing folded yet. The room's name is needed to tell markers.
    #[must_use]
    pub fn new(room: RoomName, on_trouble: OnTrouble) -> Self {
        Self {
            room,
            gate: Gate::roomy(),
            document: Document::new(),
            unfolded: None,
            encoded: None,
            last: Position::START,
            records: 0,
            log_bytes: 0,
            bytes: 0,
            claims: BTreeMap::new(),
            wrote: Wrote::default(),
            kind: Known::Nothing,
            apart: Apart::default(),
            set_aside: Vec::new(),
            left_out: Vec::new(),
            on_trouble,
            stopped: None,
        }
    }

    /// Goes on where a snapshot ends.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`]: its document is not what it says.
    pub fn resume(room: RoomName, snapshot: &Snapshot, on_trouble: OnTrouble) -> Result<Self, SnapshotError> {
        let damaged = |why: &str| SnapshotError::Damaged(why.to_owned());
        let mut fold = Self::new(room, on_trouble);
        // The generations follow from the document: they are said for who does not load it.
        let About { through, records, log_bytes, kind, claims, state_vector, set_aside, .. } =
            &snapshot.about;
        let admission = fold.gate.admit(&snapshot.document, Source::Record);
        let admission = admission.map_err(|refusal| SnapshotError::Damaged(refusal.to_string()))?;
        if admission.dropped.is_gap() {
            return Err(damaged("its document is incomplete"));
        }
        if let Some(remainder) = admission.remainder {
            fold.bytes = remainder.update.len();
            let recorded = fold.gate.end_gathering();
            fold.unfolded = Some(Unfolded { update: remainder.update, position: *through, recorded });
            fold.settle().map_err(|Broken(record)| SnapshotError::Damaged(record.why))?;
        }
        if fold.gate.state_vector().encode() != *state_vector {
            return Err(damaged("its document does not have the blocks that it should have"));
        }
        (fold.last, fold.records, fold.log_bytes) = (*through, *records, *log_bytes);
        fold.claims.clone_from(claims);
        fold.kind = Known::by_snapshot(*kind);
        fold.left_out.clone_from(set_aside);
        Ok(fold)
    }

    /// Keeps the bytes that the document came from: until something else is folded, it says just that. They came out of
    /// it as they went in before the snapshot was published.
    pub(super) fn keep_encoded(&mut self, document: Vec<u8>) {
        self.encoded = Some(document);
    }

    /// A snapshot of the fold as it is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut set_aside = self.left_out.clone();
        set_aside.extend(self.set_aside.iter().map(|record| record.position));
        let about = About {
            through: self.last,
            records: self.records,
            log_bytes: self.log_bytes,
            kind: self.kind().unwrap_or(RoomKind::Free),
            generations: self.generations(),
            claims: self.claims.clone(),
            state_vector: self.gate.state_vector().encode(),
            engine: ENGINE.to_owned(),
            set_aside,
        };
        Snapshot { about, document: self.document.encode_full() }
    }

    /// The room's document. It holds everything up to [`Fold::last`], but for what is set aside.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The gate's index of that document.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The newest record that was looked at.
    #[must_use]
    pub fn last(&self) -> Position {
        self.last
    }

    /// How many records are in the document, from the room's first on.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of all records that were looked at, from the room's first on; damaged ones count nothing.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// About how many bytes the document has when encoded: never fewer.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Who owns which client id: the user whose record was the first to claim it.
    #[must_use]
    pub fn claims(&self) -> &BTreeMap<ClientId, Arc<str>> {
        &self.claims
    }

    /// The kind of the room; `None`: no record has told it yet.
    #[must_use]
    pub fn kind(&self) -> Option<RoomKind> {
        self.kind.kind()
    }

    /// The generations whose markers are in the document, lowest nonce first.
    #[must_use]
    pub fn generations(&self) -> Vec<Generation> {
        let known = Generations::new(&self.room, (false, false), &self.gate.state_vector());
        let nonces: BTreeSet<u32> = known.set().map(|marker| marker.nonce).collect();
        nonces.into_iter().map(|nonce| Generation { nonce }).collect()
    }

    /// Records that are in the log but not in the document, in the order in which they came up.
    #[must_use]
    pub fn set_aside(&self) -> &[SetAside] {
        &self.set_aside
    }

    /// The record right before which the fold has stopped ([`OnTrouble::Stop`]).
    #[must_use]
    pub fn stopped(&self) -> Option<&SetAside> {
        self.stopped.as_ref()
    }

    /// Takes the fold apart.
    #[must_use]
    pub fn into_parts(self) -> Parts {
        let kind = self.kind();
        debug_assert!(self.unfolded.is_none());
        let Self { mut gate, document, encoded, last, bytes, claims, wrote, .. } = self;
        gate.tighten();
        Parts { gate, document, encoded, last, bytes, claims, wrote, kind }
    }

    /// Folds the records of one page at once: what costs most is paid once a page. Nothing happens
    /// once the fold has stopped.
    ///
    /// # Errors
    /// [`Broken`] with the page's last position: one of its records breaks the document, and only
    /// folding them one by one tells which.
    ///
    /// # Panics
    /// If a record is not newer than the last one.
    pub fn page(&mut self, page: &[StoredRecord]) -> Result<(), Broken> {
        self.judge_page(page);
        self.settle()
    }

    /// The same but for the document, which takes the page in with [`Fold::settle`] or [`Fold::lend`], and before anything
    /// else is asked of the fold.
    pub(super) fn judge_page(&mut self, page: &[StoredRecord]) {
        debug_assert!(self.unfolded.is_none());
        let mut gathered = Gathered::expecting(page.len(), page.iter().map(StoredRecord::bytes).sum());
        for stored in page {
            if let Admitted::Stopped = self.admit(stored, &mut gathered) {
                break;
            }
        }
        self.leave_unfolded(gathered, self.last);
    }

    /// Brings the document up to what was judged.
    pub(super) fn settle(&mut self) -> Result<(), Broken> {
        if let Some(folding) = self.lend() {
            self.give_back(folding.fold()?);
        }
        Ok(())
    }

    /// Whether the document has all that was judged.
    pub(super) fn is_settled(&self) -> bool {
        self.unfolded.is_none()
    }

    /// The document, if there is something to be folded into it. Until it is given back only pages are judged.
    pub(super) fn lend(&mut self) -> Option<Folding> {
        let unfolded = self.unfolded.take()?;
        self.encoded = None;
        Some(Folding { document: std::mem::take(&mut self.document), unfolded })
    }

    /// The document is here again, with what was to be folded in it.
    pub(super) fn give_back(&mut self, Returned { document, deletes, recorded }: Returned) {
        self.document = document;
        self.gate.note_deleted(&deletes);
        self.gate.records_are_folded(recorded);
    }

    /// Folds one record and says what became of it; nothing if the fold has stopped.
    ///
    /// # Errors
    /// [`Broken`]: this record breaks the document.
    ///
    /// # Panics
    /// If the record is not newer than the last one.
    pub fn one(&mut self, stored: &StoredRecord) -> Result<Option<Folded>, Broken> {
        let (before, mut gathered) = (self.set_aside.len(), Gathered::default());
        let admitted = self.admit(stored, &mut gathered);
        let is_new = !gathered.is_empty();
        self.leave_unfolded(gathered, stored.position());
        self.settle()?;
        Ok(match admitted {
            Admitted::Taken => Some(if is_new { Folded::New } else { Folded::Known }),
            Admitted::PassedOver => Some(Folded::PassedOver),
            Admitted::Trouble => self.set_aside.get(before).cloned().map(Folded::SetAside),
            Admitted::Stopped => None,
        })
    }

    /// Goes past records that are missing, up to `through`.
    pub fn pass_missing(&mut self, through: Position) {
        let missing = through.seq.saturating_sub(self.last.seq);
        let position = Position { seq: self.last.seq + 1, ms: self.last.ms };
        self.trouble(SetAside { position, why: format!("{missing} records from here on are missing") });
        if self.stopped.is_none() {
            self.last = through;
        }
    }

    /// Goes past a record that is known to break the document.
    pub fn pass(&mut self, record: SetAside) {
        let position = record.position;
        self.trouble(record);
        if self.stopped.is_none() {
            self.last = position;
        }
    }
}

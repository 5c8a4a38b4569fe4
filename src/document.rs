//! The fold: records in their order become a document. The only caller of yrs' apply.
//!
//! Invariants:
//! - Only what the gate admitted comes here, and only what is stored.
//! - A document in memory is a projection: after any error it is thrown away and rebuilt.
//! - No edits of its own: nothing but folded records changes it (so formatting is never cleaned up
//!   here, and equal records give equal bytes).

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, StateVector, Transact, TransactionMut, Update};

use crate::gate::{Refusal, parse_state_vector};
use crate::ids::ClientId;

/// yrs takes a stack frame for each client of an update that another one's blocks have emptied.
/// Above this many clients an update is folded on a stack of its own.
const CLIENTS_PER_STACK: u64 = 1_024;

/// Bytes of that stack: 1 KiB for each client that a document may have.
const LARGE_STACK_BYTES: usize = 64 << 20;

/// The document engine by name and version: who reads bytes of its making may have to know.
pub const ENGINE: &str = "yrs 0.28.1";

/// Why updates could not be folded, or a state vector not be answered.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// An update does not decode: storage is damaged, or the gate has a hole.
    #[error("an update does not decode: {0}")]
    Decode(String),
    /// yrs refused an update, with part of it already in the document.
    #[error("an update cannot be integrated: {0}")]
    Integrate(String),
    /// An update names something that the document does not have: a record is missing before it.
    #[error("an update builds on something that is missing")]
    Incomplete,
    /// yrs panicked.
    #[error("the document engine panicked")]
    Panicked,
    /// An earlier fold failed. The document must be rebuilt.
    #[error("an earlier fold failed: the document must be rebuilt")]
    Poisoned,
    /// The state vector is malformed. The document is as it was.
    #[error("the state vector is malformed: {0}")]
    StateVector(#[from] Refusal),
}

/// A document in memory.
pub struct Document {
    doc: Doc,
    poisoned: bool,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// An empty document.
    #[must_use]
    pub fn new() -> Self {
        Self { doc: empty(), poisoned: false }
    }

    /// An empty document whose engine writes under this client id: for who makes an edit on a copy, and for the
    /// browser's copy, which people edit.
    #[must_use]
    pub fn of_client(client: ClientId) -> Self {
        let options = Options { client_id: yrs::block::ClientID::new(client), ..options() };
        Self { doc: Doc::with_options(options), poisoned: false }
    }

    /// Every deleted range as `(client, from, to)`, `to` exclusive. Goes through the whole document.
    #[must_use]
    pub fn deleted(&self) -> Vec<(ClientId, u32, u32)> {
        let snapshot = self.doc.transact().snapshot();
        let ranges = snapshot.delete_set.iter();
        ranges
            .flat_map(|(client, ranges)| {
                ranges.iter().map(|range| (client.get(), range.start, range.end)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Folds updates in their order, in one transaction. Tells every range of ids that is deleted
    /// by them, explicitly or by integration: `(client, from, to)`, `to` exclusive.
    ///
    /// # Errors
    /// [`FoldError`]. The document is poisoned (and empty): throw it away and rebuild it.
    pub fn apply(&mut self, updates: &[&[u8]]) -> Result<Vec<(ClientId, u32, u32)>, FoldError> {
        if self.poisoned {
            return Err(FoldError::Poisoned);
        }
        let doc = &self.doc;
        let fold =
            || catch_unwind(AssertUnwindSafe(|| fold(doc, updates))).unwrap_or(Err(FoldError::Panicked));
        // Browsers have no threads for this.
        let folded = if cfg!(not(target_family = "wasm"))
            && updates.iter().any(|update| clients(update) > CLIENTS_PER_STACK)
        {
            on_large_stack(fold)
        } else {
            fold()
        };
        if folded.is_err() {
            // A transaction that was abandoned in a panic still holds the lock of its document:
            // put another in its place, so that nothing ever waits for it.
            self.poisoned = true;
            self.doc = empty();
        }
        folded
    }

    /// The encoded state vector.
    #[must_use]
    pub fn state_vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    /// The whole document as one update.
    #[must_use]
    pub fn encode_full(&self) -> Vec<u8> {
        self.doc.transact().encode_diff_v1(&StateVector::default())
    }

    /// What someone with this state vector lacks: the blocks it does not cover, and always the whole
    /// delete set (equal state vectors do not mean equal documents: deletes move no clock).
    ///
    /// # Errors
    /// [`FoldError::StateVector`] if it is malformed.
    pub fn diff(&self, state_vector: &[u8]) -> Result<Vec<u8>, FoldError> {
        parse_state_vector(state_vector)?;
        let theirs =
            StateVector::decode_v1(state_vector).map_err(|error| FoldError::Decode(error.to_string()))?;
        Ok(self.doc.transact().encode_diff_v1(&theirs))
    }

    /// The engine's document, to read typed values from.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        &self.doc
    }
}

fn empty() -> Doc {
    Doc::with_options(options())
}

fn options() -> Options {
    Options {
        offset_kind: OffsetKind::Utf16,
        cleanup_formatting: false,
        skip_gc: false,
        ..Options::default()
    }
}

fn fold(doc: &Doc, updates: &[&[u8]]) -> Result<Vec<(ClientId, u32, u32)>, FoldError> {
    let decoded = updates.iter().map(|update| Update::decode_v1(update));
    let decoded =
        decoded.collect::<Result<Vec<_>, _>>().map_err(|error| FoldError::Decode(error.to_string()))?;
    // Dropping a transaction commits it. While a panic unwinds, that would panic again and abort
    // the process: so it is dropped by hand, and in a panic not at all.
    let mut transaction = ManuallyDrop::new(doc.transact_mut());
    let mut folded = Ok(());
    for update in decoded {
        folded = transaction.apply_update(update).map_err(|error| FoldError::Integrate(error.to_string()));
        if folded.is_err() {
            break;
        }
    }
    if folded.is_ok() && transaction.has_missing_updates() {
        folded = Err(FoldError::Incomplete);
    }
    let deleted = deleted_ranges(&transaction);
    transaction.commit();
    drop(ManuallyDrop::into_inner(transaction));
    folded.map(|()| deleted)
}

fn deleted_ranges(transaction: &TransactionMut<'_>) -> Vec<(ClientId, u32, u32)> {
    let mut deleted = Vec::new();
    for (client, ranges) in transaction.delete_set().iter() {
        deleted.extend(ranges.iter().map(|range| (client.get(), range.start, range.end)));
    }
    deleted
}

/// How many clients an update says it has blocks of.
fn clients(update: &[u8]) -> u64 {
    let low = |byte: u8| u64::from(byte & 0x7f);
    match *update {
        [first, ..] if first < 0x80 => low(first),
        [first, second, ..] if second < 0x80 => low(first) | low(second) << 7,
        _ => u64::MAX,
    }
}

/// Runs a fold on a thread with a large stack; here if there is none to be had.
fn on_large_stack<T: Send>(fold: impl Fn() -> Result<T, FoldError> + Send + Sync) -> Result<T, FoldError> {
    let fold = &fold;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(LARGE_STACK_BYTES).spawn_scoped(scope, fold);
        match thread {
            Ok(running) => running.join().unwrap_or(Err(FoldError::Panicked)),
            Err(_) => fold(),
        }
    })
}

#[cfg(test)]
mod tests {
    /// [H3] A snapshot names the engine that wrote it.
    #[test]
    fn the_engine_is_the_pinned_one() {
        let pinned = super::ENGINE.replace("yrs ", "yrs = { version = \"=");
        assert!(include_str!("../Cargo.toml").contains(&pinned), "{pinned}");
    }
}

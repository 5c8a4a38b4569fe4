//! What a room decides: which updates go into which batch, what a committed batch changes, what
//! each client is told. Pure: the actor waits, this does not.
//!
//! An update comes in by `submit`, which asks `lives`, `authors`, `kinds` and `rules`; `weight` says what is too much, or would take
//! long; `answers` is what comes out. `others` is what came from other instances meanwhile, `races` what of it meets an
//! edit under way. `exact` is for edits that stand at one position or nowhere, `begin` for rooms without any.
//!
//! Invariants:
//! - The document holds committed records only; the gate's index also holds what is in flight.
//! - Batches are stored in order, one at a time; a batch is frozen when it is first sent.
//! - An ack, whatever it answers, waits for every batch that was under way when its message was
//!   judged.

mod answers;
mod authors;
mod batch;
mod begin;
mod exact;
mod kinds;
mod lives;
mod others;
mod races;
mod rules;
mod submit;
mod weight;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use answers::Answers;
pub(crate) use answers::Everything;
use authors::Authors;
pub(crate) use authors::Suspect;
use batch::PendingBatch;
pub(crate) use exact::Withdrawn;
pub(crate) use others::{Foreign, StoredError};
use races::Races;
use rules::Rules;

use super::fan_out::{Author, Shown};
use crate::board::rules::Reason;
use crate::caller::Caller;
use crate::document::{Document, FoldError};
use crate::gate::{self, Dropped, Gate, Refusal, Source};
use crate::generation::{Claim, GenerationError, Generations};
use crate::history::Apart;
use crate::ids::{InstanceId, Position, SessionId};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::log::bus::{Epoch, Seen};
use crate::log::record::{Record, RecordError, StoredRecord};
use crate::log::{Appended, Batch, Expects};
use crate::session::Permit;

/// The document of a room, its gate, and the updates on their way into the log.
pub(crate) struct State {
    instance: InstanceId,
    gate: Gate,
    document: Document,
    document_bytes_max: usize,
    committed: Position,
    /// The epoch of the log in which that stands.
    epoch: Epoch,
    /// Records of others were stored while edits were under way here: the two cannot be told apart any more.
    mingled: bool,
    /// Some of those hold blocks that are under way here too: they are committed, and must not be taken back.
    overlaps: bool,
    /// Batches that are not committed, oldest first. The first is in flight if `in_flight`.
    batches: VecDeque<PendingBatch>,
    in_flight: bool,
    /// Number of the newest batch. Numbers of one instance never come twice in a room, however
    /// often it is unloaded: the log takes a number that it knows for a retry.
    newest_batch: u64,
    /// Written by the first append, if that finds the room absent.
    genesis: Record,
    /// How long the room lives after each batch; `None`: for ever.
    ttl_ms: Option<u64>,
    answers: Answers,
    generations: Generations,
    /// Of sessions whose copy has markers that were not stored here when they came.
    claims: HashMap<SessionId, Claim>,
    authors: Authors,
    rules: Rules,
    races: Races,
    /// Records of others that are passed over.
    apart: Apart,
    /// About how many bytes the document has when encoded.
    encoded_bytes: usize,
}

/// A session's message, by its ordinal, of which something breaks a rule.
pub(crate) type Broken = (SessionId, u64, Reason);

/// An update from a session.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) session: SessionId,
    /// Which of the session's Step2 and Update messages this is, from 1.
    pub(crate) ordinal: u64,
    /// Whose session it is.
    pub(crate) caller: Arc<Caller>,
    pub(crate) update: Bytes,
    pub(crate) source: Source,
    /// Whether it may bring something.
    pub(crate) permit: Permit,
    /// It is stored right behind this position, or not at all. Nothing is under way when it is judged.
    pub(crate) at: Option<Position>,
    /// Inflow units that it holds.
    pub(crate) cost: u32,
    /// By the wall clock, for the record.
    pub(crate) admitted_ms: u64,
}

/// What the gate and the room said to a submission.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) dropped: Dropped,
    /// It brings something that its sender may not write: nothing of it is taken.
    pub(crate) refused: bool,
    /// What is wrong with who wrote it.
    pub(crate) suspect: Suspect,
    /// Something of it is new, and on its way.
    pub(crate) is_new: bool,
    /// Nothing is under way that the ack would wait for.
    pub(crate) decided_now: bool,
    /// Inflow units to give back now.
    pub(crate) cost: u32,
}

/// Why a submission is refused whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Only where that is enforced.
    #[error("something else is stored under this client's id: reload without the local copy")]
    Contradicts(Suspect),
    /// It breaks a rule of the board, and is not to be mended.
    #[error(transparent)]
    Broken(#[from] Reason),
    /// Its sender has had so much mended that more has to wait: it keeps the edit, and may bring it later.
    #[error("the rules of this board were broken too often: what is here is kept, and taken in a minute")]
    TooOften,
    /// No verdict, and never told to anybody: what it does can be judged only when nothing is under way.
    #[error("it is to be judged when nothing is under way")]
    NotNow,
}

/// What a committed batch means for the sessions.
#[derive(Debug)]
pub(crate) struct Committed {
    /// All of the batch, as one.
    pub(crate) shown: Shown,
    pub(crate) acks: HashMap<SessionId, u64>,
    /// To be told before the acks.
    pub(crate) broken: Vec<Broken>,
    pub(crate) updates: usize,
    /// Bytes of their records.
    pub(crate) bytes: usize,
    pub(crate) cost: u32,
}

impl State {
    /// A room as its log tells it: `gate` and `document` hold everything that was `seen`. `life`
    /// counts the loads of this instance, from 1.
    pub(crate) fn new(
        gate: Gate,
        document: Document,
        seen: Seen,
        encoded_bytes: usize,
        (instance, life): (InstanceId, u32),
        (genesis, ttl_ms): (Record, Option<u64>),
        generations: Generations,
    ) -> Self {
        Self {
            instance,
            gate,
            document,
            document_bytes_max: DOCUMENT_BYTES_MAX,
            committed: seen.last,
            epoch: seen.epoch,
            mingled: false,
            overlaps: false,
            batches: VecDeque::new(),
            in_flight: false,
            newest_batch: u64::from(life) << 32,
            genesis,
            ttl_ms,
            answers: Answers::default(),
            generations,
            claims: HashMap::new(),
            authors: Authors::default(),
            rules: Rules::new(instance, life),
            races: Races::default(),
            apart: Apart::default(),
            encoded_bytes,
        }
    }

    /// Whether what waits is one batch that may still grow.
    pub(crate) fn may_grow(&self) -> bool {
        self.batches.len() == 1 && self.batches.front().is_some_and(PendingBatch::is_open)
    }

    /// The next batch to append, if one waits and none is in flight.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        if self.in_flight {
            return None;
        }
        let batch = self.batches.front()?;
        self.in_flight = true;
        Some(Batch {
            instance: self.instance,
            number: batch.number,
            genesis: self.genesis.clone(),
            records: batch.records.clone(),
            expects: match self.committed {
                at if batch.revives || batch.heals => Expects::At(at.seq),
                _ if batch.at.is_some() => Expects::Last(batch.at.map_or(0, |at| at.seq)),
                Position::START if self.must_be_first() => Expects::Last(0),
                Position::START => Expects::Anything,
                _ => Expects::Present,
            },
            seen: Seen { last: self.committed, epoch: self.epoch },
            heals: batch.heals,
            ttl_ms: self.ttl_ms,
        })
    }

    /// The batch in flight is stored: folds it and says whom to tell what.
    ///
    /// # Errors
    /// [`FoldError`] if the document cannot take it. The state is of no use then: load the room
    /// again.
    ///
    /// # Panics
    /// If nothing is in flight.
    pub(crate) fn on_committed(&mut self, appended: &Appended) -> Result<Committed, FoldError> {
        assert!(std::mem::take(&mut self.in_flight), "a batch was committed that nobody sent");
        let mut batch = self.batches.pop_front().expect("a batch in flight stays in front");
        if !batch.claims.is_empty() {
            self.authors.owners.learn(std::mem::take(&mut batch.claims));
        }
        self.note_written(&batch.records, appended.last.ms);
        let mut author = batch.author;
        let mut updates: Vec<Bytes> = Vec::with_capacity(batch.records.len() + 1);
        if let Some(StoredRecord::Intact { record: genesis, .. }) = &appended.created {
            self.learn_kind(genesis);
            let update = genesis.update();
            // The marker is ours: it goes to everyone, and the gate learns it as known.
            if let Ok(gate::Admission { remainder: Some(marker), .. }) =
                self.gate.admit(&update, Source::Record)
            {
                self.commit_life([&marker.receipt]);
                updates.push(update);
                author = Author::Several;
            }
        }
        self.commit_life(&batch.receipts);
        updates.extend(batch.records.iter().map(Record::update));
        let slices: Vec<&[u8]> = updates.iter().map(AsRef::as_ref).collect();
        let deletes = self.document.apply(&slices)?;
        self.gate.note_deleted(&deletes);
        batch.receipts.iter().for_each(|receipt| self.gate.settle(receipt));
        (self.committed, self.epoch) = (appended.last, appended.epoch);
        self.mingled &= !self.batches.is_empty();
        self.overlaps &= self.mingled;
        if self.batches.is_empty() {
            self.batches = VecDeque::new(); // a quiet room keeps no place for batches
        }
        self.answers = Answers::default();
        self.encoded_bytes += batch.bytes;
        let shown = Shown::of(updates, author);
        let (updates, bytes) = (batch.records.len(), batch.bytes);
        self.rules.commit(batch.number);
        let PendingBatch { acks, mut broken, cost, .. } = batch;
        broken.extend(self.end_races(batch.number));
        Ok(Committed { shown, acks, broken, updates, bytes, cost })
    }

    /// The log will never take the batch in flight: forgets it and everything behind it. Returns
    /// the sessions whose edits are dropped here (they still hold them), and the inflow units to
    /// give back. Nothing if it cannot be told from what others have stored: the state is of no use then, load the room
    /// again.
    pub(crate) fn drop_overlay(&mut self) -> Option<(Vec<SessionId>, u32)> {
        if self.mingled {
            return None;
        }
        self.in_flight = false;
        self.generations.revert();
        self.authors.owners.revert();
        let mut authors = Vec::new();
        let mut cost = 0;
        for batch in std::mem::take(&mut self.batches).into_iter().rev() {
            if !batch.receipts.iter().rev().all(|receipt| self.gate.try_revert(receipt)) {
                return None;
            }
            authors.extend(batch.acks.into_keys());
            cost += batch.cost;
        }
        Some((authors, cost))
    }

    /// The newest committed position.
    pub(crate) fn committed(&self) -> Position {
        self.committed
    }

    /// Updates that are not committed.
    pub(crate) fn uncommitted(&self) -> usize {
        self.batches.iter().map(|batch| batch.records.len()).sum()
    }
}

#[cfg(test)]
mod tests;

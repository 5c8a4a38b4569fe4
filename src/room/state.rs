//! What a room decides: which updates go into which batch, what a committed batch changes, what
//! each client is told. Pure: the actor waits, this does not.
//!
//! Invariants:
//! - The document holds committed records only; the gate's index also holds what is in flight.
//! - Batches are stored in order, one at a time; a batch is frozen when it is first sent.
//! - An ack, whatever it answers, waits for every batch that was under way when its message was
//!   judged.

mod answers;
mod authors;
mod begin;
mod exact;
mod kinds;
mod lives;
mod others;
mod weight;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use answers::Answers;
use authors::Authors;
pub(crate) use authors::Suspect;
pub(crate) use others::Foreign;

use super::fan_out::{Author, Shown};
use crate::caller::{Caller, UserId};
use crate::document::{Document, FoldError};
use crate::gate::{self, Dropped, Gate, Receipt, Refusal, Source};
use crate::generation::{Brings, Claim, GenerationError, Generations};
use crate::ids::{ClientId, InstanceId, Position, SessionId};
use crate::limits::{BATCH_BYTES_MAX, BATCH_UPDATES_MAX, DOCUMENT_BYTES_MAX};
use crate::log::bus::{Epoch, Seen};
use crate::log::record::{Kind, Record, RecordError, StoredRecord};
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
    /// Batches that are not committed, oldest first. The first is in flight if `in_flight`.
    drafts: VecDeque<Draft>,
    in_flight: bool,
    /// Number of the newest batch. Numbers of one instance never come twice in a room, however
    /// often it is unloaded: the log takes a number that it knows for a retry.
    batches: u64,
    /// Written by the first append, if that finds the room absent.
    genesis: Record,
    /// How long the room lives after each batch; `None`: for ever.
    ttl_ms: Option<u64>,
    answers: Answers,
    generations: Generations,
    /// Of sessions whose copy has markers that were not stored here when they came.
    claims: HashMap<SessionId, Claim>,
    authors: Authors,
    /// About how many bytes the document has when encoded.
    encoded_bytes: usize,
}

/// A batch before it is committed.
struct Draft {
    number: u64,
    records: Vec<Record>,
    receipts: Vec<Receipt>,
    /// Client ids that its records claim, each with whose it is.
    claims: Vec<(ClientId, UserId)>,
    bytes: usize,
    /// Steps that integrating it can take.
    steps: u64,
    author: Author,
    /// It brings back what the store has lost.
    heals: bool,
    /// It brings another life of the room: its first record, so nothing was in flight before it.
    revives: bool,
    /// It is stored right behind this position, or not at all: it is alone, and nothing is judged while it is under way.
    at: Option<Position>,
    /// Per session: how many of its messages are decided once this batch is.
    acks: HashMap<SessionId, u64>,
    /// Inflow units to give back.
    cost: u32,
}

/// An update from a session.
#[derive(Debug)]
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
}

/// What a committed batch means for the sessions.
#[derive(Debug)]
pub(crate) struct Committed {
    /// All of the batch, as one.
    pub(crate) shown: Shown,
    pub(crate) acks: HashMap<SessionId, u64>,
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
            drafts: VecDeque::new(),
            in_flight: false,
            batches: u64::from(life) << 32,
            genesis,
            ttl_ms,
            answers: Answers::default(),
            generations,
            claims: HashMap::new(),
            authors: Authors::default(),
            encoded_bytes,
        }
    }

    /// Judges an update and puts what is new of it into the next batch.
    ///
    /// # Errors
    /// [`SubmitError`] if it is refused whole: nothing has changed then.
    pub(crate) fn submit(&mut self, submission: &Submission) -> Result<Judged, SubmitError> {
        let update = gate::parse_update(&submission.update, submission.source)?;
        self.choose_kind(&submission.caller);
        let brings = self.judge_life(submission.session, &update)?;
        let (suspect, foreign) = self.judge_authors(submission, &update, &brings)?;
        let mut admission = match brings {
            Brings::TooEarly => update.withheld(),
            _ => self.gate.admit_without(&update, &foreign)?,
        };
        self.note_judged(submission.session, &suspect);
        let refused = submission.permit == Permit::OnlyIfNothingNew && admission.brings_something();
        if refused {
            admission.remainder.take().iter().for_each(|remainder| self.gate.revert(&remainder.receipt));
            admission.dropped = Dropped::default(); // what is missing is not asked for
        }
        if admission.dropped.is_foreign() {
            self.note_left_out(submission.session);
        }
        if let Some(remainder) = &admission.remainder
            && let Err(error) = self.generations.check(&remainder.receipt.blocks, &brings)
        {
            self.gate.revert(&remainder.receipt);
            return Err(error.into());
        }
        if let Some(remainder) = &admission.remainder
            && self.is_full(remainder.update.len())
        {
            self.gate.revert(&remainder.receipt);
            let bytes = self.encoded_bytes + remainder.update.len();
            return Err(Refusal::TooLarge { bytes, max: self.document_bytes_max }.into());
        }
        let Some(remainder) = admission.remainder else {
            let decided_now = match self.drafts.back_mut() {
                Some(draft) => {
                    draft.acks.insert(submission.session, submission.ordinal);
                    false
                }
                None => true,
            };
            return Ok(Judged {
                dropped: admission.dropped,
                suspect,
                refused,
                decided_now,
                cost: submission.cost,
            });
        };
        let number = self.open_draft(remainder.update.len());
        let metadata = self.metadata(submission, &update, &remainder.receipt, number);
        let kind = if brings == Brings::Nothing { Kind::Update } else { Kind::Revive };
        match Record::new(kind, &metadata, &remainder.update) {
            Ok(record) => {
                self.draft_life(brings);
                self.draft_claims(metadata.user.as_deref(), &metadata.claims);
                self.draft(record, remainder.receipt, remainder.steps, submission);
                let dropped = admission.dropped;
                Ok(Judged { dropped, suspect, refused: false, decided_now: false, cost: 0 })
            }
            Err(error) => {
                self.gate.revert(&remainder.receipt);
                if self.drafts.back().is_some_and(|draft| draft.records.is_empty()) {
                    self.drafts.pop_back();
                }
                Err(error.into())
            }
        }
    }

    /// Makes sure that the last draft takes `bytes` more; returns its number.
    fn open_draft(&mut self, bytes: usize) -> u64 {
        let first_open = usize::from(self.in_flight);
        let fits = self.drafts.len() > first_open
            && self.drafts.back().is_some_and(|draft| {
                draft.is_open()
                    && draft.records.len() < BATCH_UPDATES_MAX
                    && draft.bytes + bytes <= BATCH_BYTES_MAX
            });
        if !fits {
            self.batches += 1;
            self.drafts.push_back(Draft {
                number: self.batches,
                records: Vec::new(),
                receipts: Vec::new(),
                claims: Vec::new(),
                bytes: 0,
                steps: 0,
                author: Author::Nobody,
                heals: false,
                revives: false,
                at: None,
                acks: HashMap::new(),
                cost: 0,
            });
        }
        self.drafts.back().map_or(self.batches, |draft| draft.number)
    }

    fn draft(&mut self, record: Record, receipt: Receipt, steps: u64, submission: &Submission) {
        let draft = self.drafts.back_mut().expect("open_draft has made one");
        draft.bytes += record.encoded.len();
        draft.records.push(record);
        draft.receipts.push(receipt);
        draft.steps += steps;
        draft.author = draft.author.and(Author::One(submission.session));
        draft.acks.insert(submission.session, submission.ordinal);
        draft.cost += submission.cost;
        draft.at = draft.at.or(submission.at);
    }

    /// Whether what waits is one batch that may still grow.
    pub(crate) fn may_grow(&self) -> bool {
        self.drafts.len() == 1 && self.drafts.front().is_some_and(Draft::is_open)
    }

    /// The next batch to append, if one waits and none is in flight.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        if self.in_flight {
            return None;
        }
        let draft = self.drafts.front()?;
        self.in_flight = true;
        Some(Batch {
            instance: self.instance,
            number: draft.number,
            genesis: self.genesis.clone(),
            records: draft.records.clone(),
            expects: match self.committed {
                at if draft.revives || draft.heals => Expects::At(at.seq),
                _ if draft.at.is_some() => Expects::Last(draft.at.map_or(0, |at| at.seq)),
                Position::START if self.must_be_first() => Expects::Last(0),
                Position::START => Expects::Anything,
                _ => Expects::Present,
            },
            seen: Seen { last: self.committed, epoch: self.epoch },
            heals: draft.heals,
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
        let mut draft = self.drafts.pop_front().expect("a batch in flight stays in front");
        if !draft.claims.is_empty() {
            self.authors.owners.learn(std::mem::take(&mut draft.claims));
        }
        let mut author = draft.author;
        let mut updates: Vec<Bytes> = Vec::with_capacity(draft.records.len() + 1);
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
        self.commit_life(&draft.receipts);
        updates.extend(draft.records.iter().map(Record::update));
        let slices: Vec<&[u8]> = updates.iter().map(AsRef::as_ref).collect();
        let deletes = self.document.apply(&slices)?;
        self.gate.note_deleted(&deletes);
        draft.receipts.iter().for_each(|receipt| self.gate.settle(receipt));
        (self.committed, self.epoch) = (appended.last, appended.epoch);
        self.mingled &= !self.drafts.is_empty();
        if self.drafts.is_empty() {
            self.drafts = VecDeque::new(); // a quiet room keeps no place for batches
        }
        self.answers = Answers::default();
        self.encoded_bytes += draft.bytes;
        let shown = Shown::of(updates, author);
        let (updates, bytes) = (draft.records.len(), draft.bytes);
        Ok(Committed { shown, acks: draft.acks, updates, bytes, cost: draft.cost })
    }

    /// The log will never take the batch in flight: forgets it and everything behind it. Returns
    /// the sessions whose edits are dropped here (they still hold them), and the inflow units to
    /// give back.
    pub(crate) fn drop_overlay(&mut self) -> (Vec<SessionId>, u32) {
        self.in_flight = false;
        self.mingled = false;
        self.generations.revert();
        self.authors.owners.revert();
        let mut authors = Vec::new();
        let mut cost = 0;
        for draft in std::mem::take(&mut self.drafts).into_iter().rev() {
            for receipt in draft.receipts.iter().rev() {
                self.gate.revert(receipt);
            }
            authors.extend(draft.acks.into_keys());
            cost += draft.cost;
        }
        (authors, cost)
    }

    /// The newest committed position.
    pub(crate) fn committed(&self) -> Position {
        self.committed
    }

    /// Updates that are not committed.
    pub(crate) fn uncommitted(&self) -> usize {
        self.drafts.iter().map(|draft| draft.records.len()).sum()
    }
}

#[cfg(test)]
mod corruption;
#[cfg(test)]
mod ownership;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod viewers;

//! An update on its way into a batch: what the gate, the owners, the lives and the rules of the room say of it, and what
//! is written down.

use super::races::CardSet;
use super::rules::{Kept, Mended};
use super::{Judged, State, Submission, SubmitError};
use crate::gate::{self, Dropped, ParsedUpdate, Refusal, Remainder};
use crate::generation::Brings;
use crate::log::record::{Kind, Metadata, Record};
use crate::room::fan_out::Author;
use crate::session::Permit;

impl State {
    /// Judges an update and puts what is new of it into the next batch.
    ///
    /// # Errors
    /// [`SubmitError`] if it is refused whole: nothing has changed then. [`SubmitError::NotNow`] is no verdict: ask again
    /// when nothing is under way.
    pub(crate) fn submit(&mut self, submission: &Submission) -> Result<Judged, SubmitError> {
        let update = gate::parse_update(&submission.update, submission.source)?;
        self.choose_kind(&submission.caller);
        let brings = self.judge_life(submission.session, &update)?;
        let (suspect, mut foreign) = self.judge_authors(submission, &update, &brings)?;
        let is_others = !foreign.is_empty();
        self.keep_own_id(&update, &mut foreign);
        let rewrites = self.rewrites();
        let mut admission = match brings {
            Brings::TooEarly => update.withheld(),
            _ => self.gate.admit_rewritten(&update, &foreign, &rewrites)?,
        };
        let refused = submission.permit == Permit::OnlyIfNothingNew && admission.brings_something();
        if refused {
            admission.remainder.take().iter().for_each(|remainder| self.gate.revert(&remainder.receipt));
            admission.dropped = Dropped::default(); // what is missing is not asked for
        }
        let only_shape = suspect.pardoned || brings != Brings::Nothing;
        let Kept { mended, dropped, left_to_owners } =
            self.keep_rules(submission, (&update, foreign), admission, only_shape)?;
        self.note_judged(submission.session, &suspect);
        if dropped.is_foreign() && is_others {
            self.note_left_out(submission.session);
        }
        self.note_waiting(submission.session, &left_to_owners);
        let Some(mended) = mended else {
            let decided_now = match self.batches.back_mut() {
                Some(batch) => {
                    batch.acks.insert(submission.session, submission.ordinal);
                    false
                }
                None => true,
            };
            return Ok(Judged {
                dropped,
                suspect,
                refused,
                is_new: false,
                decided_now,
                cost: submission.cost,
            });
        };
        self.take(submission, &update, brings, mended)?;
        Ok(Judged { dropped, suspect, refused: false, is_new: true, decided_now: false, cost: 0 })
    }

    /// Puts what was admitted into the next batch.
    fn take(
        &mut self,
        submission: &Submission,
        update: &ParsedUpdate<'_>,
        brings: Brings,
        mended: Mended,
    ) -> Result<(), SubmitError> {
        let bytes = mended.remainders().map(|remainder| remainder.update.len()).sum();
        let checked = self.check(&mended.remainder, &brings, bytes);
        if let Err(error) = checked {
            self.revert(&mended);
            return Err(error);
        }
        let number = self.open_batch(bytes);
        let metadata = self.metadata(submission, update, &mended.remainder.receipt, number);
        let kind = if brings == Brings::Nothing { Kind::Update } else { Kind::Revive };
        let records = Record::new(kind, &metadata, &mended.remainder.update).and_then(|record| {
            let restored = mended.restored.as_ref().map(|restored| self.compensation(&metadata, restored));
            Ok((record, restored.transpose()?))
        });
        match records {
            Ok((record, compensation)) => {
                self.batch_life(brings);
                self.batch_claims(metadata.user.as_deref(), &metadata.claims);
                self.join_batch(record, mended, submission);
                if let (Some(record), Some(batch)) = (compensation, self.batches.back_mut()) {
                    batch.bytes += record.encoded.len();
                    batch.records.push(record);
                }
                Ok(())
            }
            Err(error) => {
                self.revert(&mended);
                self.drop_empty_batch();
                Err(error.into())
            }
        }
    }

    /// What is asked of all that is new, whoever brings it.
    fn check(&mut self, remainder: &Remainder, brings: &Brings, bytes: usize) -> Result<(), SubmitError> {
        self.generations.check(&remainder.receipt.blocks, brings)?;
        if self.is_full(bytes) {
            let bytes = self.encoded_bytes + bytes;
            return Err(Refusal::TooLarge { bytes, max: self.document_bytes_max }.into());
        }
        Ok(())
    }

    /// The record of what the server sets behind an edit. It says whose edit that was.
    fn compensation(
        &self,
        of: &Metadata,
        restored: &Remainder,
    ) -> Result<Record, crate::log::record::RecordError> {
        let offender = of.relayed_by.clone().or_else(|| of.user.clone());
        let metadata = Metadata { relayed_by: offender, ..self.own_metadata(of.batch, of.admitted_ms) };
        Record::new(Kind::Compensation, &metadata, &restored.update)
    }

    fn revert(&mut self, mended: &Mended) {
        mended.restored.iter().for_each(|remainder| self.gate.revert(&remainder.receipt));
        self.gate.revert(&mended.remainder.receipt);
    }

    /// What a record says that nobody but the server has written.
    pub(super) fn own_metadata(&self, batch: u64, admitted_ms: u64) -> Metadata {
        Metadata::by_server(self.instance, batch, self.authors.kind, admitted_ms)
    }

    fn join_batch(&mut self, record: Record, mended: Mended, submission: &Submission) {
        let batch = self.batches.back_mut().expect("open_batch has made one");
        batch.bytes += record.encoded.len();
        batch.records.push(record);
        batch.author = batch.author.and(Author::One(submission.session));
        if mended.remainder.turned || mended.restored.is_some() {
            batch.author = Author::Several; // what became of it is news for its author too
        }
        for remainder in [Some(mended.remainder), mended.restored].into_iter().flatten() {
            batch.steps += remainder.steps;
            batch.receipts.push(remainder.receipt);
        }
        batch.acks.insert(submission.session, submission.ordinal);
        batch.broken.extend(mended.broken.map(|reason| (submission.session, submission.ordinal, reason)));
        batch.cost += submission.cost;
        batch.at = batch.at.or(submission.at).or(mended.at);
        batch.sets.extend(CardSet::all(&mended.touches, submission));
        self.rules.note(mended.touches, batch.number);
    }
}

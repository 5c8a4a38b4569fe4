//! What other instances have stored in the room, and what becomes of the edits under way here then.
//!
//! Records of others come in the order of the log, between batches of our own. They are folded as they
//! are: what is in flight here may hold the same blocks (a client that came back by another
//! instance), and those are in the document only once one of the two is stored.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::State;
use super::rules::Touches;
use crate::caller::UserId;
use crate::document::FoldError;
use crate::gate::{self, Accord, ParsedUpdate, Source, UnderWay};
use crate::history::{Apart, SetAside};
use crate::ids::{ClientId, Position, RoomName, SessionId};
use crate::limits::BATCH_UPDATES_MAX;
use crate::log::bus::{Epoch, Seen};
use crate::log::record::{Kind, Metadata, Record, RecordError, StoredRecord};
use crate::room::fan_out::{Author, Shown};

/// What records of others mean for the sessions.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// All that they bring; `None` if nothing came out of them.
    pub(crate) shown: Option<Shown>,
    /// Those that could not be taken in, or not whole.
    pub(crate) set_aside: Vec<SetAside>,
}

/// Why records of others cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredError {
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The copies of these sessions have something else under a client id than the log has.
    #[error("somebody writes under one client id on two instances, and not the same")]
    Apart(Vec<SessionId>),
    /// What of the record is known may be known from what is under way only, and what it lacks cannot be told from that.
    #[error("a record that builds on a missing one holds blocks that are under way here")]
    Mixed,
}

/// A record of others, as it goes into the document.
struct Taken {
    /// Empty if all of it is there.
    update: Bytes,
    receipt: Option<gate::Receipt>,
    /// Something of it builds on a record that is missing, and stays out.
    has_gap: bool,
}

/// Why what is here cannot be stored again. Nothing of it is acknowledged then: its authors still hold it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealError {
    #[error("the gate refuses it: {0}")]
    Refused(#[from] gate::Refusal),
    #[error("it builds on something that the store has not got")]
    Gap,
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl State {
    /// How far the log is in the document.
    pub(crate) fn seen(&self) -> Seen {
        Seen { last: self.committed, epoch: self.epoch }
    }

    /// The number of the batch in flight.
    pub(crate) fn in_flight(&self) -> Option<u64> {
        self.batches.front().filter(|_| self.in_flight).map(|batch| batch.number)
    }

    /// Takes in records that others have stored: the next ones of the log.
    ///
    /// # Errors
    /// [`StoredError`]: the state is of no use then, load the room again.
    ///
    /// # Panics
    /// If they are not the next ones.
    pub(crate) fn on_stored(
        &mut self,
        records: &[StoredRecord],
        epoch: Epoch,
    ) -> Result<Foreign, StoredError> {
        let receipts = self.batches.iter().flat_map(|batch| &batch.receipts);
        let under_way = UnderWay::new(receipts.flat_map(|receipt| receipt.blocks.iter().copied()));
        let mut foreign = Foreign { shown: None, set_aside: Vec::new() };
        let mut updates: Vec<Bytes> = Vec::with_capacity(records.len());
        let mut receipts = Vec::with_capacity(records.len());
        let mut touches = Touches::default();
        for stored in records {
            let position = stored.position();
            assert_eq!(position.seq, self.committed.seq + 1, "records of others come in order");
            let passed_over = self.passes_over(stored, &under_way);
            let meets = !passed_over && self.compare_with_overlay(stored, &under_way)?;
            (self.committed, self.epoch) = (position, epoch);
            if passed_over {
                continue;
            }
            match self.admit_stored(stored, &mut touches) {
                Ok(Taken { has_gap: true, .. }) if meets => return Err(StoredError::Mixed),
                Ok(Taken { update, receipt, has_gap }) => {
                    if has_gap {
                        self.generations.note_damage();
                        foreign.set_aside.push(SetAside::in_part(position));
                    }
                    self.encoded_bytes += update.len();
                    updates.extend((!update.is_empty()).then_some(update));
                    receipts.extend(receipt);
                }
                Err(why) => {
                    self.generations.note_damage();
                    foreign.set_aside.push(SetAside { position, why });
                }
            }
        }
        self.mingled |= !self.batches.is_empty();
        if updates.is_empty() {
            return Ok(foreign);
        }
        self.commit_life(&receipts);
        let slices: Vec<&[u8]> = updates.iter().map(AsRef::as_ref).collect();
        let deletes = self.document.apply(&slices)?;
        self.gate.note_deleted(&deletes);
        receipts.iter().for_each(|receipt| self.gate.settle(receipt));
        self.note_races(&touches);
        self.answers = super::Answers::default();
        foreign.shown = Some(Shown::of(updates, Author::Several));
        Ok(foreign)
    }

    /// Whether nobody takes a record in, as everyone finds who folds the log.
    fn passes_over(&mut self, stored: &StoredRecord, under_way: &UnderWay) -> bool {
        let StoredRecord::Intact { record, .. } = stored else { return false };
        let Ok(metadata) = record.metadata() else { return false };
        if !Apart::may_pass(record.kind(), &metadata) {
            return false;
        }
        let update = record.update();
        let Ok(update) = gate::parse_update(&update, Source::Record) else { return false };
        self.apart.passes((record.kind(), &metadata), &update, (&self.gate, under_way))
    }

    /// Looks for blocks that are under way here, and that others have stored. On a board they have to say the same: what
    /// builds on them was judged by what they say here, and their batch is passed over by all who fold it
    /// ([`Apart`]). Tells whether there are any.
    fn compare_with_overlay(
        &mut self,
        stored: &StoredRecord,
        under_way: &UnderWay,
    ) -> Result<bool, StoredError> {
        let StoredRecord::Intact { record, .. } = stored else { return Ok(false) };
        if under_way.is_empty() {
            return Ok(false);
        }
        let update = record.update();
        let Ok(update) = gate::parse_update(&update, Source::Record) else { return Ok(false) };
        let meets = update.parts().any(|part| under_way.meets(&part));
        if meets {
            self.overlaps = true;
            if self.is_board() {
                self.accord_with(&update)?;
            }
        }
        Ok(meets)
    }

    fn accord_with(&self, stored: &ParsedUpdate<'_>) -> Result<(), StoredError> {
        let (mut apart, mut sessions, stored) = (false, Vec::new(), stored.by_client());
        for record in self.batches.iter().flat_map(|batch| &batch.records) {
            let update = record.update();
            let Ok(ours) = gate::parse_update(&update, Source::Record) else { continue };
            let accord = ours.accord(&stored);
            apart |= accord != Accord::Same;
            // Without identities nobody is told: ids are nobody's.
            if accord == Accord::Otherwise
                && !self.authors.owners.is_off()
                && let Ok(Metadata { session: Some(session), .. }) = record.metadata()
            {
                sessions.push(session);
            }
        }
        if apart { Err(StoredError::Apart(sessions)) } else { Ok(()) }
    }

    /// What of a stored record goes into the document: what is complete of it, as whoever loads the room takes it in
    /// ([`Fold`](crate::history::Fold)). An error says why the record is set aside whole.
    fn admit_stored(&mut self, stored: &StoredRecord, touches: &mut Touches) -> Result<Taken, String> {
        let record = match stored {
            StoredRecord::Intact { record, .. } => record,
            StoredRecord::Damaged { why, .. } => return Err(why.clone()),
        };
        let update = record.update();
        let admission = self.gate.admit(&update, Source::Record).map_err(|refusal| refusal.to_string())?;
        let has_gap = admission.dropped.is_gap();
        self.learn_claims(record, stored.position().ms);
        self.learn_kind(record);
        let under_way = !self.batches.is_empty();
        if let Some(remainder) = admission.remainder.as_ref().filter(|_| under_way && self.is_board()) {
            let shown = self.gate.acts(remainder, |act| touches.note(act));
            debug_assert!(shown.is_ok(), "the gate has written it");
        }
        // What is known may be known from what is in flight only. What has a gap is no food for the engine.
        let whole = under_way && !has_gap;
        let (update, receipt) = match admission.remainder {
            Some(remainder) if whole => (update, Some(remainder.receipt)),
            Some(remainder) => (remainder.update.into(), Some(remainder.receipt)),
            None if whole => (update, None),
            None => (Bytes::new(), None),
        };
        Ok(Taken { update, receipt, has_gap })
    }

    /// The committed state vector, encoded.
    pub(crate) fn seen_vector(&self) -> Vec<u8> {
        self.document.state_vector()
    }

    /// What this room holds and someone with this state vector does not; deletes always.
    ///
    /// # Errors
    /// [`FoldError`]: the document is of no use.
    pub(crate) fn lacking(&mut self, theirs: &[u8]) -> Result<Vec<u8>, FoldError> {
        self.document.diff(theirs)
    }

    /// Puts what the store has lost into a batch of its own, the first one: the blocks, and for each user who
    /// owns client ids that the store does not know of, a record without any. Returns whether anything
    /// is missing in the store at all.
    ///
    /// # Errors
    /// [`HealError`]: none of it can be stored.
    ///
    /// # Panics
    /// If something is under way already.
    pub(crate) fn begin_heal(
        &mut self,
        lost: &[u8],
        claims: BTreeMap<UserId, Vec<ClientId>>,
        admitted_ms: u64,
    ) -> Result<bool, HealError> {
        assert!(self.batches.is_empty(), "healing comes first");
        let Some(remainder) = self.gate.admit(lost, Source::Record)?.remainder else { return Ok(false) };
        let number = self.open_batch(remainder.update.len());
        let metadata = self.own_metadata(number, admitted_ms);
        let record = match Record::new(Kind::Heal, &metadata, &remainder.update) {
            Ok(record) => record,
            Err(error) => {
                self.gate.revert(&remainder.receipt);
                self.batches.clear();
                return Err(error.into());
            }
        };
        if let Some(batch) = self.batches.back_mut() {
            batch.heals = true;
            batch.bytes = record.encoded.len();
            batch.steps = remainder.steps;
            batch.records.push(record);
            batch.receipts.push(remainder.receipt);
            batch.author = Author::Several;
        }
        // As many as there is place for in one batch; the others are known to instances that run.
        for (user, claims) in claims.into_iter().take(BATCH_UPDATES_MAX - 1) {
            let metadata = Metadata { user: Some(user.as_ref().to_owned()), claims, ..metadata.clone() };
            let Ok(record) = Record::new(Kind::Heal, &metadata, &gate::EMPTY_UPDATE) else { continue };
            self.batch_claims(Some(&user), &metadata.claims);
            if let Some(batch) = self.batches.back_mut() {
                batch.bytes += record.encoded.len();
                batch.records.push(record);
            }
        }
        Ok(true)
    }

    /// Owners of client ids of which `other` does not know.
    pub(crate) fn claims_unknown_to(&self, other: &Self) -> BTreeMap<UserId, Vec<ClientId>> {
        let mut unknown: BTreeMap<UserId, Vec<ClientId>> = BTreeMap::new();
        for (client, user) in self.owners().stored() {
            if other.owners().owner(client).is_none() {
                unknown.entry(user).or_default().push(client);
            }
        }
        unknown
    }

    /// Goes on for `old`, whose log was lost or moved under it: its sessions, and its edits that are not
    /// stored, come here. Returns the acks that wait for nothing any more and the inflow units to give back.
    ///
    /// # Errors
    /// [`HealError`]: an edit cannot be stored any more, though it could before.
    pub(crate) fn take_over(&mut self, old: &mut Self) -> Result<(HashMap<SessionId, u64>, u32), HealError> {
        debug_assert!(!old.brings_life(), "the life that a session brings is judged anew");
        self.claims = std::mem::take(&mut old.claims);
        self.take_authors(old);
        self.newest_batch = self.newest_batch.max(old.newest_batch);
        let (mut acks, mut cost) = (HashMap::new(), 0);
        for batch in std::mem::take(&mut old.batches) {
            for record in &batch.records {
                self.judge_again(record)?;
            }
            match self.batches.back_mut() {
                Some(last) => {
                    last.acks.extend(batch.acks);
                    last.broken.extend(batch.broken);
                    last.cost += batch.cost;
                    last.author = last.author.and(Author::Several);
                }
                None => {
                    acks.extend(batch.acks);
                    cost += batch.cost;
                }
            }
        }
        self.rules.take_over(&mut old.rules, self.newest_batch);
        Ok((acks, cost))
    }

    fn judge_again(&mut self, record: &Record) -> Result<(), HealError> {
        let update = record.update();
        let gate::Admission { remainder, dropped } = self.gate.admit(&update, Source::Record)?;
        if dropped.is_gap() {
            return Err(HealError::Gap);
        }
        let Some(remainder) = remainder else { return Ok(()) };
        let number = self.open_batch(remainder.update.len());
        let metadata = Metadata { batch: number, ..record.metadata()? };
        let record = Record::new(record.kind(), &metadata, &remainder.update)?;
        self.batch_claims(metadata.user.as_deref(), &metadata.claims);
        if let Some(batch) = self.batches.back_mut() {
            batch.bytes += record.encoded.len();
            batch.steps += remainder.steps;
            batch.records.push(record);
            batch.receipts.push(remainder.receipt);
        }
        Ok(())
    }

    /// Whether another life of the room is on its way into the log.
    pub(crate) fn brings_life(&self) -> bool {
        self.batches.iter().any(|batch| batch.revives)
    }

    /// The genesis record for the append that finds the room absent.
    pub(crate) fn set_genesis(&mut self, genesis: Record) {
        self.genesis = genesis;
    }

    /// The markers of the room's lives.
    pub(crate) fn lives(&self) -> impl Iterator<Item = crate::generation::Marker> {
        self.generations.set()
    }

    /// The markers of another room's lives that stand in this one: of a draft, those of its board.
    pub(crate) fn lives_of(&self, room: &RoomName) -> Vec<crate::generation::Marker> {
        crate::generation::markers(room, &self.gate.state_vector()).collect()
    }

    /// Nothing of this room was ever stored, as far as it is known here.
    pub(crate) fn is_new(&self) -> bool {
        self.committed == Position::START
    }
}

//! What the log says of the room: batches of our own, of others, and that something was lost.
//!
//! One batch has one place in the log, and comes into the document there, whoever tells of it first: the
//! append's reply, the bus, or a page of the log. What is told before its turn waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::append::Refused;
use super::super::order::{Place, before_own, place};
use super::super::read_on::{ReadOn, is_same, not_known, read_on};
use super::super::state::{Broken, Committed, Foreign, State, StoredError, SubmitError, Suspect};
use super::{Actor, End};
use crate::generation::GenerationError;
use crate::ids::{Position, SessionId};
use crate::limits::{BUS_READ_AGAIN_MS, BUS_REPLY_AHEAD_MS, COMPACT_RECORDS, INLINE_BYTES_MAX};
use crate::log::bus::{Epoch, Heard, Seen, Stored};
use crate::log::record::{self, StoredRecord};
use crate::log::{Appended, LogError};
use crate::webhooks::{Kind, Notice};
use crate::wire::close::{self, Close};

impl Actor {
    pub(super) async fn on_appended(&mut self, appended: Result<Appended, Refused>) -> Result<(), End> {
        match appended {
            Ok(appended) => {
                self.on_reply(appended).await?;
                self.settle().await
            }
            Err(Refused { error: LogError::Moved(why), .. }) => {
                self.withdraw_exact(true)?;
                self.look(why).await
            }
            Err(Refused { error, may_be_stored: true }) => Err(End::Unsettled(error)),
            Err(Refused { error, may_be_stored: false }) => {
                // What is here twice cannot be taken back.
                let Some((authors, cost)) = self.state_mut().drop_overlay() else {
                    return Err(End::Unsettled(error));
                };
                tracing::error!(
                    room = %self.shared.name.log_id(), %error,
                    "the log refuses a batch for good: its authors are asked to come back and keep their edits"
                );
                self.rooms.metrics.appends_refused.inc();
                self.writes.note_decided();
                self.beginnings.clear();
                self.shared.inflow.leave(cost);
                self.refuse_writes(&authors, &error);
                // Off the list at once: what else of theirs is judged must not be acked over the loss.
                for seat in authors.into_iter().filter_map(|session| self.seats.remove(session)) {
                    seat.put(|post| {
                        post.close = Some(Close::new(close::BUSY, "the store refuses edits now"))
                    });
                }
                Ok(())
            }
        }
    }

    /// The log has answered for the batch in flight.
    pub(super) async fn on_reply(&mut self, appended: Appended) -> Result<(), End> {
        let begins = appended.begins();
        let Seen { last: seen, epoch } = self.state().seen();
        if self.state().in_flight().is_none() {
            return Ok(()); // the bus was faster
        }
        if epoch != Epoch::NONE && (appended.epoch != epoch || begins.seq <= seen.seq) {
            // It was sent before all this was seen, and the store has lost that since.
            return self.look(format!("a batch behind record {seen} stands at {begins}")).await;
        }
        if begins.seq == seen.seq + 1 {
            if appended.before.is_some_and(|before| before != seen) {
                return self.look(format!("a batch stands behind another record than {seen}")).await;
            }
            return self.on_committed(appended).await;
        }
        if begins.seq <= seen.seq {
            // Something else is stored under this number, and an ack would be a lie.
            let why = format!("a batch was expected behind record {seen} and stands at {begins}");
            return Err(End::Unsettled(LogError::Fatal(why)));
        }
        // Records of others stand before it. They are being heard, or else to be read.
        let wait = if self.line.hears() { Duration::from_millis(BUS_REPLY_AHEAD_MS) } else { Duration::ZERO };
        self.line.hold(appended, Instant::now() + wait);
        Ok(())
    }

    /// A batch of our own is stored, and next: fold it, show it, ack it.
    async fn on_committed(&mut self, appended: Appended) -> Result<(), End> {
        let position = appended.last;
        let created = appended.created.as_ref().map(StoredRecord::position);
        let heavy = self.state().is_batch_heavy();
        self.note_append(&appended);
        let Committed { shown, acks, broken, updates, bytes, cost } =
            self.with_state(heavy, move |state| state.on_committed(&appended)).await??;
        self.note_size();
        self.writes.note_decided();
        self.shared.inflow.leave(cost);
        self.rooms.metrics.updates_stored.inc_by(updates as u64);
        self.rooms.load.note(updates, self.seats.len());
        self.updates.note(updates as u64, Instant::now());
        self.upkeep.note_appended(position.seq, bytes as u64);
        self.tell(created, position);
        self.compact_if_due();
        self.line.note(self.state().seen());
        self.send_strangers_away();
        if self.fan_out.add(shown, self.seats.len()) {
            self.release().await;
        }
        self.tell_broken(broken);
        self.ack(acks, position);
        self.watch(true);
        Ok(())
    }

    /// Tells sessions why something of theirs is stored without its content.
    fn tell_broken(&self, broken: Vec<Broken>) {
        self.rooms.metrics.edits_mended.inc_by(broken.len() as u64);
        for (session, ordinal, reason) in broken {
            if let Some(seat) = self.seats.get(session) {
                seat.put(|post| post.broken.push((ordinal, reason)));
            }
        }
    }

    /// Whose batch it was tells of it: nobody else does.
    fn tell(&self, created: Option<Position>, position: Position) {
        let (notices, room) = (&self.rooms.options.notices, &self.shared.name);
        if let Some(first) = created {
            let kind = self.state().kind();
            notices.tell(|| Notice { room_kind: Some(kind), ..Notice::at(Kind::Created, room, first) });
        }
        notices.tell(|| Notice::at(Kind::Changed, room, position));
    }

    /// Records of others are next: fold them and show them.
    async fn on_others(&mut self, records: Vec<StoredRecord>, epoch: Epoch) -> Result<(), End> {
        let Some(last) = records.last().map(StoredRecord::position) else { return Ok(()) };
        let first = records[0].position();
        let bytes: usize = records.iter().map(StoredRecord::bytes).sum();
        let heavy = bytes > INLINE_BYTES_MAX;
        let kind = self.state().kind();
        let (count, fold) = (records.len(), move |state: &mut State| state.on_stored(&records, epoch));
        let folded = self.with_state(heavy, fold).await?;
        if let Err(StoredError::Apart(sessions)) = &folded {
            self.send_losers_away(sessions);
        }
        let Foreign { shown, set_aside } = folded?;
        for record in set_aside {
            let (position, why) = (record.position, record.why);
            tracing::error!(room = %self.shared.name.log_id(), %position, why, "a record is set aside; the room is served without it");
            self.rooms.metrics.records_set_aside.inc();
        }
        self.note_size();
        self.rooms.metrics.records_of_others.inc_by(count as u64);
        self.rooms.load.note(count, self.seats.len());
        self.upkeep.note_appended(last.seq, bytes as u64);
        if first.seq / COMPACT_RECORDS != last.seq / COMPACT_RECORDS {
            self.upkeep.leave_to_others(); // whose append it was compacts
        }
        self.line.note(self.state().seen());
        self.send_strangers_away();
        if self.state().kind() != kind && self.state().uncommitted() > 0 {
            return Err(End::Moved(
                "somebody has made the room, of another kind than edits were judged for".to_owned(),
            ));
        }
        if let Some(shown) = shown
            && self.fan_out.add(shown, self.seats.len())
        {
            self.release().await;
        }
        self.watch(false);
        Ok(())
    }

    /// These have lost a race for a client id. Coming back they would bring nothing of what they have under it, as its clocks
    /// are known, and differ from everyone in silence.
    fn send_losers_away(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            let suspect = Suspect { contradicts: true, first: true, ..Suspect::default() };
            if let Some(seat) = self.seats.remove(*session) {
                self.report(*session, suspect);
                let reason = SubmitError::Contradicts(suspect).to_string();
                seat.put(|post| post.close = Some(Close::new(close::OTHER_GENERATION, reason)));
            }
        }
    }

    fn send_strangers_away(&mut self) {
        for session in self.state_mut().take_strangers() {
            self.expel(session, GenerationError::OtherLife.close());
        }
    }

    pub(super) fn ack(&mut self, acks: HashMap<SessionId, u64>, position: Position) {
        for (session, ordinal) in acks {
            if self.answer_write(session, position) {
                continue;
            }
            if let Some(seat) = self.seats.get(session).filter(|seat| seat.wants_acks()) {
                seat.put(|post| post.ack = Some((ordinal, position)));
            }
        }
    }

    /// Something is heard on the bus.
    pub(super) async fn on_heard(&mut self, heard: Heard) -> Result<(), End> {
        match heard {
            Heard::Stored(stored) => {
                if self.line.is_reading() {
                    self.line.keep(stored);
                    return Ok(());
                }
                self.on_stored(stored).await?;
                self.settle().await
            }
            Heard::Behind => {
                self.start_reading();
                Ok(())
            }
            Heard::Again => {
                self.say_who_is_here();
                Ok(())
            }
            Heard::Whispered { from, whisper } => {
                self.on_whisper(from, whisper);
                Ok(())
            }
        }
    }

    async fn on_stored(&mut self, mut stored: Stored) -> Result<(), End> {
        match place(self.state().seen(), &stored) {
            Place::Known => Ok(()),
            Place::Next(0) if self.is_own(&stored) => self.on_committed(as_reply(stored)).await,
            Place::Next(at) => {
                let epoch = stored.epoch;
                self.on_others(stored.records.split_off(at), epoch).await
            }
            Place::Gap => {
                self.line.keep(stored);
                self.start_reading();
                Ok(())
            }
            Place::Lost => self.look("the bus tells of another log".to_owned()).await,
        }
    }

    fn is_own(&self, stored: &Stored) -> bool {
        stored.instance == self.rooms.instance && self.state().in_flight() == Some(stored.number)
    }

    /// Takes in what has waited for its turn.
    async fn settle(&mut self) -> Result<(), End> {
        while !self.line.is_reading() {
            if let Some(reply) = self.line.take_reply(self.state().committed()) {
                self.on_reply(reply).await?;
            } else if let Some(stored) = self.line.take_next(self.state().seen()) {
                self.on_stored(stored).await?;
            } else {
                break;
            }
        }
        if self.line.wants_more(self.state().in_flight().is_some()) {
            self.start_reading();
        }
        Ok(())
    }

    /// Reads the log where it is not known, if that is not under way already.
    pub(super) fn start_reading(&mut self) {
        let (log, room) = (Arc::clone(&self.rooms.log), self.shared.name.clone());
        let seen = self.state().seen();
        self.line.read(|| Box::pin(async move { read_on(&*log, &room, seen).await }));
    }

    /// A page of the log is here, or what stands in its way.
    pub(super) async fn on_read(&mut self, read: Result<ReadOn, LogError>) -> Result<(), End> {
        match read {
            Ok(ReadOn::Records { records, epoch, more }) => {
                self.rooms.metrics.catch_up_reads.inc();
                let Some(mut records) = not_known(records, self.state().committed()) else {
                    return self.look("another record stands where the newest one was".to_owned()).await;
                };
                let held = self.line.held_from();
                let own = match held {
                    Some(begins) => records.partition_point(|stored| stored.position().seq < begins.seq),
                    None => before_own(&records, self.rooms.instance, self.state().in_flight()),
                };
                let (records_are_none, at_own) = (records.is_empty(), records.get(own));
                let is_other = |begins: &Position| {
                    at_own.is_some_and(|stored| stored.position().seq == begins.seq)
                        && !is_same(at_own, *begins)
                };
                if let Some(begins) = held.filter(is_other) {
                    return self.look(format!("a batch was stored at {begins}, where another stands")).await;
                }
                let stops_at_own = at_own.is_some();
                records.truncate(own);
                self.on_others(records, epoch).await?;
                if records_are_none && !more {
                    self.line.forget_ahead();
                }
                if !more && !stops_at_own && self.line.has_read_reply() {
                    return self.look("the log ends before a batch that it had stored".to_owned()).await;
                }
                self.line.go_on(more || stops_at_own);
                self.settle().await
            }
            Ok(ReadOn::Lost(why)) => self.look(why.to_owned()).await,
            Ok(ReadOn::Trimmed) => Err(End::Moved("records were trimmed before they were read".to_owned())),
            Err(error) if error.is_temporary() => {
                self.line.read_later(Instant::now() + Duration::from_millis(BUS_READ_AGAIN_MS));
                Ok(())
            }
            Err(error) => Err(End::Moved(error.to_string())),
        }
    }
}

/// A batch of our own that the bus has told of, as its append would have.
fn as_reply(mut stored: Stored) -> Appended {
    let created = match &stored.records[0] {
        StoredRecord::Intact { record, .. } if record.kind() == record::Kind::Genesis => {
            Some(stored.records.remove(0))
        }
        _ => None,
    };
    let first = stored.records.first().map_or(stored.before, StoredRecord::position);
    let last = stored.records.last().map_or(first, StoredRecord::position);
    let before = Some(stored.before);
    Appended { created, before, first, last, epoch: stored.epoch, duplicate: false }
}

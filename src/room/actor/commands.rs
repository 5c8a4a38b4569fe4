//! What sessions ask of a room: to come and go, to be brought up to date, to have an edit stored.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::seat::{Entry, Seat};
use super::super::state::{Judged, State, Submission, SubmitError, Suspect};
use super::super::{Command, Member, Synced, outside, refusal_close, room_ended};
use super::{Actor, End};
use crate::caller::Caller;
use crate::clock::wall_ms;
use crate::gate::{self, Refusal, Source};
use crate::ids::SessionId;
use crate::limits::INLINE_BYTES_MAX;
use crate::log::bus::Whisper;
use crate::throttle::{Address, Refused};
use crate::wire::close::{self, Close};

impl Actor {
    pub(super) async fn on_commands(
        &mut self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<(), End> {
        let mut commands = commands.into_iter();
        while let Some(command) = commands.next() {
            if let Err(end) = self.on_command(command).await {
                outside::let_go(commands);
                return Err(end);
            }
        }
        Ok(())
    }

    pub(super) async fn on_command(&mut self, command: Command) -> Result<(), End> {
        let Some(command) = self.hold(command) else { return Ok(()) };
        match command {
            Command::Join { entry, reply } => self.on_join(entry, reply),
            Command::Leave { session } => self.on_leave(session),
            // There is one removal at a time. One that has not waited for so long was withdrawn.
            Command::Retire(retire) if retire.is_withdrawn() => {}
            Command::Retire(retire) => self.retiring = Some(retire),
            Command::Submit(submission) => self.on_submit(submission).await?,
            Command::Sync { session, state_vector, reply } => {
                let answer = self.on_sync(session, state_vector).await?;
                let _ = reply.send(answer); // the session may have gone meanwhile
            }
            Command::CatchUp { session, covers, reply } => {
                let answer = self.on_catch_up(session, covers).await?;
                let _ = reply.send(answer);
            }
            Command::Read { part, reply } => self.on_read_outside(part, reply).await?,
            Command::Write(write) => self.on_write(write).await?,
            Command::Look { reply } => self.on_look(reply),
            Command::Relay { session, payload, cost } => {
                self.shared.inflow.leave(cost);
                self.tell_others(Some(session), &payload);
                self.whisper(Whisper::Stateless(payload));
            }
            Command::StateVector { reply } => {
                let _ = reply.send(Ok(self.checkpoint()?));
            }
            Command::Begin { caller, reply } => self.on_begin(&caller, reply),
        }
        Ok(())
    }

    fn on_join(&mut self, entry: Entry, reply: oneshot::Sender<Result<Member, String>>) {
        if let Err(refused) = self.begin(entry.address) {
            let _ = reply.send(Err(refused.to_string()));
            return;
        }
        let session = self.rooms.next_session();
        self.shared.owners.seat(session, entry.caller.user.as_ref());
        let seat = Arc::new(Seat::new(session, entry));
        self.seats.insert(Arc::clone(&seat));
        self.idle_due = None;
        // If nobody waits for the answer any more, the member is dropped, and so leaves.
        let _ = reply.send(Ok(Member::new(Arc::clone(&self.shared), seat)));
    }

    /// A room that nobody has written to counts as begun by who comes in first.
    pub(super) fn begin(&mut self, address: Option<Address>) -> Result<(), Refused> {
        if !self.begun && self.state().is_new() {
            self.rooms.throttle.begin_room(address)?;
        }
        self.begun = true;
        Ok(())
    }

    /// A room that is to be removed does not begin: whoever asks is told to come back.
    fn on_begin(&mut self, caller: &Caller, reply: oneshot::Sender<()>) {
        let is_open = self.retiring.is_none();
        if is_open && self.state_mut().begin(caller, wall_ms()).is_ok() {
            self.beginnings.push(reply);
        }
    }

    /// Tells those who have asked for it that the room is stored.
    pub(super) fn tell_begun(&mut self) {
        if !self.beginnings.is_empty() && !self.state().is_new() {
            for reply in self.beginnings.drain(..) {
                let _ = reply.send(()); // who does not wait any more finds it in the store
            }
        }
    }

    fn on_leave(&mut self, session: SessionId) {
        self.seats.remove(session);
        self.shared.owners.leave(session);
        self.state_mut().forget_session(session);
        if self.seats.is_empty() {
            self.on_last_leave();
            self.idle_due = Some(Instant::now() + self.rooms.options.idle_unload);
            self.upkeep.start_if_worth_it(&self.rooms, &self.shared.name);
        }
        // The grace after which its presence goes is counted by the beat.
        self.shared.presence_changed.notify_one();
    }

    async fn on_submit(&mut self, submission: Submission) -> Result<(), End> {
        let (session, ordinal, cost) = (submission.session, submission.ordinal, submission.cost);
        let is_answer = submission.source == Source::Step2;
        // A room that is to be removed takes nothing; what it does not ack stays with its author.
        // Whoever was refused is off the list: what comes behind the refused update must neither be
        // stored nor acked over it.
        if self.retiring.is_some() || self.seats.get(session).is_none() {
            self.shared.inflow.leave(cost);
            return Ok(());
        }
        let again = self.state().is_board().then(|| Box::new(submission.clone()));
        match self.judge(submission).await? {
            Err(SubmitError::NotNow) if again.is_some() => {
                self.writes.next = again.map(|submission| Box::new(Command::Submit(*submission)));
            }
            Ok(judged) => {
                match again.filter(|_| self.state().is_exact_under_way()) {
                    Some(submission) => self.writes.judged = Some(submission),
                    None => self.writes.note_decided(),
                }
                self.shared.inflow.leave(judged.cost);
                self.rooms.metrics.note_dropped(&judged.dropped);
                self.rooms.metrics.edits_refused.inc_by(u64::from(judged.refused));
                self.report(session, judged.suspect);
                let ack = judged.decided_now.then(|| (ordinal, self.state().committed()));
                // What was left out as another's would be left out again; it is asked for later.
                let mut gap = judged.dropped.is_gap() && !judged.dropped.is_foreign();
                let mut left_out = judged.dropped.is_foreign();
                if is_answer && !judged.dropped.is_gap() {
                    self.state_mut().note_whole_answer(session);
                } else if gap && is_answer && !self.state_mut().note_gap_in_answer(session, !judged.is_new) {
                    (gap, left_out) = (false, true);
                }
                let told = judged.refused || gap || left_out;
                let wanted = |seat: &&Arc<Seat>| seat.wants_acks() && ack.is_some() || told;
                if let Some(seat) = self.seats.get(session).filter(wanted) {
                    seat.put(|post| {
                        post.refused.extend(judged.refused.then_some(ordinal));
                        post.ack = ack.filter(|_| seat.wants_acks()).or(post.ack);
                        post.gap |= gap;
                        post.left_out |= left_out;
                    });
                }
            }
            Err(error) => {
                self.writes.note_decided();
                self.shared.inflow.leave(cost);
                self.rooms.metrics.updates_refused.inc();
                let close = match &error {
                    SubmitError::Refused(refusal) => refusal_close(*refusal),
                    SubmitError::Generation(error) => {
                        let close = self.verdict(error).await;
                        self.expel(session, close);
                        return Ok(());
                    }
                    SubmitError::Contradicts(suspect) => {
                        self.report(session, *suspect);
                        Close::new(close::OTHER_GENERATION, error.to_string())
                    }
                    SubmitError::Record(_) => Close::new(close::TOO_LARGE, error.to_string()),
                    SubmitError::Broken(_) => Close::new(close::FORBIDDEN, error.to_string()),
                    SubmitError::TooOften => Close::new(close::TOO_FAST, error.to_string()),
                    SubmitError::NotNow => Close::new(close::BUSY, error.to_string()),
                };
                if let Some(seat) = self.seats.remove(session) {
                    seat.put(|post| post.close = Some(close));
                }
            }
        }
        Ok(())
    }

    /// What the room says to an edit.
    pub(super) async fn judge(&mut self, submission: Submission) -> Result<Result<Judged, SubmitError>, End> {
        let size = submission.update.len();
        let heavy = self.state().is_submission_heavy(size);
        let judge = move |state: &mut State| (state.submit(&submission), submission);
        let (mut judged, submission) = self.with_state(heavy, judge).await?;
        if matches!(judged, Err(SubmitError::Refused(Refusal::OrderUnknown))) {
            let learn = move |state: &mut State| {
                state.learn_order()?;
                state.submit(&submission)
            };
            judged = self.with_state(true, learn).await?;
            self.rooms.metrics.orders_learnt.inc();
        }
        Ok(judged)
    }

    /// Somebody writes under a client id that is not theirs, or that is somebody else's too.
    pub(super) fn report(&self, session: SessionId, suspect: Suspect) {
        if !suspect.is_any() {
            return;
        }
        let metrics = &self.rooms.metrics.owners;
        metrics.updates_foreign.inc_by(u64::from(suspect.foreign));
        metrics.updates_contradicting.inc_by(u64::from(suspect.contradicts));
        if suspect.first {
            let Suspect { foreign, contradicts, .. } = suspect;
            tracing::warn!(
                room = %self.shared.name.log_id(), session = session.0, foreign, contradicts,
                "a session writes under a client id that is another's: two pages that share an id, or a forgery. Reported once for each session; counted in ruang_updates_foreign and ruang_updates_contradicting"
            );
        }
    }

    /// Many fall off at the same time, when the network or the machine stalls: those that stand at
    /// the same checkpoint share one diff.
    async fn on_catch_up(&mut self, session: SessionId, covers: Bytes) -> Result<Result<Synced, Close>, End> {
        if self.seats.get(session).is_none() {
            return Ok(Err(room_ended()));
        }
        self.rooms.metrics.catch_ups.inc();
        if let Some(answer) = self.catch_ups.find(&covers, &self.shared.ring) {
            return Ok(Ok(answer));
        }
        self.release().await;
        let theirs = covers.clone();
        let frame = self.with_state(true, move |state| state.catch_up(&theirs)).await??;
        let covered = self.checkpoint()?;
        let answer = Synced { frame, cursor: self.shared.ring.cursor(covered) };
        self.rooms.metrics.catch_up_diffs.inc();
        self.catch_ups.keep(covers, &answer);
        Ok(Ok(answer))
    }

    async fn on_sync(
        &mut self,
        session: SessionId,
        state_vector: Bytes,
    ) -> Result<Result<Synced, Close>, End> {
        if self.seats.get(session).is_none() {
            return Ok(Err(room_ended()));
        }
        let theirs = match gate::parse_state_vector(&state_vector) {
            Ok(theirs) => theirs,
            Err(refusal) => return Ok(Err(refusal_close(refusal))),
        };
        let heavy = state_vector.len() > INLINE_BYTES_MAX;
        let greeted = self.with_state(heavy, move |state| state.greet(session, &theirs).map(|()| theirs));
        let theirs = match greeted.await? {
            Ok(theirs) => theirs,
            Err(error) => {
                let close = self.verdict(&error).await;
                self.expel(session, close.clone());
                return Ok(Err(close));
            }
        };
        let heavy = self.state().encoded_bytes() > INLINE_BYTES_MAX;
        // The checkpoint must not cover what only a later round shows.
        self.release().await;
        let frame = self.with_state(heavy, move |state| state.step2(&theirs)).await??;
        self.note_size();
        let covers = self.checkpoint()?;
        Ok(Ok(Synced { frame, cursor: self.shared.ring.cursor(covers) }))
    }

    /// Shows a message that is not part of the document to all who take such.
    pub(super) fn tell_others(&mut self, from: Option<SessionId>, payload: &[u8]) {
        let Ok(payload) = std::str::from_utf8(payload).map(Arc::<str>::from) else { return };
        for seat in self.seats.all().filter(|seat| Some(seat.session) != from) {
            if !seat.tell(&payload) {
                self.rooms.metrics.stateless_dropped.inc();
            }
        }
    }

    /// Ends a session that has no place in this life of the room.
    pub(super) fn expel(&mut self, session: SessionId, close: Close) {
        let Some(seat) = self.seats.remove(session) else { return };
        if close.code == close::OTHER_GENERATION {
            self.rooms.metrics.sessions_of_other_lives.inc();
        }
        seat.expel(close);
    }
}

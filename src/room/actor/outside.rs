//! What others than sessions ask of the room. `room::outside` says what holds.

use tokio::sync::oneshot;

use super::super::Command;
use super::super::outside::{Copy, Decided, Part, ReadError, Write, WriteError, Written};
use super::super::state::{State, Submission, SubmitError, Withdrawn};
use super::{Actor, End};
use crate::clock::wall_ms;
use crate::gate::{self, StateVector};
use crate::ids::{Position, SessionId};
use crate::limits::{EXACT_TRIES_MAX, INLINE_BYTES_MAX};
use crate::log::LogError;
use crate::session::Permit;
use crate::wire::close::{self, Close};

impl Actor {
    pub(super) async fn on_read_outside(
        &mut self,
        part: Part,
        reply: oneshot::Sender<Result<Copy, ReadError>>,
    ) -> Result<(), End> {
        if reply.is_closed() {
            return Ok(());
        }
        let theirs = match &part {
            Part::Everything => Ok(None),
            Part::Since(theirs) => gate::parse_state_vector(theirs).map(Some),
        };
        let answer = match theirs {
            Ok(theirs) => {
                let heavy = self.state().encoded_bytes() > INLINE_BYTES_MAX;
                self.with_state(heavy, move |state| read(state, theirs.as_ref())).await?
            }
            Err(refusal) => Err(refusal.into()),
        };
        let position = self.state().committed();
        let _ = reply.send(answer.map(|update| Copy { position, update })); // the caller may have gone
        Ok(())
    }

    pub(super) async fn on_write(&mut self, write: Write) -> Result<(), End> {
        if self.retiring.is_some() || write.reply.is_closed() {
            self.shared.inflow.leave(write.cost);
            let _ = write.reply.send(Err(WriteError::Closed("it is being removed".to_owned())));
            return Ok(());
        }
        // An application's server writes for all its people: only the bound of the instance is its.
        if let Err(refused) = self.begin(None) {
            self.shared.inflow.leave(write.cost);
            let _ = write.reply.send(Err(WriteError::Closed(refused.to_string())));
            return Ok(());
        }
        if let Some(at) = write.edit.at {
            let now = self.state().committed();
            if now != at {
                self.shared.inflow.leave(write.cost);
                let _ = write.reply.send(Err(WriteError::Moved { now: Some(now) }));
                return Ok(());
            }
            if self.state().uncommitted() > 0 {
                self.writes.waiting.push_back(write);
                return Ok(());
            }
        }
        let Write { edit, cost, reply } = write;
        let again = self.state().is_board().then(|| edit.clone());
        let session = self.rooms.next_session();
        let submission = Submission {
            session,
            ordinal: 1,
            update: edit.update,
            source: edit.source,
            cost,
            admitted_ms: wall_ms(),
            caller: edit.caller,
            permit: Permit::TakenWhole,
            at: edit.at,
        };
        // While it is judged its user counts as here: the ids that it writes under become the user's as any session's do.
        let user = submission.caller.user.clone();
        self.shared.owners.seat(session, user.as_ref());
        let judged = self.judge(submission).await;
        self.shared.owners.leave(session);
        match judged? {
            Ok(judged) => {
                self.shared.inflow.leave(judged.cost);
                self.rooms.metrics.note_dropped(&judged.dropped);
                // What it holds is given back at once if nothing of it goes into the log.
                let (is_new, is_foreign) = (judged.cost == 0, judged.dropped.is_foreign());
                let has_gap = judged.dropped.is_gap() && !is_foreign;
                let decided = Decided { reply, is_new, has_gap, is_foreign };
                self.report(session, judged.suspect);
                if judged.decided_now {
                    self.state_mut().forget_session(session);
                    decided.tell(self.state().committed());
                } else {
                    self.writes.undecided.insert(session, decided);
                }
            }
            Err(SubmitError::NotNow) if again.is_some() => {
                self.state_mut().forget_session(session);
                self.writes.next =
                    again.map(|edit| Command::Write(Write { edit, cost, reply })).map(Box::new);
            }
            Err(error) => {
                self.shared.inflow.leave(cost);
                self.rooms.metrics.updates_refused.inc();
                if let SubmitError::Contradicts(suspect) = &error {
                    self.report(session, *suspect);
                }
                self.state_mut().forget_session(session);
                let _ = reply.send(Err(error.into()));
            }
        }
        Ok(())
    }

    /// A session's edit is stored; tells whether it is one from outside.
    pub(super) fn answer_write(&mut self, session: SessionId, position: Position) -> bool {
        let Some(decided) = self.writes.undecided.remove(&session) else { return false };
        self.state_mut().forget_session(session);
        decided.tell(position);
        true
    }

    /// The store has refused for good what came of these sessions.
    pub(super) fn refuse_writes(&mut self, sessions: &[SessionId], error: &LogError) {
        for session in sessions {
            if let Some(decided) = self.writes.undecided.remove(session) {
                self.state_mut().forget_session(*session);
                let _ = decided.reply.send(Err(WriteError::Store(error.clone())));
            }
        }
    }

    /// Takes an edit back whose position is not the room's end any more. Unless it `is_decided`, nobody knows whether it was
    /// stored. A session's is judged anew, when the log is read: what was stored of it by then is not new.
    ///
    /// # Errors
    /// [`End::Moved`]: others have stored some of it, and it cannot be told any more what is whose.
    pub(super) fn withdraw_exact(&mut self, is_decided: bool) -> Result<(), End> {
        let Some(Withdrawn { session, cost, is_whole }) = self.state_mut().withdraw_exact() else {
            return Ok(());
        };
        match self.writes.judged.take().filter(|judged| judged.session == session) {
            Some(judged) if self.writes.tries < EXACT_TRIES_MAX => {
                self.writes.tries += 1;
                self.writes.next = Some(Box::new(Command::Submit(*judged)));
            }
            Some(_) => self.give_up(session, cost),
            None => {
                self.writes.note_decided();
                self.state_mut().forget_session(session);
                self.shared.inflow.leave(cost);
                if let Some(decided) = self.writes.undecided.remove(&session)
                    && is_decided
                {
                    let _ = decided.reply.send(Err(WriteError::Moved { now: None }));
                }
            }
        }
        if is_whole {
            return Ok(());
        }
        Err(End::Moved("others have stored some of an edit that was taken back".to_owned()))
    }

    /// Other instances were faster each time: the room must not wait for one session for ever. It keeps its edit, and
    /// brings it when it comes back.
    fn give_up(&mut self, session: SessionId, cost: u32) {
        self.writes.note_decided();
        self.shared.inflow.leave(cost);
        self.rooms.metrics.updates_refused.inc();
        if let Some(seat) = self.seats.remove(session) {
            let reason = "others edit faster than this can be judged: please come back";
            seat.put(|post| post.close = Some(Close::new(close::BUSY, reason)));
        }
    }

    /// Puts a command aside that must not be judged now. Gives it back if it may.
    pub(super) fn hold(&mut self, command: Command) -> Option<Command> {
        let waits = match &command {
            Command::Submit(_) | Command::Write(_) | Command::Begin { .. } => {
                self.writes.next.is_some() || self.state().is_exact_under_way()
            }
            // Who leaves leaves after the last edit.
            Command::Leave { .. } => self.writes.next.is_some() || !self.writes.held.is_empty(),
            _ => false,
        };
        if waits {
            self.writes.held.push_back(command);
            return None;
        }
        Some(command)
    }

    /// Takes in what had to wait, as far as it may now.
    pub(super) async fn on_held(&mut self) -> Result<(), End> {
        if self.state.is_none() || self.retiring.is_some() {
            return Ok(());
        }
        // Not before the log is read, if another instance was faster: it would be refused again.
        if self.state().uncommitted() == 0
            && !self.line.is_reading()
            && let Some(next) = self.writes.next.take()
        {
            self.on_command(*next).await?;
        }
        if !self.writes.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.writes.waiting);
            self.on_commands(waiting.into_iter().map(Command::Write)).await?;
        }
        if !self.writes.held.is_empty() && self.writes.next.is_none() && !self.state().is_exact_under_way() {
            let held = std::mem::take(&mut self.writes.held);
            self.on_commands(held).await?;
        }
        Ok(())
    }
}

/// A part of the committed document.
fn read(state: &mut State, theirs: Option<&StateVector>) -> Result<bytes::Bytes, ReadError> {
    match theirs {
        None => Ok(state.everything()),
        Some(theirs) => {
            state.look_at(theirs)?;
            Ok(state.lacking(&theirs.encode())?.into())
        }
    }
}

impl Decided {
    fn tell(self, position: Position) {
        let Self { reply, is_new, has_gap, is_foreign } = self;
        let _ = reply.send(Ok(Written { position, is_new, has_gap, is_foreign })); // the caller may have gone
    }
}

impl From<SubmitError> for WriteError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refusal) => Self::Refused(refusal),
            SubmitError::Generation(error) => Self::Generation(error),
            SubmitError::Record(error) => Self::Record(error.to_string()),
            error @ SubmitError::Contradicts(_) => Self::Contradicts(error.to_string()),
            SubmitError::Broken(reason) => Self::Broken(reason),
            error @ (SubmitError::NotNow | SubmitError::TooOften) => Self::Closed(error.to_string()),
        }
    }
}

//! What sessions ask of a room: to come and go, to be brought up to date, to have an edit stored.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::seat::{Outlet, Seat};
use super::super::state::{Submission, SubmitError};
use super::super::{Command, Member, Synced, refusal_close};
use super::{Actor, End};
use crate::gate;
use crate::ids::SessionId;
use crate::limits::INLINE_BYTES_MAX;
use crate::wire::close::{self, Close};

impl Actor {
    pub(super) async fn on_command(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Join { wants_acks, outlet, reply } => self.on_join(wants_acks, outlet, reply),
            Command::Leave { session } => self.on_leave(session),
            Command::Submit(submission) => self.on_submit(submission).await?,
            Command::Sync { state_vector, reply } => {
                let answer = self.on_sync(&state_vector).await?;
                let _ = reply.send(answer); // the session may have gone meanwhile
            }
            Command::CatchUp { covers, reply } => {
                let answer = self.on_catch_up(covers).await?;
                let _ = reply.send(Ok(answer));
            }
            Command::StateVector { reply } => {
                let _ = reply.send(Ok(self.checkpoint()?));
            }
        }
        Ok(())
    }

    fn on_join(
        &mut self,
        wants_acks: bool,
        outlet: Arc<dyn Outlet>,
        reply: oneshot::Sender<Result<Member, String>>,
    ) {
        let session = self.rooms.next_session();
        let seat = Arc::new(Seat::new(session, wants_acks, outlet));
        self.seats.insert(Arc::clone(&seat));
        self.idle_due = None;
        // If nobody waits for the answer any more, the member is dropped, and so leaves.
        let _ = reply.send(Ok(Member { shared: Arc::clone(&self.shared), seat }));
    }

    fn on_leave(&mut self, session: SessionId) {
        self.seats.remove(session);
        if self.seats.is_empty() {
            self.idle_due = Some(Instant::now() + self.rooms.options.idle_unload);
        }
        // The grace after which its presence goes is counted by the beat.
        self.shared.presence_changed.notify_one();
    }

    async fn on_submit(&mut self, submission: Submission) -> Result<(), End> {
        let (session, ordinal, cost) = (submission.session, submission.ordinal, submission.cost);
        // Whoever was refused is off the list: what comes behind the refused update must neither be
        // stored nor acked over it.
        if self.seats.get(session).is_none() {
            self.shared.inflow.add_permits(cost as usize);
            return Ok(());
        }
        let size = submission.update.len();
        let heavy = size > INLINE_BYTES_MAX || self.state().is_nearly_full(size);
        let judged = self.with_state(heavy, move |state| state.submit(&submission)).await?;
        match judged {
            Ok(judged) => {
                self.shared.inflow.add_permits(judged.cost as usize);
                self.rooms.metrics.note_dropped(&judged.dropped);
                let ack = judged.decided_now.then(|| (ordinal, self.state().committed()));
                let wanted = |seat: &&Arc<Seat>| seat.wants_acks && ack.is_some() || judged.dropped.is_gap();
                if let Some(seat) = self.seats.get(session).filter(wanted) {
                    seat.put(|post| {
                        post.ack = ack.or(post.ack);
                        post.gap |= judged.dropped.is_gap();
                    });
                }
            }
            Err(error) => {
                self.shared.inflow.add_permits(cost as usize);
                self.rooms.metrics.updates_refused.inc();
                let close = match &error {
                    SubmitError::Refused(refusal) => refusal_close(*refusal),
                    SubmitError::Record(_) => Close::new(close::TOO_LARGE, error.to_string()),
                };
                if let Some(seat) = self.seats.remove(session) {
                    seat.put(|post| post.close = Some(close));
                }
            }
        }
        Ok(())
    }

    /// Many fall off at the same time, when the network or the machine stalls: those that stand at
    /// the same checkpoint share one diff.
    async fn on_catch_up(&mut self, covers: Bytes) -> Result<Synced, End> {
        self.rooms.metrics.catch_ups.inc();
        if let Some(answer) = self.catch_ups.find(&covers, &self.shared.ring) {
            return Ok(answer);
        }
        self.release().await;
        let theirs = covers.clone();
        let frame = self.with_state(true, move |state| state.catch_up(&theirs)).await??;
        let covered = self.checkpoint()?;
        let answer = Synced { frame, cursor: self.shared.ring.cursor(covered) };
        self.rooms.metrics.catch_up_diffs.inc();
        self.catch_ups.keep(covers, &answer);
        Ok(answer)
    }

    async fn on_sync(&mut self, state_vector: &[u8]) -> Result<Result<Synced, Close>, End> {
        let theirs = match gate::parse_state_vector(state_vector) {
            Ok(theirs) => theirs,
            Err(refusal) => return Ok(Err(refusal_close(refusal))),
        };
        let heavy = self.state().encoded_bytes() > INLINE_BYTES_MAX;
        // The checkpoint must not cover what only a later round shows.
        self.release().await;
        let frame = self.with_state(heavy, move |state| state.step2(&theirs)).await??;
        self.note_size();
        let covers = self.checkpoint()?;
        Ok(Ok(Synced { frame, cursor: self.shared.ring.cursor(covers) }))
    }
}

//! Reveals that were cut off, since the process that made one has ended: another one goes on with it.
//!
//! It is looked for where it may be: on boards that show cards and have hidden them, when they are loaded, and when another
//! instance is heard to reveal. That costs a listing of the board's drafts, so it is done for one board at a time, and for each at most
//! once in a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::RevealError;
use crate::ids::RoomName;
use crate::limits::{DRAFT_COUNTS_MAX, DRAFT_LATE_WAITS_S, REVEALS_FINISHED_MS, REVEALS_OF_OTHERS_MS};
use crate::room::Rooms;

impl Rooms {
    /// A board that has hidden cards is loaded, and shows them.
    pub(in crate::room) fn finish_reveal(self: &Arc<Self>, board: &RoomName) {
        if !self.movers.is_finished(board) {
            self.finish_reveal_in(board, Duration::ZERO);
        }
    }

    /// Another instance has begun to reveal a board: if it has not moved all cards after a while, it never will.
    pub(in crate::room) fn finish_reveal_of_another(self: &Arc<Self>, board: &RoomName) {
        self.finish_reveal_in(board, Duration::from_millis(REVEALS_OF_OTHERS_MS));
    }

    fn finish_reveal_in(self: &Arc<Self>, board: &RoomName, wait: Duration) {
        if !self.movers.finishing.lock().insert(board.clone()) {
            return;
        }
        let (rooms, board) = (Arc::clone(self), board.clone());
        self.tasks.spawn(async move {
            let stop = rooms.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = rooms.look_for_cards(&board, wait) => {}
            }
            rooms.movers.finishing.lock().remove(&board);
        });
    }

    async fn look_for_cards(self: &Arc<Self>, board: &RoomName, wait: Duration) {
        sleep(wait).await;
        for wait_s in DRAFT_LATE_WAITS_S {
            let found = {
                let _one_at_a_time = self.movers.looks.acquire().await.expect("it is never closed");
                self.hidden_cards(board).await
            };
            match found {
                Ok(found) => {
                    self.movers.note_finished(board);
                    if !found.is_empty() {
                        tracing::info!(room = %board.log_id(), "a reveal was cut off: its cards are moved now");
                        self.note_cards(board);
                    }
                    return;
                }
                Err(RevealError::NoRoom | RevealError::NoBoard) => return,
                Err(error) => {
                    tracing::warn!(room = %board.log_id(), %error, "whether cards are left in drafts cannot be told yet");
                    sleep(Duration::from_secs(wait_s)).await;
                }
            }
        }
    }
}

impl super::Movers {
    /// Whether a board's drafts were found empty, or were emptied, here and not long ago.
    fn is_finished(&self, board: &RoomName) -> bool {
        let recent = |at: &Instant| at.elapsed() < Duration::from_millis(REVEALS_FINISHED_MS);
        self.finished.lock().get(board).is_some_and(recent)
    }

    pub(super) fn note_finished(&self, board: &RoomName) {
        let mut finished = self.finished.lock();
        if finished.len() >= DRAFT_COUNTS_MAX {
            finished.clear();
        }
        finished.insert(board.clone(), Instant::now());
    }
}

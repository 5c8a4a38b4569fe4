//! The inbox of a room: what its sessions ask, in order, until the room ends.
//!
//! A channel would do the same, but keeps blocks of slots for as long as it lives: 3 KiB a room, and
//! most rooms are quiet. This one holds what waits and nothing else.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Command;

/// What waits for one room. Many send; the room's task alone takes.
#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    closed: bool,
}

/// The room has ended: what was sent is dropped, and whoever waits for its answer learns that.
pub(super) struct Closed;

impl Inbox {
    /// Puts a command behind all others.
    ///
    /// # Errors
    /// [`Closed`] if nobody will take it.
    pub(super) fn send(&self, command: Command) -> Result<(), Closed> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Closed);
        }
        queue.commands.push_back(command);
        let is_first = queue.commands.len() == 1;
        drop(queue);
        if is_first {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until something is here, then takes it, oldest first, but no more than `count_max`.
    /// Cancel-safe: what is not returned is still here.
    pub(super) async fn take(&self, count_max: usize) -> VecDeque<Command> {
        loop {
            let commands = self.take_now(count_max);
            if !commands.is_empty() {
                return commands;
            }
            self.arrived.notified().await;
        }
    }

    fn take_now(&self, count_max: usize) -> VecDeque<Command> {
        let mut queue = self.queue.lock();
        if queue.commands.len() > count_max {
            queue.commands.drain(..count_max).collect()
        } else {
            std::mem::take(&mut queue.commands)
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.lock().commands.is_empty()
    }

    /// Takes nothing any more; returns what still waits.
    pub(super) fn close(&self) -> VecDeque<Command> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        std::mem::take(&mut queue.commands)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::ids::SessionId;

    fn leave(session: u64) -> Command {
        Command::Leave { session: SessionId(session) }
    }

    fn sessions(commands: VecDeque<Command>) -> Vec<u64> {
        commands
            .iter()
            .map(|command| if let Command::Leave { session } = command { session.0 } else { 0 })
            .collect()
    }

    /// [R3] Commands are taken in order, in turns of bounded length, and nothing is lost in between.
    #[test]
    fn commands_come_in_order_and_in_turns() {
        let inbox = Inbox::default();
        assert!(inbox.take(2).now_or_never().is_none(), "nothing is here");
        for session in 1..=3 {
            assert!(inbox.send(leave(session)).is_ok());
        }
        assert_eq!(inbox.take(2).now_or_never().map(sessions), Some(vec![1, 2]));
        assert!(!inbox.is_empty());
        assert_eq!(inbox.take(2).now_or_never().map(sessions), Some(vec![3]));
        assert!(inbox.is_empty());
    }

    /// [R12] After its end a room takes nothing, and what waited is handed back.
    #[test]
    fn a_closed_inbox_refuses() {
        let inbox = Inbox::default();
        assert!(inbox.send(leave(1)).is_ok());
        assert_eq!(sessions(inbox.close()), [1]);
        assert!(inbox.send(leave(2)).is_err());
        assert!(inbox.take(1).now_or_never().is_none());
    }
}

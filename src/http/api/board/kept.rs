//! Boards that were shown lately, so that many who ask for the same one make it once.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::people::Wrote;
use crate::ids::{Position, RoomName};
use crate::limits::{BOARDS_KEPT_BYTES_MAX, BOARDS_KEPT_MAX};

/// A board as it is in the document of one position.
#[derive(Debug)]
pub(in crate::http::api) struct Board {
    /// The newest record in it.
    pub(super) position: Position,
    /// The members of its JSON object that follow from the document, without the braces.
    pub(super) members: Bytes,
    /// Who had written by then.
    pub(super) wrote: Wrote,
}

/// Boards by room, each of the position that was shown last. The newest come last.
#[derive(Default)]
pub(in crate::http::api) struct Kept(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    boards: Vec<(RoomName, Arc<Board>)>,
    bytes: usize,
}

impl Kept {
    /// The board of a room, if it is kept as of this position.
    pub(super) fn find(&self, room: &RoomName, position: Position) -> Option<Arc<Board>> {
        let inner = self.0.lock();
        let found = inner.boards.iter().rev().find(|(name, _)| name == room);
        found.filter(|(_, board)| board.position == position).map(|(_, board)| Arc::clone(board))
    }

    /// Keeps a board, in place of an older one of its room.
    pub(super) fn keep(&self, room: &RoomName, board: &Arc<Board>) {
        let mut inner = self.0.lock();
        let Inner { boards, bytes } = &mut *inner;
        if let Some(at) = boards.iter().position(|(name, _)| name == room) {
            *bytes -= boards.remove(at).1.bytes();
        }
        if board.bytes() > BOARDS_KEPT_BYTES_MAX / 4 {
            return;
        }
        *bytes += board.bytes();
        boards.push((room.clone(), Arc::clone(board)));
        while *bytes > BOARDS_KEPT_BYTES_MAX || boards.len() > BOARDS_KEPT_MAX {
            *bytes -= boards.remove(0).1.bytes();
        }
    }
}

impl Board {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        const EACH: usize = 64;
        self.members.len() + self.wrote.keys().map(|user| user.len() + EACH).sum::<usize>() + EACH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(seq: u64, len: usize) -> Arc<Board> {
        let position = Position { seq, ms: 1 };
        Arc::new(Board { position, members: vec![b' '; len].into(), wrote: Wrote::default() })
    }

    /// [B40] A board is found at its position only; the newest of a room is kept, and all together stay within bounds.
    #[test]
    fn what_is_kept_is_of_its_position_and_bounded() {
        let kept = Kept::default();
        let room = |name: &str| RoomName::parse(name).unwrap();
        kept.keep(&room("a"), &board(1, 10));
        assert!(kept.find(&room("a"), Position { seq: 1, ms: 1 }).is_some());
        assert!(kept.find(&room("a"), Position { seq: 2, ms: 1 }).is_none());
        assert!(kept.find(&room("b"), Position { seq: 1, ms: 1 }).is_none());
        kept.keep(&room("a"), &board(2, 10));
        assert!(kept.find(&room("a"), Position { seq: 1, ms: 1 }).is_none());
        assert!(kept.find(&room("a"), Position { seq: 2, ms: 1 }).is_some());
        kept.keep(&room("a"), &board(3, BOARDS_KEPT_BYTES_MAX));
        assert!(kept.0.lock().boards.is_empty() && kept.0.lock().bytes == 0, "too large");
        for n in 0..1_000 {
            kept.keep(&room(&format!("r{n}")), &board(1, 1 << 20));
        }
        let inner = kept.0.lock();
        println!("{} boards, {} bytes", inner.boards.len(), inner.bytes);
        assert!(inner.bytes <= BOARDS_KEPT_BYTES_MAX && inner.boards.len() >= 30);
        assert_eq!(inner.bytes, inner.boards.iter().map(|(_, board)| board.bytes()).sum::<usize>());
    }
}

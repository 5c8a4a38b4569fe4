//! Diffs for sessions that fell off the ring, shared by those that stand at the same checkpoint.
//!
//! A diff that was made a moment ago still serves: whoever gets it goes on in the ring where it
//! ends. So a crowd that falls off together costs one diff, also while edits go on.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Synced;
use super::ring::Ring;
use crate::limits::CATCH_UP_ANSWERS_MAX;

/// The newest diffs of one room, oldest first.
#[derive(Default)]
pub(super) struct CatchUps(VecDeque<Answer>);

struct Answer {
    /// What the sessions that it is for cover.
    covers: Bytes,
    synced: Synced,
}

impl CatchUps {
    /// A diff for a session that covers `covers`, if one is here whose end is still well within the
    /// ring.
    pub(super) fn find(&self, covers: &Bytes, ring: &Ring) -> Option<Synced> {
        let answer = self.0.iter().rev().find(|answer| answer.covers == covers)?;
        ring.is_near(answer.synced.cursor.next).then(|| answer.synced.clone())
    }

    /// Keeps a diff, in place of the oldest if there are too many.
    pub(super) fn keep(&mut self, covers: Bytes, synced: &Synced) {
        self.0.retain(|answer| answer.covers != covers);
        if self.0.len() == CATCH_UP_ANSWERS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Answer { covers, synced: synced.clone() });
    }

    /// Lets go of all: a diff may be as large as the document.
    pub(super) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring::Frame;
    use super::*;
    use crate::limits::RING_FRAMES_MAX;
    use crate::wire::voice::SharedFrame;

    fn push(ring: &Ring, count: usize) {
        for _ in 0..count {
            ring.push(Frame { bytes: SharedFrame::new(Bytes::from_static(b"x")), sole_author: None });
        }
    }

    fn synced(ring: &Ring, frame: &'static str) -> Synced {
        Synced { frame: frame.into(), cursor: ring.cursor(Bytes::from_static(b"now")) }
    }

    /// [R21] Those who stand at one checkpoint share a diff, as long as the ring goes on behind it;
    /// a few checkpoints are kept, and none for long.
    #[test]
    fn sessions_at_one_checkpoint_share_a_diff() {
        let (ring, mut catch_ups) = (Ring::new(), CatchUps::default());
        let found = |catch_ups: &CatchUps, covers: &'static str| {
            catch_ups.find(&covers.into(), &ring).map(|synced| synced.frame)
        };
        push(&ring, 10);
        assert_eq!(found(&catch_ups, "a"), None);
        catch_ups.keep("a".into(), &synced(&ring, "diff of a"));
        assert_eq!(found(&catch_ups, "a"), Some("diff of a".into()));
        assert_eq!(found(&catch_ups, "b"), None);
        push(&ring, RING_FRAMES_MAX / 4);
        assert_eq!(found(&catch_ups, "a"), Some("diff of a".into()), "it goes on where the diff ends");
        push(&ring, 1);
        assert_eq!(found(&catch_ups, "a"), None, "who got it would soon fall off again");
        catch_ups.keep("a".into(), &synced(&ring, "newer"));
        assert_eq!(found(&catch_ups, "a"), Some("newer".into()));
        for covers in ["b", "c"] {
            catch_ups.keep(covers.into(), &synced(&ring, covers));
        }
        assert_eq!((found(&catch_ups, "a"), found(&catch_ups, "c")), (None, Some("c".into())));
        catch_ups.clear();
        assert_eq!(found(&catch_ups, "c"), None);
    }
}

//! Reading the records to show: folded where a fold can be begun, else as they are.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{JumpLine, Shown, shown};
use crate::history::{self, OnTrouble, Range, Start, Step, Walk, WalkError};
use crate::ids::RoomName;
use crate::limits::REPLAY_PAGE_RECORDS;
use crate::log::record::StoredRecord;
use crate::log::{Head, Log};
use crate::replay::{ReplayError, open_room};

/// The records of a room in their order, folded where that can be begun.
pub(super) struct Reader<'a> {
    log: &'a Arc<dyn Log>,
    room: &'a RoomName,
    /// The next counter to show.
    next: u64,
    /// The last one; grows when it is followed.
    to: u64,
    follow: bool,
    /// Records that are older than the oldest snapshot can be read, but not folded: no walk yet.
    raw: VecDeque<StoredRecord>,
    raw_until: u64,
    walk: Option<Walk>,
}

impl<'a> Reader<'a> {
    pub(super) async fn new(
        log: &'a Arc<dyn Log>,
        room: &'a RoomName,
        head: &Head,
        from: u64,
        to: u64,
        follow: bool,
    ) -> Result<Self, ReplayError> {
        let oldest = head.snapshots.first().map_or(u64::MAX, |snapshot| snapshot.through.seq);
        let folds_from = if head.base == 0 { 0 } else { oldest };
        let raw_until = folds_from.max(from - 1);
        let mut reader =
            Self { log, room, next: from, to, follow, raw: VecDeque::new(), raw_until, walk: None };
        if raw_until < from {
            reader.begin_walk().await?;
        }
        Ok(reader)
    }

    /// Folds from here on; if no snapshot can be read either, records are shown as they are.
    async fn begin_walk(&mut self) -> Result<(), ReplayError> {
        let range = Range {
            start: Start::Snapshot { at_most: self.next - 1 },
            until: if self.follow { u64::MAX } else { self.to },
            on_trouble: OnTrouble::SetAside,
        };
        match history::walk(self.log, self.room, range).await {
            Ok(walk) => self.walk = walk,
            Err(WalkError::NoSnapshot { .. } | WalkError::Trimmed { .. }) => self.raw_until = u64::MAX,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The next line, or nothing at the end (for now).
    pub(super) async fn next(&mut self) -> Result<Option<Shown>, ReplayError> {
        if self.walk.is_none() && self.next > self.raw_until && self.next <= self.to {
            self.begin_walk().await?;
        }
        if self.walk.is_some() { self.next_folded().await } else { self.next_raw().await }
    }

    async fn next_folded(&mut self) -> Result<Option<Shown>, ReplayError> {
        let Some(walk) = self.walk.as_mut() else { return Ok(None) };
        loop {
            match walk.next().await? {
                None => return Ok(None),
                Some(Step::Snapshot(snapshot, _)) => {
                    let through = snapshot.through.seq;
                    if through >= self.next {
                        let jump = JumpLine {
                            after: self.next - 1,
                            next: through + 1,
                            why: "trimmed while they were read",
                        };
                        self.next = through + 1;
                        return Ok(Some(Shown::Jump(jump)));
                    }
                }
                Some(Step::Record(stored, folded, fold)) => {
                    let seq = stored.position().seq;
                    if seq < self.next {
                        continue;
                    }
                    self.next = seq + 1;
                    let outcome = Some((&folded, fold));
                    return Ok(Some(shown(&stored, outcome)));
                }
            }
        }
    }

    async fn next_raw(&mut self) -> Result<Option<Shown>, ReplayError> {
        if self.next > self.to {
            return Ok(None);
        }
        if self.raw.is_empty() {
            self.raw = self.log.read(self.room, self.next - 1, REPLAY_PAGE_RECORDS).await?.into();
        }
        let Some(seq) = self.raw.front().map(|stored| stored.position().seq) else { return Ok(None) };
        if seq > self.next {
            let jump = JumpLine { after: self.next - 1, next: seq, why: "trimmed while they were read" };
            self.next = seq;
            return Ok(Some(Shown::Jump(jump)));
        }
        self.next = seq + 1;
        Ok(self.raw.pop_front().map(|stored| shown(&stored, None)))
    }

    /// Whether there is more by now.
    pub(super) async fn more(&mut self) -> Result<bool, ReplayError> {
        if let Some(walk) = self.walk.as_mut() {
            return Ok(walk.more().await?);
        }
        self.to = open_room(self.log, self.room).await?.last.seq;
        Ok(self.to >= self.next)
    }
}

//! The one way through a room's history: from a snapshot or from the first record, on to any
//! position. Recovery, compaction and every replay verb are consumers of it.
//!
//! Two ways to take it. [`Walk::to_end`] folds page by page, on the blocking pool, while the next
//! pages are judged and read: for who wants the result. [`Walk::next`] stops at every record: for who wants to
//! look at each.
//!
//! Invariants:
//! - Nothing between the start and the end is skipped unsaid: it is folded, or set aside by name.
//! - A reader that is overtaken by a trim begins again from a newer snapshot; one whose store falls back, from what
//!   is left.

mod pages;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::behind::{Behind, read_behind};
use super::fold::{Broken, Fold, Folded, OnTrouble, SetAside};
use super::start::{self, DamagedSnapshot, Start};
use crate::heavy::heavy;
use crate::ids::{Position, RoomName};
use crate::limits::{INLINE_BYTES_MAX, WALK_TRIES_MAX};
use crate::log::record::StoredRecord;
use crate::log::{Head, Log, LogError, SnapshotRef};

/// Which part of a room's history to walk, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where to begin.
    pub start: Start,
    /// The counter of the last record to fold; above the room's newest it means that one, as it is
    /// when the walk begins.
    pub until: u64,
    /// What to do about records that cannot be folded.
    pub on_trouble: OnTrouble,
}

impl Range {
    /// The whole room by the shortest way: the newest snapshot, then the records behind it.
    pub const TO_HEAD: Self = Self { start: Start::NEWEST, until: u64::MAX, on_trouble: OnTrouble::SetAside };

    /// The room as it was when the record of this counter was the newest, by the shortest way.
    #[must_use]
    pub const fn to(until: u64) -> Self {
        Self { start: Start::Snapshot { at_most: until }, until, on_trouble: OnTrouble::SetAside }
    }

    /// Every record from the first on.
    pub const ALL: Self = Self { start: Start::Genesis, until: u64::MAX, on_trouble: OnTrouble::SetAside };
}

/// Why a walk ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The log cannot be read now, or holds what needs a newer ruang.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The room was there when the walk began, and is not any more.
    #[error("the room was removed while it was read")]
    Gone,
    /// What was asked for is trimmed.
    #[error("the records up to {base} are trimmed, and no snapshot stands at or before record {wanted}")]
    Trimmed {
        /// Records up to this counter are gone.
        base: u64,
        /// The latest counter at which the walk could have begun.
        wanted: u64,
    },
    /// Every snapshot that would do is damaged, and the records that they cover are trimmed.
    #[error(
        "the records up to {base} are trimmed, and none of the {count} snapshots that cover them can be read \
         (the newest: {why}); restore a backup of the store"
    )]
    NoSnapshot {
        /// Records up to this counter are gone.
        base: u64,
        /// How many snapshots were tried.
        count: usize,
        /// What is wrong with the newest.
        why: String,
    },
    /// A snapshot was written by a newer ruang, which says that it must be understood.
    #[error("{0}")]
    Newer(String),
    /// Records were trimmed faster than they could be read, again and again.
    #[error("the room was trimmed {WALK_TRIES_MAX} times while it was read")]
    Overtaken,
    /// A job on the blocking pool has panicked or was cancelled. The walk is of no use.
    #[error("the fold was stopped: {0}")]
    Stopped(String),
}

/// One step of a walk that stops at every record.
pub enum Step<'w> {
    /// The walk stands on a snapshot: the records up to its position came at once. It is the first step
    /// of a walk that begins with one, and comes again if the walk was overtaken by a trim.
    Snapshot(SnapshotRef, &'w Fold),
    /// One record, what became of it, and the room as it is after it.
    Record(StoredRecord, Folded, &'w Fold),
}

/// A walk under way.
pub struct Walk {
    log: Arc<dyn Log>,
    room: RoomName,
    range: Range,
    head: Head,
    /// The last counter to fold: of the range, or of the head.
    until: u64,
    /// Away only while a job on the blocking pool has it; lost if that panics.
    fold: Option<Box<Fold>>,
    started_at: Option<SnapshotRef>,
    damaged: Vec<DamagedSnapshot>,
    /// Records that break the document, by counter.
    broken: BTreeMap<u64, SetAside>,
    /// Read, but not yet stepped over.
    page: VecDeque<StoredRecord>,
    /// A step for the snapshot is owed.
    announce: bool,
    /// How often the walk had to begin again because of a trim.
    overtaken: u32,
    /// The log has been asked again and says that nothing is trimmed: what is missing is lost.
    holes_are_real: bool,
}

/// Begins a walk. `None`: the room does not exist.
///
/// # Errors
/// [`WalkError`]: the start cannot be had.
pub async fn walk(log: &Arc<dyn Log>, room: &RoomName, range: Range) -> Result<Option<Walk>, WalkError> {
    let Some(head) = log.open(room).await? else { return Ok(None) };
    let mut walk = Walk {
        log: Arc::clone(log),
        room: room.clone(),
        range,
        until: range.until.min(head.last.seq),
        head,
        fold: None,
        started_at: None,
        damaged: Vec::new(),
        broken: BTreeMap::new(),
        page: VecDeque::new(),
        announce: false,
        overtaken: 0,
        holes_are_real: false,
    };
    walk.begin().await?;
    Ok(Some(walk))
}

impl Walk {
    /// The room as the log knew it when the walk began (again).
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The snapshot that the walk began with; `None`: with the first record.
    #[must_use]
    pub fn started_at(&self) -> Option<&SnapshotRef> {
        self.started_at.as_ref()
    }

    /// Snapshots that were to be the start and cannot be read.
    #[must_use]
    pub fn damaged_snapshots(&self) -> &[DamagedSnapshot] {
        &self.damaged
    }

    /// The room as far as the walk has come.
    ///
    /// # Errors
    /// [`WalkError::Stopped`] if the walk is of no use any more.
    pub fn fold(&self) -> Result<&Fold, WalkError> {
        self.fold.as_deref().ok_or_else(lost)
    }

    /// The room at the end of the walk.
    ///
    /// # Errors
    /// As [`Walk::fold`].
    pub fn into_fold(self) -> Result<Fold, WalkError> {
        self.fold.map(|fold| *fold).ok_or_else(lost)
    }

    /// Folds all that is left, in pages, or up to where the fold stops.
    ///
    /// # Errors
    /// [`WalkError`]; the walk is of no use then.
    pub async fn to_end(&mut self) -> Result<(), WalkError> {
        self.page.clear();
        self.announce = false;
        self.advance(self.until).await
    }

    /// The next step; `None` at the end, or where the fold stops.
    ///
    /// # Errors
    /// [`WalkError`]; the walk is of no use then.
    pub async fn next(&mut self) -> Result<Option<Step<'_>>, WalkError> {
        loop {
            if std::mem::take(&mut self.announce)
                && let Some(snapshot) = self.started_at
            {
                return Ok(Some(Step::Snapshot(snapshot, self.fold()?)));
            }
            let overtaken = self.overtaken;
            let Some(stored) = self.next_record().await? else {
                if self.overtaken > overtaken {
                    continue; // from the snapshot, or from the first record
                }
                return Ok(None);
            };
            let folded = self.fold_one(&stored).await?;
            let fold = self.fold()?;
            return Ok(folded.map(|folded| Step::Record(stored, folded, fold)));
        }
    }

    /// Asks the log again, at the end of a walk: true if its range goes on. For who follows a room.
    ///
    /// # Errors
    /// [`WalkError::Gone`] also if another life of the room has begun.
    pub async fn more(&mut self) -> Result<bool, WalkError> {
        let last = self.fold()?.last().seq;
        let head = self.log.open(&self.room).await?.ok_or(WalkError::Gone)?;
        if head.last.seq < last || head.bytes < self.head.bytes {
            return Err(WalkError::Gone);
        }
        self.until = self.range.until.min(head.last.seq);
        self.head = head;
        Ok(self.until > last)
    }

    /// The next record to step over; `None` at the end, and when the walk had to begin again.
    async fn next_record(&mut self) -> Result<Option<StoredRecord>, WalkError> {
        let last = self.fold()?.last();
        if last.seq >= self.until || self.fold()?.stopped().is_some() {
            return Ok(None);
        }
        let is_next = |stored: &StoredRecord| stored.position().seq == last.seq + 1;
        if !self.page.front().is_some_and(is_next) {
            self.page.clear();
            match read_behind(&self.log, &self.room, self.head.epoch, last).await? {
                Behind::Page(page) => self.page = page.into(),
                Behind::Forked(head) => {
                    self.head = *head;
                    self.begin_again().await?;
                    return Ok(None);
                }
            }
        }
        if self.page.front().is_some_and(is_next) {
            return Ok(self.page.pop_front());
        }
        let next = self.page.front().map(StoredRecord::position);
        self.page.clear();
        if self.overtaken_at(last).await? {
            return Ok(None);
        }
        // It is lost in the store: said as a record that is not there.
        let position = Position { seq: last.seq + 1, ms: next.map_or(last.ms, |next| next.ms) };
        Ok(Some(StoredRecord::Damaged { position, why: "it is missing".to_owned() }))
    }

    async fn fold_one(&mut self, stored: &StoredRecord) -> Result<Option<Folded>, WalkError> {
        let seq = stored.position().seq;
        let heavy =
            matches!(stored, StoredRecord::Intact { record, .. } if record.encoded.len() > INLINE_BYTES_MAX);
        let folded = if heavy {
            let stored = stored.clone();
            self.with_fold(move |fold| fold.one(&stored)).await?
        } else {
            self.fold.as_mut().ok_or_else(lost)?.one(stored)
        };
        let Err(Broken(record)) = folded else { return Ok(folded.ok().flatten()) };
        // The document is gone: everything before once more, then past this one.
        self.broken.insert(seq, record.clone());
        self.begin().await?;
        self.advance(seq).await?;
        // Unless a trim has come in between: then a newer snapshot is to be told.
        self.announce &= self.fold()?.last().seq > seq;
        Ok(self.fold()?.stopped().is_none().then_some(Folded::SetAside(record)))
    }

    /// Something is missing after `last`. True if it was trimmed, if the store has fallen back behind where the walk was to end,
    /// or if it has lost the log and somebody has brought it back: the walk has begun again then.
    async fn overtaken_at(&mut self, last: Position) -> Result<bool, WalkError> {
        let epoch = self.head.epoch;
        self.head = self.log.open(&self.room).await?.ok_or(WalkError::Gone)?;
        let same = self.head.epoch == epoch;
        if same && self.head.base <= last.seq && self.head.last.seq >= self.until {
            return Ok(false);
        }
        self.begin_again().await?;
        Ok(true)
    }

    /// After a look at the head: what it says is there is walked from the start of the range.
    async fn begin_again(&mut self) -> Result<(), WalkError> {
        self.overtaken += 1;
        if self.overtaken >= WALK_TRIES_MAX {
            return Err(WalkError::Overtaken);
        }
        self.until = self.range.until.min(self.head.last.seq);
        self.begin().await
    }

    /// Stands at the start of the range.
    async fn begin(&mut self) -> Result<(), WalkError> {
        let begun =
            start::begin(&self.log, &self.room, &mut self.head, self.range, &mut self.damaged).await?;
        (self.started_at, self.fold) = (begun.snapshot, Some(Box::new(begun.fold)));
        self.announce = self.started_at.is_some();
        Ok(())
    }

    /// Runs a job on the fold, on the blocking pool.
    async fn with_fold<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Fold) -> T + Send + 'static,
    ) -> Result<T, WalkError> {
        let mut fold = self.fold.take().ok_or_else(lost)?;
        let job = heavy(move || {
            let result = work(&mut fold);
            (fold, result)
        });
        let (fold, result) = job.await.map_err(|error| WalkError::Stopped(error.to_string()))?;
        self.fold = Some(fold);
        Ok(result)
    }
}

fn lost() -> WalkError {
    WalkError::Stopped("an earlier step has failed".to_owned())
}

//! A group of appends before it is written: positions and answers are decided here, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::frame::{Entry, FrameBuilder};
use super::life;
use super::overlay::Layer;
use super::reads::{Looked, Reads};
use super::rooms::RoomMeta;
use super::store::Failure;
use crate::ids::RoomName;
use crate::log::check::{ONE_WRITES, check_expects};
use crate::log::record::StoredRecord;
use crate::log::{Appended, Batch, Expects, LogError};

/// See the module. Nothing of it is seen by readers before the frame is synced.
pub(super) struct Stage<'a> {
    reads: &'a Reads,
    /// Taken before anything is looked up: a layer that is moved meanwhile still tells what it had.
    frozen: Vec<Arc<Layer>>,
    now_ms: u64,
    rooms: HashMap<RoomName, StagedRoom>,
    staged: Staged,
}

struct StagedRoom {
    meta: RoomMeta,
    /// It is on the disk, or a batch of this group creates it.
    exists: bool,
    /// What such a batch created it with.
    genesis: Option<StoredRecord>,
}

/// What is to be written, and shown afterwards.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) frame: FrameBuilder,
    pub(super) entries: Vec<Entry>,
    /// Of each room in it, before this group.
    pub(super) metas: HashMap<RoomName, RoomMeta>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(reads: &'a Reads, now_ms: u64) -> Self {
        let frozen = reads.overlay.frozen();
        Self { reads, frozen, now_ms, rooms: HashMap::new(), staged: Staged::default() }
    }

    /// Places one batch, or answers it again.
    ///
    /// # Errors
    /// The outer error is the disk's, and ends the group; damage concerns this batch.
    pub(super) fn take(
        &mut self,
        room: &RoomName,
        batch: &Batch,
    ) -> Result<Result<Appended, LogError>, Failure> {
        if !self.rooms.contains_key(room) {
            match self.look_up(room)? {
                Ok(found) => self.rooms.insert(room.clone(), found),
                Err(error) => return Ok(Err(error)),
            };
        }
        let staged = self.rooms.get_mut(room).expect("it was put there");
        let genesis = staged.genesis.clone().map(Ok);
        let reads = self.reads;
        let record = |seq: u64| match genesis {
            Some(genesis) => Ok(Some(genesis)),
            None => settled(reads.record(room, seq)).map(Result::transpose),
        };
        if let Some(answer) = staged.meta.answer_again(batch, record)? {
            return Ok(answer);
        }
        // Other batches do not ask for it. The journal knows no deletions: each settles it first.
        let deleted = if matches!(batch.expects, Expects::At(_)) {
            match settled(reads.store.reading(|transaction| life::has_tombstone(transaction, room)))? {
                Ok(deleted) => deleted,
                Err(error) => return Ok(Err(error)),
            }
        } else {
            false
        };
        if let Err(moved) = check_expects(batch, staged.meta.seen(), deleted, ONE_WRITES) {
            return Ok(Err(moved));
        }
        if !self.staged.metas.contains_key(room) {
            self.staged.metas.insert(room.clone(), staged.meta.clone());
        }
        let creates = !staged.exists;
        let first = staged.meta.last.seq + 1;
        let appended = staged.meta.place(batch, creates, self.now_ms);
        staged.exists = true;
        if creates {
            staged.genesis.clone_from(&appended.created);
        }
        let mut entry = Entry {
            room: room.clone(),
            instance: batch.instance,
            number: batch.number,
            first,
            ms: appended.last.ms,
            deadline_ms: staged.meta.deadline_ms,
            created: creates,
            records: Vec::new(),
        };
        let genesis = creates.then_some(&batch.genesis);
        self.staged.frame.push(&mut entry, genesis.into_iter().chain(&batch.records));
        self.staged.entries.push(entry);
        Ok(Ok(appended))
    }

    pub(super) fn finish(self) -> Staged {
        self.staged
    }

    fn look_up(&self, room: &RoomName) -> Result<Result<StagedRoom, LogError>, Failure> {
        let known = self.reads.overlay.active_meta(room);
        let known = known.or_else(|| self.frozen.iter().rev().find_map(|layer| layer.meta(room).cloned()));
        let stored = match known {
            Some(meta) => Ok(Some(meta)),
            None => settled(self.reads.meta(room))?,
        };
        Ok(stored.map(|meta| StagedRoom {
            exists: meta.is_some(),
            meta: meta.unwrap_or_else(|| RoomMeta::new(0)), // its number is given when it is moved
            genesis: None,
        }))
    }
}

/// Damage belongs to the room that was looked at; everything else ends the group.
fn settled<T>(looked: Looked<T>) -> Result<Result<T, LogError>, Failure> {
    match looked {
        Ok(answer) => Ok(answer),
        Err((damage @ Failure::Damage(_), _)) => Ok(Err(damage.into_log_error())),
        Err((failure, _)) => Err(failure),
    }
}

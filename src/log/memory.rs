//! A log in the memory of this process: the store `memory:`, and what tests run on.
//!
//! Everything of the contract holds but survival. Faults are injected through [`Faults`]: without
//! one the log never fails.

mod bus;
mod faults;
mod room;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::bus::{Follower, Seen, Whisper};
use super::check::{check_batch, check_expects};
use super::notes::{Note, Notes};
use super::record::StoredRecord;
use super::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};
use crate::clock::{Clock, system_clock};
use crate::ids::{InstanceId, Position, RoomName};
pub use bus::Fate;
use bus::SharedBus;
pub use faults::{Damage, Faults, Held};
use room::Room;

/// See the module.
pub struct MemoryLog {
    rooms: Arc<Mutex<Rooms>>,
    faults: Faults,
    clock: Clock,
}

/// Everything stored.
#[derive(Default)]
struct Rooms {
    /// Ordered, since [`Log::rooms`] pages through the names.
    by_name: BTreeMap<RoomName, Room>,
    /// What deletions have left. They outlive the rooms.
    tombstones: HashMap<RoomName, Tombstone>,
    notes: Notes,
    bus: SharedBus,
    /// Set by [`Log::close`]; later calls fail.
    closed: bool,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::with_faults().0
    }

    /// An empty log, and the handle that makes it misbehave.
    #[must_use]
    pub fn with_faults() -> (Self, Faults) {
        Self::with_clock(system_clock())
    }

    /// The same with a clock of one's own.
    #[must_use]
    pub fn with_clock(clock: Clock) -> (Self, Faults) {
        Self::made(clock, None)
    }

    /// The same for several instances in this process: each hears what the others store.
    #[must_use]
    pub fn for_instances(clock: Clock) -> (Self, Faults) {
        Self::made(clock, Some(Arc::default()))
    }

    fn made(clock: Clock, bus: SharedBus) -> (Self, Faults) {
        let rooms = Arc::new(Mutex::new(Rooms { bus, ..Rooms::default() }));
        let faults = Faults::new(Arc::downgrade(&rooms));
        (Self { rooms, faults: faults.clone(), clock }, faults)
    }

    /// Runs a change that is no append: whatever of snapshots and room life.
    async fn changing<T>(
        &self,
        change: impl FnOnce(&mut Rooms, u64) -> Result<T, LogError> + Send,
    ) -> Result<T, LogError> {
        let fault = self.faults.before_change().await?;
        let now_ms = (self.clock)();
        let changed = {
            let mut rooms = self.rooms.lock();
            rooms.check_open()?;
            change(&mut rooms, now_ms)
        };
        if fault.lose_reply { Err(LogError::Unknown("the reply was lost".to_owned())) } else { changed }
    }

    fn reading<T>(&self, look: impl FnOnce(&Rooms) -> Result<T, LogError>) -> Result<T, LogError> {
        let rooms = self.rooms.lock();
        rooms.check_open()?;
        look(&rooms)
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        check_batch(&batch)?;
        let fault = self.faults.before_append().await;
        if let Some(error) = fault.refuse {
            return Err(error);
        }
        let now = (self.clock)();
        let mut answer = self.rooms.lock().append(room, &batch, now);
        if fault.duplicate {
            answer = self.rooms.lock().append(room, &batch, now);
        }
        self.faults.before_reply().await;
        if fault.lose_reply { Err(LogError::Unknown("the reply was lost".to_owned())) } else { answer }
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        self.faults.before_read(Some(room)).await?;
        self.reading(|rooms| Ok(rooms.by_name.get(room).map(Room::head)))
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        self.faults.before_read(Some(room)).await?;
        self.reading(|rooms| {
            rooms.by_name.get(room).map_or(Ok(Vec::new()), |room| room.read(after, count_max))
        })
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        self.faults.before_read(None).await?;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.reading(|rooms| {
            let above = rooms.by_name.range::<RoomName, _>((after, Bound::Unbounded));
            Ok(above.take(count_max).map(|(name, _)| name.clone()).collect())
        })
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        self.changing(|rooms, now_ms| rooms.present(room)?.put_chunk(upload, index, bytes, now_ms)).await
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        self.faults.before_read(Some(room)).await?;
        let now_ms = (self.clock)();
        self.reading(|rooms| Ok(rooms.by_name.get(room).and_then(|room| room.chunk(upload, index, now_ms))))
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        self.changing(|rooms, now_ms| rooms.present(room)?.adopt(&adoption, now_ms)).await
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        self.changing(|rooms, _| Ok(rooms.by_name.get_mut(room).map_or(0, |room| room.trim(through)))).await
    }

    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        self.changing(|rooms, now_ms| {
            if let Some(room) = rooms.by_name.get_mut(room) {
                room.touch(ttl_ms, now_ms);
            }
            Ok(())
        })
        .await
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        self.changing(|rooms, _| {
            let room = rooms.by_name.get_mut(room);
            Ok(room.map(|room| room.frozen = frozen).is_some())
        })
        .await
    }

    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        self.changing(|rooms, now_ms| {
            let due = rooms.by_name.get(room).is_some_and(|room| room.is_due(deadline_ms, now_ms));
            if due {
                rooms.by_name.remove(room);
            }
            Ok(due)
        })
        .await
    }

    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        self.changing(|rooms, now_ms| {
            let removed = rooms.by_name.remove(room);
            let last_ms = removed.as_ref().map_or(0, |room| room.seen().last.ms);
            rooms.tombstones.insert(room.clone(), Tombstone { deleted_ms: now_ms.max(last_ms) });
            Ok(removed.is_some())
        })
        .await
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        self.faults.before_read(Some(room)).await?;
        self.reading(|rooms| Ok(rooms.tombstones.get(room).copied()))
    }

    async fn follow(&self, room: &RoomName) -> Result<Follower, LogError> {
        self.faults.before_read(Some(room)).await?;
        self.reading(|rooms| Ok(rooms.bus.as_ref().map_or_else(Follower::silent, |bus| bus.follow(room))))
    }

    fn whisper(&self, room: &RoomName, from: InstanceId, whisper: Whisper) {
        if let Some(bus) = &self.rooms.lock().bus {
            bus.whisper(room, from, whisper);
        }
    }

    async fn put_notes(&self, notes: Vec<Note>) -> Result<(), LogError> {
        // Notes end by the clock of those who read them.
        self.changing(|rooms, _| rooms.notes.put(notes, system_clock()()).1).await
    }

    async fn notes(&self) -> Result<Vec<Note>, LogError> {
        self.faults.before_read(None).await?;
        self.reading(|rooms| Ok(rooms.notes.all(system_clock()())))
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    async fn health(&self) -> Result<(), LogError> {
        self.reading(|_| Ok(()))
    }

    async fn close(&self) {
        self.rooms.lock().closed = true;
    }
}

impl Rooms {
    fn check_open(&self) -> Result<(), LogError> {
        if self.closed { Err(LogError::Fatal("the log is closed".to_owned())) } else { Ok(()) }
    }

    /// Tells every follower that is behind, or ahead, to look.
    fn check_heads(&self) {
        if let Some(bus) = &self.bus {
            bus.check(|room| self.by_name.get(room).map_or(Seen::default(), Room::seen));
        }
    }

    /// The room, for what can only be done to one that exists.
    fn present(&mut self, name: &RoomName) -> Result<&mut Room, LogError> {
        self.by_name.get_mut(name).ok_or_else(|| LogError::Moved("it does not exist".to_owned()))
    }

    fn append(&mut self, name: &RoomName, batch: &Batch, now_ms: u64) -> Result<Appended, LogError> {
        self.check_open()?;
        let known = self.by_name.get(name);
        if let Some(room) = known
            && let Some(answer) = room.answer_again(batch)?
        {
            return Ok(answer);
        }
        let head = known.map_or(Seen::default(), Room::seen);
        let stands = |seen: Position| known.is_some_and(|room| room.position(seen.seq) == Some(seen));
        check_expects(batch, head, self.tombstones.contains_key(name), stands)?;
        let room = self.by_name.entry(name.clone()).or_default();
        let appended = room.append(batch, self.bus.is_some(), now_ms);
        if let Some(bus) = &self.bus {
            bus.tell_stored(name, || room.stored(batch, head.last, &appended));
        }
        Ok(appended)
    }
}

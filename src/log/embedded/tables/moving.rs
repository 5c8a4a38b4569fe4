//! The side of the tables that the journal needs: what was moved, and putting a room's records in.

use redb::{Error as RedbError, ReadTransaction, ReadableTable};

use super::{COUNTERS, NO_NUMBERS, RoomMeta, Tables};
use crate::ids::{Position, RoomName};
use crate::log::LogError;

const MOVED: &str = "journal";
const MOVED_CHECK: &str = "journal-check";

/// What the database says it has of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log::embedded) enum Moved {
    /// Nothing was ever moved: a store of format 1, or a new one.
    Never,
    /// All frames up to this one.
    Through(u64),
    /// The number and its checksum do not agree.
    Damaged,
}

/// A room that could not be moved, and why: the rest of the journal may be.
pub(in crate::log::embedded) type RoomDamage = LogError;

/// The newest frame that was moved.
pub(in crate::log::embedded) fn moved(transaction: &ReadTransaction) -> Result<Moved, RedbError> {
    moved_in(&transaction.open_table(COUNTERS)?)
}

fn moved_in(counters: &impl ReadableTable<&'static str, u64>) -> Result<Moved, RedbError> {
    let value = |key| Ok::<_, RedbError>(counters.get(key)?.map(|value| value.value()));
    Ok(match (value(MOVED)?, value(MOVED_CHECK)?) {
        (None, None) => Moved::Never,
        (Some(through), Some(check)) if check == check_of(through) => Moved::Through(through),
        _ => Moved::Damaged,
    })
}

fn check_of(through: u64) -> u64 {
    u64::from(crc32c::crc32c(&through.to_le_bytes()))
}

impl Tables<'_> {
    pub(in crate::log::embedded) fn moved(&self) -> Result<Moved, RedbError> {
        moved_in(&self.counters)
    }

    pub(in crate::log::embedded) fn set_moved(&mut self, through: u64) -> Result<(), RedbError> {
        self.counters.insert(MOVED, through)?;
        self.counters.insert(MOVED_CHECK, check_of(through))?;
        Ok(())
    }

    /// Puts records behind what the room has, and takes over what is known of the room with them. What
    /// it has already is left alone.
    pub(in crate::log::embedded) fn put<'a>(
        &mut self,
        room: &RoomName,
        newest: &RoomMeta,
        records: impl Iterator<Item = (Position, &'a [u8])>,
    ) -> Result<Result<(), RoomDamage>, RedbError> {
        let found = self.rooms.get(room.as_str())?.map(|meta| RoomMeta::decode(room, meta.value()));
        let mut meta = match found {
            Some(Err(why)) => return Ok(Err(why)),
            Some(Ok(meta)) => meta,
            None => match self.next_room_number()? {
                Some(number) => RoomMeta::new(number),
                None => return Ok(Err(LogError::Fatal(NO_NUMBERS.to_owned()))),
            },
        };
        if meta.last.seq >= newest.last.seq {
            return Ok(Ok(()));
        }
        for (position, record) in records.filter(|(position, _)| position.seq > meta.last.seq) {
            self.insert(meta.number, position, record)?;
        }
        // Everything else in it is what the journal's was made from: changes come when all is moved.
        meta.take_over(newest);
        self.rooms.insert(room.as_str(), meta.encode(room).as_slice())?;
        Ok(Ok(()))
    }
}

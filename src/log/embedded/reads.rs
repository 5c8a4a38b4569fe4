//! Reading: the database and what the journal has before it, as one log.

use std::sync::Arc;

use bytes::Bytes;
use redb::{Error as RedbError, ReadTransaction};

use super::overlay::{Overlay, View};
use super::page::Page;
use super::rooms::RoomMeta;
use super::store::{Failure, Store};
use super::tables::{self, Moved};
use crate::ids::{Position, RoomName};
use crate::log::check::judge;
use crate::log::record::StoredRecord;
use crate::log::{Head, LogError};

/// An answer, or a failure with the opening of the database that it happened in.
pub(super) type Looked<T> = Result<Result<T, LogError>, (Failure, u64)>;

/// See the module. Every call waits for the disk.
#[derive(Clone)]
pub(super) struct Reads {
    pub(super) store: Arc<Store>,
    pub(super) overlay: Arc<Overlay>,
}

impl Reads {
    /// A room as the contract shows it.
    pub(super) fn open(&self, room: &RoomName) -> Looked<Option<Head>> {
        let view = || {
            let View { head, clears, .. } = self.overlay.room(room, 0, 0);
            (head, clears)
        };
        self.looking(view, |head, transaction| match head {
            Some(head) => Ok(Ok(Some(head.clone()))),
            None => {
                let meta = tables::counted_meta(transaction, room)?;
                Ok(meta.map(|meta| meta.map(|meta| meta.head(meta.bytes.unwrap_or_default()))))
            }
        })
    }

    /// Up to `count_max` records of a room above the counter `after`, and above what is trimmed.
    pub(super) fn read(&self, room: &RoomName, after: u64, count_max: usize) -> Looked<Vec<StoredRecord>> {
        let view = || {
            let View { records, clears, .. } = self.overlay.room(room, after, count_max);
            (records, clears)
        };
        self.looking(view, |newer, transaction| {
            // Trims are made when all is moved: the database knows the newest.
            let (stored, base) = match tables::room_meta(transaction, room)? {
                Ok(meta) => meta.map_or((0, 0), |meta| (meta.last.seq, meta.base)),
                Err(error) => return Ok(Err(error)),
            };
            let after = after.max(base);
            let read = tables::read(transaction, room, after, count_max)?;
            Ok(read.and_then(|page| go_on(page, newer, stored, after, count_max)))
        })
    }

    /// One record by its counter, also the first one of a room that is trimmed.
    pub(super) fn record(&self, room: &RoomName, seq: u64) -> Looked<Option<StoredRecord>> {
        let view = || {
            let View { records, clears, .. } = self.overlay.room(room, seq.saturating_sub(1), 1);
            (records.into_iter().find(|(position, _)| position.seq == seq), clears)
        };
        self.looking(view, |newer, transaction| match newer {
            Some((position, record)) => Ok(judge(*position, Bytes::copy_from_slice(record)).map(Some)),
            None => tables::record(transaction, room, seq),
        })
    }

    /// Names of up to `count_max` rooms above `after`.
    pub(super) fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Looked<Vec<RoomName>> {
        let view = || self.overlay.names(after, count_max);
        self.looking(view, |newer, transaction| {
            let names = tables::room_names(transaction, after, count_max)?;
            Ok(names.map(|names| {
                if newer.is_empty() {
                    return names;
                }
                let mut all = newer.clone();
                all.extend(names);
                all.into_iter().take(count_max).collect()
            }))
        })
    }

    /// A room's entry in the database, its bytes counted.
    pub(super) fn meta(&self, room: &RoomName) -> Looked<Option<RoomMeta>> {
        self.store.reading(|transaction| tables::counted_meta(transaction, room))
    }

    /// What the database has of the journal.
    pub(super) fn moved(&self) -> Result<Moved, Failure> {
        let looked = self.store.reading(|transaction| Ok(Ok(tables::moved(transaction)?)));
        match looked {
            Ok(Ok(moved)) => Ok(moved),
            Ok(Err(error)) => Err(Failure::Disk(error.to_string())),
            Err((failure, _)) => Err(failure),
        }
    }

    /// Looks at the database with a view that was taken before and is not older than the last time
    /// that layers of the overlay went away.
    fn looking<V, T>(
        &self,
        view: impl Fn() -> (V, u64),
        look: impl Fn(&V, &ReadTransaction) -> Result<Result<T, LogError>, RedbError>,
    ) -> Looked<T> {
        loop {
            let (view, clears) = view();
            let looked = self.store.reading(|transaction| {
                if self.overlay.clears() != clears {
                    return Ok(Ok(None));
                }
                Ok(look(&view, transaction)?.map(Some))
            })?;
            match looked {
                Ok(Some(answer)) => return Ok(Ok(answer)),
                Ok(None) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// Continues with what the overlay has above `stored`, the newest counter of the database.
fn go_on(
    mut page: Page,
    newer: &[(Position, Bytes)],
    stored: u64,
    after: u64,
    count_max: usize,
) -> Result<Vec<StoredRecord>, LogError> {
    let reached = page.last_seq().unwrap_or(after);
    if reached >= stored {
        for (position, record) in newer.iter().filter(|(position, _)| position.seq > reached) {
            if page.len() >= count_max || page.is_full() {
                break;
            }
            // A copy: what is read must not keep a whole file of the journal in memory.
            page.push(*position, record);
        }
    }
    page.judge()
}

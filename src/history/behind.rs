//! The next page of a walk, in the log that the walk began in.

use std::sync::Arc;

use super::walk::WalkError;
use crate::ids::{Position, RoomName};
use crate::limits::LOAD_PAGE_RECORDS;
use crate::log::bus::Epoch;
use crate::log::record::StoredRecord;
use crate::log::{Head, Log};

/// What was read behind a record.
pub(super) enum Behind {
    Page(Vec<StoredRecord>),
    /// The store has fallen back behind that record, and others may have written on: this is the head of their log.
    Forked(Box<Head>),
}

/// Reads the page behind `last`. In a store that may lose something (`epoch`) it is read from `last` on: only a page that
/// begins with that record goes on from it. If that is trimmed, the snapshot that covers it is looked for, which would be lost
/// with it. What is looked at after the page was read was so before.
pub(super) async fn read_behind(
    log: &Arc<dyn Log>,
    room: &RoomName,
    epoch: Epoch,
    last: Position,
) -> Result<Behind, WalkError> {
    if epoch == Epoch::NONE || last == Position::START {
        return Ok(Behind::Page(log.read(room, last.seq, LOAD_PAGE_RECORDS).await?));
    }
    let mut page = log.read(room, last.seq - 1, LOAD_PAGE_RECORDS + 1).await?;
    let mut stands = stands(&page, last);
    if stands == Some(true) {
        page.remove(0);
        if page.is_empty() {
            // It has as many bytes as a page may have.
            page = log.read(room, last.seq, LOAD_PAGE_RECORDS).await?;
            stands = self::stands(&log.read(room, last.seq - 1, 1).await?, last);
        }
    }
    if stands == Some(true) {
        return Ok(Behind::Page(page));
    }
    let head = log.open(room).await?.ok_or(WalkError::Gone)?;
    let is_trimmed = head.base >= last.seq && head.snapshots.iter().any(|snapshot| snapshot.through == last);
    // A record that is missing before the end is damage.
    let is_missing = head.base < last.seq && last.seq <= head.last.seq;
    let goes_on = stands.is_none() && (is_trimmed || is_missing);
    Ok(if goes_on { Behind::Page(page) } else { Behind::Forked(Box::new(head)) })
}

/// Whether `last` is what records begin with that were read from its counter on; nothing if none has that counter.
fn stands(records: &[StoredRecord], last: Position) -> Option<bool> {
    let stored = records.first().filter(|stored| stored.position().seq == last.seq)?;
    Some(match stored {
        StoredRecord::Intact { position, .. } => *position == last,
        StoredRecord::Damaged { .. } => true, // nobody knows its time
    })
}

//! What kind a room is of, as its history tells it.

use super::snapshot::peek_kind;
use crate::ids::RoomName;
use crate::kind::RoomKind;
use crate::log::record::{Kind, StoredRecord};
use crate::log::{Head, Log, LogError};

/// What is known of a room's kind. The genesis record says it, and a snapshot that knew it. Other records repeat what their
/// writer knew: one that was under way when another instance made the room, or that a ruang without kinds has written, may be
/// wrong. So they count only where nothing better is there, and then one that says `board` is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    Repeated(RoomKind),
    Said(RoomKind),
}

impl Known {
    /// By a snapshot. Version 1 says nothing: a free room, or one of a ruang that knew no kinds.
    pub(super) fn by_snapshot(kind: RoomKind) -> Self {
        match kind {
            RoomKind::Free => Self::Repeated(RoomKind::Free),
            RoomKind::Board => Self::Said(RoomKind::Board),
        }
    }

    /// By the next record as well.
    #[must_use]
    pub(super) fn and(self, of: Kind, kind: RoomKind) -> Self {
        match (self, of) {
            (_, Kind::Genesis) => Self::Said(kind),
            (Self::Said(_) | Self::Repeated(RoomKind::Board), _) => self,
            _ => Self::Repeated(kind),
        }
    }

    pub(super) fn kind(self) -> Option<RoomKind> {
        match self {
            Self::Nothing => None,
            Self::Repeated(kind) | Self::Said(kind) => Some(kind),
        }
    }
}

/// The kind of a room that is in the log, without folding it: from its genesis record, from the newest snapshot, or from the
/// newest record. To be shown: a room that opens looks at all of them. `None`: nothing that says it can be read.
///
/// # Errors
/// [`LogError`].
pub async fn kind_of(log: &dyn Log, room: &RoomName, head: &Head) -> Result<Option<RoomKind>, LogError> {
    if head.base == 0
        && let Some((Kind::Genesis, kind)) = said_by(log, room, 0).await?
    {
        return Ok(Some(kind));
    }
    let mut known = Known::Nothing;
    if let Some(snapshot) = head.snapshots.last()
        && let Some(beginning) = log.chunk(room, snapshot.upload, 0).await?
    {
        known = Known::by_snapshot(peek_kind(&beginning).unwrap_or(RoomKind::Free));
    }
    if known != Known::Said(RoomKind::Board)
        && head.last.seq > head.base
        && let Some((of, kind)) = said_by(log, room, head.last.seq - 1).await?
    {
        known = known.and(of, kind);
    }
    Ok(known.kind())
}

/// What the record behind `after` says.
async fn said_by(log: &dyn Log, room: &RoomName, after: u64) -> Result<Option<(Kind, RoomKind)>, LogError> {
    let records = log.read(room, after, 1).await?;
    let Some(StoredRecord::Intact { record, .. }) = records.first() else { return Ok(None) };
    Ok(record.metadata().ok().map(|metadata| (record.kind(), metadata.room_kind)))
}

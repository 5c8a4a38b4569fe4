//! Records of a board that nobody takes in, since another instance was faster.
//!
//! Two instances may admit two contents under one client id and clock at the same time: each by its own index, and the log
//! has them one after the other. The first has the id. What the second batch has was judged as if its own first content
//! stood there: a block that says only that it stands beside it would land, unjudged, beside the other one. So it is passed
//! over, with what follows it in its batch, by everyone who folds the log. Its instance has shown and acked nothing of it:
//! it has heard of the first one before, and has loaded the room again. Whoever is honest brings it again, and is judged by
//! what is there.
//!
//! Pure.

use crate::gate::{Gate, ParsedUpdate, UnderWay};
use crate::ids::InstanceId;
use crate::log::record::{Kind, Metadata, RoomKind};

/// What is passed over, as the records of a room come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    /// The newest batch of which something was.
    batch: Option<(InstanceId, u64)>,
}

impl Apart {
    /// Whether such a record can be passed over at all: [`Apart::passes`] need not be asked of others.
    pub(crate) fn may_pass(kind: Kind, metadata: &Metadata) -> bool {
        kind != Kind::Genesis && metadata.room_kind == RoomKind::Board
    }

    /// Whether the next record is passed over: what it says is judged by the index of all before it, without
    /// what is under way.
    pub(crate) fn passes(
        &mut self,
        (kind, metadata): (Kind, &Metadata),
        update: &ParsedUpdate<'_>,
        (before, under_way): (&Gate, &UnderWay),
    ) -> bool {
        if !Self::may_pass(kind, metadata) {
            return false;
        }
        let batch = (metadata.instance, metadata.batch);
        if self.batch == Some(batch) {
            return true;
        }
        let is_apart = kind == Kind::Update && before.stands_apart(update, under_way);
        if is_apart {
            self.batch = Some(batch);
        }
        is_apart
    }
}

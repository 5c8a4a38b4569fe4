//! Who makes a room, and of what kind it is then.

use std::sync::Arc;

use yrs::{Doc, Map, Transact};

use super::*;
use crate::caller::Role;
use crate::gate::Source;
use crate::ids::{InstanceId, SessionId};
use crate::log::memory::MemoryLog;
use crate::log::record::StoredRecord;
use crate::log::{Log, LogError};
use crate::room::load;
use crate::room::state::Submission;
use crate::session::Permit;

/// One instance's room.
struct Instance {
    log: Arc<dyn Log>,
    name: RoomName,
    state: State,
    sent: u64,
}

impl Instance {
    async fn on(log: &Arc<dyn Log>, instance: u64, boards: &[&str]) -> Self {
        let name = RoomName::parse("retro/1").unwrap();
        let mut state = load::load(log, &name, (InstanceId(instance), 1), None).await.unwrap().state;
        let boards = Boards::new(boards.iter().map(|prefix| prefix.parse().unwrap()).collect());
        state.choose_by(&boards, &name);
        Self { log: Arc::clone(log), name, state, sent: 0 }
    }

    fn write(&mut self, claim: Option<RoomKind>) {
        self.sent += 1;
        let doc = Doc::new();
        let map = doc.get_or_insert_map("m");
        let mut transaction = doc.transact_mut();
        map.insert(&mut transaction, "k", "v");
        let judged = self.state.submit(&Submission {
            session: SessionId(1),
            ordinal: self.sent,
            caller: Arc::new(Caller { kind: claim, ..Caller::anonymous(Role::Editor) }),
            update: transaction.encode_update_v1().into(),
            source: Source::Update,
            permit: Permit::Taken,
            at: None,
            cost: 1,
            admitted_ms: 1,
        });
        judged.unwrap();
    }

    async fn store(&mut self) -> Result<(), LogError> {
        let Some(batch) = self.state.next_batch() else { return Ok(()) };
        let appended = self.log.append(&self.name, batch).await?;
        let seen = self.state.committed().seq;
        let begins = appended.begins();
        // What stands before it is taken in first, as rooms do.
        let before = self.log.read(&self.name, seen, 100).await?;
        let before: Vec<_> = before.into_iter().filter(|record| record.position().seq < begins.seq).collect();
        self.state.on_stored(&before, appended.epoch).unwrap();
        self.state.on_committed(&appended).unwrap();
        Ok(())
    }

    async fn kinds(&self) -> Vec<RoomKind> {
        let records = self.log.read(&self.name, 0, 100).await.unwrap();
        let kind = |stored: &StoredRecord| match stored {
            StoredRecord::Intact { record, .. } => record.metadata().unwrap().room_kind,
            StoredRecord::Damaged { why, .. } => panic!("{why}"),
        };
        records.iter().map(kind).collect()
    }
}

fn log() -> Arc<dyn Log> {
    Arc::new(MemoryLog::new())
}

use RoomKind::{Board, Free};

/// [B10] [B11] Who writes first makes the room, and of the kind of their token; who writes later changes nothing.
#[tokio::test]
async fn the_first_writer_chooses() {
    for (boards, first, second, kind) in [
        (&["retro/"][..], None, Some(Free), Board),
        (&["retro/"], Some(Free), None, Free),
        (&[], None, Some(Board), Free),
        (&[], Some(Board), None, Board),
    ] {
        let mut room = Instance::on(&log(), 1, boards).await;
        room.write(first);
        room.write(second);
        room.store().await.unwrap();
        room.write(second);
        room.store().await.unwrap();
        let kinds = room.kinds().await;
        println!("{boards:?}, {first:?} before {second:?}: {kinds:?}");
        assert!(kinds.len() >= 4 && kinds.iter().all(|stored| *stored == kind));
        assert_eq!(room.state.kind(), kind);
    }
}

/// [B11] What the first writer wanted is forgotten if it was not stored: the next one makes the room.
#[tokio::test]
async fn a_first_writer_who_is_refused_chooses_nothing() {
    let mut room = Instance::on(&log(), 1, &[]).await;
    room.write(Some(Board));
    assert_eq!(room.state.kind(), Board);
    room.state.next_batch().unwrap();
    room.state.drop_overlay().unwrap();
    room.write(None);
    room.store().await.unwrap();
    assert_eq!((room.kinds().await, room.state.kind()), (vec![Free, Free], Free));
}

/// [B13] Two instances with different settings make a room at once. The record that is stored first decides for both. What
/// was judged as a free room's is not stored behind a board's first record; the other way around it is.
#[tokio::test]
async fn the_genesis_that_is_stored_decides_for_both() {
    let log_of_both = log();
    let mut board = Instance::on(&log_of_both, 1, &["retro/"]).await;
    let mut free = Instance::on(&log_of_both, 2, &["team/"]).await;
    board.write(None);
    free.write(None);
    assert_eq!((board.state.kind(), free.state.kind()), (Board, Free));
    board.store().await.unwrap();
    let late = free.store().await.unwrap_err();
    println!("{late}");
    assert!(matches!(late, LogError::Moved(_)), "it is loaded again");
    let mut free = Instance::on(&log_of_both, 2, &["team/"]).await;
    assert_eq!(free.state.kind(), Board);
    free.write(Some(Free));
    free.store().await.unwrap();
    assert_eq!(free.kinds().await, [Board; 3]);

    let log_of_both = log();
    let mut board = Instance::on(&log_of_both, 1, &["retro/"]).await;
    let mut free = Instance::on(&log_of_both, 2, &["team/"]).await;
    board.write(None);
    free.write(None);
    free.store().await.unwrap();
    board.store().await.unwrap();
    assert_eq!((board.state.kind(), free.state.kind()), (Free, Free), "the bus tells of the first one");
    board.write(None);
    board.store().await.unwrap();
    assert_eq!(
        board.kinds().await,
        [Free, Free, Board, Free],
        "one record was under way and says what it was judged as"
    );
    assert_eq!(Instance::on(&log_of_both, 3, &["*"]).await.state.kind(), Free);
}

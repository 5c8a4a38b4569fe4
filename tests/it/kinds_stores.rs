//! What holds of a room's kind on every store.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::Duration;

use ruang::history::{self, Outcome, Range, Retention};
use ruang::ids::RoomName;
use ruang::kind::{Boards, RoomKind};
use ruang::log::Log;
use ruang::log::record::StoredRecord;
use ruang::room::{Rooms, RoomsOptions};

use crate::life_support::{Person, room, rooms, until_closed};

/// A root that boards have, in which anybody may set anything small.
pub const ON_A_BOARD: &str = "signatureColors";

pub fn boards(prefixes: &[&str]) -> Boards {
    Boards::new(prefixes.iter().map(|prefix| prefix.parse().expect("a prefix")).collect())
}

/// An instance with these settings.
pub fn instance(log: &Arc<dyn Log>, prefixes: &[&str]) -> Arc<Rooms> {
    let idle_unload = Duration::from_millis(20);
    let options = RoomsOptions { boards: boards(prefixes), idle_unload, ..RoomsOptions::default() };
    rooms(Arc::clone(log), options)
}

/// What a room that opens takes it for, which is what is shown of it.
pub async fn kind(log: &Arc<dyn Log>, name: &RoomName) -> RoomKind {
    let mut walk = history::walk(log, name, Range::TO_HEAD).await.expect("it is read").expect("it exists");
    walk.to_end().await.expect("it is walked");
    let kind = walk.fold().expect("folded").kind();
    let shown = history::kind_of(&**log, name, walk.head()).await.expect("it is read");
    assert_eq!(shown, kind);
    kind.expect("it is known")
}

/// What each record says.
pub async fn said(log: &Arc<dyn Log>, name: &RoomName) -> Vec<RoomKind> {
    let records = log.read(name, 0, 10_000).await.expect("it is read");
    let said = |record: &StoredRecord| match record {
        StoredRecord::Intact { record, .. } => record.metadata().expect("metadata").room_kind,
        StoredRecord::Damaged { why, .. } => panic!("{why}"),
    };
    records.iter().map(said).collect()
}

/// Somebody comes, writes and goes; the room is unloaded.
pub async fn visit(rooms: &Arc<Rooms>, name: &RoomName, edits: usize) {
    let mut person = loop {
        match Person::try_join(rooms, name).await {
            Some(person) => break person,
            None => tokio::time::sleep(Duration::from_millis(10)).await, // it ends at that moment
        }
    };
    person.root = ON_A_BOARD;
    for n in 0..edits {
        person.set(&format!("k{n}")).await;
    }
    drop(person);
    until_closed(rooms, name).await;
}

/// [B11] [B12] A room stays of the kind that it was made of: on instances that would make another, when its snapshots are written,
/// when its first record is trimmed, when all its records are.
pub async fn a_room_keeps_its_kind(log: Arc<dyn Log>) {
    use RoomKind::{Board, Free};
    for (makers, keepers, made) in [(&["*"][..], &[][..], Board), (&[], &["*"], Free)] {
        let name = room(&format!("retro/{made}"));
        let (maker, keeper) = (instance(&log, makers), instance(&log, keepers));
        visit(&maker, &name, 3).await;
        assert_eq!(kind(&log, &name).await, made);
        visit(&keeper, &name, 3).await;
        assert!(said(&log, &name).await.iter().all(|said| *said == made));
        for round in 0..6 {
            let retention = Retention { age_ms: 0, bytes: 0 };
            let compacted = history::compact(&log, &name, retention).await.expect("it is compacted");
            assert!(matches!(compacted.outcome, Outcome::Written(_)), "{compacted:?}");
            assert_eq!(kind(&log, &name).await, made);
            visit(&keeper, &name, 2).await;
            println!("round {round}: {:?}", log.open(&name).await.expect("read").map(|head| head.base));
            assert_eq!(kind(&log, &name).await, made);
        }
        let head = log.open(&name).await.expect("read").expect("there");
        assert!(head.base > 1, "the first record is trimmed");
        let encoded = log.chunk(&name, head.snapshots[0].upload, 0).await.expect("read").expect("there");
        assert_eq!(encoded[4], if made == Board { 2 } else { 1 }, "free rooms can be read by older versions");
        // No record is left that could tell.
        let all = log.trim(&name, head.last.seq).await.expect("trimmed");
        visit(&keeper, &name, 1).await;
        let left = said(&log, &name).await;
        println!("trimmed up to {all} of {}; what is left says {left:?}", head.last.seq);
        assert!(left.iter().all(|said| *said == made));
        maker.shut_down().await;
        keeper.shut_down().await;
    }
}

/// [B13] Many rooms, each made by two instances at once with different settings: both go by the first record, and nobody's edit is lost.
pub async fn two_make_one_room(one: Arc<dyn Log>, two: Arc<dyn Log>) {
    let (board, free) = (instance(&one, &["*"]), instance(&two, &["elsewhere/"]));
    let mut made = [0, 0];
    for n in 0..24 {
        let name = room(&format!("r{n}"));
        tokio::join!(write_until_stored(&board, &name), write_until_stored(&free, &name));
        let first = said(&one, &name).await;
        made[usize::from(first[0] == RoomKind::Free)] += 1;
        if first[0] == RoomKind::Board {
            assert!(first.iter().all(|said| *said == RoomKind::Board), "{first:?}");
        }
        visit(&board, &name, 1).await;
        visit(&free, &name, 1).await;
        let all = said(&one, &name).await;
        assert!(all[all.len() - 2..].iter().all(|said| *said == first[0]), "{all:?}");
        assert_eq!(kind(&two, &name).await, first[0]);
    }
    println!("{made:?} boards and free rooms were made");
    board.shut_down().await;
    free.shut_down().await;
}

/// Somebody writes, and comes back with the edit if the room ends under it.
async fn write_until_stored(rooms: &Arc<Rooms>, name: &RoomName) {
    loop {
        if let Some(mut person) = Person::try_join(rooms, name).await
            && person.try_set("k").await
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

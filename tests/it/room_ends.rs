//! The moment when a room ends by itself: who comes then is in the next one.

use std::sync::Arc;
use std::time::Duration;

use ruang::caller::Caller;
use ruang::clock::system_clock;
use ruang::gate::Source;
use ruang::log::bus::Heard;
use ruang::log::memory::{Fate, MemoryLog};
use ruang::log::{Log, LogError};
use ruang::room::outside::{Edit, Part};
use ruang::room::{Entry, RoomsOptions};
use tokio::time::sleep;
use yrs::{Doc, Text, Transact};

use crate::life_support::{Nowhere, Person, room, rooms};

/// [R3] Rooms that end as soon as nobody is there, and people who come and go, and programs that read, at those very moments: none
/// of them is told that the room has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_a_room_ends_finds_its_successor() {
    const TIMES: usize = 10_000;
    for idle_unload in [Duration::ZERO, Duration::from_millis(1)] {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
        let (rooms, name) = (rooms(log, RoomsOptions { idle_unload, ..RoomsOptions::default() }), room("r"));
        Person::join(&rooms, &name).await.set("k").await;
        let comes = tokio::spawn({
            let (rooms, name) = (Arc::clone(&rooms), name.clone());
            async move {
                for time in 0..TIMES {
                    let member = rooms.join(&name, Entry::anonymous(Arc::new(Nowhere))).await;
                    assert!(member.is_ok(), "join {time}: {:?}", member.err());
                }
            }
        });
        let reads = tokio::spawn({
            let (rooms, name) = (Arc::clone(&rooms), name.clone());
            async move {
                for time in 0..TIMES {
                    if time % 2 == 0 {
                        let read = rooms.read_open(&name, Part::Everything).await;
                        assert!(read.is_none_or(|read| read.is_ok()), "read {time}");
                    } else {
                        let read = rooms.read_to_edit(&name, None).await;
                        assert!(read.is_ok(), "read {time}: {:?}", read.err());
                    }
                    if time % 16 == 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        });
        comes.await.unwrap();
        reads.await.unwrap();
        println!("unloaded after {idle_unload:?}: opened {} times", rooms.metrics().rooms_loaded.get());
        assert!(rooms.metrics().rooms_loaded.get() > 10);
    }
}

/// [R3] A room that has to be loaded again waits for its last append first. Who comes, reads or brings an edit meanwhile is in
/// the next room then, and is not told to come back.
#[tokio::test(start_paused = true)]
async fn who_comes_to_an_ending_room_while_it_waits_is_in_the_next_one() {
    let (log, faults) = MemoryLog::for_instances(system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let (one, two) = (RoomsOptions::default(), RoomsOptions::default());
    let (one, two, name) = (rooms(Arc::clone(&log), one), rooms(log, two), room("r"));
    let (mut ann, mut bob) = (Person::join(&one, &name).await, Person::join(&two, &name).await);
    ann.set("a").await;
    faults.on_bus(|_: &Heard| Fate::Lost);
    bob.set("b").await;
    let held = faults.hold_appends();
    ann.write("c").await;
    held.arrived(1).await;
    println!("the room learns that it cannot go on, while an append is under way");
    faults.fail_reads_of(&name, 1, LogError::Fatal("a test".to_owned()));
    faults.check_heads();
    sleep(Duration::from_millis(20)).await;
    let join = tokio::spawn({
        let (rooms, name) = (Arc::clone(&one), name.clone());
        async move { rooms.join(&name, Entry::anonymous(Arc::new(Nowhere))).await.map(drop) }
    });
    let read = tokio::spawn({
        let (rooms, name) = (Arc::clone(&one), name.clone());
        async move { rooms.read_to_edit(&name, None).await.map(drop) }
    });
    let write = tokio::spawn({
        let (rooms, name) = (Arc::clone(&one), name.clone());
        let doc = Doc::new();
        let text = doc.get_or_insert_text("t");
        let mut txn = doc.transact_mut();
        text.insert(&mut txn, 0, "x");
        let update = txn.encode_update_v1().into();
        drop(txn);
        let edit = Edit { update, source: Source::Update, caller: Caller::anyone(), at: None };
        async move { rooms.write(&name, edit).await }
    });
    sleep(Duration::from_millis(20)).await;
    assert!(!join.is_finished() && !read.is_finished() && !write.is_finished(), "the room has not ended");
    held.release();
    let (join, read, write) = (join.await.unwrap(), read.await.unwrap(), write.await.unwrap());
    println!("join: {join:?}, read: {read:?}, write: {write:?}");
    assert!(join.is_ok() && read.is_ok() && write.is_ok());
    assert_eq!(
        ann.member.news().post.close.map(|close| close.code),
        Some(1013),
        "who was in the room comes back"
    );
    assert_eq!(one.metrics().rooms_loaded.get(), 2);
}

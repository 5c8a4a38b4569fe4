//! The store falls back while an instance reads it, or holds the answer to an append.

use std::sync::Arc;
use std::time::Duration;

use ruang::log::bus::Heard;
use ruang::log::memory::Fate;
use tokio::time::{Instant, sleep};

use crate::harness::{Client, PATIENCE, Server};
use crate::{Pair, same};

/// Loses the newest records. What is stored from here on has other times than they had, as it has in a store that fails
/// over in no less than a millisecond.
async fn fall_back(pair: &Pair, last: u64) {
    pair.faults.roll_back(&"r".parse().unwrap(), last);
    sleep(Duration::from_millis(5)).await;
}

/// Has everyone look at the log until all have the same.
async fn all_same(pair: &Pair, people: &mut [&mut Client]) {
    let began = Instant::now();
    loop {
        pair.faults.check_heads();
        for one in people.iter_mut() {
            let _ = one.step(Duration::from_millis(10)).await;
        }
        let all: Vec<_> = people.iter().map(|one| (one.clocks(), one.doc_json())).collect();
        if all.iter().all(|one| *one == all[0]) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "not the same: {all:?}");
    }
}

/// [R28, R30] The store falls back while a page of the log is read, behind what this instance has stored meanwhile, and
/// others write on over the loss: nothing of that page is taken for what comes next. All that was acknowledged comes back, and no
/// record is set aside.
#[tokio::test]
async fn a_page_that_others_have_overtaken_is_not_gone_on_with() {
    let pair = Pair::start().await;
    let third = Server::start(Arc::clone(&pair.log)).await;
    let mut ann = pair.one.join_for_acks("r").await;
    let mut bob = pair.two.join("r").await;
    let mut carl = third.join_for_acks("r").await;
    ann.set("a", "1").await;
    bob.until_set("a", "1").await;
    carl.until_set("a", "1").await;

    pair.faults.on_bus(|_: &Heard| Fate::Lost);
    bob.set("b", "1").await;
    pair.until_stored(3).await;
    let held = pair.faults.hold_reads();
    println!("the instances of Ann and of Carl know two records, and begin to read the third");
    pair.faults.check_heads();
    held.arrived(2).await;
    fall_back(&pair, 2).await;
    ann.set("a", "2").await;
    ann.until("the ack of an edit in the place of Bob's", |ann| ann.acked == 3).await;
    fall_back(&pair, 2).await;
    carl.set("c", "1").await;
    carl.set("d", "1").await;
    carl.until("the acks of two edits over the loss", |carl| carl.acked == 3).await;
    held.release();

    pair.faults.on_bus(|_: &Heard| Fate::Heard);
    all_same(&pair, &mut [&mut ann, &mut bob, &mut carl]).await;
    for (key, value) in [("a", "2"), ("b", "1"), ("c", "1"), ("d", "1")] {
        assert_eq!(ann.get(key).as_deref(), Some(value), "{key}");
    }
    for server in [&pair.one, &pair.two, &third] {
        assert_eq!(server.app.rooms.metrics().records_set_aside.get(), 0);
        assert_eq!(server.app.rooms.metrics().rooms_failed.get(), 0);
    }
    let mut newcomer = pair.two.join("r").await;
    same(&mut ann, &mut newcomer).await;
    third.stop().await;
    pair.stop().await;
}

/// [R29, R30] An append is answered, records of others stand before it, and the store loses both before those are read: nobody
/// waits for them. Who wrote it is asked to come back, and brings it again.
#[tokio::test]
async fn a_batch_that_is_lost_behind_what_is_not_read_yet_is_not_waited_for() {
    let pair = Pair::start().await;
    let mut ann = pair.one.join_for_acks("r").await;
    let mut bob = pair.two.join("r").await;
    ann.set("a", "1").await;
    bob.until_set("a", "1").await;

    pair.faults.on_bus(|_: &Heard| Fate::Lost);
    bob.set("b", "1").await;
    pair.until_stored(3).await;
    let held = pair.faults.hold_reads();
    ann.set("a", "2").await;
    println!("it stands behind Bob's edit, which Ann's instance has to read first");
    held.arrived(1).await;
    fall_back(&pair, 2).await;
    held.release();

    assert_eq!(ann.until_closed().await, Some(1013));
    ann.reconnect(&pair.one.url("r"), Some("ruang.v1")).await;
    ann.sync().await;
    pair.faults.on_bus(|_: &Heard| Fate::Heard);
    all_same(&pair, &mut [&mut ann, &mut bob]).await;
    assert_eq!((bob.get("a").as_deref(), ann.get("b").as_deref()), (Some("2"), Some("1")));
    pair.stop().await;
}

/// [R30] A room is opened, made and deleted by another instance before this one hears of it, begun anew here, and lost by the
/// store: the deletion was of an earlier life, so this one is healed.
#[tokio::test]
async fn a_life_that_began_behind_a_deletion_is_healed() {
    let pair = Pair::start().await;
    let mut bob = pair.two.join("r").await;
    pair.faults.on_bus(|_: &Heard| Fate::Lost);
    let mut ann = pair.one.join("r").await;
    ann.set("a", "1").await;
    pair.until_stored(2).await;
    let name = "r".parse().unwrap();
    assert!(pair.log.delete(&name).await.unwrap());
    sleep(Duration::from_millis(5)).await;
    bob.set("b", "1").await;
    pair.until_stored(2).await;
    bob.until_set("b", "1").await;

    pair.faults.forget_room(&name);
    bob.set("b", "2").await;
    pair.until_stored(3).await;
    assert_eq!(pair.two.app.rooms.metrics().rooms_healed.get(), 1);
    let mut newcomer = pair.two.join("r").await;
    newcomer.until_set("b", "2").await;
    assert_eq!((newcomer.get("a"), bob.get("a")), (None, None), "what was deleted stays deleted");
    pair.stop().await;
}

//! Several instances on one Redis, through real sockets, while Redis does what it does: rules R28 to R32.

use std::sync::Arc;
use std::time::Duration;

use ruang::log::Log;
use ruang::log::record::Kind;
use tokio::time::{Instant, sleep};

use crate::harness::PATIENCE;
use crate::rig::process::{FSYNC, RedisProcess};
use crate::traffic::open;
use crate::two::{Two, kinds};

/// [R28] [R31] Two instances share a room: edits, acks, presence, newcomers; large batches too, which the channel only
/// points to.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_a_room() {
    let redis = RedisProcess::alone(&[]);
    let mut two = Two::on(&redis.url()).await;
    for n in 0..100 {
        two.ann.set(&format!("a{}", n % 10), &n.to_string()).await;
        two.bob.set(&format!("b{}", n % 10), &n.to_string()).await;
    }
    two.bob.until_set("a9", "99").await;
    two.ann.until_set("b9", "99").await;
    two.ann.until("all acks", |ann| ann.acked == 102).await;
    println!("an edit of 200 kB");
    two.ann.set("large", &"x".repeat(200_000)).await;
    two.bob.until("the large edit", |bob| bob.get("large").is_some_and(|text| text.len() == 200_000)).await;
    let news = two.announce().await;
    two.bob.until("Ann's presence", news).await;
    two.agree().await;
    assert_eq!(kinds(&redis.url()).await.iter().filter(|kind| **kind == Kind::Genesis).count(), 1);
    two.stop().await;
}

/// [R28] Subscriptions that Redis cuts off, scripts that it forgets, and a restart with its file: nothing is lost, and
/// edits go on by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn lost_subscriptions_and_restarts_are_survived() {
    let mut redis = RedisProcess::alone(FSYNC);
    let mut two = Two::on(&redis.url()).await;
    let killed: i64 = redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert!(killed >= 2, "both instances are subscribed");
    two.exchange("after CLIENT KILL TYPE pubsub").await;
    let _: String = redis.ask(&["SCRIPT", "FLUSH"]);
    two.exchange("after SCRIPT FLUSH").await;
    let _: i64 = redis.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    two.exchange("after CLIENT KILL TYPE normal").await;
    for round in 0..3 {
        println!("kill -9 of Redis, with edits on their way");
        two.ann.set(&format!("during-{round}"), "x").await;
        redis.kill();
        two.bob.set(&format!("away-{round}"), "y").await;
        sleep(Duration::from_millis(300)).await;
        redis.restart();
        two.exchange(&format!("after restart {round}")).await;
        two.bob.until_set(&format!("during-{round}"), "x").await;
        two.ann.until_set(&format!("away-{round}"), "y").await;
    }
    two.agree().await;
    assert_eq!(two.healed(), 0);
    two.stop().await;
}

/// [R32] A Redis that says nothing for a while: people edit on, unseen, and all of it is there when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_waited_for() {
    let redis = RedisProcess::alone(&[]);
    let mut two = Two::on(&redis.url()).await;
    redis.freeze(true);
    for n in 0..50 {
        two.ann.set(&format!("a{n}"), "x").await;
        two.bob.set(&format!("b{n}"), "y").await;
    }
    assert!(!two.bob.hears_anything(Duration::from_secs(4)).await, "nothing unstored is shown");
    redis.freeze(false);
    two.bob.until_set("a49", "x").await;
    two.ann.until_set("b49", "y").await;
    two.agree().await;
    assert_eq!(two.healed(), 0);
    two.stop().await;
}

/// [R30] FLUSHALL under people at work: the room is stored again from memory, and goes on as the same life.
#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_healed() {
    let redis = RedisProcess::alone(&[]);
    let mut two = Two::on(&redis.url()).await;
    for n in 0..20 {
        two.ann.set(&format!("a{n}"), "x").await;
    }
    two.bob.until_set("a19", "x").await;
    let _: String = redis.ask(&["FLUSHALL"]);
    two.exchange("after FLUSHALL").await;
    two.agree().await;
    assert!(two.healed() >= 1);
    let kinds = kinds(&redis.url()).await;
    assert!(kinds[0] == Kind::Genesis && kinds.contains(&Kind::Heal), "{kinds:?}");
    println!("and once more, with nobody editing: the next look notices");
    let healed = two.healed();
    let _: String = redis.ask(&["FLUSHALL"]);
    let began = Instant::now();
    while two.healed() == healed {
        assert!(began.elapsed() < PATIENCE, "nobody notices");
        sleep(Duration::from_millis(50)).await;
    }
    two.agree().await;
    two.stop().await;
}

/// [R30] A Redis that comes back from an old copy: what is newer is stored again.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_is_healed() {
    let mut redis = RedisProcess::alone(&["--dbfilename", "copy.rdb"]);
    let mut two = Two::on(&redis.url()).await;
    two.exchange("before the copy").await;
    let _: String = redis.ask(&["SAVE"]);
    two.exchange("after the copy").await;
    two.ann.set("newest", "1").await;
    two.bob.until_set("newest", "1").await;
    redis.kill();
    redis.restart();
    two.exchange("after the old copy is back").await;
    two.agree().await;
    assert!(two.healed() >= 1);
    two.stop().await;
}

/// [R30] A room that is deleted by one instance ends on the other, and is not healed.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_reaches_the_other_instance() {
    let redis = RedisProcess::alone(&[]);
    let mut two = Two::on(&redis.url()).await;
    let log = open(&redis.url()).await;
    assert!(log.delete(&"r".parse().unwrap()).await.unwrap());
    assert_eq!((two.ann.until_closed().await, two.bob.until_closed().await), (Some(1013), Some(1013)));
    assert_eq!(log.open(&"r".parse().unwrap()).await.unwrap(), None);
    let url = two.one.url("r");
    two.ann.reconnect(&url, None).await;
    let state_vector = two.ann.state_vector();
    two.ann.send(ruang::wire::y_websocket::sync_step1(&state_vector)).await;
    assert_eq!(two.ann.until_closed().await, Some(4409), "an old copy does not come in again");
    let (one, other) = (two.one, two.two);
    assert_eq!(one.app.rooms.metrics().rooms_healed.get(), 0);
    drop((two.ann, two.bob));
    one.stop().await;
    other.stop().await;
    let _: Arc<dyn Log> = log;
}

/// [R28] An instance that dies takes nothing along: its people come back by the other one.
#[tokio::test(flavor = "multi_thread")]
async fn people_come_back_by_another_instance() {
    let redis = RedisProcess::alone(&[]);
    let mut two = Two::on(&redis.url()).await;
    two.exchange("before").await;
    let url = two.two.url("r");
    let Two { one, two: other, mut ann, mut bob, .. } = two;
    println!("instance one drains while Ann edits");
    ann.set("last", "1").await;
    let stopping = tokio::spawn(one.stop());
    ann.until_closed().await;
    ann.reconnect(&url, None).await;
    ann.sync().await;
    bob.until_set("last", "1").await;
    bob.set("then", "1").await;
    ann.until_set("then", "1").await;
    stopping.await.unwrap();
    drop((ann, bob));
    other.stop().await;
}

/// [R30] [L95] One of a room's keys is deleted by hand: what is left is a room again, and what was in it is stored
/// again by those who have it; records that are of no use alone are put aside, not deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_healed() {
    for lost in ["log", "meta"] {
        for trimmed in [false, true] {
            println!("the key {lost} is deleted; records trimmed before: {trimmed}");
            let redis = RedisProcess::alone(&[]);
            let mut two = Two::on(&redis.url()).await;
            for n in 0..20 {
                two.ann.set(&format!("a{n}"), "x").await;
                two.bob.until_set(&format!("a{n}"), "x").await;
            }
            if trimmed {
                let log = open(&redis.url()).await;
                let room = "r".parse().unwrap();
                let last = log.open(&room).await.unwrap().unwrap().last;
                println!("{:?}", two.one.app.rooms.compact(&room).await);
                assert_eq!(log.open(&room).await.unwrap().unwrap().snapshots.len(), 1);
                assert_eq!(log.trim(&room, last.seq - 2).await.unwrap(), last.seq - 2);
            }
            let deleted: i64 = redis.ask(&["DEL", &format!("retro:room:{{r}}:{lost}")]);
            assert_eq!(deleted, 1);
            two.exchange("after the key was deleted").await;
            two.agree().await;
            assert!(two.healed() >= 1);
            let aside: Vec<String> = redis.ask(&["KEYS", "retro:room:{r}:lost:*"]);
            assert_eq!(aside.len(), usize::from(lost == "meta" && trimmed));
            two.stop().await;
        }
    }
}

/// [R30] [L95] A key of a room in which nobody does anything is deleted: the next look notices, before everyone has left.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_noticed_in_a_quiet_room() {
    for lost in ["log", "meta"] {
        println!("the key {lost} is deleted");
        let redis = RedisProcess::alone(&[]);
        let mut two = Two::on(&redis.url()).await;
        two.exchange("before").await;
        two.meet("before").await;
        let deleted: i64 = redis.ask(&["DEL", &format!("retro:room:{{r}}:{lost}")]);
        assert_eq!(deleted, 1);
        let began = Instant::now();
        while two.healed() == 0 {
            assert!(began.elapsed() < PATIENCE, "nobody notices");
            sleep(Duration::from_millis(50)).await;
        }
        println!("noticed after {} ms", began.elapsed().as_millis());
        two.agree().await;
        two.stop().await;
    }
}

//! What Redis has lost, in the ways that are hard to tell from progress: others have written on over the loss, or many
//! rooms lose something at once. Rule R30.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::{Client, PATIENCE, Server};
use crate::rig::process::{FSYNC, RedisProcess};
use crate::rig::proxy::{Fault, Proxy};
use crate::traffic::open;
use crate::two::Two;

/// [R30] While two instances are cut off, Redis comes back from an old copy, and a third instance, which knows nothing of the
/// loss, writes on over it: up to fewer records than were there, as many, or more. All of it is there in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_others_have_written_on_is_healed() {
    for (written, snapshot) in [(1, false), (3, false), (4, true), (8, false)] {
        println!(
            "three records are lost, {written} others written in their place; compacted before: {snapshot}"
        );
        let mut redis = RedisProcess::alone(&["--dbfilename", "copy.rdb"]);
        let (one, two) = (Proxy::tcp(redis.socket()), Proxy::tcp(redis.socket()));
        let mut people = Two::through(&one.url(), &two.url(), &redis.url()).await;
        people.edit("kept", 3).await;
        people.meet("kept").await;
        if snapshot {
            println!("{:?}", people.one.app.rooms.compact(&"r".parse().unwrap()).await);
        }
        let _: String = redis.ask(&["SAVE"]);
        for key in ["lost-1", "lost-2", "lost-3"] {
            people.ann.set(key, "x").await;
            people.bob.until_set(key, "x").await;
        }
        people.meet("stored where it will be lost").await;
        for network in [&one, &two] {
            network.set(Fault::Refuse);
        }
        people.bob.set("meanwhile", "x").await;
        redis.kill();
        redis.restart();
        let third = Server::start(open(&redis.url()).await).await;
        let mut carl = third.join_for_acks("r").await;
        assert_eq!(carl.get("lost-1"), None, "it is lost");
        for n in 0..written {
            carl.set(&format!("carl-{n}"), "x").await;
            carl.until_acked().await.unwrap();
        }
        for network in [&one, &two] {
            network.set(Fault::Pass);
        }
        let began = Instant::now();
        let last = format!("carl-{}", written - 1);
        for client in people.everyone() {
            client.until_set(&last, "x").await;
            client.until_set("meanwhile", "x").await;
            client.until_set("lost-3", "x").await;
        }
        for key in ["lost-1", "lost-2", "lost-3", "meanwhile"] {
            carl.until_set(key, "x").await;
        }
        println!("all have all after {} ms", began.elapsed().as_millis());
        people.meet("healed").await;
        people.agree().await;
        assert!(people.healed() >= 1);
        drop(carl);
        third.stop().await;
        people.stop().await;
    }
}

/// A room with someone on each instance.
struct Pair {
    name: String,
    ann: Client,
    bob: Client,
}

impl Pair {
    async fn join(name: String, one: &Server, two: &Server) -> Self {
        let (mut ann, mut bob) = (one.connect_for_acks(&name).await, two.connect_for_acks(&name).await);
        ann.sync().await;
        bob.sync().await;
        ann.set("first", "x").await;
        bob.until_set("first", "x").await;
        Self { name, ann, bob }
    }
}

/// [R30] [R32] Many rooms at once: Redis is killed under them, comes back, and forgets everything. All are stored again.
#[tokio::test(flavor = "multi_thread")]
async fn many_rooms_come_back_together() {
    let mut redis = RedisProcess::alone(FSYNC);
    let (one, two) =
        (Server::start(open(&redis.url()).await).await, Server::start(open(&redis.url()).await).await);
    let mut pairs = Vec::new();
    for number in 0..150 {
        pairs.push(Pair::join(format!("room{number}"), &one, &two).await);
    }
    for (what, flush) in [("killed", false), ("flushed", true)] {
        if flush {
            let () = redis.ask(&["FLUSHALL"]);
        } else {
            redis.kill();
        }
        for pair in &mut pairs {
            pair.ann.set(&format!("ann-{what}"), "x").await;
            pair.bob.set(&format!("bob-{what}"), "x").await;
        }
        if !flush {
            sleep(Duration::from_millis(300)).await;
            redis.restart();
        }
        let began = Instant::now();
        for pair in &mut pairs {
            pair.bob.until_set(&format!("ann-{what}"), "x").await;
            pair.ann.until_set(&format!("bob-{what}"), "x").await;
            for client in [&mut pair.ann, &mut pair.bob] {
                client.until_acked().await.unwrap_or_else(|code| panic!("{}: {code:?}", pair.name));
            }
        }
        println!("{what}: {} rooms have everything after {} ms", pairs.len(), began.elapsed().as_millis());
    }
    let third = Server::start(open(&redis.url()).await).await;
    for pair in &mut pairs {
        let mut late = third.join(&pair.name).await;
        let began = Instant::now();
        while late.doc_json() != pair.ann.doc_json() {
            assert!(began.elapsed() < PATIENCE, "{}: {} {}", pair.name, late.doc_json(), pair.ann.doc_json());
            let _ = late.step(Duration::from_millis(10)).await.unwrap();
        }
        assert!(late.get("first").is_some() && late.get("bob-flushed").is_some());
    }
    let healed: u64 = [&one, &two].map(|it| it.app.rooms.metrics().rooms_healed.get()).iter().sum();
    let failed: u64 = [&one, &two].map(|it| it.app.rooms.metrics().rooms_failed.get()).iter().sum();
    println!("{healed} healed");
    assert!(healed >= pairs.len() as u64 && failed == 0);
    drop(pairs);
    for server in [one, two, third] {
        server.stop().await;
    }
}

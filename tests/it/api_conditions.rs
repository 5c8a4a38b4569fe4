//! Edits that are made for one position: [P7].

use std::net::SocketAddr;
use std::sync::Arc;

use ruang::clock::system_clock;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use serde_json::{Value, json};

use crate::api_support::{World, call, patch, set, update};
use crate::harness::{Server, until};

/// Adds one to a counter, however often somebody else is first. Returns how often that was.
async fn increment(address: SocketAddr) -> u32 {
    let mut tries = 0;
    loop {
        let read = call(address, ("GET", "/api/v1/rooms/r/document"), &[], None).await;
        let (count, at) = match read.status {
            200 => (read.json()["document"]["m"]["count"].as_u64().unwrap_or(0), read.position()),
            404 => (0, "0-0".to_owned()),
            _ => panic!("{read:?}"),
        };
        let mut edit = set("count", count + 1);
        edit["if"] = json!(at);
        let answer = patch(address, "r", &[], &edit).await;
        match answer.status {
            200 => return tries,
            412 => tries += 1,
            _ => panic!("{answer:?}"),
        }
    }
}

async fn all_increment(addresses: Vec<SocketAddr>) -> u32 {
    let tasks: Vec<_> = addresses.into_iter().map(|address| tokio::spawn(increment(address))).collect();
    let mut lost = 0;
    for task in tasks {
        lost += task.await.unwrap();
    }
    lost
}

/// [P7] Twenty who count at the same time count to twenty, while somebody else edits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_together_loses_nothing() {
    let world = World::start().await;
    let mut ann = world.server.join_for_acks("r").await;
    let counting = tokio::spawn(all_increment(vec![world.server.address; 20]));
    for n in 0..50 {
        ann.set(&format!("a{n}"), "x").await;
        assert_eq!(ann.until_acked().await, Ok(()));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let lost = counting.await.unwrap();
    println!("20 have counted, {lost} races were lost on the way");
    let document = world.document("r").await;
    assert_eq!(document["m"]["count"], 20);
    assert_eq!(document["m"].as_object().unwrap().len(), 51, "and no edit of the other is lost");
    ann.until_set("count", "20").await;
    world.server.stop().await;
}

/// [P7] The same on two instances that share a log: sessions of both stay, and see what is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_on_two_instances_loses_nothing() {
    let (log, _) = MemoryLog::for_instances(system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let (one, two) = (Server::start(Arc::clone(&log)).await, Server::start(Arc::clone(&log)).await);
    let (mut ann, mut bob) = (one.join("r").await, two.join("r").await);
    let addresses = (0..20).map(|n| if n % 2 == 0 { one.address } else { two.address }).collect();
    let lost = all_increment(addresses).await;
    println!("20 have counted on two instances, {lost} races were lost on the way");
    ann.until_set("count", "20").await;
    bob.until_set("count", "20").await;
    ann.set("ann", "is here").await;
    bob.until_set("ann", "is here").await;
    one.stop().await;
    two.stop().await;
}

/// [P7] A condition may be said in three ways; what they say must agree, and be a position.
#[tokio::test]
async fn conditions_are_said_in_three_ways() {
    let world = World::start().await;
    let begun = world.patch("r", &[("If-None-Match", "*")], &set("a", 1)).await;
    assert_eq!(begun.status, 200);
    let (at, tag) = (begun.position(), begun.headers["etag"].clone());
    let late = world.patch("r", &[("If-None-Match", "*")], &set("a", 2)).await;
    assert_eq!((late.refusal(), &late.json()["error"]["position"]), ((412, "moved".to_owned()), &json!(at)));
    let with_if = |at: &str| {
        let mut edit = set("b", 1);
        edit["if"] = json!(at);
        edit
    };
    for bad in ["*", "1-2", "\"x\"", "\"1-2\", \"1-3\"", "W/\"1-2\"", "\"1\""] {
        let answer = world.patch("r", &[("If-Match", bad)], &set("a", 3)).await;
        assert_eq!(answer.refusal(), (400, "bad_condition".to_owned()), "{bad}");
    }
    assert_eq!(world.patch("r", &[], &with_if("x")).await.code(), "bad_condition");
    assert_eq!(world.patch("r", &[("If-Match", "\"1-1\"")], &with_if(&at)).await.code(), "bad_condition");
    assert_eq!(world.patch("r", &[("If-None-Match", "\"1-1\"")], &set("a", 3)).await.code(), "bad_condition");
    let agreed = world.patch("r", &[("If-Match", &tag)], &with_if(&at)).await;
    assert_eq!(agreed.status, 200);
    // The milliseconds count, too: it is a record's name.
    let (ms, seq) = agreed
        .position()
        .split_once('-')
        .map(|(ms, seq)| (ms.parse::<u64>().unwrap(), seq.to_owned()))
        .unwrap();
    let other = format!("\"{}-{seq}\"", ms + 1);
    assert_eq!(world.post("r", &[("If-Match", &other)], &update(&[("x", "y")])).await.status, 412);
    let tag = agreed.headers["etag"].clone();
    assert_eq!(world.post("r", &[("If-Match", &tag)], &update(&[("x", "y")])).await.status, 200);
    assert_eq!(world.document("r").await["m"], json!({ "a": 1, "b": 1, "x": "y" }));
    world.server.stop().await;
}

/// [P7] While an edit for one position is under way, what sessions send waits, and is stored right behind it, also of
/// one who has left meanwhile. While others' edits are under way, an edit for the position before them waits, and is refused.
#[tokio::test]
async fn nothing_comes_between() {
    let world = World::start().await;
    let at = world.patch("r", &[], &set("a", 1)).await.headers["etag"].clone();
    let (mut ann, mut bob) = (world.server.join("r").await, world.server.join("r").await);
    let settled = world.records("r").await;
    let held = world.faults.hold_appends();
    let address = world.server.address;
    let conditional = {
        let at = at.clone();
        tokio::spawn(async move { patch(address, "r", &[("If-Match", &at)], &set("a", 2)).await })
    };
    held.arrived(1).await;
    ann.set("ann", "1").await;
    bob.set("bob", "1").await;
    let plain = tokio::spawn(async move { patch(address, "r", &[], &set("plain", 1)).await });
    drop(bob);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    held.release();
    let written = conditional.await.unwrap();
    assert_eq!(written.status, 200);
    assert_eq!(plain.await.unwrap().status, 200);
    let (_, seq) = written.json()["position"]
        .as_str()
        .map(|at| at.split_once('-').unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(seq, (settled + 1).to_string(), "right behind its position");
    let expected = json!({ "m": { "a": 2, "ann": "1", "bob": "1", "plain": 1 } });
    until("all is stored", || async { world.document("r").await == expected }).await;

    let at = world.get("r/update").await.headers["etag"].clone();
    let held = world.faults.hold_appends();
    ann.set("ann", "2").await;
    held.arrived(1).await;
    let conditional =
        tokio::spawn(async move { patch(address, "r", &[("If-Match", &at)], &set("a", 3)).await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!conditional.is_finished(), "nobody knows yet whether the room will move");
    held.release();
    let refused = conditional.await.unwrap();
    assert_eq!(refused.refusal(), (412, "moved".to_owned()));
    assert_eq!(refused.json()["error"]["position"], json!(world.get("r/update").await.position()));
    assert_eq!(world.document("r").await["m"]["a"], 2);
    world.server.stop().await;
}

/// [P7] An append whose answer was lost is asked for again, and the edit is stored once.
#[tokio::test]
async fn a_lost_answer_stores_once() {
    let world = World::start().await;
    let at = world.patch("r", &[], &set("a", 1)).await.headers["etag"].clone();
    world.faults.lose_replies(1);
    let written = world
        .patch(
            "r",
            &[("If-Match", &at)],
            &json!({
                "roots": { "l": "array" }, "operations": [{ "op": "insert", "path": ["l"], "values": [1] }],
            }),
        )
        .await;
    assert_eq!(written.status, 200);
    assert_eq!(world.document("r").await["l"], json!([1]));
    assert_eq!(world.records("r").await, 3);
    let refused = world.patch("r", &[("If-Match", &at)], &set("a", 2)).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["position"].clone()),
        (412, Value::from(written.position()))
    );
    world.server.stop().await;
}

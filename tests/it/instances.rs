//! Several instances on one log, through real sockets: what one stores the others show, whatever the bus
//! loses, and whatever the store loses. Rules R28 to R31 of docs/RULES.md.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod harness;
mod instances_losses;

use std::sync::Arc;
use std::time::Duration;

use harness::{Client, PATIENCE, Server, kinds_of};
use ruang::clock::system_clock;
use ruang::log::bus::Heard;
use ruang::log::memory::{Fate, Faults, MemoryLog};
use ruang::log::record::Kind;
use ruang::log::{Log, LogError};
use ruang::wire::y_websocket;
use tokio::time::{Instant, sleep};

/// Two instances on one log.
struct Pair {
    log: Arc<dyn Log>,
    faults: Faults,
    one: Server,
    two: Server,
}

impl Pair {
    async fn start() -> Self {
        let (log, faults) = MemoryLog::for_instances(system_clock());
        let log: Arc<dyn Log> = Arc::new(log);
        let one = Server::start(Arc::clone(&log)).await;
        let two = Server::start(Arc::clone(&log)).await;
        Self { log, faults, one, two }
    }

    async fn stop(self) {
        self.one.stop().await;
        self.two.stop().await;
    }

    /// Waits until room `r` has so many records.
    async fn until_stored(&self, count: u64) {
        let (began, name) = (Instant::now(), "r".parse().unwrap());
        while self.log.open(&name).await.unwrap().is_none_or(|head| head.last.seq < count) {
            assert!(began.elapsed() < PATIENCE, "record {count} is not stored");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn kinds(&self, room: &str) -> Vec<Kind> {
        let records = self.log.read(&room.parse().unwrap(), 0, 10_000).await.unwrap();
        kinds_of(&records)
    }
}

/// Has both take frames in until both have what each key of the other has.
async fn same(one: &mut Client, two: &mut Client) {
    let began = Instant::now();
    while one.clocks() != two.clocks() || one.doc_json() != two.doc_json() {
        assert!(began.elapsed() < PATIENCE, "not the same: {} and {}", one.doc_json(), two.doc_json());
        let _ = one.step(Duration::from_millis(20)).await;
        let _ = two.step(Duration::from_millis(20)).await;
    }
}

/// [R28] What one instance stores the other shows: edits go both ways, acks come, newcomers of either see all.
#[tokio::test]
async fn edits_go_both_ways() {
    let pair = Pair::start().await;
    let mut ann = pair.one.join_for_acks("r").await;
    let mut bob = pair.two.join("r").await;
    ann.set("ann", "1").await;
    bob.until_set("ann", "1").await;
    bob.set("bob", "2").await;
    ann.until_set("bob", "2").await;
    ann.until("acks of Step2 and edit", |ann| ann.acked == 2).await;
    for n in 0..200 {
        ann.set(&format!("a{}", n % 20), &n.to_string()).await;
        bob.set(&format!("b{}", n % 20), &n.to_string()).await;
    }
    ann.until("all acks", |ann| ann.acked == 202).await;
    same(&mut ann, &mut bob).await;
    let (mut newcomer, mut other) = (pair.two.join("r").await, pair.one.join("r").await);
    newcomer.until_set("a19", "199").await;
    other.until_set("b19", "199").await;
    assert_eq!(pair.kinds("r").await.iter().filter(|kind| **kind == Kind::Genesis).count(), 1);
    pair.stop().await;
}

/// [R28] Two instances that begin a room at the same moment make one life of it.
#[tokio::test]
async fn a_room_begun_by_two_is_one() {
    let pair = Pair::start().await;
    for round in 0..20 {
        let room = format!("r{round}");
        let (mut ann, mut bob) = (pair.one.join(&room).await, pair.two.join(&room).await);
        let held = pair.faults.hold_appends();
        ann.set("ann", "1").await;
        bob.set("bob", "2").await;
        held.arrived(2).await;
        held.release();
        ann.until_set("bob", "2").await;
        bob.until_set("ann", "1").await;
        let kinds = pair.kinds(&room).await;
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Genesis).count(), 1, "{room}: {kinds:?}");
    }
    pair.stop().await;
}

/// [R28] Whatever the bus loses, doubles or turns around, both instances come to the same document, and no
/// record is set aside.
#[tokio::test]
async fn a_bad_bus_delays_and_loses_nothing() {
    for seed in harness::seeds(5) {
        println!("seed {seed}");
        let pair = Pair::start().await;
        let mut state = seed;
        pair.faults.on_bus(move |_: &Heard| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match (state >> 33) % 10 {
                0..3 => Fate::Lost,
                3 => Fate::Twice,
                4 => Fate::Late,
                _ => Fate::Heard,
            }
        });
        let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
        for n in 0..100 {
            ann.set(&format!("a{}", n % 10), &n.to_string()).await;
            bob.set(&format!("b{}", n % 10), &n.to_string()).await;
            let _ = ann.step(Duration::from_millis(1)).await;
            let _ = bob.step(Duration::from_millis(1)).await;
        }
        let began = Instant::now();
        while ann.clocks() != bob.clocks() {
            assert!(began.elapsed() < PATIENCE, "not the same: {} and {}", ann.doc_json(), bob.doc_json());
            pair.faults.check_heads();
            let _ = ann.step(Duration::from_millis(20)).await;
            let _ = bob.step(Duration::from_millis(20)).await;
        }
        same(&mut ann, &mut bob).await;
        for server in [&pair.one, &pair.two] {
            assert_eq!(server.app.rooms.metrics().records_set_aside.get(), 0);
            assert_eq!(server.app.rooms.metrics().rooms_failed.get(), 0);
        }
        pair.stop().await;
    }
}

/// [R29] The bus may be faster than the append's reply: the batch is shown and acked when it is heard, once.
#[tokio::test]
async fn the_bus_commits_when_it_is_faster() {
    let pair = Pair::start().await;
    let mut ann = pair.one.join_for_acks("r").await;
    let mut bob = pair.two.join("r").await;
    let stalled = pair.faults.stall_replies();
    ann.set("k", "v").await;
    bob.until_set("k", "v").await;
    ann.until("acks while no append is answered", |ann| ann.acked == 2).await;
    stalled.release();
    ann.set("k", "w").await;
    bob.until_set("k", "w").await;
    ann.until("the ack of the next edit", |ann| ann.acked == 3).await;
    assert_eq!(pair.kinds("r").await.len(), 3);
    pair.stop().await;
}

/// [R29] An edit that reaches the log by two instances, as when a client comes back by another one, is
/// one edit.
#[tokio::test]
async fn an_edit_by_two_ways_is_one_edit() {
    let pair = Pair::start().await;
    let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
    ann.set("before", "1").await;
    bob.until_set("before", "1").await;
    for n in 0..10 {
        let held = pair.faults.hold_appends();
        let update = ann.set_locally(&format!("k{n}"), "v");
        ann.send(y_websocket::update(&update)).await;
        bob.send(y_websocket::update(&update)).await;
        held.arrived(2).await;
        held.release();
        let mut watcher = pair.two.join("r").await;
        watcher.until_set(&format!("k{n}"), "v").await;
    }
    ann.set("after", "1").await;
    bob.until_set("after", "1").await;
    let mut watcher = pair.one.join("r").await;
    same(&mut ann, &mut watcher).await;
    for server in [&pair.one, &pair.two] {
        assert_eq!(server.app.rooms.metrics().rooms_failed.get(), 0);
    }
    pair.stop().await;
}

/// [R30] The store loses a room whose people are here: it is stored again from memory, as one life, with the
/// edits that come meanwhile; newcomers see all of it.
#[tokio::test]
async fn a_lost_room_is_healed() {
    let pair = Pair::start().await;
    let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
    for n in 0..20 {
        ann.set(&format!("a{n}"), "x").await;
        bob.set(&format!("b{n}"), "x").await;
    }
    same(&mut ann, &mut bob).await;
    let before = ann.doc_json();
    pair.faults.forget_room(&"r".parse().unwrap());
    println!("the store has forgotten the room; an edit on each instance");
    ann.set("later", "1").await;
    bob.set("too", "2").await;
    ann.until_set("too", "2").await;
    bob.until_set("later", "1").await;
    same(&mut ann, &mut bob).await;
    let kinds = pair.kinds("r").await;
    assert_eq!(kinds[0], Kind::Genesis);
    assert!(kinds.contains(&Kind::Heal), "{kinds:?}");
    let mut newcomer = pair.two.join("r").await;
    newcomer.until_set("later", "1").await;
    same(&mut ann, &mut newcomer).await;
    assert_ne!(ann.doc_json(), before);
    let healed = |server: &Server| server.app.rooms.metrics().rooms_healed.get();
    assert!(healed(&pair.one) + healed(&pair.two) >= 1);
    println!("and a third instance, which has only the log, agrees");
    let third = Server::start(Arc::clone(&pair.log)).await;
    let mut reader = third.join("r").await;
    same(&mut reader, &mut ann).await;
    third.stop().await;
    pair.stop().await;
}

/// [R30] The store falls back behind what was seen: what is missing is stored again, and nobody who is
/// here sees anything go.
#[tokio::test]
async fn a_store_that_falls_back_is_healed() {
    for (fall_back_to, check) in [(10, true), (10, false), (1, true), (25, false)] {
        println!(
            "back to record {fall_back_to}, noticed by {}",
            if check { "a look" } else { "the next edit" }
        );
        let pair = Pair::start().await;
        let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
        for n in 0..20 {
            ann.set(&format!("a{n}"), "x").await;
            bob.until_set(&format!("a{n}"), "x").await;
            bob.set(&format!("b{n}"), "x").await;
            ann.until_set(&format!("b{n}"), "x").await;
        }
        pair.faults.roll_back(&"r".parse().unwrap(), fall_back_to);
        if check {
            pair.faults.check_heads();
        } else {
            ann.set("later", "1").await;
            bob.until_set("later", "1").await;
        }
        let third = Server::start(Arc::clone(&pair.log)).await;
        let began = Instant::now();
        loop {
            let mut reader = third.join("r").await;
            let _ = reader.step(Duration::from_millis(50)).await;
            pair.faults.check_heads();
            let _ = ann.step(Duration::from_millis(20)).await;
            if reader.doc_json() == ann.doc_json() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{} and {}", reader.doc_json(), ann.doc_json());
            sleep(Duration::from_millis(50)).await;
        }
        same(&mut ann, &mut bob).await;
        assert_eq!(ann.get("a19").as_deref(), Some("x"));
        third.stop().await;
        pair.stop().await;
    }
}

/// [R30] What no instance has any more is asked of the clients, who hold it.
#[tokio::test]
async fn clients_are_asked_for_what_is_lost() {
    let pair = Pair::start().await;
    let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
    ann.set("a", "x").await;
    bob.until_set("a", "x").await;
    // Ann has something that the room has not got: an update that never arrived.
    ann.set_locally("unsent", "y");
    let asked = ann.asked.len();
    pair.faults.forget_room(&"r".parse().unwrap());
    bob.set("later", "1").await;
    ann.until("a question", |ann| ann.asked.len() > asked).await;
    ann.send(y_websocket::sync_step2(&ann.encode_full())).await;
    bob.until_set("unsent", "y").await;
    pair.stop().await;
}

/// [R30] A deleted room is not healed: it stays gone, and those who hold copies are sent away.
#[tokio::test]
async fn a_deleted_room_is_not_healed() {
    let pair = Pair::start().await;
    let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
    ann.set("a", "x").await;
    bob.until_set("a", "x").await;
    let room = "r".parse().unwrap();
    assert!(pair.log.delete(&room).await.unwrap());
    ann.set("b", "y").await;
    bob.set("c", "z").await;
    assert_eq!((ann.until_closed().await, bob.until_closed().await), (Some(1013), Some(1013)));
    assert_eq!(pair.log.open(&room).await.unwrap(), None);
    assert_eq!(pair.one.app.rooms.metrics().rooms_healed.get(), 0);
    pair.stop().await;
}

/// [R49] An instance that has heard neither that a room was deleted nor that it was begun anew tells copies of the new life to
/// come back, not that they are of another life: once it has read the log they are at home. Copies of the old life are not.
#[tokio::test]
async fn an_instance_that_is_late_sends_nobody_away_for_good() {
    let pair = Pair::start().await;
    let mut old = pair.two.join("r").await;
    old.set("old", "x").await;
    old.until_set("old", "x").await;
    pair.until_stored(2).await;
    pair.faults.on_bus(|_: &Heard| Fate::Lost);
    assert!(pair.log.delete(&"r".parse().unwrap()).await.unwrap());
    let mut new = pair.one.join_for_acks("r").await;
    new.set("new", "y").await;
    new.until_acked().await.unwrap();
    pair.until_stored(2).await;

    let url = pair.two.url("r");
    new.reconnect(&url, Some("ruang.v1")).await;
    new.send(y_websocket::sync_step1(&new.state_vector())).await;
    assert_eq!(new.until_closed().await, Some(1013), "it does not know the new life yet");
    let began = Instant::now();
    loop {
        new.reconnect(&url, Some("ruang.v1")).await;
        new.send(y_websocket::sync_step1(&new.state_vector())).await;
        let greeted = new.asked.len();
        let answer = loop {
            match new.step(Duration::from_millis(200)).await {
                Ok(true) if new.asked.len() > greeted => break Ok(()),
                Ok(_) => assert!(began.elapsed() < PATIENCE, "it is not let in"),
                Err(code) => break Err(code),
            }
        };
        match answer {
            Ok(()) => break,
            Err(code) => assert_eq!(code, Some(1013), "nothing is said for good"),
        }
    }
    let mut newcomer = pair.two.join("r").await;
    newcomer.until_set("new", "y").await;
    assert_eq!(newcomer.get("old"), None);
    assert_eq!(old.until_closed().await, Some(1013));
    old.reconnect(&url, None).await;
    old.send(y_websocket::sync_step1(&old.state_vector())).await;
    assert_eq!(old.until_closed().await, Some(4409), "its life is over");
    pair.stop().await;
}

/// [R30] A store that is away while it is looked at is waited for: nothing of the room is given up meanwhile.
#[tokio::test]
async fn healing_waits_for_the_store() {
    let pair = Pair::start().await;
    let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
    ann.set("a", "x").await;
    bob.until_set("a", "x").await;
    pair.faults.forget_room(&"r".parse().unwrap());
    pair.faults.fail_reads_of(&"r".parse().unwrap(), 3, LogError::Unavailable("a test".to_owned()));
    ann.set("b", "y").await;
    bob.until_set("b", "y").await;
    let mut newcomer = pair.two.join("r").await;
    newcomer.until_set("a", "x").await;
    pair.stop().await;
}

/// [R31] Who is here is seen on the other instance, newcomers included, and who leaves goes.
#[tokio::test]
async fn presence_crosses() {
    let pair = Pair::start().await;
    let (mut ann, mut bob) = (pair.one.join("r").await, pair.two.join("r").await);
    let here = |client: u8, clock: u8, state: &str| {
        let mut update = vec![1, client, clock, u8::try_from(state.len()).unwrap()];
        update.extend_from_slice(state.as_bytes());
        y_websocket::presence(&update)
    };
    ann.send(here(7, 1, "{\"n\":1}")).await;
    let seen = |client: &Client, text: &str| {
        client.presence.iter().any(|update| String::from_utf8_lossy(update).contains(text))
    };
    bob.until("Ann", |bob| seen(bob, "{\"n\":1}")).await;
    let mut carl = pair.two.connect("r").await;
    carl.sync().await;
    carl.until("Ann, for a newcomer", |carl| seen(carl, "{\"n\":1}")).await;
    println!("an instance that opens the room later asks who is here");
    let third = Server::start(Arc::clone(&pair.log)).await;
    let mut dora = third.join("r").await;
    dora.until("Ann, on a third instance", |dora| seen(dora, "{\"n\":1}")).await;
    ann.send(here(7, 1, "null")).await;
    dora.until("that Ann left", |dora| seen(dora, "null")).await;
    third.stop().await;
    pair.stop().await;
}

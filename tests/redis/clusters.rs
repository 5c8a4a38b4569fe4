//! The log on a Redis Cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ruang::ids::RoomName;
use ruang::log::Log;

use crate::log_support::{append, batch, room, snapshot, text};
use crate::rig::cluster::ClusterRig;
use crate::rig::store::Shared;
use crate::traffic::{Traffic, open, texts_soon};

/// The slot of a room whose name needs no encoding.
fn slot(rig: &ClusterRig, room: &RoomName) -> u16 {
    rig.slot_of(&format!("retro:room:{{{}}}:log", room.as_str()))
}

fn rooms(names: &str, count: usize) -> Vec<RoomName> {
    (0..count).map(|number| room(&format!("{names}{number}"))).collect()
}

/// Two rooms of one slot.
fn neighbours(rig: &ClusterRig) -> (RoomName, RoomName) {
    let mut known = HashMap::new();
    for name in rooms("neighbour", 10_000) {
        if let Some(other) = known.insert(slot(rig, &name), name.clone()) {
            return (other, name);
        }
    }
    panic!("more rooms than slots, and no two share one");
}

/// [L90] Slots go from server to server and back while their rooms are written: everything is stored, once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn slots_move_while_their_rooms_are_written() {
    let rig = ClusterRig::start();
    let log = open(&rig.url()).await;
    let rooms = rooms("moving", 6);
    let traffic = Traffic::start(&log, rooms.clone());
    traffic.go_on(20).await;
    for _ in 0..3 {
        for room in &rooms {
            let slot = slot(&rig, room);
            rig.move_slot(slot, (rig.owner_of(slot) + 1) % 3);
        }
        traffic.go_on(10).await;
    }
    traffic.end().await;
}

/// [L90] While a slot is open on both sides its rooms are written where their keys are, before and after they go. A new
/// room has none: it waits until one server has the slot.
#[tokio::test(flavor = "multi_thread")]
async fn rooms_of_an_open_slot_are_written_where_their_keys_are() {
    let rig = ClusterRig::start();
    let log = open(&rig.url()).await;
    let (old, new) = neighbours(&rig);
    let slot = slot(&rig, &old);
    append(&*log, &old, 1, 1, &["before"]).await;

    let moving = rig.begin_move(slot, (rig.owner_of(slot) + 1) % 3);
    append(&*log, &old, 1, 2, &["at the source"]).await;
    let error = log.append(&new, batch(&new, 1, 1, &["new"])).await.unwrap_err();
    println!("{error}");
    assert!(error.is_temporary() && log.open(&new).await.unwrap().is_none());

    while moving.move_keys(10) > 0 {}
    append(&*log, &old, 1, 3, &["at the target"]).await;
    assert_eq!(texts_soon(&log, &old).await, ["before", "at the source", "at the target"]);
    moving.finish();
    append(&*log, &old, 1, 4, &["after"]).await;
    append(&*log, &new, 1, 1, &["new"]).await;
    assert_eq!(texts_soon(&log, &old).await, ["before", "at the source", "at the target", "after"]);
}

/// [L90] Keys that are on their way one by one: what needs all of them waits, nothing is done by half, and a room that is
/// there is never said to be absent.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_keys_are_torn_apart_waits() {
    let rig = ClusterRig::start();
    let log = open(&rig.url()).await;
    // Which of its keys goes first is Redis' choice.
    for (number, torn) in (1..).zip(rooms("torn", 3)) {
        append(&*log, &torn, 1, 1, &["before"]).await;
        let slot = slot(&rig, &torn);
        let moving = rig.begin_move(slot, (rig.owner_of(slot) + 1) % 3);
        assert_eq!(moving.move_keys(1), 1);
        let sent = batch(&torn, 1, 2, &["after"]);
        let (opened, read) = (log.open(&torn).await, log.read(&torn, 1, 9).await);
        let read = read.map(|all| all.iter().map(text).collect::<Vec<_>>());
        println!("{number}: {:?}, {read:?}", opened.as_ref().map(Option::is_some));
        assert!(opened.is_ok_and(|head| head.is_some_and(|head| head.last.seq == 2)));
        assert!(read.map_or_else(|error| error.is_temporary(), |all| all == ["before"]));
        let error = log.append(&torn, sent.clone()).await.unwrap_err();
        println!("{error}");
        assert!(error.is_temporary());
        while moving.move_keys(1) > 0 {}
        moving.finish();
        assert!(!log.append(&torn, sent).await.unwrap().duplicate);
        assert_eq!(texts_soon(&log, &torn).await, ["before", "after"]);
    }
}

/// [L90] A server that dies takes only its own rooms along, and brings them back.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_takes_only_its_rooms_along() {
    let mut rig = ClusterRig::start_with(0, &["--cluster-require-full-coverage", "no"]);
    let log = open(&rig.url()).await;
    let rooms = rooms("room", 30);
    for room in &rooms {
        append(&*log, room, 1, 1, &["before"]).await;
    }
    rig.nodes[0].kill();
    let (mut alive, mut dead) = (Vec::new(), Vec::new());
    for room in &rooms {
        match log.append(room, batch(room, 1, 2, &["meanwhile"])).await {
            Ok(_) => alive.push(room),
            Err(error) => {
                assert!(error.is_temporary(), "{error}");
                dead.push(room);
            }
        }
    }
    println!("{} rooms alive, {} dead", alive.len(), dead.len());
    assert!(
        alive.iter().all(|room| slot(&rig, room) > 5460) && dead.iter().all(|room| slot(&rig, room) <= 5460)
    );
    assert!(alive.len() > 10 && dead.len() > 3);
    assert!(log.health().await.unwrap_err().is_temporary());
    rig.nodes[0].restart();
    rig.wait_until_ok();
    let traffic = Traffic::start(&log, self::rooms("later", 10));
    traffic.go_on(3).await;
    traffic.end().await;
    for room in dead {
        append(&*log, room, 1, 2, &["meanwhile"]).await;
        assert_eq!(texts_soon(&log, room).await, ["before", "meanwhile"]);
    }
    let started = std::time::Instant::now();
    while let Err(error) = log.health().await {
        assert!(error.is_temporary() && started.elapsed() < crate::rig::PATIENCE, "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// [L90] A cluster that misses a server takes nothing at all, as it is usually set; what was written is there again
/// with it, and the writers go on by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_loses_nothing() {
    let mut rig = ClusterRig::start();
    let log = open(&rig.url()).await;
    let traffic = Traffic::start(&log, rooms("room", 6));
    traffic.go_on(10).await;
    rig.nodes[1].kill();
    rig.wait_until_down();
    let error = log.open(&room("anything")).await;
    assert!(error.is_err_and(|error| error.is_temporary()));
    rig.nodes[1].restart();
    rig.wait_until_ok();
    traffic.go_on(10).await;
    traffic.end().await;
}

/// [L90] A replica takes the place of a dead server: writers go on there, on the same log.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over() {
    let mut rig = ClusterRig::start_with(1, &[]);
    let log = open(&rig.url()).await;
    let rooms = rooms("room", 12);
    for room in &rooms {
        append(&*log, room, 1, 1, &["before"]).await;
    }
    rig.wait_for_replicas();
    rig.nodes[0].kill();
    for room in &rooms {
        let sent = batch(room, 1, 2, &["after"]);
        let started = std::time::Instant::now();
        while let Err(error) = log.append(room, sent.clone()).await {
            assert!(error.is_temporary() && started.elapsed() < crate::rig::PATIENCE, "{error}");
        }
        assert_eq!(texts_soon(&log, room).await, ["before", "after"]);
    }
    assert_eq!(rig.owner_of(0), 3);
}

/// [L90] Servers that forgot the scripts are told them again, each of them.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_told_again() {
    let rig = ClusterRig::start();
    let log = open(&rig.url()).await;
    for number in 1..=3 {
        for room in rooms("room", 9) {
            append(&*log, &room, 1, number, &["x"]).await;
        }
        for node in &rig.nodes {
            let () = node.ask(&["SCRIPT", "FLUSH"]);
        }
    }
}

/// [L7] [L11] Rooms of all servers are listed, once; no key of a room stands in another slot than its others, whatever
/// the room is called.
#[tokio::test(flavor = "multi_thread")]
async fn no_room_reaches_into_another_slot() {
    let redis = Shared::cluster();
    let log = redis.empty_store().await.log;
    let hostile =
        ["{", "}", "{}", "{a}", "a}{b", "}{", "{{a}}", "%7B", "a:b", "*", "é", "[a-z]", "a b", "%", "%%41"];
    let mut names: BTreeSet<_> = hostile.map(room).into();
    names.extend(rooms("room", 60));
    for name in &names {
        append(&*log, name, 1, 1, &["x"]).await;
        snapshot(&*log, name, 7, 2).await;
        assert!(log.delete(name).await.unwrap());
        append(&*log, name, 1, 1, &["y"]).await;
        snapshot(&*log, name, 8, 2).await;
    }
    let mut listed = Vec::new();
    while let Ok(page) = log.rooms(listed.last(), 7).await
        && !page.is_empty()
    {
        listed.extend(page);
    }
    assert_eq!(listed, names.into_iter().collect::<Vec<_>>());
    // Room, kinds of keys → slots.
    let mut slots: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let Shared::Cluster(rig) = &redis else { panic!("it is a cluster") };
    for node in &rig.nodes {
        for key in node.ask::<Vec<String>>(&["KEYS", "*"]) {
            let (name, kind) = key.strip_prefix("retro:room:{").unwrap().rsplit_once("}:").unwrap();
            assert!(["log", "meta", "tomb"].contains(&kind) || kind.starts_with("snap:"), "{key}");
            slots.entry(name.to_owned()).or_default().insert(rig.slot_of(&key));
        }
    }
    assert_eq!(slots.len(), listed.len());
    assert!(slots.values().all(|slots| slots.len() == 1), "{slots:?}");
}

/// [L90] A log opens on any server of a cluster that lives; without one, it says so in one line.
#[tokio::test(flavor = "multi_thread")]
async fn one_living_server_is_enough_to_begin() {
    let rig = ClusterRig::start();
    let dead = format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", rig.nodes[2].port);
    let log = open(&dead).await;
    for room in rooms("room", 9) {
        append(&*log, &room, 1, 1, &["x"]).await;
    }
    let nobody = "redis+cluster://:secret@127.0.0.1:1,127.0.0.1:2";
    let options = ruang::log::redis::RedisOptions::default();
    let error =
        ruang::log::redis::RedisLog::open(&nobody.parse().unwrap(), options).await.err().unwrap().to_string();
    println!("{error}");
    assert!(error.contains("127.0.0.1:") && !error.contains('\n') && !error.contains("secret"));
    let _: Arc<dyn Log> = log;
}

//! What scripts do: forgotten scripts, answers that never come, several instances, what is published, when things expire.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind};
use ruang::log::record::Record;
use ruang::log::redis::{RedisLog, RedisOptions};
use ruang::log::{Batch, Log, LogError, UploadId};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::log_support::{append, batch, record, room, seqs, texts};
use crate::rig::single::Single;
use crate::rig::store::{adopt_at, log_key};

/// [L85] A server that has forgotten all scripts is told them again, by every kind of call.
#[tokio::test]
async fn forgotten_scripts_are_told_again() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    let forget = || server.ask::<String>(&["SCRIPT", "FLUSH"]);
    forget();
    let last = append(&log, &name, 1, 1, &["one"]).await.last;
    forget();
    append(&log, &name, 1, 2, &["two"]).await;
    forget();
    log.put_chunk(&name, UploadId(9), 0, "x".into()).await.unwrap();
    forget();
    adopt_at(&log, &name, 1, last).await;
    for _ in 0..2 {
        forget();
        assert_eq!(log.trim(&name, 1).await, Ok(1));
        forget();
        log.touch(&name, Some(60_000)).await.unwrap();
        forget();
        assert_eq!(log.freeze(&name, true).await, Ok(true));
    }
    assert_eq!(seqs(&log.read(&name, 0, 10).await.unwrap()), [2, 3]);
    forget();
    assert_eq!(log.delete(&name).await, Ok(true));
    assert_eq!(log.open(&name).await, Ok(None));
}

/// [L4] [L81] No answer leaves it open whether a batch is stored; sent again under its number it is stored once.
#[tokio::test]
async fn an_append_without_an_answer_is_settled_by_its_number() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    append(&log, &name, 1, 1, &["one"]).await;
    server.freeze(true);
    let silent = log.append(&name, batch(&name, 1, 2, &["two"])).await;
    println!("{silent:?}");
    assert!(matches!(silent, Err(LogError::Unknown(_))));
    // Meanwhile, without a connection, calls do not wait for one.
    let away = log.append(&name, batch(&name, 1, 2, &["two"])).await;
    println!("{away:?}");
    assert!(matches!(away, Err(LogError::Unavailable(_) | LogError::Unknown(_))));
    server.freeze(false);
    let appended = until_there(&log, &name, batch(&name, 1, 2, &["two"])).await;
    println!("{appended:?}");
    assert_eq!(appended.first.seq, 3);
    append(&log, &name, 1, 3, &["three"]).await;
    assert_eq!(texts(&log, &name).await, ["one", "two", "three"]);
}

/// Repeats a batch as rooms do.
async fn until_there(log: &RedisLog, name: &ruang::ids::RoomName, batch: Batch) -> ruang::log::Appended {
    for _ in 0..600 {
        match log.append(name, batch.clone()).await {
            Ok(appended) => return appended,
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Redis does not come back");
}

/// [L3] [L6] Several instances, each with connections of its own, append to the same rooms: every batch stands once and in
/// one piece, and each room has one genesis record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_share_rooms() {
    const INSTANCES: u64 = 4;
    let server = Single::start(&[]);
    let mut tasks = Vec::new();
    for instance in 1..=INSTANCES {
        let log = server.log().await;
        tasks.push(tokio::spawn(async move {
            let mut created = 0;
            for number in 1..=50 {
                for name in ["a", "b", "c"].map(room) {
                    let text = format!("{instance}.{number}");
                    let answer = append(&log, &name, instance, number, &[text.as_str(); 3]).await;
                    created += u64::from(answer.created.is_some());
                }
            }
            created
        }));
    }
    let mut created = 0;
    for task in tasks {
        created += task.await.unwrap();
    }
    assert_eq!(created, 3);
    let log = server.log().await;
    for name in ["a", "b", "c"].map(room) {
        let texts = texts(&log, &name).await;
        assert_eq!(texts.len(), usize::try_from(INSTANCES * 150).unwrap());
        assert!(texts.chunks(3).all(|three| three.iter().all(|text| *text == three[0])));
    }
}

/// [L2] Milliseconds are Redis' clock, whoever appends.
#[tokio::test]
async fn positions_are_stamped_by_redis() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    let clock = || {
        let (s, us): (u64, u64) = server.ask(&["TIME"]);
        s * 1_000 + us / 1_000
    };
    let before = clock();
    let first = append(&log, &name, 1, 1, &["x"]).await;
    assert!((before..=clock()).contains(&first.last.ms));
}

async fn listen(server: &Single, channel: &str) -> (MultiplexedConnection, UnboundedReceiver<PushInfo>) {
    let (sender, pushed) = tokio::sync::mpsc::unbounded_channel();
    let client = Client::open(format!("{}/?protocol=resp3", server.url())).unwrap();
    let config = AsyncConnectionConfig::new().set_push_sender(sender);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    redis::cmd("SSUBSCRIBE").arg(channel).exec_async(&mut connection).await.unwrap();
    (connection, pushed)
}

async fn heard(pushed: &mut UnboundedReceiver<PushInfo>) -> Vec<u8> {
    loop {
        let push = pushed.recv().await.unwrap();
        if push.kind == PushKind::SMessage {
            let redis::Value::BulkString(bytes) = &push.data[1] else { panic!("{push:?}") };
            return bytes.clone();
        }
    }
}

/// [L86] What is appended is published on the room's channel: a line that says where it stands, and the records, each
/// after its length; of a large batch the line alone. A batch that is answered again is not published again.
#[tokio::test]
async fn appends_are_published() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    let (_connection, mut pushed) = listen(&server, "retro:room:{a}:bus").await;
    let sent = batch(&name, 7, 5, &["one", "two"]);
    let first = log.append(&name, sent.clone()).await.unwrap();
    let epoch: String = server.ask(&["HGET", "retro:room:{a}:meta", "e"]);
    let said = heard(&mut pushed).await;
    let (line, mut rest) = said.split_at(said.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    let ms = first.last.ms;
    let expected = format!("1 {epoch} 0-0 {ms}-1 3 7 5 1 1\n");
    assert_eq!(String::from_utf8_lossy(line), expected);
    for record in std::iter::once(&sent.genesis).chain(&sent.records) {
        let (len, after) = rest.split_at(4);
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        assert_eq!(Record::decode(after[..len].to_vec().into()).unwrap(), *record);
        rest = &after[len..];
    }
    assert!(rest.is_empty());
    assert!(log.append(&name, sent).await.unwrap().duplicate);
    let mut large = batch(&name, 7, 6, &["x"]);
    large.records.push(record(&[7; 70_000]));
    let second = log.append(&name, large).await.unwrap();
    let (prev, at) = (first.last, second.first);
    assert_eq!(
        String::from_utf8(heard(&mut pushed).await).unwrap(),
        format!("1 {epoch} {prev} {at} 2 7 6 0 0\n")
    );
}

fn expiries(server: &Single) -> Vec<(String, i64)> {
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort();
    keys.into_iter().map(|key| (key.clone(), server.ask(&["PEXPIRETIME", &key]))).collect()
}

/// [L87] Log, entry and snapshots of a room end at one moment, some time after the deadline; without a deadline, or where
/// only instances remove rooms, never.
#[tokio::test]
async fn a_room_ends_at_one_moment() {
    const HOUR: i64 = 3_600_000;
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    let lasting = |number| Batch { ttl_ms: Some(100 * 3_600_000), ..batch(&name, 1, number, &["x"]) };
    let first = log.append(&name, lasting(1)).await.unwrap();
    adopt_at(&log, &name, 1, first.last).await;
    adopt_at(&log, &name, 2, first.last).await;
    let ends = || {
        let ends: Vec<i64> = expiries(&server).into_iter().map(|(_, end)| end).collect();
        assert_eq!(ends.len(), 4);
        assert!(ends.iter().all(|end| *end == ends[0]), "{:?}", expiries(&server));
        ends[0]
    };
    let deadline = async || log.open(&name).await.unwrap().unwrap().deadline_ms.unwrap().cast_signed();
    let end = ends();
    assert_eq!(end, deadline().await + HOUR);
    // It is not set again with each append, only when it is a minute off.
    log.append(&name, lasting(2)).await.unwrap();
    assert_eq!(ends(), end);
    log.touch(&name, Some(200 * 3_600_000)).await.unwrap();
    assert_eq!(ends(), deadline().await + HOUR);
    log.touch(&name, None).await.unwrap();
    assert_eq!(ends(), -1);
    log.append(&name, lasting(3)).await.unwrap();
    assert_eq!(ends(), deadline().await + HOUR);
    log.append(&name, Batch { ttl_ms: None, ..lasting(4) }).await.unwrap();
    assert_eq!(ends(), -1);
    let options = RedisOptions { expiry_grace_ms: None, ..RedisOptions::default() };
    let unlimited = server.try_log(options).await.unwrap();
    unlimited.append(&name, Batch { instance: ruang::ids::InstanceId(2), ..lasting(1) }).await.unwrap();
    assert_eq!(ends(), -1);
    assert!(log.open(&name).await.unwrap().unwrap().deadline_ms.is_some());
}

/// [L87] A room that nobody removes is removed by Redis, whole.
#[tokio::test]
async fn redis_removes_a_room_that_nobody_has() {
    let server = Single::start(&[]);
    let options = RedisOptions { expiry_grace_ms: Some(300), ..RedisOptions::default() };
    let (log, name) = (server.try_log(options).await.unwrap(), room("a"));
    let last = append(&log, &name, 1, 1, &["x"]).await.last;
    adopt_at(&log, &name, 1, last).await;
    log.touch(&name, Some(0)).await.unwrap();
    assert!(log.open(&name).await.unwrap().is_some(), "the deadline alone removes nothing");
    while log.open(&name).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert!(keys.is_empty(), "{keys:?}");
    assert_eq!(log.read(&name, 0, 10).await, Ok(vec![]));
    assert!(append(&log, &name, 1, 1, &["new"]).await.created.is_some());
}

/// [L62] [L87] Nothing of a room stays: its uploads go with it; of a deleted one the tombstone stays.
#[tokio::test]
async fn nothing_of_a_removed_room_stays() {
    let server = Single::start(&[]);
    let (log, other) = (server.log().await, server.log().await);
    for (name, deleted) in [("a", true), ("b", false)] {
        let name = room(name);
        let last = append(&log, &name, 1, 1, &["x"]).await.last;
        adopt_at(&log, &name, 1, last).await;
        log.put_chunk(&name, UploadId(2), 0, "x".into()).await.unwrap();
        other.put_chunk(&name, UploadId(3), 0, "x".into()).await.unwrap();
        let all: Vec<String> = server.ask(&["KEYS", &format!("retro:room:{{{}}}:*", name.as_str())]);
        assert_eq!(all.len(), 5, "{all:?}");
        if deleted {
            assert_eq!(log.delete(&name).await, Ok(true));
        } else {
            log.touch(&name, Some(0)).await.unwrap();
            let deadline = log.open(&name).await.unwrap().unwrap().deadline_ms.unwrap();
            assert_eq!(log.expire(&name, deadline).await, Ok(true));
        }
    }
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert_eq!(keys, [log_key(&room("a")).replace(":log", ":tomb")]);
}

/// [L55] An upload that nobody adopts ends by itself; one of another opening is not seen, and cannot be adopted.
#[tokio::test]
async fn uploads_end_by_themselves() {
    let server = Single::start(&[]);
    let (log, other, name) = (server.log().await, server.log().await, room("a"));
    append(&log, &name, 1, 1, &["x"]).await;
    log.put_chunk(&name, UploadId(1), 0, "x".into()).await.unwrap();
    let ttl: i64 = server.ask(&["PTTL", "retro:room:{a}:snap:0-0000000000000001"]);
    assert!((3_590_000..=3_600_000).contains(&ttl), "{ttl}");
    assert_eq!(other.chunk(&name, UploadId(1), 0).await, Ok(None));
    let _: u64 = server.ask(&["DEL", "retro:room:{a}:snap:0-0000000000000001"]);
    assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(None));
}

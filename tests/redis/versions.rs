//! Instances of two versions side by side, and instances that are replaced one after the other: what docs/STORAGE.md says
//! that an older one does with what it does not know. Rules L9, L22, L83 and O3.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ruang::ids::{InstanceId, SessionId};
use ruang::log::Log;
use ruang::log::record::{Kind, Metadata, Record, Role, RoomKind};
use ruang::wire::y_websocket;
use tokio::time::sleep;
use yrs::{Doc, Map, ReadTxn, Transact};

use crate::binary::Served;
use crate::crowd::Crowd;
use crate::harness::Server;
use crate::rig::process::RedisProcess;
use crate::traffic::open;
use crate::two::{Two, kinds};

const META: &str = "retro:room:{r}:meta";
const LOG: &str = "retro:room:{r}:log";
const BUS: &str = "retro:room:{r}:bus";

/// A record of a kind that this version does not know, with an update in it.
fn newer_record(kind: u8, key: &str) -> Bytes {
    let doc = Doc::new();
    let map = doc.get_or_insert_map("m");
    map.insert(&mut doc.transact_mut(), key, "x");
    let update = doc.transact().encode_state_as_update_v1(&yrs::StateVector::default());
    let metadata = Metadata {
        session: Some(SessionId(1)),
        role: Role::Editor,
        ..Metadata::by_server(InstanceId(99), 1, RoomKind::Free, 5)
    };
    let mut bytes = Record::new(Kind::Update, &metadata, &update).unwrap().encoded.to_vec();
    bytes[5] = kind;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes.into()
}

/// Appends a record as a newer instance does, and tells of it: with the record or without.
fn append_newer(redis: &RedisProcess, record: &[u8], whole: bool) {
    let fields: (String, u64, u64) = redis.ask(&["HMGET", META, "e", "s", "t"]);
    let (epoch, seq, ms) = fields;
    let (before, id) = (format!("{ms}-{seq}"), format!("{ms}-{}", seq + 1));
    let mut connection = redis.connection();
    let () = redis::cmd("XADD").arg(LOG).arg(&id).arg("e").arg(record).exec(&mut connection).unwrap();
    let () = redis.ask(&["HSET", META, "s", &(seq + 1).to_string()]);
    let mut message = format!("1 {epoch} {before} {id} 1 99 1 0 {}\n", u8::from(whole)).into_bytes();
    if whole {
        message.extend_from_slice(&u32::try_from(record.len()).unwrap().to_le_bytes());
        message.extend_from_slice(record);
    }
    let heard: i64 = redis::cmd("SPUBLISH").arg(BUS).arg(message).query(&mut connection).unwrap();
    assert_eq!(heard, 2, "both instances listen");
}

/// [L22] [R28] Records of an optional kind that is not known here are folded, shown and kept, whichever way they come.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_records_are_shown_and_kept() {
    let redis = RedisProcess::alone(&[]);
    let mut people = Two::on(&redis.url()).await;
    for whole in [true, false] {
        people.meet("before").await;
        let key = format!("newer-{whole}");
        append_newer(&redis, &newer_record(0x0b, &key), whole);
        people.ann.until_set(&key, "x").await;
        people.bob.until_set(&key, "x").await;
        people.exchange(&format!("after {whole}")).await;
    }
    people.agree().await;
    let unknown = kinds(&redis.url()).await.into_iter().filter(|kind| *kind == Kind::Other(0x0b)).count();
    assert_eq!((unknown, people.healed()), (2, 0));
    people.stop().await;
}

/// [L9] [R28] A record that must be understood and is not: nobody is shown a guess, and nothing of it is touched. People are
/// asked to come back, by a code that lets them; they keep their edits.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_must_be_understood_ends_the_room_here() {
    let redis = RedisProcess::alone(&[]);
    let mut people = Two::on(&redis.url()).await;
    people.meet("before").await;
    let key = "newer";
    append_newer(&redis, &newer_record(0x8b, key), true);
    for client in people.everyone() {
        assert_eq!(client.until_closed().await, Some(1013));
        assert_eq!(client.get(key), None);
    }
    let before: u64 = redis.ask(&["XLEN", LOG]);
    let url = people.one.url("r");
    people.ann.reconnect(&url, None).await;
    let state_vector = people.ann.state_vector();
    people.ann.send(y_websocket::sync_step1(&state_vector)).await;
    assert_eq!(people.ann.until_closed().await, Some(1013), "it cannot be opened here");
    assert_eq!(redis.ask::<u64>(&["XLEN", LOG]), before);
    println!("other rooms of the same instances are well");
    let mut other = people.one.join_for_acks("other").await;
    other.set("a", "x").await;
    other.until_acked().await.unwrap();
}

/// [R28] Whatever a newer instance says on the channel: it is looked up in the log, and nothing is lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_messages_are_looked_up() {
    let redis = RedisProcess::alone(&[]);
    let mut people = Two::on(&redis.url()).await;
    let messages: [&[u8]; 9] = [
        b"2 0 0-0 0-1 1 1 1 0 1\nxxxx",
        b"z 7\n",
        b"w\n",
        b"q seven\n",
        b"",
        b"\n",
        &[0xff; 300],
        b"1 00 1-1 1-2 1 1 1 0 1\n\xff\xff\xff\xff",
        b"1 0000000000000001 1-1 1-2 999999999 1 1 0 1\n",
    ];
    for (number, message) in messages.into_iter().enumerate() {
        let heard: i64 = redis::cmd("SPUBLISH").arg(BUS).arg(message).query(&mut redis.connection()).unwrap();
        assert_eq!(heard, 2);
        people.edit(&format!("after-{number}"), 1).await;
        people.meet("an unknown message").await;
    }
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [L83] A room that a newer version has taken over is left as it is: edits are refused and kept by people, the room is not
/// opened; when it is ours again, they are stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_a_newer_version_is_left_alone() {
    let redis = RedisProcess::alone(&[]);
    let mut people = Two::on(&redis.url()).await;
    people.exchange("before").await;
    people.meet("before").await;
    let _: i64 = redis.ask(&["HSET", META, "v", "2"]);
    let records: u64 = redis.ask(&["XLEN", LOG]);
    people.ann.set("refused", "x").await;
    assert_eq!(people.ann.until_closed().await, Some(1013));
    let third = Server::start(open(&redis.url()).await).await;
    let mut late = third.connect("r").await;
    late.send(y_websocket::sync_step1(&[0])).await;
    assert_eq!(late.until_closed().await, Some(1013));
    drop(late);
    third.stop().await;
    let error = open(&redis.url()).await.open(&"r".parse().unwrap()).await.unwrap_err().to_string();
    println!("{error}");
    assert!(error.contains("newer") && error.contains(META) && !error.contains('\n'));
    assert_eq!(redis.ask::<u64>(&["XLEN", LOG]), records);
    let _: i64 = redis.ask(&["HSET", META, "v", "1"]);
    let url = people.two.url("r");
    people.ann.reconnect(&url, Some("ruang.v1")).await;
    people.ann.sync().await;
    people.ann.until_acked().await.unwrap();
    people.bob.until_set("refused", "x").await;
    people.agree().await;
    people.stop().await;
}

/// [O3] [R28] Instances are replaced one after the other, by SIGTERM, under people who write: everyone moves to the other one
/// and back, nothing is lost, and nobody sees anything go.
#[tokio::test(flavor = "multi_thread")]
async fn instances_are_replaced_one_by_one() {
    let redis = RedisProcess::alone(&[]);
    let url = redis.url();
    let serve = || Served::start(&["--store", &url], &[]);
    let mut instances = [serve(), serve()];
    let address = |instances: &[Served; 2]| instances.each_ref().map(|it| it.address.clone()).to_vec();
    let places = Arc::new(Mutex::new(address(&instances)));
    let crowd = Crowd::start("r", 6, &places);
    crowd.go_on(10).await;
    for old in 0..2 {
        println!("instance {old} drains");
        *places.lock() = vec![instances[1 - old].address.clone()];
        instances[old].signal("-TERM");
        crowd.go_on(10).await;
        let ended = std::mem::replace(&mut instances[old], serve());
        let code = tokio::task::spawn_blocking(move || ended.ended(Duration::from_secs(40)).0).await.unwrap();
        assert_eq!(code, Some(0));
        *places.lock() = address(&instances);
        crowd.go_on(10).await;
        let promised = crowd.promised();
        let (lost, stored) = crowd.missing(&url, &promised).await;
        println!("{promised:?} promised, {stored} stored, {lost} lost");
        assert_eq!(lost, 0);
        sleep(Duration::from_millis(100)).await;
    }
    crowd.end(&url).await;
}

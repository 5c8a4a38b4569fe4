//! Rooms whose stored records are damaged, or hold what must not be folded.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use ruang::ids::{Generation, InstanceId, RoomName, SessionId};
use ruang::log::memory::{Damage, Faults, MemoryLog};
use ruang::log::record::{Kind, Metadata, Record, Role, RoomKind, genesis_update};
use ruang::log::{Batch, Log};
use yrs::updates::decoder::Decode;
use yrs::{Transact, Update};

use crate::craft::{At, Blocks, blocks};
use crate::harness::{Client, Server};
use crate::hex::bytes;

const RECORDS: u64 = 4;

fn record(kind: Kind, update: &[u8]) -> Record {
    let metadata = Metadata {
        session: Some(SessionId(1)),
        role: Role::Editor,
        ..Metadata::by_server(InstanceId(7), 1, RoomKind::Free, 5)
    };
    Record::new(kind, &metadata, update).unwrap()
}

/// What the records of a small room hold: its marker; `a` by one client; the text by another; `b`
/// by the first, which builds on the second record.
fn updates(room: &RoomName) -> [Vec<u8>; 4] {
    [
        genesis_update(room, Generation { nonce: 5 }),
        blocks(Blocks::of(11, 0).one(At::Key("m", "a"))),
        blocks(Blocks::of(12, 0).text(At::Root("t"), "hi")),
        blocks(Blocks::of(11, 1).one(At::Key("m", "b"))),
    ]
}

/// `a`, `b` and the text as a room has them without one of its records, and how many are reported.
fn without(seq: u64) -> ([Option<&'static str>; 3], u64) {
    let one = Some("1");
    match seq {
        1 => ([one, one, Some("hi")], 1),
        2 => ([None, None, Some("hi")], 2), // `b` cannot stand without `a`'s record
        3 => ([one, one, Some("")], 1),
        _ => ([one, None, Some("hi")], 1),
    }
}

fn content(client: &Client) -> [Option<String>; 3] {
    [client.get("a"), client.get("b"), Some(client.text())]
}

struct Store {
    log: Arc<dyn Log>,
    faults: Faults,
    server: Server,
}

impl Store {
    async fn new() -> Self {
        let (log, faults) = MemoryLog::with_faults();
        let log: Arc<dyn Log> = Arc::new(log);
        let server = Server::start(Arc::clone(&log)).await;
        Self { log, faults, server }
    }

    async fn fill(&self, room: &RoomName) {
        let [genesis, rest @ ..] = updates(room);
        let records = rest.iter().map(|update| record(Kind::Update, update)).collect();
        let batch = Batch::new(InstanceId(7), 1, record(Kind::Genesis, &genesis), records);
        self.log.append(room, batch).await.unwrap();
    }

    /// A newcomer finds all but the spoilt record and what builds on it.
    async fn check_rest(&self, room: &RoomName, seq: u64, case: &str) {
        let newcomer = self.server.join(room.as_str()).await;
        let (rest, _) = without(seq);
        assert_eq!(content(&newcomer), rest.map(|value| value.map(str::to_owned)), "{case}");
    }

    /// Someone who still has everything comes back, and then everyone has it.
    async fn check_return(&self, room: &RoomName, case: &str) {
        let mut holder = self.server.connect_for_acks(room.as_str()).await;
        for update in updates(room) {
            let update = Update::decode_v1(&update).unwrap();
            holder.doc.transact_mut().apply_update(update).unwrap();
        }
        holder.sync().await;
        holder.until("the ack of its Step2", |holder| holder.acked == 1).await;
        let newcomer = self.server.join(room.as_str()).await;
        let whole = [Some("1"), Some("1"), Some("hi")].map(|value| value.map(str::to_owned));
        assert_eq!(content(&newcomer), whole, "{case}: brought back");
    }
}

/// [L8, R11] Each truncation and each flipped bit of each record of a small room: the room opens,
/// what is damaged and what builds on it is set aside and counted, the rest is there, and a client
/// that still has the content brings it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_are_set_aside_and_brought_back() {
    let store = Store::new().await;
    let sample: RoomName = "case-0000".parse().unwrap();
    let lengths = updates(&sample).map(|update| record(Kind::Update, &update).encoded.len());
    let mut cases = Vec::new();
    for (seq, len) in (1..=RECORDS).zip(lengths) {
        cases.extend((0..len).map(|at| (seq, Damage::Truncate(at), true)));
        // Each bit; the way back is the same for all, so it is gone once a byte.
        cases.extend((0..8 * len).map(|bit| (seq, Damage::FlipBit(bit), bit % 8 == bit / 8 % 8)));
    }
    let count = cases.len() as u64;
    let reported: u64 = cases.iter().map(|(seq, ..)| without(*seq).1).sum();
    println!("{count} cases");
    stream::iter(cases.into_iter().enumerate())
        .for_each_concurrent(16, async |(n, (seq, damage, comes_back))| {
            let case = format!("record {seq}, {damage:?}");
            let room: RoomName = format!("case-{n:04}").parse().unwrap();
            store.fill(&room).await;
            assert!(store.faults.damage(&room, seq, damage), "{case}");
            store.check_rest(&room, seq, &case).await;
            if comes_back {
                store.check_return(&room, &case).await;
            }
        })
        .await;
    let metrics = &store.server.app.metrics;
    assert_eq!((metrics.rooms_loaded.get(), metrics.rooms_failed.get()), (count, 0));
    assert_eq!(metrics.records_set_aside.get(), reported);
    store.server.stop().await;
}

/// [R11, G16] An intact record that holds what the gate refuses is set aside like a damaged one:
/// the room lives, for those in it and for newcomers.
#[tokio::test]
async fn records_that_must_not_be_folded_are_set_aside() {
    let store = Store::new().await;
    let deep = [&[1][..], &[117, 1].repeat(400_000), &[126]].concat();
    let nested = (1..8_000_u64)
        .fold(Blocks::of(31, 0).new_type(At::Root("x"), 0), |all, n| all.new_type(At::Type((31, n - 1)), 0));
    let mut hostile = vec![
        ("a deep value".to_owned(), blocks(Blocks::of(31, 0).block(At::Root("x"), 8, &deep))),
        ("nested types".to_owned(), crate::craft::update([nested], &[(31, 0, 1)])),
        ("a missing origin".to_owned(), blocks(Blocks::of(31, 0).one(At::After((9, 9))))),
        ("a parent that is none".to_owned(), blocks(Blocks::of(31, 0).one(At::Type((11, 0))))),
    ];
    for entry in crate::hostile() {
        if entry.kind == "update" && entry.refused {
            hostile.push((entry.name, bytes(entry.hex.last().unwrap())));
        }
    }
    let mut reported = 0;
    for (n, (case, update)) in hostile.iter().enumerate() {
        let room: RoomName = format!("hostile-{n}").parse().unwrap();
        store.fill(&room).await;
        let encoded = record(Kind::Update, update).encoded;
        assert!(store.faults.rewrite(&room, 3, |stored| *stored = encoded.to_vec()));
        store.check_rest(&room, 3, case).await;
        reported += 1;
        assert_eq!(store.server.app.metrics.records_set_aside.get(), reported, "{case}");
        store.check_return(&room, case).await;
    }
    assert_eq!(store.server.app.metrics.rooms_failed.get(), 0);
    println!("{reported} hostile records");
    store.server.stop().await;
}

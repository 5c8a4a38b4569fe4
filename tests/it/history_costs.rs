//! What compaction and a load cost: 20,000 small updates by 20 clients on a board of 500 items. Figures
//! are printed; only sizes are asserted, never times. Meaningful in release:
//!
//! `cargo nextest run --release --test history_costs --run-ignored all --no-capture`
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says what it expects by failing"
)]

mod history_support;
mod random_docs;

use std::time::{Duration, Instant};

use history_support::*;
use random_docs::Random;
use ruang::history::{Range, Start};
use yrs::updates::decoder::Decode;
use yrs::{ClientID, Doc, Map, MapPrelim, MapRef, OffsetKind, Options, Out, Transact, Update};

const CLIENTS: u64 = 20;
const ITEMS: usize = 500;
const UPDATES: usize = 20_000;

fn client(id: u64) -> Doc {
    Doc::with_options(Options {
        client_id: ClientID::new(id),
        offset_kind: OffsetKind::Utf16,
        ..Options::default()
    })
}

fn item(doc: &Doc, items: &MapRef, n: usize) -> MapRef {
    match items.get(&doc.transact(), &format!("item-{n:04x}")) {
        Some(Out::YMap(item)) => item,
        other => panic!("{other:?} is no item"),
    }
}

/// The updates: the items by one client, then sets of x or y by all, each seeing the others' now and then.
fn updates() -> Vec<Vec<u8>> {
    let mut random = Random::new(7);
    let clients: Vec<Doc> = (0..CLIENTS).map(|n| client(0x1234_5678 + n * 7_919)).collect();
    let first = clients[0].get_or_insert_map("items");
    let mut updates = Vec::new();
    for n in 0..ITEMS {
        let mut transaction = clients[0].transact_mut();
        let item = first.insert(&mut transaction, format!("item-{n:04x}"), MapPrelim::default());
        item.insert(&mut transaction, "x", 0);
        item.insert(&mut transaction, "y", 0);
        item.insert(&mut transaction, "text", "What went well this week?");
        updates.push(transaction.encode_update_v1());
    }
    let mut seen = vec![0; clients.len()];
    for _ in 0..UPDATES {
        let at = random.index(clients.len());
        let doc = &clients[at];
        if seen[at] == 0 || random.chance(5) {
            let mut transaction = doc.transact_mut();
            for update in &updates[seen[at]..] {
                transaction.apply_update(Update::decode_v1(update).unwrap()).unwrap();
            }
            seen[at] = updates.len();
        }
        let items = doc.get_or_insert_map("items");
        let item = item(doc, &items, random.index(ITEMS));
        let mut transaction = doc.transact_mut();
        let key = if random.chance(50) { "x" } else { "y" };
        item.insert(&mut transaction, key, i64::try_from(random.below(2_000)).unwrap());
        updates.push(transaction.encode_update_v1());
    }
    updates
}

/// CPU of all threads of this process.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// [H11] What it all costs, and that a snapshot is at most an eighth of its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn costs_of_twenty_thousand_updates() {
    let (log, _) = memory();
    let mut writer = Writer::new(&log, "r");
    writer.write(&updates()).await;
    drop(writer.truth);
    let head = log.open(&writer.room).await.unwrap().unwrap();
    println!("{} records, {} kB in the log", head.last.seq, head.bytes / 1_000);

    let load = async |what: &str, start| {
        let mut times = Vec::new();
        for _ in 0..9 {
            let began = Instant::now();
            let range = Range { start, ..Range::TO_HEAD };
            let fold = walked(&log, &writer.room, range).await.into_fold().unwrap();
            let answer = fold.document().encode_full();
            times.push(began.elapsed());
            assert!(answer.len() > 100_000);
        }
        times.sort();
        println!("{what}, to a whole document: {:?} (median of 9), {:?} at most", times[4], times[8]);
    };
    load("a load from all records", Start::Genesis).await;

    let (began, used) = (Instant::now(), cpu());
    let written = compact(&log, &writer.room, Default::default()).await;
    let (took, used) = (began.elapsed(), cpu() - used);
    let head = log.open(&writer.room).await.unwrap().unwrap();
    let snapshot = head.snapshots[0];
    println!("compaction of all: {used:?} of CPU, {took:?}; {:?}", written.outcome);
    let ratio = head.bytes as f64 / snapshot.bytes as f64;
    println!("the snapshot has {} kB, 1/{ratio:.1} of its log", snapshot.bytes / 1_000);
    assert!(ratio >= 8.0);

    load("a load from the snapshot", Start::NEWEST).await;
    let more = keystrokes(99, 900);
    for (number, strokes) in (1..).zip(more.chunks(256)) {
        let records = strokes.iter().map(|update| update_record(update)).collect();
        let instance = ruang::ids::InstanceId(8);
        let batch = ruang::log::Batch {
            expects: ruang::log::Expects::Present,
            ..ruang::log::Batch::new(instance, number, genesis(&writer.room), records)
        };
        log.append(&writer.room, batch).await.unwrap();
    }
    load("a load from the snapshot and 900 records behind it", Start::NEWEST).await;
    let (began, used) = (Instant::now(), cpu());
    compact(&log, &writer.room, Default::default()).await;
    println!("the next compaction, of 900: {:?} of CPU, {:?}", cpu() - used, began.elapsed());
}

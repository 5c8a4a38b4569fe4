//! How much is read at once.

use ruang::ids::RoomName;
use ruang::limits::READ_BYTES_MAX;
use ruang::log::record::{Record, StoredRecord};
use ruang::log::{Batch, Log};
use ruang::room::RoomsOptions;
use yrs::{Doc, Map, Transact};

use crate::life_support::{Person, rooms};
use crate::log_support::{batch, head, record, room, seqs};
use crate::rig::proxy::Proxy;
use crate::rig::single::Single;
use crate::rig::store::{Shared, adopt_at, entries, log_key};
use crate::traffic::open;

const MIB: usize = 1 << 20;
const SMALL: u64 = 20_000;
const LARGE: u64 = 40;

/// A page ends with the record that passes its bound; answers say some words more.
const ANSWER_BYTES_MAX: u64 = (READ_BYTES_MAX + 4 * MIB + (64 << 10)) as u64;

/// Somebody who writes records.
struct Author {
    doc: Doc,
    number: u64,
}

impl Author {
    fn new() -> Self {
        Self { doc: Doc::with_client_id(7), number: 0 }
    }

    /// Sets a key to a text of so many bytes.
    fn set(&self, key: &str, bytes: usize) -> Record {
        let map = self.doc.get_or_insert_map("m");
        let mut txn = self.doc.transact_mut();
        map.insert(&mut txn, key, "x".repeat(bytes));
        record(&txn.encode_update_v1())
    }

    async fn append(&mut self, log: &dyn Log, name: &RoomName, records: Vec<Record>) {
        self.number += 1;
        let batch = Batch { records, ..batch(name, 1, self.number, &[""; 0]) };
        log.append(name, batch).await.unwrap();
    }
}

/// A room that was edited a lot, and then got large records: from one to four MiB each.
async fn grown(log: &dyn Log, name: &RoomName) {
    let mut author = Author::new();
    for from in (0..SMALL).step_by(250) {
        let small = (from..from + 250).map(|n| author.set(&format!("small-{}", n % 50), 20)).collect();
        author.append(log, name, small).await;
    }
    for n in 0..LARGE {
        let large = author.set("large", MIB * (1 + n as usize % 4));
        author.append(log, name, vec![large]).await;
    }
}

/// Everything above a counter, as a walk reads it.
async fn walked(log: &dyn Log, name: &RoomName, after: u64) -> Vec<StoredRecord> {
    let mut all: Vec<StoredRecord> = Vec::new();
    loop {
        let after = all.last().map_or(after, |record| record.position().seq);
        let page = log.read(name, after, 2_048).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// How many pages a server was asked for since its counts were reset.
fn pages(server: &Single) -> u64 {
    let stats: String = server.ask(&["INFO", "commandstats"]);
    let calls = |command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|rest| rest.split(',').next()).map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let (scripts, plain) = (calls("evalsha"), calls("xrange"));
    println!("{scripts} scripts, {plain} ranges inside and outside of them");
    if scripts > 0 { scripts } else { plain }
}

/// [L100] A room that was small for long, and then got large records, is read in answers that are bounded by their bytes:
/// from its beginning, from a snapshot before the large ones, and where an entry is missing between them. It opens whole.
/// Small records take no more answers than their number says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_bounded_in_bytes() {
    let server = Single::start(&[]);
    let (direct, name) = (server.log().await, room("a"));
    grown(&direct, &name).await;
    let last = head(&direct, &name).await.last.seq;
    assert_eq!(last, 1 + SMALL + LARGE);
    let proxy = Proxy::tcp(server.socket());

    let log = open(&proxy.url()).await;
    let () = server.ask(&["CONFIG", "RESETSTAT"]);
    let all = walked(&*log, &name, 0).await;
    assert_eq!(seqs(&all), (1..=last).collect::<Vec<_>>());
    let (count, most) = (pages(&server), proxy.take_answer_bytes_most());
    println!("{last} records from the beginning: {count} pages, of {most} bytes at most");
    assert!(most <= ANSWER_BYTES_MAX, "{most}");
    // As many pages of 512 as if all were small, and of the 100 MiB at least four in each of the others.
    assert!(count <= 40 + 26, "{count}");

    let rooms = rooms(log, RoomsOptions::default());
    let keys = Person::join(&rooms, &name).await.keys().await;
    let most = proxy.take_answer_bytes_most();
    println!("a room that is opened: {} keys, {most} bytes at most", keys.len());
    assert!(keys.len() == 51 && keys.contains(&"large".to_owned()));
    assert!(most <= ANSWER_BYTES_MAX, "{most}");
    rooms.shut_down().await;

    let through = all[usize::try_from(SMALL).unwrap()].position();
    adopt_at(&direct, &name, 1, through).await;
    let gone = &entries(&server, &log_key(&name))[usize::try_from(SMALL + 20).unwrap()].0;
    let _: u64 = server.ask(&["XDEL", &log_key(&name), gone]);
    for after in [through.seq, 0] {
        let log = open(&proxy.url()).await;
        proxy.take_answer_bytes_most();
        let all = walked(&*log, &name, after).await;
        let most = proxy.take_answer_bytes_most();
        println!("behind {after}, with a hole: {} records, {most} bytes at most", all.len());
        assert_eq!(seqs(&all), (after + 1..=last).collect::<Vec<_>>());
        let damaged = all.iter().filter(|record| matches!(record, StoredRecord::Damaged { .. })).count();
        assert_eq!(damaged, 1);
        assert!(most <= ANSWER_BYTES_MAX, "{most}");
    }
}

/// [L100] [L89] The same on a cluster, as a user who has the documented rights only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_bounded_on_clusters() {
    let (store, name) = (Shared::cluster().empty_store().await, room("a"));
    let mut author = Author::new();
    for n in 0..6 {
        let large = author.set("large", MIB * (1 + n % 3));
        author.append(&*store.log, &name, vec![large]).await;
    }
    let counts: Vec<usize> = {
        let mut counts = Vec::new();
        let mut after = 0;
        while after < 7 {
            let page = store.log.read(&name, after, 100).await.unwrap();
            assert_eq!(page[0].position().seq, after + 1);
            after += page.len() as u64;
            counts.push(page.len());
        }
        counts
    };
    println!("records in each read: {counts:?}");
    assert_eq!(counts, [4, 3], "a read ends with the record that passes its bytes");
}

/// [L100] [R28] A room that follows another instance gets over records that fill a page each: also where one of them is the
/// newest that it has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_follow_over_large_records() {
    let server = Single::start(&[]);
    let (other, name) = (server.log().await, room("a"));
    let mut author = Author::new();
    let first = author.set("first", 1);
    author.append(&other, &name, vec![first]).await;
    let rooms = rooms(open(&server.url()).await, RoomsOptions::default());
    let mut person = Person::join(&rooms, &name).await;
    for n in 0..3 {
        let large = author.set(&format!("large-{n}"), 5 * MIB);
        author.append(&other, &name, vec![large]).await;
    }
    let deadline = tokio::time::Instant::now() + crate::rig::PATIENCE;
    while person.keys().await.len() < 4 {
        assert!(tokio::time::Instant::now() < deadline, "the room does not follow");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    println!("{:?}", person.keys().await);
    rooms.shut_down().await;
}

//! A room with a story, and what verbs print about it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ruang::history::{Retention, compact};
use ruang::ids::{Generation, InstanceId, RoomName, SessionId};
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::record::{Kind, Metadata, Record, Role, RoomKind, genesis_update};
use ruang::log::{Batch, Log};
use ruang::replay::output::Output;
use ruang::replay::place::Place;
use ruang::replay::show::{ShowOptions, show};
use ruang::replay::state::{Format, state};
use ruang::replay::{Done, ReplayError};
use serde_json::Value;
use yrs::{Doc, GetString, Map, MapPrelim, ReadTxn, StateVector, Text, Transact};

use crate::log_support::{clock, room};

/// 2026-11-23T10:00Z.
pub const TEN: u64 = 1_795_428_000_000;
pub const MINUTE: u64 = 60_000;

/// Someone who edits, and whose updates become records.
pub struct Author {
    pub doc: Doc,
    known: StateVector,
}

impl Author {
    pub fn new(client: u64) -> Self {
        Self { doc: Doc::with_client_id(client), known: StateVector::default() }
    }

    /// What the edit brings, as an update.
    pub fn edit(&mut self, edit: impl FnOnce(&Doc)) -> Vec<u8> {
        edit(&self.doc);
        let transaction = self.doc.transact();
        let update = transaction.encode_diff_v1(&self.known);
        self.known = transaction.state_vector();
        update
    }
}

pub fn metadata(user: Option<&str>, claims: Vec<u64>) -> Metadata {
    Metadata {
        user: user.map(str::to_owned),
        session: Some(SessionId(3)),
        role: Role::Editor,
        claims,
        ..Metadata::by_server(InstanceId(0xabc), 1, RoomKind::Free, TEN)
    }
}

pub fn update_record(user: Option<&str>, claims: Vec<u64>, update: &[u8]) -> Record {
    Record::new(Kind::Update, &metadata(user, claims), update).unwrap()
}

/// A log in memory with a clock in our hands.
pub struct Fixture {
    pub log: Arc<dyn Log>,
    pub faults: Faults,
    pub now_ms: Arc<AtomicU64>,
    numbers: AtomicU64,
}

impl Fixture {
    pub fn new() -> Self {
        let now_ms = Arc::new(AtomicU64::new(TEN));
        let (log, faults) = MemoryLog::with_clock(clock(&now_ms));
        Self { log: Arc::new(log), faults, now_ms, numbers: AtomicU64::new(0) }
    }

    /// Appends records, in one batch, a minute after what was before.
    pub async fn append(&self, room: &RoomName, records: Vec<Record>) {
        append(&self.log, room, self.numbers.fetch_add(1, Ordering::Relaxed) + 1, records).await;
        self.now_ms.fetch_add(MINUTE, Ordering::Relaxed);
    }

    /// The story: a card at #2, its text at #3 and #4, another card at #5, the first card's end at #6.
    pub async fn story(&self, room: &RoomName) -> Doc {
        let mut author = Author::new(77);
        let items = author.doc.get_or_insert_map("items");
        let notes = author.doc.get_or_insert_text("notes");
        let updates = [
            author.edit(|doc| {
                let card = items.insert(&mut doc.transact_mut(), "a", MapPrelim::default());
                card.insert(&mut doc.transact_mut(), "x", 1);
            }),
            author.edit(|doc| notes.push(&mut doc.transact_mut(), "hello")),
            author.edit(|doc| notes.push(&mut doc.transact_mut(), " world")),
            author.edit(|doc| {
                items.insert(&mut doc.transact_mut(), "b", "second");
            }),
            author.edit(|doc| drop(items.remove(&mut doc.transact_mut(), "a"))),
        ];
        for (update, n) in updates.iter().zip(0..) {
            let claims = if n == 0 { vec![77] } else { Vec::new() };
            self.append(room, vec![update_record(Some("ayu"), claims, update)]).await;
        }
        assert_eq!(notes.get_string(&author.doc.transact()), "hello world");
        author.doc.clone()
    }
}

pub async fn append(log: &Arc<dyn Log>, room: &RoomName, number: u64, records: Vec<Record>) {
    let genesis = Record::new(
        Kind::Genesis,
        &Metadata { user: None, session: None, role: Role::Server, ..metadata(None, Vec::new()) },
        &genesis_update(room, Generation { nonce: 12_345 }),
    );
    let batch = Batch {
        ttl_ms: Some(24 * 60 * MINUTE),
        ..Batch::new(InstanceId(0xabc), number, genesis.unwrap(), records)
    };
    log.append(room, batch).await.unwrap();
}

/// A place that takes bytes and can be looked at.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().clone()
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What a verb has printed: results, notes, and how it ended.
pub struct Printed {
    pub out: Paper,
    pub notes: Paper,
    pub done: Result<Done, ReplayError>,
}

/// Runs a verb, as lines of JSON or as a table.
pub async fn printed(
    json: bool,
    verb: impl AsyncFnOnce(&mut Output<'_>) -> Result<Done, ReplayError>,
) -> Printed {
    let (out, notes) = (Paper::default(), Paper::default());
    let (mut to_out, mut to_notes) = (out.clone(), notes.clone());
    let mut output = Output::new(&mut to_out, &mut to_notes, json, false);
    let done = verb(&mut output).await;
    Printed { out, notes, done }
}

/// The lines of `show`.
pub async fn shown(log: &Arc<dyn Log>, room: &RoomName, options: ShowOptions) -> Vec<Value> {
    let now_ms = TEN + 60 * MINUTE;
    let printed = printed(true, async |output| show(log, room, &options, now_ms, output).await).await;
    assert_eq!(printed.done.unwrap(), Done::Good);
    printed.out.lines()
}

/// One field of each line.
pub fn field<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().map(|line| &line[name]).collect()
}

/// The document at a counter.
pub async fn state_at(log: &Arc<dyn Log>, room: &RoomName, seq: u64) -> Value {
    let printed =
        printed(true, async |output| state(log, room, Place::Seq(seq), Format::Json, TEN, output).await);
    let printed = printed.await;
    assert_eq!(printed.done.unwrap(), Done::Good);
    printed.out.lines()[0]["document"].clone()
}

/// A room with snapshots at #3 and #6, and what was between them; trimmed up to #3 if asked for.
pub async fn with_snapshots(trimmed: bool) -> (Fixture, RoomName) {
    let (fixture, name) = (Fixture::new(), room("team/retro"));
    let log = &fixture.log;
    let keep = Retention::default();
    let mut author = Author::new(9);
    let items = author.doc.get_or_insert_map("items");
    for n in 0..6_i64 {
        let update = author.edit(|doc| {
            yrs::Map::insert(&items, &mut doc.transact_mut(), format!("k{}", n % 2), n);
        });
        fixture.append(&name, vec![update_record(Some("budi"), vec![9], &update)]).await;
        if n == 1 || n == 4 {
            compact(log, &name, keep).await.unwrap();
        }
    }
    if trimmed {
        assert_eq!(log.trim(&name, 3).await.unwrap(), 3);
    }
    let head = log.open(&name).await.unwrap().unwrap();
    let through: Vec<u64> = head.snapshots.iter().map(|snapshot| snapshot.through.seq).collect();
    assert_eq!((head.last.seq, &through[..]), (7, &[3, 6][..]));
    (fixture, name)
}

/// A room with the story.
pub async fn story() -> (Fixture, RoomName) {
    let (fixture, name) = (Fixture::new(), room("team/retro"));
    fixture.story(&name).await;
    (fixture, name)
}

//! People who write without pause, come back whenever they are cut off, and note what they were promised: what of
//! theirs was acked, and what of others' they were shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ruang::ids::RoomName;
use ruang::log::Log;
use ruang::log::record::{Kind, StoredRecord};
use ruang::wire::y_websocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use yrs::updates::decoder::Decode;
use yrs::{Doc, Map, ReadTxn, Transact};

use crate::harness::Client;
use crate::rig::PATIENCE;
use crate::traffic::open;

/// See the module.
pub struct Crowd {
    room: RoomName,
    notes: Arc<Notes>,
    people: Vec<JoinHandle<Client>>,
}

struct Notes {
    /// Where instances listen now.
    places: Arc<Mutex<Vec<String>>>,
    /// Of each person: how many of the edits are acked, from the first.
    acked: Vec<AtomicU64>,
    /// Of each person: how many edits of each other one were shown, from the first.
    seen: Vec<Vec<AtomicU64>>,
    written: AtomicU64,
    returns: AtomicU64,
    /// Nobody writes any more.
    quiet: AtomicBool,
    /// And all go home.
    over: AtomicBool,
}

impl Crowd {
    /// So many people join, each at another place if there are several.
    pub fn start(room: &str, people: usize, places: &Arc<Mutex<Vec<String>>>) -> Self {
        let numbers = || (0..people).map(|_| AtomicU64::new(0)).collect();
        let notes = Arc::new(Notes {
            places: Arc::clone(places),
            acked: numbers(),
            seen: (0..people).map(|_| numbers()).collect(),
            written: AtomicU64::new(0),
            returns: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let begin = |me| tokio::spawn(person(me, room.to_owned(), Arc::clone(&notes)));
        Self { room: room.parse().unwrap(), people: (0..people).map(begin).collect(), notes }
    }

    /// Waits until everyone has got further by some acked edits.
    pub async fn go_on(&self, more: u64) {
        for (me, acked) in self.notes.acked.iter().enumerate() {
            let (from, began) = (acked.load(Ordering::Relaxed), Instant::now());
            while acked.load(Ordering::Relaxed) < from + more {
                assert!(began.elapsed() < PATIENCE, "person {me} does not go on from {from}");
                assert!(!self.people[me].is_finished(), "person {me} has failed");
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Of each person: how many edits somebody was promised.
    pub fn promised(&self) -> Vec<u64> {
        let promised = |(who, acked): (usize, &AtomicU64)| {
            let seen = self.notes.seen.iter().map(|seen| seen[who].load(Ordering::Relaxed));
            seen.max().unwrap_or(0).max(acked.load(Ordering::Relaxed))
        };
        self.notes.acked.iter().enumerate().map(promised).collect()
    }

    /// How many promised edits the store does not have, for one who has only the store; and how many it has.
    pub async fn missing(&self, store: &str, promised: &[u64]) -> (u64, u64) {
        let (doc, kinds) = cold(store, &self.room).await;
        assert!(!kinds.contains(&Kind::Heal), "what was lost was healed: {kinds:?}");
        let has: Vec<u64> = (0..promised.len()).map(|who| edits_of(&doc, who, 0)).collect();
        let lost = promised.iter().zip(&has).map(|(promised, has)| promised.saturating_sub(*has)).sum();
        (lost, has.iter().sum())
    }

    /// Nobody writes any more; when all is acked and the same everywhere, all go home. Says what was done.
    pub async fn end(self, store: &str) {
        let notes = &self.notes;
        notes.quiet.store(true, Ordering::Relaxed);
        let began = Instant::now();
        loop {
            let written = notes.written.load(Ordering::Relaxed);
            let acked: u64 = notes.acked.iter().map(|acked| acked.load(Ordering::Relaxed)).sum();
            let all = |seen: &Vec<AtomicU64>| seen.iter().map(|it| it.load(Ordering::Relaxed)).sum::<u64>();
            if acked == written && notes.seen.iter().all(|seen| all(seen) == written) {
                break;
            }
            let seen: Vec<u64> = notes.seen.iter().map(all).collect();
            assert!(began.elapsed() < PATIENCE, "{written} written, {acked} acked, seen: {seen:?}");
            assert!(!self.people.iter().any(JoinHandle::is_finished), "somebody has failed");
            sleep(Duration::from_millis(10)).await;
        }
        let took = began.elapsed();
        notes.over.store(true, Ordering::Relaxed);
        let (doc, _) = cold(store, &self.room).await;
        let stored = doc.transact().state_vector();
        for person in self.people {
            let client = person.await.unwrap();
            assert_eq!(client.clocks(), stored);
            // None of it has gone again.
            let there: u64 = (0..notes.acked.len()).map(|who| edits_of(&client.doc, who, 0)).sum();
            assert_eq!(there, notes.written.load(Ordering::Relaxed));
        }
        println!(
            "{} people wrote {} edits and came back {} times; all met after {} ms",
            notes.acked.len(),
            notes.written.load(Ordering::Relaxed),
            notes.returns.load(Ordering::Relaxed),
            took.as_millis()
        );
    }
}

/// How many edits of a person are there, from the first; at least `from` of them are.
fn edits_of(doc: &Doc, who: usize, from: u64) -> u64 {
    let map = doc.get_or_insert_map("m");
    let txn = doc.transact();
    (from..).find(|n| !map.contains_key(&txn, &format!("{who}-{n}"))).unwrap_or(from)
}

/// The document that the log of a room makes, and the kinds of its records; as soon as the store can be read.
async fn cold(store: &str, room: &RoomName) -> (Doc, Vec<Kind>) {
    let log = open(store).await;
    let (doc, mut kinds, mut after) = (Doc::new(), Vec::new(), 0);
    let began = Instant::now();
    loop {
        let page = match log.read(room, after, 512).await {
            Ok(page) => page,
            Err(error) => {
                assert!(error.is_temporary() && began.elapsed() < PATIENCE, "{error}");
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Some(last) = page.last() else { return (doc, kinds) };
        after = last.position().seq;
        for stored in page {
            // What a lost record held is stored again behind it, or the document shows that it is not.
            let StoredRecord::Intact { record, .. } = stored else { continue };
            kinds.push(record.kind());
            let update = yrs::Update::decode_v1(&record.update()).unwrap();
            doc.transact_mut().apply_update(update).unwrap();
        }
    }
}

/// One person: writes, reads, notes, comes back.
async fn person(me: usize, room: String, notes: Arc<Notes>) -> Client {
    let (mut doc, mut wrote) = (Doc::new(), 0);
    loop {
        let Some(mut client) = join(me, &room, &notes, doc.clone()).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        // The Step2 brings all that was written so far.
        let acked_before = wrote;
        let code = loop {
            let quiet = notes.quiet.load(Ordering::Relaxed);
            if !quiet {
                let update = client.set_locally(&format!("{me}-{wrote}"), "x");
                wrote += 1;
                notes.written.fetch_add(1, Ordering::Relaxed);
                if !client.try_send(y_websocket::update(&update)).await {
                    break None;
                }
            }
            let until = Instant::now() + Duration::from_millis(10);
            let ended = loop {
                match client.step(until.saturating_duration_since(Instant::now())).await {
                    Ok(true) => {}
                    Ok(false) => break None,
                    Err(code) => break Some(code),
                }
            };
            if client.acked > 0 {
                notes.acked[me].store(acked_before + client.acked - 1, Ordering::Relaxed);
            }
            for (who, seen) in notes.seen[me].iter().enumerate() {
                let from = seen.load(Ordering::Relaxed);
                let has = edits_of(&client.doc, who, from);
                // Of one's own only what was acked counts.
                seen.store(
                    if who == me { notes.acked[me].load(Ordering::Relaxed) } else { has },
                    Ordering::Relaxed,
                );
            }
            if let Some(code) = ended {
                break code;
            }
            if notes.over.load(Ordering::Relaxed) {
                return client;
            }
        };
        assert!(!code.is_some_and(|code| (4400..4500).contains(&code)), "person {me} is sent away: {code:?}");
        notes.returns.fetch_add(1, Ordering::Relaxed);
        doc = client.doc.clone();
    }
}

/// Connects somewhere and syncs; `None` if that does not work now.
async fn join(me: usize, room: &str, notes: &Notes, doc: Doc) -> Option<Client> {
    let place = {
        let places = notes.places.lock();
        let at = me + usize::try_from(notes.returns.load(Ordering::Relaxed)).unwrap();
        places.get(at % places.len().max(1)).cloned()?
    };
    let mut client = Client::try_connect(&format!("ws://{place}/ws/{room}"), Some("ruang.v1")).await?;
    client.doc = doc;
    let state_vector = client.state_vector();
    if !client.try_send(y_websocket::sync_step1(&state_vector)).await {
        return None;
    }
    let began = Instant::now();
    while client.asked.is_empty() {
        assert!(began.elapsed() < PATIENCE, "person {me} is let in");
        client.step(Duration::from_secs(1)).await.ok()?;
    }
    let theirs = yrs::StateVector::decode_v1(&client.asked[0]).unwrap();
    let update = client.doc.transact().encode_state_as_update_v1(&theirs);
    client.try_send(y_websocket::sync_step2(&update)).await.then_some(client)
}

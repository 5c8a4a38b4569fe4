//! Rooms with a history to walk, on a log in memory.

use std::sync::Arc;

use ruang::document::Document;
use ruang::gate::{Gate, Source};
use ruang::history::{self, Compacted, Fold, OnTrouble, Outcome, Range, Retention, Start, Walk, Written};
use ruang::ids::{Generation, InstanceId, Position, RoomName, SessionId};
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::record::{Kind, Metadata, Record, Role, RoomKind, genesis_update};
use ruang::log::{Appended, Batch, Log};

use crate::random_docs::{Client, Random, view};

pub const NONCE: u32 = 123_456;

/// Everything may go as soon as a snapshot allows it.
pub const NO_RETENTION: Retention = Retention { age_ms: 0, bytes: 0 };

pub fn metadata(user: Option<&str>, claims: Vec<u64>) -> Metadata {
    Metadata {
        user: user.map(str::to_owned),
        session: Some(SessionId(1)),
        role: Role::Editor,
        claims,
        ..Metadata::by_server(InstanceId(7), 1, RoomKind::Free, 5)
    }
}

pub fn update_record(update: &[u8]) -> Record {
    Record::new(Kind::Update, &metadata(None, Vec::new()), update).unwrap()
}

pub fn genesis(room: &RoomName) -> Record {
    let update = genesis_update(room, Generation { nonce: NONCE });
    Record::new(Kind::Genesis, &metadata(None, Vec::new()), &update).unwrap()
}

/// A room that is written to as a server writes: judged, stored, folded. The same batches go into
/// a second log that nobody ever trims: the truth.
pub struct Writer {
    pub log: Arc<dyn Log>,
    pub truth: Arc<dyn Log>,
    pub room: RoomName,
    pub gate: Gate,
    pub document: Document,
    pub last: Position,
    number: u64,
}

impl Writer {
    pub fn new(log: &Arc<dyn Log>, room: &str) -> Self {
        Self {
            log: Arc::clone(log),
            truth: Arc::new(MemoryLog::new()),
            room: room.parse().unwrap(),
            gate: Gate::new(),
            document: Document::new(),
            last: Position::START,
            number: 0,
        }
    }

    /// What is new in an update, as a record by one of three users, which claims the ids that it
    /// brings; `None` if nothing is new.
    pub fn admit(&mut self, update: &[u8]) -> Option<Record> {
        let remainder = self.gate.admit(update, Source::Step2).unwrap().remainder?;
        let deletes = self.document.apply(&[&remainder.update]).unwrap();
        self.gate.note_deleted(&deletes);
        let claims: Vec<u64> = remainder.receipt.blocks.iter().map(|&(client, ..)| client).collect();
        let user = claims.first().map(|client| format!("user-{}", client % 3));
        Some(Record::new(Kind::Update, &metadata(user.as_deref(), claims), &remainder.update).unwrap())
    }

    /// Stores records as one batch.
    pub async fn append(&mut self, records: Vec<Record>) -> Appended {
        self.number += 1;
        let batch = Batch::new(InstanceId(7), self.number, genesis(&self.room), records);
        self.truth.append(&self.room, batch.clone()).await.unwrap();
        let appended = self.log.append(&self.room, batch).await.unwrap();
        if appended.created.is_some() {
            let marker = genesis(&self.room).update();
            self.gate.admit(&marker, Source::Record).unwrap();
            self.document.apply(&[&marker]).unwrap();
        }
        self.last = appended.last;
        appended
    }

    /// Stores updates, each as a record, in batches of at most 256.
    pub async fn write(&mut self, updates: &[Vec<u8>]) {
        let records: Vec<Record> = updates.iter().filter_map(|update| self.admit(update)).collect();
        for batch in records.chunks(256) {
            self.append(batch.to_vec()).await;
        }
    }

    /// The room is what all its records say, whatever became of them.
    pub async fn check(&self, case: &str) {
        self.check_from(Start::NEWEST, u64::MAX, case).await;
    }

    /// The same for a moment of its past.
    pub async fn check_from(&self, start: Start, until: u64, case: &str) {
        let range = Range { start, until, on_trouble: OnTrouble::SetAside };
        let found = walked(&self.log, &self.room, range).await;
        assert_eq!(found.damaged_snapshots(), &[], "{case}");
        let found = found.into_fold().unwrap();
        let all = Range { start: Start::Genesis, ..range };
        let truth = walked(&self.truth, &self.room, all).await.into_fold().unwrap();
        assert_same(&found, &truth, case);
    }

    /// Compacts, and expects a snapshot.
    pub async fn compact(&self, retention: Retention) -> Written {
        let done = compact(&self.log, &self.room, retention).await;
        let Outcome::Written(written) = done.outcome else { panic!("a snapshot was expected: {done:?}") };
        written
    }
}

pub async fn compact(log: &Arc<dyn Log>, room: &RoomName, retention: Retention) -> Compacted {
    history::compact(log, room, retention).await.unwrap()
}

/// Two folds hold the same room. How the engine cuts runs of blocks depends on what it folded
/// together, until it loads them once: so encodings are compared after a load.
pub fn assert_same(found: &Fold, truth: &Fold, case: &str) {
    assert_eq!(found.last().seq, truth.last().seq, "{case}");
    assert_eq!((found.records(), found.log_bytes()), (truth.records(), truth.log_bytes()), "{case}");
    assert_eq!(found.set_aside(), truth.set_aside(), "{case}");
    assert_eq!(found.claims(), truth.claims(), "{case}: claims");
    assert_eq!(found.generations(), truth.generations(), "{case}: generations");
    assert_eq!(found.gate().state_vector(), truth.gate().state_vector(), "{case}");
    assert_eq!(found.gate().deleted(), truth.gate().deleted(), "{case}");
    assert_eq!(view(found.document().doc()), view(truth.document().doc()), "{case}");
    let (found, truth) = (loaded(found.document()), loaded(truth.document()));
    assert_eq!(found, truth, "{case}: the bytes after a load");
}

fn loaded(document: &Document) -> Vec<u8> {
    let mut loaded = Document::new();
    loaded.apply(&[&document.encode_full()]).unwrap();
    loaded.encode_full()
}

/// A log in memory.
pub fn memory() -> (Arc<dyn Log>, Faults) {
    let (log, faults) = MemoryLog::with_faults();
    (Arc::new(log), faults)
}

/// Clients that edit the same room at random and hear each other now and then.
pub struct Crowd {
    clients: Vec<Client>,
    sent: Vec<Vec<u8>>,
}

impl Crowd {
    pub fn new(random: &mut Random, count: u64) -> Self {
        let ids = (0..count).map(|n| 1 + n * 1_000_003 + random.below(1 << 20));
        Self { clients: ids.map(|id| Client::new(id, true)).collect(), sent: Vec::new() }
    }

    /// The updates of about `count` edits.
    pub fn edit(&mut self, random: &mut Random, count: usize) -> Vec<Vec<u8>> {
        let before = self.sent.len();
        for _ in 0..count {
            let at = random.index(self.clients.len());
            let client = &mut self.clients[at];
            if random.chance(40) {
                for update in &self.sent[client.cursor..] {
                    client.receive(update);
                }
                client.cursor = self.sent.len();
            }
            client.edit(random);
            self.sent.extend(client.take_updates());
        }
        self.sent[before..].to_vec()
    }
}

/// The whole walk of a range.
pub async fn walked(log: &Arc<dyn Log>, room: &RoomName, range: Range) -> Walk {
    let mut walk = history::walk(log, room, range).await.unwrap().expect("the room exists");
    walk.to_end().await.unwrap();
    walk
}

/// The fold of a room by the shortest way.
pub async fn fold(log: &Arc<dyn Log>, room: &RoomName) -> Fold {
    walked(log, room, Range::TO_HEAD).await.into_fold().unwrap()
}

/// Updates of a client that types one letter after the other.
pub fn keystrokes(client: u64, count: usize) -> Vec<Vec<u8>> {
    use yrs::{Text, Transact};
    let doc = yrs::Doc::with_client_id(client);
    let text = doc.get_or_insert_text("t");
    let stroke = |n: usize| {
        let mut transaction = doc.transact_mut();
        text.push(&mut transaction, if n.is_multiple_of(7) { " " } else { "x" });
        transaction.encode_update_v1()
    };
    (0..count).map(stroke).collect()
}

//! Random histories of the room's state against a simple model. Everything follows from a seed,
//! which is printed; `RUANG_TEST_SEED` replays one.

#[path = "../../../tests/it/random_docs.rs"]
pub(super) mod random_docs;

mod board;
mod corruption;
mod gaps;
mod ownership;
mod viewers;

use std::sync::Arc;

use super::*;
use crate::ids::RoomName;
use crate::limits::INFLOW_UNIT_BYTES;
use crate::limits::{BATCH_BYTES_MAX, BATCH_UPDATES_MAX};
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::log::record::{Kind, Metadata, RoomKind};
use crate::room::load;
use crate::wire::voice::Voice;
use crate::wire::{Message, y_websocket};
use random_docs::{Client, Random, view};

const INSTANCE: InstanceId = InstanceId(7);

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_TEST_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

/// A person with a document, and the session that carries it.
struct Peer {
    client: Client,
    session: SessionId,
    submitted: u64,
    /// Updates made and not sent.
    outbox: Vec<Vec<u8>>,
    /// Updates sent: for duplicates.
    sent: Vec<Vec<u8>>,
}

/// An ack that the model expects: whose, which, and when: as soon as so many updates are stored.
type Expected = (SessionId, u64, u64);

struct World {
    random: Random,
    log: Arc<dyn Log>,
    room: RoomName,
    state: State,
    life: u32,
    peers: Vec<Peer>,
    sessions: u64,
    /// The model: every stored update, folded one by one.
    stored: Document,
    stored_updates: u64,
    /// Admitted and not stored, oldest first.
    waiting: VecDeque<Bytes>,
    expected: Vec<Expected>,
    in_flight: Option<Batch>,
    newest_number: u64,
    /// What the room has told everyone, in order.
    relayed: Vec<Bytes>,
    cost_held: u64,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
        let room = RoomName::parse("r").unwrap();
        let mut state = load::load(&log, &room, (INSTANCE, 1), None).await.unwrap().state;
        let peers = 2 + random.below(3);
        // Every other room counts steps from the start.
        seed.is_multiple_of(2).then(|| state.learn_order().unwrap());
        let mut world = Self {
            random,
            log,
            room,
            state,
            life: 1,
            peers: Vec::new(),
            sessions: 0,
            stored: Document::new(),
            stored_updates: 0,
            waiting: VecDeque::new(),
            expected: Vec::new(),
            in_flight: None,
            newest_number: 0,
            relayed: Vec::new(),
            cost_held: 0,
        };
        for id in 1..=peers {
            let client = Client::new(seed << 8 | id, true);
            world.peers.push(Peer {
                client,
                session: SessionId(0),
                submitted: 0,
                outbox: Vec::new(),
                sent: Vec::new(),
            });
            world.reconnect(id as usize - 1);
        }
        world
    }

    /// A new session: what it had sent may be lost, its document is not.
    fn reconnect(&mut self, peer: usize) {
        self.sessions += 1;
        let peer = &mut self.peers[peer];
        (peer.session, peer.submitted) = (SessionId(self.sessions), 0);
        peer.outbox.clear();
    }

    fn submit(&mut self, peer: usize, update: Vec<u8>, source: Source) -> Judged {
        let peer = &mut self.peers[peer];
        peer.submitted += 1;
        let (session, ordinal) = (peer.session, peer.submitted);
        let cost = u32::try_from(update.len() / INFLOW_UNIT_BYTES + 1).unwrap();
        let before = self.state.uncommitted();
        let submission = Submission {
            session,
            ordinal,
            caller: Caller::anyone(),
            update: update.into(),
            source,
            permit: Permit::Taken,
            at: None,
            cost,
            admitted_ms: ordinal,
        };
        let judged = self.state.submit(&submission).expect("honest work is admitted");
        if self.state.uncommitted() > before {
            let batch = self.state.batches.back().unwrap();
            self.waiting.push_back(batch.records.last().unwrap().update());
            self.cost_held += u64::from(cost);
            assert_eq!(judged.cost, 0);
        } else {
            assert_eq!(judged.cost, cost, "nothing is kept, so nothing is held");
        }
        assert_eq!(
            judged.decided_now,
            self.waiting.is_empty(),
            "[S8] an ack now only if nothing is under way"
        );
        if !judged.decided_now {
            let target = self.stored_updates + self.waiting.len() as u64;
            self.expected.push((session, ordinal, target));
        }
        judged
    }

    /// Everything that the peer has and the room does not, and all its deletes.
    fn repair(&mut self, peer: usize) {
        let committed = self.state.state_vector().unwrap().encode();
        let step2 = self.peers[peer].client.step2(&committed);
        self.peers[peer].outbox.clear();
        let judged = self.submit(peer, step2, Source::Step2);
        assert!(!judged.dropped.is_gap(), "[S2] a Step2 repairs every gap: {:?}", judged.dropped);
    }

    fn send_next(&mut self) {
        if let Some(batch) = self.state.next_batch() {
            assert!(self.in_flight.is_none(), "one batch at a time");
            assert!(batch.number > self.newest_number, "[R2] numbers never come twice");
            self.newest_number = batch.number;
            let updates: Vec<Bytes> = batch.records.iter().map(Record::update).collect();
            assert!(!updates.is_empty() && updates.len() <= BATCH_UPDATES_MAX);
            let bytes: usize = updates.iter().map(Bytes::len).sum();
            assert!(bytes <= BATCH_BYTES_MAX || updates.len() == 1, "{bytes} bytes in {}", updates.len());
            assert!(updates.iter().eq(self.waiting.iter().take(updates.len())), "in the order of judging");
            for record in &batch.records {
                assert_eq!(record.metadata().unwrap().batch, batch.number);
            }
            self.in_flight = Some(batch);
        }
        assert!(self.state.next_batch().is_none(), "one batch at a time");
    }

    /// The log stores the batch in flight; perhaps the reply is lost and it is sent again.
    async fn commit(&mut self) {
        let Some(batch) = self.in_flight.take() else { return };
        let mut appended = self.log.append(&self.room, batch.clone()).await.unwrap();
        while self.random.chance(25) {
            appended = self.log.append(&self.room, batch.clone()).await.unwrap();
            assert!(appended.duplicate);
        }
        let committed = self.state.on_committed(&appended).expect("what was admitted folds");
        if let Some(StoredRecord::Intact { record, .. }) = &appended.created {
            self.stored.apply(&[&record.update()]).unwrap();
        }
        for record in &batch.records {
            self.stored.apply(&[&record.update()]).unwrap();
        }
        self.stored_updates += batch.records.len() as u64;
        drop(self.waiting.drain(..batch.records.len()));
        let mut acks = HashMap::new();
        let stored = self.stored_updates;
        self.expected.retain(|&(session, ordinal, target)| {
            if target <= stored {
                acks.insert(session, ordinal);
            }
            target > stored
        });
        assert_eq!(committed.acks, acks, "[S8] acked exactly when what was under way at judging is stored");
        assert_eq!((committed.updates, self.state.committed()), (batch.records.len(), appended.last));
        self.cost_held -= u64::from(committed.cost);
        self.relayed.push(match committed.shown {
            Shown::Small(update, _) => update,
            Shown::Large(frame, _) => update_of(&frame.for_voice(&Voice::YSweet)),
            Shown::Apart(..) => panic!("nobody else stores here"),
        });
        self.check();
    }

    /// The log refuses the batch in flight for good.
    fn refuse(&mut self) {
        if self.in_flight.take().is_none() {
            return;
        }
        let (mut authors, cost) = self.state.drop_overlay().unwrap();
        authors.sort();
        authors.dedup();
        let mut expected: Vec<SessionId> = self.expected.drain(..).map(|(session, ..)| session).collect();
        expected.sort();
        expected.dedup();
        assert_eq!(authors, expected, "all who wait for an ack are told");
        self.cost_held -= u64::from(cost);
        assert_eq!((self.cost_held, self.state.uncommitted()), (0, 0));
        let dropped = std::mem::take(&mut self.waiting);
        for author in authors {
            if let Some(peer) = self.peers.iter().position(|peer| peer.session == author) {
                self.reconnect(peer);
            }
        }
        self.check();
        if self.random.chance(50) {
            // The same again, byte for byte: nothing of it was kept.
            for update in dropped {
                self.submit(0, update.to_vec(), Source::Step2);
                assert_eq!(self.waiting.back(), Some(&update), "[G11] dropped means as if it had never come");
            }
        }
    }

    /// The document is the fold of what is stored, whatever is under way.
    fn check(&mut self) {
        assert_eq!(view(self.state.document.doc()), view(self.stored.doc()), "[R1]");
        let stored = gate::parse_state_vector(&self.stored.state_vector()).unwrap();
        assert_eq!(self.state.state_vector().unwrap(), &stored, "[R1]");
        for theirs in [gate::StateVector::default(), stored] {
            let frame = self.state.step2(&theirs).unwrap();
            let mut newcomer = Document::new();
            if theirs.is_empty() {
                newcomer.apply(&[&update_of(&frame)]).expect("a Step2 is complete");
                assert_eq!(view(newcomer.doc()), view(self.stored.doc()), "[R1] newcomers see the stored");
            } else {
                let mut gate = Gate::new();
                let full = self.stored.encode_full();
                gate.admit(&full, Source::Record).unwrap();
                let deleted = gate.deleted();
                let dropped = gate.admit(&update_of(&frame), Source::Step2).unwrap().dropped;
                assert!(!dropped.is_gap(), "[S5] the whole delete set, and nothing that is not stored");
                assert_eq!(gate.deleted(), deleted);
            }
        }
    }

    /// A fresh load of the log gives the same room.
    async fn load(&mut self) -> State {
        self.life += 1;
        let loaded = load::load(&self.log, &self.room, (INSTANCE, self.life), None).await.unwrap();
        assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
        let state = loaded.state;
        assert_eq!(view(state.document.doc()), view(self.stored.doc()), "[R4]");
        assert_eq!(state.committed(), self.state.committed(), "[R4]");
        if self.waiting.is_empty() {
            assert_eq!(state.gate.state_vector(), self.state.gate.state_vector(), "[R4]");
            assert_eq!(state.gate.deleted(), self.state.gate.deleted(), "[R4]");
        }
        state
    }

    async fn step(&mut self) {
        let peer = self.random.index(self.peers.len());
        match self.random.below(16) {
            0..=3 => {
                let peer = &mut self.peers[peer];
                peer.client.edit(&mut self.random);
                peer.outbox.extend(peer.client.take_updates());
            }
            4..=6 => self.send_outbox(peer),
            7 => {
                // Sent before: it brings nothing, whether stored or under way.
                let sent = &self.peers[peer].sent;
                if !sent.is_empty() {
                    let again = sent[self.random.index(sent.len())].clone();
                    self.submit(peer, again, Source::Update);
                }
            }
            8 => {
                // One message is lost on the way: what builds on it waits for a Step2.
                if self.peers[peer].outbox.len() > 1 {
                    self.peers[peer].outbox.remove(0);
                    self.send_outbox(peer);
                    if self.random.chance(70) {
                        self.repair(peer);
                    }
                }
            }
            9 => self.repair(peer), // overlaps with all that is under way
            10 | 11 => self.send_next(),
            12 | 13 => self.commit().await,
            14 => {
                let client = &mut self.peers[peer].client;
                while client.cursor < self.relayed.len() {
                    client.receive(&self.relayed[client.cursor]);
                    client.cursor += 1;
                }
            }
            _ => match self.random.below(6) {
                0 => self.refuse(),
                1 | 2 => self.reconnect(peer),
                3 if self.waiting.is_empty() => self.state = self.load().await,
                4 => self.state.learn_order().unwrap(), // whatever is in flight
                _ => {}
            },
        }
        if self.random.chance(30) {
            self.send_next();
        }
    }

    fn send_outbox(&mut self, peer: usize) {
        for update in std::mem::take(&mut self.peers[peer].outbox) {
            self.peers[peer].sent.push(update.clone());
            let gap = self.submit(peer, update, Source::Update).dropped.is_gap();
            if gap && self.random.chance(50) {
                self.repair(peer);
            }
        }
    }

    /// Everyone sends all they have and takes all there is.
    async fn settle(&mut self) {
        for peer in 0..self.peers.len() {
            let made = self.peers[peer].client.take_updates();
            self.peers[peer].outbox.extend(made);
            self.repair(peer);
        }
        while self.state.uncommitted() > 0 {
            self.send_next();
            self.commit().await;
        }
        assert_eq!((self.cost_held, self.expected.len()), (0, 0), "all acked, all given back");
        let everything = view(self.stored.doc());
        for peer in &mut self.peers {
            for update in &self.relayed[peer.client.cursor..] {
                peer.client.receive(update);
            }
            assert_eq!(view(&peer.client.doc), everything, "[S3] everyone has the same");
        }
        self.load().await;
    }
}

/// The update in a frame.
fn update_of(frame: &Bytes) -> Bytes {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    match y_websocket::decode(&frame.slice(header..)) {
        Ok((Message::SyncStep2(update) | Message::Update(update), _)) => update,
        other => panic!("no update: {other:?}"),
    }
}

/// [R1, R2, R4, S2, S3, S8] Several clients edit at random; messages come twice, overlap or get
/// lost and are repaired; the log loses replies and refuses. At each moment the document is the
/// fold of what is stored, and acks come exactly when what was under way at judging is stored.
#[tokio::test]
async fn histories_keep_to_the_model() {
    let mut stored = 0;
    for seed in seeds(300) {
        println!("RUANG_TEST_SEED={seed}");
        let mut world = World::new(seed).await;
        for _ in 0..150 {
            world.step().await;
        }
        world.settle().await;
        stored += world.stored_updates;
    }
    assert!(stored > 300, "{stored} updates: histories are not empty");
}

/// [R2] Batches are bounded in updates and bytes; a larger update goes alone.
#[tokio::test]
async fn batches_are_bounded() {
    use yrs::{Text, Transact};
    let mut world = World::new(1).await;
    for n in 0..600_u64 {
        let bytes = if n % 100 == 99 { 300_000 } else { usize::try_from(n * 37 % 2_000).unwrap() };
        let doc = &world.peers[0].client.doc;
        doc.get_or_insert_text("t").insert(&mut doc.transact_mut(), 0, &"x".repeat(bytes + 1));
        for update in world.peers[0].client.take_updates() {
            world.submit(0, update, Source::Update);
        }
    }
    world.settle().await;
    assert!(world.relayed.len() >= 12, "six large batches, and what stands between them");
}

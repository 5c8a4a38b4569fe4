//! The store that all instances share, and what the simulation does to it.
//!
//! Below is the log in memory. Each call of an instance waits here as a [`Ticket`] until the simulation
//! says what becomes of it, and each message on the bus waits until it is delivered, in whatever order.
//! So nothing of what the instances do to each other depends on threads. What was stored is written down
//! beside the log: the log may lose it, the book does not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use ruang::document::Document;
use ruang::gate::{Gate, Source};
use ruang::ids::{InstanceId, Position, RoomName};
use ruang::log::bus::{Follower, Heard, Seen, Speaker, Stored};
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::record::{Kind, StoredRecord};
use ruang::log::{Appended, Batch, Head, Log, LogError};

use crate::ticket::{Mistake, Ticket, Verdict};
use tokio::sync::oneshot;

/// A follower of a room, and what is on its way to it.
struct Ear {
    instance: InstanceId,
    room: RoomName,
    speaker: Speaker,
    under_way: VecDeque<Heard>,
}

/// All that was ever stored in one life of a room.
#[derive(Default)]
pub struct Life {
    /// How often it was begun in the store.
    begun: usize,
    gate: Gate,
    /// What integrating deletes is known to it alone.
    document: Document,
    updates: Vec<Bytes>,
}

impl Life {
    fn take(&mut self, update: &Bytes) {
        self.updates.push(update.clone());
        let Ok(admission) = self.gate.admit(update, Source::Record) else { return };
        if let Some(remainder) = admission.remainder {
            let deletes =
                self.document.apply(&[&remainder.update]).expect("what the gate takes can be folded");
            self.gate.note_deleted(&deletes);
            self.gate.settle(&remainder.receipt);
        }
    }
}

#[derive(Default)]
struct Book {
    tickets: Vec<Ticket>,
    arrivals: u64,
    ears: Vec<Ear>,
    lives: BTreeMap<RoomName, Vec<Life>>,
    /// Answered and not stored yet: see [`Mistake::AnswersFirst`].
    late: VecDeque<(RoomName, Batch)>,
}

impl Book {
    /// The room's lives, the present one last.
    fn lives_of(&mut self, room: &RoomName) -> &mut Vec<Life> {
        self.lives.entry(room.clone()).or_insert_with(|| vec![Life::default()])
    }
}

/// See the module.
pub struct Store {
    pub log: Arc<dyn Log>,
    faults: Faults,
    pub mistake: Option<Mistake>,
    book: Mutex<Book>,
    numbers: AtomicU64,
}

/// What a call of the log in memory comes to: it never waits here.
pub fn now<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("the log in memory does not wait by itself")
}

impl Store {
    pub fn new(clock_ms: Arc<AtomicU64>, mistake: Option<Mistake>) -> Arc<Self> {
        // No two positions have the same time, so that no other record is ever taken for one that was lost.
        let (log, faults) =
            MemoryLog::for_instances(Arc::new(move || clock_ms.fetch_add(1, Ordering::Relaxed)));
        let (book, numbers) = (Mutex::default(), AtomicU64::new(1));
        Arc::new(Self { log: Arc::new(log), faults, mistake, book, numbers })
    }

    /// Waits for what becomes of a call.
    pub async fn pass(&self, instance: InstanceId, room: &RoomName, call: String) -> Verdict {
        let (verdict, decided) = oneshot::channel();
        {
            let mut book = self.book.lock();
            book.arrivals += 1;
            let arrival = book.arrivals;
            book.tickets.push(Ticket { instance, room: room.clone(), call, arrival, verdict });
        }
        decided.await.unwrap_or_else(|_| Verdict::Refuse(LogError::Unavailable("the end".to_owned())))
    }

    /// Calls that wait, in an order that does not depend on threads.
    pub fn waiting(&self) -> Vec<String> {
        let mut book = self.book.lock();
        book.tickets.retain(|ticket| !ticket.verdict.is_closed());
        book.tickets.sort_by(|one, two| {
            let key = |ticket: &Ticket| {
                (ticket.instance.0, ticket.room.clone(), ticket.call.clone(), ticket.arrival)
            };
            key(one).cmp(&key(two))
        });
        book.tickets
            .iter()
            .map(|ticket| format!("{} {} {}", ticket.instance.0, ticket.room.as_str(), ticket.call))
            .collect()
    }

    /// Takes one of them.
    pub fn take(&self, at: usize) -> Ticket {
        self.book.lock().tickets.remove(at)
    }

    pub fn head(&self, room: &RoomName) -> Option<Head> {
        now(self.log.open(room)).expect("the log in memory answers")
    }

    /// Stores a batch, writes it down, and puts it on the bus.
    pub fn append(&self, room: &RoomName, batch: &Batch) -> Result<Appended, LogError> {
        let before = self.head(room).map_or(Position::START, |head| head.last);
        let mut sent = batch.clone();
        match self.mistake {
            Some(Mistake::TakesAnySeen) => sent.seen = Seen::default(),
            Some(Mistake::StoresRetries) => sent.number = self.numbers.fetch_add(1, Ordering::Relaxed),
            Some(Mistake::HealsNothing) if batch.heals => return Ok(self.forged(room, batch)),
            _ => {}
        }
        let appended = now(self.log.append(room, sent))?;
        if !appended.duplicate {
            self.note(room, batch, before, &appended);
        }
        Ok(appended)
    }

    /// Answers as if a batch were stored, and stores it later.
    pub fn answer_first(&self, room: &RoomName, batch: Batch) -> Appended {
        let forged = self.forged(room, &batch);
        self.book.lock().late.push_back((room.clone(), batch));
        forged
    }

    fn forged(&self, room: &RoomName, batch: &Batch) -> Appended {
        let head = self.head(room);
        let last = head.as_ref().map_or(Position::START, |head| head.last);
        let epoch = head.map_or(batch.seen.epoch, |head| head.epoch);
        let at = |n: u64| Position { seq: last.seq + n, ms: last.ms + 1 };
        let created = (last == Position::START)
            .then(|| StoredRecord::Intact { position: at(1), record: batch.genesis.clone() });
        let skip = u64::from(created.is_some());
        let last = at(skip + batch.records.len() as u64);
        Appended { created, before: None, first: at(skip + 1), last, epoch, duplicate: false }
    }

    /// Stores what was answered before.
    pub fn store_late(&self) -> bool {
        let Some((room, batch)) = self.book.lock().late.pop_front() else { return false };
        let _ = self.append(&room, &batch);
        true
    }

    fn note(&self, room: &RoomName, batch: &Batch, before: Position, appended: &Appended) {
        let mut records: Vec<StoredRecord> = appended.created.clone().into_iter().collect();
        let positions = (appended.first.seq..).map(|seq| Position { seq, ms: appended.first.ms });
        let intact = |(record, position): (&_, _)| {
            let record: &ruang::log::record::Record = record;
            StoredRecord::Intact { position, record: record.clone() }
        };
        records.extend(batch.records.iter().zip(positions).map(intact));
        let mut book = self.book.lock();
        let life = book.lives_of(room).last_mut().expect("there is one");
        life.begun += usize::from(appended.created.is_some() && !batch.heals);
        for stored in &records {
            let StoredRecord::Intact { record, .. } = stored else { continue };
            life.take(&record.update());
        }
        let (instance, number, epoch) = (batch.instance, batch.number, appended.epoch);
        let heard = Heard::Stored(Stored { instance, number, epoch, before, records });
        book.ears
            .iter_mut()
            .filter(|ear| ear.room == *room)
            .for_each(|ear| ear.under_way.push_back(heard.clone()));
    }

    /// Whether all of an update is in what was ever stored in a life of the room.
    pub fn was_stored(&self, room: &RoomName, update: &[u8]) -> bool {
        let mut book = self.book.lock();
        book.lives_of(room).iter_mut().any(|life| holds(&mut life.gate, update))
    }

    /// What was stored in the room's present life, if it has one.
    pub fn stored(&self, room: &RoomName) -> Vec<Bytes> {
        let book = self.book.lock();
        book.lives
            .get(room)
            .and_then(|lives| lives.last())
            .map(|life| life.updates.clone())
            .unwrap_or_default()
    }

    pub fn follow(&self, instance: InstanceId, room: &RoomName) -> Follower {
        let (follower, speaker) = Follower::new(());
        let ear = Ear { instance, room: room.clone(), speaker, under_way: VecDeque::new() };
        self.book.lock().ears.push(ear);
        follower
    }

    /// Says something to the others, whenever it is delivered.
    pub fn whisper(&self, room: &RoomName, heard: &Heard) {
        let mut book = self.book.lock();
        book.ears
            .iter_mut()
            .filter(|ear| ear.room == *room)
            .for_each(|ear| ear.under_way.push_back(heard.clone()));
    }

    /// How much is on its way to each ear.
    pub fn under_way(&self) -> Vec<usize> {
        let mut book = self.book.lock();
        book.ears.retain(|ear| !ear.speaker.is_closed());
        book.ears.iter().map(|ear| ear.under_way.len()).collect()
    }

    /// Delivers the message at `nth` of an ear, or loses it. Returns what it was.
    pub fn deliver(&self, ear: usize, nth: usize, times: usize) -> String {
        let mut book = self.book.lock();
        let ear = &mut book.ears[ear];
        let Some(mut heard) = ear.under_way.remove(nth) else { return String::new() };
        if self.mistake == Some(Mistake::HidesGaps) {
            hide_gap(&mut heard, ear.speaker.seen().unwrap_or_default());
        }
        (0..times).for_each(|_| ear.speaker.say(heard.clone()));
        let what = match &heard {
            Heard::Stored(stored) => format!("{} of {}", stored.records.len(), stored.instance.0),
            Heard::Again => "again".to_owned(),
            Heard::Behind => "behind".to_owned(),
            Heard::Whispered { from, .. } => format!("whisper of {}", from.0),
        };
        format!("to {} {}: {what}", ear.instance.0, ear.room.as_str())
    }

    /// Compares what followers know with the log, as a store does now and then.
    pub fn check_heads(&self) {
        if self.mistake == Some(Mistake::NeverLooks) {
            return;
        }
        let book = self.book.lock();
        for ear in &book.ears {
            let head = self
                .head(&ear.room)
                .map_or(Seen::default(), |head| Seen { last: head.last, epoch: head.epoch });
            if ear.speaker.seen().is_some_and(|seen| seen != head) {
                ear.speaker.behind();
            }
        }
    }

    /// Whether everyone who follows a room has seen all of it.
    pub fn all_seen(&self) -> bool {
        let book = self.book.lock();
        book.ears.iter().filter(|ear| !ear.speaker.is_closed()).all(|ear| {
            let head = self
                .head(&ear.room)
                .map_or(Seen::default(), |head| Seen { last: head.last, epoch: head.epoch });
            ear.speaker.seen() == Some(head)
        })
    }

    /// Whether this instance knows all that is in the log of a room.
    pub fn is_up_to_date(&self, instance: InstanceId, room: &RoomName) -> bool {
        let head = self.head(room).map(|head| Seen { last: head.last, epoch: head.epoch });
        let book = self.book.lock();
        let mut ears = book.ears.iter().filter(|ear| ear.instance == instance && ear.room == *room);
        ears.any(|ear| !ear.speaker.is_closed() && ear.speaker.seen() == head)
    }

    /// A batch is stored whole, and lost whole. Returns where the log ends then: at `last`, or before if that is within a batch;
    /// nothing if it cannot fall back that far.
    pub fn roll_back(&self, room: &RoomName, last: u64) -> Option<u64> {
        let head = self.head(room);
        let base = head.as_ref().map_or(0, |head| head.base);
        let records = now(self.log.read(room, base, usize::MAX)).expect("the log in memory answers");
        let batch = |stored: &StoredRecord| {
            let StoredRecord::Intact { record, .. } = stored else { return None };
            let metadata = record.metadata().expect("our own");
            // A genesis record comes with the batch behind it.
            (record.kind() != Kind::Genesis).then_some((metadata.instance, metadata.batch))
        };
        let mut last = last;
        for pair in records.windows(2).rev() {
            let (end, split) =
                (pair[0].position().seq, batch(&pair[0]).is_none_or(|one| batch(&pair[1]) == Some(one)));
            if end == last && split {
                last -= 1;
            }
        }
        // What was trimmed since then would be back, and so would the snapshots that were dropped: not here, so not that far.
        let covers = |through: u64| (base..=last).contains(&through);
        let stands =
            base == 0 || head.is_some_and(|head| head.snapshots.iter().any(|one| covers(one.through.seq)));
        (last > base && stands).then(|| {
            self.faults.roll_back(room, last);
            last
        })
    }

    /// Whether a room was begun anew while the store had lost it: two lives are one by then, and who holds a copy of one
    /// of them can come in as long as nothing of that is lost again.
    pub fn was_begun_twice(&self, room: &RoomName) -> bool {
        self.book.lock().lives_of(room).last().is_some_and(|life| life.begun > 1)
    }

    /// Whether an instance that has not looked since still has a life of the room open that was deleted.
    pub fn is_served_after_deletion(&self, room: &RoomName) -> bool {
        let Some(tombstone) = now(self.log.tombstone(room)).expect("the log in memory answers") else {
            return false;
        };
        let is_over = |seen: Seen| seen.last != Position::START && seen.last.ms <= tombstone.deleted_ms;
        let book = self.book.lock();
        let mut ears = book.ears.iter().filter(|ear| ear.room == *room && !ear.speaker.is_closed());
        ears.any(|ear| ear.speaker.seen().is_some_and(is_over))
    }

    pub fn forget(&self, room: &RoomName) {
        self.faults.forget_room(room);
    }

    /// What was ever stored in the room since it was deleted last.
    pub fn with_life(&self, room: &RoomName, look: impl FnOnce(&yrs::Doc)) {
        let mut book = self.book.lock();
        let life = book.lives_of(room).last().expect("there is one");
        look(life.document.doc());
    }

    pub fn delete(&self, room: &RoomName) {
        now(self.log.delete(room)).expect("the log in memory answers");
        self.book.lock().lives_of(room).push(Life::default());
    }
}

/// Whether a gate knows all of an update.
pub fn holds(gate: &mut Gate, update: &[u8]) -> bool {
    let Ok(admission) = gate.admit(update, Source::Record) else { return false };
    if let Some(remainder) = &admission.remainder {
        gate.revert(&remainder.receipt);
    }
    admission.remainder.is_none() && !admission.dropped.is_gap()
}

/// Makes a batch stand right behind what its follower knows.
fn hide_gap(heard: &mut Heard, seen: Seen) {
    let Heard::Stored(stored) = heard else { return };
    if stored.epoch != seen.epoch || stored.before.seq <= seen.last.seq {
        return;
    }
    stored.before = seen.last;
    for (stored, seq) in stored.records.iter_mut().zip(seen.last.seq + 1..) {
        if let StoredRecord::Intact { position, .. } = stored {
            position.seq = seq;
        }
    }
}

//! How long a room waits for its store, and what goes on when it has waited long enough. No sockets: the clock is the test's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ruang::clock::system_clock;
use ruang::ids::{InstanceId, RoomName};
use ruang::log::bus::{Follower, Heard, Whisper};
use ruang::log::memory::{Fate, Faults, MemoryLog};
use ruang::log::record::{Kind, StoredRecord};
use ruang::log::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};
use ruang::room::{Rooms, RoomsOptions};
use tokio::time::{Instant, sleep};

use crate::life_support::{Person, room, rooms};

/// Far more tries than there are in the time of these tests.
const ALWAYS: usize = 100_000;

/// A log that counts appends, and can be told not to be read.
struct Watched {
    inner: MemoryLog,
    appends: AtomicUsize,
    reading: Mutex<Reading>,
}

/// What becomes of reads.
#[derive(Clone, Copy)]
enum Reading {
    Works,
    /// It works until somebody has asked for a tombstone, and then not for so long.
    FailsBehindTombstone(Duration),
    /// It works from then on.
    FailsUntil(Instant),
}

impl Watched {
    /// A log that several instances may use, and one that no other uses.
    fn shared() -> (Arc<Self>, Faults) {
        Self::around(MemoryLog::for_instances(system_clock()))
    }

    fn alone() -> (Arc<Self>, Faults) {
        Self::around(MemoryLog::with_faults())
    }

    fn around((inner, faults): (MemoryLog, Faults)) -> (Arc<Self>, Faults) {
        let reading = Mutex::new(Reading::Works);
        (Arc::new(Self { inner, appends: AtomicUsize::new(0), reading }), faults)
    }

    fn appends(&self) -> usize {
        self.appends.load(Ordering::SeqCst)
    }

    fn may_be_read(&self) -> Result<(), LogError> {
        match *self.reading.lock() {
            Reading::FailsUntil(until) if Instant::now() < until => {
                Err(LogError::Unavailable("a test".to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn kinds(&self, name: &RoomName) -> Vec<Kind> {
        let records = self.inner.read(name, 0, 1_000).await.unwrap();
        crate::harness::kinds_of(&records)
    }
}

#[async_trait]
impl Log for Watched {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        self.inner.append(room, batch).await
    }
    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        self.may_be_read()?;
        self.inner.open(room).await
    }
    async fn read(&self, room: &RoomName, after: u64, count: usize) -> Result<Vec<StoredRecord>, LogError> {
        self.may_be_read()?;
        self.inner.read(room, after, count).await
    }
    async fn rooms(&self, after: Option<&RoomName>, count: usize) -> Result<Vec<RoomName>, LogError> {
        self.inner.rooms(after, count).await
    }
    async fn put_chunk(
        &self,
        room: &RoomName,
        id: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        self.inner.put_chunk(room, id, index, bytes).await
    }
    async fn chunk(&self, room: &RoomName, id: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        self.inner.chunk(room, id, index).await
    }
    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        self.inner.adopt(room, adoption).await
    }
    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        self.inner.trim(room, through).await
    }
    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        self.inner.touch(room, ttl_ms).await
    }
    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        self.inner.freeze(room, frozen).await
    }
    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        self.inner.expire(room, deadline_ms).await
    }
    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        self.inner.delete(room).await
    }
    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        self.may_be_read()?;
        let tombstone = self.inner.tombstone(room).await;
        let mut reading = self.reading.lock();
        if let Reading::FailsBehindTombstone(time) = *reading {
            *reading = Reading::FailsUntil(Instant::now() + time);
        }
        tombstone
    }
    async fn follow(&self, room: &RoomName) -> Result<Follower, LogError> {
        self.inner.follow(room).await
    }
    fn whisper(&self, room: &RoomName, from: InstanceId, whisper: Whisper) {
        self.inner.whisper(room, from, whisper);
    }
    fn durability(&self) -> Durability {
        self.inner.durability()
    }
    async fn health(&self) -> Result<(), LogError> {
        self.inner.health().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

fn patient(log: &Arc<Watched>, patience: Duration) -> Arc<Rooms> {
    let options = RoomsOptions {
        store_patience: patience,
        idle_unload: Duration::from_millis(20),
        ..RoomsOptions::default()
    };
    rooms(Arc::clone(log) as Arc<dyn Log>, options)
}

/// Waits until the room sends a person away. Says with which code, and after how long.
async fn sent_away(person: &mut Person) -> (u16, Duration) {
    let began = Instant::now();
    loop {
        if let Some(close) = person.member.news().post.close {
            return (close.code, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(600), "nobody is sent away");
        sleep(Duration::from_millis(10)).await;
    }
}

/// [R30] The store loses a room, and cannot be read while that is looked into, for longer than any number of heals takes that
/// others are faster with: what is in memory here is not given up, and is stored when the store is back. Whoever is in the room only
/// looks on.
#[tokio::test(start_paused = true)]
async fn a_store_that_goes_away_during_a_heal_is_waited_for() {
    let (log, faults) = Watched::shared();
    let (rooms, name) = (patient(&log, Duration::from_secs(90)), room("r"));
    let mut viewer = Person::join(&rooms, &name).await;
    Person::join(&rooms, &name).await.set("k").await;
    *log.reading.lock() = Reading::FailsBehindTombstone(Duration::from_secs(20));
    println!("the store loses the room, and cannot be read for 20 s");
    faults.forget_room(&name);
    faults.check_heads();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(viewer.member.news().post.close, None, "the viewer stays");
    let kinds = log.kinds(&name).await;
    assert_eq!(kinds, [Kind::Genesis, Kind::Heal]);
    assert_eq!(Person::join(&rooms, &name).await.keys().await, ["k"]);

    println!("the same again, and it cannot be read for 200 s");
    *log.reading.lock() = Reading::FailsBehindTombstone(Duration::from_secs(200));
    faults.forget_room(&name);
    faults.check_heads();
    let (code, after) = sent_away(&mut viewer).await;
    println!("the viewer is asked to come back after {after:?}");
    assert_eq!(code, 1013);
    assert!((Duration::from_secs(90)..Duration::from_secs(100)).contains(&after));
    assert_eq!(rooms.metrics().rooms_without_store.get(), 1);
}

/// [R32] A store is read and takes no edits, for long; somebody comes back again and again, with an edit each time. However
/// often: when they have gone nobody asks the store any more, whether it says that nothing is stored or nothing at all. Once it
/// takes edits again, what they bring is stored.
#[tokio::test(start_paused = true)]
async fn appends_of_rooms_that_have_ended_do_not_add_up() {
    let refusals = [LogError::Full("a test".to_owned()), LogError::Unknown("a test".to_owned())];
    for refusal in refusals {
        let (log, faults) = Watched::alone();
        let (rooms, name) = (patient(&log, Duration::from_millis(200)), room("r"));
        Person::join(&rooms, &name).await.set("k").await;
        println!("from here on: {refusal}");
        faults.fail_appends(ALWAYS, refusal);
        for rounds in [1, 10, 30] {
            let mut while_there = 0;
            for _ in 0..rounds {
                let before = log.appends();
                let mut person = Person::join(&rooms, &name).await;
                assert_eq!(person.keys().await, ["k"]);
                person.write("l").await;
                assert_eq!(sent_away(&mut person).await.0, 1013);
                while_there += log.appends() - before;
            }
            sleep(Duration::from_secs(5)).await;
            let before = log.appends();
            sleep(Duration::from_secs(100)).await;
            let after = log.appends() - before;
            println!("{rounds} rounds with {while_there} appends, then {after} in 100 s");
            assert_eq!(after, 0, "nobody is there");
            assert!(while_there <= 12 * rounds, "a round asks no more often for those before it");
        }
        faults.forgive();
        let mut person = Person::join(&rooms, &name).await;
        person.set("l").await;
        assert_eq!(person.keys().await, ["k", "l"]);
        let kinds = log.kinds(&name).await;
        assert_eq!(kinds, [Kind::Genesis, Kind::Update, Kind::Update], "once");
    }
}

/// [R32] An append is answered, and records of others stand before it that cannot be read: nobody can be shown it. People are asked
/// to come back when the patience for it is over, and it is there then, once.
#[tokio::test(start_paused = true)]
async fn an_edit_behind_what_cannot_be_read_is_waited_for_as_long_as_any() {
    let (log, faults) = Watched::shared();
    let patience = Duration::from_secs(90);
    let (one, two, name) = (patient(&log, patience), patient(&log, patience), room("r"));
    let (mut ann, mut bob) = (Person::join(&one, &name).await, Person::join(&two, &name).await);
    ann.set("a").await;
    bob.set("b").await;
    faults.on_bus(|_: &Heard| Fate::Lost);
    bob.set("c").await;
    *log.reading.lock() = Reading::FailsUntil(Instant::now() + Duration::from_secs(200));
    println!("Ann's edit is stored behind one of Bob's, which her instance has not heard of and cannot read");
    ann.write("d").await;
    let (code, after) = sent_away(&mut ann).await;
    println!("Ann is asked to come back after {after:?}");
    assert_eq!(code, 1013);
    assert!((patience..patience + Duration::from_secs(10)).contains(&after));
    assert_eq!(one.metrics().rooms_without_store.get(), 1);
    drop(ann);
    sleep(Duration::from_secs(200)).await;
    assert_eq!(Person::join(&one, &name).await.keys().await, ["a", "b", "c", "d"]);
    assert_eq!(log.kinds(&name).await.len(), 5);
}

/// [R30] [R32] The store has lost a room, can be read, and does not take what heals it: people are asked to come back when the
/// patience is over, and what was in memory is stored when the store takes it.
#[tokio::test(start_paused = true)]
async fn a_heal_that_is_not_taken_keeps_nobody_waiting() {
    let (log, faults) = Watched::shared();
    let patience = Duration::from_secs(90);
    let (rooms, name) = (patient(&log, patience), room("r"));
    let mut ann = Person::join(&rooms, &name).await;
    ann.set("a").await;
    println!("the store loses the room, and takes no appends");
    faults.fail_appends(ALWAYS, LogError::Full("a test".to_owned()));
    faults.forget_room(&name);
    faults.check_heads();
    let (code, after) = sent_away(&mut ann).await;
    println!("Ann is asked to come back after {after:?}");
    assert_eq!(code, 1013);
    assert!((patience..patience + Duration::from_secs(10)).contains(&after));
    drop(ann);
    faults.forgive();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(log.kinds(&name).await, [Kind::Genesis, Kind::Heal]);
    assert_eq!(Person::join(&rooms, &name).await.keys().await, ["a"]);
}

//! Rooms that fail: by a panic, by a log that cannot be read, by a refusal for good. Each harms its
//! own sessions only, and they can come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::SinkExt;
use ruang::gate::Source;
use ruang::ids::RoomName;
use ruang::log::memory::MemoryLog;
use ruang::log::record::StoredRecord;
use ruang::log::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};
use ruang::room::{Entry, Outlet};
use ruang::session::Permit;
use ruang::wire::y_websocket;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::craft::{At, Blocks, blocks};
use crate::harness::{Client, Server};

/// A log that panics for one room, when told to.
struct Fragile {
    inner: MemoryLog,
    room: RoomName,
    append: AtomicBool,
    open: AtomicBool,
    read: AtomicBool,
}

impl Fragile {
    fn new(room: &str) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryLog::new(),
            room: room.parse().unwrap(),
            append: AtomicBool::new(false),
            open: AtomicBool::new(false),
            read: AtomicBool::new(false),
        })
    }

    fn maybe_panic(&self, room: &RoomName, when: &AtomicBool) {
        assert!(*room != self.room || !when.load(Ordering::SeqCst), "a panic that the test asked for");
    }
}

#[async_trait]
impl Log for Fragile {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        self.maybe_panic(room, &self.append);
        self.inner.append(room, batch).await
    }
    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        self.maybe_panic(room, &self.open);
        self.inner.open(room).await
    }
    async fn read(&self, room: &RoomName, after: u64, count: usize) -> Result<Vec<StoredRecord>, LogError> {
        self.maybe_panic(room, &self.read);
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
        self.inner.tombstone(room).await
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

/// [R9, R12] A panic in one room: all its clients, also those that only listen and those that have
/// not said anything yet, are asked to come back; the other room notices nothing. When the panics
/// stop, they come back and nothing is lost, not even the edit that was on its way.
#[tokio::test]
async fn a_panic_ends_the_sessions_of_its_room_only() {
    let log = Fragile::new("bad");
    let server = Server::start(Arc::clone(&log) as Arc<dyn Log>).await;
    let (mut author, mut listener) = (server.join("bad").await, server.join("bad").await);
    let mut silent = server.connect("bad").await;
    let (mut other, mut other_listener) = (server.join("good").await, server.join("good").await);
    author.set("before", "1").await;
    listener.until_set("before", "1").await;

    log.append.store(true, Ordering::SeqCst);
    author.set("k", "v").await;
    assert_eq!(author.until_closed().await, Some(1013));
    assert_eq!(listener.until_closed().await, Some(1013), "who only listens is told too");
    assert_eq!(silent.until_closed().await, Some(1013), "who has said nothing yet is told too");
    other.set("k", "good").await;
    other_listener.until_set("k", "good").await;

    log.append.store(false, Ordering::SeqCst);
    author.reconnect(&server.url("bad"), None).await;
    author.sync().await;
    let mut newcomer = server.join("bad").await;
    newcomer.until_set("k", "v").await;
    assert_eq!(newcomer.get("before").as_deref(), Some("1"));
    other.set("k", "still").await;
    other_listener.until_set("k", "still").await;
    assert_eq!(server.app.metrics.rooms_failed.get(), 1);
    server.stop().await;
}

/// [R12] A panic while a room is loaded: joins are asked to come back, and later ones get in.
#[tokio::test]
async fn a_panic_while_loading_refuses_joins_for_now() {
    let log = Fragile::new("bad");
    let first = Server::start(Arc::clone(&log) as Arc<dyn Log>).await;
    let mut author = first.join_for_acks("bad").await;
    author.set("k", "v").await;
    author.until("the acks", |author| author.acked == 2).await;

    let server = Server::start(Arc::clone(&log) as Arc<dyn Log>).await;
    for part in [&log.open, &log.read] {
        part.store(true, Ordering::SeqCst);
        assert_eq!(server.connect("bad").await.until_closed().await, Some(1013));
        let mut other = server.join("good").await;
        other.set("k", "good").await;
        server.join("good").await.until_set("k", "good").await;
        part.store(false, Ordering::SeqCst);
    }
    server.join("bad").await.until_set("k", "v").await;
    server.stop().await;
    first.stop().await;
}

/// [R12] A log that cannot be read: joins are asked to come back, rooms that are open go on, and
/// later joins get in.
#[tokio::test]
async fn a_room_that_cannot_be_read_is_refused_for_now() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    let mut open = server.join("open").await;
    let room: RoomName = "r".parse().unwrap();
    for error in [LogError::Unavailable("away".into()), LogError::Fatal("newer".into())] {
        faults.fail_reads_of(&room, 1, error);
        assert_eq!(server.connect("r").await.until_closed().await, Some(1013));
        open.set("k", "v").await;
        server.join("open").await.until_set("k", "v").await;
    }
    let mut later = server.join("r").await;
    later.set("k", "v").await;
    server.join("r").await.until_set("k", "v").await;
    assert_eq!(server.app.metrics.rooms_failed.get(), 0);
    server.stop().await;
}

/// [R10] A batch that the log refuses for good: its author is asked to come back, and no ack has
/// run over the loss, however much more it sent meanwhile. Coming back brings everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acked_over_a_refused_batch() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    for round in 0..10_u64 {
        let room = format!("r{round}");
        let mut author = server.join_for_acks(&room).await;
        author.until("the ack of the Step2", |author| author.acked == 1).await;
        faults.delay_appends(Duration::from_millis(round % 3));
        faults.fail_appends(1, LogError::Fatal("never".into()));
        for n in 0..100 {
            let update = author.set_locally(&format!("k{n}"), "v");
            // Closed meanwhile: found when listening.
            let _ = author.socket.feed(Frame::Binary(y_websocket::update(&update))).await;
            if n % 7 == 0 {
                let _ = author.socket.flush().await;
            }
        }
        let _ = author.socket.flush().await;
        let code = author.until_closed().await;
        assert!(matches!(code, Some(1013) | None), "{code:?}");
        assert_eq!(author.acked, 1, "the first edit is not stored, so nothing after it is acked");

        author.reconnect(&server.url(&room), Some("ruang.v1")).await;
        author.sync().await;
        author.until("the ack of the Step2", |author| author.acked == 1).await;
        let newcomer = server.join(&room).await;
        assert!((0..100).all(|n| newcomer.get(&format!("k{n}")).is_some()), "round {round}");
    }
    server.stop().await;
}

/// A socket that takes nothing.
struct Nowhere;

impl Outlet for Nowhere {
    fn offer(&self, _: &[u8]) -> usize {
        0
    }
}

/// [R10] The same without a socket: what is judged after the refusal, before the session hears of
/// it, is not acked either, since an ack counts everything before it.
#[tokio::test]
async fn what_is_judged_after_a_refusal_is_not_acked() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    let mut member =
        server.app.rooms.join(&"r".parse().unwrap(), Entry::anonymous(Arc::new(Nowhere))).await.unwrap();
    member.sync(vec![0].into(), true).await.unwrap();
    faults.fail_appends(1, LogError::Fatal("never".into()));
    let edit = |client| blocks(Blocks::of(client, 0).one(At::Root("a")));
    member.submit(edit(1).into(), Source::Update, Permit::Taken, 1).await.unwrap();
    while server.app.metrics.appends_refused.get() == 0 {
        tokio::task::yield_now().await;
    }
    // What comes behind it may build on it: one that is new, one that is known, one with a gap.
    let gap = blocks(Blocks::of(3, 7).one(At::Root("a")));
    for (update, ordinal) in [(edit(2), 2), (edit(2), 3), (gap, 4)] {
        member.submit(update.into(), Source::Update, Permit::Taken, ordinal).await.unwrap();
    }
    // The room takes its commands in order: it has dealt with all three when it answers.
    member.state_vector().await.unwrap();
    let metrics = &server.app.metrics;
    assert_eq!((metrics.updates_stored.get(), metrics.updates_with_gaps.get()), (0, 0));
    let post = member.news().post;
    assert_eq!(post.ack, None);
    assert_eq!(post.close.map(|close| close.code), Some(1013));
    drop(member);
    server.stop().await;
}

/// [R5, R7] Who falls off the ring gets one diff, and also what has changed in presence meanwhile.
#[tokio::test]
async fn a_stalled_reader_catches_up_with_presence() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let (mut stalled, mut author) = (server.join("r").await, server.join("r").await);
    let (filler, here) = ("x".repeat(60_000), b"\x01\x63\x01\x02{}");
    let is_here = |client: &Client| client.presence.iter().any(|update| update[..] == *here);
    for count in 0..300 {
        author.set(&format!("k{count}"), &filler).await;
        // Providers read while they write; one that does not is not read either.
        while author.step(Duration::ZERO).await == Ok(true) {}
        if count == 220 {
            // By now the kernel's buffers are full: the stalled one hears of this by catching up.
            author.send(y_websocket::presence(here)).await;
            let mut check = server.join("r").await;
            tokio::select! {
                () = check.until("presence", is_here) => {}
                _ = author.until_closed() => panic!("nobody is sent away"),
            }
        }
    }
    author.set("last", "1").await;
    let watch = async {
        server.join("r").await.until_set("last", "1").await;
        stalled.until_set("last", "1").await;
        stalled.until("presence", is_here).await;
    };
    tokio::select! {
        () = watch => {}
        _ = author.until_closed() => panic!("nobody is sent away"),
    }
    assert!(server.app.metrics.catch_ups.get() > 0, "it fell off");
    server.stop().await;
}

/// [S9] A client that reads more slowly than its room writes is heard all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_heard() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let (mut slow, mut author) = (server.join("r").await, server.join("r").await);
    let mut watcher: Client = server.join("r").await;
    let pump = tokio::spawn(async move {
        let filler = "x".repeat(20_000);
        for n in 0.. {
            author.set(&format!("k{n}"), &filler).await;
            while author.step(Duration::ZERO).await == Ok(true) {}
        }
    });
    let reading = tokio::spawn(async move {
        for count in 0.. {
            if count == 100 {
                slow.set("slow", "1").await;
            }
            slow.step(Duration::from_secs(5)).await.expect("it is not sent away");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    watcher.until_set("slow", "1").await;
    pump.abort();
    reading.abort();
    let _ = (pump.await, reading.await);
    server.stop().await;
}

/// [S7] While too much of a room waits for the log, its sockets are not read; a client still hears
/// something, so that it waits instead of giving up. All of its edits are stored in the end.
#[tokio::test]
async fn waiting_for_the_log_is_not_silence() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    let mut author = server.join("r").await;
    let held = faults.hold_appends();
    for count in 0..5_000 {
        author.set("k", &count.to_string()).await;
    }
    println!("5,000 edits wait for a held append: the next message is a keepalive");
    author.until("a keepalive", |author| !author.presence.is_empty()).await;
    assert!(server.app.metrics.updates_stored.get() == 0);
    held.release();
    server.join("r").await.until_set("k", "4999").await;
    server.stop().await;
}

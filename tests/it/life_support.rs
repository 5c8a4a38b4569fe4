//! Clocks that a test moves, people without sockets, and a small HTTP client.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ruang::clock::Clock;
use ruang::gate::Source;
use ruang::ids::{InstanceId, RoomName};
use ruang::life::{Clocks, LifeOptions};
use ruang::log::{Head, Log};
use ruang::room::{Entry, Member, Outlet, Rooms, RoomsOptions};
use ruang::session::Permit;
use ruang::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use yrs::{Doc, Map, Transact};

pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// Both clocks, moved by hand.
#[derive(Clone)]
pub struct TestClocks {
    wall: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
}

impl TestClocks {
    pub fn new() -> Self {
        Self { wall: Arc::new(AtomicU64::new(1_780_000_000_000)), steady: Arc::new(AtomicU64::new(0)) }
    }

    /// The wall clock, for a log.
    pub fn wall(&self) -> Clock {
        let wall = Arc::clone(&self.wall);
        Arc::new(move || wall.load(Ordering::SeqCst))
    }

    pub fn both(&self) -> Clocks {
        let steady = Arc::clone(&self.steady);
        Clocks { wall: self.wall(), steady: Arc::new(move || steady.load(Ordering::SeqCst)) }
    }

    pub fn wall_ms(&self) -> u64 {
        self.wall.load(Ordering::SeqCst)
    }

    pub fn pass(&self, ms: u64) {
        self.steady.fetch_add(ms, Ordering::SeqCst);
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }

    /// Only the wall clock moves.
    pub fn jump(&self, ms: i64) {
        let wall_ms = self.wall_ms().saturating_add_signed(ms);
        self.wall.store(wall_ms, Ordering::SeqCst);
    }

    /// Rooms that live for a day, unload at once, and expire without a grace.
    pub fn options(&self) -> RoomsOptions {
        RoomsOptions {
            idle_unload: Duration::from_millis(20),
            ttl: Some(Duration::from_millis(DAY)),
            life: LifeOptions { archive: None, grace: Duration::ZERO, clocks: self.both() },
            ..RoomsOptions::default()
        }
    }
}

pub fn room(name: &str) -> RoomName {
    RoomName::parse(name).expect("a name")
}

/// Rooms without sockets.
pub fn rooms(log: Arc<dyn Log>, options: RoomsOptions) -> Arc<Rooms> {
    Rooms::new(log, InstanceId(rand::random()), options, Arc::new(Metrics::new()))
}

/// A socket that takes nothing: its session takes all for itself.
pub struct Nowhere;

impl Outlet for Nowhere {
    fn offer(&self, _: &[u8]) -> usize {
        0
    }
}

/// A person in a room, without a socket.
pub struct Person {
    pub member: Member,
    /// The root map that it writes to.
    pub root: &'static str,
    doc: Doc,
    sent: u64,
}

impl Person {
    pub async fn join(rooms: &Arc<Rooms>, name: &RoomName) -> Self {
        Self::try_join(rooms, name).await.expect("the room takes people")
    }

    /// The same; nobody if the room ends at that moment.
    pub async fn try_join(rooms: &Arc<Rooms>, name: &RoomName) -> Option<Self> {
        let member = rooms.join(name, Entry::anonymous(Arc::new(Nowhere))).await.ok()?;
        Some(Self { member, root: "m", doc: Doc::new(), sent: 0 })
    }

    /// The keys of its root map in the room.
    pub async fn keys(&mut self) -> Vec<String> {
        use yrs::updates::decoder::Decode;
        let frame = self.member.sync(Bytes::from_static(&[0]), true).await.expect("the room answers");
        let header = match frame[1] {
            ..126 => 2,
            126 => 4,
            _ => 10,
        };
        let (message, _) = ruang::wire::y_websocket::decode(&frame.slice(header..)).expect("a message");
        let ruang::wire::Message::SyncStep2(update) = message else { panic!("a step 2") };
        let doc = Doc::new();
        doc.transact_mut()
            .apply_update(yrs::Update::decode_v1(&update).expect("an update"))
            .expect("applies");
        let map = doc.get_or_insert_map(self.root);
        let txn = doc.transact();
        let mut keys: Vec<String> = map.keys(&txn).map(ToString::to_string).collect();
        keys.sort();
        keys
    }

    /// Sends an edit; [`Person::until_stored`] waits for its ack.
    pub async fn write(&mut self, key: &str) {
        assert!(self.try_write(key).await, "the room takes edits");
    }

    /// The same; false if the room has ended.
    async fn try_write(&mut self, key: &str) -> bool {
        let map = self.doc.get_or_insert_map(self.root);
        let update = {
            let mut txn = self.doc.transact_mut();
            map.insert(&mut txn, key, "x");
            txn.encode_update_v1()
        };
        self.sent += 1;
        self.member.submit(update.into(), Source::Update, Permit::Taken, self.sent).await.is_ok()
    }

    pub async fn until_stored(&mut self) {
        loop {
            let news = self.member.news();
            assert_eq!(news.post.close, None, "the room ends");
            if news.post.ack.is_some_and(|(decided, _)| decided == self.sent) {
                return;
            }
            self.member.woken().await;
        }
    }

    /// Writes and waits until it is stored; false if the room ends first.
    pub async fn try_set(&mut self, key: &str) -> bool {
        if !self.try_write(key).await {
            return false;
        }
        loop {
            let news = self.member.news();
            if news.post.close.is_some() {
                return false;
            }
            if news.post.ack.is_some_and(|(decided, _)| decided == self.sent) {
                return true;
            }
            self.member.woken().await;
        }
    }

    /// Writes and waits until it is stored.
    pub async fn set(&mut self, key: &str) {
        self.write(key).await;
        self.until_stored().await;
    }
}

/// A room with one edit, and nobody in it.
pub async fn leave_one_edit(rooms: &Arc<Rooms>, name: &RoomName) {
    let mut person = Person::join(rooms, name).await;
    person.set("old").await;
    drop(person);
    until_closed(rooms, name).await;
}

pub async fn until_closed(rooms: &Arc<Rooms>, name: &RoomName) {
    eventually("the room is unloaded", || !rooms.is_open(name)).await;
}

pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(60);
    assert!(tokio::time::timeout(patience, waiting).await.is_ok(), "waited in vain: {what}");
}

pub async fn head(log: &Arc<dyn Log>, name: &RoomName) -> Option<Head> {
    log.open(name).await.expect("the log is read")
}

/// One request; the status and the body.
pub async fn request(address: SocketAddr, method: &str, path: &str) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("in time").expect("an answer");
    let text = String::from_utf8(answer).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or(serde_json::Value::Null))
}

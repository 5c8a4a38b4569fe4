//! The client against the real server, in this process.
//!
//! - C2  What is unsaved is counted exactly, over lost connections and lost acks.
//! - C4  Edits made offline, and copies from a store, arrive once; what the server has is not sent again.
//! - C9  Copies of another life of a room do not mix with it, and can be kept as another room.
//! - C12 All clients of a room come to the same board.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

#[path = "../../tests/it/harness.rs"]
mod harness;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use harness::{PATIENCE, Server, seeds};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ruang::board::edit::Edit;
use ruang::board::view::{RetroRoomState, view};
use ruang::limits::BOARD_TEXT_BYTES_MAX;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang_client::client::Client;
use ruang_client::output::{Output, Said};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use world::{add, client, edit, title};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A browser's tab: a client, its socket, its store, and what it shows.
struct Tab {
    client: Client,
    socket: Option<Socket>,
    store: Vec<Vec<u8>>,
    state: RetroRoomState,
    unsaved: usize,
    said: Vec<Said>,
    /// The code with which the server closed last.
    code: Option<u16>,
    /// Bytes of Step2 and Update messages sent.
    sent: usize,
}

impl Tab {
    fn new(id: u64, user: &str, room: &str) -> Self {
        let (store, said, state) = (Vec::new(), Vec::new(), RetroRoomState::default());
        Self {
            client: client(id, user, room),
            socket: None,
            store,
            state,
            unsaved: 0,
            said,
            code: None,
            sent: 0,
        }
    }

    /// The tab is closed and opened again: another client on the same store.
    fn reload(self, id: u64, user: &str, room: &str) -> Self {
        let mut tab = Self::new(id, user, room);
        for (n, update) in self.store.iter().enumerate() {
            let unsaved = if n + 1 == self.store.len() { self.unsaved } else { 0 };
            let output = tab.client.load(update, unsaved).expect("its own updates");
            tab.note(output);
        }
        tab
    }

    async fn connect(&mut self, server: &Server, room: &str) {
        self.socket = Some(server.connect_for_acks(room).await.socket);
        self.code = None;
        let output = self.client.open();
        self.take(output).await;
    }

    /// The connection is gone, and what is on its way with it.
    fn cut(&mut self) {
        self.socket = None;
        let output = self.client.closed();
        self.note(output);
    }

    fn note(&mut self, output: Output) -> Vec<bytes::Bytes> {
        output.change.apply(&mut self.state);
        assert_eq!(&self.state, self.client.state(), "what is told is what is shown");
        self.store.extend(output.updates);
        self.said.extend(output.said);
        self.unsaved = output.unsaved;
        assert_eq!(output.close, None, "an honest server makes sense");
        output.frames
    }

    async fn take(&mut self, output: Output) {
        for frame in self.note(output) {
            self.sent += if frame[0] == 0 && frame[1] > 0 { frame.len() } else { 0 };
            if let Some(socket) = &mut self.socket {
                // A socket that the server has closed takes nothing; that is seen when it is read.
                let _ = socket.send(Frame::Binary(frame)).await;
            }
        }
    }

    async fn edit(&mut self, edit: &Edit) -> bool {
        let Ok(output) = self.client.edit(edit, 1_700_000_000_000) else { return false };
        self.take(output).await;
        true
    }

    /// Takes one message; false if none came in time, or the connection has ended.
    async fn step(&mut self, patience: Duration) -> bool {
        let Some(socket) = &mut self.socket else { return false };
        let Ok(frame) = timeout(patience, socket.next()).await else { return false };
        match frame {
            Some(Ok(Frame::Binary(bytes))) => {
                let output = self.client.receive(bytes);
                self.take(output).await;
                true
            }
            Some(Ok(Frame::Close(close))) => {
                self.code = close.map(|close| close.code.into());
                self.cut();
                false
            }
            Some(Ok(_)) => true,
            Some(Err(_)) | None => {
                self.cut();
                false
            }
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if !self.step(left).await && !holds(self) {
                panic!("waited in vain for {what}; closed with {:?}, unsaved {}", self.code, self.unsaved);
            }
        }
    }

    async fn until_saved(&mut self) {
        self.until("all to be saved", |tab| tab.unsaved == 0 && tab.client.status().synced).await;
    }
}

/// What a newcomer reads of a room, by a client that is not ours.
async fn board_of(server: &Server, room: &str) -> RetroRoomState {
    view(&server.join(room).await.doc)
}

/// [C2, C4, C12] Two people edit; their connections are cut at any moment, acks are lost, tabs are closed and opened again on
/// their stores. Whenever nothing is unsaved in a tab that is connected, the server has all that it shows as its own; in the end
/// everyone has the same board.
#[tokio::test]
async fn what_is_unsaved_is_exact_however_connections_end() {
    for seed in seeds(6) {
        println!("RUANG_TEST_SEED={seed}");
        let random = &mut StdRng::seed_from_u64(seed);
        let server = Server::start(Arc::new(MemoryLog::new())).await;
        let mut tabs = [Tab::new(1, "ann", "r"), Tab::new(2, "bob", "r")];
        let users = ["ann", "bob"];
        let mut ids = 3;
        for _ in 0..60 {
            let who = random.random_range(0..2);
            let tab = &mut tabs[who];
            match random.random_range(0..12) {
                0..5 => {
                    let before = tab.unsaved;
                    let edit = edit(random);
                    let stored = tab.store.len();
                    if tab.edit(&edit).await {
                        let wrote = tab.store.len() - stored;
                        assert_eq!(tab.unsaved, before + wrote, "{edit:?}");
                    }
                }
                5 => {
                    let output = tab.client.undo().unwrap();
                    tab.take(output).await;
                }
                6 => tab.cut(),
                7 => {
                    let (user, id) = (users[who], ids);
                    ids += 1;
                    let old = std::mem::replace(tab, Tab::new(id, user, "r"));
                    let unsaved = old.unsaved;
                    *tab = old.reload(id, user, "r");
                    assert_eq!(tab.unsaved, if tab.store.is_empty() { 0 } else { unsaved });
                }
                8 | 9 if tab.socket.is_none() => tab.connect(&server, "r").await,
                10 if tab.socket.is_some() => {
                    tab.until("synced", |tab| tab.client.status().synced || tab.code.is_some()).await;
                    if tab.socket.is_some() {
                        tab.until("saved", |tab| tab.unsaved == 0 || tab.code.is_some()).await;
                    }
                }
                _ => drop(tab.step(Duration::from_millis(5)).await),
            }
        }
        for tab in &mut tabs {
            while tab.unsaved > 0 || !tab.client.status().synced {
                if tab.socket.is_none() {
                    tab.connect(&server, "r").await;
                }
                tab.step(PATIENCE).await;
            }
        }
        let truth = board_of(&server, "r").await;
        for tab in &mut tabs {
            let truth = truth.clone();
            tab.until("the server's board", |tab| tab.state == truth).await;
        }
        server.stop().await;
    }
}

/// [C2] While the log keeps appends waiting nothing is called saved; if the connection is lost then, the edits stay counted,
/// also if they were stored and only the ack was lost, until the next connection has acknowledged them.
#[tokio::test]
async fn nothing_is_saved_before_it_is_stored() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    let mut tab = Tab::new(1, "ann", "r");
    tab.connect(&server, "r").await;
    assert!(tab.edit(&add("a", "before the greeting")).await);
    assert_eq!(tab.unsaved, 1);
    tab.until_saved().await;

    let held = faults.hold_appends();
    for n in 0..3 {
        assert!(tab.edit(&title(&format!("title {n}"))).await);
    }
    held.arrived(1).await;
    while tab.step(Duration::from_millis(200)).await {}
    assert_eq!(tab.unsaved, 3, "nothing is stored");
    tab.cut();
    held.release();
    assert!(tab.edit(&title("offline")).await);
    assert_eq!(tab.unsaved, 4);
    tab.connect(&server, "r").await;
    tab.until_saved().await;
    assert_eq!(board_of(&server, "r").await, tab.state);
    let saved = tab.said.iter().filter(|said| matches!(said, Said::Saved { .. })).count();
    println!("{saved} acks; position {:?}", tab.client.status().position);
    assert!(tab.client.status().position.is_some());
    server.stop().await;
}

/// [C4] A copy that holds what the server has is not sent again: its answer to the server's question holds no block. One that
/// holds more sends that, and says that it is unsaved although its store did not know.
#[tokio::test]
async fn what_the_server_has_is_not_sent_again() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut tab = Tab::new(1, "ann", "r");
    tab.connect(&server, "r").await;
    for n in 0..50 {
        tab.edit(&add(&format!("i{n}"), &"x".repeat(1_000))).await;
    }
    tab.until_saved().await;
    let sent = tab.sent;
    let mut tab = tab.reload(2, "ann", "r");
    tab.connect(&server, "r").await;
    tab.until_saved().await;
    println!("first {sent} bytes, with a copy {}", tab.sent);
    assert!(sent > 50_000 && tab.sent < 100);

    tab.cut();
    tab.edit(&title("offline")).await;
    tab.unsaved = 0; // a store that did not get to write the count
    let mut tab = tab.reload(3, "ann", "r");
    tab.connect(&server, "r").await;
    tab.until("the server's question", |tab| tab.unsaved == 1).await;
    tab.until_saved().await;
    assert_eq!(board_of(&server, "r").await.meta.title, "offline");
    assert!(tab.sent < 200);
    server.stop().await;
}

/// [C2] A server whose store has lost everything: what was saved is unsaved again until it is stored again, in the same
/// life of the room.
#[tokio::test]
async fn what_the_store_lost_is_brought_back() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut tab = Tab::new(1, "ann", "r");
    tab.connect(&server, "r").await;
    tab.edit(&add("a", "x")).await;
    tab.edit(&title("t")).await;
    tab.until_saved().await;
    tab.until("the mark of the room's life", |tab| !tab.client.status().generation.is_empty()).await;
    let life = tab.client.status().generation;
    println!("life {life:?}");
    server.stop().await;
    tab.cut();

    let server = Server::start(Arc::new(MemoryLog::new())).await;
    tab.connect(&server, "r").await;
    tab.until("the server's question", |tab| tab.unsaved > 0).await;
    assert_eq!(tab.unsaved, 2);
    tab.until_saved().await;
    assert_eq!(board_of(&server, "r").await, tab.state);
    let lives = tab.client.status().generation;
    println!("lives {lives:?}");
    assert!(
        life.iter().all(|mark| lives.contains(mark)),
        "the same life, whatever began when the room was made again"
    );
    server.stop().await;
}

/// [C9] A copy of another life of the room: 4409, nothing mixes. It goes on without its copy, and the copy becomes a room
/// of another name.
#[tokio::test]
async fn another_life_is_kept_apart() {
    let first = Server::start(Arc::new(MemoryLog::new())).await;
    let mut old = Tab::new(1, "ann", "r");
    old.connect(&first, "r").await;
    old.edit(&add("old", "x")).await;
    old.until("the mark", |tab| !tab.client.status().generation.is_empty()).await;
    old.until_saved().await;
    old.cut();
    old.edit(&add("offline", "x")).await;
    first.stop().await;

    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut other = Tab::new(2, "bob", "r");
    other.connect(&server, "r").await;
    other.edit(&add("new", "x")).await;
    other.until_saved().await;

    old.connect(&server, "r").await;
    while old.step(PATIENCE).await {}
    assert_eq!(old.code, Some(4409));
    assert_eq!(old.unsaved, 1, "it is nowhere else");
    assert_eq!(old.state.items.len(), 2, "nothing of the room was shown to it");
    let mut kept = Tab::new(3, "ann", "r copy");
    let output = kept.client.load(&old.client.copy().encode().unwrap(), old.unsaved).unwrap();
    kept.note(output);
    kept.connect(&server, "r%20copy").await;
    kept.until_saved().await;
    assert_eq!(board_of(&server, "r%20copy").await.items.len(), 2);
    let mut again = Tab::new(4, "ann", "r");
    again.connect(&server, "r").await;
    again.until("the room as it is", |tab| tab.state.items.contains_key("new")).await;
    assert_eq!(board_of(&server, "r").await.items.len(), 1);
    server.stop().await;
}

/// [C12] Templates from two people at once, the longest texts, right to left and with pictures, clocks three days off, presence:
/// all of it arrives.
#[tokio::test]
async fn two_people_have_one_board() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let (mut ann, mut bob) = (Tab::new(1, "ann", "r"), Tab::new(2, "bob", "r"));
    for tab in [&mut ann, &mut bob] {
        let output = tab.client.seed("retro").unwrap();
        tab.note(output);
        let shows = tab.client.set_presence(Some("{\"cursor\":[1,2]}")).unwrap();
        assert_eq!((shows.frames.len(), shows.presence.len()), (0, 1));
        tab.connect(&server, "r").await;
    }
    let long = "مرحبا 👩‍👩‍👧 ".repeat(BOARD_TEXT_BYTES_MAX / 32);
    ann.edit(&add("long", &long)).await;
    let three_days = 3 * 86_400_000;
    let output = bob.client.edit(&add("late", "x"), 1_700_000_000_000 - three_days).unwrap();
    bob.take(output).await;
    ann.until_saved().await;
    bob.until_saved().await;
    ann.until("bob's card", |tab| tab.state.items.contains_key("late")).await;
    bob.until("ann's card", |tab| tab.state.items.contains_key("long")).await;
    assert_eq!(ann.state, bob.state);
    assert_eq!((ann.state.items["long"].text.len(), ann.state.meta.columns.len()), (long.len(), 3));
    ann.until("bob's presence", |tab| tab.client.presence().states().count() == 2).await;
    bob.cut();
    assert_eq!(bob.client.presence().states().count(), 1, "who is here is not known while away");
    ann.until("bob's leave", |tab| tab.client.presence().states().count() == 1).await;
    server.stop().await;
}

/// [C12] A board of 10,000 cards comes whole, to a newcomer and from a copy. The times are printed, not judged.
#[tokio::test]
async fn a_large_board_comes_whole() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(log).await;
    let mut author = Tab::new(1, "ann", "r");
    for n in 0..10_000 {
        let output = author.client.edit(&add(&format!("card {n}"), "what went well"), n).unwrap();
        author.store.extend(output.updates);
    }
    author.state = author.client.state().clone();
    author.connect(&server, "r").await;
    author.until_saved().await;
    let start = Instant::now();
    let mut tab = Tab::new(2, "bob", "r");
    tab.connect(&server, "r").await;
    tab.until("all cards", |tab| tab.state.items.len() == 10_000).await;
    println!("10,000 cards joined in {:?}", start.elapsed());
    assert_eq!(tab.state, author.state);
    server.stop().await;
}

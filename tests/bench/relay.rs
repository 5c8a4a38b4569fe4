//! A bare relay: what any server over the same WebSocket library pays at least. Every Update
//! message goes to the other sockets of its room as it came, one write per receiver and update. No
//! CRDT, no storage, no judgement; a late joiner gets nothing.
//!
//! With `--tick-ms N` all that came within a tick leaves in one write per receiver.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use bytes::Bytes;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

/// A bare WebSocket relay to compare with: no CRDT, no storage.
#[derive(Parser)]
struct Options {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: String,
    /// Collects what comes for so many milliseconds and writes it at once; 0 writes each update
    #[arg(long, default_value_t = 0)]
    tick_ms: u64,
}

/// Updates that may wait for one receiver; one that has more is behind for good and is cut off.
const QUEUE_MAX: usize = 1 << 16;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// What one receiver is handed: some frames that leave in one write.
type Frames = Arc<[Bytes]>;

#[derive(Default)]
struct Room {
    next: u64,
    receivers: Vec<(u64, mpsc::Sender<Frames>)>,
    /// With ticks: what came since the last one, and from whom.
    waiting: Vec<(u64, Bytes)>,
}

#[derive(Clone, Default)]
struct Relay {
    rooms: Arc<Mutex<HashMap<String, Room>>>,
    tick_ms: u64,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let relay = Relay { tick_ms: options.tick_ms, ..Relay::default() };
    if relay.tick_ms > 0 {
        tokio::spawn(tick(relay.clone()));
    }
    // The system's default backlog is 128: a storm of joins would wait a second for SYNs sent again.
    let address: SocketAddr = options.listen.parse().map_err(std::io::Error::other)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, Router::new().route("/ws/{room}", any(open)).with_state(relay)).await
}

async fn open(upgrade: WebSocketUpgrade, Path(room): Path<String>, State(relay): State<Relay>) -> Response {
    upgrade.read_buffer_size(4096).on_upgrade(move |socket| serve(socket, room, relay))
}

async fn serve(socket: WebSocket, name: String, relay: Relay) {
    let (mut sink, mut stream) = socket.split();
    let (sender, mut frames) = mpsc::channel::<Frames>(QUEUE_MAX);
    let replies = sender.clone();
    let id = relay.enter(&name, sender);
    let writing = tokio::spawn(async move {
        while let Some(frames) = frames.recv().await {
            for frame in frames.iter() {
                if sink.feed(Message::Binary(frame.clone())).await.is_err() {
                    return;
                }
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = stream.next().await {
        let Message::Binary(frame) = message else { continue };
        match frame.as_ref() {
            [0, 0, ..] => {
                let empty: Frames = Arc::from([Bytes::from_static(&[0, 1, 2, 0, 0])]);
                drop(replies.send(empty).await);
            }
            [0, 2, ..] => relay.pass_on(&name, id, frame),
            _ => {}
        }
    }
    relay.leave(&name, id);
    writing.abort();
}

impl Relay {
    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, name: &str, sender: mpsc::Sender<Frames>) -> u64 {
        let mut rooms = self.rooms();
        let room = rooms.entry(name.to_owned()).or_default();
        room.next += 1;
        room.receivers.push((room.next, sender));
        room.next
    }

    fn leave(&self, name: &str, id: u64) {
        let mut rooms = self.rooms();
        if let Some(room) = rooms.get_mut(name) {
            room.receivers.retain(|receiver| receiver.0 != id);
            if room.receivers.is_empty() {
                rooms.remove(name);
            }
        }
    }

    fn pass_on(&self, name: &str, from: u64, frame: Bytes) {
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(name) else { return };
        if self.tick_ms > 0 {
            room.waiting.push((from, frame));
            return;
        }
        let frames: Frames = Arc::from([frame]);
        room.receivers.retain(|(id, sender)| *id == from || sender.try_send(Arc::clone(&frames)).is_ok());
    }
}

impl Room {
    /// Hands what waits to everyone, to an author without the author's own.
    fn pass_on_all(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let all: Frames = waiting.iter().map(|(_, frame)| frame.clone()).collect();
        self.receivers.retain(|(id, sender)| {
            if !waiting.iter().any(|(from, _)| from == id) {
                return sender.try_send(Arc::clone(&all)).is_ok();
            }
            let others = waiting.iter().filter(|(from, _)| from != id);
            let others: Frames = others.map(|(_, frame)| frame.clone()).collect();
            others.is_empty() || sender.try_send(others).is_ok()
        });
    }
}

async fn tick(relay: Relay) {
    let mut ticks = tokio::time::interval(Duration::from_millis(relay.tick_ms));
    loop {
        ticks.tick().await;
        for room in relay.rooms().values_mut().filter(|room| !room.waiting.is_empty()) {
            room.pass_on_all();
        }
    }
}

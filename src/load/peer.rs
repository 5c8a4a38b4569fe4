//! One honest Yjs client with a document of its own (yrs), as `converge` needs it: it edits at
//! random, also while it is offline. Here yrs stands for the browser; the server is on the other
//! side of a socket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use yrs::types::text::YChange;
use yrs::types::{Attrs, ToJson};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, Array, ArrayRef, ClientID, Doc, Map, MapPrelim, MapRef, Options, ReadTxn, StateVector, Text,
    TextRef, Transact, TransactionMut, Update,
};

use super::LoadError;
use super::bytes::put_buf;
use super::scan::{self, Message};
use super::target::Target;
use crate::gate::EMPTY_UPDATE;

/// Keys, items and characters that the peers fight over.
const KEYS: u32 = 12;

/// A client with a document.
pub(super) struct Peer {
    doc: Doc,
    map: MapRef,
    items: MapRef,
    list: ArrayRef,
    text: TextRef,
    socket: Option<WebSocketStream<TcpStream>>,
    pub(super) random: StdRng,
    pub(super) edits: u64,
    pub(super) reconnects: u64,
}

impl Peer {
    /// A new document, not connected.
    pub(super) fn new(client: u64, random: StdRng) -> Self {
        let doc = Doc::with_options(Options { client_id: ClientID::new(client), ..Options::default() });
        Self {
            map: doc.get_or_insert_map("itemPositions"),
            items: doc.get_or_insert_map("items"),
            list: doc.get_or_insert_array("list"),
            text: doc.get_or_insert_text("text"),
            doc,
            socket: None,
            random,
            edits: 0,
            reconnects: 0,
        }
    }

    /// Connects and sends Step1.
    pub(super) async fn connect(&mut self, target: &Target, room: &str) -> Result<(), LoadError> {
        let refused =
            |source: std::io::Error| LoadError::Connect { authority: target.authority.clone(), source };
        let stream = TcpStream::connect(&target.authority).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let url = format!("ws://{}{}", target.authority, target.path(room));
        let upgraded = tokio_tungstenite::client_async(url, stream).await;
        let (socket, _) = upgraded
            .map_err(|error| LoadError::Refused { url: target.to_string(), answer: error.to_string() })?;
        self.socket = Some(socket);
        self.ask().await;
        Ok(())
    }

    /// Sends a Step1: what do I not have?
    pub(super) async fn ask(&mut self) {
        let state_vector = self.doc.transact().state_vector().encode_v1();
        self.send(&[0, 0], &state_vector).await;
    }

    /// Ends the connection without a word, as when a network goes away.
    pub(super) fn drop_connection(&mut self) {
        self.socket = None;
        self.reconnects += 1;
    }

    /// Reads and answers until `time` is over; returns how many updates came. A broken connection
    /// counts as one that was dropped.
    pub(super) async fn listen(&mut self, time: Duration) -> Result<u64, LoadError> {
        let end = tokio::time::Instant::now() + time;
        let mut updates = 0;
        while let Some(socket) = &mut self.socket {
            match tokio::time::timeout_at(end, socket.next()).await {
                Err(_) => return Ok(updates),
                Ok(Some(Ok(Frame::Binary(payload)))) => updates += u64::from(self.take(&payload).await?),
                Ok(Some(Ok(Frame::Close(_)) | Err(_)) | None) => self.drop_connection(),
                Ok(Some(Ok(_))) => {}
            }
        }
        tokio::time::sleep_until(end).await;
        Ok(updates)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Takes one message: whether it was an update.
    async fn take(&mut self, payload: &[u8]) -> Result<bool, LoadError> {
        let wrong =
            |error: String| LoadError::Bug(format!("the server sent what yrs does not take: {error}"));
        match scan::message(payload).map_err(|error| wrong(error.to_string()))? {
            Message::Step1(theirs) => {
                let theirs = StateVector::decode_v1(theirs).map_err(|error| wrong(error.to_string()))?;
                let diff = self.doc.transact().encode_diff_v1(&theirs);
                self.send(&[0, 1], &diff).await;
                Ok(false)
            }
            Message::Step2(update) | Message::Update(update) => {
                let update = Update::decode_v1(update).map_err(|error| wrong(error.to_string()))?;
                let applied = self.doc.transact_mut().apply_update(update);
                applied.map_err(|error| wrong(error.to_string()))?;
                Ok(true)
            }
            Message::Acked(_) | Message::Other => Ok(false),
        }
    }

    /// A failed send is found out by the next read.
    async fn send(&mut self, head: &[u8], body: &[u8]) {
        let mut payload = head.to_vec();
        put_buf(&mut payload, body);
        if let Some(socket) = &mut self.socket {
            drop(socket.send(Frame::binary(payload)).await);
        }
    }

    /// One random edit; sent if connected.
    pub(super) async fn edit(&mut self) {
        let update = {
            let mut txn = self.doc.transact_mut();
            match self.random.random_range(0..10) {
                0..4 => edit_map(&self.map, &self.items, &mut self.random, &mut txn),
                4..6 => edit_list(&self.list, &mut self.random, &mut txn),
                _ => edit_text(&self.text, &mut self.random, &mut txn),
            }
            txn.encode_update_v1()
        };
        self.edits += 1;
        if update != EMPTY_UPDATE {
            self.send(&[0, 2], &update).await;
        }
    }

    /// What a reader sees, and how much of each author is there.
    pub(super) fn fingerprint(&self) -> String {
        let txn = self.doc.transact();
        let mut clocks: Vec<_> =
            txn.state_vector().iter().map(|(client, clock)| (client.get(), *clock)).collect();
        clocks.sort_unstable();
        // Through a JSON value: its maps are sorted.
        let parts = [self.map.to_json(&txn), self.items.to_json(&txn), self.list.to_json(&txn)];
        let parts: Vec<_> =
            parts.iter().map(|part| serde_json::to_value(part).unwrap_or_default().to_string()).collect();
        let text = self.text.diff(&txn, YChange::identity);
        let text: Vec<_> =
            text.iter().map(|run| (run.insert.clone().to_string(&txn), &run.attributes)).collect();
        format!("{}\n{text:?}\n{clocks:?}", parts.join("\n"))
    }
}

fn edit_map(map: &MapRef, items: &MapRef, random: &mut StdRng, txn: &mut TransactionMut<'_>) {
    let key = format!("k{}", random.random_range(0..KEYS));
    match random.random_range(0..6) {
        0 => drop(map.remove(txn, &key)),
        1 => {
            let id = format!("i{:x}", random.random::<u32>());
            let card = [("text", Any::from(id.as_str())), ("column", Any::from("start"))];
            items.insert(txn, id, MapPrelim::from(card));
        }
        2 => {
            let first = items.keys(txn).next().map(str::to_owned);
            drop(first.and_then(|id| items.remove(txn, &id)));
        }
        _ => drop(map.insert(txn, key, random.random::<u16>())),
    }
}

fn edit_list(list: &ArrayRef, random: &mut StdRng, txn: &mut TransactionMut<'_>) {
    let len = list.len(txn);
    if len > 0 && random.random_bool(0.4) {
        list.remove(txn, random.random_range(0..len));
    } else {
        list.insert(txn, random.random_range(0..=len), random.random::<u16>());
    }
}

fn edit_text(text: &TextRef, random: &mut StdRng, txn: &mut TransactionMut<'_>) {
    let len = text.len(txn);
    match random.random_range(0..5) {
        0 if len > 4 => text.remove_range(txn, random.random_range(0..len - 3), 3),
        1 if len > 4 => {
            let bold = Attrs::from([("bold".into(), Any::from(random.random::<bool>()))]);
            text.format(txn, random.random_range(0..len - 3), 3, bold);
        }
        _ => text.insert(txn, random.random_range(0..=len), "word "),
    }
}

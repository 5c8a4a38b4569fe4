//! A participant with yrs' own protocol: `yrs-client WS_URL ROOM`.
//!
//! Reads one command a line (JSON: "id", "do", arguments) and answers each with a line: {"id", "value"} or {"id",
//! "error"}; says {"connected": true} or {"connected": false, "code"} between them. Ends with its standard input. The
//! commands are those of `pycrdt.child.py`; `yrs.mjs` is the other side.
#![allow(clippy::unwrap_used, missing_docs, reason = "what a test drives may end with what is wrong")]

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Map as Object, Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, interval, sleep_until};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use yrs::sync::{Awareness, DefaultProtocol, Message, Protocol, SyncMessage};
use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::{Encode, Encoder, EncoderV1};
use yrs::{
    Any, Array, ArrayRef, ClientID, Doc, GetString, Map, MapRef, ReadTxn, StateVector, Text, TextRef,
    Transact, TransactionMut, Update,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Between two tries to connect.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// yrs leaves it to its users to renew their presence.
const RENEW_EVERY: Duration = Duration::from_secs(15);

struct Participant {
    address: String,
    awareness: Awareness,
    map: MapRef,
    array: ArrayRef,
    text: TextRef,
    socket: Option<Socket>,
    /// When to connect; `None`: offline.
    connect_at: Option<Instant>,
    synced: bool,
    /// Of whom the server has told since the connection was made. yrs' own list is not emptied: removing a state raises
    /// its clock, and what its owner says next would be taken for old.
    heard: HashSet<ClientID>,
}

impl Participant {
    fn new(url: &str, room: &str) -> Self {
        let doc = Doc::new();
        let (map, array) = (doc.get_or_insert_map("map"), doc.get_or_insert_array("array"));
        let text = doc.get_or_insert_text("text");
        Self {
            address: format!("{url}/{room}"),
            awareness: Awareness::new(doc),
            map,
            array,
            text,
            socket: None,
            connect_at: Some(Instant::now()),
            synced: false,
            heard: HashSet::new(),
        }
    }

    async fn connect(&mut self) {
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        match connect_async_with_config(&self.address, Some(config), true).await {
            Ok((socket, _)) => {
                (self.socket, self.connect_at) = (Some(socket), None);
                say(&json!({ "connected": true }));
                // Renewed, so that those who were away as well take it.
                if let Some(state) = self.awareness.local_state_raw() {
                    self.awareness.set_local_state_raw(state);
                }
                let mut encoder = EncoderV1::new();
                DefaultProtocol.start(&self.awareness, &mut encoder).unwrap();
                self.send(encoder.to_vec()).await; // two messages in one frame, as yrs has it
            }
            Err(_) => self.connect_at = Some(Instant::now() + AGAIN_AFTER),
        }
    }

    async fn send(&mut self, message: Vec<u8>) {
        if let Some(socket) = &mut self.socket {
            let _ = socket.send(Frame::Binary(message.into())).await; // the end is seen by `read`
        }
    }

    /// Takes in what the server says.
    async fn take(&mut self, frame: Option<Result<Frame, tokio_tungstenite::tungstenite::Error>>) {
        match frame {
            Some(Ok(Frame::Binary(bytes))) => {
                match Message::decode_v1(&bytes).unwrap() {
                    Message::Sync(SyncMessage::SyncStep2(_)) => self.synced = true,
                    Message::Awareness(update) => self.heard.extend(update.clients.keys()),
                    _ => {}
                }
                let answers = DefaultProtocol.handle(&mut self.awareness, &bytes).unwrap();
                for answer in answers {
                    self.send(answer.encode_v1()).await;
                }
            }
            Some(Ok(Frame::Close(close))) => self.on_closed(close.map(|close| close.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.on_closed(None),
        }
    }

    /// Comes back by itself, unless it is told that it may not.
    fn on_closed(&mut self, code: Option<u16>) {
        (self.socket, self.synced) = (None, false);
        self.heard.clear();
        say(&json!({ "connected": false, "code": code }));
        let is_final = code.is_some_and(|code| (4400..4500).contains(&code));
        self.connect_at = (!is_final).then(|| Instant::now() + AGAIN_AFTER);
    }

    async fn edit(&mut self, work: impl FnOnce(&Self, &mut TransactionMut<'_>)) -> Value {
        let update = {
            let mut txn = self.awareness.doc().transact_mut();
            work(self, &mut txn);
            txn.encode_update_v1()
        };
        self.send(Message::Sync(SyncMessage::Update(update)).encode_v1()).await;
        Value::Null
    }

    async fn announce(&mut self) {
        let own = self.awareness.client_id();
        if let Ok(update) = self.awareness.update_with_clients([own]) {
            self.send(Message::Awareness(update).encode_v1()).await;
        }
    }

    async fn go_offline(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            let _ = socket.close(None).await;
            say(&json!({ "connected": false, "code": null }));
        }
        (self.connect_at, self.synced) = (None, false);
        self.heard.clear();
    }

    async fn carry_out(&mut self, command: &Object<String, Value>) -> Result<Value, String> {
        let text = |name: &str| command.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let any = |name: &str| to_any(command.get(name).unwrap_or(&Value::Null));
        Ok(match text("do").as_str() {
            "client" => json!(self.awareness.client_id().get()),
            "synced" => json!(self.synced),
            "set" => {
                self.edit(|own, txn| {
                    let _ = own.map.insert(txn, text("key"), any("value"));
                })
                .await
            }
            "delete" => self.edit(|own, txn| drop(own.map.remove(txn, &text("key")))).await,
            "push" => {
                self.edit(|own, txn| {
                    let _ = own.array.push_back(txn, any("value"));
                })
                .await
            }
            "insert" => {
                let index = command.get("index").and_then(Value::as_u64).unwrap_or(0);
                let index = u32::try_from(index).map_err(|error| error.to_string())?;
                self.edit(|own, txn| own.text.insert(txn, index, &text("text"))).await
            }
            "content" => {
                let txn = self.awareness.doc().transact();
                let json = |any: Any| serde_json::to_value(&any).unwrap();
                json!({
                    "map": json(self.map.to_json(&txn)),
                    "array": json(self.array.to_json(&txn)),
                    "text": self.text.get_string(&txn),
                })
            }
            "update" => {
                let txn = self.awareness.doc().transact();
                json!(BASE64_STANDARD.encode(txn.encode_state_as_update_v1(&StateVector::default())))
            }
            "apply" => {
                let update = BASE64_STANDARD.decode(text("update")).map_err(|error| error.to_string())?;
                let update = Update::decode_v1(&update).map_err(|error| error.to_string())?;
                self.edit(|_, txn| txn.apply_update(update).unwrap()).await
            }
            "presence" => {
                match command.get("state") {
                    None | Some(Value::Null) => self.awareness.clean_local_state(),
                    Some(state) => self.awareness.set_local_state_raw(state.to_string()),
                }
                self.announce().await;
                Value::Null
            }
            "who" => {
                let state = |data: &str| serde_json::from_str(data).unwrap_or(Value::Null);
                let own = self.awareness.client_id();
                let known = self.awareness.iter().filter(|(id, _)| *id == own || self.heard.contains(id));
                let states = known
                    .filter_map(|(id, client)| Some((id.get().to_string(), state(client.data.as_deref()?))));
                Value::Object(states.collect())
            }
            "offline" => {
                self.go_offline().await;
                Value::Null
            }
            "online" => {
                if self.socket.is_none() {
                    self.connect_at = Some(Instant::now());
                }
                Value::Null
            }
            other => return Err(format!("{other} is no command")),
        })
    }
}

fn to_any(value: &Value) -> Any {
    Any::from_json(&value.to_string()).unwrap()
}

fn say(line: &Value) {
    println!("{line}");
}

/// The next frame; never, if there is no socket.
async fn next(socket: &mut Option<Socket>) -> Option<Result<Frame, tokio_tungstenite::tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The lines of standard input, until it ends.
fn commands() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, room] = args.as_slice() else { panic!("usage: yrs-client WS_URL ROOM") };
    let mut participant = Participant::new(url, room);
    let mut lines = commands();
    let mut renewal = interval(RENEW_EVERY);
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { return };
                let command: Object<String, Value> = serde_json::from_str(&line).unwrap();
                let mut answer = match participant.carry_out(&command).await {
                    Ok(value) => json!({ "value": value }),
                    Err(error) => json!({ "error": error }),
                };
                answer["id"] = command["id"].clone();
                say(&answer);
            }
            frame = next(&mut participant.socket) => participant.take(frame).await,
            () = until(participant.connect_at) => participant.connect().await,
            _ = renewal.tick() => {
                if let Some(state) = participant.awareness.local_state_raw() {
                    participant.awareness.set_local_state_raw(state);
                    participant.announce().await;
                }
            }
        }
    }
}

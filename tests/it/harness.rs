//! A server in this process on a log of the test's own, and raw clients of the y-websocket family
//! that follow a room with a document of their own. Servers bind to free ports on 127.0.0.1 and end
//! with the test.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use ruang::auth::Auth;
use ruang::http::App;
use ruang::http::front::FrontOptions;
use ruang::ids::InstanceId;
use ruang::log::Log;
use ruang::log::record::{Kind, StoredRecord};
use ruang::room::RoomsOptions;
use ruang::server;
use ruang::wire::lib0::Reader;
use ruang::wire::{Message, y_websocket};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, Map, ReadTxn, Transact};

/// Long enough for a shared machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The seeds to run: one from `RUANG_TEST_SEED`, else `1..=count`. Tests print each, so that a
/// failing one names it.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_TEST_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "waited in vain: {what}");
}

/// The kinds of records that are all sound.
pub fn kinds_of(records: &[StoredRecord]) -> Vec<Kind> {
    let kind = |stored: &StoredRecord| match stored {
        StoredRecord::Intact { record, .. } => record.kind(),
        StoredRecord::Damaged { position, why } => panic!("{position}: {why}"),
    };
    records.iter().map(kind).collect()
}

/// One of the inputs that are known to harm others.
#[derive(serde::Deserialize)]
pub struct Hostile {
    pub name: String,
    /// `update`, `state vector`, `awareness` or `frame`.
    pub kind: String,
    /// Messages to send, one after the other.
    pub hex: Vec<String>,
    /// Whether the gate refuses the last one.
    pub refused: bool,
}

/// All of them.
pub fn hostile() -> Vec<Hostile> {
    serde_json::from_str(include_str!("../fixtures/hostile.json")).expect("the fixture is a list")
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub app: Arc<App>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(log: Arc<dyn Log>) -> Self {
        Self::start_with(log, RoomsOptions::default()).await
    }

    pub async fn start_with(log: Arc<dyn Log>, options: RoomsOptions) -> Self {
        let front = FrontOptions { development: true, ..FrontOptions::default() };
        Self::start_behind(log, options, front).await
    }

    /// A server that is reached in a way of its own.
    pub async fn start_behind(log: Arc<dyn Log>, options: RoomsOptions, front: FrontOptions) -> Self {
        Self::start_app(log, options, Auth::open(), front).await
    }

    /// A server for those whom `auth` lets in.
    pub async fn start_for(log: Arc<dyn Log>, auth: Auth) -> Self {
        Self::start_app(log, RoomsOptions::default(), auth, FrontOptions::default()).await
    }

    /// The same, with rooms that behave in a way of their own.
    pub async fn start_for_with(log: Arc<dyn Log>, options: RoomsOptions, auth: Auth) -> Self {
        Self::start_app(log, options, auth, FrontOptions::default()).await
    }

    async fn start_app(log: Arc<dyn Log>, options: RoomsOptions, auth: Auth, front: FrontOptions) -> Self {
        let instance = InstanceId(rand::random());
        let app = server::app_behind(log, instance, "memory", options, Arc::new(auth), front);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let stop = CancellationToken::new();
        let task = tokio::spawn(server::run(Arc::clone(&app), listener, stop.clone()));
        Self { address, app, stop, task }
    }

    /// Drains and ends the server, as SIGTERM does.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("the server drains").expect("the server ends well");
    }

    pub fn url(&self, room: &str) -> String {
        format!("ws://{}/ws/{room}", self.address)
    }

    /// A client that has connected and said nothing.
    pub async fn connect(&self, room: &str) -> Client {
        Client::connect(&self.url(room), None).await
    }

    /// A client that speaks `ruang.v1`.
    pub async fn connect_for_acks(&self, room: &str) -> Client {
        Client::connect(&self.url(room), Some("ruang.v1")).await
    }

    /// A client that has synced.
    pub async fn join(&self, room: &str) -> Client {
        let mut client = self.connect(room).await;
        client.sync().await;
        client
    }

    /// A client that has synced and speaks `ruang.v1`.
    pub async fn join_for_acks(&self, room: &str) -> Client {
        let mut client = self.connect_for_acks(room).await;
        client.sync().await;
        client
    }
}

/// One client: a socket and a document.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub doc: Doc,
    /// The root map that [`Self::set`] and the like are about.
    pub root: &'static str,
    /// Messages sent that are to be acked, by [`Self::set`] and [`Self::sync`].
    pub sent: u64,
    /// Acked messages, by `ruang.v1`.
    pub acked: u64,
    /// Updates and Step2s received, whole.
    pub received: Vec<Bytes>,
    /// Awareness updates received.
    pub presence: Vec<Bytes>,
    /// State vectors of the server's Step1s.
    pub asked: Vec<Bytes>,
    /// Milliseconds of the warnings that the room may go, by `ruang.v1`.
    pub warned: Vec<u64>,
    /// Why edits were refused.
    pub denied: Vec<String>,
    /// Messages that broke a rule: which, and with which code, by `ruang.v1`; and how much was acked then.
    pub broken: Vec<(u64, String, u64)>,
    /// Its document has content of its own under ids that others have stored: not all that comes fits into that.
    pub is_liar: bool,
}

impl Client {
    pub async fn connect(url: &str, protocol: Option<&'static str>) -> Self {
        Self::try_connect(url, protocol).await.expect("connects")
    }

    /// With these header fields; the status if the server does not take it.
    pub async fn connect_with(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = url.into_client_request().expect("a url");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a value"));
        }
        match timeout(PATIENCE, connect_async_with_config(request, None, true)).await.expect("in time") {
            Ok((socket, _)) => Ok(Self::new(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    fn new(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self {
            socket,
            doc: Doc::new(),
            root: "m",
            sent: 0,
            acked: 0,
            received: Vec::new(),
            presence: Vec::new(),
            asked: Vec::new(),
            warned: Vec::new(),
            denied: Vec::new(),
            broken: Vec::new(),
            is_liar: false,
        }
    }

    /// `None` if nobody is there, or the server takes no more.
    pub async fn try_connect(url: &str, protocol: Option<&'static str>) -> Option<Self> {
        let mut request = url.into_client_request().expect("a url");
        if let Some(protocol) = protocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().expect("a protocol"));
        }
        // A document may be larger than the library's default for a frame.
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let connect = connect_async_with_config(request, Some(config), true);
        let (socket, _) = timeout(PATIENCE, connect).await.expect("in time").ok()?;
        Some(Self::new(socket))
    }

    pub async fn send(&mut self, message: impl Into<Bytes>) {
        assert!(self.try_send(message).await, "the socket takes a message");
    }

    /// False if the connection has ended.
    pub async fn try_send(&mut self, message: impl Into<Bytes>) -> bool {
        self.socket.send(Frame::Binary(message.into())).await.is_ok()
    }

    /// Step1, then everything up to the server's Step1, which is answered.
    pub async fn sync(&mut self) {
        let state_vector = self.state_vector();
        self.send(y_websocket::sync_step1(&state_vector)).await;
        self.until("the server's step 1", |client| !client.asked.is_empty()).await;
        let theirs = yrs::StateVector::decode_v1(&self.asked[0]).expect("a state vector");
        let update = self.doc.transact().encode_state_as_update_v1(&theirs);
        self.send(y_websocket::sync_step2(&update)).await;
        self.sent += 1;
    }

    pub fn state_vector(&self) -> Vec<u8> {
        use yrs::updates::encoder::Encode;
        self.doc.transact().state_vector().encode_v1()
    }

    /// Edits here, and sends what that comes to.
    pub async fn edit(&mut self, edit: impl FnOnce(&mut yrs::TransactionMut<'_>)) {
        let update = {
            let mut transaction = self.doc.transact_mut();
            edit(&mut transaction);
            transaction.encode_update_v1()
        };
        self.send(y_websocket::update(&update)).await;
        self.sent += 1;
    }

    /// What a root map has under a key, as text.
    pub fn value(&self, root: &str, key: &str) -> Option<String> {
        let map = self.doc.get_or_insert_map(root);
        let transaction = self.doc.transact();
        map.get(&transaction, key).map(|value| value.to_string(&transaction))
    }

    /// The whole document as one update.
    pub fn encode_full(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&yrs::StateVector::default())
    }

    /// How far the document is; other than its encoding, it can be compared.
    pub fn clocks(&self) -> yrs::StateVector {
        self.doc.transact().state_vector()
    }

    /// The root map `m`, its keys in order.
    pub fn doc_json(&self) -> String {
        let map = self.doc.get_or_insert_map(self.root);
        let txn = self.doc.transact();
        let entries: std::collections::BTreeMap<String, String> =
            map.iter(&txn).map(|(key, value)| (key.to_owned(), value.to_string(&txn))).collect();
        format!("{entries:?}")
    }

    /// Sets a key of the root map `m` here, without telling anyone. Returns the update.
    pub fn set_locally(&self, key: &str, value: &str) -> Vec<u8> {
        let map = self.doc.get_or_insert_map(self.root);
        let mut txn = self.doc.transact_mut();
        map.insert(&mut txn, key, value);
        txn.encode_update_v1()
    }

    /// Sets a key of the root map `m` and sends it.
    pub async fn set(&mut self, key: &str, value: &str) {
        let update = self.set_locally(key, value);
        self.send(y_websocket::update(&update)).await;
        self.sent += 1;
    }

    pub fn get(&self, key: &str) -> Option<String> {
        let map = self.doc.get_or_insert_map(self.root);
        let txn = self.doc.transact();
        map.get(&txn, key).map(|value| value.to_string(&txn))
    }

    /// Text of the root text `t`.
    pub fn text(&self) -> String {
        let text = self.doc.get_or_insert_text("t");
        text.get_string(&self.doc.transact())
    }

    /// Comes back over a new socket, with the document that it has.
    pub async fn reconnect(&mut self, url: &str, protocol: Option<&'static str>) {
        let (doc, root, is_liar) = (self.doc.clone(), self.root, self.is_liar);
        *self = Self::connect(url, protocol).await;
        (self.doc, self.root, self.is_liar) = (doc, root, is_liar);
    }

    /// Goes away without a goodbye, as a crashed browser does. The document is all that is left.
    pub fn crash(self) -> Doc {
        self.doc
    }

    /// Takes one frame in. Returns false if none came in time, `Err` with the close code at the end.
    pub async fn step(&mut self, patience: Duration) -> Result<bool, Option<u16>> {
        let Ok(frame) = timeout(patience, self.socket.next()).await else { return Ok(false) };
        match frame {
            Some(Ok(Frame::Binary(bytes))) => self.take(&bytes),
            Some(Ok(Frame::Close(close))) => return Err(close.map(|close| close.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(None),
        }
        Ok(true)
    }

    fn take(&mut self, bytes: &Bytes) {
        if bytes.first() == Some(&110) {
            let mut reader = Reader::new(&bytes[1..]);
            self.acked = reader.var_uint().expect("an ack");
            return;
        }
        if bytes.first() == Some(&111) {
            let mut reader = Reader::new(&bytes[1..]);
            self.warned.push(reader.var_uint().expect("a warning"));
            assert!(reader.is_empty(), "one message per frame");
            return;
        }
        if bytes.first() == Some(&113) {
            let mut reader = Reader::new(&bytes[1..]);
            let ordinal = reader.var_uint().expect("which");
            let code = String::from_utf8(reader.buffer().expect("a code").to_vec()).expect("text");
            assert!(!reader.buffer().expect("a sentence").is_empty() && reader.is_empty());
            self.broken.push((ordinal, code, self.acked));
            return;
        }
        if let Some(reason) = bytes.strip_prefix(&[2, 0]) {
            let mut reader = Reader::new(reason);
            self.denied.push(String::from_utf8(reader.buffer().expect("a reason").to_vec()).expect("text"));
            return;
        }
        let (message, used) = y_websocket::decode(bytes).expect("the server sends messages");
        assert_eq!(used, bytes.len(), "one message per frame");
        match message {
            Message::SyncStep1(state_vector) => self.asked.push(state_vector),
            Message::SyncStep2(update) | Message::Update(update) => {
                let decoded = yrs::Update::decode_v1(&update).expect("an update");
                // The origin tells observers that it is not their own edit.
                let applied = self.doc.transact_mut_with("remote").apply_update(decoded);
                assert!(applied.is_ok() || self.is_liar, "it applies: {applied:?}");
                self.received.push(update);
            }
            Message::Presence(update) => self.presence.push(update),
            other => panic!("the server does not send {other:?}"),
        }
    }

    /// Takes frames in until something is true.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.step(left).await {
                Ok(true) => {}
                Ok(false) => panic!("waited in vain for {what}"),
                Err(code) => panic!("the server closed with {code:?} while waiting for {what}"),
            }
        }
    }

    /// Takes frames in until all that was sent is acked, or the server closes: the code.
    pub async fn until_acked(&mut self) -> Result<(), Option<u16>> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.acked < self.sent {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            assert!(self.step(left).await?, "waited in vain for acks");
        }
        Ok(())
    }

    pub async fn until_set(&mut self, key: &str, value: &str) {
        self.until(&format!("{key} = {value}"), |client| client.get(key).as_deref() == Some(value)).await;
    }

    /// Takes frames in for a while; whether anything at all came.
    pub async fn hears_anything(&mut self, during: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + during;
        let before = (self.received.len(), self.presence.len(), self.asked.len(), self.acked);
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.step(left).await {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
        before != (self.received.len(), self.presence.len(), self.asked.len(), self.acked)
    }

    /// Takes frames in until the server closes; the close code.
    pub async fn until_closed(&mut self) -> Option<u16> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.step(left).await {
                Ok(true) => {}
                Ok(false) => panic!("the server did not close"),
                Err(code) => return code,
            }
        }
    }
}

//! Instances on one Redis, each by a way of its own that can be held up, and pages of people on the board `retro`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use ruang::board::schema::ROOTS;
use ruang::history::{self, Range};
use ruang::kind::Boards;
use ruang::log::Log;
use ruang::replay::verify::verify_room;
use ruang::room::RoomsOptions;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yrs::types::ToJson;
use yrs::{
    Any, DeepObservable, Doc, Map, MapPrelim, MapRef, Out, ReadTxn, StateVector, Transact, TransactionMut,
    WriteTxn,
};

use crate::auth_support::{auth, claims, public_key, room, token};
use crate::harness::{Client, PATIENCE, Server, until};
use crate::rig::process::RedisProcess;
use crate::rig::proxy::{Fault, Proxy};
use crate::traffic::open;

/// Written once: tests run at the same time.
static KEY: LazyLock<PathBuf> = LazyLock::new(|| public_key("HS256"));

/// Client ids that nobody has taken.
static NEXT_CLIENT: AtomicU64 = AtomicU64::new(1_000);

/// See the module.
pub struct World {
    _redis: RedisProcess,
    proxies: Vec<Proxy>,
    pub servers: Vec<Server>,
    pub log: Arc<dyn Log>,
}

pub fn bearer(user: &str, role: &str) -> String {
    token("HS256", &claims(&json!({ "sub": user, "role": role, "room": null, "rooms": ["retro*"] })))
}

impl World {
    pub async fn start() -> Self {
        Self::of(2).await
    }

    pub async fn of(instances: usize) -> Self {
        let redis = RedisProcess::alone(&[]);
        let (mut proxies, mut servers) = (Vec::new(), Vec::new());
        for _ in 0..instances {
            let proxy = Proxy::tcp(redis.socket());
            let options = RoomsOptions {
                boards: Boards::all(),
                idle_unload: Duration::from_millis(200),
                ..RoomsOptions::default()
            };
            let auth = auth(std::slice::from_ref(&KEY));
            servers.push(Server::start_for_with(open(&proxy.url()).await, options, auth).await);
            proxies.push(proxy);
        }
        let log: Arc<dyn Log> = open(&redis.url()).await;
        Self { _redis: redis, proxies, servers, log }
    }

    /// Somebody's page, with a document of its own.
    pub async fn page(&self, at: usize, user: &'static str, role: &'static str) -> Page {
        let client = NEXT_CLIENT.fetch_add(7, Ordering::Relaxed);
        self.page_as(at, (user, role), client).await
    }

    pub async fn page_as(&self, at: usize, who: (&'static str, &'static str), client: u64) -> Page {
        self.page_with(at, who, Doc::with_client_id(client)).await
    }

    /// A page that has kept a document.
    pub async fn page_with(&self, at: usize, (user, role): (&'static str, &'static str), doc: Doc) -> Page {
        let url = format!("{}?token={}", self.servers[at].url("retro"), bearer(user, role));
        let mut client = Client::connect(&url, Some("ruang.v1")).await;
        client.doc = doc;
        let seen = observe(&client.doc);
        client.sync().await;
        let mut page = Page { client, user, url, seen, closed: Vec::new() };
        page.until_acked().await;
        page
    }

    /// A page that comes back with what its browser has kept, and a new client id.
    pub async fn reloaded(&self, at: usize, page: &Page, role: &'static str) -> Page {
        let doc = Doc::with_client_id(NEXT_CLIENT.fetch_add(7, Ordering::Relaxed));
        let kept = yrs::updates::decoder::Decode::decode_v1(&page.client.encode_full()).unwrap();
        doc.transact_mut().apply_update(kept).unwrap();
        self.page_with(at, (page.user, role), doc).await
    }

    /// Nothing comes to an instance from Redis, nor the other way, until it is let go.
    pub fn hold(&self, at: usize) {
        self.proxies[at].set(Fault::Freeze);
    }

    pub fn let_go(&self, at: usize) {
        self.proxies[at].set(Fault::Pass);
    }

    pub fn appends(&self, at: usize) -> u64 {
        self.servers[at].app.rooms.metrics().appends.get()
    }

    /// The instance has judged something, and sent it to the log.
    pub async fn until_sent(&self, at: usize, before: u64) {
        until("an append", async || self.appends(at) > before).await;
    }

    pub async fn newest(&self) -> u64 {
        self.log.open(&room("retro")).await.unwrap().map_or(0, |head| head.last.seq)
    }

    pub async fn until_stored(&self, behind: u64) {
        let began = Instant::now();
        while self.newest().await <= behind {
            assert!(began.elapsed() < PATIENCE, "nothing is stored behind {behind}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// What the log comes to, and how far it goes.
    pub async fn folded(&self) -> (Value, StateVector) {
        let mut walk = history::walk(&self.log, &room("retro"), Range::TO_HEAD).await.unwrap().unwrap();
        walk.to_end().await.unwrap();
        let fold = walk.into_fold().unwrap();
        assert!(fold.set_aside().is_empty(), "{:?}", fold.set_aside());
        let doc = fold.document().doc();
        (board_of(doc), doc.transact().state_vector())
    }

    /// Has all take frames in until they have the same, which is what the log comes to, and something is true of it.
    /// Whoever is asked to come back does so.
    pub async fn same(&self, pages: &mut [&mut Page], what: &str, holds: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let all_acked = pages.iter().all(|page| page.client.acked == page.client.sent);
            let all_is_so = all_acked && pages.iter().all(|page| holds(&page.board()));
            if all_is_so {
                let (board, clocks) = self.folded().await;
                // What is set again looks the same, and is something else.
                if pages.iter().all(|page| page.board() == board && page.client.clocks() == clocks) {
                    return;
                }
            }
            let waited = began.elapsed() >= PATIENCE;
            assert!(!waited, "waited in vain: {what}; {}", self.differences(pages).await);
            for page in pages.iter_mut() {
                page.step(Duration::from_millis(5)).await;
            }
        }
    }

    async fn differences(&self, pages: &[&mut Page]) -> String {
        let (folded, clocks) = self.folded().await;
        let mut said = format!("the log: {folded} at {clocks:?}");
        for page in pages {
            let (board, Client { sent, acked, .. }) = (page.board(), &page.client);
            let what = if board == folded { "the same".to_owned() } else { board.to_string() };
            said +=
                &format!("\n{}: {acked} of {sent} acked, {what}, at {:?}", page.user, page.client.clocks());
        }
        said
    }

    /// The log is sound, and nothing has failed.
    pub async fn stop(self, pages: impl Sized) {
        // A server that ends waits seconds for pages that do not answer its goodbye.
        drop(pages);
        let name = room("retro");
        let head = self.log.open(&name).await.unwrap().unwrap();
        let (verified, findings) = verify_room(&self.log, &name, &head).await.unwrap();
        assert!(findings.is_empty() && verified.records > 0, "{findings:?}");
        for server in self.servers {
            let metrics = server.app.rooms.metrics();
            assert_eq!((metrics.rooms_failed.get(), metrics.records_set_aside.get()), (0, 0));
            server.stop().await;
        }
    }
}

/// Everything that observers of a root have read behind an update of others.
type Seen = Arc<Mutex<Vec<(&'static str, Value)>>>;

fn observe(doc: &Doc) -> Seen {
    let seen = Seen::default();
    for root in ROOTS {
        let seen = Arc::clone(&seen);
        doc.get_or_insert_map(root).observe_deep("seen", move |t, _| {
            if t.origin().is_some() {
                let value = t.get_map(root).map(|map| map.to_json(t)).unwrap_or(Any::Null);
                seen.lock().push((root, serde_json::to_value(value).unwrap()));
            }
        });
    }
    seen
}

/// Somebody's page.
pub struct Page {
    pub client: Client,
    pub user: &'static str,
    url: String,
    seen: Seen,
    /// Codes with which it was asked to come back, and has; a final one last.
    pub closed: Vec<Option<u16>>,
}

impl Page {
    pub async fn edit(&mut self, edit: impl FnOnce(&mut TransactionMut<'_>)) {
        self.client.edit(edit).await;
    }

    pub fn board(&self) -> Value {
        board_of(&self.client.doc)
    }

    /// What its observers have read since this was asked last.
    pub fn seen(&self) -> Vec<(&'static str, Value)> {
        std::mem::take(&mut *self.seen.lock())
    }

    /// Codes of the rules that it was told to have broken, since this was asked last.
    pub fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.client.broken).into_iter().map(|(_, code, _)| code).collect()
    }

    /// Takes a frame in, if one comes, and tells whether one came. Comes back with what it has if it is asked to; not from a
    /// final code.
    pub async fn step(&mut self, patience: Duration) -> bool {
        if self.is_out() {
            sleep(patience).await;
            return false;
        }
        match self.client.step(patience).await {
            Ok(came) => came,
            Err(code) => {
                self.closed.push(code);
                if !self.is_out() {
                    let broken = std::mem::take(&mut self.client.broken);
                    self.client.reconnect(&self.url, Some("ruang.v1")).await;
                    self.client.broken = broken;
                    self.client.sync().await;
                }
                false
            }
        }
    }

    /// It was told not to come back as it is.
    pub fn is_out(&self) -> bool {
        self.closed.last().is_some_and(|code| code.is_some_and(|code| (4400..4500).contains(&code)))
    }

    pub async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(
                began.elapsed() < PATIENCE,
                "{} has waited in vain for {what}: {}",
                self.user,
                self.board()
            );
            self.step(Duration::from_millis(10)).await;
        }
    }

    pub async fn until_acked(&mut self) {
        self.until("all acks", |page| page.client.acked == page.client.sent).await;
    }
}

pub fn board_of(doc: &Doc) -> Value {
    let transaction = doc.transact();
    let roots = ROOTS.iter().map(|root| {
        let map = transaction
            .get_map(*root)
            .map(|map| map.to_json(&transaction))
            .unwrap_or(Any::Map(Arc::default()));
        (*root, serde_json::to_value(map).unwrap())
    });
    Value::from_iter(roots.collect::<BTreeMap<_, _>>())
}

pub fn set(root: &'static str, key: &str, value: impl Into<Any>) -> impl Fn(&mut TransactionMut<'_>) {
    let (key, value) = (key.to_owned(), value.into());
    move |t| {
        t.get_or_insert_map(root).insert(t, key.as_str(), value.clone());
    }
}

pub fn remove(root: &'static str, key: &'static str) -> impl Fn(&mut TransactionMut<'_>) {
    move |t| {
        t.get_or_insert_map(root).remove(t, key);
    }
}

/// A new card, in place of what was there.
pub fn card(id: &str, author: Option<&str>) -> impl Fn(&mut TransactionMut<'_>) {
    let (id, author) = (id.to_owned(), author.map(str::to_owned));
    move |t| {
        let items = t.get_or_insert_map("items");
        let card = items.insert(t, id.as_str(), MapPrelim::default());
        card.insert(t, "text", format!("text of {id} by {author:?}"));
        if let Some(author) = &author {
            card.insert(t, "author", author.as_str());
        }
        card.insert(t, "createdAt", 1_700_000_000_000_i64);
    }
}

/// A field of a card that is there.
pub fn field(
    id: &'static str,
    field: &'static str,
    value: impl Into<Any>,
) -> impl Fn(&mut TransactionMut<'_>) {
    let value = value.into();
    move |t| {
        card_in(t, id).insert(t, field, value.clone());
    }
}

pub fn card_in(t: &TransactionMut<'_>, id: &str) -> MapRef {
    match t.get_map("items").and_then(|items| items.get(t, id)) {
        Some(Out::YMap(map)) => map,
        other => panic!("{id} is {other:?}"),
    }
}

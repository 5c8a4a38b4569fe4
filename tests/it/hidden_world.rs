//! Instances on one log, with people on boards that hide cards.

use crate::auth_support::{auth, claims, public_key, request, room, token};
use crate::harness::{Client, PATIENCE, Server};
use ruang::auth::Auth;
use ruang::board::edit::{Author, Edit, apply};
use ruang::board::schema::Point;
use ruang::board::view::{RetroRoomState, view};
use ruang::clock::system_clock;
use ruang::kind::Boards;
use ruang::log::Log;
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::record::{Metadata, Record, StoredRecord};
use ruang::room::RoomsOptions;
use ruang::wire::y_websocket;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use yrs::{ReadTxn, Transact};

/// Written once: tests run at the same time.
pub static KEY: LazyLock<PathBuf> = LazyLock::new(|| public_key("HS256"));

/// Instances on one log, for people with tokens, whose rooms are boards.
pub struct World {
    pub log: Arc<dyn Log>,
    pub faults: Faults,
    pub servers: Vec<Server>,
}

impl World {
    pub async fn start(instances: usize) -> Self {
        let (log, faults) = MemoryLog::for_instances(system_clock());
        let log: Arc<dyn Log> = Arc::new(log);
        let mut servers = Vec::new();
        for _ in 0..instances {
            servers.push(server(&log, auth(std::slice::from_ref(&KEY))).await);
        }
        Self { log, faults, servers }
    }

    pub fn at(&self, instance: usize) -> &Server {
        &self.servers[instance]
    }

    /// Somebody's page in a room.
    pub async fn page(&self, instance: usize, name: &str, user: &str, role: &str) -> Client {
        let url = format!("{}?token={}", self.at(instance).url(name), token_for(user, role));
        let mut page = Client::connect(&url, Some("ruang.v1")).await;
        page.sync().await;
        page.until_acked().await.unwrap();
        page
    }

    pub async fn reveal(&self, instance: usize, board: &str, user: &str, role: &str) -> (u16, Value) {
        let path = format!("/api/v1/rooms/{board}/reveal");
        ask(self.at(instance), "POST", &path, &token_for(user, role)).await
    }

    /// What somebody sees who comes now.
    pub async fn board(&self, name: &str) -> RetroRoomState {
        let page = self.page(self.servers.len() - 1, name, "newcomer", "viewer").await;
        view(&page.doc)
    }

    pub async fn records(&self, name: &str) -> Vec<(Record, Metadata)> {
        let records = self.log.read(&room(name), 0, 10_000).await.unwrap();
        let read = |stored: StoredRecord| match stored {
            StoredRecord::Intact { record, .. } => (record.clone(), record.metadata().unwrap()),
            StoredRecord::Damaged { why, .. } => panic!("{why}"),
        };
        records.into_iter().map(read).collect()
    }

    /// How many cards lie in a draft, by the log.
    pub async fn left(&self, name: &str) -> usize {
        let walk =
            ruang::history::walk(&self.log, &room(name), ruang::history::Range::TO_HEAD).await.unwrap();
        let Some(mut walk) = walk else { return 0 };
        walk.to_end().await.unwrap();
        view(walk.fold().unwrap().document().doc()).items.len()
    }

    pub async fn until_empty(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.left(name).await > 0 {
            assert!(Instant::now() < deadline, "{name} keeps its cards");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

pub async fn server(log: &Arc<dyn Log>, auth: Auth) -> Server {
    let options = RoomsOptions {
        boards: Boards::all(),
        idle_unload: Duration::from_millis(50),
        ..RoomsOptions::default()
    };
    Server::start_for_with(Arc::clone(log), options, auth).await
}

pub fn token_for(user: &str, role: &str) -> String {
    token("HS256", &claims(&json!({ "sub": user, "role": role, "room": null, "rooms": ["retro*"] })))
}

pub async fn ask(server: &Server, method: &str, path: &str, token: &str) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let answer = request(server.address, method, path, &headers, "").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Makes an edit here, without telling anyone. Returns the update.
pub fn locally(page: &Client, edit: &Edit, user: &str) -> Vec<u8> {
    let before = page.doc.transact().state_vector();
    apply(&page.doc, edit, Author { user, now_ms: 7 }).unwrap();
    page.doc.transact().encode_diff_v1(&before)
}

pub async fn edit(page: &mut Client, edit: &Edit, user: &str) {
    let update = locally(page, edit, user);
    page.send(y_websocket::update(&update)).await;
    page.sent += 1;
    page.until_acked().await.unwrap();
}

pub fn card(id: &str) -> Edit {
    let position = Some(Point { x: 1.0, y: 2.0 });
    Edit::AddItem { id: id.to_owned(), text: format!("text of {id}"), column: None, position }
}

pub fn hide(hide: bool) -> Edit {
    Edit::SetMeta {
        title: None,
        phase: None,
        columns: None,
        vote_limit: None,
        timer_ends_at: None,
        hide_cards: Some(hide),
    }
}

/// A board whose cards are hidden, led by Fay.
pub async fn hidden_board(world: &World) -> Client {
    let mut fay = world.page(0, "retro", "fay", "facilitator").await;
    edit(&mut fay, &hide(true), "fay").await;
    fay
}

/// Somebody with some cards in their draft, and their page.
pub async fn with_cards(world: &World, user: &str, cards: &[&str]) -> Client {
    let mut page = world.page(0, &format!("retro~{user}"), user, "editor").await;
    for id in cards {
        edit(&mut page, &card(id), user).await;
    }
    page
}

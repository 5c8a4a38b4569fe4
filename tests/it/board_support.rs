//! A server for people with tokens whose rooms are boards, and the edits that there are.

use std::sync::Arc;

use ruang::board::view::{RetroRoomState, view};
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Metadata, Record, StoredRecord};
use ruang::room::RoomsOptions;
use serde_json::{Value, json};

use crate::api_support::{Answer, Headers, call};
use crate::auth_support::{auth, claims, public_key, token};
use crate::harness::{Client, Server};

/// Whose rooms are boards; `ann` and `bob` edit, `fay` leads, `ada` is an admin, `vic` looks.
pub struct Boards {
    pub log: Arc<dyn Log>,
    pub server: Server,
}

pub const ROOM: &str = "retro";

pub fn options() -> RoomsOptions {
    RoomsOptions { boards: ruang::kind::Boards::all(), ..RoomsOptions::default() }
}

pub fn token_of(user: &str) -> String {
    let role = match user {
        "fay" => "facilitator",
        "ada" => "admin",
        "vic" => "viewer",
        _ => "editor",
    };
    token("EdDSA", &claims(&json!({ "sub": user, "role": role })))
}

impl Boards {
    pub async fn start() -> Self {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
        Self::on(log).await
    }

    pub async fn on(log: Arc<dyn Log>) -> Self {
        let auth = auth(&[public_key("EdDSA")]);
        let server = Server::start_for_with(Arc::clone(&log), options(), auth).await;
        Self { log, server }
    }

    pub async fn ask(
        &self,
        user: &str,
        (method, path): (&str, &str),
        headers: Headers<'_>,
        body: Option<&[u8]>,
    ) -> Answer {
        let bearer = format!("Bearer {}", token_of(user));
        let mut all = vec![("Authorization", bearer.as_str())];
        if body.is_some() {
            all.push(("Content-Type", "application/json"));
        }
        all.extend_from_slice(headers);
        call(self.server.address, (method, &format!("/api/v1/rooms/{path}")), &all, body).await
    }

    pub async fn send(&self, user: &str, (method, path): (&str, &str), body: &Value) -> Answer {
        self.ask(user, (method, &format!("{ROOM}{path}")), &[], Some(body.to_string().as_bytes())).await
    }

    pub async fn edit(&self, user: &str, edits: &Value) -> Answer {
        self.send(user, ("POST", "/edits"), edits).await
    }

    /// The same, and it is stored.
    pub async fn done(&self, user: &str, edits: &Value) -> Answer {
        let answer = self.edit(user, edits).await;
        assert_eq!(answer.status, 200, "{edits}: {}", String::from_utf8_lossy(&answer.body));
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("vic", ("GET", &format!("{ROOM}{path}")), &[], None).await
    }

    /// The board as it is shown.
    pub async fn shown(&self) -> RetroRoomState {
        let answer = self.get("").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        state(&answer.json())
    }

    pub async fn join(&self, user: &str) -> Client {
        let url = format!("{}?token={}", self.server.url(ROOM), token_of(user));
        let mut client = Client::connect(&url, None).await;
        client.sync().await;
        client
    }

    /// The newest record, and what it says of itself.
    pub async fn newest(&self) -> (Record, Metadata) {
        let room = ROOM.parse().unwrap();
        let head = self.log.open(&room).await.unwrap().unwrap();
        let records = self.log.read(&room, head.last.seq - 1, 1).await.unwrap();
        let Some(StoredRecord::Intact { record, .. }) = records.into_iter().next() else {
            panic!("a record")
        };
        let metadata = record.metadata().unwrap();
        (record, metadata)
    }
}

pub fn state(json: &Value) -> RetroRoomState {
    serde_json::from_value(json.clone()).unwrap()
}

/// What of a board follows from its document.
pub fn in_document(mut state: RetroRoomState) -> RetroRoomState {
    state.participants.clear();
    state.last_updated = None;
    state
}

/// What a client's own copy says.
pub fn seen(client: &Client) -> RetroRoomState {
    view(&client.doc)
}

pub fn add(id: &str, text: &str) -> Value {
    json!({ "type": "addItem", "id": id, "text": text, "column": "well", "position": { "x": 1.5, "y": -2 } })
}

/// Every edit that there is, in an order in which all can be made, each with who makes it.
pub fn every_edit() -> Vec<(&'static str, Value)> {
    vec![
        (
            "fay",
            json!({
                "type": "setMeta", "title": "Sprint 7", "phase": "vote", "voteLimit": 3, "timerEndsAt": 1_700_000_000_000_u64,
                "hideCards": false,
                "columns": [{ "id": "well", "title": "Went well", "color": "#00ff00" }, { "id": "bad", "title": "Bad" }],
            }),
        ),
        ("ann", add("a", "من اليمين 🎉")),
        ("bob", add("b", "two\nlines")),
        ("ann", add("c", "gone soon")),
        ("ann", json!({ "type": "setItemText", "id": "a", "text": "rewritten 👩‍👩‍👧" })),
        ("ann", json!({ "type": "setItemColumn", "id": "a", "column": "bad" })),
        ("bob", json!({ "type": "moveItem", "id": "b", "position": { "x": 12.345, "y": 7 } })),
        ("ann", json!({ "type": "setGroup", "id": "g", "title": "Build", "order": 1.5 })),
        ("ann", json!({ "type": "setGroup", "id": "h", "title": "Empty" })),
        ("bob", json!({ "type": "setItemGroup", "id": "b", "group": "g" })),
        ("ann", json!({ "type": "vote", "target": "a", "count": 2 })),
        ("bob", json!({ "type": "vote", "target": "g", "count": 1 })),
        ("ann", json!({ "type": "setSignatureColor", "signature": "ann", "color": "#aabbcc" })),
        (
            "bob",
            json!({ "type": "setActionItem", "id": "x", "text": "Mend", "assignee": "bob", "due": "Friday", "order": 1 }),
        ),
        ("bob", json!({ "type": "setActionItem", "id": "y", "text": "Sweep", "done": true })),
        ("ann", json!({ "type": "deleteItem", "id": "c" })),
        ("ann", json!({ "type": "deleteActionItem", "id": "y" })),
        ("ann", json!({ "type": "deleteGroup", "id": "h" })),
    ]
}

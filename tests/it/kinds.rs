//! What kind rooms are of, who decides, and that it stays so. Rules B10 to B17 of docs/RULES.md.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

#[allow(dead_code, reason = "the tests of tokens use the rest")]
mod auth_support;
mod binary;
mod harness;
mod kinds_process;
mod kinds_stores;
mod life_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use auth_support::{auth, claims, public_key, token};
use harness::Server;
use kinds_stores::{ON_A_BOARD, a_room_keeps_its_kind, boards, kind, said, two_make_one_room};
use life_support::room;
use ruang::board::rules::Reason;
use ruang::clock::system_clock;
use ruang::ids::InstanceId;
use ruang::kind::{Boards, RoomKind};
use ruang::log::Log;
use ruang::log::embedded::EmbeddedLog;
use ruang::log::memory::MemoryLog;
use ruang::replay::export::export_to_file;
use ruang::replay::import::{ImportError, ImportOptions, import};
use ruang::room::RoomsOptions;
use serde_json::{Value, json};

fn memory() -> Arc<dyn Log> {
    Arc::new(MemoryLog::new())
}

#[tokio::test]
async fn a_room_keeps_its_kind_in_memory() {
    a_room_keeps_its_kind(memory()).await;
}

#[tokio::test]
async fn a_room_keeps_its_kind_in_the_embedded_store() {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(dir.path(), InstanceId(7)).unwrap());
    a_room_keeps_its_kind(Arc::clone(&log)).await;
    log.close().await;
    drop(log);
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(dir.path(), InstanceId(8)).unwrap());
    for made in [RoomKind::Board, RoomKind::Free] {
        assert_eq!(kind(&log, &room(&format!("retro/{made}"))).await, made, "when it is opened again");
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_make_one_room() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::for_instances(system_clock()).0);
    two_make_one_room(Arc::clone(&log), log).await;
}

/// One request to the API about a room: the status and the body. `token` may be empty.
async fn ask(server: &Server, method: &str, name: &str, token: &str, body: &str) -> (u16, Value) {
    let headers = match token {
        "" => "Content-Type: application/json\r\n".to_owned(),
        token => format!("Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n"),
    };
    let path = format!("/api/v1/rooms/{}", name.replace('/', "%2F"));
    let answer = auth_support::request(server.address, method, &path, &headers, body).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

async fn about(server: &Server, name: &str, token: &str) -> Value {
    let (status, body) = ask(server, "GET", name, token, "").await;
    assert_eq!(status, 200, "{body}");
    body
}

/// Sets a key of a root map that boards have.
async fn patch(server: &Server, name: &str, token: &str) -> u16 {
    let edit = json!({
        "roots": { ON_A_BOARD: "map" }, "operations": [{ "op": "set", "path": [ON_A_BOARD, name], "value": 1 }]
    });
    ask(server, "PATCH", name, token, &edit.to_string()).await.0
}

/// [B14] [B17] Whatever makes a room takes the same rule: a socket, an edit over the API, y-sweet's `/doc/new` and a document's token. The API
/// tells the kind; of a name that nothing is stored under, none.
#[tokio::test]
async fn every_way_to_make_a_room_takes_the_rule() {
    let options = RoomsOptions { boards: boards(&["retro"]), ..RoomsOptions::default() };
    let server = Server::start_with(memory(), options).await;
    for (name, kind) in [("retro-socket", "board"), ("socket", "free")] {
        let mut client = server.join_for_acks(name).await;
        client.until("the ack of nothing", |client| client.acked == 1).await;
        assert_eq!(about(&server, name, "").await["kind"], Value::Null, "nothing is stored");
        client.set("k", "v").await;
        client.until("the ack", |client| client.acked == 2).await;
        assert_eq!(about(&server, name, "").await["kind"], kind);
    }
    for (name, kind) in [("retro-api", "board"), ("api", "free")] {
        assert_eq!(patch(&server, name, "").await, 200);
        assert_eq!(about(&server, name, "").await["kind"], kind);
    }
    for (name, kind) in [("retro-new", "board"), ("new", "free")] {
        let body = json!({ "docId": name }).to_string();
        let headers = "Content-Type: application/json\r\n";
        let made = auth_support::request(server.address, "POST", "/doc/new", headers, &body).await;
        assert!(made.starts_with("HTTP/1.1 200"), "{made}");
        assert_eq!(about(&server, name, "").await["kind"], kind);
    }
    server.stop().await;
}

/// [B10] [B14] A token's claim wins over the name, on sockets, in the API, and for the documents that a back end makes with it.
#[tokio::test]
async fn a_claim_makes_a_board() {
    let log = memory();
    let server = Server::start_for(Arc::clone(&log), auth(&[public_key("HS256")])).await;
    let made = |kind: &str, more: Value| {
        let mut all = json!({ "room": null, "rooms": ["*"], "role": "admin", "kind": kind });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        token("HS256", &claims(&all))
    };
    let board = made("board", json!({}));
    assert_eq!(patch(&server, "api", &board).await, 200);
    assert_eq!(about(&server, "api", &board).await["kind"], "board");

    let url = format!("{}?token={}", server.url("socket"), made("board", json!({ "role": "editor" })));
    let mut client = harness::Client::connect(&url, Some("ruang.v1")).await;
    client.sync().await;
    client.set("k", "v").await;
    client.until("the ack", |client| client.acked == 2).await;
    assert_eq!(kind(&log, &room("socket")).await, RoomKind::Board);

    let everywhere = made("board", json!({ "rooms": null }));
    let headers = format!("Authorization: Bearer {everywhere}\r\nContent-Type: application/json\r\n");
    let new =
        auth_support::request(server.address, "POST", "/doc/new", &headers, "{\"docId\":\"doc\"}").await;
    assert!(new.starts_with("HTTP/1.1 200"), "{new}");
    assert_eq!(kind(&log, &room("doc")).await, RoomKind::Board);

    // Of a room that is there, it changes nothing.
    let free = made("free", json!({}));
    let edit = json!({ "operations": [{ "op": "set", "path": [ON_A_BOARD, "l"], "value": 1 }] }).to_string();
    assert_eq!(ask(&server, "PATCH", "api", &free, &edit).await.0, 200);
    assert_eq!(said(&log, &room("api")).await, [RoomKind::Board; 3]);
    // Nor does it let anybody in who means another kind than there is.
    let (refused, why) = ask(&server, "PATCH", "api", &made("plank", json!({})), &edit).await;
    println!("{why}");
    assert_eq!(refused, 401);
    server.stop().await;
}

/// [B15] A room that has expired is made anew by whoever revives it, and so is one that was deleted: of the kind that is the rule
/// then. One that is kept stays what it was, whoever comes back.
#[tokio::test]
async fn another_life_is_another_choice() {
    for (ends, kept) in [("expires", RoomKind::Free), ("deleted", RoomKind::Free), ("kept", RoomKind::Board)]
    {
        let now = Arc::new(AtomicU64::new(1_700_000_000_000));
        let clock = Arc::clone(&now);
        let (log, _) = MemoryLog::with_clock(Arc::new(move || clock.load(Ordering::SeqCst)));
        let log: Arc<dyn Log> = Arc::new(log);
        let maker = Server::start_with(Arc::clone(&log), unloading(Boards::all())).await;
        let mut page = maker.join_for_acks("r").await;
        page.set("k", "v").await;
        page.until("the acks", |page| page.acked == 2).await;
        let doc = page.crash();
        life_support::until_closed(&maker.app.rooms, &room("r")).await;
        assert_eq!(kind(&log, &room("r")).await, RoomKind::Board);
        match ends {
            "expires" => {
                now.fetch_add(1 << 40, Ordering::SeqCst);
                let deadline = log.open(&room("r")).await.unwrap().unwrap().deadline_ms.unwrap();
                assert!(log.expire(&room("r"), deadline).await.unwrap());
            }
            "deleted" => assert!(log.delete(&room("r")).await.unwrap()),
            _ => {}
        }
        let server = Server::start(Arc::clone(&log)).await;
        let mut page = server.connect_for_acks("r").await;
        if ends != "deleted" {
            page.doc = doc; // after a deletion nobody comes back with a copy
        }
        page.sync().await;
        page.set("l", "v").await;
        page.until("the acks", |page| page.acked == 2).await;
        println!("{ends}: {:?}", said(&log, &room("r")).await);
        assert_eq!(kind(&log, &room("r")).await, kept);
        server.stop().await;
        maker.stop().await;
    }
}

/// Rooms that go from memory as soon as nobody is in them.
fn unloading(boards: Boards) -> RoomsOptions {
    RoomsOptions { boards, idle_unload: Duration::from_millis(20), ..RoomsOptions::default() }
}

/// [B15] A room that the store has lost is stored again as what it was, whatever the settings of who does it.
#[tokio::test]
async fn a_healed_room_is_what_it_was() {
    let (log, faults) = MemoryLog::for_instances(system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let maker = Server::start_with(Arc::clone(&log), unloading(Boards::all())).await;
    let healer = Server::start(Arc::clone(&log)).await;
    let mut maker_page = maker.join("r").await;
    maker_page.root = ON_A_BOARD;
    maker_page.set("k", "v").await;
    let mut page = healer.join("r").await;
    page.root = ON_A_BOARD;
    page.until_set("k", "v").await;
    drop(maker_page);
    life_support::until_closed(&maker.app.rooms, &room("r")).await;
    faults.forget_room(&room("r"));
    page.set("l", "v").await;
    let mut other = healer.join("r").await;
    other.root = ON_A_BOARD;
    other.until_set("l", "v").await;
    println!("{:?}", said(&log, &room("r")).await);
    assert_eq!(kind(&log, &room("r")).await, RoomKind::Board);
    assert!(healer.app.rooms.metrics().rooms_healed.get() >= 1);
    healer.stop().await;
    maker.stop().await;
}

/// [B14] [B39] An exported room comes back as what it was, another kind only if that is asked for; what has no kind takes the rule;
/// what is no board does not become one.
#[tokio::test]
async fn imports_keep_the_kind() {
    let (log, dir) = (memory(), tempfile::tempdir().unwrap());
    let file = dir.path().join("r.ruang");
    kinds_stores::visit(&kinds_stores::instance(&log, &["*"]), &room("r"), 2).await;
    export_to_file(&log, &room("r"), &file, 10).await.unwrap();
    for (prefixes, asked, kept) in
        [(&[][..], None, RoomKind::Board), (&["*"], Some(RoomKind::Free), RoomKind::Free)]
    {
        let into = memory();
        let options = ImportOptions {
            name: None,
            dry_run: false,
            force: false,
            kind: asked,
            boards: boards(prefixes),
            ttl_ms: None,
            now_ms: 10,
        };
        assert_eq!(import(&file, &into, &options).await.unwrap().kind, kept);
        assert_eq!(kind(&into, &room("r")).await, kept);
        let server = Server::start(Arc::clone(&into)).await;
        let mut client = server.join("r").await;
        client.root = ON_A_BOARD;
        client.until_set("k0", "x").await;
        server.stop().await;
    }
    // [B39] What is no board is none: nothing is stored.
    let free = kinds_stores::instance(&log, &[]);
    let mut person = life_support::Person::join(&free, &room("notes")).await;
    person.set("k").await;
    drop(person);
    life_support::until_closed(&free, &room("notes")).await;
    let file = dir.path().join("notes.ruang");
    export_to_file(&log, &room("notes"), &file, 10).await.unwrap();
    for kind in [RoomKind::Board, RoomKind::Free] {
        let into = memory();
        let options = ImportOptions {
            name: None,
            dry_run: false,
            force: false,
            kind: Some(kind),
            boards: boards(&[]),
            ttl_ms: None,
            now_ms: 10,
        };
        match import(&file, &into, &options).await {
            Err(ImportError::NoBoard(reason)) if kind == RoomKind::Board => {
                assert_eq!(reason, Reason::UnknownRoot);
                assert!(into.open(&room("notes")).await.unwrap().is_none());
            }
            imported => assert_eq!(imported.unwrap().kind, RoomKind::Free),
        }
    }
}

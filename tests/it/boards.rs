//! Boards through real sockets: what breaks a rule is told to who has done it, in words of the family, and is shown to
//! nobody; over the API it is refused; on several instances it comes to the same. Rules B25 to B36 and B80 of docs/RULES.md.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

#[allow(dead_code, reason = "each test file uses its part")]
mod auth_support;
mod harness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_support::{auth, claims, public_key, request, room, token};
use harness::{Client, PATIENCE, Server, kinds_of};
use ruang::clock::system_clock;
use ruang::limits::{BOARD_BROKEN_MAX, EXACT_TRIES_MAX};
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::record::Kind;
use ruang::log::{Log, LogError};
use ruang::replay::verify::verify_room;
use ruang::wire::y_websocket;
use serde_json::json;
use tokio::time::Instant;
use yrs::types::ToJson;
use yrs::{
    Map, MapPrelim, ReadTxn, Transact, TransactionMut, WriteTxn, XmlElementPrelim, XmlFragment, XmlTextPrelim,
};

/// Instances of one store; tokens make their rooms boards.
struct Boards {
    log: Arc<dyn Log>,
    faults: Faults,
    servers: Vec<Server>,
}

fn bearer(user: &str, role: &str) -> String {
    token("HS256", &claims(&json!({ "sub": user, "role": role, "kind": "board" })))
}

impl Boards {
    async fn start(instances: usize) -> Self {
        let (log, faults) = MemoryLog::for_instances(system_clock());
        let log: Arc<dyn Log> = Arc::new(log);
        let mut servers = Vec::new();
        for _ in 0..instances {
            servers.push(Server::start_for(Arc::clone(&log), auth(&[public_key("HS256")])).await);
        }
        Self { log, faults, servers }
    }

    async fn join(&self, instance: usize, user: &str, role: &str, protocol: Option<&'static str>) -> Client {
        let url = format!("{}?token={}", self.servers[instance].url("retro"), bearer(user, role));
        let mut client = Client::connect(&url, protocol).await;
        for root in ruang::board::schema::ROOTS {
            client.doc.get_or_insert_map(root);
        }
        client.sync().await;
        client
    }

    async fn kinds(&self) -> Vec<Kind> {
        let records = self.log.read(&room("retro"), 0, 10_000).await.unwrap();
        kinds_of(&records)
    }

    /// The log is sound, and nothing has failed.
    async fn stop(self) {
        let head = self.log.open(&room("retro")).await.unwrap().unwrap();
        let (verified, findings) = verify_room(&self.log, &room("retro"), &head).await.unwrap();
        assert!(findings.is_empty() && verified.records > 0, "{findings:?}");
        for server in self.servers {
            let metrics = server.app.rooms.metrics();
            assert_eq!((metrics.rooms_failed.get(), metrics.records_set_aside.get()), (0, 0));
            server.stop().await;
        }
    }
}

fn put(root: &'static str, key: &'static str, value: &str) -> impl FnOnce(&mut TransactionMut<'_>) {
    let value = value.to_owned();
    move |t| {
        t.get_or_insert_map(root).insert(t, key, value);
    }
}

/// What a client has of the board.
fn board_of(client: &Client) -> String {
    let transaction = client.doc.transact();
    let roots = ruang::board::schema::ROOTS.iter().map(|root| {
        let map = transaction.get_map(*root).map(|map| map.to_json(&transaction));
        (*root, serde_json::to_value(map).unwrap())
    });
    serde_json::Value::from_iter(roots).to_string()
}

/// Edits the room over the API.
async fn patch(server: SocketAddr, token: &str, edit: &str) -> (u16, serde_json::Value) {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    let answer = request(server, "PATCH", "/api/v1/rooms/retro", &headers, edit).await;
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// Has all take frames in until they have the same, and something is true of it.
async fn same(people: &mut [&mut Client], what: &str, holds: impl Fn(&Client) -> bool) {
    let began = Instant::now();
    loop {
        let boards: Vec<String> = people.iter().map(|client| board_of(client)).collect();
        let same = boards.windows(2).all(|pair| pair[0] == pair[1]);
        if same && people.iter().all(|client| holds(client)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}; {boards:?}");
        for client in people.iter_mut() {
            let _ = client.step(Duration::from_millis(10)).await;
        }
    }
}

/// [B33] Who breaks a rule is told which, before the message is acked, and stays; a plain y-websocket client is told in its
/// words. Others have seen nothing of it. The log says who wrote what, and is sound.
#[tokio::test]
async fn who_breaks_a_rule_is_told() {
    let boards = Boards::start(1).await;
    let mut lea = boards.join(0, "lea", "facilitator", None).await;
    let mut ann = boards.join(0, "ann", "editor", Some("ruang.v1")).await;
    let mut bob = boards.join(0, "bob", "editor", None).await;
    lea.edit(put("meta", "title", "Sprint 7")).await;
    ann.until("the title", |ann| ann.value("meta", "title").as_deref() == Some("Sprint 7")).await;
    ann.edit(put("itemPositions", "a", "1")).await;
    ann.edit(put("meta", "title", "mine")).await;
    ann.edit(put("itemPositions", "a", "2")).await;
    ann.until("all acks", |ann| ann.acked == ann.sent).await;
    assert_eq!(ann.sent, 4, "a Step2 and three edits");
    let (ordinal, code, acked) = ann.broken[0].clone();
    assert_eq!((ordinal, code.as_str(), ann.broken.len()), (3, "meta_is_the_facilitators", 1));
    assert!(acked < 3, "it is told before it is acked");
    for _ in 0..3 {
        bob.edit(put("meta", "title", "bob's")).await;
    }
    let is_right = |client: &Client| {
        client.value("meta", "title").as_deref() == Some("Sprint 7")
            && client.value("itemPositions", "a").as_deref() == Some("2")
    };
    same(&mut [&mut lea, &mut ann, &mut bob], "one board", is_right).await;
    bob.until("a word", |bob| !bob.denied.is_empty()).await;
    assert_eq!(bob.denied, ["only the facilitator sets the title, the phase, the columns and the like"]);
    let mine = |client: &Client| {
        client.received.iter().any(|update| update.windows(4).any(|bytes| bytes == b"mine"))
    };
    assert!(!mine(&lea) && !mine(&bob), "not a byte of it reaches anybody");
    assert_eq!(boards.servers[0].app.rooms.metrics().edits_mended.get(), 4);
    let kinds = boards.kinds().await;
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Compensation).count(), 4, "{kinds:?}");
    boards.stop().await;
}

/// [B26] An editor of rich text that is pointed at a board: it stays connected, and others see nothing.
#[tokio::test]
async fn an_editor_of_rich_text_is_no_harm() {
    let boards = Boards::start(1).await;
    let mut lea = boards.join(0, "lea", "facilitator", None).await;
    let mut tip = boards.join(0, "tip", "editor", Some("ruang.v1")).await;
    for _ in 0..20 {
        tip.edit(|t| {
            let root = t.get_or_insert_xml_fragment("default");
            let paragraph = root.push_back(t, XmlElementPrelim::empty("paragraph"));
            paragraph.push_back(t, XmlTextPrelim::new("some text that belongs elsewhere"));
        })
        .await;
    }
    tip.until("all acks", |tip| tip.acked == tip.sent).await;
    assert!(!tip.broken.is_empty() && tip.broken.iter().all(|(_, code, _)| code == "unknown_root"));
    tip.edit(put("signatureColors", "tip", "#aabbcc")).await;
    let colored = |client: &Client| client.value("signatureColors", "tip").is_some();
    same(&mut [&mut lea, &mut tip], "the color", colored).await;
    let seen: usize =
        lea.received.iter().filter(|update| update.windows(9).any(|bytes| bytes == b"elsewhere")).count();
    assert_eq!(seen, 0);
    boards.stop().await;
}

/// [B29] Over the API what breaks a rule is refused whole, with its code and sentence; nothing is stored.
#[tokio::test]
async fn the_api_refuses_what_breaks_a_rule() {
    let boards = Boards::start(1).await;
    let server = &boards.servers[0];
    // Status, and the code of a refusal.
    let set = async |role: &str, path: [&str; 2]| {
        let roots = json!({ path[0]: "map" });
        let edit = json!({ "roots": roots, "operations": [{ "op": "set", "path": path, "value": 1 }] });
        let (status, answer) = patch(server.address, &bearer("ann", role), &edit.to_string()).await;
        println!("{role} sets {path:?}: {status} {answer}");
        (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |code: &str| (403, code.to_owned());
    assert_eq!(set("editor", ["itemPositions", "a"]).await.0, 200);
    let before = boards.kinds().await;
    assert_eq!(set("editor", ["meta", "title"]).await, refused("meta_is_the_facilitators"));
    assert_eq!(set("editor", ["votes", "bob/a"]).await, refused("votes_of_another"));
    assert_eq!(set("facilitator", ["m", "k"]).await, refused("unknown_root"));
    assert_eq!(boards.kinds().await, before);
    assert_eq!(set("facilitator", ["meta", "title"]).await.0, 200);
    assert_eq!(set("editor", ["votes", "ann/a"]).await.0, 200);
    boards.stop().await;
}

/// [B34] Two instances at once: what was judged for a position that another instance was faster to is judged anew. All
/// come to the same; nobody sees the bad value; every message is acked once, in order.
#[tokio::test]
async fn instances_race_and_come_to_one_board() {
    let boards = Boards::start(2).await;
    let mut lea = boards.join(0, "lea", "facilitator", Some("ruang.v1")).await;
    let mut ann = boards.join(1, "ann", "editor", Some("ruang.v1")).await;
    let mut bob = boards.join(1, "bob", "editor", Some("ruang.v1")).await;
    lea.edit(put("meta", "title", "begin")).await;
    let begun = |client: &Client| client.value("meta", "title").is_some();
    same(&mut [&mut lea, &mut ann, &mut bob], "a title", begun).await;
    for round in 0..15 {
        let held = boards.faults.hold_appends();
        lea.edit(put("meta", "title", &format!("title {round}"))).await;
        ann.edit(put("meta", "title", "bad")).await;
        held.arrived(2).await;
        // Behind what is under way on ann's instance.
        ann.edit(put("itemPositions", "a", &format!("{round}"))).await;
        bob.edit(put("itemGroups", "a", &format!("{round}"))).await;
        held.release();
        let settled = move |client: &Client| {
            client.value("itemPositions", "a") == Some(round.to_string())
                && client.value("itemGroups", "a") == Some(round.to_string())
                && client.value("meta", "title").is_some_and(|title| title != "bad")
        };
        same(&mut [&mut lea, &mut ann, &mut bob], "one board", settled).await;
        let mut late = boards.join(0, "bob", "editor", None).await;
        same(&mut [&mut lea, &mut late], "a newcomer's board", settled).await;
    }
    for client in [&mut lea, &mut ann, &mut bob] {
        client.until("all acks", |client| client.acked == client.sent).await;
    }
    let rounds: Vec<u64> = ann.broken.iter().map(|(ordinal, _, _)| *ordinal).collect();
    assert_eq!(rounds, (0..15).map(|round| 2 + 2 * round).collect::<Vec<u64>>());
    for client in [&lea, &bob] {
        let bad = |update: &bytes::Bytes| {
            update.windows(5).any(|bytes| bytes == b"\x03badx" || bytes == b"w\x03bad")
        };
        assert!(!client.received.iter().any(bad), "it was seen");
    }
    boards.stop().await;
}

/// [B80] An editor's page clears the votes of five thousand people, and sets five thousand keys that are not its own to set,
/// beside what it may: that is stored, its session stays and is told once, and nobody lacks a vote, a newcomer neither.
#[tokio::test]
async fn a_flood_of_broken_rules_ends_no_session() {
    const MANY: u32 = 5_000;
    let boards = Boards::start(1).await;
    let mut adm = boards.join(0, "adm", "admin", None).await;
    let mut ann = boards.join(0, "ann", "editor", Some("ruang.v1")).await;
    adm.edit(|t| {
        t.get_or_insert_map("items").insert(t, "a", MapPrelim::from([("author", "adm")]));
        let votes = t.get_or_insert_map("votes");
        for n in 0..MANY {
            votes.insert(t, format!("p{n}/a"), 1);
        }
    })
    .await;
    let votes = |client: &Client| client.doc.transact().get_map("votes").unwrap().len(&client.doc.transact());
    ann.until("all votes", |ann| votes(ann) == MANY).await;
    ann.edit(|t| {
        t.get_or_insert_map("votes").clear(t);
        let meta = t.get_or_insert_map("meta");
        for n in 0..MANY {
            meta.insert(t, n.to_string(), 1);
        }
        t.get_or_insert_map("itemPositions").insert(t, "a", "1");
    })
    .await;
    adm.until("what is allowed of it", |adm| adm.value("itemPositions", "a").is_some()).await;
    ann.until("an ack", |ann| ann.acked == ann.sent).await;
    let mut late = boards.join(0, "bob", "editor", None).await;
    for (client, who) in [(&mut adm, "adm"), (&mut late, "bob")] {
        client.until("a place", |client| client.value("itemPositions", "a").is_some()).await;
        assert!(votes(client) == MANY && client.value("meta", "0").is_none(), "{who} has {}", votes(client));
    }
    let told: Vec<&str> = ann.broken.iter().map(|(_, code, _)| code.as_str()).collect();
    println!("told {told:?}");
    assert_eq!(told, ["too_many_broken_rules"]);
    ann.until("as many as are set again", |ann| votes(ann) == BOARD_BROKEN_MAX as u32).await;
    ann.edit(put("itemPositions", "b", "1")).await;
    adm.until("what it does later", |adm| adm.value("itemPositions", "b").is_some()).await;
    boards.stop().await;
}

/// [B35] A viewer's edits are refused as everywhere: the rules are not asked.
#[tokio::test]
async fn viewers_are_refused_as_everywhere() {
    let boards = Boards::start(1).await;
    let mut lea = boards.join(0, "lea", "facilitator", None).await;
    lea.edit(put("meta", "title", "x")).await;
    let mut vic = boards.join(0, "vic", "viewer", None).await;
    vic.edit(put("itemPositions", "a", "1")).await;
    vic.until("a refusal", |vic| !vic.denied.is_empty()).await;
    assert!(vic.denied[0].contains("not yours to write"), "{:?}", vic.denied);
    let before = boards.kinds().await;
    vic.send(y_websocket::update(&vic.encode_full())).await;
    lea.edit(put("meta", "title", "y")).await;
    vic.until("what is stored behind it", |vic| vic.value("meta", "title").as_deref() == Some("y")).await;
    vic.send(y_websocket::update(&vic.encode_full())).await;
    // What was sent before is judged when this is answered.
    let received = vic.received.len();
    vic.send(y_websocket::sync_step1(&[0])).await;
    vic.until("an answer", |vic| vic.received.len() > received).await;
    assert_eq!(boards.kinds().await, [before, vec![Kind::Update]].concat(), "nothing of it is stored");
    assert!(lea.value("itemPositions", "a").is_none());
    assert_eq!(boards.servers[0].app.rooms.metrics().edits_mended.get(), 0);
    boards.stop().await;
}

/// [B27] Where another instance is faster each time, an edit for one position is tried a few times. Then its session is
/// asked to come back, and only that: what others have sent meanwhile is stored.
#[tokio::test]
async fn an_edit_that_is_always_too_late_keeps_nobody_waiting() {
    let boards = Boards::start(1).await;
    let mut lea = boards.join(0, "lea", "facilitator", Some("ruang.v1")).await;
    let mut ann = boards.join(0, "ann", "editor", Some("ruang.v1")).await;
    let mut bob = boards.join(0, "bob", "editor", Some("ruang.v1")).await;
    lea.edit(put("meta", "title", "begin")).await;
    same(&mut [&mut lea, &mut ann, &mut bob], "a title", |client| client.value("meta", "title").is_some())
        .await;
    let held = boards.faults.hold_appends();
    boards
        .faults
        .fail_appends(1 + EXACT_TRIES_MAX as usize, LogError::Moved("another was faster".to_owned()));
    ann.edit(put("meta", "title", "bad")).await;
    held.arrived(1).await;
    bob.edit(put("itemPositions", "a", "1")).await;
    held.release();
    assert_eq!(ann.until_closed().await, Some(1013));
    bob.until("all acks", |bob| bob.acked == bob.sent).await;
    same(&mut [&mut lea, &mut bob], "what bob did", |client| client.value("itemPositions", "a").is_some())
        .await;
    assert_eq!(lea.value("meta", "title").as_deref(), Some("begin"));
    // With what it has kept it comes back, and is mended.
    let mut back = boards.join(0, "ann", "editor", Some("ruang.v1")).await;
    back.send(y_websocket::update(&ann.encode_full())).await;
    same(&mut [&mut lea, &mut bob, &mut back], "one board", |client| {
        client.value("meta", "title").as_deref() == Some("begin")
    })
    .await;
    boards.stop().await;
}

//! The board as it is shown.

use std::sync::Arc;
use std::time::Duration;

use ruang::board::view::view;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use serde_json::{Value, json};
use yrs::{Any, Doc, Map, MapPrelim, Text, TextPrelim, Transact, WriteTxn};

use crate::api_description::holds;
use crate::api_support::{World, full};
use crate::board_support::{Boards, ROOM, add, every_edit, in_document, options, state};
use crate::harness::{Server, until};

/// [B40] What is shown of a board's room is the board and, beside it, what is shown of every room; as of its position, which is
/// not sent twice. A room of another kind is shown without, unless its board is asked for.
#[tokio::test]
async fn a_board_is_shown_beside_what_is_known_of_its_room() {
    let boards = Boards::start().await;
    assert_eq!(boards.get("").await.refusal(), (404, "no_such_room".to_owned()));
    boards.done("ann", &add("a", "1")).await;
    let answer = boards.get("").await;
    let shown = answer.json();
    holds("BoardRoom", &shown);
    assert_eq!(
        (&shown["room"], &shown["exists"], &shown["records"]),
        (&json!(ROOM), &json!(true), &json!(2))
    );
    assert_eq!(shown["position"], json!(answer.position()));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let ms: u64 = answer.position().split('-').next().unwrap().parse().unwrap();
    assert_eq!(shown["lastUpdated"], json!(ms), "by the log");
    let without = boards.get("?as=about").await.json();
    for (key, value) in without.as_object().unwrap() {
        let moves = key == "expires_in_ms";
        assert!(moves || shown[key] == *value, "{key}");
    }
    assert_eq!(without.get("items"), None);
    let tag = answer.headers["etag"].clone();
    let again = boards.ask("vic", ("GET", ROOM), &[("If-None-Match", &tag)], None).await;
    assert_eq!((again.status, &again.headers["etag"]), (304, &tag));
    boards.done("ann", &add("b", "2")).await;
    let newer = boards.ask("vic", ("GET", ROOM), &[("If-None-Match", &tag)], None).await;
    assert_eq!((newer.status, newer.json()["items"].as_object().unwrap().len()), (200, 2));
    boards.server.stop().await;

    let world = World::start().await;
    world.post("free", &[], &crate::api_support::update(&[("k", "v")])).await;
    assert_eq!(world.get("free").await.json().get("items"), None);
    assert_eq!(world.get("free?as=board").await.json()["items"], json!({}));
    world.server.stop().await;
}

/// [B40] A room that is not open is shown as well, and not opened for it; what is kept of it is not shown when it has moved on.
#[tokio::test]
async fn a_closed_board_is_shown() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let short = RoomsOptions { idle_unload: Duration::from_millis(50), ..options() };
    let server = Server::start_with(Arc::clone(&log), short).await;
    let ask = async |method: &str, path: &str, body: Option<&Value>| {
        let body = body.map(ToString::to_string);
        let path = format!("/api/v1/rooms/{ROOM}{path}");
        let headers = [("Content-Type", "application/json")];
        crate::api_support::call(
            server.address,
            (method, &path),
            &headers,
            body.as_ref().map(|body| body.as_bytes()),
        )
        .await
    };
    let room = ROOM.parse().unwrap();
    for n in 0..3 {
        let written = ask("POST", "/edits", Some(&add(&format!("c{n}"), "x"))).await;
        assert_eq!(written.status, 200);
        let open = ask("GET", "", None).await.json();
        until("it is unloaded", || async { !server.app.rooms.is_open(&room) }).await;
        for _ in 0..2 {
            let closed = ask("GET", "", None).await;
            assert_eq!(closed.position(), written.position());
            let known = ask("GET", "", None).await;
            assert_eq!(in_document(state(&closed.json())), in_document(state(&open)));
            assert_eq!(known.json()["items"].as_object().unwrap().len(), n + 1);
        }
        assert!(!server.app.rooms.is_open(&room), "it was not opened for that");
    }
    server.stop().await;
}

/// [B40] At each position the board is what the document was then.
#[tokio::test]
async fn the_past_is_shown_as_a_board() {
    let boards = Boards::start().await;
    let mut then = Vec::new();
    for (user, edit) in every_edit() {
        let position = boards.done(user, &edit).await.position();
        then.push((position, boards.shown().await));
    }
    for (position, shown) in &then {
        let past = boards.get(&format!("/at/{position}?as=board")).await.json();
        assert_eq!(past["position"], json!(position));
        let past = state(&past["board"]);
        assert_eq!(past.last_updated, shown.last_updated);
        assert!(past.participants.iter().all(|somebody| !somebody.online));
        assert_eq!(in_document(past), in_document(shown.clone()));
    }
    println!("{} positions", then.len());
    let plain = boards.get("/at/head").await.json();
    assert!(plain["document"].is_object() && plain.get("board").is_none(), "as it was before");
    boards.server.stop().await;
}

/// [B40] Documents of older and newer clients, and odd ones, are shown by what can be read of them: shared texts, values of other
/// forms, unknown keys.
#[tokio::test]
async fn odd_documents_are_shown() {
    let world = World::start().await;
    let doc = Doc::new();
    let mut transaction = doc.transact_mut();
    let items = transaction.get_or_insert_map("items");
    let card = items.insert(&mut transaction, "shared", MapPrelim::default());
    let text = card.insert(&mut transaction, "text", TextPrelim::new("together"));
    text.push(&mut transaction, " 🎉");
    items.insert(
        &mut transaction,
        "plain",
        Any::Map(Arc::new([("text".to_owned(), Any::from("as one value"))].into())),
    );
    items.insert(&mut transaction, "odd", 7);
    let empty = items.insert(&mut transaction, "empty", MapPrelim::default());
    empty.insert(&mut transaction, "text", Any::Null);
    empty.insert(&mut transaction, "reactions", "of a newer client");
    let meta = transaction.get_or_insert_map("meta");
    meta.insert(&mut transaction, "phase", "party");
    meta.insert(&mut transaction, "voteLimit", 2.5);
    meta.insert(&mut transaction, "columns", "none");
    let votes = transaction.get_or_insert_map("votes");
    votes.insert(&mut transaction, "ann/shared", 2);
    votes.insert(&mut transaction, "ann/gone", 2);
    votes.insert(&mut transaction, "shared", 2);
    drop(transaction);
    assert_eq!(world.post("r", &[], &full(&doc)).await.status, 200);
    let shown = world.get("r?as=board").await.json();
    holds("BoardRoom", &shown);
    assert_eq!(in_document(state(&shown)), in_document(view(&doc)));
    assert_eq!(shown["items"]["shared"]["text"], "together 🎉");
    assert_eq!(shown["items"]["plain"]["text"], "as one value");
    assert_eq!(shown["items"].as_object().unwrap().len(), 3);
    assert_eq!(shown["meta"]["voteLimit"], 5);
    assert_eq!(shown["allUserVotes"], json!({ "ann": { "shared": 2 } }));
    for format in ["json", "md", "csv"] {
        assert_eq!(world.get(&format!("r/export?format={format}")).await.status, 200);
    }
    world.server.stop().await;
}

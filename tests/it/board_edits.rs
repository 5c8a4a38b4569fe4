//! Typed edits.

use std::collections::BTreeSet;

use ruang::log::record::{Kind, Role};
use serde_json::{Value, json};

use crate::api_support::World;
use crate::board_support::{Boards, ROOM, add, every_edit, in_document, seen};

/// [B42] Each edit that there is goes the way of every client's: a session of y-websocket has it at once, and the log has it as
/// one record of its author, whose client id it is.
#[tokio::test]
async fn every_edit_is_shown_and_is_its_authors() {
    let boards = Boards::start().await;
    let mut watcher = boards.join("vic").await;
    let mut kinds = BTreeSet::new();
    let mut records = 0;
    for (user, edit) in every_edit() {
        let answer = boards.done(user, &edit).await;
        assert_eq!(answer.json()["stored"], true, "{edit}");
        let (record, metadata) = boards.newest().await;
        assert_eq!((record.kind(), metadata.user.as_deref()), (Kind::Update, Some(user)), "{edit}");
        assert_eq!(metadata.role, if user == "fay" { Role::Facilitator } else { Role::Editor });
        let head = boards.log.open(&ROOM.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(
            (head.last.to_string(), head.last.seq - records),
            (answer.position(), if records == 0 { 2 } else { 1 })
        );
        records = head.last.seq;
        let shown = in_document(boards.shown().await);
        watcher.until(&format!("{edit}"), |watcher| seen(watcher) == shown).await;
        kinds.insert(edit["type"].as_str().unwrap().to_owned());
    }
    println!("{} kinds of edits: {kinds:?}", kinds.len());
    assert_eq!(kinds.len(), 13);
    let board = boards.shown().await;
    println!("{}", serde_json::to_string_pretty(&board).unwrap());
    assert_eq!(board.items.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        (board.items["a"].author.as_deref(), board.items["b"].author.as_deref()),
        (Some("ann"), Some("bob"))
    );
    assert_eq!(board.item_positions["b"].x, 12.35);
    assert_eq!(board.all_user_votes["ann"]["a"], 2);
    boards.server.stop().await;
}

/// [B42] A list is one record; each edit sees what those before it have done. One that cannot be made is named, and nothing of
/// the list is stored.
#[tokio::test]
async fn a_list_is_one_record_or_nothing() {
    let boards = Boards::start().await;
    boards.done("ann", &add("first", "1")).await;
    let before = boards.newest().await.1.batch;
    let list = json!([
        add("a", "A"),
        { "type": "setGroup", "id": "g", "title": "G" },
        { "type": "setItemGroup", "id": "a", "group": "g" },
        { "type": "vote", "target": "g", "count": 1 },
        { "type": "deleteItem", "id": "first" },
    ]);
    let at = boards.done("ann", &list).await.position();
    let (_, metadata) = boards.newest().await;
    assert!(metadata.batch > before);
    let board = boards.shown().await;
    assert_eq!((board.items.len(), board.item_groups["a"].as_str()), (1, "g"));
    for (index, (broken, expected)) in [
        (json!({ "type": "setItemText", "id": "first", "text": "" }), "there is no card"),
        (add("a", "again"), "already"),
        (json!({ "type": "moveItem", "id": "a", "position": { "x": 1 } }), "missing field `y`"),
        (json!({ "type": "addItem", "id": "n", "text": "x".repeat(200_000) }), "131072 bytes"),
        (json!({ "type": "reveal" }), "unknown variant"),
        (json!({ "type": "vote", "target": "a", "count": -1 }), "invalid value"),
        (json!({ "type": "vote", "target": "a", "count": 1_000 }), "at most 999"),
        (json!({ "type": "setSignatureColor", "signature": "s", "color": "red" }), "#rrggbb"),
        (json!({ "type": "deleteItem", "id": "a", "more": 1 }), "unknown field"),
        (json!(7), "invalid type"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut list: Vec<Value> = (0..index).map(|n| add(&format!("n{n}"), "never")).collect();
        list.push(broken);
        list.push(add("behind", "never"));
        let refused = boards.edit("ann", &Value::Array(list)).await;
        let error = &refused.json()["error"];
        println!("{error}");
        assert_eq!((refused.refusal(), &error["edit"]), ((400, "bad_edit".to_owned()), &json!(index)));
        assert!(error["message"].as_str().unwrap().contains(expected), "{expected}");
    }
    assert_eq!(boards.get("").await.position(), at, "nothing was stored");
    assert_eq!(in_document(boards.shown().await), in_document(board));
    boards.server.stop().await;
}

/// [B42] What is no request is refused by what is wrong with it; the largest list is taken, one more is not.
#[tokio::test]
async fn what_is_no_edit_is_refused() {
    let world = World::start().await;
    let send = async |body: &[u8]| {
        world.call("POST", "r/edits", &[("Content-Type", "application/json")], Some(body)).await
    };
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let vote = json!({ "type": "vote", "target": "x", "count": 0 });
    let many = |count: usize| Value::Array(vec![vote.clone(); count]).to_string();
    let long = |key: &str| json!({ "edits": [vote], key: 1 }).to_string();
    for body in [
        "",
        "nul",
        "\"x\"",
        "[]",
        "{\"edits\":[]}",
        "{\"edits\":{}}",
        &nested,
        &many(1_001),
        &long("if"),
        &long("user"),
        &long("other"),
        "{\"edits\":[{}],\"user\":\"\"}",
        "[{\"type\":\"vote\"}",
    ] {
        let refused = send(body.as_bytes()).await;
        let text = String::from_utf8_lossy(&refused.body);
        println!("{:.60}: {:.120}", body, text);
        assert!(matches!(refused.code().as_str(), "bad_json" | "bad_edit"), "{text}");
        assert_eq!(refused.status, 400);
    }
    let most = send(many(1_000).as_bytes()).await;
    assert_eq!(
        (most.status, &most.json()["stored"]),
        (200, &json!(false)),
        "no vote is taken back that was not given"
    );
    assert_eq!(world.records("r").await, 0);
    world.server.stop().await;
}

/// [B42] Without identities somebody edits under the name that the request says; all who say none are one.
#[tokio::test]
async fn without_identity_names_are_said() {
    let world = World::start().await;
    let send = async |body: &Value| {
        let body = body.to_string();
        let headers = [("Content-Type", "application/json")];
        world.call("POST", "r/edits", &headers, Some(body.as_bytes())).await
    };
    let named =
        json!({ "user": "gus", "edits": [add("a", "1"), { "type": "vote", "target": "a", "count": 2 }] });
    assert_eq!(send(&named).await.status, 200);
    assert_eq!(
        send(&json!([add("b", "2"), { "type": "vote", "target": "a", "count": 1 }])).await.status,
        200
    );
    for bad in ["", "two\nlines"] {
        assert_eq!(send(&json!({ "user": bad, "edits": [add("c", "")] })).await.code(), "bad_json");
    }
    let board = world.get("r?as=board").await.json();
    assert_eq!(
        (&board["items"]["a"]["author"], &board["items"]["b"]["author"]),
        (&json!("gus"), &json!("anonymous"))
    );
    assert_eq!(board["allUserVotes"], json!({ "gus": { "a": 2 }, "anonymous": { "a": 1 } }));
    world.server.stop().await;
}

/// [B43] Edits that are made for a position stand right behind it, or nowhere: twenty who each add a card for the board that
/// they have read all get theirs in, and no two saw the same board.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_edits_race_and_none_is_lost() {
    let world = World::start().await;
    let address = world.server.address;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            tokio::spawn(async move {
                let path = "/api/v1/rooms/r";
                let mut lost = 0;
                loop {
                    let read =
                        crate::api_support::call(address, ("GET", &format!("{path}?as=board")), &[], None)
                            .await;
                    let (cards, at) = match read.status {
                        200 => (read.json()["items"].as_object().unwrap().len(), read.position()),
                        _ => (0, "0-0".to_owned()),
                    };
                    // By the header, and by the body.
                    let mut edit = json!({ "edits": [add(&format!("c{cards}"), &n.to_string())] });
                    let tag = format!("\"{at}\"");
                    let mut headers = vec![("Content-Type", "application/json")];
                    if n % 2 == 0 {
                        headers.push(("If-Match", &tag));
                    } else {
                        edit["if"] = json!(at);
                    }
                    let body = edit.to_string();
                    let edits = format!("{path}/edits");
                    let answer =
                        crate::api_support::call(address, ("POST", &edits), &headers, Some(body.as_bytes()))
                            .await;
                    match answer.status {
                        200 => return lost,
                        412 => lost += 1,
                        _ => panic!("{answer:?}"),
                    }
                }
            })
        })
        .collect();
    let mut lost = 0;
    for task in tasks {
        lost += task.await.unwrap();
    }
    println!("20 have added a card each, {lost} races were lost on the way");
    let board = world.get("r?as=board").await.json();
    let texts: BTreeSet<&str> =
        board["items"].as_object().unwrap().values().map(|item| item["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 20);
    assert_eq!(world.records("r").await, 21);
    world.server.stop().await;
}

/// [B48] Who may what: by role, and by whose it is. What is refused says why, and leaves nothing.
#[tokio::test]
async fn roles_are_asked_for() {
    let boards = Boards::start().await;
    boards.done("ann", &add("a", "1")).await;
    boards.done("bob", &add("b", "2")).await;
    let meta = json!({ "type": "setMeta", "phase": "group" });
    let vote = json!({ "type": "vote", "target": "a", "count": 1 });
    let other = json!({ "user": "bob", "edits": [vote] });
    let own = json!({ "user": "ann", "edits": [vote] });
    let gone = json!({ "type": "deleteItem", "id": "b" });
    let tries = [
        ("vote", &vote),
        ("meta", &meta),
        ("another's name", &other),
        ("their own name", &own),
        ("a card of another", &gone),
    ];
    for (user, expected) in [
        ("vic", [403, 403, 403, 403, 403]),
        ("ann", [200, 403, 403, 200, 403]),
        ("fay", [200, 200, 403, 403, 200]),
        ("ada", [200, 200, 403, 403, 400]),
    ] {
        for ((what, edit), status) in tries.into_iter().zip(expected) {
            let before = boards.get("").await.position();
            let answer = boards.edit(user, edit).await;
            println!("{user}, {what}: {} {:.150}", answer.status, String::from_utf8_lossy(&answer.body));
            assert_eq!(answer.status, status, "{user}, {what}");
            if status == 403 {
                let code = match what {
                    _ if user == "vic" => "not_allowed",
                    "meta" => "meta_is_the_facilitators",
                    "a card of another" => "card_of_another",
                    _ => "author_is_not_you",
                };
                assert_eq!(answer.code(), code);
                assert_eq!(boards.get("").await.position(), before);
            }
        }
    }
    let mixed = boards.edit("ann", &json!([add("c", "3"), meta])).await;
    assert_eq!(
        (mixed.refusal(), &mixed.json()["error"]["edit"]),
        ((403, "meta_is_the_facilitators".to_owned()), &json!(1))
    );
    let votes = boards.shown().await.all_user_votes;
    assert_eq!(votes.keys().collect::<Vec<_>>(), ["ada", "ann", "fay"]);
    boards.server.stop().await;
}

//! What an import takes: by whom it is asked, and into what.

use proptest::prelude::*;
use ruang::board::import::{Brought, ImportError, Takes, write};
use ruang::board::schema::{Column, Phase, Point};
use ruang::board::table::Table;
use ruang::board::view::{ActionItem, Group, Item, Meta, RetroRoomState, view};
use serde_json::json;
use yrs::{Doc, Transact};

use crate::board_support::{Boards, add, in_document};

fn board() -> serde_json::Value {
    json!({
        "meta": { "title": "T", "columns": [{ "id": "well", "title": "Well" }] },
        "items": { "a": { "text": "1", "author": "ann" }, "b": { "text": "2", "author": "bob" }, "c": { "text": "3" } },
        "groups": { "g": { "title": "G" } },
        "itemGroups": { "a": "g" },
        "allUserVotes": { "ann": { "a": 1 }, "bob": { "g": 2 } },
    })
}

/// [B47] [B48] An editor's import is the editor's: cards, own votes, and nothing that the facilitator sets. A facilitator's cards
/// keep their authors, an admin's import is whole. What was left out is said.
#[tokio::test]
async fn an_import_takes_what_its_caller_may_write() {
    for (user, authors, voters, title, not_kept) in [
        ("ann", ["ann", "ann", "ann"], &["ann"][..], "", 3),
        ("fay", ["ann", "bob", ""], &[][..], "T", 1),
        ("ada", ["ann", "bob", ""], &["ann", "bob"][..], "T", 0),
    ] {
        let boards = Boards::start().await;
        let answer = boards.send(user, ("POST", "/import"), &board()).await;
        println!("{user}: {}", answer.json());
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["notKept"].as_array().unwrap().len(), not_kept);
        assert_eq!(answer.json()["imported"]["items"], 3);
        let shown = boards.shown().await;
        let by: Vec<&str> =
            shown.items.values().map(|item| item.author.as_deref().unwrap_or_default()).collect();
        assert_eq!(by, authors);
        assert_eq!(shown.all_user_votes.keys().collect::<Vec<_>>(), voters);
        assert_eq!(shown.meta.title, title);
        assert_eq!(boards.newest().await.1.user.as_deref(), Some(user));
        boards.server.stop().await;
    }
    let boards = Boards::start().await;
    assert_eq!(
        boards.send("vic", ("POST", "/import"), &board()).await.refusal(),
        (403, "not_allowed".to_owned())
    );
    boards.server.stop().await;
}

/// [B47] Into a board that is not empty nothing comes unless that is asked for; then what is there stays, what is lacking comes,
/// and twice is once.
#[tokio::test]
async fn what_is_there_stays() {
    let boards = Boards::start().await;
    boards.done("ann", &add("a", "mine")).await;
    boards.done("fay", &json!({ "type": "setMeta", "title": "Ours" })).await;
    let refused = boards.send("ada", ("POST", "/import"), &board()).await;
    assert_eq!(refused.refusal(), (409, "not_empty".to_owned()));
    let merged = boards.send("ada", ("POST", "/import?merge=true"), &board()).await;
    println!("{}", merged.json());
    assert_eq!(merged.json()["imported"], json!({ "items": 2, "groups": 1, "actionItems": 0, "votes": 2 }));
    let shown = boards.shown().await;
    assert_eq!((shown.items["a"].text.as_str(), shown.items["b"].text.as_str()), ("mine", "2"));
    assert_eq!((shown.meta.title.as_str(), shown.meta.columns.len()), ("Ours", 1));
    let again = boards.send("ada", ("POST", "/import?merge=true"), &board()).await;
    assert_eq!((&again.json()["stored"], again.position()), (&json!(false), merged.position()));
    assert_eq!(in_document(boards.shown().await), in_document(shown));
    boards.server.stop().await;
}

/// [B47] What an import does not say stays: not even a board of its own would be left with a new one's phase and limit. And it shows
/// no cards: those that are hidden stay so, whatever the file says.
#[tokio::test]
async fn an_import_reveals_nothing() {
    let boards = Boards::start().await;
    let set = json!({ "type": "setMeta", "title": "Ours", "phase": "group", "voteLimit": 3, "timerEndsAt": 7, "hideCards": true });
    boards.done("fay", &set).await;
    let before = boards.shown().await.meta;
    let actions = json!({ "actionItems": [{ "id": "x", "text": "last sprint's" }] });
    let brought = boards.send("fay", ("POST", "/import"), &actions).await;
    println!("{}", brought.json());
    assert_eq!((brought.status, &brought.json()["notKept"]), (200, &json!([])));
    let shown = boards.shown().await;
    assert_eq!((&shown.meta, shown.action_items.len()), (&before, 1));
    assert_eq!(
        boards.send("ann", ("POST", "/import?merge=true"), &actions).await.json()["notKept"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    boards.server.stop().await;

    let boards = Boards::start().await;
    boards.done("fay", &set).await;
    let meta = json!({ "meta": { "title": "", "phase": "vote", "timerEndsAt": null, "hideCards": false } });
    let brought = boards.send("fay", ("POST", "/import"), &meta).await;
    println!("{}", brought.json());
    assert_eq!((brought.status, brought.json()["notKept"].as_array().unwrap().len()), (200, 1));
    let after = boards.shown().await.meta;
    assert_eq!((after.title.as_str(), after.phase, after.timer_ends_at), ("", Phase::Vote, None));
    assert_eq!((after.vote_limit, after.hide_cards), (3, true));
    boards.server.stop().await;
}

/// [B47] Ten who import into the same new room at once: one does, and the others are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_import_once() {
    let world = crate::api_support::World::start().await;
    let address = world.server.address;
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            tokio::spawn(async move {
                let headers = [("Content-Type", "application/json")];
                let body = board().to_string();
                let path = ("POST", "/api/v1/rooms/r/import");
                crate::api_support::call(address, path, &headers, Some(body.as_bytes())).await.status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    println!("{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409 | 412)));
    assert_eq!(world.records("r").await, 2);
    world.server.stop().await;
}

/// [B47] What could not be read back is refused by its place, whatever the form, and nothing is written.
#[tokio::test]
async fn what_is_no_board_is_refused() {
    let boards = Boards::start().await;
    let long = "x".repeat(1_025);
    for (bad, place) in [
        (json!({ "items": { "a\nb": {} } }), "items"),
        (json!({ "items": { "a": { "text": "x".repeat(131_073) } } }), "items/a/text"),
        (json!({ "items": { "a": { "author": long } } }), "items/a/author"),
        (json!({ "items": { "a": { "createdAt": 9_007_199_254_740_992_u64 } } }), "items/a/createdAt"),
        (json!({ "itemPositions": { "a": { "x": 1, "y": 1 } } }), "itemPositions/a"),
        (json!({ "items": { "a": {} }, "itemGroups": { "a": "g" } }), "itemGroups/a"),
        (json!({ "allUserVotes": { "ann": { "a": 1 } } }), "allUserVotes/a"),
        (json!({ "items": { "a": {} }, "allUserVotes": { "": { "a": 1 } } }), "allUserVotes/"),
        (json!({ "items": { "a": {} }, "allUserVotes": { "u": { "a": 1_000 } } }), "allUserVotes/u/a"),
        (json!({ "signatureColors": { "s": "red" } }), "signatureColors/s"),
        (json!({ "actionItems": [{ "text": "no id" }] }), "actionItems"),
        (json!({ "actionItems": [{ "id": "x" }, { "id": "x" }] }), "actionItems/x/id"),
        (json!({ "meta": { "voteLimit": 1_000 } }), "meta/voteLimit"),
        (
            json!({ "meta": { "columns": [{ "id": "a", "title": "" }, { "id": "a", "title": "" }] } }),
            "meta/columns",
        ),
        (json!({ "groups": { "g": { "title": "a\tb" } } }), "groups/g/title"),
    ] {
        let refused = boards.send("ada", ("POST", "/import"), &bad).await;
        let error = &refused.json()["error"];
        println!("{error}");
        assert_eq!(refused.refusal(), (400, "bad_board".to_owned()));
        assert!(error["message"].as_str().unwrap().starts_with(&format!("{place}: ")), "{place}");
    }
    let nested = format!("{{\"items\":{}", "{\"a\":".repeat(200));
    for bad in [
        "",
        "7",
        "null",
        "[1]",
        "{\"items\":[]}",
        "{\"items\":{\"a\":7}}",
        "{\"meta\":{\"phase\":\"party\"}}",
        &nested,
    ] {
        let refused = boards.ask("ada", ("POST", "retro/import"), &[], Some(bad.as_bytes())).await;
        println!("{:.40}: {}", bad, refused.json());
        assert_eq!(refused.refusal(), (400, "bad_json".to_owned()));
    }
    assert!(boards.log.open(&"retro".parse().unwrap()).await.unwrap().is_none());
    boards.server.stop().await;
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z =+*#\\[\\]|\"\n\r\t,-]{0,12}", "\\PC{0,6}"]
}

fn line() -> impl Strategy<Value = String> {
    "[a-z*# /%é房-]{0,8}"
}

fn item() -> impl Strategy<Value = Item> {
    let column = prop::option::of(prop_oneof![
        Just("well".to_owned()),
        Just("bad".to_owned()),
        Just("gone".to_owned())
    ]);
    (text(), column, prop::option::of(line()), prop::option::of(0..1_u64 << 53))
        .prop_map(|(text, column, author, created_at)| Item { text, column, author, created_at })
}

fn a_board() -> impl Strategy<Value = RetroRoomState> {
    let id = "[a-e]";
    let order = || prop::option::of(-9.0..9.0_f64);
    let group = (line(), order()).prop_map(|(title, order)| Group { title, order });
    let action = (text(), prop::option::of(line()), any::<bool>(), order());
    let meta = (line(), 0..5_usize, 0..9_u32, prop::option::of(0..1_u64 << 53), any::<bool>(), any::<bool>());
    (
        prop::collection::btree_map(id, item(), 0..5),
        prop::collection::btree_map("[g-i]", group, 0..3),
        prop::collection::btree_map(id, (-99.0..99.0_f64, -99.0..99.0_f64), 0..4),
        prop::collection::btree_map(id, "[g-i]", 0..4),
        prop::collection::btree_map(
            "[a-z/%]{1,4}",
            prop::collection::btree_map("[a-i]", 1..4_u32, 0..4),
            0..3,
        ),
        prop::collection::btree_map("[p-s]", action, 0..4),
        meta,
    )
        .prop_map(|(items, groups, positions, item_groups, votes, actions, meta)| {
            let items: Table<_> = items.into_iter().collect();
            let groups: Table<_> = groups.into_iter().collect();
            let (title, phase, vote_limit, timer_ends_at, hide_cards, has_columns) = meta;
            let column = |id: &str| Column { id: id.to_owned(), title: id.to_uppercase(), color: None };
            let columns = if has_columns { vec![column("well"), column("bad")] } else { Vec::new() };
            let meta =
                Meta { title, phase: Phase::ALL[phase], columns, vote_limit, timer_ends_at, hide_cards };
            let mut action_items: Vec<ActionItem> = actions
                .into_iter()
                .map(|(id, (text, assignee, done, order))| ActionItem {
                    id,
                    text,
                    assignee,
                    due: None,
                    done,
                    order,
                })
                .collect();
            action_items.sort_by(|a, b| a.order.unwrap_or(f64::MAX).total_cmp(&b.order.unwrap_or(f64::MAX)));
            let is_target = |id: &String| items.contains_key(id) || groups.contains_key(id);
            let all_user_votes: Table<_> = votes
                .into_iter()
                .map(|(user, given)| {
                    let there = given.into_iter().filter(|(target, _)| is_target(target)).collect();
                    (user, ruang::board::votes::effective(&there, vote_limit))
                })
                .filter(|(_, given)| !given.is_empty())
                .collect();
            let item_positions = positions
                .into_iter()
                .filter(|(id, _)| items.contains_key(id))
                .filter_map(|(id, (x, y))| Some((id, Point::new(x, y)?)))
                .collect();
            let item_groups = item_groups
                .into_iter()
                .filter(|(id, group)| items.contains_key(id) && groups.contains_key(group))
                .collect();
            RetroRoomState {
                meta,
                items,
                item_positions,
                item_groups,
                groups,
                action_items,
                all_user_votes,
                ..RetroRoomState::default()
            }
        })
}

fn taken(doc: &Doc, board: &Brought) -> Result<(), ImportError> {
    write(&mut doc.transact_mut(), board, Takes::default()).map(drop)
}

proptest! {
    /// [B47] A board that was shown, imported into a new document and into one that was begun, is shown the same; also by way of
    /// JSON. Its files are written, each card once.
    #[test]
    fn any_board_comes_back_as_it_was(board in a_board()) {
        let json = serde_json::to_vec(&board).unwrap();
        let read: Brought = serde_json::from_slice(&json).unwrap();
        for begun in [false, true] {
            let doc = Doc::new();
            if begun {
                use yrs::updates::decoder::Decode;
                let seed = ruang::board::seed::template("retro").unwrap().update();
                doc.transact_mut().apply_update(yrs::Update::decode_v1(&seed).unwrap()).unwrap();
            }
            prop_assert_eq!(taken(&doc, &read), Ok(()));
            prop_assert_eq!(&view(&doc), &board);
            let is_bare = board.items.is_empty() && board.groups.is_empty() && board.action_items.is_empty();
            prop_assert_eq!(taken(&doc, &read).is_ok(), is_bare);
        }
        let time = |ms: u64| ms.to_string();
        let rows = ruang::board::export::csv(&board, time);
        prop_assert!(rows.matches("\r\n").count() > board.items.len());
        let lines = ruang::board::export::markdown(&board, time);
        let bare = board.groups.len() - board.item_groups.values().collect::<std::collections::BTreeSet<_>>().len();
        let entries = lines.lines().filter(|line| *line == "-" || line.starts_with("- ")).count();
        prop_assert_eq!(entries, board.items.len() + board.action_items.len() + bare);
    }
}

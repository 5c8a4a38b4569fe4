//! Hidden cards on real servers: who can read a draft room, what a reveal brings, whatever is cut off or done twice. Rules B50 to
//! B59 and B70 to B79 of docs/RULES.md; `src/board/drafts/tests.rs` has what is copied.

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
mod hidden_bounds;
mod hidden_late;
mod hidden_life;
mod hidden_lives;
mod hidden_process;
mod hidden_races;
mod hidden_stores;
mod hidden_world;
mod kinds_stores;
mod life_support;

use std::sync::Arc;
use std::time::Duration;

use auth_support::{auth, claims, room, token};
use harness::Client;
use ruang::auth::Auth;
use ruang::board::edit::Edit;
use ruang::board::view::view;
use ruang::caller::Caller;
use ruang::clock::system_clock;
use ruang::log::embedded::EmbeddedLog;
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Kind, Metadata, Record};
use ruang::log::{Log, LogError};
use ruang::room::Revealed;
use ruang::wire::y_websocket;
use serde_json::json;
use tokio::time::{Instant, sleep};
use yrs::{ReadTxn, StateVector, Transact};

use hidden_world::*;

#[tokio::test]
async fn drafts_are_found_in_memory() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::for_instances(system_clock()).0);
    hidden_stores::drafts_are_found_and_moved(Arc::clone(&log), log).await;
}

#[tokio::test]
async fn drafts_are_found_in_the_embedded_store() {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(dir.path(), ruang::ids::InstanceId(7)).unwrap());
    // One process: the second instance is the first.
    hidden_stores::drafts_are_found_and_moved(Arc::clone(&log), Arc::clone(&log)).await;
    log.close().await;
}

/// [B51] A draft room is its user's alone: every family and path refuses all others in the same words, whether it is there or not,
/// facilitators and admins of all rooms included.
#[tokio::test]
async fn nobody_else_reads_a_draft() {
    let world = World::start(1).await;
    let _fay = hidden_board(&world).await;
    let mut ann = with_cards(&world, "ann", &["a"]).await;
    let server = world.at(0);
    let everywhere = token("HS256", &claims(&json!({ "sub": "root", "role": "admin", "room": null })));
    for (who, token) in [
        ("another editor", token_for("bob", "editor")),
        ("the facilitator", token_for("fay", "facilitator")),
        ("an admin", everywhere),
    ] {
        let mut refusals = Vec::new();
        for name in ["retro~ann", "retro~nobody", "retro~a%7Enn", "retro~a/b", "retro~a~b"] {
            for (method, rest) in [
                ("GET", ""),
                ("GET", "/document"),
                ("GET", "/update"),
                ("GET", "/log"),
                ("GET", "/export"),
                ("GET", "/at/head"),
                ("DELETE", ""),
                ("PATCH", ""),
                ("POST", "/update"),
                ("POST", "/reveal"),
            ] {
                let name = name.replace('%', "%25").replace('/', "%2F");
                let path = format!("/api/v1/rooms/{name}{rest}");
                refusals.push(ask(server, method, &path, &token).await);
            }
            let name = name.replace('%', "%25").replace('/', "%2F");
            refusals.push(ask(server, "GET", &format!("/d/{name}/as-update"), &token).await);
            for url in [
                format!("ws://{}/ws/{name}?token={token}", server.address),
                format!("ws://{}/d/{name}/ws/{name}?token={token}", server.address),
            ] {
                let mut page = Client::connect(&url, None).await;
                page.send(y_websocket::sync_step1(&[0])).await;
                assert_eq!(page.until_closed().await, Some(4403), "{who} at {url}");
                assert!(page.received.is_empty());
            }
        }
        assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{who}: {refusals:#?}");
        println!("{who}: {:?}", refusals[0]);
        assert_eq!(refusals[0].0, 403);
    }
    edit(&mut ann, &card("b"), "ann").await; // she goes on
    assert_eq!(world.left("retro~ann").await, 2);
    assert_eq!(world.board("retro").await.items.len(), 0);
    world.stop().await;
}

/// [B51] A token for the board is one for the own draft of it, with the same role, and for no other board's; what is taken back for the board is for the
/// draft, too.
#[tokio::test]
async fn a_boards_token_opens_the_own_draft() {
    let auth = auth(std::slice::from_ref(&KEY));
    let only =
        |name: &str| token("HS256", &claims(&json!({ "sub": "a/~%", "room": name, "role": "viewer" })));
    let at = |token: &str, name: &str| auth.admit(Some(token), &room(name), auth_support::now_ms());
    let caller = at(&only("retro"), "retro~a~2F~7E~25").unwrap();
    assert_eq!(caller.role, ruang::caller::Role::Viewer);
    assert!(at(&only("retro~a~2F~7E~25"), "retro~a~2F~7E~25").is_ok());
    for (token, name) in [
        (only("other"), "retro~a~2F~7E~25"),
        (only("retro"), "retro~a"),
        (only("retro"), "other~a%2F%7E%25"),
        (only("retro~bob"), "retro~bob"),
        // However a client writes it, it is not a room that everybody may enter.
        (only("retro~a/~%"), "retro~a/~%"),
    ] {
        let refused = at(&token, name).unwrap_err();
        println!("{name}: {refused}");
        assert_eq!(refused, ruang::auth::AuthError::Room);
    }
}

/// [B52] Where nobody says who they are there are no draft rooms, and that is what is said.
#[tokio::test]
async fn without_identity_there_are_no_drafts() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = server(&log, Auth::open()).await;
    let (status, body) = ask(&server, "GET", "/api/v1/rooms/retro~ann/document", "").await;
    println!("{body}");
    assert_eq!(status, 403);
    assert!(body["error"]["message"].as_str().unwrap().contains("says who comes"));
    let mut page = server.connect("retro~ann").await;
    page.send(y_websocket::sync_step1(&[0])).await;
    assert_eq!(page.until_closed().await, Some(4403));
    // Other names with the mark are names like all others.
    for plain in ["~ann", "retro~"] {
        server.join(plain).await;
    }
    server.stop().await;
}

/// [B53] [B54] The reveal: the cards of three people, one of whom is offline, are in the board, each person's as one record of that person under an
/// id that is theirs; everyone sees them; the drafts are empty. Whoever was offline brings more later, which comes at once.
#[tokio::test]
async fn a_reveal_brings_everyones_cards() {
    let world = World::start(2).await;
    let mut fay = hidden_board(&world).await;
    let ann = with_cards(&world, "ann", &["a1", "a2"]).await;
    let mut bob = with_cards(&world, "bob", &["b1"]).await;
    let cyd = with_cards(&world, "cyd", &["c1"]).await;
    let unsent = locally(&cyd, &card("c2"), "cyd");
    let cyd_doc = cyd.crash();
    println!("cyd has gone with {} bytes that nobody has", unsent.len());
    let hidden = world.at(0).app.rooms.hidden_cards(&room("retro")).await.unwrap();
    let counts = |counts: &[(&str, usize)]| {
        counts.iter().map(|(user, n)| ((*user).to_owned(), *n)).collect::<Vec<_>>()
    };
    assert_eq!(hidden, counts(&[("ann", 2), ("bob", 1), ("cyd", 1)]));
    let (status, told) =
        ask(world.at(1), "GET", "/api/v1/rooms/retro/hidden", &token_for("wim", "viewer")).await;
    assert_eq!((status, told), (200, json!({ "hidden": { "ann": 2, "bob": 1, "cyd": 1 } })));
    let mut watcher = world.page(1, "retro", "wim", "viewer").await;
    assert!(view(&watcher.doc).items.is_empty());

    for role in ["viewer", "editor"] {
        assert_eq!(world.reveal(0, "retro", "eve", role).await.0, 403);
    }
    let (status, told) = world.reveal(0, "retro", "fay", "facilitator").await;
    println!("{told}");
    assert_eq!(status, 200);
    for page in [&mut watcher, &mut fay] {
        page.until("all cards", |page| view(&page.doc).items.len() == 4).await;
    }
    let board = view(&watcher.doc);
    assert!(!board.meta.hide_cards);
    let author = |id: &str| board.items[id].author.as_deref();
    assert_eq!(
        [author("a1"), author("a2"), author("b1"), author("c1")],
        [Some("ann"), Some("ann"), Some("bob"), Some("cyd")]
    );
    assert_eq!(board.item_positions.len(), 4);
    for (user, cards) in [("ann", 2), ("bob", 1), ("cyd", 1)] {
        let of: Vec<_> = world
            .records("retro")
            .await
            .into_iter()
            .filter(|(_, of)| of.user.as_deref() == Some(user))
            .collect();
        let [(record, metadata)] = &of[..] else { panic!("{user}: {of:?}") };
        println!("{user}: {record:?}, {metadata:?}");
        assert_eq!((record.kind(), metadata.claims.len(), &metadata.relayed_by), (Kind::Update, 1, &None));
        assert!(cards > 0);
        assert_eq!(world.left(&format!("retro~{user}")).await, 0);
    }
    assert!(world.at(0).app.rooms.hidden_cards(&room("retro")).await.unwrap().is_empty());

    println!("bob writes into his draft all the same, and cyd comes back, on the other instance");
    edit(&mut bob, &card("b2"), "bob").await;
    watcher.until("bob's late card", |page| view(&page.doc).items.contains_key("b2")).await;
    let url = format!("{}?token={}", world.at(1).url("retro~cyd"), token_for("cyd", "editor"));
    let mut cyd = Client::connect(&url, Some("ruang.v1")).await;
    cyd.doc = cyd_doc;
    cyd.sync().await;
    cyd.until_acked().await.unwrap();
    watcher.until("cyd's late card", |page| view(&page.doc).items.contains_key("c2")).await;
    for user in ["ann", "bob", "cyd"] {
        world.until_empty(&format!("retro~{user}")).await;
    }
    cyd.until("her draft is empty", |page| view(&page.doc).items.is_empty()).await;
    assert_eq!(view(&watcher.doc).items.len(), 6);
    drop(ann);
    world.stop().await;
}

/// [B56] A facilitator's page that sets `hideCards` by itself reveals as well.
#[tokio::test]
async fn showing_cards_by_hand_reveals_them() {
    let world = World::start(1).await;
    let mut fay = hidden_board(&world).await;
    let _ann = with_cards(&world, "ann", &["a"]).await;
    edit(&mut fay, &hide(false), "fay").await;
    fay.until("the card", |page| view(&page.doc).items.contains_key("a")).await;
    world.until_empty("retro~ann").await;
    world.stop().await;
}

/// [B55] Two facilitators reveal at once, on two instances, again and again: every card is there once, written once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reveal_at_once() {
    for round in 0..4 {
        let world = World::start(2).await;
        let _fay = hidden_board(&world).await;
        let mut pages = Vec::new();
        for user in ["ann", "bob", "cyd"] {
            let cards: Vec<String> = (0..5).map(|n| format!("{user}{n}")).collect();
            let cards: Vec<&str> = cards.iter().map(String::as_str).collect();
            pages.push(with_cards(&world, user, &cards).await);
        }
        let (one, two) = tokio::join!(
            world.reveal(0, "retro", "fay", "facilitator"),
            world.reveal(1, "retro", "gil", "facilitator")
        );
        println!("round {round}: {one:?} {two:?}");
        assert_eq!((one.0, two.0), (200, 200));
        let board = world.board("retro").await;
        assert_eq!(board.items.len(), 15);
        assert!(board.items.iter().all(|(id, item)| item.author.as_deref() == Some(&id[..3])));
        let mut written = 0;
        for (record, metadata) in world.records("retro").await {
            let of = metadata.user.as_deref().unwrap_or_default();
            written += usize::from(["ann", "bob", "cyd"].contains(&of));
            assert!(record.kind() != Kind::Heal);
        }
        assert_eq!(written, 3, "one record for each author");
        for user in ["ann", "bob", "cyd"] {
            world.until_empty(&format!("retro~{user}")).await;
        }
        world.stop().await;
    }
}

/// [B55] [B57] The store fails at one step of the reveal after the other, and answers are lost: asked again, it brings all cards, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reveal_that_is_cut_off_is_made_up_for() {
    for step in 0..5 {
        for lost in [false, true] {
            let world = World::start(1).await;
            let _fay = hidden_board(&world).await;
            let _ann = with_cards(&world, "ann", &["a1", "a2"]).await;
            let _bob = with_cards(&world, "bob", &["b1"]).await;
            let rooms = Arc::clone(&world.at(0).app.rooms);
            let fay = Arc::new(Caller {
                user: Some("fay".into()),
                ..Caller::anonymous(ruang::caller::Role::Facilitator)
            });
            // Cut off in the middle, as by kill -9: the work is dropped between two of its appends.
            let held = world.faults.hold_appends();
            let (own, by) = (Arc::clone(&rooms), Arc::clone(&fay));
            let work = tokio::spawn(async move { own.reveal(&room("retro"), &by).await });
            let deadline = Instant::now() + Duration::from_secs(2);
            while held.waiting() == 0 && Instant::now() < deadline {
                sleep(Duration::from_millis(2)).await;
            }
            if lost {
                world.faults.lose_replies(step);
            } else {
                world.faults.fail_appends(step, LogError::Full("a test".to_owned()));
            }
            held.release();
            sleep(Duration::from_millis(5 * step as u64)).await;
            work.abort();
            let cut = work.await;
            world.faults.forgive();
            println!("step {step}, lost {lost}: {cut:?}");
            let Revealed { .. } = loop {
                match rooms.reveal(&room("retro"), &fay).await {
                    Ok(revealed) => break revealed,
                    Err(error) => println!("again: {error}"),
                }
                sleep(Duration::from_millis(20)).await;
            };
            let board = world.board("retro").await;
            assert_eq!(board.items.keys().collect::<Vec<_>>(), ["a1", "a2", "b1"]);
            assert!(!board.meta.hide_cards);
            for user in ["ann", "bob"] {
                world.until_empty(&format!("retro~{user}")).await;
            }
            let of = |user: &str, records: &[(Record, Metadata)]| {
                records.iter().filter(|(_, of)| of.user.as_deref() == Some(user)).count()
            };
            let records = world.records("retro").await;
            assert_eq!((of("ann", &records), of("bob", &records)), (1, 1));
            world.stop().await;
        }
    }
}

/// [B58] After the reveal the author undoes and redoes what was done in the draft: no card comes twice, and none comes back that somebody
/// has deleted.
#[tokio::test]
async fn undo_in_a_draft_makes_no_doubles() {
    let world = World::start(1).await;
    let mut fay = hidden_board(&world).await;
    let mut ann = with_cards(&world, "ann", &[]).await;
    let items = ann.doc.get_or_insert_map("items");
    let options = yrs::undo::Options { capture_timeout_millis: 0, ..yrs::undo::Options::default() };
    let mut undo = yrs::undo::UndoManager::<()>::with_options(options);
    undo.expand_scope(&ann.doc, &items);
    edit(&mut ann, &card("a"), "ann").await;
    edit(&mut ann, &card("b"), "ann").await;
    edit(&mut ann, &Edit::SetItemText { id: "a".to_owned(), text: "changed".to_owned() }, "ann").await;
    edit(&mut ann, &Edit::DeleteItem { id: "b".to_owned() }, "ann").await;
    assert_eq!(world.reveal(0, "retro", "fay", "facilitator").await.0, 200);
    ann.until("her draft is empty", |page| view(&page.doc).items.is_empty()).await;
    fay.until("the card", |page| view(&page.doc).items.contains_key("a")).await;
    edit(&mut fay, &Edit::DeleteItem { id: "a".to_owned() }, "fay").await;
    for turn in 0..4 {
        for redo in [false, true] {
            let before = ann.doc.transact().state_vector();
            let done = if redo { undo.redo_blocking() } else { undo.undo_blocking() };
            let update = ann.doc.transact().encode_diff_v1(&before);
            ann.send(y_websocket::update(&update)).await;
            ann.sent += 1;
            ann.until_acked().await.unwrap();
            let has = view(&ann.doc).items.into_keys().collect::<Vec<_>>();
            println!("turn {turn}: {} {done}, the draft has {has:?}", if redo { "redo" } else { "undo" });
        }
    }
    while undo.undo_blocking() {}
    let update = ann.doc.transact().encode_state_as_update_v1(&StateVector::default());
    ann.send(y_websocket::update(&update)).await;
    ann.sent += 1;
    ann.until_acked().await.unwrap();
    world.until_empty("retro~ann").await;
    let board = world.board("retro").await;
    println!("{:?}", board.items.keys().collect::<Vec<_>>());
    assert!(!board.items.contains_key("a"), "it was deleted on the board");
    world.stop().await;
}

/// [B59] Drafts go with their board: who deletes it deletes them, whoever has them open is sent away, and nothing is found under their names.
#[tokio::test]
async fn drafts_go_with_their_board() {
    let world = World::start(1).await;
    let _fay = hidden_board(&world).await;
    let mut ann = with_cards(&world, "ann", &["a"]).await;
    let mut other = world.page(0, "retro2", "ann", "editor").await;
    edit(&mut other, &card("o"), "ann").await;
    drop(with_cards(&world, "bob", &["b"]).await);
    let admin = token_for("root", "admin");
    assert_eq!(ask(world.at(0), "DELETE", "/api/v1/rooms/retro", &admin).await.0, 204);
    assert_eq!(ann.until_closed().await, Some(4409));
    for (name, exists) in [("retro", false), ("retro~ann", false), ("retro~bob", false), ("retro2", true)] {
        assert_eq!(world.log.open(&room(name)).await.unwrap().is_some(), exists, "{name}");
    }
    world.stop().await;
}

//! A board goes and another one of its name begins: the drafts of the first one are none of the second.

use std::time::Duration;

use ruang::board::view::view;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::auth_support::room;
use crate::harness::{Client, PATIENCE};
use crate::{World, ask, card, edit, hidden_board, token_for, with_cards};

/// The draft has the mark of its board's life.
async fn until_tied(world: &World, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let draft = room(name);
        let walk = ruang::history::walk(&world.log, &draft, ruang::history::Range::TO_HEAD).await;
        let mut walk = walk.unwrap().unwrap();
        walk.to_end().await.unwrap();
        let vector = walk.fold().unwrap().gate().state_vector();
        if ruang::generation::markers(&room("retro"), &vector).next().is_some() {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is not tied to its board");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn until_unloaded(world: &World, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    while world.at(0).app.rooms.is_open(&room(name)) {
        assert!(Instant::now() < deadline, "{name} stays open");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn open(world: &World, user: &str) -> Client {
    let url = format!("{}?token={}", world.at(0).url(&format!("retro~{user}")), token_for(user, "editor"));
    Client::connect(&url, Some("ruang.v1")).await
}

/// [B74] A board expires, its drafts do not, by a few minutes, and somebody begins another board of that name: the cards of the first
/// never come into it. Their author is told when the draft is opened, reads and exports them, deletes the draft, and begins anew; a
/// page with a copy of the old one is told that, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_of_an_earlier_board_stay_out() {
    let world = World::start(1).await;
    let fay = hidden_board(&world).await;
    let ann = with_cards(&world, "ann", &["old"]).await;
    until_tied(&world, "retro~ann").await;
    drop(fay);
    let along = ann.crash();
    for name in ["retro", "retro~ann"] {
        until_unloaded(&world, name).await;
    }
    world.faults.forget_room(&room("retro")); // as when it expires
    let mut fay = hidden_board(&world).await;
    println!("another board has begun");
    let _bob = with_cards(&world, "bob", &["new"]).await;
    let ann_token = token_for("ann", "editor");
    let told = ask(world.at(0), "GET", "/api/v1/rooms/retro/hidden", &token_for("wim", "viewer")).await;
    assert_eq!(told, (200, json!({ "hidden": { "bob": 1 } })));

    // She may be sent away before she has all.
    let mut page = open(&world, "ann").await;
    page.send(ruang::wire::y_websocket::sync_step1(&page.state_vector())).await;
    assert_eq!(page.until_closed().await, Some(4409));
    let (status, told) = world.reveal(0, "retro", "fay", "facilitator").await;
    println!("{status} {told}");
    assert_eq!((status, &told["cards"], &told["failed"]), (200, &json!(1), &json!([])));
    fay.until("bob's card", |page| view(&page.doc).items.contains_key("new")).await;
    assert_eq!((world.left("retro~ann").await, view(&fay.doc).items.len()), (1, 1));

    let path = "/api/v1/rooms/retro~ann";
    let (status, told) = ask(world.at(0), "GET", &format!("{path}/export?format=json"), &ann_token).await;
    println!("{told}");
    assert!(status == 200 && told["items"]["old"]["text"] == "text of old");
    for other in [token_for("bob", "editor"), token_for("fay", "facilitator"), token_for("root", "admin")] {
        assert_eq!(ask(world.at(0), "DELETE", path, &other).await.0, 403);
    }
    assert_eq!(ask(world.at(0), "DELETE", path, &token_for("ann", "viewer")).await.0, 403);
    assert_eq!(ask(world.at(0), "DELETE", path, &ann_token).await.0, 204);
    let mut page = with_cards(&world, "ann", &["anew"]).await;
    fay.until("her new card", |page| view(&page.doc).items.contains_key("anew")).await;
    edit(&mut page, &card("more"), "ann").await;
    fay.until("and another", |page| view(&page.doc).items.contains_key("more")).await;
    let mut old = open(&world, "ann").await;
    old.doc = along;
    old.send(ruang::wire::y_websocket::sync_step1(&old.state_vector())).await;
    assert_eq!(old.until_closed().await, Some(4409));
    assert!(!world.board("retro").await.items.contains_key("old"));
    world.stop().await;
}

/// [B74] A draft that is begun before its board is of the board that it finds; so is one whose board comes back after it has expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_finds_its_board() {
    let world = World::start(1).await;
    let mut ann = with_cards(&world, "ann", &["a"]).await;
    let fay = hidden_board(&world).await;
    edit(&mut ann, &card("b"), "ann").await;
    until_tied(&world, "retro~ann").await;
    let along = fay.crash();
    until_unloaded(&world, "retro").await;
    world.faults.forget_room(&room("retro"));
    let url = format!("{}?token={}", world.at(0).url("retro"), token_for("fay", "facilitator"));
    let mut fay = Client::connect(&url, Some("ruang.v1")).await;
    fay.doc = along;
    fay.sync().await;
    fay.until_acked().await.unwrap();
    assert!(world.log.open(&room("retro")).await.unwrap().is_some(), "it came back");
    assert_eq!(world.reveal(0, "retro", "fay", "facilitator").await.0, 200);
    fay.until("both cards", |page| view(&page.doc).items.len() == 2).await;
    world.stop().await;
}

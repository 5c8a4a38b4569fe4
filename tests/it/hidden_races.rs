//! What comes between the steps of a reveal: somebody hides cards again, deletes the board, or writes cards before the news.

use std::time::Duration;

use ruang::board::edit::Edit;
use ruang::board::view::view;
use ruang::log::memory::Fate;
use ruang::wire::y_websocket;
use serde_json::json;
use tokio::time::sleep;

use crate::auth_support::room;
use crate::harness::Client;
use crate::{World, edit, hidden_board, hide, locally, token_for, with_cards};

/// A reveal that has shown the cards and waits for the list of drafts.
macro_rules! revealing {
    ($world:expr, $fay:expr) => {{
        let reads = $world.faults.hold_reads();
        let (address, token) = ($world.at(0).address, token_for("fay", "facilitator"));
        let revealing = tokio::spawn(async move {
            let headers = format!("Authorization: Bearer {token}\r\n");
            crate::auth_support::request(address, "POST", "/api/v1/rooms/retro/reveal", &headers, "").await
        });
        $fay.until("cards are shown", |page| !view(&page.doc).meta.hide_cards).await;
        reads.arrived(1).await;
        (reads, revealing)
    }};
}

/// [B53] Somebody hides cards again, for a second round, while a reveal has not come to all drafts: what is in them stays hidden.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cards_that_are_hidden_again_stay_hidden() {
    let world = World::start(1).await;
    let mut fay = hidden_board(&world).await;
    let _ann = with_cards(&world, "ann", &["a"]).await;
    let (reads, revealing) = revealing!(world, fay);
    edit(&mut fay, &hide(true), "fay").await;
    reads.release();
    let told = revealing.await.unwrap();
    println!("{told}");
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("\"cards\":0"));
    sleep(Duration::from_millis(200)).await;
    assert_eq!((world.left("retro~ann").await, world.board("retro").await.items.len()), (1, 0));
    let (status, told) = world.reveal(0, "retro", "fay", "facilitator").await;
    assert_eq!((status, &told["cards"]), (200, &json!(1)), "and the next reveal brings them");
    world.stop().await;
}

/// [B53] A board that is deleted while its cards are revealed does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_board_does_not_come_back() {
    let world = World::start(1).await;
    let mut fay = hidden_board(&world).await;
    let _ann = with_cards(&world, "ann", &["a"]).await;
    let (reads, revealing) = revealing!(world, fay);
    assert!(world.log.delete(&room("retro")).await.unwrap()); // by another instance
    reads.release();
    let told = revealing.await.unwrap();
    println!("{told}");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(world.log.open(&room("retro")).await.unwrap(), None);
    assert!(!told.starts_with("HTTP/1.1 200"));
    world.stop().await;
}

/// [B57] An author edits a card between its copy and its removal: the edit comes first, the removal is made anew, and what was edited
/// follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_between_copy_and_removal_follows() {
    let world = World::start(1).await;
    let mut fay = hidden_board(&world).await;
    let mut ann = with_cards(&world, "ann", &["a"]).await;
    let (reads, revealing) = revealing!(world, fay);
    let appends = world.faults.hold_appends();
    reads.release();
    appends.arrived(1).await;
    println!("the copy is on its way");
    send(&mut ann, &Edit::SetItemText { id: "a".to_owned(), text: "later".to_owned() }).await;
    appends.arrived(2).await;
    println!("so is an edit of the draft");
    appends.release();
    println!("{}", revealing.await.unwrap());
    world.until_empty("retro~ann").await;
    assert_eq!(world.board("retro").await.items["a"].text, "later");
    world.stop().await;
}

/// [B53] An instance that has not heard of a reveal takes cards for hidden; when it hears of it they are moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cards_written_before_the_news_are_moved() {
    let world = World::start(2).await;
    let mut fay = hidden_board(&world).await;
    let mut wim = world.page(1, "retro", "wim", "viewer").await;
    let url = format!("{}?token={}", world.at(1).url("retro~ann"), token_for("ann", "editor"));
    let mut ann = Client::connect(&url, Some("ruang.v1")).await;
    ann.sync().await;
    ann.until_acked().await.unwrap();
    world.faults.on_bus(|_| Fate::Lost);
    edit(&mut fay, &hide(false), "fay").await;
    edit(&mut ann, &crate::card("a"), "ann").await;
    sleep(Duration::from_millis(300)).await;
    println!("{} cards wait on the instance that knows nothing", world.left("retro~ann").await);
    world.faults.on_bus(|_| Fate::Heard);
    world.faults.check_heads();
    wim.until("the card", |page| view(&page.doc).items.contains_key("a")).await;
    world.until_empty("retro~ann").await;
    world.stop().await;
}

async fn send(page: &mut Client, change: &Edit) {
    let update = locally(page, change, "ann");
    page.send(y_websocket::update(&update)).await;
    page.sent += 1;
}

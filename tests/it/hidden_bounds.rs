//! What one person's draft, and many who ask at once, can cost the others.

use std::sync::Arc;

use ruang::board::view::view;
use ruang::wire::y_websocket;
use serde_json::json;
use yrs::{Map, Out, ReadTxn, Transact};

use crate::auth_support::room;
use crate::{World, ask, hidden_board, token_for, with_cards};

/// [B54] A card that is larger than an edit may be, since it came in several, comes all the same, and everybody else's with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_card_keeps_nobody_back() {
    let world = World::start(1).await;
    let mut fay = hidden_board(&world).await;
    let mut ann = with_cards(&world, "ann", &["large"]).await;
    let _bob = with_cards(&world, "bob", &["b"]).await;
    for n in 0..12 {
        let before = ann.doc.transact().state_vector();
        {
            let mut transaction = ann.doc.transact_mut();
            let card = transaction.get_map("items").and_then(|items| items.get(&transaction, "large"));
            let Some(Out::YMap(card)) = card else { panic!("a card") };
            card.insert(&mut transaction, format!("field{n}"), "x".repeat(100 << 10));
        }
        let update = ann.doc.transact().encode_diff_v1(&before);
        ann.send(y_websocket::update(&update)).await;
        ann.sent += 1;
        ann.until_acked().await.unwrap();
    }
    let (status, told) = world.reveal(0, "retro", "fay", "facilitator").await;
    println!("{status} {told}");
    assert_eq!((status, &told["cards"], &told["failed"]), (200, &json!(2), &json!([])));
    fay.until("both cards", |page| view(&page.doc).items.len() == 2).await;
    world.stop().await;
}

/// [B57] Only so many reveals are under way at a time: who comes above that is told to ask again, and nothing is begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reveals_at_once_are_bounded() {
    let world = World::start(1).await;
    let _fay = hidden_board(&world).await;
    let _ann = with_cards(&world, "ann", &["a"]).await;
    let reads = world.faults.hold_reads();
    let rooms = Arc::clone(&world.at(0).app.rooms);
    let fay = Arc::new(ruang::caller::Caller {
        user: Some("fay".into()),
        ..ruang::caller::Caller::anonymous(ruang::caller::Role::Facilitator)
    });
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..ruang::limits::REVEALS_MAX {
        let (rooms, fay) = (Arc::clone(&rooms), Arc::clone(&fay));
        under_way.spawn(async move { rooms.reveal(&room("retro"), &fay).await });
    }
    reads.arrived(ruang::limits::REVEALS_MAX).await;
    let (status, told) =
        ask(world.at(0), "POST", "/api/v1/rooms/retro/reveal", &token_for("fay", "facilitator")).await;
    println!("{status} {told}");
    assert_eq!(status, 503);
    reads.release();
    while let Some(revealed) = under_way.join_next().await {
        revealed.unwrap().unwrap();
    }
    assert_eq!(world.board("retro").await.items.len(), 1);
    assert_eq!(world.reveal(0, "retro", "fay", "facilitator").await.0, 200);
    world.stop().await;
}

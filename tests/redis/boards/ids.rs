//! Client ids on several instances: one that two people use, and one person with several pages.

use std::time::Duration;

use ruang::board::view::view;
use ruang::wire::y_websocket;
use serde_json::{Value, json};
use yrs::{Doc, ReadTxn, Transact};

use super::world::{Page, World, card, remove, set};
use crate::harness::{Client, until};

/// Two batches at once, of which that of the instance `first` is stored first. Both are judged before either is stored.
pub async fn at_once(world: &World, first: usize, edits: impl AsyncFnOnce()) {
    let (sent, newest) = ([world.appends(0), world.appends(1)], world.newest().await);
    (0..2).for_each(|at| world.hold(at));
    edits().await;
    world.until_sent(0, sent[0]).await;
    world.until_sent(1, sent[1]).await;
    world.let_go(first);
    world.until_stored(newest).await;
    world.let_go(1 - first);
}

/// [B62] Two people who use one client id at once, each on another instance: whoever is stored first has it, and goes on. The
/// other one is told to reload without its copy, nothing of what it has made is there, and with a new copy it goes on. Who
/// was stored together with it loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_people_under_one_id_the_first_has_it() {
    for (first, wins, loses) in [(0, "ann", "mallory"), (1, "mallory", "ann")] {
        let world = World::start().await;
        let mut lea = world.page(0, "lea", "facilitator").await;
        lea.edit(set("meta", "title", "Sprint 7")).await;
        let mut pages = [
            world.page_as(0, ("ann", "editor"), 77).await,
            world.page_as(1, ("mallory", "editor"), 77).await,
        ];
        let mut honest = [world.page(0, "carl", "editor").await, world.page(1, "dora", "editor").await];
        for page in pages.iter_mut().chain(&mut honest) {
            page.until("the title", |page| page.board()["meta"]["title"] == "Sprint 7").await;
        }
        at_once(&world, first, async || {
            for ((page, honest), root) in
                pages.iter_mut().zip(&mut honest).zip(["itemPositions", "itemGroups"])
            {
                let (at, sent) =
                    (usize::from(root == "itemGroups"), world.appends(usize::from(root == "itemGroups")));
                page.edit(set(root, page.user, 1)).await;
                world.until_sent(at, sent).await; // the first batch has nothing else
                page.edit(set(root, "more", 2)).await;
                honest.edit(set("signatureColors", honest.user, "#aabbcc")).await;
            }
        })
        .await;
        let (winner, loser) = {
            let [one, two] = &mut pages;
            if first == 0 { (one, two) } else { (two, one) }
        };
        loser.until("an end", Page::is_out).await;
        assert_eq!(loser.closed, [Some(4409)]);
        let [carl, dora] = &mut honest;
        let mut new = world.page(1 - first, loser.user, "editor").await;
        new.edit(card("mine", Some(loses))).await;
        let is_so = |board: &Value| {
            let (places, groups) = (&board["itemPositions"], &board["itemGroups"]);
            let won = json!({ wins: 1, "more": 2 });
            let none = json!({});
            let right = if first == 0 {
                (places, groups) == (&won, &none)
            } else {
                (places, groups) == (&none, &won)
            };
            right
                && board["signatureColors"].as_object().is_some_and(|colors| colors.len() == 2)
                && board["items"]["mine"]["author"] == loses
        };
        world.same(&mut [winner, &mut lea, carl, dora, &mut new], "one board", is_so).await;
        winner.edit(remove(if first == 0 { "itemPositions" } else { "itemGroups" }, wins)).await;
        winner.until_acked().await;
        println!(
            "stored first by instance {first}: {wins} has the id, and was closed with {:?}",
            winner.closed
        );
        assert!(winner.closed.is_empty() && carl.told().is_empty() && dora.told().is_empty());
        world.stop((lea, pages, honest, new)).await;
    }
}

/// [B62] Not at once: whoever comes with an id that is another's on the other instance is told so at once, and what it adds
/// under that id while the owner is here is left out.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_taken_elsewhere_is_refused() {
    let world = World::start().await;
    let mut ann = world.page_as(0, ("ann", "editor"), 77).await;
    let mut bob = world.page(1, "bob", "editor").await;
    ann.edit(set("itemPositions", "x", 1)).await;
    world.same(&mut [&mut ann, &mut bob], "a position", |board| board["itemPositions"]["x"] == 1.0).await;
    show(&mut ann.client, 77).await;
    bob.until("ann's presence", |bob| !bob.client.presence.is_empty()).await;
    // With ann's own edits before it.
    let forger = Doc::with_client_id(77);
    let kept = yrs::updates::decoder::Decode::decode_v1(&bob.client.encode_full()).unwrap();
    forger.transact_mut().apply_update(kept).unwrap();
    let mut mallory = world.page_with(1, ("mallory", "editor"), forger).await;
    mallory.edit(set("itemPositions", "z", 666)).await;
    let counted = || world.servers[1].app.rooms.metrics().owners.updates_foreign.get();
    until("a count of what is foreign", async || counted() == 1).await;
    // And without.
    let mut other = world.page_as(1, ("mallory", "editor"), 78).await;
    other.client.doc = Doc::with_client_id(77);
    other.edit(set("itemGroups", "x", 666)).await;
    assert_eq!(other.client.until_closed().await, Some(4409));
    ann.edit(set("itemPositions", "y", 2)).await;
    let is_so = |board: &Value| {
        board["itemPositions"] == json!({ "x": 1, "y": 2 }) && board["itemGroups"] == json!({})
    };
    world.same(&mut [&mut ann, &mut bob], "ann's edits only", is_so).await;
    world.stop((ann, bob, mallory, other)).await;
}

async fn show(client: &mut Client, id: u8) {
    client.send(y_websocket::presence(&[&[1, id, 1, 2][..], b"{}"].concat())).await;
}

/// [B62] One person's two pages on two instances, each with an id of its own: both are the person's. Votes beyond the limit
/// count as everywhere, cards of the one page are the other's to take away, and nobody is told anything.
#[tokio::test(flavor = "multi_thread")]
async fn two_pages_of_one_person_are_one_person() {
    let world = World::start().await;
    let mut lea = world.page(0, "lea", "facilitator").await;
    let mut here = world.page(0, "ann", "editor").await;
    let mut there = world.page(1, "ann", "editor").await;
    let mut bob = world.page(1, "bob", "editor").await;
    lea.edit(set("meta", "voteLimit", 5)).await;
    for id in ["a", "b", "c", "d"] {
        lea.edit(card(id, None)).await;
    }
    let everyone = &mut [&mut lea, &mut here, &mut there, &mut bob];
    world.same(everyone, "cards", |board| board["items"].as_object().unwrap().len() == 4).await;
    at_once(&world, 0, async || {
        here.edit(set("votes", "ann/a", 3)).await;
        here.edit(set("votes", "ann/b", 2)).await;
        here.edit(card("hers", Some("ann"))).await;
        there.edit(set("votes", "ann/a", 4)).await;
        there.edit(set("votes", "ann/c", 2)).await;
    })
    .await;
    let everyone = &mut [&mut lea, &mut here, &mut there, &mut bob];
    world.same(everyone, "votes", |board| board["votes"].as_object().unwrap().len() == 3).await;
    let votes = view(&lea.client.doc).all_user_votes["ann"].clone();
    println!("{} is set, {votes:?} count", lea.board()["votes"]);
    assert_eq!(votes.values().sum::<u32>(), 5);
    assert!([&here, &there, &bob].iter().all(|page| view(&page.client.doc).all_user_votes["ann"] == votes));
    there.edit(remove("items", "hers")).await;
    bob.edit(set("votes", "ann/a", 0)).await;
    let everyone = &mut [&mut lea, &mut here, &mut there, &mut bob];
    world.same(everyone, "her card is gone", |board| board["items"].as_object().unwrap().len() == 4).await;
    assert_eq!(view(&bob.client.doc).all_user_votes["ann"], votes);
    assert_eq!(
        (here.told(), there.told(), bob.told()),
        (vec![], vec![], vec!["votes_of_another".to_owned()])
    );
    world.stop((lea, here, there, bob)).await;
}

/// [B62] A page that moves to another instance with what is on its way at the first: all of it is there once, nobody is told
/// anything, and both instances go on. A copy of the page, with its id, that says something else is told to reload.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_moves_with_what_is_on_its_way() {
    for first in [0, 1] {
        let world = World::start().await;
        let mut lea = world.page(0, "lea", "facilitator").await;
        let mut wim = world.page(1, "wim", "viewer").await;
        let mut ann = world.page_as(0, ("ann", "editor"), 77).await;
        lea.edit(set("meta", "title", "Sprint 7")).await;
        ann.edit(card("before", Some("ann"))).await;
        world
            .same(&mut [&mut lea, &mut wim, &mut ann], "a card", |board| board["items"]["before"].is_object())
            .await;
        let doc = ann.client.doc.clone();
        let mut moved = world.page(1, "ann", "editor").await;
        at_once(&world, first, async || {
            ann.edit(card("x", Some("ann"))).await;
            ann.edit(set("itemPositions", "x", 1)).await;
            ann.edit(set("meta", "title", "by ann")).await; // held until what is on its way is decided
            ann.edit(set("itemPositions", "x", 2)).await;
            let all = doc.transact().encode_state_as_update_v1(&yrs::StateVector::default());
            let update = yrs::updates::decoder::Decode::decode_v1(&all).unwrap();
            moved.client.doc.transact_mut().apply_update(update).unwrap();
            moved.client.send(y_websocket::sync_step2(&all)).await;
            moved.client.sent += 1;
        })
        .await;
        let is_so = |board: &Value| {
            board["meta"]["title"] == "Sprint 7"
                && board["itemPositions"]["x"] == 2.0
                && board["items"].as_object().is_some_and(|items| items.len() == 2)
        };
        world.same(&mut [&mut lea, &mut wim, &mut ann, &mut moved], "one board", is_so).await;
        for (root, value) in wim.seen().into_iter().chain(lea.seen()) {
            assert!(root != "meta" || value["title"] != "by ann");
        }
        for page in [&mut ann, &mut moved] {
            assert!(page.told().iter().all(|code| code == "meta_is_the_facilitators") && !page.is_out());
        }
        println!(
            "stored first by instance {first}; ann was asked to come back {:?} {:?}",
            ann.closed, moved.closed
        );
        let mut copy = world.page(1, "ann", "editor").await;
        copy.client.doc = Doc::with_client_id(77);
        copy.edit(set("itemGroups", "x", 666)).await;
        assert_eq!(copy.client.until_closed().await, Some(4409));
        lea.step(Duration::from_millis(50)).await;
        assert_eq!(lea.board()["itemGroups"], json!({}));
        world.stop((lea, wim, ann, moved, copy)).await;
    }
}

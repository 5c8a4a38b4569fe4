//! One update that breaks rules at more places than are set again: honest pages that offer what is not theirs to do, after
//! a day offline or with one click, and hostile ones.

use std::time::Instant;

use yrs::{Any, Map, WriteTxn};

use super::people::{Board, card, set};
use super::*;
use crate::board::rules::Reason;
use crate::board::view::view;
use crate::caller::Role;
use crate::limits::BOARD_BROKEN_MAX;

/// More than are set again.
const MANY: u32 = BOARD_BROKEN_MAX as u32 + 1_000;

/// [B80] Somebody's page clears all votes, of a thousand people: others keep theirs, what else the update does is stored, and
/// nobody is sent away. The one who did it has them again with the next copies that it brings.
#[tokio::test]
async fn clearing_the_votes_of_everybody_harms_nobody() {
    let mut board = Board::open().await;
    let (adm, bob) = (board.come("adm", Role::Admin), board.come("bob", Role::Editor));
    board
        .edit(adm, |t| {
            card(t, "a", Some("adm"));
            (0..MANY).for_each(|n| set(t, "votes", &format!("p{n}/a"), 1));
        })
        .await;
    let before = board.json(adm)["votes"].clone();
    board
        .edit(bob, |t| {
            t.get_or_insert_map("votes").clear(t);
            card(t, "bobs", Some("bob"));
        })
        .await;
    assert_eq!(board.told(bob), [Reason::TooMany], "it stays");
    assert_eq!(board.json(adm)["votes"], before, "nobody lacks a vote");
    assert_eq!(board.json(adm)["items"]["bobs"]["author"], "bob", "what is allowed is stored");
    let count = |board: &Board| board.json(bob)["votes"].as_object().unwrap().len();
    let had = count(&board);
    println!("bob has {had} of {MANY} votes again");
    assert_eq!(had, BOARD_BROKEN_MAX);
    let kept = board.people[bob].all();
    board.bring_as(bob, &kept, Source::Step2).await;
    board.store().await;
    board.same().await;
    assert_eq!((board.told(bob), board.json(bob)["votes"].clone()), (vec![Reason::OthersVotes], before));
}

/// [B80] All cards of another, deleted or replaced, with what stands in them: those beyond the bound are kept whole.
#[tokio::test]
async fn cards_beyond_the_bound_are_kept_whole() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    board
        .edit(ann, |t| {
            for n in 0..MANY {
                card(t, &format!("c{n}"), Some("ann"));
            }
        })
        .await;
    let before = view(&board.people[ann].doc).items;
    // By cards of its own, and by those that say they are another's: a broken rule within what breaks one.
    let signed = |n: u32| if n.is_multiple_of(2) { "bob" } else { "eve" };
    board.edit(bob, |t| (0..MANY).for_each(|n| card(t, &format!("c{n}"), Some(signed(n))))).await;
    assert_eq!(board.told(bob), [Reason::TooMany]);
    assert_eq!(view(&board.people[ann].doc).items, before, "replaced");
    // Somebody who has none of that, and takes them away.
    let eve = board.come("eve", Role::Editor);
    board.edit(eve, |t| t.get_or_insert_map("items").clear(t)).await;
    assert_eq!(board.told(eve), [Reason::TooMany]);
    assert_eq!(view(&board.people[ann].doc).items, before, "deleted");
    let late = board.come("late", Role::Editor);
    assert_eq!(view(&board.people[late].doc).items, before);
}

/// [B80] Where nothing was nothing has to be kept: it is as with few, and said with the rule that was broken.
#[tokio::test]
async fn where_nothing_was_any_number_is_mended() {
    let mut board = Board::open().await;
    let (lead, ann) = (board.come("lea", Role::Facilitator), board.come("ann", Role::Editor));
    board.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    let mut took = Vec::new();
    for (round, many) in [MANY, 4 * MANY].into_iter().enumerate() {
        let update = board.make(ann, |t| {
            (0..many).for_each(|n| set(t, "meta", &format!("k{round} {n}"), 1));
            set(t, "itemPositions", &format!("p{round}"), 1);
        });
        let began = Instant::now();
        board.bring(ann, &update).await;
        took.push(format!("{many}: {} ms", began.elapsed().as_millis()));
        board.store().await;
        assert_eq!(board.told(ann), [Reason::Meta]);
    }
    println!("keys: judged in {}", took.join(", "));
    board.same().await;
    assert_eq!(board.json(ann)["meta"], serde_json::json!({ "title": "Sprint 7" }));
    assert_eq!(board.json(lead)["itemPositions"], serde_json::json!({ "p0": 1, "p1": 1 }));
}

/// [B80] A page that writes the time into `meta` each second, an hour and a half without a network, beside what it may: one
/// key, so all of it is mended.
#[tokio::test]
async fn a_ticking_page_comes_back_from_a_long_time_offline() {
    let mut board = Board::open().await;
    let (lead, ann) = (board.come("lea", Role::Facilitator), board.come("ann", Role::Editor));
    board.edit(lead, |t| set(t, "meta", "timerEndsAt", 7)).await;
    board.people[ann].away = true;
    for n in 0..MANY {
        board.make(ann, |t| set(t, "meta", "timerEndsAt", n));
        board.make(ann, |t| set(t, "itemPositions", "a", n));
    }
    board.make(ann, |t| card(t, "anns", Some("ann")));
    let kept = board.people[ann].all();
    board.bring_as(ann, &kept, Source::Step2).await;
    board.store().await;
    board.people[ann].away = false;
    let all = board.state.document.encode_full();
    board.people[ann].receive(&all);
    assert_eq!(board.told(ann), [Reason::Meta]);
    board.same().await;
    assert_eq!(board.json(ann)["meta"]["timerEndsAt"], 7);
    assert_eq!(board.json(lead)["itemPositions"]["a"], MANY - 1);
    assert_eq!(board.json(lead)["items"]["anns"]["author"], "ann");
}

/// [B29] From the API it is refused whole, however much it is.
#[tokio::test]
async fn from_outside_it_is_refused_whole() {
    let mut board = Board::open().await;
    let ann = board.come("ann", Role::Editor);
    let update = board.make(ann, |t| {
        let meta = t.get_or_insert_map("meta");
        for n in 0..MANY {
            meta.insert(t, format!("k{n}"), Any::from(1));
        }
    });
    board.permit = Permit::TakenWhole;
    let refused = board.submit(ann, &update);
    assert!(matches!(refused, Err(SubmitError::Broken(Reason::Meta))), "{refused:?}");
    assert_eq!((board.state.uncommitted(), board.state.gate.clients()), (0, 0));
}

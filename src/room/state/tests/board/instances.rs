//! One client id on two instances, as when a socket moves, or when somebody lies.

use super::people::{Board, Person, card, set};
use super::*;
use crate::board::rules::Reason;
use crate::board::seed::template;
use crate::caller::Role;
use crate::caller::UserId;
use crate::log::record::Kind;

/// One board on two instances, and on both of them ann with one client id.
async fn two_with_ann() -> (Board, Board, usize, usize) {
    two_with_ann_as(77).await
}

async fn two_with_ann_as(client: u64) -> (Board, Board, usize, usize) {
    let mut one = Board::open().await;
    let lead = one.come("lea", Role::Facilitator);
    one.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    let mut two = one.beside().await;
    let here = one.come_as(Person::of(client), "ann", Role::Editor);
    let there = two.come_as(Person::of(client), "ann", Role::Editor);
    (one, two, here, there)
}

/// What comes out of the log.
async fn folded(board: &mut Board) -> serde_json::Value {
    board.reload().await;
    let newcomer = Person::of(900_001);
    newcomer.receive(&board.state.document.encode_full());
    newcomer.json()
}

/// [B34] The same clock in one place here, and in another one in the log: the room is loaded again, and what builds on it is
/// judged by where it stands in the log.
#[tokio::test]
async fn an_id_with_two_places_ends_the_load() {
    let (mut one, mut two, here, there) = two_with_ann().await;
    let allowed = one.make(here, |t| set(t, "itemPositions", "x", 1));
    one.submit(here, &allowed).unwrap();
    assert!(one.state.next_batch().is_some());
    two.edit(there, |t| set(t, "meta", "title", "mine")).await;
    assert_eq!(two.told(there), [Reason::Meta]);
    let before = one.state.committed();
    assert!(matches!(one.hear().await, Err(StoredError::Apart(_))));
    assert_eq!(one.state.committed(), before, "nothing was taken in");
    one.reload().await;
    // It stands behind what the other instance has set again.
    let again = two.make(there, |t| set(t, "meta", "title", "mine again"));
    one.bring(here, &again).await;
    one.store().await;
    assert_eq!(one.told(here), [Reason::Meta]);
    assert_eq!(folded(&mut one).await["meta"]["title"], "Sprint 7");
}

/// [B60] What says only that it stands beside an id under which another instance has stored something else first is stored
/// beside it nowhere: no instance takes in the batch that it came with, nor does who loads the room. All there is in it of
/// honest people comes again by themselves.
#[tokio::test]
async fn what_stands_beside_an_id_of_another_is_passed_over() {
    for in_one_update in [true, false] {
        // It wins wherever ids decide.
        let (mut one, mut two, here, there) = two_with_ann_as((1 << 53) - 1_000).await;
        one.state.owners().seat(one.people[here].session(), Some(&UserId::from("ann")));
        let mut three = one.beside().await;
        let wim = three.come("wim", Role::Editor);
        let bob = one.come_as(Person::of(5), "bob", Role::Editor);
        let before = one.make(bob, |t| set(t, "itemPositions", "before", 1));
        one.submit(bob, &before).unwrap();
        let position =
            |value: i64| move |t: &mut yrs::TransactionMut<'_>| set(t, "itemPositions", "x", value);
        let mut beside = if in_one_update {
            vec![one.make(here, |t| (0..2).for_each(|n| position(n)(t)))]
        } else {
            vec![one.make(here, position(0)), one.make(here, position(1))]
        };
        for update in &beside {
            assert!(!one.submit(here, update).unwrap().dropped.is_gap());
        }
        let honest = one.make(bob, |t| set(t, "itemPositions", "bobs", 1));
        one.submit(bob, &honest).unwrap();
        assert!(!one.state.is_exact_under_way());
        two.edit(there, |t| set(t, "meta", "title", "mine")).await;
        one.send().await;
        let Err(StoredError::Apart(told)) = one.hear().await else { panic!("it is neither shown nor acked") };
        assert_eq!(told, [one.people[here].session()], "she is told to reload, and bob is not");
        for board in [&mut two, &mut three] {
            board.hear().await.unwrap();
            board.same().await;
            let json = board.json(0);
            assert_eq!(json["meta"]["title"], "Sprint 7", "in one update: {in_one_update}");
            assert_eq!(json["itemPositions"], serde_json::json!({ "before": 1 }));
        }
        assert!(!three.people[wim].saw("mine"));
        assert_eq!(one.fold().await.records(), one.records().await.len() as u64, "nothing is damaged");
        one.reload().await;
        // What she builds on it is judged by what stands there, and bob's is there again.
        beside.push(one.make(here, position(2)));
        for update in &beside {
            one.bring(here, update).await;
        }
        one.bring(bob, &honest).await;
        one.store().await;
        two.hear().await.unwrap();
        two.same().await;
        let json = folded(&mut one).await;
        assert_eq!(json["meta"]["title"], "Sprint 7");
        assert_eq!(json["itemPositions"], serde_json::json!({ "before": 1, "bobs": 1 }));
    }
}

/// [B34] The same edit by two ways ends nothing, whichever instance has turned it into deleted content.
#[tokio::test]
async fn the_same_edit_by_two_ways_goes_on() {
    let (mut one, mut two, here, there) = two_with_ann().await;
    let update = one.make(here, |t| {
        set(t, "itemPositions", "x", 1);
        card(t, "x", Some("ann"));
    });
    one.submit(here, &update).unwrap();
    two.bring(there, &update).await;
    two.store().await;
    one.hear().await.unwrap();
    assert!(one.state.drop_overlay().is_none(), "what is stored is not taken back");
    one.store().await;
    one.same().await;
    two.hear().await.unwrap();
    assert_eq!(folded(&mut two).await["items"]["x"]["author"], "ann");
}

/// [B34] An edit for one position is taken back after others have stored blocks of it, or more of its client: what is
/// stored stays known, and the room is to be loaded again.
#[tokio::test]
async fn what_others_have_stored_is_not_taken_back() {
    for comes_with_more in [false, true] {
        let (mut one, mut two, here, there) = two_with_ann().await;
        let bad = one.make(here, |t| set(t, "meta", "title", "mine"));
        one.submit(here, &bad).unwrap();
        assert!(one.state.is_exact_under_way() && one.state.next_batch().is_some());
        // Its socket moves, and it goes on there.
        two.bring(there, &bad).await;
        if comes_with_more {
            let more = one.make(here, |t| set(t, "itemPositions", "x", 1));
            two.bring(there, &more).await;
        }
        two.store().await;
        one.hear().await.unwrap();
        let withdrawn = one.state.withdraw_exact().unwrap();
        assert!(!withdrawn.is_whole);
        assert_eq!(one.state.gate.known(77), 1 + u32::from(comes_with_more), "it is in the log");
        one.reload().await;
        assert!(one.submit(here, &bad).unwrap().decided_now, "nothing of it is new");
        assert_eq!(folded(&mut one).await["meta"]["title"], "Sprint 7");
    }
}

/// [B27] What others have stored of other clients does not hinder taking it back.
#[tokio::test]
async fn an_edit_is_taken_back_beside_others() {
    let (mut one, mut two, here, _) = two_with_ann().await;
    let bob = two.come("bob", Role::Editor);
    let bad = one.make(here, |t| set(t, "meta", "title", "mine"));
    one.submit(here, &bad).unwrap();
    assert!(one.state.next_batch().is_some());
    two.edit(bob, |t| set(t, "itemPositions", "x", 1)).await;
    one.hear().await.unwrap();
    assert!(one.state.withdraw_exact().unwrap().is_whole);
    assert_eq!(one.state.gate.known(77), 0);
    one.bring(here, &bad).await;
    assert_eq!(one.told(here), [Reason::Meta]);
    one.same().await;
}

/// [B34] A card that is made on one instance, and set by somebody else through another one that has not heard of it yet, is
/// its author's again once both are stored, whichever of the two writes would win.
#[tokio::test]
async fn a_card_is_not_taken_where_it_is_not_known_yet() {
    for (client, wins) in [(5, false), (9_000_000, true)] {
        let mut one = Board::open().await;
        let ann = one.come("ann", Role::Editor);
        one.edit(ann, |t| set(t, "itemPositions", "x", 1)).await;
        let mut two = one.beside().await;
        let bob = two.come_as(Person::of(client), "bob", Role::Editor);
        let made = one.make(ann, |t| card(t, "x", Some("ann")));
        one.bring(ann, &made).await;
        one.store().await;
        // Bob has heard of it by the other instance, or guesses.
        let taken = two.make(bob, |t| {
            card(t, "x", Some("bob"));
            card(t, "y", Some("bob"));
        });
        two.submit(bob, &taken).unwrap();
        two.hear().await.unwrap();
        two.store().await;
        let told = two.told(bob);
        println!("bob writes as {client}: {told:?}");
        assert_eq!(told, if wins { vec![Reason::OthersCard] } else { Vec::new() });
        // [B84] The card was set again, and the log says on whose account.
        let records = two.records().await;
        let whose = records.iter().filter(|record| record.kind() == Kind::Compensation);
        let whose: Vec<_> = whose.map(|record| record.metadata().unwrap().relayed_by).collect();
        assert_eq!(whose, vec![Some("bob".to_owned()); usize::from(wins)]);
        two.same().await;
        one.hear().await.unwrap();
        one.same().await;
        let items = one.json(ann)["items"].clone();
        assert_eq!(items, two.json(bob)["items"]);
        assert_eq!((&items["x"]["author"], &items["x"]["text"]), (&"ann".into(), &"text of x".into()));
        assert_eq!(items["y"]["author"], "bob");
        // And it is hers to take away.
        one.edit(ann, |t| super::people::remove(t, "items", "x")).await;
        assert_eq!(one.told(ann), []);
    }
}

/// [B63] A card that says nothing of its author, and is signed by two at once on two instances, is the first one's once both
/// are stored, whichever of the two writes would win; the second one is told.
#[tokio::test]
async fn a_card_is_signed_by_the_first() {
    for (client, wins) in [(5, false), (9_000_000, true)] {
        let mut one = Board::open().await;
        let ann = one.come("ann", Role::Editor);
        one.edit(ann, |t| card(t, "x", None)).await;
        let mut two = one.beside().await;
        let bob = two.come_as(Person::of(client), "bob", Role::Editor);
        let sign = |user: &'static str| {
            move |t: &mut yrs::TransactionMut<'_>| {
                super::people::map_in(t, "items", "x").unwrap().insert(t, "author", user);
            }
        };
        let theirs = two.make(bob, sign("bob"));
        two.submit(bob, &theirs).unwrap();
        one.edit(ann, sign("ann")).await;
        two.hear().await.unwrap();
        two.store().await;
        assert_eq!(two.told(bob), if wins { vec![Reason::OthersSignature] } else { Vec::new() });
        two.same().await;
        one.hear().await.unwrap();
        one.same().await;
        assert_eq!((&one.json(ann)["items"]["x"]["author"], one.told(ann)), (&"ann".into(), vec![]));
        assert_eq!(folded(&mut two).await["items"]["x"]["author"], "ann");
    }
}

/// [B34] Who makes the same card twice by two ways, or may set any card, is not in the way of anybody.
#[tokio::test]
async fn ones_own_card_by_two_ways_is_left_alone() {
    for (user, role) in [("ann", Role::Editor), ("lea", Role::Facilitator)] {
        let mut one = Board::open().await;
        let ann = one.come("ann", Role::Editor);
        one.edit(ann, |t| card(t, "x", Some("ann"))).await;
        let mut two = one.beside().await;
        let other = two.come_as(Person::of(9_000_000), user, role);
        one.edit(ann, |t| card(t, "x", Some("ann"))).await;
        let theirs = two.make(other, |t| card(t, "x", Some(user)));
        two.submit(other, &theirs).unwrap();
        two.hear().await.unwrap();
        two.store().await;
        assert_eq!((two.told(other), two.state.uncommitted()), (vec![], 0));
        assert!(two.records().await.iter().all(|record| record.kind() != Kind::Compensation));
    }
}

/// [B34] Two templates at once on two instances: one is begun with. The other one's is stored at its position only, and breaks
/// a rule when it is judged anew.
#[tokio::test]
async fn of_two_templates_at_once_one_counts() {
    let mut one = Board::open().await;
    let ann = one.come("ann", Role::Editor);
    one.edit(ann, |t| set(t, "itemPositions", "x", 1)).await;
    let mut two = one.beside().await;
    let bob = two.come("bob", Role::Editor);
    let (theirs, ours) = (template("4ls").unwrap().update(), template("retro").unwrap().update());
    two.submit(bob, &theirs).unwrap();
    assert!(two.state.is_exact_under_way() && two.state.next_batch().is_some());
    one.bring(ann, &ours).await;
    one.store().await;
    two.hear().await.unwrap();
    assert!(two.state.withdraw_exact().unwrap().is_whole, "the log has moved");
    two.bring(bob, &theirs).await;
    assert_eq!(two.told(bob), [Reason::Meta]);
    assert_eq!(folded(&mut two).await["meta"]["columns"].as_array().map(Vec::len), Some(3));
}

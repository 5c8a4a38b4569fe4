//! Boards: what breaks a rule is nobody's to see, and everyone comes to the same.

mod apart;
mod bounds;
mod instances;
mod many;
mod people;
mod random;

use yrs::{Map, ReadTxn, Transact};

use self::people::{Board, Person, card, paragraph, remove, set, shared_text};
use super::super::*;
use crate::board::rules::Reason;
use crate::board::seed::template;
use crate::caller::Role;
use crate::caller::UserId;
use crate::log::record::{Kind, Role as By};

/// [B25] An editor's set of `meta` is stored without its content, and what was there is set again: for others, for the
/// offender, for who comes later, and for the offender with what it has kept. Nobody else has seen the bad value.
#[tokio::test]
async fn a_forbidden_set_is_seen_by_nobody() {
    let mut board = Board::open().await;
    let (lead, ann, bob) = (
        board.come("lea", Role::Facilitator),
        board.come("ann", Role::Editor),
        board.come("bob", Role::Editor),
    );
    board.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    board.edit(ann, |t| set(t, "meta", "title", "mine")).await;
    assert_eq!(board.told(ann), [Reason::Meta]);
    assert_eq!(board.told(bob), []);
    board.same().await;
    for who in [lead, ann, bob] {
        assert_eq!(board.json(who)["meta"]["title"], "Sprint 7");
    }
    for who in [lead, bob] {
        assert!(!board.people[who].saw("mine"), "{:?}", board.people[who].seen());
    }
    let kinds: Vec<(Kind, By)> =
        board.records().await.iter().map(|record| (record.kind(), record.metadata().unwrap().role)).collect();
    let expected = [
        (Kind::Genesis, By::Server),
        (Kind::Update, By::Facilitator),
        (Kind::Update, By::Editor),
        (Kind::Compensation, By::Server),
    ];
    assert_eq!(kinds, expected);
    // Where nothing was set there is nothing to set again.
    board.edit(ann, |t| set(t, "meta", "phase", "done")).await;
    assert_eq!(board.told(ann), [Reason::Meta]);
    board.same().await;
    assert_eq!(board.json(bob)["meta"].get("phase"), None);
    // Going on in what is gone: the value stays.
    board.edit(ann, |t| set(t, "meta", "title", "mine!")).await;
    board.same().await;
    assert_eq!(board.json(ann)["meta"]["title"], "Sprint 7");
}

/// [B25] A card that was taken away by somebody else is there again, with all that was on it, as a text that several
/// can write in too.
#[tokio::test]
async fn a_card_that_is_taken_away_comes_back() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    board.edit(ann, |t| card(t, "a", Some("ann"))).await;
    board.edit(ann, |t| shared_text(t, "a", "héllo 😀 world")).await;
    let before = board.json(ann)["items"].clone();
    board.edit(bob, |t| remove(t, "items", "a")).await;
    assert_eq!(board.told(bob), [Reason::OthersCard]);
    board.same().await;
    assert_eq!(board.json(bob)["items"], before);
    // Replacing it is taking it away; what else the edit does stands.
    board
        .edit(bob, |t| {
            card(t, "a", Some("bob"));
            set(t, "itemPositions", "a", 7);
        })
        .await;
    board.same().await;
    assert_eq!((&board.json(bob)["items"], &board.json(ann)["itemPositions"]["a"]), (&before, &7.into()));
    assert!(!board.people[ann].saw("bob"));
    // It is ann's as before.
    board.edit(ann, |t| remove(t, "items", "a")).await;
    board.same().await;
    assert_eq!(board.json(bob)["items"], serde_json::json!({}));
    assert_eq!(board.told(ann), []);
}

/// [B26] What is in no part of a board becomes garbage, its author is told, and stays.
#[tokio::test]
async fn another_kind_of_document_is_seen_by_nobody() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Admin), board.come("bob", Role::Editor));
    for letter in ["a", "b", "c"] {
        board.edit(ann, |t| paragraph(t, letter)).await;
    }
    assert_eq!(board.told(ann), [Reason::UnknownRoot], "where it begins");
    board.same().await;
    assert!(board.people[bob].seen().is_empty(), "{:?}", board.people[bob].seen());
    assert_eq!(board.state.gate.path(board.people[ann].client(), 0), None, "its place is nobody's");
    board.edit(ann, |t| set(t, "signatureColors", "ann", "#aabbcc")).await;
    board.same().await;
    assert_eq!(board.json(bob)["signatureColors"]["ann"], "#aabbcc");
}

/// [B24] A board that has not begun is begun by any editor, with a template, and with nothing else.
#[tokio::test]
async fn an_editor_may_begin_with_a_template() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    let retro = template("retro").unwrap().update();
    board.bring(ann, &retro).await;
    board.same().await;
    assert_eq!(board.json(bob)["meta"]["voteLimit"], 5);
    let other = template("4ls").unwrap().update();
    board.bring(bob, &other).await;
    assert_eq!(board.told(bob), [Reason::Meta]);
    board.same().await;
    assert_eq!(board.json(bob)["meta"]["columns"].as_array().map(Vec::len), Some(3), "the first one's");
}

/// [B27] What depends on what is under way is judged when that is decided, with nothing under way; what others send
/// meanwhile is judged behind it.
#[tokio::test]
async fn what_is_under_way_is_waited_for() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    let added = board.make(ann, |t| card(t, "a", Some("ann")));
    board.submit(ann, &added).unwrap();
    board.people[bob].receive(&added);
    let gone = board.make(bob, |t| remove(t, "items", "a"));
    assert!(matches!(board.submit(bob, &gone), Err(SubmitError::NotNow)), "whose it is is not decided");
    let theirs = board.make(bob, |t| set(t, "meta", "title", "x"));
    assert!(matches!(board.submit(bob, &theirs), Err(SubmitError::NotNow)), "what is there is not decided");
    let moved = board.make(bob, |t| set(t, "itemPositions", "a", 1));
    assert!(board.submit(bob, &moved).unwrap().dropped.is_gap(), "it comes behind what has to wait");
    board.store().await;
    board.bring(bob, &gone).await;
    assert_eq!(board.told(bob), [Reason::OthersCard]);
    board.submit(bob, &theirs).unwrap();
    assert!(board.state.is_exact_under_way());
    board.store().await;
    board.submit(bob, &moved).unwrap();
    board.same().await;
}

/// [B27] Whoever makes a card, takes it away, makes it anew and signs it, all before the first is stored, waits for nothing:
/// whatever becomes of it, it is nobody else's. Others wait.
#[tokio::test]
async fn ones_own_cards_are_not_waited_for() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    for n in 0..20 {
        let replaced = board.make(ann, |t| card(t, "a", (n % 3 > 0).then_some("ann")));
        board.submit(ann, &replaced).unwrap();
        board.people[bob].receive(&replaced);
        if n % 4 == 3 {
            let gone = board.make(ann, |t| remove(t, "items", "a"));
            board.submit(ann, &gone).unwrap();
            board.people[bob].receive(&gone);
        }
    }
    let added = board.make(ann, |t| card(t, "a", Some("ann")));
    board.submit(ann, &added).unwrap();
    assert!(!board.state.is_exact_under_way());
    board.people[bob].receive(&added);
    let theirs = board.make(bob, |t| card(t, "a", Some("bob")));
    assert!(matches!(board.submit(bob, &theirs), Err(SubmitError::NotNow)));
    board.bring(bob, &theirs).await;
    assert_eq!((board.told(bob), board.told(ann)), (vec![Reason::OthersCard], vec![]));
    board.same().await;
    assert_eq!(board.json(bob)["items"]["a"]["author"], "ann");
}

/// [B28] Nobody writes under the id of the server: new blocks of it are left out, and what the server sets again after
/// that is set.
#[tokio::test]
async fn nobody_writes_as_the_server() {
    let mut board = Board::open().await;
    let (lead, ann) = (board.come("lea", Role::Facilitator), board.come("ann", Role::Editor));
    board.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    board.edit(ann, |t| set(t, "meta", "title", "mine")).await;
    let server = board.people[lead].clients().into_iter().find(|client| board.is_server(*client)).unwrap();
    let forger = Person::of(server);
    forger.receive(&board.people[lead].all());
    let forged = forger.make(|t| set(t, "signatureColors", "x", "#000000"));
    let judged = board.submit(ann, &forged).unwrap();
    assert!(judged.dropped.is_foreign() && judged.decided_now);
    assert!(board.state.take_owing().is_empty(), "it is not asked for");
    board.edit(ann, |t| set(t, "meta", "title", "mine again")).await;
    board.same().await;
    assert_eq!(board.json(lead)["meta"]["title"], "Sprint 7");
}

/// [B29] An edit from outside that breaks a rule is refused whole.
#[tokio::test]
async fn edits_from_outside_are_refused_whole() {
    let mut board = Board::open().await;
    let ann = board.come("ann", Role::Editor);
    let update = board.make(ann, |t| {
        set(t, "signatureColors", "ann", "#aabbcc");
        set(t, "meta", "title", "mine");
    });
    board.permit = Permit::TakenWhole;
    let refused = board.submit(ann, &update);
    assert!(matches!(refused, Err(SubmitError::Broken(Reason::Meta))), "{refused:?}");
    assert_eq!((board.state.uncommitted(), board.state.gate.clients()), (0, 0));
}

/// [B37] A day offline: hundreds of edits in one Step2, some of which break a rule. The others are stored as they are.
#[tokio::test]
async fn a_day_offline_keeps_what_is_allowed() {
    let mut board = Board::open().await;
    let lead = board.come("lea", Role::Facilitator);
    board.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    board.edit(lead, |t| card(t, "leas", Some("lea"))).await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    board.people[ann].away = true;
    for n in 0..250 {
        let id = format!("card {n}");
        board.make(ann, |t| {
            card(t, &id, Some("ann"));
            set(t, "itemPositions", &id, n);
        });
        if n % 25 == 0 {
            board.make(ann, |t| set(t, "meta", "title", format!("mine {n}")));
            board.make(ann, |t| set(t, "votes", &format!("lea/{id}"), 3));
        }
    }
    board.make(ann, |t| remove(t, "items", "leas"));
    let kept = board.people[ann].all();
    board.bring_as(ann, &kept, Source::Step2).await;
    board.store().await;
    board.people[ann].away = false;
    let all = board.state.document.encode_full();
    board.people[ann].receive(&all);
    assert_eq!(board.told(ann).len(), 1, "one message, one reason");
    board.same().await;
    let json = board.json(bob);
    let count = |root: &str| json[root].as_object().map(serde_json::Map::len);
    assert_eq!((count("items"), count("itemPositions"), count("votes")), (Some(251), Some(250), Some(0)));
    assert_eq!(
        (&json["meta"]["title"], &json["items"]["leas"]["author"]),
        (&"Sprint 7".into(), &"lea".into())
    );
    assert!(!board.people[bob].saw("mine"));
}

/// [B23] What the store has lost comes back, whoever brings it: of that only what it may look like is asked.
#[tokio::test]
async fn what_was_lost_comes_back_by_anyone() {
    let mut board = Board::open().await;
    let (lead, ann) = (board.come("lea", Role::Facilitator), board.come("ann", Role::Editor));
    board.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    let kept = board.people[ann].all();
    let mut other = Board::open().await;
    let bob = other.come("bob", Role::Editor);
    other.state.owners().seat(SessionId(1), Some(&UserId::from("bob")));
    other.state.pardon(SessionId(1));
    let only_blocks = {
        // Without the marker of the other room's life.
        let person = Person::of(5);
        person.receive(&kept);
        person.make(|t| paragraph(t, "not of a board"));
        let lost = board.people[lead].client();
        let all = person.doc.transact().state_vector();
        let without = yrs::StateVector::from_iter(
            all.iter()
                .filter(|(client, _)| ![lost, 5].contains(&client.get()))
                .map(|(client, clock)| (*client, *clock)),
        );
        person.doc.transact().encode_diff_v1(&without)
    };
    other.bring_as(bob, &only_blocks, Source::Step2).await;
    other.store().await;
    assert_eq!(other.json(bob)["meta"]["title"], "Sprint 7", "and what became of it goes to bob too");
    let folded = Person::of(6);
    folded.receive(&other.state.document.encode_full());
    assert_eq!(folded.json()["meta"]["title"], "Sprint 7");
    assert_eq!(other.told(bob), [Reason::UnknownRoot]);
}

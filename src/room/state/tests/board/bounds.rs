//! What breaking rules costs others: no more than is set again, and no more often than somebody may.

use yrs::branch::{Branch, BranchPtr};
use yrs::{Any, Map, ReadTxn, Text, TextPrelim, TextRef, Transact, WriteTxn, XmlFragmentPrelim};

use super::people::{Board, Person, card, map_in, remove, set};
use super::*;
use crate::board::rules::Reason;
use crate::board::seed::TEMPLATES;
use crate::board::view::view;
use crate::caller::Role;
use crate::caller::UserId;
use crate::limits::{
    BOARD_CARD_RESTORED_BYTES_MAX, BOARD_OFFENCES_MAX, BOARD_OFFENCES_MS, BOARD_RESTORED_BYTES_MAX,
    BOARD_TEXT_MARKS_MAX,
};
use crate::log::record::{Kind, RoomKind};

/// The largest record of what the server has set again.
async fn largest_compensation(board: &Board) -> usize {
    let records = board.records().await;
    let sizes = records.iter().filter(|record| record.kind() == Kind::Compensation);
    sizes.map(|record| record.update().len()).max().unwrap_or(0)
}

/// [B30] A card that was padded until it is as large as nobody needs one comes back: with what readers show of it, and as
/// much of the rest as has room.
#[tokio::test]
async fn a_padded_card_comes_back() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    let mal = board.come("mal", Role::Editor);
    board.edit(ann, |t| card(t, "a", Some("ann"))).await;
    for n in 0..20 {
        board
            .edit(mal, |t| {
                map_in(t, "items", "a").unwrap().insert(t, format!("pad {n}"), "x".repeat(150 << 10));
            })
            .await;
    }
    let before = view(&board.people[ann].doc).items;
    board.edit(bob, |t| remove(t, "items", "a")).await;
    assert_eq!(board.told(bob), [Reason::OthersCard]);
    board.same().await;
    assert_eq!(view(&board.people[bob].doc).items, before);
    let size = largest_compensation(&board).await;
    println!("set again: {size} B");
    assert!(size > 150 << 10 && size <= BOARD_CARD_RESTORED_BYTES_MAX + 1_024);
}

/// [B30] What is more than is set again behind one update is kept as it was: others notice nothing, and nobody is refused for
/// ever. Whoever has deleted it gets it back with its next copies.
#[tokio::test]
async fn what_has_no_room_is_kept() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    for id in (0..40).map(|id| id.to_string()) {
        board
            .edit(ann, |t| {
                card(t, &id, Some("ann"));
                map_in(t, "items", &id).unwrap().insert(t, "text", "x".repeat(60 << 10));
            })
            .await;
    }
    let before = board.json(ann);
    board.edit(bob, |t| t.get_or_insert_map("items").clear(t)).await;
    assert_eq!(board.told(bob), [Reason::TooMany]);
    assert_eq!(board.json(ann), before);
    let has = |board: &Board| view(&board.people[bob].doc).items.len();
    let mut had = has(&board);
    println!("bob has {had} of 40 again");
    while had < 40 {
        let kept = board.people[bob].all();
        board.bring_as(bob, &kept, Source::Step2).await;
        board.store().await;
        let now = has(&board);
        println!("then {now}");
        assert!(now > had, "each time more");
        had = now;
    }
    board.same().await;
    assert_eq!(board.json(bob), before);
    assert!(largest_compensation(&board).await <= BOARD_RESTORED_BYTES_MAX + 64);
    assert_eq!(board.told(bob), [Reason::TooMany, Reason::OthersCard]);
    // Replaced instead of deleted.
    board.edit(bob, |t| (0..40).for_each(|id| card(t, &id.to_string(), Some("bob")))).await;
    assert_eq!(board.told(bob), [Reason::TooMany]);
    assert_eq!(board.json(ann), before);
}

/// [B30] Many blocks under one key, each behind the same one: the value is not set again behind each of them.
#[tokio::test]
async fn many_blocks_under_one_key_set_nothing_again_many_times() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    board
        .edit(ann, |t| {
            card(t, "a", Some("ann"));
            map_in(t, "items", "a").unwrap().insert(t, "text", "x".repeat(100 << 10));
        })
        .await;
    let (all, before) = (board.people[ann].all(), board.json(ann));
    let updates: Vec<Vec<u8>> = (0..200)
        .map(|n| {
            let copy = Person::of(5_000 + n);
            copy.receive(&all);
            copy.make(|t| set(t, "items", "a", 1))
        })
        .collect();
    let slices: Vec<&[u8]> = updates.iter().map(Vec::as_slice).collect();
    board.bring_as(bob, &crate::gate::merge(&slices), Source::Step2).await;
    board.store().await;
    assert_eq!(board.told(bob), [Reason::TooMany]);
    assert_eq!(board.json(ann), before);
    assert_eq!(largest_compensation(&board).await, 0, "20 MB");
    board.same().await;
}

/// [B25] A text that Yjs 14 has written, as XML without a name, is read as a text, and comes back as one.
#[tokio::test]
async fn texts_of_other_types_come_back() {
    let mut board = Board::open().await;
    let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
    board.edit(ann, |t| card(t, "a", Some("ann"))).await;
    board
        .edit(ann, |t| {
            let text = map_in(t, "items", "a").unwrap().insert(t, "text", XmlFragmentPrelim::default());
            let branch: &Branch = text.as_ref();
            TextRef::from(BranchPtr::from(branch)).insert(t, 0, "written by Yjs 14");
        })
        .await;
    let text = |board: &Board, who: usize| view(&board.people[who].doc).items["a"].text.clone();
    assert_eq!(text(&board, bob), "written by Yjs 14");
    board.edit(bob, |t| remove(t, "items", "a")).await;
    board.same().await;
    for who in [ann, bob] {
        assert_eq!(text(&board, who), "written by Yjs 14");
    }
}

/// [B30] A text with more formats than anybody needs comes back without them: to read them costs memory by their square.
#[tokio::test]
async fn a_text_with_many_formats_comes_back_without() {
    for marks in [BOARD_TEXT_MARKS_MAX / 2, BOARD_TEXT_MARKS_MAX * 2] {
        let mut board = Board::open().await;
        let (ann, bob) = (board.come("ann", Role::Editor), board.come("bob", Role::Editor));
        board.edit(ann, |t| card(t, "a", Some("ann"))).await;
        board
            .edit(ann, |t| {
                let text = map_in(t, "items", "a").unwrap().insert(t, "text", TextPrelim::new(""));
                for n in 0..marks {
                    let formats = [(format!("f{n}").into(), Any::from(true))].into();
                    text.insert_with_attributes(t, n as u32, "x", formats);
                }
            })
            .await;
        let formats = |board: &Board, who: usize| {
            let transaction = board.people[who].doc.transact();
            let card = transaction.get_map("items").unwrap().get(&transaction, "a").unwrap();
            let text = card.cast::<yrs::MapRef>().unwrap().get(&transaction, "text").unwrap();
            let text = text.cast::<TextRef>().unwrap();
            let pieces = text.diff(&transaction, yrs::types::text::YChange::identity);
            pieces.iter().filter(|piece| piece.attributes.is_some()).count()
        };
        let (before, text) = (formats(&board, ann), board.json(ann)["items"].clone());
        board.edit(bob, |t| remove(t, "items", "a")).await;
        board.same().await;
        let after = formats(&board, bob);
        println!("{marks}: {before} formatted pieces, then {after}");
        assert_eq!(board.json(bob)["items"], text);
        assert_eq!(after, if marks * 2 > BOARD_TEXT_MARKS_MAX { 0 } else { before });
    }
}

/// [B23] What breaks a rule under an id that somebody else owns waits for that one: a browser that has it brings its own,
/// and the owner's is there when the owner brings it.
#[tokio::test]
async fn what_others_have_made_waits_for_them() {
    let mut board = Board::open().await;
    let (lead, ann) = (board.come("lea", Role::Facilitator), board.come("ann", Role::Editor));
    let owners = board.state.owners();
    owners.seat(board.people[ann].session(), Some(&UserId::from("ann")));
    owners.learn([(board.people[lead].client(), UserId::from("lea"))]);
    let lost = board.make(lead, |t| {
        set(t, "meta", "title", "Sprint 7");
        card(t, "leas", Some("lea"));
    });
    board.people[ann].receive(&lost);
    board.make(ann, |t| set(t, "itemPositions", "x", 1));
    let kept = board.people[ann].all();
    let judged = board.submit_as(ann, &kept, Source::Step2).unwrap();
    assert!(judged.dropped.is_foreign() && !judged.suspect.is_any(), "{judged:?}");
    board.store().await;
    assert_eq!(board.told(ann), [], "ann has done nothing");
    assert_eq!(board.state.gate.known(board.people[lead].client()), 0);
    assert!(board.state.take_owing().is_empty(), "it is not asked for as long as lea is away");
    assert_eq!(board.json(lead)["itemPositions"]["x"], 1, "her own is stored");
    let kept = board.people[lead].all();
    board.bring_as(lead, &kept, Source::Step2).await;
    board.store().await;
    let asked: Vec<SessionId> = board.state.take_owing().into_iter().collect();
    assert_eq!(asked, [board.people[ann].session()], "she may have built on it");
    board.same().await;
    for who in [lead, ann] {
        assert_eq!(board.json(who)["meta"]["title"], "Sprint 7");
        assert_eq!(board.json(who)["items"]["leas"]["author"], "lea");
    }
    // What is nobody's is the bringer's.
    let copy = Person::of(77);
    let foreign = copy.make(|t| set(t, "meta", "title", "mine"));
    board.bring(ann, &foreign).await;
    board.store().await;
    assert_eq!(board.told(ann), [Reason::Meta]);
}

/// [B28] Nobody writes under the id of a template but the template: taken by something else, whoever picks it would be told
/// to throw its copy away.
#[tokio::test]
async fn nobody_writes_as_a_template() {
    let mut board = Board::open().await;
    let (adm, lead) = (board.come("adm", Role::Admin), board.come("lea", Role::Facilitator));
    for template in &TEMPLATES {
        let forger = Person::of(template.client());
        let allowed = forger.make(|t| set(t, "itemPositions", "x", 1));
        let other = Person::of(template.client()).make(|t| set(t, "meta", "columns", "x"));
        // Garbage has no place.
        let garbage = [&[1, 1][..], &allowed[2..allowed.len() - 1], &[0]].concat();
        for update in [&allowed, &other, &garbage] {
            let judged = board.submit(adm, update).unwrap();
            assert!(judged.dropped.is_foreign() && judged.decided_now, "{}: {judged:?}", template.name);
        }
        assert_eq!(board.state.gate.known(template.client()), 0);
    }
    assert!(board.state.take_owing().is_empty(), "it is not asked for");
    let retro = &TEMPLATES[0];
    board.bring(lead, &retro.update()).await;
    board.same().await;
    assert_eq!(board.json(adm)["meta"]["phase"], "write");
}

/// [B30] Who breaks rules again and again has to come back later, and is mended then; what is allowed is taken all the time.
#[tokio::test]
async fn offences_are_counted() {
    let mut board = Board::open().await;
    let (lead, ann) = (board.come("lea", Role::Facilitator), board.come("ann", Role::Editor));
    let other = board.come("ann", Role::Editor);
    board.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    for n in 0..BOARD_OFFENCES_MAX {
        let who = if n % 2 == 0 { ann } else { other };
        board.edit(who, |t| set(t, "meta", "title", n)).await;
    }
    board.same().await;
    for who in [ann, other] {
        let fair = board.make(who, |t| set(t, "itemPositions", "a", 1));
        board.bring(who, &fair).await;
        board.store().await;
        let more = board.make(who, |t| set(t, "meta", "title", "more"));
        assert!(matches!(board.submit(who, &more), Err(SubmitError::TooOften)), "all sessions of one person");
    }
    let clocks = board.state.gate.known(board.people[ann].client());
    assert_eq!(board.state.uncommitted(), 0);
    // Others are not held up, and somebody else's offences are somebody else's.
    board.edit(lead, |t| set(t, "meta", "title", "Sprint 8")).await;
    board.now_ms += BOARD_OFFENCES_MS;
    for who in [ann, other] {
        let kept = board.people[who].all();
        board.bring_as(who, &kept, Source::Step2).await;
        board.store().await;
    }
    assert!(board.state.gate.known(board.people[ann].client()) > clocks);
    board.same().await;
    assert_eq!(board.json(ann)["meta"]["title"], "Sprint 8");
}

/// [B33] Deleting what stands where a board has nothing is no broken rule: it is taken, and nothing is said.
#[tokio::test]
async fn clearing_up_is_no_offence() {
    let mut board = Board::open().await;
    let (adm, ann) = (board.come("adm", Role::Admin), board.come("ann", Role::Editor));
    board.edit(adm, |t| set(t, "itemPositions", "x", 1)).await;
    board.state.set_kind(RoomKind::Free);
    board.edit(adm, |t| t.get_or_insert_text("meta").push(t, "from before the rules")).await;
    board.state.set_kind(RoomKind::Board);
    board
        .edit(ann, |t| {
            let text = t.get_or_insert_text("meta");
            text.remove_range(t, 0, 4);
        })
        .await;
    assert_eq!(board.told(ann), []);
    let kinds: Vec<Kind> = board.records().await.iter().map(|record| record.kind()).collect();
    assert_eq!(kinds.last(), Some(&Kind::Update));
}

/// [B30] Who looks at what an update does is shown no more of it than wanted.
#[test]
fn looking_ends_when_enough_is_seen() {
    let ann = Person::of(1);
    let update = ann.make(|t| {
        for n in 0..10 {
            set(t, "meta", &format!("k{n}"), 1);
            remove(t, "meta", &format!("k{n}"));
        }
    });
    let mut gate = Gate::new();
    let admitted = gate.admit(&update, Source::Update).unwrap().remainder.unwrap();
    for enough in [1, 3, 10] {
        let mut seen = 0;
        gate.acts_while(&admitted, |_| {
            seen += 1;
            seen < enough
        })
        .unwrap();
        assert_eq!(seen, enough);
    }
}

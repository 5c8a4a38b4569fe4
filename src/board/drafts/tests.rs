//! Names of draft rooms, and what a reveal copies.

mod late;

use proptest::prelude::*;
use yrs::{StateVector, Text, TextPrelim};

use super::naming::MARK;
use super::*;
use crate::board::edit::{Author, Edit, apply};
use crate::board::schema::Point;
use crate::board::tests::xml_card;
use crate::board::view::view;
use crate::ids::{Position, RoomName};

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn full(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_diff_v1(&StateVector::default())
}

const FIRST: Position = Position { seq: 5, ms: 50 };
const SECOND: Position = Position { seq: 6, ms: 60 };

/// What follows on a board when the author of a draft has changed it since it was copied at [`FIRST`]; `before` is the draft as it
/// was then.
fn follow(before: &[u8], draft: &Doc, board: &Doc, client: ClientId) -> Followed {
    let vector = {
        let was = Doc::new();
        merge(&was, before);
        was.transact().state_vector()
    };
    let moved = copy(&full(draft), &full(board), "ann", client, SECOND).unwrap().moved;
    let mut late = Late::new(before, FIRST, moved).unwrap();
    late.pass(SECOND, &draft.transact().encode_diff_v1(&vector)).unwrap();
    late.onto(&full(board), "ann", client, SECOND).unwrap()
}

fn merge(doc: &Doc, update: &[u8]) {
    use yrs::updates::decoder::Decode;
    doc.transact_mut().apply_update(yrs::Update::decode_v1(update).unwrap()).unwrap();
}

/// [B50] A name is a draft's of one board and one user at most; what could be read in two ways is nobody's.
#[test]
fn names_have_one_meaning() {
    for (board, user, expected) in [
        ("retro", "ada", Some("retro~ada")),
        ("team/retro", "ada@example.org", Some("team/retro~ada@example.org")),
        ("r", "a~b", Some("r~a~7Eb")),
        ("r", "a/b", Some("r~a~2Fb")),
        ("r", "a%2Fb", Some("r~a~252Fb")),
        ("r", "a b?c#d\\", Some("r~a~20b~3Fc~23d~5C")),
        ("r", "房間 🙂", Some("r~房間~20🙂")),
        ("r~x", "ada", None),
        ("r", "", None),
    ] {
        let name = name(&room(board), user);
        println!("{board} + {user}: {name:?}");
        assert_eq!(name.as_ref().map(RoomName::as_str), expected);
        if let Some(name) = name {
            let draft = Draft::of(&name).unwrap();
            assert_eq!((draft.board.as_str(), draft.user().as_deref()), (board, Some(user)));
            assert!(draft.is_of(user) && !draft.is_of("bob"));
        }
    }
    for plain in ["r", "~r", "r~", "~", "~r~a"] {
        assert_eq!(Draft::of(&room(plain)), None, "{plain}");
    }
    for nobodys in ["r~a/b", "r~a~b", "r~a%2Fb", "r~a~2fb", "r~a~", "r~a~41", "r~~C3~A9", "r~é b", "team~x/r"]
    {
        let draft = Draft::of(&room(nobodys)).unwrap();
        assert_eq!(draft.user(), None, "{nobodys}");
        assert!(!["a/b", "a%2Fb", "a~b", "aA", "é", "é b", "x/r"].iter().any(|user| draft.is_of(user)));
    }
    assert_eq!(name(&room(&"r".repeat(120)), "a-long-name"), None, "too long together");
}

proptest! {
    /// [B50] Two drafts that differ in board or user differ in name.
    #[test]
    fn names_do_not_collide(
        boards in proptest::array::uniform2("[a~%/]{1,6}"),
        users in proptest::array::uniform2("[a~%/ ?#25FE7]{1,8}"),
    ) {
        let names: Vec<_> = (0..2).map(|n| name(&room(&boards[n]), &users[n])).collect();
        if let [Some(one), Some(two)] = &names[..] {
            prop_assert_eq!(one == two, boards[0] == boards[1] && users[0] == users[1]);
            prop_assert_eq!(Draft::of(one).unwrap().user(), Some(users[0].clone()));
            // What no address changes, however often it is decoded.
            let user = one.as_str().split_once(MARK).unwrap().1;
            prop_assert!(!user.contains(['%', '/', ' ', '?', '#', '\\']));
        }
    }
}

fn add(doc: &Doc, id: &str, user: &str) {
    let edit = Edit::AddItem {
        id: id.to_owned(),
        text: format!("text of {id}"),
        column: Some("well".to_owned()),
        position: Some(Point { x: 1.0, y: 2.0 }),
    };
    apply(doc, &edit, Author { user, now_ms: 7 }).unwrap();
}

fn group(doc: &Doc, card: &str, group: &str) {
    let ann = Author { user: "ann", now_ms: 7 };
    apply(doc, &Edit::SetGroup { id: group.to_owned(), title: "Build".to_owned(), order: None }, ann)
        .unwrap();
    apply(doc, &Edit::SetItemGroup { id: card.to_owned(), group: Some(group.to_owned()) }, ann).unwrap();
}

/// [B54] A copy has all of the cards: texts with their formats, fields that the schema does not know, places, groups; its author is who
/// the draft belongs to, whatever the card says.
#[test]
fn a_copy_has_all_of_a_card() {
    let (draft, board) = (Doc::new(), Doc::new());
    add(&draft, "a", "ann");
    add(&draft, "b", "mallory");
    group(&draft, "a", "g");
    {
        let mut transaction = draft.transact_mut();
        let items = transaction.get_or_insert_map(ITEMS);
        let Some(Out::YMap(b)) = items.get(&transaction, "b") else { panic!("a card") };
        b.insert(&mut transaction, "later", 5);
        let text = b.insert(&mut transaction, "text", TextPrelim::new("bold"));
        text.format(&mut transaction, 0, 4, [("bold".into(), Any::from(true))].into());
        items.insert(&mut transaction, "junk", 1);
    }
    add(&board, "other", "bob");
    let copied = copy(&full(&draft), &full(&board), "ann", 77, FIRST).unwrap();
    assert_eq!((copied.cards.as_slice(), copied.updates.len()), (&["a".to_owned(), "b".to_owned()][..], 1));
    merge(&board, &copied.updates[0]);
    let (seen, was) = (view(&board), view(&draft));
    println!("{seen:?}");
    assert_eq!(seen.items["a"], was.items["a"]);
    assert_eq!((seen.items["b"].text.as_str(), seen.items["b"].author.as_deref()), ("bold", Some("ann")));
    assert_eq!(seen.items.len(), 3);
    assert_eq!((&seen.item_positions["a"], seen.item_groups["a"].as_str()), (&was.item_positions["a"], "g"));
    assert_eq!(seen.groups["g"].title, "Build");
    let transaction = board.transact();
    let Some(Out::YMap(b)) = transaction.get_map(ITEMS).unwrap().get(&transaction, "b") else { panic!() };
    assert!(matches!(b.get(&transaction, "later"), Some(Out::Any(Any::Number(_)))));
    let Some(Out::YText(text)) = b.get(&transaction, "text") else { panic!("a shared text") };
    let pieces = text.diff(&transaction, yrs::types::text::YChange::identity);
    assert!(pieces[0].attributes.as_ref().unwrap().contains_key("bold"));
}

/// [B54] [B57] Cards of Yjs 14, whose maps and texts come as XML, go along whole, and so does what their author changes after the copy.
#[test]
fn cards_of_yjs_14_are_copied() {
    for named in [false, true] {
        let (draft, board) = (Doc::new(), Doc::new());
        let edited = {
            let mut transaction = draft.transact_mut();
            xml_card(&mut transaction, "a", "from fourteen", named);
            xml_card(&mut transaction, "b", "edited later", named)
        };
        assert_eq!((count(&draft), cards(&draft)), (2, vec!["a".to_owned(), "b".to_owned()]));
        let was = full(&draft);
        merge(&board, &copy(&was, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
        let seen = view(&board);
        println!("{:?}", seen.items);
        let item = &seen.items["a"];
        assert_eq!((item.text.as_str(), item.author.as_deref()), ("from fourteen", Some("ann")));
        assert_eq!(item.column.as_deref(), Some("well"));
        {
            let transaction = board.transact();
            let card = card_of(&transaction, "a").as_ref().and_then(as_map).expect("a card");
            let text = card.get(&transaction, "text").as_ref().and_then(as_text).expect("a shared text");
            let pieces = yrs::Text::diff(&text, &transaction, yrs::types::text::YChange::identity);
            assert!(pieces[0].attributes.as_ref().is_some_and(|formats| formats.contains_key("bold")));
        }
        assert_eq!(follow(&was, &draft, &board, 78).update, None);
        {
            let mut transaction = draft.transact_mut();
            let text = edited.get(&transaction, "text").as_ref().and_then(as_text).expect("a shared text");
            text.insert(&mut transaction, 0, "once more ");
        }
        let followed = follow(&was, &draft, &board, 78);
        merge(&board, &followed.update.expect("a change"));
        assert_eq!(view(&board).items["b"].text, "once more edited later");
    }
}

/// [B54] A card that is a plain object, in a group that is one too, comes with both.
#[test]
fn plain_objects_are_copied() {
    let (draft, board) = (Doc::new(), Doc::new());
    {
        let object = |field: &str, value: &str| {
            Any::Map(std::sync::Arc::new([(field.to_owned(), value.into())].into()))
        };
        let mut transaction = draft.transact_mut();
        transaction.get_or_insert_map(ITEMS).insert(&mut transaction, "a", object("text", "plain"));
        transaction.get_or_insert_map(GROUPS).insert(&mut transaction, "g", object("title", "Build"));
        transaction.get_or_insert_map(ITEM_GROUPS).insert(&mut transaction, "a", "g");
    }
    merge(&board, &copy(&full(&draft), &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    let seen = view(&board);
    println!("{seen:?}");
    assert_eq!((seen.items["a"].text.as_str(), seen.item_groups["a"].as_str()), ("plain", "g"));
    assert_eq!(seen.groups["g"].title, "Build");
}

/// [B55] Copied again, by whomever and however often, nothing comes twice, and a card that somebody has deleted on the board, or a
/// group, does not come back.
#[test]
fn a_copy_is_made_once() {
    let (draft, board) = (Doc::new(), Doc::new());
    for card in ["a", "b", "c"] {
        add(&draft, card, "ann");
    }
    group(&draft, "a", "g");
    merge(&board, &copy(&full(&draft), &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    let before = view(&board);
    assert!(copy(&full(&draft), &full(&board), "ann", 78, FIRST).unwrap().updates.is_empty());
    let bob = Author { user: "bob", now_ms: 8 };
    apply(&board, &Edit::DeleteItem { id: "b".to_owned() }, bob).unwrap();
    apply(&board, &Edit::DeleteGroup { id: "g".to_owned() }, bob).unwrap();
    add(&draft, "d", "ann");
    group(&draft, "d", "g");
    let again = copy(&full(&draft), &full(&board), "ann", 79, FIRST).unwrap();
    assert_eq!(again.cards, ["d"]);
    merge(&board, &again.updates[0]);
    let after = view(&board);
    assert_eq!(after.items.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
    assert!(after.groups.is_empty() && before.groups.len() == 1);
    merge(&draft, &remove(&full(&draft), &["a", "b", "c", "d"].map(str::to_owned)).unwrap());
    assert_eq!((count(&draft), cards_of(&full(&draft)).unwrap()), (0, (vec![], true)));
    assert!(view(&draft).item_positions.is_empty());
}

/// [B55] Two people's pages number their cards: each card comes, the second one under another id, once, and follows its author.
#[test]
fn a_taken_id_costs_no_card() {
    let (draft, board) = (Doc::new(), Doc::new());
    add(&board, "1", "bob");
    add(&draft, "1", "ann");
    let before = full(&draft);
    let copied = copy(&before, &full(&board), "ann", 77, FIRST).unwrap();
    merge(&board, &copied.updates[0]);
    let seen = view(&board);
    println!("{:?}", seen.items.keys().collect::<Vec<_>>());
    assert_eq!((copied.cards, seen.items.len()), (vec!["1".to_owned()], 2));
    let (id, item) = seen.items.iter().find(|(_, item)| item.author.as_deref() == Some("ann")).unwrap();
    assert_eq!((item.text.as_str(), seen.items["1"].author.as_deref()), ("text of 1", Some("bob")));
    assert!(seen.item_positions.contains_key(id));
    assert!(copy(&before, &full(&board), "ann", 78, FIRST).unwrap().updates.is_empty());
    let ann = Author { user: "ann", now_ms: 8 };
    apply(&draft, &Edit::SetItemText { id: "1".to_owned(), text: "later".to_owned() }, ann).unwrap();
    group(&draft, "1", "g");
    merge(&board, &follow(&before, &draft, &board, 79).update.unwrap());
    let amended = view(&board);
    assert_eq!((amended.items[id].text.as_str(), amended.items["1"].text.as_str()), ("later", "text of 1"));
    assert_eq!((amended.item_groups[id].as_str(), amended.groups["g"].title.as_str()), ("g", "Build"));
    apply(&board, &Edit::DeleteItem { id: id.clone() }, ann).unwrap();
    assert!(copy(&before, &full(&board), "ann", 80, FIRST).unwrap().updates.is_empty(), "it was deleted");
    let long = "é".repeat(BOARD_ID_BYTES_MAX / 2);
    assert!(is_id(&other_id(&long, "ann")) && other_id(&long, "ann") != other_id(&long, "bob"));
}

/// [B57] What an author changes between the copy and the removal is changed on the board, and nothing else is.
#[test]
fn what_changes_after_the_copy_follows() {
    let (draft, board) = (Doc::new(), Doc::new());
    for card in ["a", "b", "c"] {
        add(&draft, card, "ann");
    }
    let copied = full(&draft);
    merge(&board, &copy(&copied, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    assert_eq!(follow(&copied, &draft, &board, 78), Followed::default());
    let (ann, bob) = (Author { user: "ann", now_ms: 8 }, Author { user: "bob", now_ms: 8 });
    let text = |id: &str, text: &str| Edit::SetItemText { id: id.to_owned(), text: text.to_owned() };
    apply(&board, &text("b", "by bob"), bob).unwrap();
    apply(&board, &Edit::DeleteItem { id: "c".to_owned() }, bob).unwrap();
    apply(&draft, &text("a", "by ann"), ann).unwrap();
    apply(&draft, &text("c", "too late"), ann).unwrap();
    let place = Point { x: 9.0, y: 9.0 };
    apply(&draft, &Edit::MoveItem { id: "b".to_owned(), position: place }, ann).unwrap();
    add(&draft, "d", "ann");
    merge(&board, &follow(&copied, &draft, &board, 78).update.unwrap());
    let seen = view(&board);
    println!("{:?} {:?}", seen.items, seen.item_positions);
    assert_eq!(seen.items.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((seen.items["a"].text.as_str(), seen.items["b"].text.as_str()), ("by ann", "by bob"));
    assert_eq!(seen.item_positions["b"], place);
}

/// [B54] Cards that are too large for one update come in several, each of which the gate takes.
#[test]
fn large_cards_come_in_several_updates() {
    let (draft, board) = (Doc::new(), Doc::new());
    for n in 0..40 {
        let text = "x".repeat(100 << 10);
        let edit = Edit::AddItem { id: format!("c{n}"), text, column: None, position: None };
        apply(&draft, &edit, Author { user: "ann", now_ms: 7 }).unwrap();
    }
    let copied = copy(&full(&draft), &full(&board), "ann", 77, FIRST).unwrap();
    println!("{} updates of {:?} bytes", copied.updates.len(), copied.updates.iter().map(Vec::len).max());
    assert!(copied.updates.len() > 1);
    let mut gate = gate::Gate::new();
    for update in &copied.updates {
        assert!(!gate.admit(update, gate::Source::Update).unwrap().dropped.is_gap());
        merge(&board, update);
    }
    assert_eq!(count(&board), 40);
}

/// [B54] So do large cards of Yjs 14: what they take is told by their fields, not by how they are written as XML.
#[test]
fn large_cards_of_yjs_14_come_in_several_updates() {
    let (draft, board) = (Doc::new(), Doc::new());
    for n in 0..24 {
        xml_card(&mut draft.transact_mut(), &format!("c{n}"), &"x".repeat(100 << 10), n % 2 == 0);
    }
    let copied = copy(&full(&draft), &full(&board), "ann", 77, FIRST).unwrap();
    let lengths: Vec<_> = copied.updates.iter().map(Vec::len).collect();
    println!("{lengths:?}");
    assert!(lengths.len() > 1 && lengths.iter().all(|len| *len <= UPDATE_BYTES_MAX));
}

/// [B53] A board that hides its cards is not copied into, and what changes in a draft does not follow.
#[test]
fn nothing_comes_into_a_board_that_hides() {
    let (draft, board) = (Doc::new(), Doc::new());
    add(&draft, "a", "ann");
    let before = full(&draft);
    merge(&board, &copy(&before, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    board.get_or_insert_map(META).insert(&mut board.transact_mut(), "hideCards", true);
    let text = Edit::SetItemText { id: "a".to_owned(), text: "later".to_owned() };
    apply(&draft, &text, Author { user: "ann", now_ms: 8 }).unwrap();
    add(&draft, "b", "ann");
    let copied = copy(&full(&draft), &full(&board), "ann", 78, FIRST).unwrap();
    // Moved before they were hidden again.
    let moved = vec![Moved { at: FIRST, card: "a".to_owned(), id: "a".to_owned() }];
    let late = Late::new(&before, FIRST, moved).unwrap();
    let followed = late.onto(&full(&board), "ann", 78, SECOND).unwrap();
    println!("{copied:?} {followed:?}");
    assert!(copied.hides && copied.updates.is_empty() && copied.cards.is_empty());
    assert_eq!(followed, Followed { update: None, hides: true });
}

/// [B53] Whether cards are hidden is one value of `meta`; showing them sets it.
#[test]
fn showing_is_one_value() {
    let board = Doc::new();
    assert!(!hides(&board));
    board.get_or_insert_map(META).insert(&mut board.transact_mut(), "hideCards", true);
    assert!(hides(&board));
    merge(&board, &show(&full(&board), 9).unwrap());
    assert!(!hides(&board));
}

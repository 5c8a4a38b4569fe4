//! What authors do to cards that were moved out of their drafts already.

use super::*;

fn set_text(doc: &Doc, id: &str, text: &str, user: &str) {
    let edit = Edit::SetItemText { id: id.to_owned(), text: text.to_owned() };
    apply(doc, &edit, Author { user, now_ms: 8 }).unwrap();
}

/// A card whose text is a shared one.
fn add_shared(doc: &Doc, id: &str, text: &str) {
    add(doc, id, "ann");
    let mut transaction = doc.transact_mut();
    let card = as_map(&card_of(&transaction, id).unwrap()).unwrap();
    card.insert(&mut transaction, "text", TextPrelim::new(text));
}

/// Somebody types: takes away so many letters somewhere, and writes others there.
fn type_at(doc: &Doc, id: &str, (at, len): (u32, u32), letters: &str) {
    let mut transaction = doc.transact_mut();
    let card = as_map(&card_of(&transaction, id).unwrap()).unwrap();
    let text = as_text(&card.get(&transaction, "text").unwrap()).unwrap();
    text.remove_range(&mut transaction, at, len);
    text.insert(&mut transaction, at, letters);
}

/// A copy of a draft that its author has taken along, and the draft without its cards.
fn taken_along(draft: &Doc) -> Doc {
    let along = Doc::new();
    merge(&along, &full(draft));
    let (cards, _) = cards_of(&full(draft)).unwrap();
    merge(draft, &remove(&full(draft), &cards).unwrap());
    along
}

/// All that the server does for one more record of a draft: `records` are those behind the state as which the cards were moved.
fn server(base: &[u8], records: &[Vec<u8>], draft: &Doc, board: &Doc, client: ClientId) -> bool {
    let at = |n: usize| Position { seq: FIRST.seq + n as u64, ms: FIRST.ms + n as u64 };
    let moved = copy(&full(draft), &full(board), "ann", client, at(records.len())).unwrap().moved;
    let mut late = Late::new(base, FIRST, moved).unwrap();
    for (n, record) in records.iter().enumerate() {
        late.pass(at(n + 1), record).unwrap();
    }
    let followed = late.onto(&full(board), "ann", client, at(records.len())).unwrap();
    followed.update.inspect(|update| merge(board, update)).is_some()
}

/// [B70] A card is taken out of its draft, and its author, who has not heard of it, goes on with it: each change comes, once, also
/// if the server does it again after others have changed the card since.
#[test]
fn what_changes_after_the_removal_follows() {
    let (draft, board) = (Doc::new(), Doc::new());
    ["a", "b", "c"].iter().for_each(|card| add(&draft, card, "ann"));
    let base = full(&draft);
    merge(&board, &copy(&base, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    let along = taken_along(&draft);
    let mut records = vec![remove(&base, &["a", "b", "c"].map(str::to_owned)).unwrap()];
    assert!(!server(&base, &records, &draft, &board, 78), "nothing was changed");
    let mut note = |edit: &dyn Fn()| {
        let before = along.transact().state_vector();
        edit();
        records.push(along.transact().encode_diff_v1(&before));
        merge(&draft, records.last().unwrap());
        records.clone()
    };
    let first = note(&|| set_text(&along, "a", "on the plane", "ann"));
    assert_eq!(count(&draft), 0, "the draft shows nothing of it");
    assert!(server(&base, &first, &draft, &board, 79));
    assert_eq!(view(&board).items["a"].text, "on the plane");
    assert!(!server(&base, &first, &draft, &board, 80), "done again, nothing comes of it");
    set_text(&board, "a", "by bob", "bob");
    assert!(!server(&base, &first, &draft, &board, 81), "nor after somebody has changed it");
    assert_eq!((view(&board).items["a"].text.as_str(), view(&board).items.len()), ("by bob", 3));
    let ann = Author { user: "ann", now_ms: 9 };
    let place = Point { x: 9.0, y: 9.0 };
    let second = note(&|| {
        apply(&along, &Edit::MoveItem { id: "b".to_owned(), position: place }, ann).unwrap();
        group(&along, "b", "g");
        apply(&along, &Edit::SetItemColumn { id: "c".to_owned(), column: Some("ideas".to_owned()) }, ann)
            .unwrap();
    });
    assert!(server(&base, &second, &draft, &board, 82));
    let seen = view(&board);
    println!("{seen:?}");
    assert_eq!((seen.item_positions["b"], seen.item_groups["b"].as_str()), (place, "g"));
    assert_eq!(
        (seen.groups["g"].title.as_str(), seen.items["c"].column.as_deref()),
        ("Build", Some("ideas"))
    );
    assert_eq!(seen.items["a"].text, "by bob");
    assert!(!server(&base, &second, &draft, &board, 83));
}

/// [B72] Where somebody has changed the same on the board, nothing of either is lost that somebody has written: two values of a text
/// become two cards, the second of which follows its author from there on. A card's column and place are the board's.
#[test]
fn two_texts_become_two_cards() {
    let (draft, board) = (Doc::new(), Doc::new());
    ["a", "b", "gone"].iter().for_each(|card| add(&draft, card, "ann"));
    let base = full(&draft);
    merge(&board, &copy(&base, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    let along = taken_along(&draft);
    let (ann, bob) = (Author { user: "ann", now_ms: 8 }, Author { user: "bob", now_ms: 8 });
    let column = |column: &str| Edit::SetItemColumn { id: "b".to_owned(), column: Some(column.to_owned()) };
    set_text(&board, "a", "by bob", "bob");
    apply(&board, &column("bobs"), bob).unwrap();
    apply(&board, &Edit::DeleteItem { id: "gone".to_owned() }, bob).unwrap();
    let before = along.transact().state_vector();
    set_text(&along, "a", "by ann", "ann");
    set_text(&along, "gone", "by ann", "ann");
    apply(&along, &column("anns"), ann).unwrap();
    let mut records = vec![along.transact().encode_diff_v1(&before)];
    assert!(server(&base, &records, &draft, &board, 78));
    let beside = |seen: &crate::board::view::RetroRoomState| {
        let mut cards = seen.items.iter().filter(|(id, _)| id.starts_with("a-"));
        let (id, item) = cards.next().expect("a second card");
        assert!(cards.next().is_none());
        (id.clone(), item.clone())
    };
    let seen = view(&board);
    println!("{:?} {:?}", seen.items, seen.item_positions);
    let (id, item) = beside(&seen);
    assert_eq!((seen.items["a"].text.as_str(), item.text.as_str()), ("by bob", "by ann"));
    assert_eq!((item.author.as_deref(), seen.items.len()), (Some("ann"), 3));
    assert_eq!(seen.items["b"].column.as_deref(), Some("bobs"));
    assert_ne!(seen.item_positions["a"], seen.item_positions[&id], "one does not lie under the other");
    assert!(!server(&base, &records, &draft, &board, 79));
    let before = along.transact().state_vector();
    set_text(&along, "a", "by ann, later", "ann");
    records.push(along.transact().encode_diff_v1(&before));
    assert!(server(&base, &records, &draft, &board, 80));
    let seen = view(&board);
    assert_eq!((seen.items["a"].text.as_str(), beside(&seen).1.text.as_str()), ("by bob", "by ann, later"));
}

/// [B72] In a shared text, what both have typed is there, where each has typed it; only where both have changed the same words there
/// are two cards.
#[test]
fn shared_texts_become_one() {
    for (own, others, expected) in [
        (&[((0, 0), "Really ")][..], &[((8, 0), " today")][..], "Really buy milk today"),
        (&[((4, 4), "oat milk")], &[((0, 3), "get")], "get oat milk"),
        (&[((8, 0), " and 🥚")], &[((8, 0), ", bread")], "buy milk, bread and 🥚"),
        (&[((8, 0), "!"), ((0, 3), "sell")], &[((4, 0), "🥛 ")], ""),
        (&[((4, 4), "tea")], &[((4, 4), "coffee")], ""),
        (&[((0, 8), "")], &[], ""),
    ] {
        let (draft, board) = (Doc::new(), Doc::new());
        add_shared(&draft, "a", "buy milk");
        let base = full(&draft);
        merge(&board, &copy(&base, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
        let along = taken_along(&draft);
        let before = along.transact().state_vector();
        own.iter().for_each(|(at, letters)| type_at(&along, "a", *at, letters));
        let own_text = view(&along).items["a"].text.clone();
        others.iter().for_each(|(at, letters)| type_at(&board, "a", *at, letters));
        let others_text = view(&board).items["a"].text.clone();
        let records = vec![along.transact().encode_diff_v1(&before)];
        // Somebody who types at this moment, and whose letters come after.
        let typing = Doc::new();
        merge(&typing, &full(&board));
        let vector = typing.transact().state_vector();
        type_at(&typing, "a", (0, 0), ">");
        assert!(server(&base, &records, &draft, &board, 78));
        let seen = view(&board);
        let texts: Vec<&str> = seen.items.values().map(|item| item.text.as_str()).collect();
        println!("{own_text:?} and {others_text:?}: {texts:?}");
        let two = [others_text.as_str(), own_text.as_str()];
        let one = [if others.is_empty() { own_text.as_str() } else { expected }];
        assert_eq!(texts, if expected.is_empty() && !others.is_empty() { &two[..] } else { &one[..] });
        merge(&board, &typing.transact().encode_diff_v1(&vector));
        assert!(view(&board).items["a"].text.contains('>'), "what is typed at that moment stays");
        assert!(!server(&base, &records, &draft, &board, 79), "again, nothing is new");
    }
}

/// [B70] A second page of the author, which has heard that the card is gone, tells of that with all that it deletes: what the first
/// one has typed stays.
#[test]
fn a_page_that_has_heard_takes_nothing_away() {
    let (draft, board) = (Doc::new(), Doc::new());
    add_shared(&draft, "a", "milk");
    add_shared(&draft, "b", "tea");
    let base = full(&draft);
    merge(&board, &copy(&base, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    let along = taken_along(&draft);
    let before = along.transact().state_vector();
    type_at(&along, "a", (0, 1), "s");
    let mut records = vec![remove(&base, &["a", "b"].map(str::to_owned)).unwrap()];
    records.push(along.transact().encode_diff_v1(&before));
    // All of the draft, with every delete: more than the gate lets in.
    merge(&draft, &records[1]);
    add(&draft, "new", "ann");
    records.push(full(&draft));
    assert!(server(&base, &records, &draft, &board, 78));
    let seen = view(&board);
    println!("{:?}", seen.items);
    assert_eq!((seen.items["a"].text.as_str(), seen.items["b"].text.as_str()), ("silk", "tea"));
}

/// [B70] A card that is one plain object is set anew as a whole: what differs follows, field by field.
#[test]
fn a_plain_object_that_is_set_anew_follows() {
    let object = |text: &str| {
        let fields = [("text".to_owned(), text.into()), ("column".to_owned(), "well".into())];
        Any::Map(std::sync::Arc::new(fields.into()))
    };
    let (draft, board) = (Doc::new(), Doc::new());
    let items = draft.get_or_insert_map(ITEMS);
    items.insert(&mut draft.transact_mut(), "a", object("plain"));
    let base = full(&draft);
    merge(&board, &copy(&base, &full(&board), "ann", 77, FIRST).unwrap().updates[0]);
    let along = taken_along(&draft);
    let mut records = vec![remove(&base, &["a".to_owned()]).unwrap()];
    let before = along.transact().state_vector();
    along.get_or_insert_map(ITEMS).insert(&mut along.transact_mut(), "a", object("later"));
    records.push(along.transact().encode_diff_v1(&before));
    merge(&draft, &records[1]);
    set_text(&board, "a", "plain", "bob");
    assert!(server(&base, &records, &draft, &board, 78));
    let seen = view(&board);
    println!("{:?}", seen.items);
    assert_eq!((seen.items["a"].text.as_str(), seen.items["a"].column.as_deref()), ("later", Some("well")));
    assert_eq!((seen.items["a"].author.as_deref(), seen.items.len()), (Some("ann"), 1));
}

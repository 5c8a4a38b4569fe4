//! Edits and the view together.

use std::collections::BTreeMap;

use proptest::prelude::*;
use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::{
    Any, Array, ArrayPrelim, Doc, Map, MapPrelim, MapRef, Out, ReadTxn, Text, TextPrelim, Transact,
    TransactionMut, Update, WriteTxn, XmlElementPrelim, XmlFragmentPrelim,
};

use super::edit::{Author, Edit, EditError, apply};
use super::rules::{Reason, may};
use super::schema::{Column, ITEMS, META, Phase, Point, ROOTS, VOTES, vote_key};
use super::shared::{as_map, as_text};
use super::view::view;
use crate::caller::Role;

const ANN: Author<'_> = Author { user: "ann", now_ms: 1_700_000_000_000 };
const BOB: Author<'_> = Author { user: "bob", now_ms: 1_700_000_000_001 };

fn add(id: &str) -> Edit {
    let position = Some(Point { x: 1.0, y: 2.0 });
    Edit::AddItem {
        id: id.to_owned(),
        text: format!("text of {id}"),
        column: Some("well".to_owned()),
        position,
    }
}

fn vote(target: &str, count: u32) -> Edit {
    Edit::Vote { target: target.to_owned(), count }
}

fn done(doc: &Doc, edits: &[Edit], author: Author<'_>) {
    for edit in edits {
        apply(doc, edit, author).unwrap_or_else(|error| panic!("{edit:?}: {error}"));
    }
}

/// [B2] What an edit writes, the view reads back.
#[test]
fn edits_are_read_back() {
    let doc = Doc::new();
    let group = |title: &str, order| Edit::SetGroup { id: "g".to_owned(), title: title.to_owned(), order };
    let action = |id: &str, order, done| Edit::SetActionItem {
        id: id.to_owned(),
        text: format!("do {id}"),
        assignee: Some("bob".to_owned()),
        due: None,
        done,
        order,
    };
    let meta = Edit::SetMeta {
        title: Some("Sprint 7".to_owned()),
        phase: Some(Phase::Vote),
        columns: Some(vec![Column {
            id: "well".to_owned(),
            title: "Well".to_owned(),
            color: Some("#00ff00".to_owned()),
        }]),
        vote_limit: Some(3),
        timer_ends_at: Some(1_700_000_300_000),
        hide_cards: Some(true),
    };
    done(
        &doc,
        &[meta, add("a"), add("b"), add("c"), group("Build", Some(2.5)), action("x", Some(2.0), false)],
        ANN,
    );
    done(&doc, &[action("y", None, true), action("z", Some(1.0), false), vote("a", 2), vote("g", 1)], BOB);
    let to_group = |id: &str| Edit::SetItemGroup { id: id.to_owned(), group: Some("g".to_owned()) };
    let move_b = Edit::MoveItem { id: "b".to_owned(), position: Point { x: -3.456, y: 7.0 } };
    let color = Edit::SetSignatureColor { signature: "ann".to_owned(), color: "#aabbcc".to_owned() };
    done(&doc, &[to_group("a"), to_group("b"), move_b, color, Edit::DeleteItem { id: "c".to_owned() }], ANN);

    let board = view(&doc);
    println!("{}", serde_json::to_string_pretty(&board).unwrap());
    assert_eq!(
        (board.meta.title.as_str(), board.meta.phase, board.meta.vote_limit),
        ("Sprint 7", Phase::Vote, 3)
    );
    assert_eq!((board.meta.columns.len(), board.meta.hide_cards), (1, true));
    assert_eq!(board.meta.timer_ends_at, Some(1_700_000_300_000));
    assert_eq!(board.items.keys().collect::<Vec<_>>(), ["a", "b"]);
    let item = &board.items["a"];
    assert_eq!(
        (item.text.as_str(), item.author.as_deref(), item.created_at),
        ("text of a", Some("ann"), Some(ANN.now_ms))
    );
    assert_eq!(board.item_positions["b"], Point { x: -3.46, y: 7.0 });
    assert_eq!(board.item_groups["a"], "g");
    assert_eq!((board.groups["g"].title.as_str(), board.groups["g"].order), ("Build", Some(2.5)));
    assert_eq!(board.signature_colors["ann"], "#aabbcc");
    assert_eq!(board.action_items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["z", "x", "y"]);
    assert_eq!(board.all_user_votes["bob"], BTreeMap::from([("a".to_owned(), 2), ("g".to_owned(), 1)]));
    let again: super::view::RetroRoomState =
        serde_json::from_value(serde_json::to_value(&board).unwrap()).unwrap();
    assert_eq!(again, board);
}

/// [B2] An edit that cannot be made says why, and nothing is written: not even the state vector moves.
#[test]
fn what_cannot_be_written_is_refused_whole() {
    let doc = Doc::new();
    done(&doc, &[add("a")], ANN);
    let before = doc.transact().encode_state_as_update_v1(&yrs::StateVector::default());
    let id = || "nowhere".to_owned();
    let long = |len| "x".repeat(len);
    let cases = [
        add("a"),
        add(""),
        add(&long(129)),
        Edit::SetItemText { id: "a".to_owned(), text: long(200_000) },
        Edit::SetItemText { id: id(), text: String::new() },
        Edit::MoveItem { id: "a".to_owned(), position: Point { x: f64::NAN, y: 0.0 } },
        Edit::DeleteItem { id: id() },
        Edit::DeleteGroup { id: id() },
        Edit::DeleteActionItem { id: id() },
        Edit::SetItemGroup { id: "a".to_owned(), group: Some(id()) },
        Edit::SetGroup { id: "g".to_owned(), title: "two\nlines".to_owned(), order: None },
        Edit::SetGroup { id: "g".to_owned(), title: String::new(), order: Some(f64::INFINITY) },
        vote("a", 1_000),
        vote("nowhere", 1),
        Edit::SetSignatureColor { signature: "ann".to_owned(), color: "red".to_owned() },
    ];
    for edit in cases {
        let error = apply(&doc, &edit, ANN).expect_err("it is refused");
        println!("{error}");
        let after = doc.transact().encode_state_as_update_v1(&yrs::StateVector::default());
        assert_eq!(after, before, "{edit:?}");
    }
    assert_eq!(
        apply(&doc, &Edit::DeleteItem { id: id() }, ANN),
        Err(EditError::NotThere { what: "card", id: id() })
    );
}

/// [B3] Two tabs of one person vote at once, beyond the limit; the limit is lowered; a card goes: each time every
/// copy counts the same votes, and never more than there are.
#[test]
fn every_copy_counts_the_same_votes() {
    let (one, two) = (Doc::new(), Doc::new());
    done(
        &one,
        &[
            add("a"),
            add("b"),
            add("c"),
            Edit::SetMeta {
                title: None,
                phase: None,
                columns: None,
                vote_limit: Some(4),
                timer_ends_at: None,
                hide_cards: None,
            },
        ],
        ANN,
    );
    meet(&one, &two);
    done(&one, &[vote("a", 3), vote("b", 1)], ANN);
    done(&two, &[vote("b", 2), vote("c", 2)], ANN);
    meet(&one, &two);
    let (here, there) = (view(&one), view(&two));
    println!("{:?}", here.all_user_votes);
    assert_eq!(here, there);
    assert_eq!(here.all_user_votes["ann"].values().sum::<u32>(), 4);

    let lower = Edit::SetMeta {
        title: None,
        phase: None,
        columns: None,
        vote_limit: Some(2),
        timer_ends_at: None,
        hide_cards: None,
    };
    done(&one, &[lower], BOB);
    assert_eq!(view(&one).all_user_votes["ann"].values().sum::<u32>(), 2);
    done(&one, &["a", "b", "c"].map(|id| Edit::DeleteItem { id: id.to_owned() }), BOB);
    assert!(view(&one).all_user_votes.is_empty(), "votes on what is gone are given back");
}

/// Each learns all that the other has.
fn meet(one: &Doc, two: &Doc) {
    for (from, to) in [(one, two), (two, one)] {
        let update = from.transact().encode_diff_v1(&to.transact().state_vector());
        to.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
    }
}

/// [B1] A plain object where a map is expected, a shared text where a text is: both are read. What has another form
/// is passed over, and the rest of the board is there.
#[test]
fn foreign_values_are_read_or_passed_over() {
    let doc = Doc::new();
    {
        let mut transaction = doc.transact_mut();
        let items = transaction.get_or_insert_map(ITEMS);
        items.insert(
            &mut transaction,
            "plain",
            Any::Map(std::sync::Arc::new([("text".to_owned(), Any::from("hi"))].into())),
        );
        let shared = items.insert(&mut transaction, "shared", MapPrelim::default());
        shared.insert(&mut transaction, "text", TextPrelim::new("together"));
        shared.insert(&mut transaction, "column", 7);
        items.insert(&mut transaction, "number", 7);
        items.insert(&mut transaction, "list", ArrayPrelim::from([1, 2]));
        items.insert(&mut transaction, "", "no id");
        let meta = transaction.get_or_insert_map(META);
        meta.insert(&mut transaction, "phase", "party");
        meta.insert(&mut transaction, "voteLimit", -3);
        meta.insert(&mut transaction, "timerEndsAt", f64::NAN);
        meta.insert(&mut transaction, "columns", "none");
        meta.insert(&mut transaction, "unknown", true);
        let votes = transaction.get_or_insert_map(VOTES);
        votes.insert(&mut transaction, vote_key("ann", "plain"), 1.5);
        votes.insert(&mut transaction, "no key", 1);
        votes.insert(&mut transaction, vote_key("ann", "shared"), 2);
    }
    let board = view(&doc);
    println!("{}", serde_json::to_string(&board).unwrap());
    assert_eq!(board.items.keys().collect::<Vec<_>>(), ["list", "plain", "shared"]);
    assert_eq!((board.items["plain"].text.as_str(), board.items["shared"].text.as_str()), ("hi", "together"));
    assert_eq!(board.items["shared"].column, None);
    assert_eq!((board.meta.phase, board.meta.vote_limit, board.meta.timer_ends_at), (Phase::Write, 5, None));
    assert_eq!(board.all_user_votes["ann"], BTreeMap::from([("shared".to_owned(), 2)]));
}

/// A card as Yjs 14 writes one, and its text: types that have no name, or one, and are not said to be a map or a text.
pub(super) fn xml_card(transaction: &mut TransactionMut<'_>, id: &str, text: &str, named: bool) -> MapRef {
    fn xml(transaction: &mut TransactionMut<'_>, map: &MapRef, key: &str, named: bool) -> Out {
        match named {
            true => Out::YXmlElement(map.insert(transaction, key, XmlElementPrelim::empty("p"))),
            false => Out::YXmlFragment(map.insert(transaction, key, XmlFragmentPrelim::default())),
        }
    }
    let items = transaction.get_or_insert_map(ITEMS);
    let card = as_map(&xml(transaction, &items, id, named)).unwrap();
    let shared = as_text(&xml(transaction, &card, "text", named)).unwrap();
    shared.insert(transaction, 0, text);
    shared.format(transaction, 0, 1, [("bold".into(), Any::from(true))].into());
    card.insert(transaction, "column", "well");
    card
}

/// [B1] [B2] Cards and texts of Yjs 14, which come as XML elements and fragments, are read like all others, and edited where they
/// are.
#[test]
fn cards_of_yjs_14_are_cards() {
    for named in [false, true] {
        let doc = Doc::new();
        {
            let mut transaction = doc.transact_mut();
            let card = xml_card(&mut transaction, "a", "shared 🙂", named);
            card.insert(&mut transaction, "author", "ann");
        }
        let item = view(&doc).items.remove("a").expect("a card");
        println!("{item:?}");
        assert_eq!((item.text.as_str(), item.column.as_deref()), ("shared 🙂", Some("well")));
        let text = Edit::SetItemText { id: "a".to_owned(), text: "other".to_owned() };
        assert_eq!(may(&text, Role::Editor, Some("bob"), &doc), Ok(()));
        done(&doc, &[text], BOB);
        let after = view(&doc).items.remove("a").expect("a card");
        assert_eq!((after.text.as_str(), after.author.as_deref()), ("other", Some("ann")));
        assert_eq!(after.column.as_deref(), Some("well"));
        let is_same = matches!(
            doc.transact().get_map(ITEMS).unwrap().get(&doc.transact(), "a"),
            Some(Out::YXmlElement(_) | Out::YXmlFragment(_))
        );
        assert!(is_same, "it is not another card");
    }
}

/// [B2] A card that is a plain object becomes a map with all of its fields when one of them is edited; that is to replace it, so only
/// who may do that may.
#[test]
fn a_plain_card_keeps_its_fields() {
    let doc = Doc::new();
    let fields = [("text", "old"), ("author", "ann"), ("column", "well"), ("later", "kept")];
    let fields = fields.map(|(key, value)| (key.to_owned(), Any::from(value)));
    {
        let mut transaction = doc.transact_mut();
        let items = transaction.get_or_insert_map(ITEMS);
        items.insert(&mut transaction, "a", Any::Map(std::sync::Arc::new(fields.into())));
    }
    let text = Edit::SetItemText { id: "a".to_owned(), text: "new".to_owned() };
    let column = Edit::SetItemColumn { id: "a".to_owned(), column: None };
    for edit in [&text, &column] {
        assert_eq!(may(edit, Role::Editor, Some("bob"), &doc), Err(Reason::OthersCard));
        assert_eq!(may(edit, Role::Editor, Some("ann"), &doc), Ok(()));
        assert_eq!(may(edit, Role::Facilitator, Some("fay"), &doc), Ok(()));
    }
    done(&doc, &[text.clone()], ANN);
    let item = &view(&doc).items["a"];
    println!("{item:?}");
    assert_eq!((item.text.as_str(), item.author.as_deref()), ("new", Some("ann")));
    assert_eq!(item.column.as_deref(), Some("well"));
    assert_eq!(may(&text, Role::Editor, Some("bob"), &doc), Ok(()), "a field of a map is anybody's");
    let json = doc.transact().get_map(ITEMS).unwrap().to_json(&doc.transact());
    assert!(json.to_string().contains("kept"), "{json}");
}

/// Anything under any key of any root: what a hostile client may have put there.
fn junk(doc: &Doc, root: usize, key: &str, kind: u8) {
    let mut transaction = doc.transact_mut();
    if kind == 7 {
        let text = transaction.get_or_insert_text(ROOTS[root]);
        text.push(&mut transaction, key);
        return;
    }
    if kind == 6 {
        let list = transaction.get_or_insert_array(ROOTS[root]);
        list.push_back(&mut transaction, key);
        return;
    }
    let map = transaction.get_or_insert_map(ROOTS[root]);
    match kind {
        0 => drop(map.insert(&mut transaction, key, Any::Null)),
        1 => drop(map.insert(&mut transaction, key, f64::INFINITY)),
        2 => drop(map.insert(&mut transaction, key, "🂡\u{202e}\u{0}")),
        3 => drop(map.insert(&mut transaction, key, TextPrelim::new("x"))),
        4 => drop(map.insert(&mut transaction, key, ArrayPrelim::from([1, 2]))),
        8 => drop(xml_card(&mut transaction, key, "xml", root % 2 == 0)),
        _ => {
            let inner = map.insert(&mut transaction, key, MapPrelim::default());
            inner.insert(&mut transaction, "text", 1);
        }
    }
}

/// An edit of a small world, so that edits meet.
fn any_edit() -> impl Strategy<Value = Edit> {
    let id = || prop::sample::select(vec!["a", "b", "c", "g", "h"]).prop_map(str::to_owned);
    prop_oneof![
        id().prop_map(|id| add(&id)),
        (id(), ".{0,8}").prop_map(|(id, text)| Edit::SetItemText { id, text }),
        (id(), any::<f64>(), any::<f64>())
            .prop_map(|(id, x, y)| Edit::MoveItem { id, position: Point { x, y } }),
        id().prop_map(|id| Edit::DeleteItem { id }),
        (id(), prop::option::of(id())).prop_map(|(id, group)| Edit::SetItemGroup { id, group }),
        (id(), ".{0,8}").prop_map(|(id, title)| Edit::SetGroup { id, title, order: None }),
        id().prop_map(|id| Edit::DeleteGroup { id }),
        (id(), 0u32..9).prop_map(|(target, count)| Edit::Vote { target, count }),
        (0u32..12).prop_map(|limit| Edit::SetMeta {
            title: None,
            phase: None,
            columns: None,
            vote_limit: Some(limit),
            timer_ends_at: None,
            hide_cards: None
        }),
    ]
}

proptest! {
    /// [B1, B3] Whatever edits and junk several people make at once, in whatever order they hear of it: the view ends,
    /// is the same for all, and nobody has more votes than the limit.
    #[test]
    fn no_mix_of_edits_breaks_the_view(
        edits in prop::collection::vec((0usize..3, any_edit()), 0..60),
        junks in prop::collection::vec((0usize..3, 0usize..8, "[a-d/%]{0,3}", 0u8..9), 0..12),
    ) {
        let docs = [Doc::new(), Doc::new(), Doc::new()];
        let names = ["ann", "bob", "ann"]; // the first and the last are tabs of one person
        let mut junks = junks.into_iter();
        for (n, (who, edit)) in edits.iter().enumerate() {
            let _ = apply(&docs[*who], edit, Author { user: names[*who], now_ms: n as u64 });
            if n % 5 == 0 && let Some((who, root, key, kind)) = junks.next() {
                junk(&docs[who], root, &key, kind);
            }
            if n % 7 == 0 {
                meet(&docs[n % 3], &docs[(n + 1) % 3]);
            }
        }
        for (one, two) in [(0, 1), (1, 2), (0, 1)] {
            meet(&docs[one], &docs[two]);
        }
        let boards = docs.each_ref().map(view);
        prop_assert_eq!(&boards[0], &boards[1], "{:?} {:?}", docs[0].to_json(&docs[0].transact()), docs[1].transact().state_vector());
        prop_assert_eq!(&boards[0], &boards[2]);
        for votes in boards[0].all_user_votes.values() {
            prop_assert!(votes.values().sum::<u32>() <= boards[0].meta.vote_limit);
        }
    }
}

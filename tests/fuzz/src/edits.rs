//! Edits in JSON: what is made of them is what the gate takes, complete; what is refused has left nothing behind.
//!
//! The first byte of the input says what the rest is: the body of a `PATCH`, for a document that has something of
//! everything; a list of a board's edits, for a board; a board, for an empty room.

use std::sync::LazyLock;

use ruang::board::edit::{Author, Edit as BoardEdit, make};
use ruang::board::import::{Brought, Takes, write};
use ruang::board::rules::{fits, may};
use ruang::board::view::view;
use ruang::caller::Role;
use ruang::document::Document;
use ruang::edit::{Edit, EditError, update_of};
use ruang::gate::{Gate, Source};
use serde_json::Value;
use yrs::{
    Array, ArrayPrelim, Map, MapPrelim, Text, Transact, TransactionMut, WriteTxn, XmlElementPrelim,
    XmlFragment,
};

/// Who wrote what is there.
const BEFORE: u64 = 1;
/// Who edits.
const EDITOR: u64 = 2;
const NOTHING: [u8; 2] = [0, 0];
const AUTHOR: Author<'_> = Author { user: "ada", now_ms: 1_795_000_000_000 };

/// What somebody writes into a new document, as an update.
fn written(write: impl FnOnce(&mut TransactionMut<'_>)) -> Vec<u8> {
    let document = Document::of_client(BEFORE);
    write(&mut document.doc().transact_mut());
    document.encode_full()
}

static OF_EVERYTHING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    written(|transaction| {
        let map = transaction.get_or_insert_map("m");
        map.insert(transaction, "k", 1);
        let inner = map.insert(transaction, "inner", MapPrelim::from([("a", "b")]));
        inner.insert(transaction, "list", ArrayPrelim::from([1, 2, 3]));
        let array = transaction.get_or_insert_array("a");
        array.insert_range(transaction, 0, ["one", "two", "three"]);
        array.push_back(transaction, MapPrelim::from([("x", 1)]));
        transaction.get_or_insert_text("t").push(transaction, "ab😀cd");
        transaction.get_or_insert_xml_fragment("x").push_back(transaction, XmlElementPrelim::empty("p"));
    })
});

static BOARD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let edits = r##"[{"type":"setMeta","columns":[{"id":"went","title":"Went well"}],"phase":"write"},
        {"type":"addItem","id":"i","text":"a card","column":"went","position":{"x":1,"y":2.5}},
        {"type":"setGroup","id":"g","title":"a group","order":1},
        {"type":"setItemGroup","id":"i","group":"g"},
        {"type":"vote","target":"i","count":2},
        {"type":"setSignatureColor","signature":"ada","color":"#123abc"},
        {"type":"setActionItem","id":"do","text":"do it","assignee":"ada","due":"2026-12-01"}]"##;
    let edits: Vec<BoardEdit> = serde_json::from_str(edits).expect("edits of a board");
    written(|transaction| {
        edits.iter().for_each(|edit| make(transaction, edit, AUTHOR).expect("it can be made"))
    })
});

/// What was made is taken by the gate of the room that it was made for, and folds there.
fn folded(full: &[u8], update: &[u8], source: Source) -> Document {
    let (mut gate, mut document) = (Gate::new(), Document::new());
    gate.learn_order([]).expect("nothing is in order");
    gate.admit(full, Source::Record).expect("it is in the log");
    document.apply(&[full]).expect("it is in the log");
    if update == NOTHING {
        return document;
    }
    let admission = gate.admit(update, source).expect("what the server makes is taken");
    assert!(!admission.dropped.is_gap(), "completely");
    if let Some(remainder) = admission.remainder {
        document.apply(&[&remainder.update]).expect("what is admitted folds");
    }
    document
}

fn patch(json: &[u8]) -> bool {
    let Ok(edit) = serde_json::from_slice::<Edit>(json) else { return false };
    match update_of(&OF_EVERYTHING, &edit, EDITOR, &|| false) {
        Ok(update) => {
            folded(&OF_EVERYTHING, &update, Source::Update);
            true
        }
        Err(EditError::Operation { .. } | EditError::Count(_)) => false,
        Err(error) => panic!("an honest document can be edited: {error}"),
    }
}

fn board_edits(json: &[u8]) -> bool {
    let Ok(edits) = serde_json::from_slice::<Vec<BoardEdit>>(json) else { return false };
    let again = serde_json::to_vec(&edits).expect("they are JSON");
    let again: Vec<BoardEdit> = serde_json::from_slice(&again).expect("what is written is read");
    assert_eq!(again, edits, "as it was");
    let mut document = Document::of_client(EDITOR);
    document.apply(&[&BOARD]).expect("it is a board");
    for edit in &edits {
        for role in Role::ALL {
            let _ = may(edit, role, Some("ada"), document.doc());
        }
        let mut transaction = document.doc().transact_mut();
        let made = make(&mut transaction, edit, AUTHOR);
        let update = transaction.encode_update_v1();
        drop(transaction);
        assert!(made.is_ok() || update == NOTHING, "a refused edit leaves nothing behind: {edit:?}");
    }
    let full = document.encode_full();
    fits(&full).expect("edits of a board leave a board");
    let folded = folded(&BOARD, &full, Source::Step2);
    assert_eq!(json_of(&folded), json_of(&document), "and everybody sees the same");
    true
}

fn board(json: &[u8]) -> bool {
    let Ok(brought) = serde_json::from_slice::<Brought>(json) else { return false };
    let Some(first) = taken_in(&brought) else { return false };
    let exported = json_of(&first);
    let brought = serde_json::from_value(exported.clone()).expect("what was exported is a board");
    let second = taken_in(&brought).expect("and can be taken in");
    assert_eq!(json_of(&second), exported, "as it was");
    true
}

/// A room with what was brought; `None` if it is refused.
fn taken_in(brought: &Brought) -> Option<Document> {
    let document = Document::of_client(EDITOR);
    let mut transaction = document.doc().transact_mut();
    let taken = write(&mut transaction, brought, Takes::default());
    let update = transaction.encode_update_v1();
    drop(transaction);
    if taken.is_err() {
        assert_eq!(update, NOTHING, "a refused board leaves nothing behind");
        return None;
    }
    fits(&update).expect("what is taken in is a board");
    Some(folded(&NOTHING, &update, Source::Step2))
}

fn json_of(document: &Document) -> Value {
    serde_json::to_value(view(document.doc())).expect("a board is JSON")
}

/// See the module. Whether something was made.
pub fn run(input: &[u8]) -> bool {
    let Some((&which, json)) = input.split_first() else { return false };
    match which % 3 {
        0 => patch(json),
        1 => board_edits(json),
        _ => board(json),
    }
}

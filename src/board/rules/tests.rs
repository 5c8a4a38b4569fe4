//! The table: role by place by operation, each with its undo and redo.

use std::collections::BTreeMap;

use yrs::undo::UndoManager;
use yrs::updates::decoder::Decode;
use yrs::{Any, ClientID, Doc, Map, MapPrelim, MapRef, OffsetKind, Options, Out, ReadTxn, Text, TextPrelim};
use yrs::{Transact, TransactionMut, Update, WriteTxn};

use super::*;
use crate::board::edit::{Author, Edit, apply};
use crate::board::schema::{Phase, Point, ROOTS, vote_key};
use crate::gate::{Gate, Remainder, Source};

/// A board on which ann has a card, bob has one with a shared text, and one is nobody's; with one value in each root.
fn board() -> Doc {
    let doc = Doc::with_client_id(1);
    let mut t = doc.transact_mut();
    for (id, author) in [("anns", Some("ann")), ("bobs", Some("bob")), ("nobodys", None)] {
        let card = t.get_or_insert_map("items").insert(&mut t, id, MapPrelim::default());
        card.insert(&mut t, "text", format!("text of {id}"));
        card.insert(&mut t, "createdAt", 1_700_000_000_000_i64);
        if let Some(author) = author {
            card.insert(&mut t, "author", author);
        }
    }
    let bobs = map(&t, "items", "bobs");
    bobs.insert(&mut t, "text", TextPrelim::new("shared"));
    for root in ["groups", "actionItems"] {
        let entry = t.get_or_insert_map(root).insert(&mut t, "x", MapPrelim::default());
        entry.insert(&mut t, "title", "x");
    }
    for (root, key) in [
        ("meta", "title"),
        ("itemPositions", "anns"),
        ("itemGroups", "anns"),
        ("signatureColors", "ann"),
        ("votes", "ann/anns"),
        ("votes", "bob/anns"),
    ] {
        t.get_or_insert_map(root).insert(&mut t, key, 1);
    }
    drop(t);
    doc
}

fn map(t: &TransactionMut<'_>, root: &str, id: &str) -> MapRef {
    match t.get_map(root).and_then(|map| map.get(t, id)) {
        Some(Out::YMap(map)) => map,
        other => panic!("{root}/{id}: {other:?}"),
    }
}

type Does = fn(&mut TransactionMut<'_>);

/// What people do, by place: for ann. With what an editor who is ann gets, and what an editor without a name does.
const OPERATIONS: [(&str, Does, Option<Reason>); 34] = {
    use Reason as R;
    [
        ("items: adds a card of one's own", |t| card(t, "new", Some("ann")), None),
        ("items: adds a card that says nothing of its author", |t| card(t, "new", None), None),
        ("items: adds a card of somebody else's", |t| card(t, "new", Some("bob")), Some(R::AuthorIsNotYou)),
        ("items: adds a card as one value", |t| set(t, "items", "new", plain_card("ann")), None),
        (
            "items: somebody else's as one value",
            |t| set(t, "items", "new", plain_card("bob")),
            Some(R::AuthorIsNotYou),
        ),
        ("items: sets the text of one's own card", |t| field(t, "anns", "text", "new"), None),
        ("items: sets the text of another's card", |t| field(t, "bobs", "text", "new"), None),
        ("items: writes in the text of another's card", write, None),
        ("items: sets the column of another's card", |t| field(t, "bobs", "column", "well"), None),
        ("items: sets what a newer schema has", |t| field(t, "bobs", "mood", "fine"), None),
        ("items: signs one's own card again", |t| field(t, "anns", "author", "ann"), None),
        ("items: gives one's own card away", |t| field(t, "anns", "author", "bob"), Some(R::AuthorIsNotYou)),
        ("items: takes nobody's card", |t| field(t, "nobodys", "author", "ann"), None),
        ("items: takes another's card", |t| field(t, "bobs", "author", "ann"), Some(R::OthersSignature)),
        ("items: unsigns another's card", |t| unset(t, "bobs", "author"), Some(R::OthersSignature)),
        (
            "items: changes when another's card was made",
            |t| field(t, "bobs", "createdAt", 1),
            Some(R::OthersSignature),
        ),
        ("items: takes away one's own card", |t| remove(t, "items", "anns"), None),
        ("items: takes away nobody's card", |t| remove(t, "items", "nobodys"), None),
        ("items: takes away another's card", |t| remove(t, "items", "bobs"), Some(R::OthersCard)),
        ("items: replaces another's card", |t| card(t, "bobs", Some("ann")), Some(R::OthersCard)),
        ("items: replaces one's own card", |t| card(t, "anns", Some("ann")), None),
        ("itemPositions: moves a card", |t| set(t, "itemPositions", "anns", 2), None),
        ("itemGroups: groups a card", |t| set(t, "itemGroups", "bobs", "x"), None),
        ("itemGroups: takes a card out", |t| remove(t, "itemGroups", "anns"), None),
        ("groups: makes a group", |t| entry(t, "groups", "new"), None),
        ("groups: takes a group away", |t| remove(t, "groups", "x"), None),
        ("signatureColors: sets a color", |t| set(t, "signatureColors", "bob", "#aabbcc"), None),
        ("actionItems: notes something to do", |t| entry(t, "actionItems", "new"), None),
        ("actionItems: takes it off", |t| remove(t, "actionItems", "x"), None),
        ("votes: votes", |t| set(t, "votes", "ann/bobs", 1), None),
        ("votes: takes a vote back", |t| remove(t, "votes", "ann/anns"), None),
        ("votes: votes for another", |t| set(t, "votes", "bob/bobs", 1), Some(R::OthersVotes)),
        ("votes: takes another's vote back", |t| remove(t, "votes", "bob/anns"), Some(R::OthersVotes)),
        ("meta: sets the title", |t| set(t, "meta", "title", "new"), Some(R::Meta)),
    ]
};

/// What nobody may put anywhere.
const SHAPES: [(&str, Does, Reason); 8] = [
    ("another root", |t| set(t, "cursors", "ann", 1), Reason::UnknownRoot),
    ("a text as a root", |t| t.get_or_insert_text("notes").push(t, "x"), Reason::UnknownRoot),
    ("a list as a root of the board", |t| t.get_or_insert_text("items").push(t, "x"), Reason::Misplaced),
    ("a map for a position", |t| entry(t, "itemPositions", "anns"), Reason::NotPlain),
    (
        "a map in a card",
        |t| {
            map(t, "items", "anns").insert(t, "more", MapPrelim::default());
        },
        Reason::NotPlain,
    ),
    (
        "a text as a title",
        |t| {
            map(t, "groups", "x").insert(t, "title", TextPrelim::new("x"));
        },
        Reason::NotPlain,
    ),
    ("a large position", |t| set(t, "itemPositions", "anns", "x".repeat(5 << 10)), Reason::TooLarge),
    ("a large text", |t| field(t, "anns", "text", "x".repeat(161 << 10)), Reason::TooLarge),
];

fn set(t: &mut TransactionMut<'_>, root: &str, key: &str, value: impl Into<Any>) {
    t.get_or_insert_map(root).insert(t, key, value.into());
}

fn remove(t: &mut TransactionMut<'_>, root: &str, key: &str) {
    t.get_or_insert_map(root).remove(t, key);
}

fn entry(t: &mut TransactionMut<'_>, root: &str, id: &str) {
    let entry = t.get_or_insert_map(root).insert(t, id, MapPrelim::default());
    entry.insert(t, "title", "new");
}

fn card(t: &mut TransactionMut<'_>, id: &str, author: Option<&str>) {
    let card = t.get_or_insert_map("items").insert(t, id, MapPrelim::default());
    card.insert(t, "text", "new");
    card.insert(t, "createdAt", 1);
    if let Some(author) = author {
        card.insert(t, "author", author);
    }
}

fn plain_card(author: &str) -> Any {
    Any::from(std::collections::HashMap::from([("author".to_owned(), Any::from(author))]))
}

fn field(t: &mut TransactionMut<'_>, id: &str, field: &str, value: impl Into<Any>) {
    map(t, "items", id).insert(t, field, value.into());
}

fn unset(t: &mut TransactionMut<'_>, id: &str, field: &str) {
    map(t, "items", id).remove(t, field);
}

fn write(t: &mut TransactionMut<'_>) {
    let Some(Out::YText(text)) = map(t, "items", "bobs").get(t, "text") else { panic!("it is shared") };
    text.insert(t, 2, "!");
    text.format(t, 0, 3, [("bold".into(), Any::from(true))].into());
    text.remove_range(t, 4, 1);
}

/// The board as ann's browser has it, and as the gate has it.
struct Page {
    doc: Doc,
    gate: Gate,
    server: crate::document::Document,
}

impl Page {
    fn open() -> Self {
        let options =
            Options { client_id: ClientID::new(77), offset_kind: OffsetKind::Utf16, ..Options::default() };
        let doc = Doc::with_options(options);
        let (mut server, mut gate) = (crate::document::Document::new(), Gate::new());
        let update = board().transact().encode_state_as_update_v1(&yrs::StateVector::default());
        gate.admit(&update, Source::Record).unwrap();
        gate.note_deleted(&server.apply(&[&update]).unwrap());
        doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
        Self { doc, gate, server }
    }

    /// What the rules say of an update; it is taken in.
    fn judge(&mut self, update: &[u8], who: &Who<'_>) -> Result<(), Reason> {
        let Some(admitted) = self.gate.admit(update, Source::Update).unwrap().remainder else {
            return Ok(());
        };
        let judged = judge_all(&self.gate, &admitted, who, self.server.doc());
        let deleted = self.server.apply(&[&admitted.update]).unwrap();
        self.gate.note_deleted(&deleted);
        self.gate.settle(&admitted.receipt);
        judged
    }
}

fn judge_all(gate: &Gate, admitted: &Remainder, who: &Who<'_>, doc: &Doc) -> Result<(), Reason> {
    let transaction = doc.transact();
    let before = Document::new(&transaction);
    let mut judged = Ok(());
    let shown = gate.acts(admitted, |act| match judge(act, who, &before) {
        Verdict::Allowed => {}
        Verdict::Broken(reason) => judged = judged.and(Err(reason)),
        Verdict::Unclear => panic!("nothing is under way"),
    });
    shown.unwrap();
    judged
}

const ROLES: [(Role, Option<&str>); 5] = [
    (Role::Viewer, Some("ann")),
    (Role::Editor, Some("ann")),
    (Role::Editor, None),
    (Role::Facilitator, Some("ann")),
    (Role::Admin, Some("ann")),
];

/// [B20] [B21] [B22] [B23] Who may do what, by role and place; and that undo and redo of what is allowed are allowed, each
/// of both, twice.
#[test]
fn the_table_of_rights() {
    for (what, does, editor) in OPERATIONS {
        let mut row = String::new();
        for (role, user) in ROLES {
            let expected = match (role, editor) {
                (Role::Viewer, _) => Some(Reason::ReadOnly),
                (Role::Admin, _) => None,
                // Votes are nobody's but the voter's; whose something is is unknown without a name.
                (_, Some(Reason::OthersVotes)) => user.map(|_| Reason::OthersVotes),
                (Role::Facilitator, _) => None,
                (_, Some(Reason::Meta)) => editor,
                (Role::Editor, _) => editor.filter(|_| user.is_some()),
            };
            let who = Who { role, user, only_shape: false };
            let mut page = Page::open();
            let found = with_undo(&mut page, does, &who, what);
            assert_eq!(found.err(), expected, "{role} {user:?}: {what}");
            let shape = Who { only_shape: true, ..who };
            assert_eq!(
                with_undo(&mut Page::open(), does, &shape, what),
                Ok(()),
                "what was lost comes back: {what}"
            );
            let name = format!("{role}{}", if user.is_none() { " without a name" } else { "" });
            row += &format!(" {name}: {};", found.err().map_or("may", Reason::code));
        }
        println!("{what}:{row}");
    }
}

/// [B39] A document from elsewhere is a board, or is not; what was deleted in it is not asked.
#[test]
fn documents_from_elsewhere_fit_or_do_not() {
    let all = |doc: &Doc| doc.transact().encode_state_as_update_v1(&yrs::StateVector::default());
    assert_eq!(fits(&all(&board())), Ok(()));
    assert_eq!(fits(&[0, 0]), Ok(()));
    for (what, does, reason) in SHAPES {
        let doc = Page::open().doc;
        edit(&doc, does);
        assert_eq!(fits(&all(&doc)), Err(reason), "{what}");
    }
    let doc = Page::open().doc;
    edit(&doc, |t| entry(t, "itemPositions", "anns"));
    edit(&doc, |t| remove(t, "itemPositions", "anns"));
    assert_eq!(fits(&all(&doc)), Ok(()), "it is gone");
    assert_eq!(fits(b"\x01"), Err(Reason::Misplaced));
}

/// [B24] What may stand where holds for everyone.
#[test]
fn the_table_of_shapes() {
    for (what, does, reason) in SHAPES {
        for (role, user) in ROLES.into_iter().filter(|(role, _)| *role != Role::Viewer) {
            for only_shape in [false, true] {
                let who = Who { role, user, only_shape };
                let mut page = Page::open();
                let update = edit(&page.doc, does);
                assert_eq!(page.judge(&update, &who), Err(reason), "{role}: {what}");
            }
        }
        println!("{what}: {}", reason.code());
    }
}

fn edit(doc: &Doc, does: Does) -> Vec<u8> {
    let mut transaction = doc.transact_mut();
    does(&mut transaction);
    transaction.encode_update_v1()
}

/// Does something, and if it may be done takes it back and does it again.
fn with_undo(page: &mut Page, does: Does, who: &Who<'_>, what: &str) -> Result<(), Reason> {
    let mut undo: UndoManager<()> = UndoManager::new();
    for root in ROOTS {
        let map = page.doc.get_or_insert_map(root);
        undo.expand_scope(&page.doc, &map);
    }
    let doc = page.doc.clone();
    let updates = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let collected = std::sync::Arc::clone(&updates);
    doc.observe_update_v1("updates", move |_, event| collected.lock().unwrap().push(event.update.clone()))
        .unwrap();
    does(&mut doc.transact_mut());
    let mut judged = Ok(());
    for turn in ["does", "undoes", "redoes", "undoes again"] {
        for update in std::mem::take(&mut *updates.lock().unwrap()) {
            let found = page.judge(&update, who);
            assert!(turn == "does" || found.is_ok(), "{what}, {turn}: {found:?}");
            judged = judged.and(found);
        }
        judged?;
        let done = match turn {
            "does" | "redoes" => undo.undo_blocking(),
            _ => undo.redo_blocking(),
        };
        assert!(done, "{what}: there is something to undo");
    }
    judged
}

/// [B31] The rules for typed edits are those of the gate: what may be made is taken as it is, and what may not is broken.
#[test]
fn typed_edits_are_judged_as_the_gate_judges() {
    let id = |id: &str| id.to_owned();
    let edits = [
        Edit::AddItem {
            id: id("new"),
            text: id("x"),
            column: Some(id("well")),
            position: Some(Point { x: 1.0, y: 2.0 }),
        },
        Edit::SetItemText { id: id("bobs"), text: id("x") },
        Edit::SetItemColumn { id: id("bobs"), column: Some(id("well")) },
        Edit::MoveItem { id: id("bobs"), position: Point { x: 1.0, y: 2.0 } },
        Edit::DeleteItem { id: id("anns") },
        Edit::DeleteItem { id: id("bobs") },
        Edit::DeleteItem { id: id("nobodys") },
        Edit::SetItemGroup { id: id("bobs"), group: Some(id("x")) },
        Edit::SetGroup { id: id("new"), title: id("x"), order: Some(1.0) },
        Edit::DeleteGroup { id: id("x") },
        Edit::Vote { target: id("bobs"), count: 2 },
        Edit::Vote { target: id("anns"), count: 0 },
        Edit::SetSignatureColor { signature: id("ann"), color: id("#aabbcc") },
        Edit::SetActionItem {
            id: id("x"),
            text: id("x"),
            assignee: None,
            due: None,
            done: true,
            order: None,
        },
        Edit::DeleteActionItem { id: id("x") },
        Edit::SetMeta {
            title: Some(id("x")),
            phase: Some(Phase::Vote),
            columns: None,
            vote_limit: Some(3),
            timer_ends_at: None,
            hide_cards: None,
        },
    ];
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    for edit in edits {
        for (role, user) in ROLES {
            let mut page = Page::open();
            let said = may(&edit, role, user, &page.doc);
            let before = page.doc.transact().state_vector();
            apply(&page.doc, &edit, Author { user: user.unwrap_or("somebody"), now_ms: 1 }).unwrap();
            let update = page.doc.transact().encode_state_as_update_v1(&before);
            let found = page.judge(&update, &Who { role, user, only_shape: false });
            assert_eq!(said, found, "{role} {user:?}: {edit:?}");
            *table.entry(format!("{edit:?}")).or_default() +=
                &format!(" {role}: {};", said.err().map_or("may", Reason::code));
        }
    }
    table.iter().for_each(|(edit, row)| println!("{edit}:{row}"));
}

/// [B20] Codes are words for programs, and each is one rule's.
#[test]
fn codes_are_one_rules_each() {
    let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        println!("{}: {reason}", reason.code());
        assert!(reason.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        assert!(reason.to_string().len() <= 123, "it fits into a close frame");
    }
    assert_eq!(vote_key("a/b", "t"), "a%2Fb/t");
    assert!(is_vote_key_of("a%2Fb/t", "a/b") && !is_vote_key_of("a%2Fb/t", "a"));
}

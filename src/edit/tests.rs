use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::{
    Doc, Map, MapPrelim, OffsetKind, Options, ReadTxn, StateVector, Text, TextPrelim, Transact, Update,
};

use super::*;
use crate::document::Document;
use crate::gate::{Gate, Source};

/// What a document becomes by an edit, by way of the gate as on a server.
struct World {
    gate: Gate,
    document: Document,
    client: u64,
}

impl World {
    fn new() -> Self {
        Self { gate: Gate::new(), document: Document::new(), client: 100 }
    }

    fn take(&mut self, update: &[u8]) {
        let admission = self.gate.admit(update, Source::Update).expect("the gate takes it");
        assert!(!admission.dropped.is_gap(), "nothing is missing");
        if let Some(remainder) = admission.remainder {
            let deleted = self.document.apply(&[&remainder.update]).expect("it folds");
            self.gate.note_deleted(&deleted);
        }
    }

    fn edit(&mut self, edit: Value) -> Result<(), EditError> {
        let edit: Edit = serde_json::from_value(edit).expect("an edit");
        self.client += 1;
        let full = self.document.encode_full();
        let update = update_of(&full, &edit, self.client, &|| false)?;
        assert_eq!(self.document.encode_full(), full, "it was made on a copy");
        self.take(&update);
        Ok(())
    }

    fn edited(&mut self, edit: Value) -> Value {
        self.edit(edit).expect("it fits");
        self.shown()
    }

    fn misfit(&mut self, operation: Value) -> Misfit {
        let before = self.document.encode_full();
        // What comes before a misfit is not done either.
        let edit = json!({
            "roots": { "m": "map", "l": "array", "t": "text" },
            "operations": [{ "op": "set", "path": ["m", "side effect"], "value": 1 }, operation],
        });
        match self.edit(edit) {
            Err(EditError::Operation { index: 1, why }) => {
                println!("{why}");
                assert_eq!(self.document.encode_full(), before);
                why
            }
            other => panic!("{operation}: {other:?}"),
        }
    }

    /// What a browser would show.
    fn shown(&self) -> Value {
        let doc = Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::default() });
        let (map, list, text) =
            (doc.get_or_insert_map("m"), doc.get_or_insert_array("l"), doc.get_or_insert_text("t"));
        let update = Update::decode_v1(&self.document.encode_full()).expect("an update");
        doc.transact_mut().apply_update(update).expect("it applies");
        let transaction = doc.transact();
        use yrs::GetString;
        use yrs::types::ToJson;
        let json = |any: yrs::Any| serde_json::to_value(any).expect("JSON");
        json!({
            "m": json(map.to_json(&transaction)), "l": json(list.to_json(&transaction)), "t": text.get_string(&transaction),
        })
    }
}

/// [P6] Keys, elements and texts are set, inserted and deleted, also in types that the edit itself has made.
#[test]
fn operations_do_what_they_say() {
    let mut world = World::new();
    let shown = world.edited(json!({
        "roots": { "m": "map", "l": "array", "t": "text" },
        "operations": [
            { "op": "set", "path": ["m", "a"], "value": { "x": [1, 2.5, null, true] } },
            { "op": "set", "path": ["m", "card"], "value": { "text": "hi" }, "as": "map" },
            { "op": "set", "path": ["m", "card", "votes"], "value": [7], "as": "array" },
            { "op": "insert", "path": ["m", "card", "votes"], "values": [8, 9] },
            { "op": "set", "path": ["m", "card", "note"], "value": "a😀c", "as": "text" },
            { "op": "insert", "path": ["m", "card", "note"], "at": 3, "text": "b" },
            { "op": "insert", "path": ["l"], "values": ["x", "y", { "z": 1 }] },
            { "op": "insert", "path": ["l"], "at": 0, "values": [{ "k": 0 }], "as": "map" },
            { "op": "set", "path": ["l", 0, "k"], "value": 1 },
            { "op": "insert", "path": ["t"], "text": "hello world" },
        ],
    }));
    let first = json!({
        "m": { "a": { "x": [1.0, 2.5, null, true] }, "card": { "text": "hi", "votes": [7.0, 8.0, 9.0], "note": "a😀bc" } },
        "l": [{ "k": 1.0 }, "x", "y", { "z": 1.0 }],
        "t": "hello world",
    });
    assert_eq!(floats(&shown), floats(&first));
    let shown = world.edited(json!({
        "operations": [
            { "op": "delete", "path": ["m", "a"] },
            { "op": "delete", "path": ["m", "card", "note"], "at": 1, "count": 2 },
            { "op": "set", "path": ["l", 1], "value": "w" },
            { "op": "delete", "path": ["l", 3] },
            { "op": "delete", "path": ["t"], "at": 5, "count": 6 },
            { "op": "delete", "path": ["m", "card", "votes"], "at": 0, "count": 3 },
            { "op": "insert", "path": ["m", "card", "votes"], "values": ["again"] },
        ],
    }));
    let second = json!({
        "m": { "card": { "text": "hi", "votes": ["again"], "note": "abc" } }, "l": [{ "k": 1.0 }, "w", "y"], "t": "hello",
    });
    assert_eq!(floats(&shown), floats(&second));
}

/// Whole numbers and others alike: one engine writes what the other reads.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(values) => values.iter().map(floats).collect(),
        Value::Object(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.clone(), floats(value))).collect())
        }
        other => other.clone(),
    }
}

/// [P6] An operation that does not fit says why, and nothing of its edit is done.
#[test]
fn what_does_not_fit_changes_nothing() {
    let mut world = World::new();
    world.edited(json!({
        "roots": { "m": "map", "l": "array", "t": "text" },
        "operations": [
            { "op": "set", "path": ["m", "plain"], "value": { "x": 1 } },
            { "op": "set", "path": ["m", "card"], "value": {}, "as": "map" },
            { "op": "insert", "path": ["l"], "values": [1, 2] },
            { "op": "insert", "path": ["t"], "text": "a😀" },
        ],
    }));
    let other = |step, is, wanted| Misfit::Other { step, is, wanted };
    let deep = (0..40).fold(json!(1), |value, _| json!([value]));
    let cases = [
        (json!({ "op": "set", "path": [], "value": 1 }), Misfit::Path),
        (json!({ "op": "set", "path": [3, "a"], "value": 1 }), Misfit::Path),
        (json!({ "op": "set", "path": ["m"], "value": 1 }), Misfit::RootItself),
        (json!({ "op": "delete", "path": ["m"] }), Misfit::RootItself),
        (json!({ "op": "set", "path": ["new", "a"], "value": 1 }), Misfit::UnknownRoot),
        (json!({ "op": "set", "path": ["m", "none", "a"], "value": 1 }), Misfit::Absent(1)),
        (json!({ "op": "set", "path": ["m", "plain", "x"], "value": 1 }), Misfit::Plain(1)),
        (json!({ "op": "set", "path": ["l", "a"], "value": 1 }), other(0, Held::Array, Held::Map)),
        (json!({ "op": "set", "path": ["m", 0], "value": 1 }), other(0, Held::Map, Held::Array)),
        (json!({ "op": "insert", "path": ["m"], "text": "x" }), other(0, Held::Map, Held::Text)),
        (json!({ "op": "insert", "path": ["t"], "values": [1] }), other(0, Held::Text, Held::Array)),
        (json!({ "op": "delete", "path": ["m", "card"], "at": 0 }), other(1, Held::Map, Held::Sequence)),
        (json!({ "op": "delete", "path": ["m", "none"] }), Misfit::Absent(1)),
        (json!({ "op": "set", "path": ["l", 2], "value": 1 }), Misfit::Beyond { at: 3, len: 2 }),
        (json!({ "op": "insert", "path": ["l"], "at": 3, "values": [1] }), Misfit::Beyond { at: 3, len: 2 }),
        (
            json!({ "op": "delete", "path": ["l"], "at": 1, "count": 4294967295_u32 }),
            Misfit::Beyond { at: 4294967296, len: 2 },
        ),
        (json!({ "op": "delete", "path": ["t"], "at": 0, "count": 2 }), Misfit::InsideCharacter(2)),
        (json!({ "op": "insert", "path": ["t"], "at": 2, "text": "x" }), Misfit::InsideCharacter(2)),
        (json!({ "op": "delete", "path": ["l"], "at": 0, "count": 0 }), Misfit::Count),
        (json!({ "op": "delete", "path": ["l"], "count": 1 }), Misfit::Count),
        (json!({ "op": "insert", "path": ["l"], "values": [] }), Misfit::Nothing),
        (json!({ "op": "insert", "path": ["t"], "text": "" }), Misfit::Nothing),
        (json!({ "op": "insert", "path": ["t"] }), Misfit::Nothing),
        (json!({ "op": "insert", "path": ["t"], "text": "x", "values": [1] }), Misfit::Nothing),
        (
            json!({ "op": "set", "path": ["m", "a"], "value": 1, "as": "map" }),
            Misfit::Shape("map", "an object"),
        ),
        (
            json!({ "op": "set", "path": ["m", "a"], "value": 1, "as": "text" }),
            Misfit::Shape("text", "a string"),
        ),
        (
            json!({ "op": "set", "path": ["m", "a"], "value": {}, "as": "array" }),
            Misfit::Shape("array", "a list"),
        ),
        (json!({ "op": "set", "path": ["m", "a"], "value": deep }), Misfit::Deep),
        (json!({ "op": "set", "path": ["m", ""], "value": 1 }), Misfit::Name),
        (json!({ "op": "set", "path": ["m", "k".repeat(1025)], "value": 1 }), Misfit::Name),
    ];
    for (operation, expected) in cases {
        assert_eq!(world.misfit(operation), expected);
    }
    let count = |operations: Vec<Value>| json!({ "operations": operations });
    assert!(matches!(world.edit(count(Vec::new())), Err(EditError::Count(0))));
    let one = json!({ "op": "set", "path": ["m", "a"], "value": 1 });
    assert!(matches!(world.edit(count(vec![one; 1_001])), Err(EditError::Count(1_001))));
}

/// [P6] What is no edit is refused before a document is looked at: unknown operations, unknown and missing fields.
#[test]
fn unknown_fields_are_refused() {
    for bad in [
        json!({}),
        json!([]),
        json!({ "operations": [{ "op": "move", "path": ["m", "a"] }] }),
        json!({ "operations": [{ "path": ["m", "a"], "value": 1 }] }),
        json!({ "operations": [{ "op": "set", "path": ["m", "a"] }] }),
        json!({ "operations": [{ "op": "set", "path": ["m", "a"], "value": 1, "count": 1 }] }),
        json!({ "operations": [{ "op": "set", "path": ["m", -1], "value": 1 }] }),
        json!({ "operations": [{ "op": "set", "path": ["m", 1.5], "value": 1 }] }),
        json!({ "operations": [], "roots": { "m": "xml" } }),
        json!({ "operations": [], "more": 1 }),
    ] {
        let error = serde_json::from_value::<Edit>(bad.clone());
        println!("{bad}: {error:?}");
        assert!(error.is_err(), "{bad}");
    }
}

/// [P6] Numbers arrive as JavaScript has them: never as a `BigInt`.
#[test]
fn numbers_are_those_of_javascript() {
    let mut world = World::new();
    for number in [
        "0",
        "-0.0",
        "7",
        "2147483648",
        "9007199254740993",
        "18446744073709551615",
        "1e300",
        "-9223372036854775808",
    ] {
        let value: Value = serde_json::from_str(number).expect("a number");
        world.edited(json!({ "roots": { "m": "map" }, "operations": [{ "op": "set", "path": ["m", "n"], "value": value }] }));
        let map = world.document.doc().get_or_insert_map("m");
        let stored = map.get(&world.document.doc().transact(), "n");
        println!("{number}: {stored:?}");
        let Some(yrs::Out::Any(any)) = stored else { panic!("a value") };
        let mut bytes = Vec::new();
        any.encode(&mut bytes);
        assert_ne!(bytes[0], 122, "a BigInt");
        assert_eq!(
            value.as_f64(),
            match any {
                yrs::Any::Number(yrs::any::Number::Int(whole)) => Some(whole as f64),
                yrs::Any::Number(yrs::any::Number::Float(float)) => Some(float),
                _ => None,
            }
        );
    }
}

/// [P6] A document says little of its types, and a hostile one lies: each is taken for what it holds, and nothing hangs.
#[test]
fn types_are_what_they_hold() {
    let mut world = World::new();
    // A text whose characters have two units, in a root that nobody has named: as an array it would never end.
    let doc = Doc::with_client_id(1);
    let (text, map) = (doc.get_or_insert_text("l"), doc.get_or_insert_map("m"));
    {
        let mut transaction = doc.transact_mut();
        text.push(&mut transaction, "😀😀");
        let inner = map.insert(&mut transaction, "inner", MapPrelim::default());
        inner.insert(&mut transaction, "text", TextPrelim::new(""));
    }
    world.take(&doc.transact().encode_state_as_update_v1(&StateVector::default()));
    let array = json!({ "op": "insert", "path": ["l"], "at": 1, "values": [1] });
    assert_eq!(world.misfit(array), Misfit::Other { step: 0, is: Held::Text, wanted: Held::Array });
    let by_index = json!({ "op": "set", "path": ["l", 0], "value": 1 });
    assert_eq!(world.misfit(by_index), Misfit::Other { step: 0, is: Held::Text, wanted: Held::Array });
    world
        .edit(json!({ "operations": [
        { "op": "insert", "path": ["l"], "at": 2, "text": "-" },
        { "op": "insert", "path": ["m", "inner", "text"], "text": "x" },
    ] }))
        .expect("it fits");
    use yrs::GetString;
    let text = world.document.doc().get_or_insert_text("l");
    assert_eq!(text.get_string(&world.document.doc().transact()), "😀-😀");
}

/// [P11] An edit that takes too long is given up between two operations.
#[test]
fn late_edits_are_given_up() {
    let edit =
        json!({ "roots": { "m": "map" }, "operations": [{ "op": "set", "path": ["m", "a"], "value": 1 }] });
    let edit: Edit = serde_json::from_value(edit).expect("an edit");
    assert!(matches!(update_of(&[0, 0], &edit, 1, &|| true), Err(EditError::TooLong)));
    assert!(matches!(update_of(&[1], &edit, 1, &|| false), Err(EditError::Copy(_))));
}

/// [P90] A panic while the engine edits is an error as others are, for who asked.
#[test]
fn a_panic_is_an_error() {
    let edit =
        json!({ "roots": { "m": "map" }, "operations": [{ "op": "set", "path": ["m", "a"], "value": 1 }] });
    let edit: Edit = serde_json::from_value(edit).expect("an edit");
    assert!(matches!(update_of(&[0, 0], &edit, 1, &|| panic!("a test")), Err(EditError::Engine)));
}

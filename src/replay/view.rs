//! A document as JSON, whatever its clients have put into it.
//!
//! Each shared type is read by what it holds, not by what it says it is: a root says nothing, and a hostile
//! client says anything. Sequences with text in them are read as text only: the engine's iterator over values
//! does not end on some texts. Depth is bounded by the gate.
//!
//! | holds | becomes |
//! |---|---|
//! | keys only | an object |
//! | text only | a string |
//! | values only | a list |
//! | text with embedded values | a list of strings and values, under `$text` if there are keys too |
//! | an XML element | `$tag`, its attributes and `$children` |
//! | bytes | `{"$bytes": "hex"}` |

use std::fmt::Write as _;

use serde_json::{Map as Object, Number, Value};
use yrs::branch::{Branch, BranchPtr};
use yrs::types::TypeRef;
use yrs::{Any, Array, ArrayRef, Doc, GetString, Map, MapRef, Out, ReadTxn, Text, TextRef, Transact};

use crate::limits::{PRINTED_ELEMENTS_MAX, TYPE_DEPTH_MAX, VALUE_DEPTH_MAX};

/// More levels than the gate lets in.
const DEPTH_MAX: usize = TYPE_DEPTH_MAX as usize + VALUE_DEPTH_MAX + 2;

/// The whole document, one entry for each root that holds or has held something; keys in byte order.
#[must_use]
pub fn json(doc: &Doc) -> Value {
    let transaction = doc.transact();
    let mut roots = Object::new();
    for (name, root) in transaction.root_refs() {
        roots.insert(name.to_owned(), shared(&transaction, &root, DEPTH_MAX));
    }
    Value::Object(roots)
}

/// Every single value of the document on a line of its own, after the path to it.
#[must_use]
pub fn text(document: &Value) -> String {
    let mut out = String::new();
    write_leaves(&mut out, "", document);
    out
}

fn write_leaves(out: &mut String, path: &str, value: &Value) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                // A key is one segment on one line.
                let key = key.replace('/', "~1").escape_debug().to_string();
                write_leaves(out, &below(&key), value);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                write_leaves(out, &below(&index.to_string()), value);
            }
        }
        value => {
            let _ = writeln!(out, "{path} {value}"); // a string takes all
        }
    }
}

fn shared<T: ReadTxn>(transaction: &T, value: &Out, depth: usize) -> Value {
    let branch: BranchPtr = match value {
        Out::Any(any) => return plain(any, depth),
        Out::YText(text) => branch_of(text),
        Out::YArray(array) => branch_of(array),
        Out::YMap(map) => branch_of(map),
        Out::YXmlElement(element) => branch_of(element),
        Out::YXmlFragment(fragment) => branch_of(fragment),
        Out::YXmlText(text) => branch_of(text),
        Out::UndefinedRef(branch) => *branch,
        Out::YDoc(_) => return Value::Null, // never admitted
    };
    let Some(depth) = depth.checked_sub(1) else { return Value::from("…") };
    let entries = keys(transaction, branch, depth);
    let sequence = sequence(transaction, branch, depth);
    match branch.type_ref() {
        TypeRef::XmlElement(tag) => element(tag, entries, sequence),
        _ => match (entries.is_empty(), sequence) {
            (false, None) => Value::Object(entries),
            (true, Some(sequence)) => sequence,
            (false, Some(sequence)) => {
                let mut entries = entries;
                let key = if sequence.is_string() { "$text" } else { "$list" };
                entries.insert(key.to_owned(), sequence);
                Value::Object(entries)
            }
            (true, None) => empty(branch.type_ref()),
        },
    }
}

fn branch_of<B: AsRef<Branch>>(shared: &B) -> BranchPtr {
    BranchPtr::from(shared.as_ref())
}

fn keys<T: ReadTxn>(transaction: &T, branch: BranchPtr, depth: usize) -> Object<String, Value> {
    let map = MapRef::from(branch);
    map.iter(transaction).map(|(key, value)| (key.to_owned(), shared(transaction, &value, depth))).collect()
}

/// Text, or text in pieces between what is embedded in it, or a list; nothing if it is empty.
fn sequence<T: ReadTxn>(transaction: &T, branch: BranchPtr, depth: usize) -> Option<Value> {
    let text = TextRef::from(branch);
    let whole = text.get_string(transaction);
    if !whole.is_empty() {
        let pieces = text.diff(transaction, |_| ());
        let embeds = pieces.iter().any(|piece| !matches!(piece.insert, Out::Any(Any::String(_))));
        if !embeds {
            return Some(Value::String(whole));
        }
        let pieces = pieces.iter().map(|piece| shared(transaction, &piece.insert, depth));
        return Some(list(pieces));
    }
    let array = ArrayRef::from(branch);
    if array.len(transaction) == 0 {
        return None;
    }
    Some(list(array.iter(transaction).map(|value| shared(transaction, &value, depth))))
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    let mut list: Vec<Value> = Vec::new();
    for value in values {
        if list.len() == PRINTED_ELEMENTS_MAX {
            list.push(Value::from("… and more"));
            break;
        }
        list.push(value);
    }
    Value::Array(list)
}

fn element(tag: &str, attributes: Object<String, Value>, children: Option<Value>) -> Value {
    let mut element = Object::new();
    element.insert("$tag".to_owned(), Value::from(tag));
    element.extend(attributes);
    if let Some(children) = children {
        element.insert("$children".to_owned(), children);
    }
    Value::Object(element)
}

/// What holds nothing is what it says it is; a root says nothing.
fn empty(type_ref: &TypeRef) -> Value {
    match type_ref {
        TypeRef::Map => Value::Object(Object::new()),
        TypeRef::Array | TypeRef::XmlFragment => Value::Array(Vec::new()),
        TypeRef::Text | TypeRef::XmlText => Value::from(""),
        _ => Value::Null,
    }
}

fn plain(any: &Any, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::from("…") };
    match any {
        Any::Null | Any::Undefined => Value::Null,
        Any::Bool(flag) => Value::Bool(*flag),
        Any::Number(number) => number_value(*number),
        Any::String(text) => Value::String(text.to_string()),
        Any::Buffer(bytes) => {
            let hex = bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}"); // a string takes all
                hex
            });
            Value::Object(Object::from_iter([("$bytes".to_owned(), Value::String(hex))]))
        }
        Any::Array(values) => list(values.iter().map(|value| plain(value, depth))),
        Any::Map(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.clone(), plain(value, depth))).collect())
        }
    }
}

/// Whole numbers without a point, as JavaScript writes them; what JSON has no number for is null.
fn number_value(number: yrs::any::Number) -> Value {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match number {
        yrs::any::Number::Int(whole) => Value::from(whole),
        yrs::any::Number::Float(float) if float.fract() == 0.0 && float.abs() < WHOLE_MAX => {
            Value::from(float as i64)
        }
        yrs::any::Number::Float(float) => Number::from_f64(float).map_or(Value::Null, Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use yrs::updates::decoder::Decode;
    use yrs::{ArrayPrelim, MapPrelim, TextPrelim, Update, XmlElementPrelim, XmlFragment, XmlTextPrelim};

    use super::*;

    /// [O13] Every kind of shared type and value has a form in JSON, whatever a root is asked for.
    #[test]
    fn documents_become_json() {
        let doc = Doc::with_client_id(1);
        let (map, notes) = (doc.get_or_insert_map("items"), doc.get_or_insert_text("notes"));
        let (list, xml) = (doc.get_or_insert_array("list"), doc.get_or_insert_xml_fragment("xml"));
        {
            let mut transaction = doc.transact_mut();
            let card = map.insert(&mut transaction, "a", MapPrelim::default());
            card.insert(&mut transaction, "text", TextPrelim::new("hi"));
            card.insert(&mut transaction, "x", 1.5);
            card.insert(&mut transaction, "n", 3.0);
            card.insert(&mut transaction, "raw", Any::Buffer(vec![1, 255].into()));
            card.insert(&mut transaction, "none", Any::Undefined);
            map.insert(&mut transaction, "empty", ArrayPrelim::default());
            notes.push(&mut transaction, "h😀llo");
            notes.insert_embed(&mut transaction, 1, Any::from(7));
            list.push_back(&mut transaction, 1);
            list.push_back(&mut transaction, Any::Array(vec![Any::Null, Any::Bool(true)].into()));
            let p = xml.push_back(&mut transaction, XmlElementPrelim::empty("p"));
            p.push_back(&mut transaction, XmlTextPrelim::new("in p"));
        }
        // As it comes out of a log: roots that nobody has named.
        let copy = Doc::with_client_id(2);
        let full = doc.transact().encode_diff_v1(&yrs::StateVector::default());
        copy.transact_mut().apply_update(Update::decode_v1(&full).unwrap()).unwrap();
        let expected = json!({
            "items": {
                "a": { "n": 3, "none": null, "raw": { "$bytes": "01ff" }, "text": "hi", "x": 1.5 },
                "empty": [],
            },
            "list": [1, [null, true]],
            "notes": ["h", 7, "😀llo"],
            "xml": [{ "$tag": "p", "$children": ["in p"] }],
        });
        assert_eq!(json(&copy), expected);
        let lines = text(&expected);
        assert!(lines.contains("items/a/text \"hi\"\n") && lines.contains("list/1/1 true\n"), "{lines}");
    }

    /// [O13] What makes the engine's own conversion spin for ever: text with a surrogate pair, in a sequence.
    #[test]
    fn texts_that_are_asked_for_as_lists_end() {
        let bytes: Vec<u8> = vec![
            0x01, 0x01, 0x01, 0x00, 0x04, 0x01, 0x01, 0x61, 0x08, 0xf0, 0x9f, 0x98, 0x80, 0xf0, 0x9f, 0x98,
            0x80, 0x00,
        ];
        let doc = Doc::with_options(yrs::Options {
            offset_kind: yrs::OffsetKind::Utf16,
            ..yrs::Options::default()
        });
        doc.transact_mut().apply_update(Update::decode_v1(&bytes).unwrap()).unwrap();
        assert_eq!(json(&doc), json!({ "a": "😀😀" }));
    }
}

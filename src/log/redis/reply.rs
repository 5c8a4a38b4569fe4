//! What Redis answers, taken apart: scripts answer with a list whose first word says what happened.
//!
//! Pure. What is not as it should be is an error that names script and key, never a panic: other programs can write
//! under our keys.

use bytes::Bytes;
use redis::Value;

use super::errors::Called;
use crate::log::LogError;

/// The answer of a script.
#[derive(Debug)]
pub(super) struct Reply {
    /// What happened.
    pub(super) word: String,
    values: Vec<Value>,
    what: &'static str,
    key: String,
}

impl Reply {
    pub(super) fn of(value: Value, called: Called<'_>) -> Result<Self, LogError> {
        let (what, key) = (called.what, called.key.to_owned());
        let values = match value {
            Value::Array(values) => values,
            // Words with a space between: a list costs Redis more.
            Value::BulkString(line) => {
                line.split(|byte| *byte == b' ').map(|word| Value::BulkString(word.to_vec())).collect()
            }
            other => return Err(unexpected(called, &format!("{other:?}"))),
        };
        let word = values.first().and_then(text).filter(|word| !word.is_empty());
        let word = word.ok_or_else(|| unexpected(called, "no word"))?;
        Ok(Self { word, values, what, key })
    }

    /// The value after the word, counted from 1.
    pub(super) fn text(&self, index: usize) -> Result<String, LogError> {
        self.values.get(index).and_then(text).ok_or_else(|| self.unexpected("a value is missing"))
    }

    /// The same as a number.
    pub(super) fn number(&self, index: usize) -> Result<u64, LogError> {
        self.text(index)?.parse().map_err(|_| self.unexpected("a value is no number"))
    }

    /// The values from one on, as a text; `None`: there are no more.
    pub(super) fn rest(&self, index: usize) -> Option<String> {
        let words: Vec<String> = self.values.iter().skip(index).filter_map(text).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, index: usize) -> Value {
        self.values.get_mut(index).map(std::mem::take).unwrap_or_default()
    }

    /// What every script may answer beside what it is for.
    pub(super) fn refusal(&self) -> LogError {
        let key = &self.key;
        match self.word.as_str() {
            "absent" => LogError::Moved("it does not exist".to_owned()),
            "newer" => newer(key, &self.text(1).unwrap_or_default()),
            "damaged" => LogError::Fatal(format!("{}: what Redis keeps under {key} is damaged", self.what)),
            word => self.unexpected(word),
        }
    }

    fn unexpected(&self, what: &str) -> LogError {
        unexpected(Called { what: self.what, key: &self.key, writes: true }, what)
    }
}

/// A room that a later version of this program has written.
pub(super) fn newer(key: &str, version: &str) -> LogError {
    LogError::Fatal(format!(
        "the room cannot be used: a newer ruang wrote {key}: its version is {version}, this ruang knows up to 1"
    ))
}

fn unexpected(called: Called<'_>, what: &str) -> LogError {
    LogError::Fatal(format!(
        "{} on {}: an answer of Redis is not as expected: {what}",
        called.what, called.key
    ))
}

/// A value as text; `None` for what is no text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Okay => Some("OK".to_owned()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A value as bytes, without copying them.
pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        Value::SimpleString(text) => Some(text.into_bytes().into()),
        _ => None,
    }
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The first number of its id.
    pub(super) ms: u64,
    /// The second one: the counter, if the entry is ours.
    pub(super) seq: u64,
    /// What is in its field `e`, if that is its only one.
    pub(super) record: Option<Bytes>,
}

impl Entry {
    /// Its id.
    pub(super) fn id(&self) -> String {
        format!("{}-{}", self.ms, self.seq)
    }
}

/// The answer to `XRANGE`; `None` if it is none.
pub(super) fn entries(value: Value) -> Option<Vec<Entry>> {
    let Value::Array(values) = value else { return None };
    values.into_iter().map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(mut parts) = value else { return None };
    if parts.len() != 2 {
        return None;
    }
    let fields = parts.pop()?;
    let id = text(&parts.pop()?)?;
    let (ms, seq) = id.split_once('-')?;
    Some(Entry { ms: ms.parse().ok()?, seq: seq.parse().ok()?, record: record(fields) })
}

/// The record in an entry's fields, if they are as we write them.
pub(super) fn record(fields: Value) -> Option<Bytes> {
    let mut flat = match fields {
        Value::Array(flat) => flat,
        _ => return None,
    };
    let value = (flat.len() == 2).then(|| flat.pop()).flatten()?;
    matches!(flat.first(), Some(Value::BulkString(field)) if field == b"e").then(|| bytes(value)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn list(values: Vec<Value>) -> Value {
        Value::Array(values)
    }

    /// [L82] Entries that are not as we write them keep their place and have no record.
    #[test]
    fn foreign_fields_are_no_record() {
        let id = || bulk("7-3");
        let read = |fields| entries(list(vec![list(vec![id(), fields])])).expect("entries");
        let expected = |record: Option<&str>| {
            vec![Entry { ms: 7, seq: 3, record: record.map(|text| Bytes::copy_from_slice(text.as_bytes())) }]
        };
        assert_eq!(read(list(vec![bulk("e"), bulk("x")])), expected(Some("x")));
        for foreign in [
            list(vec![bulk("f"), bulk("x")]),
            list(vec![bulk("e"), bulk("x"), bulk("f"), bulk("y")]),
            list(vec![bulk("f"), bulk("x"), bulk("e"), bulk("y")]),
            list(vec![]),
            Value::Nil,
        ] {
            assert_eq!(read(foreign), expected(None));
        }
        for odd in
            [bulk("x"), Value::Nil, list(vec![bulk("x")]), list(vec![list(vec![bulk("7"), Value::Nil])])]
        {
            assert_eq!(entries(odd), None);
        }
    }

    /// [L81] An answer that is none of ours is an error that names script and key.
    #[test]
    fn odd_answers_are_errors() {
        let called = Called { what: "append", key: "k", writes: true };
        for odd in [Value::Nil, Value::Okay, list(vec![]), list(vec![Value::Nil]), bulk("")] {
            let error = Reply::of(odd, called).expect_err("odd");
            assert!(error.to_string().contains("append on k"), "{error}");
        }
        let reply = Reply::of(list(vec![bulk("stored"), bulk("x")]), called).expect("a reply");
        assert!(reply.number(1).is_err() && reply.number(2).is_err());
        assert!(matches!(reply.refusal(), LogError::Fatal(_)));
        let line = Reply::of(bulk("stored 3 x and more"), called).expect("a reply");
        assert_eq!((line.word.as_str(), line.number(1)), ("stored", Ok(3)));
        assert_eq!((line.rest(3).as_deref(), line.rest(5)), (Some("and more"), None));
    }
}

//! What `y-leveldb` keeps: each document's updates under numbers, a state vector by which documents are listed, and
//! metadata of the application's own.

use super::leveldb::{LevelDb, LevelDbError};
use crate::wire::lib0::write_buffer;

/// The types of parts of a key.
const STRING: u8 = 0;
const NUMBER: u8 = 1;

/// The names of all documents, in the order of the store.
pub(super) fn names(store: &LevelDb) -> Result<Vec<String>, LevelDbError> {
    let from = key(&["v1_sv"]);
    let keys = store.keys(&from, &key(&["v1_sw"]))?;
    Ok(keys.iter().filter_map(|key| string(key.get(from.len()..)?)).collect())
}

/// A document's updates, oldest first.
pub(super) fn updates(store: &LevelDb, name: &str) -> Result<Vec<Vec<u8>>, LevelDbError> {
    let mut from = key(&["v1", name, "update"]);
    let mut to = from.clone();
    from.push(NUMBER);
    to.push(NUMBER + 1);
    Ok(store.range(&from, &to)?.into_iter().map(|(_, update)| update).collect())
}

/// How many entries of metadata a document has.
pub(super) fn metadata(store: &LevelDb, name: &str) -> Result<usize, LevelDbError> {
    Ok(store.keys(&key(&["v1", name, "meta"]), &key(&["v1", name, "metb"]))?.len())
}

fn key(parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::new();
    for part in parts {
        key.push(STRING);
        write_buffer(&mut key, part.as_bytes());
    }
    key
}

/// A part of a key that is a string and the last one.
fn string(part: &[u8]) -> Option<String> {
    let (kind, rest) = part.split_first()?;
    let mut reader = crate::wire::lib0::Reader::new(rest);
    let text = (*kind == STRING).then(|| reader.string().ok().map(str::to_owned))??;
    reader.is_empty().then_some(text)
}

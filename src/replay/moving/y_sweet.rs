//! What a y-sweet server keeps in its directory: for each document a file `NAME/data.ysweet`, which is a map of
//! bytes to bytes as `bincode` 1 writes it, with the keys of `yrs-kvstore`. Pure.

use super::SourceError;

/// The file in a document's directory.
pub(super) const FILE: &str = "data.ysweet";

/// The name under which y-sweet keeps the document in its file: the same in all of them.
const DOCUMENT_KEY: &[u8] = b"\0\0doc\0";

/// Keys of a document begin with these, then its number.
const SPACE: [u8; 2] = [0, 1];

// What a key of a document is about, after its number.
const STATE: u8 = 0;
const UPDATE: u8 = 2;

/// A document's state, then what came after it: all updates V1.
pub(super) fn updates(file: &[u8]) -> Result<Vec<Vec<u8>>, SourceError> {
    let entries = entries(file).ok_or(SourceError::NotYSweet)?;
    let number = entries.iter().find(|(key, _)| *key == DOCUMENT_KEY).map(|(_, number)| *number);
    // An empty document has no entries at all.
    let Some(number) = number else { return Ok(Vec::new()) };
    let start = [&SPACE[..], number].concat();
    let of_document = |kind: u8| {
        let start = [&start[..], &[kind]].concat();
        entries.iter().filter(move |(key, _)| key.starts_with(&start)).map(|(_, value)| value.to_vec())
    };
    // Keys come sorted, and numbers in them are big endian.
    Ok(of_document(STATE).chain(of_document(UPDATE)).collect())
}

/// A count, then for each entry a key and a value, each after its length: all numbers of 64 bits, little endian.
fn entries(file: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = file;
    let count = number(&mut rest)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push((blob(&mut rest)?, blob(&mut rest)?));
    }
    rest.is_empty().then_some(entries)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn blob<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (blob, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(blob)
}

//! Which keys of a root were ever set, in what an update holds: also those whose value is deleted.

use std::collections::HashSet;

use super::Refusal;
use super::block::{Parent, read_block};
use super::parse::parse;
use super::read::Reader;

/// The keys of a root under which an update has a first block. A deleted value leaves its block, without content, with the key;
/// in a whole document these are all keys that were ever set.
///
/// # Errors
/// The rule of form that the update breaks.
pub fn keys_of_root(update: &[u8], root: &str) -> Result<HashSet<String>, Refusal> {
    let parsed = parse::<true>(update)?;
    let mut keys = HashSet::new();
    for section in &parsed.sections {
        let mut reader = Reader::starting_at(parsed.bytes, section.bytes.0);
        for _ in 0..section.blocks {
            let block = read_block::<false>(&mut reader)?;
            if let (Some(Parent::Root(name)), Some(key)) = (block.parent, block.key)
                && name == root
                && !keys.contains(key)
            {
                keys.insert(key.to_owned());
            }
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use yrs::{Doc, Map, MapPrelim, ReadTxn, StateVector, Transact};

    use super::*;

    /// [B55] A key that was set is told, whether its value is there, was replaced, or is deleted and collected.
    #[test]
    fn keys_are_told_after_deletion() {
        let doc = Doc::with_client_id(1);
        let (items, others) = (doc.get_or_insert_map("items"), doc.get_or_insert_map("others"));
        let mut transaction = doc.transact_mut();
        for key in ["there", "deleted", "replaced"] {
            let card = items.insert(&mut transaction, key, MapPrelim::default());
            card.insert(&mut transaction, "text", key);
        }
        items.insert(&mut transaction, "replaced", 1);
        others.insert(&mut transaction, "elsewhere", 1);
        drop(transaction);
        items.remove(&mut doc.transact_mut(), "deleted");
        let full = doc.transact().encode_diff_v1(&StateVector::default());
        let mut keys: Vec<_> = keys_of_root(&full, "items").unwrap().into_iter().collect();
        keys.sort();
        println!("{keys:?}");
        assert_eq!(keys, ["deleted", "replaced", "there"]);
        // Also in a copy that has seen nothing but what is left.
        let copy = Doc::with_client_id(2);
        copy.transact_mut().apply_update(yrs::updates::decoder::Decode::decode_v1(&full).unwrap()).unwrap();
        let again = copy.transact().encode_diff_v1(&StateVector::default());
        assert_eq!(keys_of_root(&again, "items").unwrap(), keys.into_iter().collect());
        assert!(keys_of_root(b"\x01", "items").is_err());
    }
}

//! Whether two encodings are of one document. The engine keeps the entries of an object (a value with
//! several keys) in no order, so they come out in another one each time it encodes.

use std::collections::BTreeMap;

use super::block::read_block;
use super::parse::{Parsed, parse, read_range};
use super::ranges::Range;
use super::read::Reader;
use super::refusal::Refusal;
use crate::ids::ClientId;

/// Whether two updates that hold whole documents say the same: the same blocks in the same places,
/// the same deletions, and in each block the same content but for the order of its bytes, which is all
/// that can be compared of an object.
#[must_use]
pub fn same_document(one: &[u8], two: &[u8]) -> bool {
    if one == two {
        return true;
    }
    match (parse::<false>(one), parse::<false>(two)) {
        (Ok(one), Ok(two)) => same(&one, &two).unwrap_or(false),
        _ => false,
    }
}

fn same(one: &Parsed<'_>, two: &Parsed<'_>) -> Result<bool, Refusal> {
    if one.sections.len() != two.sections.len() {
        return Ok(false);
    }
    // Encoders write clients in one order.
    for (ours, theirs) in one.sections.iter().zip(&two.sections) {
        if (ours.client, ours.clocks, ours.blocks) != (theirs.client, theirs.clocks, theirs.blocks) {
            return Ok(false);
        }
        let mut readers =
            (Reader::starting_at(one.bytes, ours.bytes.0), Reader::starting_at(two.bytes, theirs.bytes.0));
        for _ in 0..ours.blocks {
            let from = (readers.0.at(), readers.1.at());
            let (a, b) = (read_block::<false>(&mut readers.0)?, read_block::<false>(&mut readers.1)?);
            let bytes = (&one.bytes[from.0..readers.0.at()], &two.bytes[from.1..readers.1.at()]);
            if !a.stands_like(&b) || !is_permuted(bytes.0, bytes.1) {
                return Ok(false);
            }
        }
    }
    Ok(deletions(one)? == deletions(two)?)
}

fn is_permuted(one: &[u8], two: &[u8]) -> bool {
    let counts = |bytes: &[u8]| {
        let mut counts = [0_u32; 256];
        bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        counts
    };
    one == two || one.len() == two.len() && counts(one) == counts(two)
}

fn deletions(update: &Parsed<'_>) -> Result<BTreeMap<ClientId, Vec<Range>>, Refusal> {
    let mut all = BTreeMap::new();
    for part in &update.deletes {
        let mut reader = Reader::starting_at(update.bytes, part.at);
        let ranges = (0..part.ranges).map(|_| read_range(&mut reader));
        all.insert(part.client, ranges.collect::<Result<Vec<Range>, Refusal>>()?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use yrs::updates::decoder::Decode;
    use yrs::{Any, Doc, Map, ReadTxn, StateVector, Text, Transact, Update};

    use super::*;

    fn encoded(doc: &Doc) -> Vec<u8> {
        doc.transact().encode_diff_v1(&StateVector::default())
    }

    /// Cards at these places, and a text of which something is deleted.
    fn board(places: &[(i64, i64)]) -> Doc {
        let doc = Doc::with_client_id(1);
        let (cards, notes) = (doc.get_or_insert_map("cards"), doc.get_or_insert_text("notes"));
        for (n, (x, y)) in places.iter().enumerate() {
            let place = format!(r#"{{"x":{x},"y":{y},"width":1,"height":2}}"#);
            let place = Any::from_json(&place).unwrap();
            cards.insert(&mut doc.transact_mut(), format!("card-{n}"), place);
        }
        notes.push(&mut doc.transact_mut(), "hello");
        notes.remove_range(&mut doc.transact_mut(), 1, 2);
        doc
    }

    /// [H3] An encoding is told from one of another document, also if that has the same bytes in other
    /// blocks; but not from the same one with its objects in another order.
    #[test]
    fn encodings_of_one_document_are_the_same() {
        let places: Vec<(i64, i64)> = (0..50).map(|n| (n, 60 - n)).collect();
        let first = encoded(&board(&places));
        let copy = Doc::with_client_id(2);
        copy.transact_mut().apply_update(Update::decode_v1(&first).unwrap()).unwrap();
        let second = encoded(&copy);
        assert_ne!(first, second, "fifty objects of four keys come out in another order");
        assert!(same_document(&first, &second));

        let mut swapped = places.clone();
        swapped.swap(3, 7);
        assert!(!same_document(&first, &encoded(&board(&swapped))), "two cards have changed places");
        let mut moved = places.clone();
        moved[9].0 += 1;
        assert!(!same_document(&first, &encoded(&board(&moved))));
        assert!(!same_document(&first, &encoded(&board(&places[1..]))));
        let deleted = board(&places);
        deleted.get_or_insert_text("notes").remove_range(&mut deleted.transact_mut(), 0, 1);
        assert!(!same_document(&first, &encoded(&deleted)));
        assert!(!same_document(&first, &first[..first.len() - 1]) && !same_document(&first, b"x"));
    }
}

//! What an update deletes by name, and the update without some of that: for who looks at what somebody has done apart from it.

use super::Refusal;
use super::parse::{parse, read_range};
use super::ranges::{Ranges, normalise, subtract};
use super::read::{Reader, put_number};
use super::write::{DeletePart, write_deletes};
use crate::ids::ClientId;

/// Every range of ids that an update deletes by name, as `(client, from, to)`, `to` exclusive.
///
/// # Errors
/// The rule of form that the update breaks.
pub fn deletes_of(update: &[u8]) -> Result<Vec<(ClientId, u32, u32)>, Refusal> {
    let parsed = parse::<true>(update)?;
    let mut deletes = Vec::new();
    for part in &parsed.deletes {
        let mut reader = Reader::starting_at(parsed.bytes, part.at);
        for _ in 0..part.ranges {
            let (from, to) = read_range(&mut reader)?;
            deletes.push((part.client, from, to));
        }
    }
    Ok(deletes)
}

/// Whether an update has blocks, so that it does more than delete.
///
/// # Errors
/// The rule of form that the update breaks.
pub fn has_blocks(update: &[u8]) -> Result<bool, Refusal> {
    Ok(!parse::<true>(update)?.sections.is_empty())
}

/// The same update, but that it does not delete these ids. Its blocks are as they were.
///
/// # Errors
/// The rule of form that the update breaks.
pub fn sparing(update: &[u8], spared: &[(ClientId, u32, u32)]) -> Result<Vec<u8>, Refusal> {
    let parsed = parse::<true>(update)?;
    let mut parts: Vec<DeletePart> = Vec::new();
    for part in &parsed.deletes {
        let mut reader = Reader::starting_at(parsed.bytes, part.at);
        let mut asked = (0..part.ranges).map(|_| read_range(&mut reader)).collect::<Result<Ranges, _>>()?;
        normalise(&mut asked);
        let mut held: Ranges = spared
            .iter()
            .filter(|(client, ..)| *client == part.client)
            .map(|&(_, from, to)| (from, to))
            .collect();
        normalise(&mut held);
        let ranges = subtract(&asked, &held);
        if !ranges.is_empty() {
            parts.push(DeletePart { client: part.client, ranges });
        }
    }
    let mut out = Vec::with_capacity(update.len());
    let blocks_end = parsed.sections.last().map(|section| section.bytes.1 as usize);
    match blocks_end {
        Some(end) => out.extend_from_slice(&update[..end]),
        None => put_number(&mut out, 0),
    }
    write_deletes(&mut out, &mut parts);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

    use super::*;

    /// [B70] An update that spares ids deletes all but those, and brings the same blocks.
    #[test]
    fn spared_ids_stay() {
        let doc = Doc::with_client_id(7);
        let text = doc.get_or_insert_text("t");
        text.push(&mut doc.transact_mut(), "abcdef");
        let before = doc.transact().encode_diff_v1(&StateVector::default());
        let update = {
            let mut transaction = doc.transact_mut();
            text.remove_range(&mut transaction, 0, 2);
            text.remove_range(&mut transaction, 2, 2);
            text.push(&mut transaction, "!");
            transaction.encode_update_v1()
        };
        assert_eq!(deletes_of(&update).unwrap(), [(7, 0, 2), (7, 4, 6)]);
        for (spared, expected) in
            [(&[][..], "cd!"), (&[(7, 1, 5)], "bcde!"), (&[(7, 0, 9)], "abcdef!"), (&[(8, 0, 9)], "cd!")]
        {
            let other = Doc::new();
            let spared = sparing(&update, spared).unwrap();
            for update in [&before, &spared] {
                other.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
            }
            let seen = other.get_or_insert_text("t").get_string(&other.transact());
            println!("{seen}");
            assert_eq!(seen, expected);
        }
        let only = sparing(&[0, 1, 7, 1, 0, 6], &[(7, 0, 6)]).unwrap();
        assert_eq!(
            (only.as_slice(), has_blocks(&only).unwrap(), has_blocks(&update).unwrap()),
            (&[0, 0][..], false, true)
        );
    }
}

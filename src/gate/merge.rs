//! Several remainders as one update: what a batch relays. Blocks are
//! not looked into, only counted and laid one after the other.

use std::cmp::Reverse;

use super::parse::{Parsed, Section, parse, read_range};
use super::ranges::normalise;
use super::read::{Reader, put_number};
use super::refusal::Refusal;
use super::write::{DeletePart, write_deletes};

/// Makes one update of remainders that were admitted one after the other. It changes a document as
/// they do, and is itself complete.
///
/// # Panics
/// If one of them is not a remainder of a gate, or one between is missing. For bytes from a store
/// use [`try_merge`].
#[must_use]
pub fn merge(updates: &[&[u8]]) -> Vec<u8> {
    try_merge(updates).expect("remainders are well formed and follow each other")
}

/// Like [`merge`], for remainders that may have been damaged since.
///
/// # Errors
/// The rule of form that is broken; [`Refusal::ClientTwice`] if one client's blocks do not follow
/// each other without a hole. Content is not looked at again: who stores it keeps a checksum.
pub fn try_merge(updates: &[&[u8]]) -> Result<Vec<u8>, Refusal> {
    if let [one] = updates {
        return Ok(one.to_vec());
    }
    let parsed = updates.iter().map(|update| parse::<false>(update)).collect::<Result<Vec<_>, _>>()?;
    let mut sections: Vec<(&Parsed<'_>, Section)> = parsed
        .iter()
        .flat_map(|update| update.sections.iter().map(move |&section| (update, section)))
        .collect();
    sections.sort_by_key(|(_, section)| (Reverse(section.client), section.clocks.0));

    let mut out = Vec::with_capacity(updates.iter().map(|update| update.len()).sum());
    let same_client = |a: &(&Parsed<'_>, Section), b: &(&Parsed<'_>, Section)| a.1.client == b.1.client;
    put_number(&mut out, sections.chunk_by(same_client).count() as u64);
    for chunk in sections.chunk_by(same_client) {
        if chunk.windows(2).any(|pair| pair[0].1.clocks.1 != pair[1].1.clocks.0) {
            return Err(Refusal::ClientTwice);
        }
        put_number(&mut out, chunk.iter().map(|(_, section)| u64::from(section.blocks)).sum());
        put_number(&mut out, chunk[0].1.client);
        put_number(&mut out, u64::from(chunk[0].1.clocks.0));
        for (update, section) in chunk {
            out.extend_from_slice(&update.bytes[section.bytes.0 as usize..section.bytes.1 as usize]);
        }
    }
    write_deletes(&mut out, &mut merge_deletes(&parsed)?);
    Ok(out)
}

fn merge_deletes(parsed: &[Parsed<'_>]) -> Result<Vec<DeletePart>, Refusal> {
    let mut parts: Vec<DeletePart> = Vec::new();
    for update in parsed {
        for deletes in &update.deletes {
            let mut reader = Reader::starting_at(update.bytes, deletes.at);
            let ranges = (0..deletes.ranges).map(|_| read_range(&mut reader)).collect::<Result<_, _>>()?;
            parts.push(DeletePart { client: deletes.client, ranges });
        }
    }
    join_parts(&mut parts);
    Ok(parts)
}

/// Makes one part of those of each client.
pub(super) fn join_parts(parts: &mut Vec<DeletePart>) {
    parts.sort_by_key(|part| Reverse(part.client));
    parts.dedup_by(|next, kept| {
        let same = next.client == kept.client;
        if same {
            kept.ranges.append(&mut next.ranges);
        }
        same
    });
    parts.iter_mut().for_each(|part| normalise(&mut part.ranges));
}

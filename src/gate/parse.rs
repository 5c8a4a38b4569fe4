//! The first pass: an update is walked from end to end and every rule of form is checked, before
//! anything is taken in. What it leaves behind is where each client's part begins and ends.

use smallvec::SmallVec;

use super::block::read_block;
use super::read::Reader;
use super::refusal::Refusal;
use crate::ids::ClientId;
use crate::limits::{CLIENTS_PER_DOCUMENT_MAX, CLOCK_MAX};

/// Blocks of one client, as they stand in the update.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    pub(super) client: ClientId,
    /// How many blocks, at least one.
    pub(super) blocks: u32,
    /// The first block's clock, and the clock after the last.
    pub(super) clocks: (u32, u32),
    /// Where the first block stands, and the end of the last.
    pub(super) bytes: Place,
}

/// From where to where something stands in an update. 32 bits each: a hostile update may have many
/// parts, and none is larger than a document.
pub(super) type Place = (u32, u32);

/// Delete ranges of one client, as they stand in the update.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deletes {
    pub(super) client: ClientId,
    pub(super) ranges: u32,
    pub(super) at: u32,
}

/// An update that is well formed.
pub(super) struct Parsed<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) sections: SmallVec<[Section; 1]>,
    pub(super) deletes: SmallVec<[Deletes; 1]>,
}

/// Parses an update. With `CHECK` all of it is checked; without, it is one that the gate wrote
/// itself, and content is passed over.
///
/// # Errors
/// The first rule that is broken. Bytes that begin like an update V2 are called so.
pub(super) fn parse<const CHECK: bool>(bytes: &[u8]) -> Result<Parsed<'_>, Refusal> {
    // V2 begins with a zero byte (its feature flag). In V1 that is an update without blocks.
    let v2 = bytes.first() == Some(&0) && bytes.len() > 2;
    parse_v1::<CHECK>(bytes).map_err(|refusal| if v2 { Refusal::LooksLikeV2 } else { refusal })
}

fn parse_v1<const CHECK: bool>(bytes: &[u8]) -> Result<Parsed<'_>, Refusal> {
    let mut reader = Reader::new(bytes);
    let mut sections = SmallVec::<[Section; 1]>::new();
    // A section has at least a count, an id, a clock and a block of two bytes.
    let count = reader.count(5)?;
    if count as usize > CLIENTS_PER_DOCUMENT_MAX {
        return Err(Refusal::TooManyClients);
    }
    for _ in 0..count {
        sections.push(parse_section::<CHECK>(&mut reader)?);
    }
    once_each(sections.iter().map(|section| section.client))?;

    let mut deletes = SmallVec::<[Deletes; 1]>::new();
    let count = reader.count(2)?;
    if count as usize > CLIENTS_PER_DOCUMENT_MAX {
        return Err(Refusal::TooManyClients);
    }
    for _ in 0..count {
        let (client, ranges) = (reader.number()?, reader.count(2)?);
        deletes.push(Deletes { client, ranges, at: reader.at() as u32 });
        for _ in 0..ranges {
            read_range(&mut reader)?;
        }
    }
    once_each(deletes.iter().map(|part| part.client))?;
    reader.finish()?;
    Ok(Parsed { bytes, sections, deletes })
}

#[inline]
fn parse_section<const CHECK: bool>(reader: &mut Reader<'_>) -> Result<Section, Refusal> {
    let blocks = reader.count(2)?;
    if blocks == 0 {
        return Err(Refusal::Empty);
    }
    let (client, start) = (reader.number()?, reader.clock()?);
    let from = reader.at();
    let mut clock = start;
    for _ in 0..blocks {
        // Both are below 2^31, so the sum cannot wrap.
        clock += read_block::<CHECK>(reader)?.len;
        if clock >= CLOCK_MAX {
            return Err(Refusal::ClockTooLarge);
        }
    }
    Ok(Section { client, blocks, clocks: (start, clock), bytes: (from as u32, reader.at() as u32) })
}

/// Reads one delete range as `(from, to)`.
#[inline]
pub(super) fn read_range(reader: &mut Reader<'_>) -> Result<(u32, u32), Refusal> {
    let (from, len) = (reader.clock()?, reader.length()?);
    if from + len >= CLOCK_MAX { Err(Refusal::ClockTooLarge) } else { Ok((from, from + len)) }
}

/// Whether no client comes twice. Writers sort, so this is one comparison each; else it sorts.
pub(super) fn once_each(clients: impl Iterator<Item = ClientId> + Clone) -> Result<(), Refusal> {
    let pairs = || clients.clone().zip(clients.clone().skip(1));
    if pairs().all(|(a, b)| a > b) || pairs().all(|(a, b)| a < b) {
        return Ok(());
    }
    let mut sorted: Vec<ClientId> = clients.collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) { Err(Refusal::ClientTwice) } else { Ok(()) }
}

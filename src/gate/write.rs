//! The writer: from judged parts, which point into the update they came in, to one update V1.

use super::parse::Place;
use super::ranges::{Range, Ranges};
use super::read::put_number;
use crate::ids::ClientId;

/// Admitted blocks of one client: a piece of the update they came in, with what had to be written
/// anew within it.
#[derive(Default)]
pub(super) struct Part {
    blocks: u32,
    /// The bytes that are copied, from the first block to the last.
    bytes: Place,
    /// Blocks within them that are written anew: cut, or become garbage.
    replaced: Option<Box<Replaced>>,
}

/// Blocks written anew.
#[derive(Default)]
struct Replaced {
    out: Vec<u8>,
    /// Where the original stands, and where its replacement ends in `out`.
    blocks: Vec<(Place, u32)>,
}

/// A part with its client, its first clock, and the one after its last.
pub(super) struct OwnedPart {
    pub(super) client: ClientId,
    pub(super) clocks: Range,
    pub(super) part: Part,
}

/// Delete ranges of one client, in order.
pub(super) struct DeletePart {
    pub(super) client: ClientId,
    pub(super) ranges: Ranges,
}

impl Part {
    /// Takes the block at these bytes as it is.
    pub(super) fn copy(&mut self, at: Place) {
        if self.blocks == 0 {
            self.bytes.0 = at.0;
        }
        self.blocks += 1;
        self.bytes.1 = at.1;
    }

    /// Takes other blocks, so many, in place of the one at these bytes.
    pub(super) fn replace(&mut self, at: Place, blocks: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.copy(at);
        self.blocks += blocks - 1;
        let replaced = self.replaced.get_or_insert_default();
        write(&mut replaced.out);
        let end = replaced.out.len() as u32;
        replaced.blocks.push((at, end));
    }

    /// How many blocks it has, as they are written.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Writes the blocks; `update` is what they came in.
    pub(super) fn write(&self, update: &[u8], out: &mut Vec<u8>) {
        let (mut at, mut start) = (self.bytes.0, 0);
        let piece = |from: u32, to: u32| &update[from as usize..to as usize];
        if let Some(replaced) = &self.replaced {
            for &((from, to), end) in &replaced.blocks {
                out.extend_from_slice(piece(at, from));
                out.extend_from_slice(&replaced.out[start as usize..end as usize]);
                (at, start) = (to, end);
            }
        }
        out.extend_from_slice(piece(at, self.bytes.1));
    }
}

/// Writes an update: blocks with the highest client first, as every writer does, then deletes.
pub(super) fn write_update(update: &[u8], parts: &mut [OwnedPart], deletes: &mut [DeletePart]) -> Vec<u8> {
    parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.client));
    let bytes = parts.iter().map(|part| (part.part.bytes.1 - part.part.bytes.0) as usize + 24).sum::<usize>();
    let mut out = Vec::with_capacity(bytes + deletes.len() * 16 + 4);
    put_number(&mut out, parts.len() as u64);
    for part in parts {
        put_number(&mut out, u64::from(part.part.blocks));
        put_number(&mut out, part.client);
        put_number(&mut out, u64::from(part.clocks.0));
        part.part.write(update, &mut out);
    }
    write_deletes(&mut out, deletes);
    out
}

/// Writes the delete set that ends an update.
pub(super) fn write_deletes(out: &mut Vec<u8>, deletes: &mut [DeletePart]) {
    deletes.sort_unstable_by_key(|part| std::cmp::Reverse(part.client));
    put_number(out, deletes.len() as u64);
    for part in deletes {
        put_number(out, part.client);
        put_number(out, part.ranges.len() as u64);
        for &(from, to) in &part.ranges {
            put_number(out, u64::from(from));
            put_number(out, u64::from(to - from));
        }
    }
}

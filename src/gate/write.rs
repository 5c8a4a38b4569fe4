//! The writer: from judged parts, which point into the update they came in, to one update V1.

use super::ranges::Range;
use super::read::put_number;
use crate::ids::ClientId;

/// Admitted blocks of one client: pieces of the update they came in, in order, with what had to be
/// written anew between them.
#[derive(Default)]
pub(super) struct Part {
    pub(super) client: ClientId,
    /// The first clock, and the one after the last.
    pub(super) clocks: (u32, u32),
    blocks: u32,
    /// The bytes that are copied, from the first block to the last.
    bytes: (usize, usize),
    /// Blocks within them that are written anew: cut, or become garbage.
    replaced: Option<Box<Replaced>>,
}

/// Blocks written anew.
#[derive(Default)]
struct Replaced {
    out: Vec<u8>,
    /// Where the original stands, and where its replacement ends in `out`.
    blocks: Vec<((usize, usize), usize)>,
}

/// Delete ranges of one client, in order.
pub(super) struct DeletePart {
    pub(super) client: ClientId,
    pub(super) ranges: Vec<Range>,
}

impl Part {
    /// Takes the block at these bytes as it is.
    pub(super) fn copy(&mut self, from: usize, to: usize) {
        if self.blocks == 0 {
            self.bytes.0 = from;
        }
        self.blocks += 1;
        self.bytes.1 = to;
    }

    /// Takes another block in place of the one at these bytes.
    pub(super) fn replace(&mut self, from: usize, to: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.copy(from, to);
        let replaced = self.replaced.get_or_insert_default();
        write(&mut replaced.out);
        let end = replaced.out.len();
        replaced.blocks.push(((from, to), end));
    }

    fn write(&self, update: &[u8], out: &mut Vec<u8>) {
        put_number(out, u64::from(self.blocks));
        put_number(out, self.client);
        put_number(out, u64::from(self.clocks.0));
        let (mut at, mut start) = (self.bytes.0, 0);
        if let Some(replaced) = &self.replaced {
            for &((from, to), end) in &replaced.blocks {
                out.extend_from_slice(&update[at..from]);
                out.extend_from_slice(&replaced.out[start..end]);
                (at, start) = (to, end);
            }
        }
        out.extend_from_slice(&update[at..self.bytes.1]);
    }
}

/// Writes an update: blocks with the highest client first, as every writer does, then deletes.
pub(super) fn write_update(update: &[u8], parts: &mut [Part], deletes: &mut [DeletePart]) -> Vec<u8> {
    parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.client));
    let mut out = Vec::with_capacity(update.len().min(256));
    put_number(&mut out, parts.len() as u64);
    for part in parts {
        part.write(update, &mut out);
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

//! What is new of many records as one update: for who folds them at once.
//!
//! Each record is judged as [`Gate::admit`] judges it, one after the other. Only what comes out is written once, and
//! without the values of keys that a later one of these records has replaced: the engine would make them, and throw
//! them away before anybody has seen them.
//!
//! Invariant: folded, it is the document that the records make one by one. A block under a key that is another one's left
//! neighbour is not the key's value: the engine deletes it, and keeps its place without its content.

use std::cmp::Reverse;

use hashbrown::HashMap;

use super::block::{Kind, read_block};
use super::judged::Judged;
use super::merge::join_parts;
use super::ranges::Range;
use super::read::{Id, Reader, put_number};
use super::rewrite::Rewrite;
use super::walks::Recorded;
use super::write::{DeletePart, OwnedPart, write_deletes};
use super::{Dropped, Gate, ParsedUpdate, Refusal};
use crate::ids::ClientId;

/// See the module.
#[derive(Default)]
pub struct Gathered {
    parts: Vec<Gathering>,
    by_client: HashMap<ClientId, usize>,
    deletes: Vec<DeletePart>,
    /// What blocks of these records replace as the value of a key.
    overwritten: Vec<Id>,
    /// Bytes that are still to come, about.
    expected: usize,
}

/// Blocks of one client.
struct Gathering {
    client: ClientId,
    clocks: Range,
    blocks: u32,
    bytes: Vec<u8>,
}

impl Gate {
    /// Judges a record, and adds what is new of it to what was gathered. With `whole`, nothing is taken in of one of which
    /// something is missing.
    ///
    /// # Errors
    /// As [`Gate::admit`]. Nothing of it was taken in.
    pub fn gather(
        &mut self,
        record: &ParsedUpdate<'_>,
        gathered: &mut Gathered,
        whole: bool,
    ) -> Result<Dropped, Refusal> {
        let overwritten = gathered.overwritten.len();
        let judged = self.judge(record, &[], &Rewrite::default(), Some(&mut gathered.overwritten));
        let Judged { parts, deletes, dropped, before, named, taken, .. } = match judged {
            Ok(judged) => judged,
            Err(refusal) => {
                gathered.overwritten.truncate(overwritten);
                return Err(refusal);
            }
        };
        if parts.is_empty() && deletes.parts.is_empty() {
            return Ok(dropped);
        }
        if whole && dropped.is_gap() {
            gathered.overwritten.truncate(overwritten);
            let receipt = self.receipt(&parts, deletes.new, (before, named, taken));
            self.revert(&receipt);
            return Ok(dropped);
        }
        self.count_admission();
        parts.iter().for_each(|part| gathered.add(part, record.parsed.bytes));
        gathered.deletes.extend(deletes.parts);
        Ok(dropped)
    }

    /// Ends what was gathered: what is judged from here on may be judged before this is folded. Say
    /// [`Gate::records_are_folded`] when it is.
    pub fn end_gathering(&mut self) -> Recorded {
        self.walks.take_recorded()
    }

    /// These records are folded, and their deletes are noted.
    pub fn records_are_folded(&mut self, recorded: Recorded) {
        self.walks.forget_recorded(recorded);
    }
}

impl Gathered {
    /// For so many records, of so many bytes together: memory is taken once.
    #[must_use]
    pub fn expecting(records: usize, bytes: usize) -> Self {
        let (deletes, overwritten) = (Vec::with_capacity(records), Vec::with_capacity(records));
        Self { deletes, overwritten, expected: bytes, ..Self::default() }
    }

    /// Whether nothing was new.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.deletes.is_empty()
    }

    /// One update.
    #[must_use]
    pub fn into_update(self) -> Vec<u8> {
        let Self { mut parts, mut deletes, mut overwritten, .. } = self;
        parts.sort_unstable_by_key(|part| Reverse(part.client));
        overwritten.sort_unstable();
        let bytes: usize = parts.iter().map(|part| part.bytes.len() + 24).sum();
        let mut out = Vec::with_capacity(bytes + deletes.len() * 16 + 4);
        put_number(&mut out, parts.len() as u64);
        for part in &parts {
            put_number(&mut out, u64::from(part.blocks));
            put_number(&mut out, part.client);
            put_number(&mut out, u64::from(part.clocks.0));
            let from = overwritten.partition_point(|id| id.client < part.client);
            part.write(&overwritten[from..], &mut out);
        }
        join_parts(&mut deletes);
        write_deletes(&mut out, &mut deletes);
        out
    }

    fn add(&mut self, owned: &OwnedPart, record: &[u8]) {
        let at = match self.parts.last() {
            Some(last) if last.client == owned.client => self.parts.len() - 1,
            _ => *self.by_client.entry(owned.client).or_insert(self.parts.len()),
        };
        if at == self.parts.len() {
            let clocks = (owned.clocks.0, owned.clocks.0);
            // Most are of one client, or of few.
            let bytes = Vec::with_capacity(std::mem::take(&mut self.expected));
            self.parts.push(Gathering { client: owned.client, clocks, blocks: 0, bytes });
        }
        let part = &mut self.parts[at];
        debug_assert_eq!(part.clocks.1, owned.clocks.0, "the gate leaves no holes");
        part.clocks.1 = owned.clocks.1;
        part.blocks += owned.part.blocks();
        owned.part.write(record, &mut part.bytes);
    }
}

impl Gathering {
    /// Writes the blocks. `overwritten` begins with this client's, in order.
    fn write(&self, overwritten: &[Id], out: &mut Vec<u8>) {
        let mut clocks = overwritten.iter().take_while(|id| id.client == self.client).map(|id| id.clock);
        let (mut reader, mut clock, mut copied) = (Reader::new(&self.bytes), self.clocks.0, 0);
        let mut next = clocks.find(|next| *next >= clock);
        while let Some(wanted) = next {
            let at = reader.at();
            // They were read before.
            let Ok(block) = read_block::<false>(&mut reader) else { break };
            if wanted == clock && block.kind == Kind::Any && block.len == 1 {
                out.extend_from_slice(&self.bytes[copied..at]);
                block.write_deleted(out, block.origin, 1);
                copied = reader.at();
            }
            clock += block.len;
            if wanted < clock {
                next = clocks.find(|next| *next >= clock);
            }
        }
        out.extend_from_slice(&self.bytes[copied..]);
    }
}

//! The second pass: judges the blocks of a well-formed update one by one, in an order in which
//! each stands on what is known, and takes them into the index.
//!
//! One cursor per client's part. A block that names something unknown waits until another part has
//! brought it; each wait is for one id, kept in order, so waking costs a search and not a round over
//! all parts. What still waits in the end names something that is not here: a gap.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::block::{Block, Kind, Parent, read_block, write_gc};
use super::deletes::Deletes;
use super::index::{Index, Mark, Spot, What};
use super::judged::Judged;
use super::names::NO_NAME;
use super::order::Placed;
use super::parse::{Parsed, Section};
use super::read::{Id, Reader};
use super::refusal::Refusal;
use super::rewrite::{Rewrite, Turned};
use super::walks::Account;
use super::write::{OwnedPart, Part};
use super::{Dropped, Source};
use crate::ids::ClientId;
use crate::limits::{CLIENTS_PER_DOCUMENT_MAX, TYPE_DEPTH_MAX};

/// One client's part of the update, and how far it is judged.
pub(super) struct Cursor {
    /// The next block: where it stands, its clock, and how many are left with it.
    at: u32,
    clock: u32,
    left: u32,
    /// The client's next clock, before this update and now.
    pub(super) known_before: u32,
    known: u32,
    /// What is new of it is left out.
    foreign: bool,
    part: Part,
}

/// What became of the next block of a part.
enum Step {
    Passed,
    Finished,
    Waits(Id),
}

/// Where a block comes to live.
enum Place {
    Missing(Id),
    At(Spot),
}

/// One update on its way into the index.
pub(super) struct Judgement<'g, 'u> {
    pub(super) index: &'g mut Index,
    pub(super) account: Account<'g>,
    pub(super) update: &'u Parsed<'u>,
    source: Source,
    pub(super) cursors: SmallVec<[Cursor; 1]>,
    /// What is to be made of some of its blocks.
    pub(super) rewrite: &'u Rewrite,
    /// New blocks that others get as deleted, and whose author holds them alive: `(client, from, to)`.
    pub(super) turned: Vec<(ClientId, u32, u32)>,
    /// Ids that its blocks replace as the value of a key; kept if asked for.
    overwritten: Option<&'g mut Vec<Id>>,
    /// `(part, clock, waiting part)`: the last goes on when the first has brought that clock.
    waits: BTreeSet<(u32, u32, u32)>,
    /// Parts by client, built when the first block waits.
    parts: Option<HashMap<u64, u32>>,
    pub(super) dropped: Dropped,
    mark: Mark,
}

impl<'g, 'u> Judgement<'g, 'u> {
    pub(super) fn new(
        index: &'g mut Index,
        account: Account<'g>,
        update: &'u Parsed<'u>,
        (source, rewrite): (Source, &'u Rewrite),
        overwritten: Option<&'g mut Vec<Id>>,
    ) -> Self {
        let mark = index.mark();
        let cursors = update.sections.iter().map(|section| {
            let known = index.known(section.client);
            Cursor {
                at: section.bytes.0,
                clock: section.clocks.0,
                left: section.blocks,
                known_before: known,
                known,
                foreign: false,
                part: Part::default(),
            }
        });
        let cursors = cursors.collect();
        let (waits, parts, dropped) = (BTreeSet::new(), None, Dropped::default());
        let turned = Vec::new();
        Self {
            index,
            account,
            update,
            source,
            cursors,
            rewrite,
            turned,
            overwritten,
            waits,
            parts,
            dropped,
            mark,
        }
    }

    /// Has what is new of these clients left out.
    pub(super) fn leave_out(&mut self, clients: &[ClientId]) {
        if clients.is_empty() {
            return;
        }
        let clients: HashSet<ClientId> = clients.iter().copied().collect();
        let parts = self.cursors.iter_mut().zip(&self.update.sections);
        parts.for_each(|(cursor, section)| cursor.foreign = clients.contains(&section.client));
    }

    /// Judges all blocks. On an error the index is as it was.
    pub(super) fn blocks(&mut self) -> Result<(), Refusal> {
        let judged = self.judge();
        if judged.is_err() {
            let parts = self.cursors.iter().zip(&self.update.sections);
            let changed = parts.filter(|(cursor, _)| cursor.known > cursor.known_before);
            let blocks = changed.map(|(cursor, section)| (section.client, cursor.known_before));
            self.account.undo(blocks.clone(), self.index);
            for (client, from) in blocks {
                self.index.truncate(client, from);
            }
            self.index.rewind(self.mark);
        }
        judged
    }

    fn judge(&mut self) -> Result<(), Refusal> {
        // Parts that stand behind a gap never start; their blocks are counted at the end.
        let starts = |cursor: &Cursor| cursor.clock <= cursor.known;
        let mut ready: SmallVec<[u32; 4]> = (0..self.cursors.len() as u32)
            .rev()
            .filter(|&part| starts(&self.cursors[part as usize]))
            .collect();
        while let Some(part) = ready.pop() {
            loop {
                match self.step(part as usize)? {
                    Step::Passed => self.wake(part, &mut ready),
                    Step::Finished => break,
                    Step::Waits(id) => {
                        self.wait(part, id);
                        break;
                    }
                }
            }
        }
        // One place is kept for the room's own marker. Who is in a full document may go on in it.
        let grows = || self.cursors.iter().any(|cursor| cursor.known_before == 0 && cursor.known > 0);
        if self.source != Source::Record && self.index.clients() >= CLIENTS_PER_DOCUMENT_MAX && grows() {
            return Err(Refusal::TooManyClients);
        }
        for cursor in &self.cursors {
            let Dropped { foreign_blocks, unknown_blocks, .. } = &mut self.dropped;
            *(if cursor.foreign { foreign_blocks } else { unknown_blocks }) += u64::from(cursor.left);
        }
        Ok(())
    }

    /// Judges the next block of a part.
    fn step(&mut self, part: usize) -> Result<Step, Refusal> {
        let (cursor, Section { client, clocks, .. }) = (&mut self.cursors[part], self.update.sections[part]);
        if cursor.left == 0 {
            return Ok(Step::Finished);
        }
        if clocks.1 <= cursor.known {
            // The usual overlap, a whole part that is known: no need to look at its blocks again.
            self.dropped.known_clocks += u64::from(clocks.1 - cursor.clock);
            cursor.left = 0;
            return Ok(Step::Finished);
        }
        let mut reader = Reader::starting_at(self.update.bytes, cursor.at);
        let block = read_block::<false>(&mut reader)?;
        let (known, end) = (cursor.known, reader.at() as u32);
        let cursor_known_before = cursor.known_before;
        let offset = known - cursor.clock;
        if offset >= block.len {
            self.dropped.known_clocks += u64::from(block.len);
            cursor.pass(&block, end);
            return Ok(Step::Passed);
        }
        if block.kind == Kind::Skip || cursor.foreign {
            return Ok(Step::Finished);
        }
        // What is left of a cut block continues the block before the cut.
        let origin = if offset > 0 { Some(Id { client, clock: known - 1 }) } else { block.origin };
        let mut spot = match self.place(&block, origin)? {
            Place::Missing(id) => return Ok(Step::Waits(id)),
            Place::At(spot) => spot,
        };
        let turned = self.rewrite.of(client, known);
        if turned == Some(Turned::Garbage) {
            spot = Spot::NOWHERE;
        }
        let what = if turned.is_some() { What::Deleted } else { self.what(&block, spot)? };
        let len = block.len - offset;
        if turned.is_some() || self.rewrite.tells_garbage && spot.is_nowhere() && block.kind != Kind::Gc {
            self.turned.push((client, known, known + len));
        }
        let wide = spot.key != NO_NAME && len > 1 && what == What::Content;
        let id = Id { client, clock: known };
        if let (Some(overwritten), Some(origin)) = (&mut self.overwritten, origin)
            && spot.key != NO_NAME
        {
            overwritten.push(origin);
        }
        let first = known == cursor_known_before;
        let mut placed = Placed { id, len, origin, right: block.right, spot, first };
        if wide {
            placed.len = len - 1;
            self.take_in(&placed, What::Deleted)?;
            self.cursors[part].known = known + len - 1; // taken back too if the other half is refused
            let last = Id { client, clock: known + len - 2 };
            let id = Id { client, clock: known + len - 1 };
            placed = Placed { id, len: 1, origin: Some(last), first: false, ..placed };
        }
        self.take_in(&placed, what)?;
        self.dropped.known_clocks += u64::from(offset);
        let cursor = &mut self.cursors[part];
        let (at, clock) = ((cursor.at, end), cursor.clock);
        if spot.is_nowhere() && block.kind != Kind::Gc {
            cursor.part.replace(at, 1, |out| write_gc(out, len));
        } else if turned.is_some() {
            cursor.part.replace(at, 1, |out| block.write_deleted(out, origin, len));
        } else if wide {
            // Undo may set a key to several values at once, of which all but the last are what it
            // was before. Peers show the last; with the type around it they delete the last only.
            // So the others are admitted as the deleted content that they are.
            cursor.part.replace(at, 2, |out| {
                block.write_deleted(out, origin, len - 1);
                block.write_rest(out, client, clock, block.len - 1);
            });
        } else if offset > 0 {
            cursor.part.replace(at, 1, |out| block.write_rest(out, client, clock, offset));
        } else {
            cursor.part.copy(at);
        }
        cursor.known = known + len;
        cursor.pass(&block, end);
        Ok(Step::Passed)
    }

    /// Takes a block, or half of one, into account and index.
    fn take_in(&mut self, block: &Placed, what: What) -> Result<(), Refusal> {
        self.account.block(block, self.index)?;
        self.index.append(block.id.client, block.len, block.spot, what);
        Ok(())
    }

    /// Finds where a block lives, as Yjs does: where its neighbours live, else where it says. A
    /// neighbour or a parent that is garbage makes it garbage.
    fn place(&mut self, block: &Block<'_>, origin: Option<Id>) -> Result<Place, Refusal> {
        if block.kind == Kind::Gc {
            return Ok(Place::At(Spot::NOWHERE));
        }
        let mut neighbours = [None; 2];
        for (neighbour, spot) in [origin, block.right].into_iter().zip(&mut neighbours) {
            let Some(id) = neighbour else { continue };
            match self.index.find(id) {
                Some((found, _)) => *spot = Some(found),
                None => return Ok(Place::Missing(id)),
            }
        }
        match neighbours {
            [Some(left), Some(right)] if left.is_nowhere() || right.is_nowhere() => {
                Ok(Place::At(Spot::NOWHERE))
            }
            [Some(left), Some(right)] if left != right || origin == block.right => {
                Err(Refusal::CrossedNeighbours)
            }
            [Some(spot), _] | [None, Some(spot)] => Ok(Place::At(spot)),
            [None, None] => self.place_in_parent(block),
        }
    }

    fn place_in_parent(&mut self, block: &Block<'_>) -> Result<Place, Refusal> {
        let parent = match block.parent {
            Some(Parent::Root(name)) => self.index.root(name),
            Some(Parent::Type(id)) => match self.index.find(id) {
                None => return Ok(Place::Missing(id)),
                Some((_, What::Type(number))) => number,
                Some((spot, what)) if spot.is_nowhere() || what == What::Deleted => {
                    return Ok(Place::At(Spot::NOWHERE));
                }
                Some(_) => return Err(Refusal::ParentIsNoType),
            },
            None => return Err(Refusal::UnknownBlock),
        };
        let key = block.key.map_or(NO_NAME, |key| self.index.intern(key));
        Ok(Place::At(Spot { parent, key }))
    }

    fn what(&mut self, block: &Block<'_>, spot: Spot) -> Result<What, Refusal> {
        Ok(match block.kind {
            _ if spot.is_nowhere() => What::Deleted,
            Kind::Deleted => What::Deleted,
            Kind::Type(_) if self.index.depth(spot.parent) >= TYPE_DEPTH_MAX => {
                return Err(Refusal::TypesTooDeep);
            }
            Kind::Type(_) => What::Type(self.index.add_type(spot)),
            _ => What::Content,
        })
    }

    /// Lets a part wait for an id, if another part may still bring it.
    fn wait(&mut self, part: u32, id: Id) {
        let sections = &self.update.sections;
        let parts = self.parts.get_or_insert_with(|| {
            sections.iter().zip(0_u32..).map(|(section, part)| (section.client, part)).collect()
        });
        if let Some(&bringer) = parts.get(&id.client)
            && bringer != part
        {
            self.waits.insert((bringer, id.clock, part));
        }
    }

    /// Wakes the parts that wait for what this one has brought.
    fn wake(&mut self, part: u32, ready: &mut SmallVec<[u32; 4]>) {
        while let Some(&wait @ (bringer, clock, waiting)) = self.waits.range((part, 0, 0)..).next() {
            if bringer != part || clock >= self.cursors[part as usize].known {
                break;
            }
            self.waits.remove(&wait);
            ready.push(waiting);
        }
    }

    /// What goes on, part by part, and what it takes to take it back.
    pub(super) fn finish(self, deletes: Deletes, turned: bool) -> Judged {
        let (steps, named, taken) = self.account.keep();
        let judged = self.cursors.into_iter().zip(&self.update.sections);
        let admitted = judged.filter(|(cursor, _)| cursor.known > cursor.known_before);
        let parts = admitted.map(|(cursor, section)| {
            let clocks = (cursor.known_before, cursor.known);
            OwnedPart { client: section.client, clocks, part: cursor.part }
        });
        let parts = parts.collect();
        Judged { parts, deletes, dropped: self.dropped, before: self.mark, steps, named, taken, turned }
    }
}

impl Cursor {
    fn pass(&mut self, block: &Block<'_>, at: u32) {
        self.at = at;
        self.clock += block.len;
        self.left -= 1;
    }
}

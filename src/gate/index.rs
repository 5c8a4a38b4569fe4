//! What the gate remembers of a document: which clocks are known, where each of them lives, which
//! are types, which are deleted. No content. 16 bytes per run of clocks in one place.
//!
//! A client's clocks have no holes (the gate admits none), so a run ends where the next begins.

use hashbrown::HashMap;

use super::acts::Place;
use super::block::Parent;
use super::names::{NO_NAME, Name, Names};
use super::ranges::{self, Range, Ranges, push_tight};
use super::read::Id;
use crate::ids::ClientId;

/// The number of a type in the index.
pub(super) type TypeNumber = u32;

/// The place of what has none: GC blocks, and blocks that every peer turns into one.
const NOWHERE: TypeNumber = u32::MAX;

/// Where content lives: in a type, under a key or (with [`NO_NAME`]) in its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub(super) parent: TypeNumber,
    pub(super) key: Name,
}

impl Spot {
    pub(super) const NOWHERE: Self = Self { parent: NOWHERE, key: NO_NAME };

    pub(super) fn is_nowhere(self) -> bool {
        self.parent == NOWHERE
    }
}

/// What the clocks of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Text, values, anything that nothing can live in.
    Content,
    /// Content that was deleted before it came here: it may have been a type.
    Deleted,
    /// A shared type.
    Type(TypeNumber),
}

/// Clocks beside each other that live in the same spot and are the same thing. 16 bytes.
#[derive(Clone, Copy)]
struct Run {
    clock: u32,
    spot: Spot,
    /// 0 content, 1 deleted content, else a type's number plus 2.
    what: u32,
}

impl Run {
    fn what(self) -> What {
        match self.what {
            0 => What::Content,
            1 => What::Deleted,
            number => What::Type(number - 2),
        }
    }
}

/// One client's part.
#[derive(Default)]
struct Client {
    /// Sorted by clock; the first starts at 0.
    runs: Vec<Run>,
    /// The first clock that is not known.
    end: u32,
    /// Deleted clocks, in order.
    deleted: Vec<Range>,
    /// Whether the newest clock may be some block's origin.
    newest_is_named: bool,
}

impl Client {
    fn is_deleted(&self, clock: u32) -> bool {
        let next = self.deleted.partition_point(|range| range.1 <= clock);
        self.deleted.get(next).is_some_and(|range| range.0 <= clock)
    }
}

/// The index of one document.
#[derive(Default)]
pub(super) struct Index {
    clients: HashMap<ClientId, Client>,
    /// Where each type lives; a root lives nowhere and has its name as key.
    types: Vec<Spot>,
    roots: HashMap<Name, TypeNumber>,
    names: Names,
    /// Much is coming: grows by doubling, until it is [tightened](Index::tighten).
    pub(super) is_roomy: bool,
}

/// How many types and names there were: what to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    types: u32,
    names: u32,
}

impl Mark {
    /// The number of the first type that came after it.
    pub(super) fn types(self) -> TypeNumber {
        self.types
    }

    /// Whether a spot came after the mark: nothing lived in it before.
    pub(super) fn is_before(self, spot: Spot) -> bool {
        spot.parent >= self.types || spot.key != NO_NAME && spot.key >= self.names
    }
}

impl Index {
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The first clock of a client that is not known.
    #[inline]
    pub(super) fn known(&self, client: ClientId) -> u32 {
        self.clients.get(&client).map_or(0, |held| held.end)
    }

    /// Where an id lives and what it is, if it is known.
    #[inline]
    pub(super) fn find(&self, id: Id) -> Option<(Spot, What)> {
        let client = self.clients.get(&id.client)?;
        if id.clock >= client.end {
            return None;
        }
        let at = client.runs.partition_point(|run| run.clock <= id.clock);
        let run = client.runs[at - 1];
        Some((run.spot, run.what()))
    }

    /// How many types are above a type: at most [`TYPE_DEPTH_MAX`], so it is counted, not kept.
    ///
    /// [`TYPE_DEPTH_MAX`]: crate::limits::TYPE_DEPTH_MAX
    pub(super) fn depth(&self, number: TypeNumber) -> u8 {
        let (mut spot, mut depth) = (self.types[number as usize], 0);
        while !spot.is_nowhere() {
            (spot, depth) = (self.types[spot.parent as usize], depth + 1);
        }
        depth
    }

    pub(super) fn intern(&mut self, key: &str) -> Name {
        self.names.intern(key)
    }

    /// The root of this name, which every document has from the start.
    pub(super) fn root(&mut self, name: &str) -> TypeNumber {
        let key = self.names.intern(name);
        if let Some(&number) = self.roots.get(&key) {
            return number;
        }
        let number = self.add_type(Spot { parent: NOWHERE, key });
        self.roots.insert(key, number);
        number
    }

    /// The spot in a root, or in a type, under this key, if both are known. Changes nothing.
    pub(super) fn spot_in(&self, parent: Parent<'_>, key: Option<&str>) -> Option<Spot> {
        let parent = match parent {
            Parent::Root(name) => *self.roots.get(&self.names.find(name)?)?,
            Parent::Type(id) => match self.find(id)?.1 {
                What::Type(number) => number,
                What::Content | What::Deleted => return None,
            },
        };
        let key = match key {
            Some(key) => self.names.find(key)?,
            None => NO_NAME,
        };
        Some(Spot { parent, key })
    }

    /// Adds a type in a spot; a root's is nowhere, with its name.
    pub(super) fn add_type(&mut self, spot: Spot) -> TypeNumber {
        push_tight(&mut self.types, spot);
        self.types.len() as TypeNumber - 1
    }

    /// Takes in the next `len` clocks of a client. What is nowhere or deleted counts as deleted.
    pub(super) fn append(&mut self, client: ClientId, len: u32, spot: Spot, what: What) {
        let held = self.clients.entry(client).or_default();
        let run = Run {
            clock: held.end,
            spot,
            what: match what {
                What::Content => 0,
                What::Deleted => 1,
                What::Type(number) => number + 2,
            },
        };
        match held.runs.last() {
            Some(last) if last.spot == run.spot && last.what == run.what => {}
            _ if self.is_roomy => held.runs.push(run),
            _ => push_tight(&mut held.runs, run),
        }
        if spot.is_nowhere() || what == What::Deleted {
            if self.is_roomy && held.deleted.len() == held.deleted.capacity() {
                held.deleted.reserve(1);
            }
            ranges::append(&mut held.deleted, (held.end, held.end + len));
        }
        held.end += len;
        held.newest_is_named = false;
    }

    /// Gives back the memory that nothing stands in, and grows by little from here on.
    pub(super) fn tighten(&mut self) {
        self.is_roomy = false;
        for held in self.clients.values_mut() {
            held.runs.shrink_to_fit();
            held.deleted.shrink_to_fit();
        }
    }

    /// Forgets a client's clocks from `from` on.
    pub(super) fn truncate(&mut self, client: ClientId, from: u32) {
        if from == 0 {
            self.clients.remove(&client);
        } else if let Some(held) = self.clients.get_mut(&client) {
            let end = held.end;
            held.runs.truncate(held.runs.partition_point(|run| run.clock < from));
            held.end = from.min(end);
            held.newest_is_named = true;
            ranges::remove(&mut held.deleted, (from, end));
        }
    }

    /// Which of these ranges (in order, all known) are not deleted yet; marks them deleted.
    pub(super) fn delete(&mut self, client: ClientId, asked: &[Range]) -> Ranges {
        let Some(held) = self.clients.get_mut(&client) else { return Ranges::new() };
        let new = ranges::subtract(asked, &held.deleted);
        ranges::insert(&mut held.deleted, &new);
        new
    }

    /// Whether an id is known and deleted.
    #[cfg(test)]
    pub(super) fn is_deleted(&self, id: Id) -> bool {
        self.clients.get(&id.client).is_some_and(|held| held.is_deleted(id.clock))
    }

    /// How often deletes begin or end within clocks `(from, to)`, not at their edges.
    pub(super) fn cuts(&self, client: ClientId, (from, to): Range) -> u64 {
        let Some(held) = self.clients.get(&client) else { return 0 };
        let before =
            |clock: u32, edge: fn(&Range) -> u32| held.deleted.partition_point(|range| edge(range) < clock);
        let edges = |edge: fn(&Range) -> u32| before(to, edge) - before(from + 1, edge);
        (edges(|range| range.0) + edges(|range| range.1)) as u64
    }

    /// Notes that an id is some block's origin. Tells whether it is the newest of its client and was
    /// nobody's origin before (nothing stands behind it that names it), and whether it is deleted.
    pub(super) fn name(&mut self, id: Id) -> (bool, bool) {
        let Some(held) = self.clients.get_mut(&id.client) else { return (false, true) };
        let is_newest = id.clock + 1 == held.end && !std::mem::replace(&mut held.newest_is_named, true);
        (is_newest, held.is_deleted(id.clock))
    }

    /// Takes a deletion back.
    pub(super) fn undelete(&mut self, client: ClientId, range: Range) {
        if let Some(held) = self.clients.get_mut(&client) {
            ranges::remove(&mut held.deleted, range);
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { types: self.types.len() as u32, names: self.names.len() as u32 }
    }

    /// Forgets the types and names that came after a mark. Nothing may live in them any more.
    pub(super) fn rewind(&mut self, mark: Mark) {
        for spot in self.types.drain(mark.types as usize..) {
            if spot.is_nowhere() {
                self.roots.remove(&spot.key);
            }
        }
        self.names.truncate(mark.names as usize);
    }

    /// The way from a root to where an id lives: the root's name, then a key per level, or `None`
    /// for a place in a sequence. Nothing for what is unknown or nowhere.
    pub(super) fn path(&self, id: Id) -> Option<Vec<Option<&str>>> {
        let (mut spot, _) = self.find(id).filter(|(spot, _)| !spot.is_nowhere())?;
        let mut path = Vec::with_capacity(4);
        loop {
            path.push((spot.key != NO_NAME).then(|| self.names.get(spot.key)));
            if spot.is_nowhere() {
                break;
            }
            spot = self.types[spot.parent as usize];
        }
        path.reverse();
        Some(path)
    }

    /// Where an id lives, for who has to tell places apart and to name them. Nothing for what is unknown or nowhere.
    pub(super) fn place(&self, client: ClientId, clock: u32) -> Option<(Spot, Place<'_>)> {
        let (found, _) = self.find(Id { client, clock }).filter(|(spot, _)| !spot.is_nowhere())?;
        let mut next = Some(found);
        let levels = std::iter::from_fn(|| {
            let spot = next?;
            next = (!spot.is_nowhere()).then(|| self.types[spot.parent as usize]);
            Some((spot.key != NO_NAME).then(|| self.names.get(spot.key)))
        });
        Some((found, Place::upwards(levels)?))
    }

    /// Whether a spot is a root's own.
    pub(super) fn is_in_root(&self, spot: Spot) -> bool {
        self.types.get(spot.parent as usize).is_some_and(|parent| parent.is_nowhere())
    }

    /// Where the clocks end that live in the same spot as this one.
    pub(super) fn run_end(&self, client: ClientId, clock: u32) -> Option<u32> {
        let held = self.clients.get(&client).filter(|held| clock < held.end)?;
        let next = held.runs.partition_point(|run| run.clock <= clock);
        Some(held.runs.get(next).map_or(held.end, |run| run.clock))
    }

    /// Every client's next clock.
    pub(super) fn state(&self) -> impl Iterator<Item = (ClientId, u32)> {
        self.clients.iter().map(|(&client, held)| (client, held.end))
    }

    /// Every deleted range.
    pub(super) fn deleted(&self) -> impl Iterator<Item = (ClientId, u32, u32)> {
        self.clients
            .iter()
            .flat_map(|(&client, held)| held.deleted.iter().map(move |&(from, to)| (client, from, to)))
    }

    /// Of every type that has something in its sequence: how many clocks of that are not deleted.
    pub(super) fn live_in_sequences(&self) -> HashMap<TypeNumber, u64> {
        let mut live = HashMap::new();
        for held in self.clients.values() {
            let ends = held.runs.iter().skip(1).map(|next| next.clock).chain([held.end]);
            for (run, end) in held.runs.iter().zip(ends) {
                if run.spot.key != NO_NAME || run.spot.is_nowhere() {
                    continue;
                }
                let first = held.deleted.partition_point(|range| range.1 <= run.clock);
                let deleted = held.deleted[first..].iter().take_while(|range| range.0 < end);
                let gone: u64 =
                    deleted.map(|range| u64::from(range.1.min(end) - range.0.max(run.clock))).sum();
                *live.entry(run.spot.parent).or_default() += u64::from(end - run.clock) - gone;
            }
        }
        live
    }

    pub(super) fn runs(&self) -> usize {
        self.clients.values().map(|held| held.runs.len()).sum()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let parts = self.clients.values().map(|held| {
            held.runs.capacity() * size_of::<Run>() + held.deleted.capacity() * size_of::<Range>()
        });
        parts.sum::<usize>()
            + self.clients.allocation_size()
            + self.types.capacity() * size_of::<Spot>()
            + self.roots.allocation_size()
            + self.names.heap_bytes()
    }
}

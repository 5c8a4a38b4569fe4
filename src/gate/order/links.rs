//! The lists of the order: where an id stands, cutting blocks, linking them in and out.

use super::super::index::{Index, Spot};
use super::super::ranges::push_tight;
use super::super::read::Id;
use super::{Change, Entry, Held, NONE, NOWHERE, Order, Place, Placed};
use crate::ids::ClientId;

impl Order {
    pub(super) fn number(&mut self, client: ClientId) -> u32 {
        *self.numbers.entry(client).or_insert_with(|| {
            self.clients.push(Held { id: client, slots: Vec::new() });
            self.clients.len() as u32 - 1
        })
    }

    pub(super) fn place(&self, id: Id) -> Place {
        Place { client: self.numbers.get(&id.client).copied().unwrap_or(NONE), clock: id.clock }
    }

    /// Where in its client's list the entry stands that holds an id, and its slot.
    pub(super) fn find(&self, place: Place) -> Option<(usize, u32)> {
        let slots = &self.clients.get(place.client as usize)?.slots;
        let after = slots.partition_point(|&slot| self.entries[slot as usize].clock <= place.clock);
        let slot = *slots.get(after.checked_sub(1)?)?;
        self.entries[slot as usize].holds(place).then_some((after - 1, slot))
    }

    /// The entry that ends with an id, cut off behind it if need be; [`NONE`] if the id is unknown.
    pub(super) fn ending_at(&mut self, place: Place) -> u32 {
        let Some((at, slot)) = self.find(place) else { return NONE };
        let entry = self.entries[slot as usize];
        if place.clock + 1 < entry.clock + entry.len && !entry.is_garbage() {
            self.split(at, slot, place.clock + 1);
        }
        slot
    }

    /// The entry that starts with an id, as [`Order::ending_at`].
    pub(super) fn starting_at(&mut self, place: Place) -> u32 {
        let Some((at, slot)) = self.find(place) else { return NONE };
        let entry = self.entries[slot as usize];
        if entry.clock < place.clock && !entry.is_garbage() {
            return self.split(at, slot, place.clock);
        }
        slot
    }

    /// Cuts an entry before `clock`; returns the second piece.
    pub(super) fn split(&mut self, at: usize, slot: u32, clock: u32) -> u32 {
        let entry = self.entries[slot as usize];
        let (len, client) = (clock - entry.clock, entry.client());
        let weighing = |len: u32| client << 8 | (entry.tag & 0xff).min(len);
        let rest = Entry {
            tag: weighing(entry.len - len),
            clock,
            len: entry.len - len,
            prev: slot,
            origin: Place { client, clock: clock - 1 },
            ..entry
        };
        let piece = self.allocate(rest);
        if let Some(next) = self.entries.get_mut(entry.next as usize) {
            next.prev = piece;
        }
        let first = &mut self.entries[slot as usize];
        (first.tag, first.len, first.next) = (weighing(len), len, piece);
        self.clients[client as usize].slots.insert(at + 1, piece);
        self.changed.entries.push(Change::Split { slot, piece, tag: entry.tag });
        piece
    }

    /// Undoes the newest cut of an entry, whose tag was `tag`. The rest of it may be truncated: then what had made the two one is
    /// taken back next.
    pub(super) fn join(&mut self, slot: u32, piece: u32, tag: u32) {
        let rest = self.entries[piece as usize];
        let found = self.find(Place { client: rest.client(), clock: rest.clock });
        let Some((at, _)) = found.filter(|&(_, found)| found == piece) else {
            self.entries[slot as usize].tag = tag;
            return;
        };
        self.clients[rest.client() as usize].slots.remove(at);
        if let Some(next) = self.entries.get_mut(rest.next as usize) {
            next.prev = slot;
        }
        let first = &mut self.entries[slot as usize];
        (first.tag, first.len, first.next) = (tag, first.len + rest.len, rest.next);
        self.free.push(piece);
    }

    pub(super) fn allocate(&mut self, entry: Entry) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = entry;
            return slot;
        }
        push_tight(&mut self.entries, entry);
        self.entries.len() as u32 - 1
    }

    /// Makes a block one with the entry before it, if they are what the engine makes one item.
    pub(super) fn extend(&mut self, left: u32, block: &Entry) -> bool {
        let Some(entry) = self.entries.get_mut(left as usize) else { return false };
        let follows = entry.client() == block.client() && entry.clock + entry.len == block.clock;
        let fits = entry.right == block.right && entry.spanned == block.spanned && entry.tag & 0xff < 0xff;
        if follows && fits {
            entry.len += block.len;
            entry.tag += 1;
        }
        follows && fits
    }

    pub(super) fn insert(&mut self, entry: Entry, left: u32, spot: Spot) {
        let first = self.firsts.get(&spot).copied().unwrap_or(NONE);
        let next = self.entries.get(left as usize).map_or(first, |left| left.next);
        let slot = self.allocate(Entry { prev: left, next, ..entry });
        match self.entries.get_mut(left as usize) {
            Some(left) => left.next = slot,
            None => drop(self.firsts.insert(spot, slot)),
        }
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.prev = slot;
        }
        push_tight(&mut self.clients[entry.client() as usize].slots, slot);
    }

    pub(super) fn append_garbage(&mut self, number: u32, block: &Placed) {
        let last = self.clients[number as usize].slots.last().copied();
        match last.and_then(|slot| self.entries.get_mut(slot as usize)) {
            Some(last) if last.is_garbage() => last.len += block.len,
            _ => {
                let (clock, len) = (block.id.clock, block.len);
                let (next, prev, origin, right) = (NONE, NONE, NOWHERE, NOWHERE);
                let entry = Entry { tag: number << 8, clock, len, next, prev, origin, right, spanned: 0 };
                let slot = self.allocate(entry);
                push_tight(&mut self.clients[number as usize].slots, slot);
            }
        }
    }

    /// Forgets a client's clocks from `from` on; the index still knows where they live.
    pub(in super::super) fn truncate(&mut self, client: ClientId, from: u32, index: &Index) {
        let Some(&number) = self.numbers.get(&client) else { return };
        while let Some(&slot) = self.clients[number as usize].slots.last() {
            let entry = &mut self.entries[slot as usize];
            if entry.clock < from {
                entry.len = entry.len.min(from - entry.clock);
                break;
            }
            let entry = *entry;
            self.clients[number as usize].slots.pop();
            if !entry.is_garbage() {
                self.unlink(&entry, Id { client, clock: entry.clock }, index);
            }
            self.free.push(slot);
        }
        self.forget_empty();
    }

    /// Forgets clients without entries, as far as nobody else's number changes.
    pub(super) fn forget_empty(&mut self) {
        while let Some(last) = self.clients.pop_if(|last| last.slots.is_empty()) {
            self.numbers.remove(&last.id);
        }
    }

    pub(super) fn unlink(&mut self, entry: &Entry, id: Id, index: &Index) {
        if let Some(next) = self.entries.get_mut(entry.next as usize) {
            next.prev = entry.prev;
        }
        if let Some(prev) = self.entries.get_mut(entry.prev as usize) {
            prev.next = entry.next;
        } else if let Some((spot, _)) = index.find(id) {
            match entry.next {
                NONE => drop(self.firsts.remove(&spot)),
                next => drop(self.firsts.insert(spot, next)),
            }
        }
    }
}

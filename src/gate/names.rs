//! The interner: keys and root names, each held once per room.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::ranges::push_tight;

/// The number of a name. [`NO_NAME`] stands for "no key": a place in a sequence.
pub(super) type Name = u32;

/// No key.
pub(super) const NO_NAME: Name = u32::MAX;

/// Names by number and numbers by name. The text of all of them is one string.
#[derive(Default)]
pub(super) struct Names {
    text: String,
    /// Where each name ends in `text`.
    ends: Vec<u32>,
    table: HashTable<Name>,
    hasher: DefaultHashBuilder,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, name: Name) -> &str {
        let at = name as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }

    pub(super) fn find(&self, text: &str) -> Option<Name> {
        self.table.find(self.hasher.hash_one(text), |&name| self.get(name) == text).copied()
    }

    /// The number of a name, which is new if it was not known.
    pub(super) fn intern(&mut self, text: &str) -> Name {
        if let Some(name) = self.find(text) {
            return name;
        }
        let name = self.ends.len() as Name;
        if self.text.capacity() - self.text.len() < text.len() {
            self.text.reserve_exact(text.len() + self.text.len() / 8);
        }
        self.text.push_str(text);
        push_tight(&mut self.ends, self.text.len() as u32);
        let Self { text: all, ends, table, hasher } = self;
        let hash_of = |&name: &Name| {
            let at = name as usize;
            let start = if at == 0 { 0 } else { ends[at - 1] as usize };
            hasher.hash_one(&all[start..ends[at] as usize])
        };
        table.insert_unique(hasher.hash_one(text), name, hash_of);
        name
    }

    /// Forgets all names from number `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        for at in (len..self.ends.len()).rev() {
            let hash = self.hasher.hash_one(self.get(at as Name));
            if let Ok(entry) = self.table.find_entry(hash, |&name| name as usize == at) {
                entry.remove();
            }
        }
        self.ends.truncate(len);
        self.text.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>() + self.table.allocation_size()
    }
}

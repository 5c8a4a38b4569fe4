//! What becomes of an update that breaks a rule.
//!
//! A key whose former value has room behind the update is set again. One that has no room is kept as it was: what would set
//! it becomes garbage, and what would delete it or anything in it is not deleted. So nothing is refused for being large.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use yrs::Transact;
use yrs::branch::{Branch, BranchID};

use super::{Findings, State};
use crate::board::rules::restore::{Compensation, Restore, former};
use crate::gate::{Act, Content, Remainder, Rewrite, Where};
use crate::ids::{ClientId, Position};
use crate::limits::BOARD_RESTORED_BYTES_MAX;

/// Clocks of a client: from, to exclusive.
pub(super) type Clocks = (ClientId, u32, u32);

/// A root, and a key in it.
pub(super) type Entry = (String, String);

/// What an update does where it breaks rules, taken down while the gate has it.
pub(super) struct Offence {
    keys: Vec<Key>,
    garbage: Vec<Clocks>,
    /// What it deletes in entries of which something breaks a rule.
    deletes: Vec<(Entry, Clocks)>,
}

/// What becomes of it.
pub(super) struct Plan {
    pub(super) rewrite: Rewrite,
    /// What the server writes behind it.
    pub(super) compensation: Option<Vec<u8>>,
    /// The position for which this is so; `None`: for any.
    pub(super) at: Option<Position>,
    /// There was no room for all: something is kept as it was.
    pub(super) is_beyond: bool,
}

/// What an update does under one key.
struct Key {
    root: String,
    levels: Vec<Option<String>>,
    /// The map came with the update: there was nothing.
    in_new: bool,
    blocks: Vec<Clocks>,
    /// The last ids of its blocks, and those that it deletes.
    ends: HashSet<(ClientId, u32)>,
    /// What its blocks stand behind.
    origins: HashSet<(ClientId, u32)>,
}

/// The entry in which something lives.
pub(super) fn entry(act: &Act<'_>) -> Option<Entry> {
    let key = act.place.first_key()?;
    Some((act.place.root.to_owned(), key.to_owned()))
}

impl Offence {
    /// Something under a key had a value.
    pub(super) fn needs_former(&self) -> bool {
        self.keys.iter().any(|key| !key.in_new)
    }
}

impl State {
    /// Looks once more at what the gate has admitted.
    pub(super) fn offence(&self, admitted: &Remainder, found: &Findings) -> Offence {
        let mut keys: HashMap<Where, Key> = HashMap::new();
        let mut deletes = Vec::new();
        let shown = self.gate.acts(admitted, |act| {
            if act.content == Content::Delete
                && let Some(entry) = entry(act).filter(|entry| found.entries.contains(entry))
            {
                deletes.push((entry, (act.client, act.clocks.0, act.clocks.1)));
            }
            if !found.keys.contains(&act.at) {
                return;
            }
            let key = keys.entry(act.at).or_insert_with(|| Key::of(act));
            key.ends.insert((act.client, act.clocks.1 - 1));
            key.origins.extend(act.origin);
            if act.is_block() {
                key.blocks.push((act.client, act.clocks.0, act.clocks.1));
            }
        });
        debug_assert!(shown.is_ok(), "the gate has written it");
        let mut keys: Vec<Key> = keys.into_values().collect();
        keys.sort_by(|a, b| (&a.root, &a.levels).cmp(&(&b.root, &b.levels)));
        Offence { keys, garbage: found.garbage.clone(), deletes }
    }

    /// How many formats a text of the document has, at most.
    pub(in crate::room::state) fn marks(&self) -> impl Fn(&Branch) -> u64 {
        let sequences = OnceCell::new();
        move |text| match text.id() {
            BranchID::Nested(id) => {
                let sequences = sequences.get_or_init(|| self.gate.sequences());
                let live = self.gate.live_in(sequences, (id.client.get(), id.clock));
                live.saturating_sub(u64::from(text.len()))
            }
            BranchID::Root(_) => u64::MAX,
        }
    }

    /// What is to become of it. The gate has taken it back: what keys have had is as it is committed.
    pub(super) fn plan(&self, offence: Offence) -> Plan {
        let needs_former = offence.needs_former();
        let Offence { keys, mut garbage, deletes } = offence;
        let transaction = self.document.doc().transact();
        let marks = self.marks();
        let client = self.rules.client;
        let mut compensation = Compensation::new((client, self.gate.known(client)), BOARD_RESTORED_BYTES_MAX);
        let mut deleted = Vec::new();
        // Entries that are set again as a whole have their fields; those that are kept have them too.
        let (mut whole, mut kept) = (HashSet::new(), HashSet::new());
        for Key { root, levels, in_new, blocks, ends, origins } in keys {
            let entry = (root, levels.first().cloned().flatten().unwrap_or_default());
            if kept.contains(&entry) {
                garbage.extend(blocks);
                continue;
            }
            let names: Vec<Option<&str>> = levels.iter().map(Option::as_deref).collect();
            let value = match in_new || whole.contains(&entry) {
                true => None,
                false => former(&transaction, &entry.0, &names, &marks),
            };
            let Some(value) = value else {
                deleted.extend(blocks);
                continue;
            };
            let mut behind: Vec<_> = ends.difference(&origins).copied().collect();
            behind.sort_unstable();
            if compensation.put(&Restore { behind, value }) {
                deleted.extend(blocks);
                if names.len() == 1 {
                    whole.insert(entry);
                }
            } else {
                garbage.extend(blocks);
                kept.insert(entry);
            }
        }
        let spared = deletes.into_iter().filter(|(entry, _)| kept.contains(entry)).map(|(_, clocks)| clocks);
        let rewrite = Rewrite::new(deleted, garbage).sparing(spared).telling_garbage();
        // Also where there was nothing: what others set meanwhile may stand before what has lost its content.
        let at = needs_former.then_some(self.committed);
        Plan { rewrite, compensation: compensation.finish(), at, is_beyond: !kept.is_empty() }
    }

    /// Takes in what the server sets again. Nothing if the gate does not take it.
    pub(super) fn restore(&mut self, update: &[u8]) -> Option<Remainder> {
        let admission = self.gate.admit(update, crate::gate::Source::Record).ok()?;
        let remainder = admission.remainder?;
        if admission.dropped.is_gap() {
            self.gate.revert(&remainder.receipt);
            return None;
        }
        Some(remainder)
    }
}

impl Key {
    fn of(act: &Act<'_>) -> Self {
        let levels = act.place.keys().unwrap_or_default();
        Self {
            root: act.place.root.to_owned(),
            levels: levels.iter().map(|level| level.map(str::to_owned)).collect(),
            in_new: act.in_new,
            blocks: Vec::new(),
            ends: HashSet::new(),
            origins: HashSet::new(),
        }
    }
}

//! What becomes of an update that breaks a rule.
//!
//! A key whose former value has room behind the update is set again. One that has no room is kept as it was: what would set
//! it becomes garbage, and what would delete it or anything in it is not deleted. So nothing is refused for being large, nor
//! for breaking rules at many places: those beyond `BOARD_BROKEN_MAX` are kept in the same way.

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
    deleted: Vec<Clocks>,
    /// Entries that are kept as they are.
    kept: HashSet<Entry>,
    /// What it deletes in those.
    spared: Vec<Clocks>,
    /// What it deletes in other entries of which something breaks a rule.
    deletes: Vec<(Entry, Clocks)>,
    needs_former: bool,
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
    blocks: Vec<Clocks>,
    /// The last ids of its blocks, and those that it deletes, behind which none of its blocks stands so far: one where each
    /// was set behind the one before, and no more than the gate lets stand at one place.
    ends: HashSet<(ClientId, u32)>,
    /// What its blocks stand behind, as far as it was not among the ends.
    origins: HashSet<(ClientId, u32)>,
}

/// Adds the clocks of an act, to the last ones if they go on there.
pub(super) fn add(all: &mut Vec<Clocks>, act: &Act<'_>) {
    match all.last_mut() {
        Some((client, _, to)) if (*client, *to) == (act.client, act.clocks.0) => *to = act.clocks.1,
        _ => all.push((act.client, act.clocks.0, act.clocks.1)),
    }
}

/// The entry in which something lives.
pub(super) fn entry(act: &Act<'_>) -> Option<Entry> {
    let key = act.place.first_key()?;
    Some((act.place.root.to_owned(), key.to_owned()))
}

impl Offence {
    /// Something under a key may have had a value.
    pub(super) fn needs_former(&self) -> bool {
        self.needs_former
    }
}

impl State {
    /// Looks once more at what the gate has admitted.
    pub(super) fn offence(&self, admitted: &Remainder, found: Findings) -> Offence {
        let Findings { keys: wanted, entries, kept, deleted, garbage, needs_former, .. } = found;
        let mut keys: HashMap<Where, Key> = HashMap::new();
        let (mut deletes, mut spared) = (Vec::new(), Vec::new());
        let shown = self.gate.acts(admitted, |act| {
            if act.content == Content::Delete
                && let Some(entry) = entry(act)
            {
                if kept.contains(&entry) {
                    add(&mut spared, act);
                } else if entries.contains(&entry) {
                    deletes.push((entry, (act.client, act.clocks.0, act.clocks.1)));
                }
            }
            if wanted.contains(&act.at) {
                keys.entry(act.at).or_insert_with(|| Key::of(act)).note(act);
            }
        });
        debug_assert!(shown.is_ok(), "the gate has written it");
        let mut keys: Vec<Key> = keys.into_values().collect();
        keys.sort_by(|a, b| (&a.root, &a.levels).cmp(&(&b.root, &b.levels)));
        Offence { keys, garbage, deleted, kept, spared, deletes, needs_former }
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
        let Offence { keys, mut garbage, mut deleted, mut kept, mut spared, deletes, .. } = offence;
        let transaction = self.document.doc().transact();
        let marks = self.marks();
        let client = self.rules.client;
        let mut compensation = Compensation::new((client, self.gate.known(client)), BOARD_RESTORED_BYTES_MAX);
        // Entries that are set again as a whole have their fields; those that are kept have them too.
        let mut whole = HashSet::new();
        for Key { root, levels, blocks, ends, .. } in keys {
            let entry = (root, levels.first().cloned().flatten().unwrap_or_default());
            if kept.contains(&entry) {
                garbage.extend(blocks);
                continue;
            }
            let names: Vec<Option<&str>> = levels.iter().map(Option::as_deref).collect();
            let value = match whole.contains(&entry) {
                true => None,
                false => former(&transaction, &entry.0, &names, &marks),
            };
            let Some(value) = value else {
                deleted.extend(blocks);
                continue;
            };
            let mut behind: Vec<_> = ends.into_iter().collect();
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
        spared
            .extend(deletes.into_iter().filter(|(entry, _)| kept.contains(entry)).map(|(_, clocks)| clocks));
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
            blocks: Vec::new(),
            ends: HashSet::new(),
            origins: HashSet::new(),
        }
    }

    /// Takes down an act under this key.
    fn note(&mut self, act: &Act<'_>) {
        if act.is_block() {
            add(&mut self.blocks, act);
        }
        if let Some(origin) = act.origin
            && !self.ends.remove(&origin)
        {
            self.origins.insert(origin);
        }
        let end = (act.client, act.clocks.1 - 1);
        if !self.origins.contains(&end) {
            self.ends.insert(end);
        }
    }
}

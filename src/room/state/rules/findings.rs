//! What is noted of an update while the rules are asked about it, act by act.

use std::collections::{BTreeSet, HashSet};

use super::plan::{self, Clocks, Entry};
use crate::board::rules::{self, Reason, Who};
use crate::board::schema::{ITEMS, META};
use crate::board::seed::{self, Template};
use crate::caller::{Role, UserId};
use crate::gate::{Act, Content, Where};
use crate::ids::ClientId;
use crate::limits::BOARD_BROKEN_MAX;

/// What an update does that rules may have to know of it while it is under way.
#[derive(Debug, Default)]
pub(in crate::room::state) struct Touches {
    pub(super) cards: Vec<Box<str>>,
    pub(super) meta: bool,
    /// The editor who does it, and may.
    pub(in crate::room::state) by: Option<UserId>,
    /// Cards that it sets, each with the last id of the block.
    pub(in crate::room::state) sets: Vec<(Box<str>, (ClientId, u32))>,
}

/// What the rules say of an update.
#[derive(Default)]
pub(super) struct Findings {
    /// Places under keys of the board where something breaks a rule and something is: the first [`BOARD_BROKEN_MAX`].
    pub(super) keys: HashSet<Where>,
    /// Entries in which they are.
    pub(super) entries: HashSet<Entry>,
    /// Entries of further ones: they are kept as they are.
    pub(super) kept: HashSet<Entry>,
    /// Blocks that would set something where nothing is.
    pub(super) deleted: Vec<Clocks>,
    /// Blocks that would set something in what is kept, and those that stand under no key.
    pub(super) garbage: Vec<Clocks>,
    /// It was asked whether something is there.
    pub(super) needs_former: bool,
    /// Clients of blocks that do, which somebody else owns.
    pub(super) theirs: BTreeSet<ClientId>,
    /// Ids of templates under which something else is written.
    pub(super) forged: Vec<ClientId>,
    pub(super) first: Option<Reason>,
    pub(super) unclear: bool,
    pub(super) touches: Touches,
}

/// New blocks under the client id of a template: nobody writes there but the template. Taken by something else it could
/// never be begun with.
pub(super) struct Seed {
    pub(super) template: &'static Template,
    /// Clocks that are not the template's, as far as was looked.
    pub(super) left: u32,
}

impl Seed {
    pub(super) fn of(&(client, from, to): &(ClientId, u32, u32)) -> Option<Self> {
        seed::template_of(client).map(|template| Self { template, left: to - from })
    }

    pub(super) fn note(&mut self, act: &Act<'_>, who: &Who<'_>) {
        let (META, Some([Some(key)])) = (act.place.root, act.place.keys()) else { return };
        let is_own = match act.content {
            Content::Deleted if who.only_shape || who.role >= Role::Facilitator => {
                self.template.key(act.clocks.0) == Some(key)
            }
            Content::Values(bytes) => self.template.is(act.clocks.0, key, bytes),
            _ => false,
        };
        if is_own {
            self.left = self.left.saturating_sub(act.clocks.1 - act.clocks.0);
        }
    }
}

impl Touches {
    /// That of one card, whoever does it.
    pub(in crate::room::state) fn of_card(id: &str) -> Self {
        Self { cards: vec![Box::from(id)], ..Self::default() }
    }

    pub(in crate::room::state) fn note(&mut self, act: &Act<'_>) {
        if let (ITEMS, Some([Some(id)])) = (act.place.root, act.place.keys())
            && act.is_block()
            && act.content != Content::Deleted
        {
            self.sets.push((Box::from(*id), (act.client, act.clocks.1 - 1)));
        }
        match (act.place.root, act.place.keys().unwrap_or_default()) {
            (META, _) => self.meta = true,
            (ITEMS, [Some(id)] | [Some(id), Some("author")])
                if self.cards.last().is_none_or(|last| **last != **id) =>
            {
                self.cards.push(Box::from(*id));
            }
            _ => {}
        }
    }
}

impl Findings {
    /// What is deleted in a sequence was garbage where it is not allowed: nothing is lost by it, and nothing is said.
    /// `holds` tells whether a root has something under a key.
    pub(super) fn note(&mut self, act: &Act<'_>, reason: Reason, holds: impl Fn(&str, &str) -> bool) {
        let is_key = act.place.keys().is_some_and(|keys| keys.last().is_some_and(Option::is_some));
        if is_key && rules::is_root(act.place.root) {
            self.note_key(act, holds);
        } else if act.is_block() {
            plan::add(&mut self.garbage, act);
        } else {
            return;
        }
        self.first.get_or_insert(reason);
    }

    fn note_key(&mut self, act: &Act<'_>, holds: impl Fn(&str, &str) -> bool) {
        if self.keys.contains(&act.at) {
            return;
        }
        self.needs_former |= !act.in_new;
        let is_there = !act.in_new && act.place.first_key().is_some_and(|key| holds(act.place.root, key));
        if is_there && self.keys.len() < BOARD_BROKEN_MAX {
            self.keys.insert(act.at);
            self.entries.extend(plan::entry(act));
            return;
        }
        if is_there {
            self.kept.extend(plan::entry(act));
        }
        if act.is_block() {
            plan::add(if is_there { &mut self.garbage } else { &mut self.deleted }, act);
        }
    }
}

//! The view of a board that is kept while the board changes: after each change only the entries that it touched are
//! read again, and what became another is told, with its new value.
//!
//! Invariant: after [`LiveBoard::refresh`] with all entries that were touched, the state is what
//! [`view`](super::view::view) reads.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use yrs::{Doc, ReadTxn, Transact};

use super::read::{self, Roots, Votes};
use super::schema::{
    ACTION_ITEMS, GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, Point, SIGNATURE_COLORS, VOTES, is_id,
    parse_vote_key,
};
use super::view::{ActionItem, Group, Item, Meta, RetroRoomState};
use crate::limits::BOARD_ITEMS_MAX;

/// What of a board is another than before, with its new values; in maps `None` is gone.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// All of it, if anything of it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    /// Cards by id.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub items: Changes<Item>,
    /// Places by card.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub item_positions: Changes<Point>,
    /// Groups by card.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub item_groups: Changes<String>,
    /// Groups by id.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub groups: Changes<Group>,
    /// Colors by signature.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub signature_colors: Changes<String>,
    /// The whole list, if anything in it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_items: Option<Vec<ActionItem>>,
    /// All votes of a person that count, by person.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub all_user_votes: Changes<BTreeMap<String, u32>>,
}

/// What became of entries, in order: `None` is gone. If a key comes twice the last counts, as it does in JSON, which has it
/// as an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes<V>(Vec<(String, Option<V>)>);

impl<V> Default for Changes<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Changes<V> {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What became of an entry; the outer `None`: nothing.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Option<&V>> {
        self.0.iter().rfind(|(of, _)| of == key).map(|(_, value)| value.as_ref())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&V>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }
}

impl<V: Serialize> Serialize for Changes<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Change {
    /// Whether nothing is another.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            meta,
            items,
            item_positions,
            item_groups,
            groups,
            signature_colors,
            action_items,
            all_user_votes,
        } = self;
        meta.is_none()
            && action_items.is_none()
            && items.is_empty()
            && item_positions.is_empty()
            && item_groups.is_empty()
            && groups.is_empty()
            && signature_colors.is_empty()
            && all_user_votes.is_empty()
    }

    /// Adds what changed after this.
    pub fn then(&mut self, next: Self) {
        self.meta = next.meta.or(self.meta.take());
        self.items.0.extend(next.items.0);
        self.item_positions.0.extend(next.item_positions.0);
        self.item_groups.0.extend(next.item_groups.0);
        self.groups.0.extend(next.groups.0);
        self.signature_colors.0.extend(next.signature_colors.0);
        self.action_items = next.action_items.or(self.action_items.take());
        self.all_user_votes.0.extend(next.all_user_votes.0);
    }

    /// Makes a state that was before the change into the one after it.
    pub fn apply(&self, state: &mut RetroRoomState) {
        fn all<V: Clone>(map: &mut BTreeMap<String, V>, changes: &Changes<V>) {
            for (key, value) in &changes.0 {
                match value {
                    Some(value) => drop(map.insert(key.clone(), value.clone())),
                    None => drop(map.remove(key)),
                }
            }
        }
        if let Some(meta) = &self.meta {
            state.meta.clone_from(meta);
        }
        if let Some(action_items) = &self.action_items {
            state.action_items.clone_from(action_items);
        }
        all(&mut state.items, &self.items);
        all(&mut state.item_positions, &self.item_positions);
        all(&mut state.item_groups, &self.item_groups);
        all(&mut state.groups, &self.groups);
        all(&mut state.signature_colors, &self.signature_colors);
        all(&mut state.all_user_votes, &self.all_user_votes);
    }
}

/// A board as it is now.
#[derive(Debug, Default)]
pub struct LiveBoard {
    state: RetroRoomState,
    /// The votes as they were given: those on what is not there, and those above the limit, may count later.
    given: Votes,
}

/// What has to be read again, by root. Some of it may stand here twice: the second time it is no other.
#[derive(Default)]
struct Touched<'p> {
    meta: bool,
    items: Vec<&'p str>,
    positions: Vec<String>,
    memberships: Vec<String>,
    groups: Vec<&'p str>,
    colors: Vec<&'p str>,
    votes: Vec<&'p str>,
    actions: Vec<&'p str>,
    /// Whose votes are to be counted again.
    voters: Vec<String>,
}

impl LiveBoard {
    /// The board as it is now.
    #[must_use]
    pub fn state(&self) -> &RetroRoomState {
        &self.state
    }

    /// Reads the entries `(root, key)` again that a change has touched; others are not of this board.
    pub fn refresh<'p>(
        &mut self,
        doc: &Doc,
        entries: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Change {
        let mut touched = Touched::default();
        for (root, key) in entries {
            match root {
                META => touched.meta = true,
                ITEMS => touched.items.push(key),
                ITEM_POSITIONS => touched.positions.push(key.to_owned()),
                ITEM_GROUPS => touched.memberships.push(key.to_owned()),
                GROUPS => touched.groups.push(key),
                SIGNATURE_COLORS => touched.colors.push(key),
                VOTES => touched.votes.push(key),
                ACTION_ITEMS => touched.actions.push(key),
                _ => {}
            }
        }
        let is_cut = |len: usize, more: usize| len + more >= BOARD_ITEMS_MAX;
        let state = &self.state;
        if is_cut(state.items.len(), touched.items.len())
            || is_cut(state.groups.len(), touched.groups.len())
            || is_cut(state.action_items.len(), touched.actions.len())
        {
            return self.rebuild(doc); // what is beyond the bound may come into it
        }
        let transaction = doc.transact();
        self.read(&Roots::of(&transaction), touched)
    }

    /// Reads everything again.
    pub fn rebuild(&mut self, doc: &Doc) -> Change {
        let (state, given) = read::board(&Roots::of(&doc.transact()));
        self.given = given;
        let old = std::mem::replace(&mut self.state, state);
        let new = &self.state;
        Change {
            meta: (old.meta != new.meta).then(|| new.meta.clone()),
            items: differences(old.items, &new.items),
            item_positions: differences(old.item_positions, &new.item_positions),
            item_groups: differences(old.item_groups, &new.item_groups),
            groups: differences(old.groups, &new.groups),
            signature_colors: differences(old.signature_colors, &new.signature_colors),
            action_items: (old.action_items != new.action_items).then(|| new.action_items.clone()),
            all_user_votes: differences(old.all_user_votes, &new.all_user_votes),
        }
    }

    fn read<T: ReadTxn>(&mut self, roots: &Roots<'_, T>, mut touched: Touched<'_>) -> Change {
        let mut change = Change::default();
        let state = &mut self.state;
        if touched.meta {
            let meta = roots.meta();
            if meta.vote_limit != state.meta.vote_limit {
                touched.voters.extend(self.given.keys().cloned());
            }
            if meta != state.meta {
                state.meta = meta.clone();
                change.meta = Some(meta);
            }
        }
        for id in std::mem::take(&mut touched.items) {
            let item = roots.get(ITEMS, id).filter(|_| is_id(id)).and_then(|value| roots.item(value));
            if item.is_some() != state.items.contains_key(id) {
                touched.positions.push(id.to_owned());
                touched.memberships.push(id.to_owned());
                touched.count_again(&self.given, id);
            }
            note(&mut state.items, &mut change.items, id, item);
        }
        for id in std::mem::take(&mut touched.groups) {
            let group = roots.get(GROUPS, id).filter(|_| is_id(id)).and_then(|value| roots.group(value));
            if group.is_some() != state.groups.contains_key(id) {
                // Cards may have named it before it was there.
                touched.memberships.extend(roots.map(ITEM_GROUPS).all().into_iter().map(|(card, _)| card));
                touched.count_again(&self.given, id);
            }
            note(&mut state.groups, &mut change.groups, id, group);
        }
        for id in &touched.positions {
            let value = roots.get(ITEM_POSITIONS, id).filter(|_| state.items.contains_key(id));
            let point = value.and_then(|value| read::point(&value));
            note(&mut state.item_positions, &mut change.item_positions, id, point);
        }
        for id in &touched.memberships {
            let value = roots.get(ITEM_GROUPS, id).filter(|_| state.items.contains_key(id));
            let group = value.and_then(|value| read::group_of(&value, &state.groups));
            note(&mut state.item_groups, &mut change.item_groups, id, group);
        }
        for signature in &touched.colors {
            let value = roots.get(SIGNATURE_COLORS, signature).filter(|_| is_id(signature));
            let color = value.and_then(|value| read::color(&value));
            note(&mut state.signature_colors, &mut change.signature_colors, signature, color);
        }
        self.read_votes(roots, touched.votes, touched.voters, &mut change);
        self.read_actions(roots, touched.actions, &mut change);
        change
    }

    fn read_votes<T: ReadTxn>(
        &mut self,
        roots: &Roots<'_, T>,
        keys: Vec<&str>,
        mut voters: Vec<String>,
        change: &mut Change,
    ) {
        for key in keys {
            let Some((user, target)) = parse_vote_key(key) else { continue };
            let count = roots.get(VOTES, key).map_or(0, |value| read::vote(&value));
            let votes = self.given.entry(user.clone()).or_default();
            if count > 0 {
                votes.insert(target.to_owned(), count);
            } else {
                votes.remove(target);
            }
            if votes.is_empty() {
                self.given.remove(&user);
            }
            voters.push(user);
        }
        let state = &mut self.state;
        for user in voters {
            let votes = read::counted(&self.given, &user, &state.items, &state.groups, state.meta.vote_limit);
            note(&mut state.all_user_votes, &mut change.all_user_votes, &user, votes);
        }
    }

    fn read_actions<T: ReadTxn>(&mut self, roots: &Roots<'_, T>, ids: Vec<&str>, change: &mut Change) {
        let list = &mut self.state.action_items;
        let mut is_other = false;
        for id in ids.into_iter().filter(|id| is_id(id)) {
            let new = roots.get(ACTION_ITEMS, id).and_then(|value| roots.action_item(id, value));
            let at = list.iter().position(|item| item.id == id);
            match (at, new) {
                (Some(at), Some(new)) if list[at] == new => continue,
                (Some(at), Some(new)) => list[at] = new,
                (Some(at), None) => drop(list.remove(at)),
                (None, Some(new)) => list.push(new),
                (None, None) => continue,
            }
            is_other = true;
        }
        if is_other {
            read::in_order(list);
            change.action_items = Some(list.clone());
        }
    }
}

impl Touched<'_> {
    /// A target of votes has come or gone.
    fn count_again(&mut self, given: &Votes, target: &str) {
        let voters = given.iter().filter(|(_, votes)| votes.contains_key(target));
        self.voters.extend(voters.map(|(user, _)| user.clone()));
    }
}

/// Puts a value in its place, and notes it if it is another than what was there.
fn note<V: Clone + PartialEq>(
    map: &mut BTreeMap<String, V>,
    changes: &mut Changes<V>,
    key: &str,
    value: Option<V>,
) {
    if map.get(key) == value.as_ref() {
        return;
    }
    match &value {
        Some(value) => drop(map.insert(key.to_owned(), value.clone())),
        None => drop(map.remove(key)),
    }
    changes.0.push((key.to_owned(), value));
}

fn differences<V: Clone + PartialEq>(old: BTreeMap<String, V>, new: &BTreeMap<String, V>) -> Changes<V> {
    let other = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
    let mut changes: Vec<_> = other.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    changes.extend(old.into_keys().filter(|key| !new.contains_key(key)).map(|key| (key, None)));
    Changes(changes)
}

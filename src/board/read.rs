//! How each entry of a board is read: one function a root, for the whole board ([`board`]) and for one entry of it
//! (`live`).

use std::collections::BTreeMap;

use yrs::{Any, GetString, Map, MapRef, Number, Out, ReadTxn};

use super::schema::{
    ACTION_ITEMS, Column, GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, Phase, Point, SIGNATURE_COLORS,
    VOTES, is_color, is_id, is_line, is_text, parse_vote_key,
};
use super::shared::{as_map, as_text};
use super::view::{ActionItem, Group, Item, Meta, RetroRoomState};
use super::votes;
use crate::limits::{BOARD_COLUMNS_MAX, BOARD_ITEMS_MAX, BOARD_VOTES, BOARD_VOTES_MAX, BOARD_WHOLE_MAX};

/// Votes by person and target.
pub(super) type Votes = BTreeMap<String, BTreeMap<String, u32>>;

/// Everything, and the votes as they were given, whether or not they count.
pub(super) fn board<T: ReadTxn>(roots: &Roots<'_, T>) -> (RetroRoomState, Votes) {
    let items = map_of(
        roots.entries(ITEMS).filter_map(|(id, value)| Some((id, roots.item(value)?))).take(BOARD_ITEMS_MAX),
    );
    let groups = map_of(
        roots.entries(GROUPS).filter_map(|(id, value)| Some((id, roots.group(value)?))).take(BOARD_ITEMS_MAX),
    );
    let of_items = |root| roots.map(root).all().into_iter().filter(|(id, _)| items.contains_key(id));
    let positions = of_items(ITEM_POSITIONS).filter_map(|(id, value)| Some((id, point(&value)?)));
    let memberships = of_items(ITEM_GROUPS).filter_map(|(id, value)| Some((id, group_of(&value, &groups)?)));
    let actions = roots.entries(ACTION_ITEMS).filter_map(|(id, value)| roots.action_item(&id, value));
    let mut action_items: Vec<ActionItem> = actions.take(BOARD_ITEMS_MAX).collect();
    in_order(&mut action_items);
    let colors = roots.entries(SIGNATURE_COLORS).filter_map(|(name, value)| Some((name, color(&value)?)));
    let meta = roots.meta();
    let given = given(roots);
    let counted = given.keys().filter_map(|user| {
        let votes = counted(&given, user, &items, &groups, meta.vote_limit)?;
        Some((user.clone(), votes))
    });
    let state = RetroRoomState {
        item_positions: map_of(positions),
        item_groups: map_of(memberships),
        signature_colors: map_of(colors),
        action_items,
        all_user_votes: map_of(counted),
        participants: Vec::new(),
        last_updated: None,
        meta,
        items,
        groups,
    };
    (state, given)
}

/// As `collect`, which brings a sort of its own for each type of value: a tenth of what browsers load.
fn map_of<V>(entries: impl Iterator<Item = (String, V)>) -> BTreeMap<String, V> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        map.insert(key, value);
    }
    map
}

/// The roots of a document.
pub(super) struct Roots<'t, T> {
    transaction: &'t T,
}

/// The entries of one map, or of one value that is a map.
pub(super) enum Fields<'t, T> {
    Shared(&'t T, MapRef),
    Plain(Any),
    None,
}

impl<'t, T: ReadTxn> Roots<'t, T> {
    pub(super) fn of(transaction: &'t T) -> Self {
        Self { transaction }
    }

    pub(super) fn map(&self, root: &'static str) -> Fields<'t, T> {
        match self.transaction.get_map(root) {
            Some(map) => Fields::Shared(self.transaction, map),
            None => Fields::None,
        }
    }

    /// The value under one key of a root.
    pub(super) fn get(&self, root: &'static str, key: &str) -> Option<Out> {
        self.map(root).get(key)
    }

    /// The entries of a root whose keys are ids.
    fn entries(&self, root: &'static str) -> impl Iterator<Item = (String, Out)> {
        self.map(root).all().into_iter().filter(|(id, _)| is_id(id))
    }

    pub(super) fn item(&self, value: Out) -> Option<Item> {
        let fields = Fields::of(self.transaction, value)?;
        Some(Item {
            text: fields.text("text").unwrap_or_default(),
            column: fields.get("column").and_then(|value| string(&value, is_id)),
            author: fields.line("author"),
            created_at: fields.whole("createdAt"),
        })
    }

    pub(super) fn group(&self, value: Out) -> Option<Group> {
        let fields = Fields::of(self.transaction, value)?;
        Some(Group { title: fields.line("title").unwrap_or_default(), order: fields.number("order") })
    }

    pub(super) fn action_item(&self, id: &str, value: Out) -> Option<ActionItem> {
        let fields = Fields::of(self.transaction, value)?;
        Some(ActionItem {
            id: id.to_owned(),
            text: fields.text("text").unwrap_or_default(),
            assignee: fields.line("assignee"),
            due: fields.line("due"),
            done: fields.is_true("done"),
            order: fields.number("order"),
        })
    }

    pub(super) fn meta(&self) -> Meta {
        let fields = self.map(META);
        let phase = fields.line("phase").and_then(|phase| Phase::parse(&phase));
        let limit = fields.whole("voteLimit").and_then(|limit| u32::try_from(limit).ok());
        Meta {
            title: fields.line("title").unwrap_or_default(),
            phase: phase.unwrap_or_default(),
            columns: fields.get("columns").map(|value| columns(&value)).unwrap_or_default(),
            vote_limit: limit.unwrap_or(BOARD_VOTES).min(BOARD_VOTES_MAX),
            timer_ends_at: fields.whole("timerEndsAt"),
            hide_cards: fields.is_true("hideCards"),
        }
    }
}

impl<'t, T: ReadTxn> Fields<'t, T> {
    /// What stands under a value that is a shared type, whatever it says it is, or an object.
    fn of(transaction: &'t T, value: Out) -> Option<Self> {
        match value {
            Out::Any(any @ Any::Map(_)) => Some(Self::Plain(any)),
            shared => as_map(&shared).map(|map| Self::Shared(transaction, map)),
        }
    }

    fn get(&self, key: &str) -> Option<Out> {
        match self {
            Self::Shared(transaction, map) => map.get(*transaction, key),
            Self::Plain(Any::Map(entries)) => entries.get(key).cloned().map(Out::Any),
            _ => None,
        }
    }

    /// All entries, in byte order of their keys: what is cut off by a bound does not depend on the engine.
    pub(super) fn all(&self) -> Vec<(String, Out)> {
        let mut all: Vec<(String, Out)> = match self {
            Self::Shared(transaction, map) => {
                map.iter(*transaction).map(|(key, value)| (key.to_owned(), value)).collect()
            }
            Self::Plain(Any::Map(entries)) => {
                entries.iter().map(|(key, value)| (key.clone(), Out::Any(value.clone()))).collect()
            }
            _ => Vec::new(),
        };
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn line(&self, key: &str) -> Option<String> {
        string(&self.get(key)?, is_line)
    }

    /// A text that is one value, or a shared text that several may edit at once.
    fn text(&self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        match (self, as_text(&value)) {
            (Self::Shared(transaction, _), Some(text)) => {
                Some(text.get_string(*transaction)).filter(|text| is_text(text))
            }
            _ => string(&value, is_text),
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        number(&self.get(key)?)
    }

    /// A count or a time: no fraction, not negative, exact in JavaScript.
    fn whole(&self, key: &str) -> Option<u64> {
        self.number(key).and_then(whole)
    }

    fn is_true(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Out::Any(Any::Bool(true))))
    }
}

fn string(value: &Out, is_good: impl Fn(&str) -> bool) -> Option<String> {
    match value {
        Out::Any(Any::String(text)) if is_good(text) => Some(text.to_string()),
        _ => None,
    }
}

fn number(value: &Out) -> Option<f64> {
    match value {
        Out::Any(Any::Number(Number::Int(number))) => Some(*number as f64),
        Out::Any(Any::Number(Number::Float(number))) => Some(*number).filter(|number| number.is_finite()),
        _ => None,
    }
}

fn whole(number: f64) -> Option<u64> {
    let is_whole = number >= 0.0 && number.fract() == 0.0 && number <= BOARD_WHOLE_MAX as f64;
    is_whole.then_some(number as u64)
}

pub(super) fn point(value: &Out) -> Option<Point> {
    let Out::Any(Any::Map(entries)) = value else { return None };
    let coordinate = |key| number(&Out::Any(entries.get(key)?.clone()));
    Point::new(coordinate("x")?, coordinate("y")?)
}

/// The group that a card is in, if that is there.
pub(super) fn group_of(value: &Out, groups: &BTreeMap<String, Group>) -> Option<String> {
    string(value, is_id).filter(|group| groups.contains_key(group))
}

pub(super) fn color(value: &Out) -> Option<String> {
    string(value, is_color)
}

/// The columns, one value: a list of objects. An id that comes twice counts once.
fn columns(value: &Out) -> Vec<Column> {
    let Out::Any(Any::Array(list)) = value else { return Vec::new() };
    let mut columns: Vec<Column> = Vec::new();
    for value in list.iter() {
        let Any::Map(entries) = value else { continue };
        let text = |key: &str, is_good: fn(&str) -> bool| match entries.get(key) {
            Some(Any::String(text)) if is_good(text) => Some(text.to_string()),
            _ => None,
        };
        let Some(id) = text("id", is_id) else { continue };
        if columns.len() < BOARD_COLUMNS_MAX && columns.iter().all(|column| column.id != id) {
            let title = text("title", is_line).unwrap_or_default();
            columns.push(Column { id, title, color: text("color", is_color) });
        }
    }
    columns
}

/// Those of one place, and those without one, stand in the order of their ids.
pub(super) fn in_order(items: &mut [ActionItem]) {
    let place = |item: &ActionItem| item.order.unwrap_or(f64::MAX);
    items.sort_by(|a, b| place(a).total_cmp(&place(b)).then_with(|| a.id.cmp(&b.id)));
}

/// How many votes a value is; none if it is no count.
pub(super) fn vote(value: &Out) -> u32 {
    number(value).and_then(whole).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

fn given<T: ReadTxn>(roots: &Roots<'_, T>) -> Votes {
    let mut given = Votes::new();
    for (key, value) in roots.map(VOTES).all() {
        let Some((user, target)) = parse_vote_key(&key) else { continue };
        let count = vote(&value);
        if count > 0 {
            given.entry(user).or_default().insert(target.to_owned(), count);
        }
    }
    given
}

/// The votes of a person that count; nothing if none does.
pub(super) fn counted(
    given: &Votes,
    user: &str,
    items: &BTreeMap<String, Item>,
    groups: &BTreeMap<String, Group>,
    limit: u32,
) -> Option<BTreeMap<String, u32>> {
    let is_there = |target: &str| items.contains_key(target) || groups.contains_key(target);
    let there = given.get(user)?.iter().filter(|(target, _)| is_there(target));
    let there = map_of(there.map(|(target, &count)| (target.clone(), count)));
    Some(votes::effective(&there, limit)).filter(|votes| !votes.is_empty())
}

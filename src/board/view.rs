//! The board as it is read: [`RetroRoomState`], from whatever a document holds.
//!
//! Each value is taken if it has the form that the schema gives it, and passed over if not: a newer schema, a foreign
//! client or a hostile one changes what is shown, never whether something is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use yrs::branch::{Branch, BranchPtr};
use yrs::{Any, Doc, GetString, Map, MapRef, Number, Out, ReadTxn, Transact};

use super::rules::as_text;
use super::schema::{
    ACTION_ITEMS, Column, GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, Phase, Point, SIGNATURE_COLORS,
    VOTES, is_color, is_id, is_line, is_text, parse_vote_key,
};
use super::votes;
use crate::limits::{BOARD_COLUMNS_MAX, BOARD_ITEMS_MAX, BOARD_VOTES, BOARD_VOTES_MAX, BOARD_WHOLE_MAX};

/// A board, as the API and the browser show it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetroRoomState {
    /// What the facilitator has set.
    pub meta: Meta,
    /// The cards, by id.
    pub items: BTreeMap<String, Item>,
    /// Where they lie; only cards that are there.
    pub item_positions: BTreeMap<String, Point>,
    /// In which group a card is; only cards and groups that are there.
    pub item_groups: BTreeMap<String, String>,
    /// The groups, by id.
    pub groups: BTreeMap<String, Group>,
    /// The color of each signature's cards.
    pub signature_colors: BTreeMap<String, String>,
    /// What is to be done, in order.
    pub action_items: Vec<ActionItem>,
    /// The votes that count, by person and target: see [`votes`].
    pub all_user_votes: BTreeMap<String, BTreeMap<String, u32>>,
    /// Everyone who is here or has written in this life of the room. Not in the document: the caller fills it in.
    pub participants: Vec<Participant>,
    /// When the board was changed last, in milliseconds since 1970. From the log: the caller fills it in.
    pub last_updated: Option<u64>,
}

/// What the facilitator has set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The board's title; empty if there is none.
    pub title: String,
    /// Where the retrospective stands.
    pub phase: Phase,
    /// The columns, from left to right.
    pub columns: Vec<Column>,
    /// How many votes each person has.
    pub vote_limit: u32,
    /// When the timer ends, in milliseconds since 1970 by the server's clock.
    pub timer_ends_at: Option<u64>,
    /// Whether cards are for their authors alone until they are revealed.
    pub hide_cards: bool,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            title: String::new(),
            phase: Phase::default(),
            columns: Vec::new(),
            vote_limit: BOARD_VOTES,
            timer_ends_at: None,
            hide_cards: false,
        }
    }
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Item {
    /// What stands on it.
    pub text: String,
    /// The id of the column in which it began; may be of a column that is gone.
    pub column: Option<String>,
    /// Who wrote it, as the card says: who it really was is in the log.
    pub author: Option<String>,
    /// When, by the author's clock, in milliseconds since 1970.
    pub created_at: Option<u64>,
}

/// A group of cards.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Group {
    /// Its title; empty if there is none.
    pub title: String,
    /// Where it stands among the groups.
    pub order: Option<f64>,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActionItem {
    /// Its id.
    pub id: String,
    /// What is to be done.
    pub text: String,
    /// By whom.
    pub assignee: Option<String>,
    /// Until when, as people write it.
    pub due: Option<String>,
    /// Whether it is done.
    pub done: bool,
    /// Where it stands in the list; those without one come last, by id.
    pub order: Option<f64>,
}

/// Somebody who is here or has written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Participant {
    /// The name under which the tokens know this person.
    pub user: String,
    /// The name that others see.
    pub name: Option<String>,
    /// The color that others see.
    pub color: Option<String>,
    /// Whether there is a session of this person now.
    pub online: bool,
    /// When something of this person came last, in milliseconds since 1970.
    pub last_seen: Option<u64>,
}

/// Reads a board out of a document. `participants` and `last_updated` are left empty.
#[must_use]
pub fn view(doc: &Doc) -> RetroRoomState {
    let transaction = doc.transact();
    let roots = Roots { transaction: &transaction };
    let items: BTreeMap<String, Item> = roots
        .entries(ITEMS)
        .filter_map(|(id, fields)| Some((id, item(&fields?))))
        .take(BOARD_ITEMS_MAX)
        .collect();
    let groups: BTreeMap<String, Group> = roots
        .entries(GROUPS)
        .filter_map(|(id, fields)| Some((id, group(&fields?))))
        .take(BOARD_ITEMS_MAX)
        .collect();
    let meta = meta(&roots.map(META));
    RetroRoomState {
        item_positions: roots.values(ITEM_POSITIONS, &items, point),
        item_groups: roots.values(ITEM_GROUPS, &items, |value| {
            string(value, is_id).filter(|group| groups.contains_key(group))
        }),
        signature_colors: signature_colors(&roots),
        action_items: action_items(&roots),
        all_user_votes: all_user_votes(&roots, &items, &groups, meta.vote_limit),
        participants: Vec::new(),
        last_updated: None,
        meta,
        items,
        groups,
    }
}

struct Roots<'t, T> {
    transaction: &'t T,
}

/// The entries of one map, or of one value that is a map.
enum Fields<'t, T> {
    Shared(&'t T, MapRef),
    Plain(Any),
    None,
}

impl<'t, T: ReadTxn> Roots<'t, T> {
    fn map(&self, root: &'static str) -> Fields<'t, T> {
        match self.transaction.get_map(root) {
            Some(map) => Fields::Shared(self.transaction, map),
            None => Fields::None,
        }
    }

    /// The entries of a root whose keys are ids, each with its fields if its value is a map.
    fn entries(&self, root: &'static str) -> impl Iterator<Item = (String, Option<Fields<'t, T>>)> {
        let ids = self.map(root).all().into_iter().filter(|(id, _)| is_id(id));
        ids.map(|(id, value)| (id, Fields::of(self.transaction, value)))
    }

    /// The values of a root that are of cards which are there.
    fn values<V>(
        &self,
        root: &'static str,
        items: &BTreeMap<String, Item>,
        read: impl Fn(&Out) -> Option<V>,
    ) -> BTreeMap<String, V> {
        let of_items = self.map(root).all().into_iter().filter(|(id, _)| items.contains_key(id));
        of_items.filter_map(|(id, value)| Some((id, read(&value)?))).collect()
    }
}

impl<'t, T: ReadTxn> Fields<'t, T> {
    /// What stands under a value that is a shared type, whatever it says it is, or an object.
    fn of(transaction: &'t T, value: Out) -> Option<Self> {
        match value {
            Out::Any(any @ Any::Map(_)) => Some(Self::Plain(any)),
            Out::YMap(map) => Some(Self::Shared(transaction, map)),
            Out::YArray(array) => Some(Self::Shared(transaction, MapRef::from(branch_of(&array)))),
            Out::YText(text) => Some(Self::Shared(transaction, MapRef::from(branch_of(&text)))),
            Out::YXmlElement(xml) => Some(Self::Shared(transaction, MapRef::from(branch_of(&xml)))),
            Out::YXmlFragment(xml) => Some(Self::Shared(transaction, MapRef::from(branch_of(&xml)))),
            Out::UndefinedRef(branch) => Some(Self::Shared(transaction, MapRef::from(branch))),
            _ => None,
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
    fn all(&self) -> BTreeMap<String, Out> {
        match self {
            Self::Shared(transaction, map) => {
                map.iter(*transaction).map(|(key, value)| (key.to_owned(), value)).collect()
            }
            Self::Plain(Any::Map(entries)) => {
                entries.iter().map(|(key, value)| (key.clone(), Out::Any(value.clone()))).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    fn line(&self, key: &str) -> Option<String> {
        string(&self.get(key)?, is_line)
    }

    /// A text that is one value, or a shared text that several may edit at once.
    fn text(&self, key: &str) -> Option<String> {
        match (self, self.get(key)?) {
            (Self::Shared(transaction, _), value) if as_text(&value).is_some() => {
                as_text(&value).map(|text| text.get_string(*transaction))
            }
            (_, value) => string(&value, is_text),
        }
        .filter(|text| is_text(text))
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

fn branch_of<B: AsRef<Branch>>(shared: &B) -> BranchPtr {
    BranchPtr::from(shared.as_ref())
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

fn point(value: &Out) -> Option<Point> {
    let Out::Any(Any::Map(entries)) = value else { return None };
    let coordinate = |key| number(&Out::Any(entries.get(key)?.clone()));
    Point::new(coordinate("x")?, coordinate("y")?)
}

fn item<T: ReadTxn>(fields: &Fields<'_, T>) -> Item {
    Item {
        text: fields.text("text").unwrap_or_default(),
        column: fields.get("column").and_then(|value| string(&value, is_id)),
        author: fields.line("author"),
        created_at: fields.whole("createdAt"),
    }
}

fn group<T: ReadTxn>(fields: &Fields<'_, T>) -> Group {
    Group { title: fields.line("title").unwrap_or_default(), order: fields.number("order") }
}

fn meta<T: ReadTxn>(fields: &Fields<'_, T>) -> Meta {
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

fn signature_colors<T: ReadTxn>(roots: &Roots<'_, T>) -> BTreeMap<String, String> {
    let colors = roots.map(SIGNATURE_COLORS).all().into_iter().filter(|(signature, _)| is_id(signature));
    colors.filter_map(|(signature, color)| Some((signature, string(&color, is_color)?))).collect()
}

fn action_items<T: ReadTxn>(roots: &Roots<'_, T>) -> Vec<ActionItem> {
    let entries = roots.entries(ACTION_ITEMS).filter_map(|(id, fields)| {
        let fields = fields?;
        Some(ActionItem {
            id,
            text: fields.text("text").unwrap_or_default(),
            assignee: fields.line("assignee"),
            due: fields.line("due"),
            done: fields.is_true("done"),
            order: fields.number("order"),
        })
    });
    let mut items: Vec<ActionItem> = entries.take(BOARD_ITEMS_MAX).collect();
    // Stable: those of one place, and those without one, stay in the order of their ids.
    items.sort_by(|a, b| a.order.unwrap_or(f64::MAX).total_cmp(&b.order.unwrap_or(f64::MAX)));
    items
}

fn all_user_votes<T: ReadTxn>(
    roots: &Roots<'_, T>,
    items: &BTreeMap<String, Item>,
    groups: &BTreeMap<String, Group>,
    limit: u32,
) -> BTreeMap<String, BTreeMap<String, u32>> {
    let mut given: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for (key, value) in roots.map(VOTES).all() {
        let Some((user, target)) = parse_vote_key(&key) else { continue };
        let is_there = items.contains_key(target) || groups.contains_key(target);
        let count =
            number(&value).and_then(whole).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX));
        if is_there && count > 0 {
            given.entry(user).or_default().insert(target.to_owned(), count);
        }
    }
    given
        .into_iter()
        .map(|(user, votes)| (user, votes::effective(&votes, limit)))
        .filter(|(_, votes)| !votes.is_empty())
        .collect()
}

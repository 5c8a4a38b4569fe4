//! A board as a file for people: Markdown to read, CSV for spreadsheets. (As JSON it is what the view says.)
//!
//! Both put cards in one order: see `layout`. Neither can be read back: [`import`](super::import) takes JSON.

mod csv;
mod markdown;

use std::collections::{BTreeMap, HashMap};

pub use self::csv::csv;
pub use self::markdown::markdown;
use super::view::{Group, Item, RetroRoomState};

/// A card, and all that is known of it.
#[derive(Debug, Clone, Copy)]
struct Card<'a> {
    id: &'a str,
    item: &'a Item,
    group: Option<(&'a str, &'a Group)>,
    votes: u64,
}

/// A column, or what is in none.
#[derive(Debug)]
struct Stack<'a> {
    /// Its title; `None`: cards whose column is gone, or that have none.
    title: Option<&'a str>,
    /// In order: groups by their order, then cards that are in none; in each, the oldest first.
    cards: Vec<Card<'a>>,
}

/// The cards of a board as they are read: columns from left to right, what is in no column last.
fn layout(board: &RetroRoomState) -> Vec<Stack<'_>> {
    let votes = votes(board);
    let places: HashMap<&str, usize> =
        board.meta.columns.iter().enumerate().map(|(place, column)| (column.id.as_str(), place)).collect();
    let mut stacks: Vec<Stack<'_>> = board
        .meta
        .columns
        .iter()
        .map(|column| Stack { title: Some(&column.title), cards: Vec::new() })
        .chain([Stack { title: None, cards: Vec::new() }])
        .collect();
    for (id, item) in &board.items {
        let column = item.column.as_deref().and_then(|column| places.get(column));
        let place = column.copied().unwrap_or(stacks.len() - 1);
        let group = board.item_groups.get(id).and_then(|group| board.groups.get_key_value(group));
        let group = group.map(|(id, group)| (id.as_str(), group));
        let votes = votes.get(id.as_str()).copied().unwrap_or_default();
        stacks[place].cards.push(Card { id, item, group, votes });
    }
    for stack in &mut stacks {
        stack.cards.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal));
    }
    stacks
}

/// No number in it is odd: the view leaves out what is not finite.
fn order<'a>(card: &Card<'a>) -> (bool, f64, &'a str, u64, &'a str) {
    let of_group =
        card.group.map_or((true, f64::MAX, ""), |(id, group)| (false, group.order.unwrap_or(f64::MAX), id));
    (of_group.0, of_group.1, of_group.2, card.item.created_at.unwrap_or(u64::MAX), card.id)
}

/// Votes of everyone, by card or group.
fn votes(board: &RetroRoomState) -> HashMap<&str, u64> {
    let mut votes: HashMap<&str, u64> = HashMap::new();
    for (target, count) in board.all_user_votes.values().flatten() {
        *votes.entry(target).or_default() += u64::from(*count);
    }
    votes
}

/// Votes of each group: its own, and those of its cards, in whatever column.
fn votes_of_groups(board: &RetroRoomState) -> BTreeMap<&str, u64> {
    let votes = votes(board);
    let of = |target: &str| votes.get(target).copied().unwrap_or_default();
    let mut sums: BTreeMap<&str, u64> = board.groups.keys().map(|id| (id.as_str(), of(id))).collect();
    for (item, group) in &board.item_groups {
        if let Some(sum) = sums.get_mut(group.as_str()) {
            *sum += of(item);
        }
    }
    sums
}

/// A character as files show it: those that control a terminal or end a text are replaced.
fn visible(character: char) -> char {
    if character.is_control() && !matches!(character, '\t' | '\n' | '\r') { '\u{FFFD}' } else { character }
}

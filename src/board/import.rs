//! A board that is one JSON value becomes edits of a document, all in one transaction.
//!
//! What was exported comes back as it was, and what it does not say stays as it is. Cards that are hidden stay so: an import is no reveal. What could not be read back is refused by name, before anything is written.

mod brought;

use std::collections::{BTreeMap, BTreeSet};

use yrs::{Any, Map, ReadTxn, TransactionMut, WriteTxn};

use super::drafts::hides_in;
use super::edit::{columns_value, open, put, put_position, set, whole};
use super::schema::{
    ACTION_ITEMS, GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, Point, SIGNATURE_COLORS, VOTES, is_color,
    is_id, is_line, is_text, vote_key,
};
use super::view::ActionItem;
use crate::limits::{
    BOARD_COLUMNS_MAX, BOARD_ITEMS_MAX, BOARD_LINE_BYTES_MAX, BOARD_TEXT_BYTES_MAX, BOARD_VOTES_MAX,
    BOARD_WHOLE_MAX,
};

pub use brought::{Brought, BroughtMeta};

/// What of a board is taken in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Takes<'a> {
    /// Every card is by this person; `None`: by whom it says.
    pub author: Option<&'a str>,
    /// Only this person's votes; `None`: everyone's.
    pub voter: Option<&'a str>,
    /// What the facilitator has set stays out.
    pub without_meta: bool,
    /// The board may hold something. What it holds stays, what it lacks comes.
    pub merge: bool,
}

/// What has come in, and what has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Cards.
    pub items: usize,
    /// Groups.
    pub groups: usize,
    /// Action items.
    pub action_items: usize,
    /// People's votes, by target.
    pub votes: usize,
    /// Cards that are by somebody else now than they said.
    pub authors_changed: usize,
    /// Votes of others than the one whose votes are taken.
    pub votes_left: usize,
    /// What the facilitator has set was left out.
    pub meta_left: bool,
    /// Cards would be shown if the board did as it is told, and stay hidden.
    pub hiding_stays: bool,
    /// Cards, groups, action items and votes that the board has already.
    pub known: usize,
}

/// Why a board is not taken in. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The board holds something already.
    #[error("the board is not empty: import into a new one, or ask for what it lacks to be added")]
    NotEmpty,
    /// A value could not be read back.
    #[error("{place}: {why}")]
    Form {
        /// Which one.
        place: String,
        /// What is expected.
        why: String,
    },
}

/// Takes a board in.
///
/// # Errors
/// [`ImportError`].
pub fn write(
    transaction: &mut TransactionMut<'_>,
    board: &Brought,
    takes: Takes<'_>,
) -> Result<Taken, ImportError> {
    check(board)?;
    if !takes.merge && !is_empty(&*transaction) {
        return Err(ImportError::NotEmpty);
    }
    let mut taken = Taken::default();
    if takes.without_meta {
        taken.meta_left = board.meta != BroughtMeta::default();
    } else {
        taken.hiding_stays = board.meta.hide_cards == Some(false) && hides_in(&*transaction);
        write_meta(transaction, &board.meta, takes.merge);
    }
    write_items(transaction, board, takes, &mut taken);
    for (id, group) in &board.groups {
        if !is_new(transaction, GROUPS, id, &mut taken) {
            continue;
        }
        let map = open(transaction, GROUPS, id);
        map.insert(transaction, "title", group.title.as_str());
        set(transaction, &map, "order", group.order.map(Any::from));
        taken.groups += 1;
    }
    for (signature, color) in &board.signature_colors {
        if !has(&*transaction, SIGNATURE_COLORS, signature) {
            put(transaction, SIGNATURE_COLORS, signature, Some(Any::from(color.as_str())));
        }
    }
    for item in &board.action_items {
        write_action_item(transaction, item, &mut taken);
    }
    for (user, votes) in &board.all_user_votes {
        if takes.voter.is_some_and(|voter| voter != user) {
            taken.votes_left += votes.len();
            continue;
        }
        for (target, count) in votes.iter().filter(|(_, count)| **count > 0) {
            let key = vote_key(user, target);
            if is_new(transaction, VOTES, &key, &mut taken) {
                put(transaction, VOTES, &key, Some(whole(u64::from(*count))));
                taken.votes += 1;
            }
        }
    }
    Ok(taken)
}

/// Whether nothing is on the board. It may have been given its columns.
fn is_empty(transaction: &impl ReadTxn) -> bool {
    let is_bare = |root| transaction.get_map(root).is_none_or(|map| map.len(transaction) == 0);
    [ITEMS, GROUPS, ACTION_ITEMS, VOTES].into_iter().all(is_bare)
}

fn has(transaction: &impl ReadTxn, root: &str, key: &str) -> bool {
    transaction.get_map(root).is_some_and(|map| map.contains_key(transaction, key))
}

fn is_new(transaction: &TransactionMut<'_>, root: &str, key: &str, taken: &mut Taken) -> bool {
    let is_known = has(transaction, root, key);
    taken.known += usize::from(is_known);
    !is_known
}

fn write_meta(transaction: &mut TransactionMut<'_>, meta: &BroughtMeta, merge: bool) {
    let hides = hides_in(&*transaction);
    let (title, columns) = (meta.title.as_deref(), meta.columns.as_deref());
    // What is said, and whether that is a value or that there is none.
    let values = [
        ("title", title.map(|title| (!title.is_empty()).then(|| Any::from(title)))),
        ("phase", meta.phase.map(|phase| Some(Any::from(phase.as_str())))),
        ("columns", columns.map(|columns| (!columns.is_empty()).then(|| columns_value(columns)))),
        ("voteLimit", meta.vote_limit.map(|limit| Some(whole(u64::from(limit))))),
        ("timerEndsAt", meta.timer_ends_at.map(|at| at.map(whole))),
        ("hideCards", meta.hide_cards.filter(|hide| *hide || !hides).map(|hide| Some(Any::from(hide)))),
    ];
    let root = transaction.get_or_insert_map(META);
    for (key, value) in values {
        let Some(value) = value else { continue };
        if merge && has(&*transaction, META, key) {
            continue;
        }
        if value.is_some() || has(&*transaction, META, key) {
            set(transaction, &root, key, value);
        }
    }
}

fn write_items(transaction: &mut TransactionMut<'_>, board: &Brought, takes: Takes<'_>, taken: &mut Taken) {
    for (id, item) in &board.items {
        if !is_new(transaction, ITEMS, id, taken) {
            continue;
        }
        let author = takes.author.or(item.author.as_deref());
        taken.authors_changed += usize::from(author != item.author.as_deref());
        let map = open(transaction, ITEMS, id);
        map.insert(transaction, "text", item.text.as_str());
        let fields = [
            ("column", item.column.as_deref().map(Any::from)),
            ("author", author.map(Any::from)),
            ("createdAt", item.created_at.map(whole)),
        ];
        for (key, value) in fields.into_iter().filter(|(_, value)| value.is_some()) {
            set(transaction, &map, key, value);
        }
        if let Some(position) = board.item_positions.get(id) {
            put_position(transaction, id, *position);
        }
        if let Some(group) = board.item_groups.get(id) {
            put(transaction, ITEM_GROUPS, id, Some(Any::from(group.as_str())));
        }
        taken.items += 1;
    }
}

fn write_action_item(transaction: &mut TransactionMut<'_>, item: &ActionItem, taken: &mut Taken) {
    if !is_new(transaction, ACTION_ITEMS, &item.id, taken) {
        return;
    }
    let map = open(transaction, ACTION_ITEMS, &item.id);
    map.insert(transaction, "text", item.text.as_str());
    let fields = [
        ("assignee", item.assignee.as_deref().map(Any::from)),
        ("due", item.due.as_deref().map(Any::from)),
        ("done", Some(Any::from(item.done))),
        ("order", item.order.map(Any::from)),
    ];
    for (key, value) in fields.into_iter().filter(|(_, value)| value.is_some()) {
        set(transaction, &map, key, value);
    }
    taken.action_items += 1;
}

/// What is wrong with a board, if anything is.
fn check(board: &Brought) -> Result<(), ImportError> {
    check_meta(&board.meta)?;
    for (root, count) in
        [(ITEMS, board.items.len()), (GROUPS, board.groups.len()), (ACTION_ITEMS, board.action_items.len())]
    {
        require(count <= BOARD_ITEMS_MAX, || {
            (root.to_owned(), format!("there are at most {BOARD_ITEMS_MAX}"))
        })?;
    }
    for (id, item) in &board.items {
        id_at(ITEMS, id)?;
        text_at(|| format!("{ITEMS}/{id}/text"), &item.text)?;
        item.column.as_deref().map_or(Ok(()), |column| id_at("items/…/column", column))?;
        item.author.as_deref().map_or(Ok(()), |author| line_at(|| format!("{ITEMS}/{id}/author"), author))?;
        let created_at = item.created_at.unwrap_or_default();
        require(created_at <= BOARD_WHOLE_MAX, || (format!("{ITEMS}/{id}/createdAt"), time()))?;
    }
    for (id, position) in &board.item_positions {
        there_at(ITEM_POSITIONS, id, board.items.contains_key(id), "card")?;
        let is_point = Point::new(position.x, position.y).is_some();
        require(is_point, || (format!("{ITEM_POSITIONS}/{id}"), "two finite numbers".to_owned()))?;
    }
    for (id, group) in &board.groups {
        id_at(GROUPS, id)?;
        line_at(|| format!("{GROUPS}/{id}/title"), &group.title)?;
        finite_at(|| format!("{GROUPS}/{id}/order"), group.order)?;
    }
    for (id, group) in &board.item_groups {
        there_at(ITEM_GROUPS, id, board.items.contains_key(id), "card")?;
        there_at(ITEM_GROUPS, id, board.groups.contains_key(group), "group")?;
    }
    for (signature, color) in &board.signature_colors {
        id_at(SIGNATURE_COLORS, signature)?;
        require(is_color(color), || (format!("{SIGNATURE_COLORS}/{signature}"), "#rrggbb".to_owned()))?;
    }
    let mut ids = BTreeSet::new();
    for item in &board.action_items {
        id_at(ACTION_ITEMS, &item.id)?;
        let place = |field: &str| format!("{ACTION_ITEMS}/{}/{field}", item.id);
        require(ids.insert(&item.id), || (place("id"), "an id that no other one has".to_owned()))?;
        text_at(|| place("text"), &item.text)?;
        item.assignee.as_deref().map_or(Ok(()), |line| line_at(|| place("assignee"), line))?;
        item.due.as_deref().map_or(Ok(()), |line| line_at(|| place("due"), line))?;
        finite_at(|| place("order"), item.order)?;
    }
    check_votes(board)
}

fn check_meta(meta: &BroughtMeta) -> Result<(), ImportError> {
    line_at(|| format!("{META}/title"), meta.title.as_deref().unwrap_or_default())?;
    let is_limit = meta.vote_limit.is_none_or(|limit| limit <= BOARD_VOTES_MAX);
    require(is_limit, || (format!("{META}/voteLimit"), format!("at most {BOARD_VOTES_MAX}")))?;
    let ends_at = meta.timer_ends_at.flatten().unwrap_or_default();
    require(ends_at <= BOARD_WHOLE_MAX, || (format!("{META}/timerEndsAt"), time()))?;
    let columns = meta.columns.as_deref().unwrap_or_default();
    let ids: BTreeSet<&str> = columns.iter().map(|column| column.id.as_str()).collect();
    require(ids.len() == columns.len() && ids.len() <= BOARD_COLUMNS_MAX, || {
        let why = format!("at most {BOARD_COLUMNS_MAX} columns, each with an id of its own");
        (format!("{META}/columns"), why)
    })?;
    for column in columns {
        id_at("meta/columns", &column.id)?;
        line_at(|| format!("{META}/columns/{}/title", column.id), &column.title)?;
        let is_good = column.color.as_deref().is_none_or(is_color);
        require(is_good, || (format!("{META}/columns/{}/color", column.id), "#rrggbb".to_owned()))?;
    }
    Ok(())
}

fn check_votes(board: &Brought) -> Result<(), ImportError> {
    let is_there = |target: &String| board.items.contains_key(target) || board.groups.contains_key(target);
    let of_all: BTreeMap<&String, _> = board.all_user_votes.iter().collect();
    for (user, votes) in of_all {
        let place = || format!("allUserVotes/{user}");
        require(!user.is_empty() && is_line(user), || (place(), "a name of one line, not empty".to_owned()))?;
        for (target, count) in votes {
            there_at("allUserVotes", target, is_there(target), "card or group")?;
            require(*count <= BOARD_VOTES_MAX, || {
                (format!("{}/{target}", place()), format!("at most {BOARD_VOTES_MAX}"))
            })?;
        }
    }
    Ok(())
}

fn require(holds: bool, else_say: impl FnOnce() -> (String, String)) -> Result<(), ImportError> {
    if holds {
        return Ok(());
    }
    let (place, why) = else_say();
    Err(ImportError::Form { place, why })
}

fn id_at(place: &str, id: &str) -> Result<(), ImportError> {
    require(is_id(id), || (place.to_owned(), "an id is one line of 1 to 128 bytes".to_owned()))
}

fn line_at(place: impl Fn() -> String, line: &str) -> Result<(), ImportError> {
    require(is_line(line), || (place(), format!("one line of at most {BOARD_LINE_BYTES_MAX} bytes")))
}

fn text_at(place: impl Fn() -> String, text: &str) -> Result<(), ImportError> {
    require(is_text(text), || (place(), format!("at most {BOARD_TEXT_BYTES_MAX} bytes")))
}

fn finite_at(place: impl Fn() -> String, number: Option<f64>) -> Result<(), ImportError> {
    require(number.is_none_or(f64::is_finite), || (place(), "a finite number".to_owned()))
}

fn there_at(root: &str, id: &str, is_there: bool, what: &str) -> Result<(), ImportError> {
    require(is_there, || (format!("{root}/{id}"), format!("there is no such {what}")))
}

fn time() -> String {
    "milliseconds since 1970, up to 2^53 - 1".to_owned()
}

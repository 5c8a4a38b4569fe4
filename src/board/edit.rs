//! Edits of a board, each one transaction. What is wrong with one is said before anything is written.
//!
//! Who may make which edit is not judged here.

mod check;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use yrs::{Any, Doc, Map, MapPrelim, MapRef, Out, Transact, TransactionMut, WriteTxn};

use super::schema::{
    ACTION_ITEMS, Column, GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, Phase, Point, SIGNATURE_COLORS,
    VOTES, vote_key,
};
use super::shared::as_map;
use crate::limits::{
    BOARD_COLUMNS_MAX, BOARD_ID_BYTES_MAX, BOARD_LINE_BYTES_MAX, BOARD_TEXT_BYTES_MAX, BOARD_VOTES_MAX,
};

/// One edit of a board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Edit {
    /// A new card.
    AddItem {
        /// Its id, which no other card has had: random.
        id: String,
        /// What stands on it.
        text: String,
        /// The column in which it begins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        column: Option<String>,
        /// Where it lies, if it lies anywhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<Point>,
    },
    /// What stands on a card is replaced.
    SetItemText {
        /// Which card.
        id: String,
        /// What stands on it from now on.
        text: String,
    },
    /// A card goes to another column, or to none.
    SetItemColumn {
        /// Which card.
        id: String,
        /// Its column from now on.
        column: Option<String>,
    },
    /// A card lies somewhere else. Written when it is dropped: a drag is shown in presence.
    MoveItem {
        /// Which card.
        id: String,
        /// Where it lies.
        position: Point,
    },
    /// A card goes, with its place and its group; votes on it no longer count.
    DeleteItem {
        /// Which card.
        id: String,
    },
    /// A card goes into a group, or out of all.
    SetItemGroup {
        /// Which card.
        id: String,
        /// Its group from now on.
        group: Option<String>,
    },
    /// A group is made, or gets another title or place.
    SetGroup {
        /// Which group.
        id: String,
        /// What stands over it.
        title: String,
        /// Where it stands among the groups.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<f64>,
    },
    /// A group goes; its cards stay.
    DeleteGroup {
        /// Which group.
        id: String,
    },
    /// The author has so many votes on a card or group from now on.
    Vote {
        /// The card or group.
        target: String,
        /// How many; zero takes them back.
        count: u32,
    },
    /// The cards of a signature get a color.
    SetSignatureColor {
        /// Whose.
        signature: String,
        /// `#rrggbb`.
        color: String,
    },
    /// Something to be done is noted or changed.
    SetActionItem {
        /// Its id.
        id: String,
        /// What is to be done.
        text: String,
        /// By whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assignee: Option<String>,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<String>,
        /// Whether it is done.
        #[serde(default)]
        done: bool,
        /// Where it stands in the list.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<f64>,
    },
    /// Something to be done is taken off the list.
    DeleteActionItem {
        /// Which.
        id: String,
    },
    /// The facilitator sets something; what is left out stays.
    SetMeta {
        /// The board's title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Where the retrospective stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
        /// All columns, from left to right.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<Column>>,
        /// How many votes each person has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vote_limit: Option<u32>,
        /// When the timer ends, in milliseconds since 1970; zero: there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timer_ends_at: Option<u64>,
        /// Whether cards are for their authors alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hide_cards: Option<bool>,
    },
}

/// Who edits, and when.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The name under which the tokens know this person, or a name that the client has made up.
    pub user: &'a str,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Why an edit cannot be made. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no card, group or action item of that id.
    #[error("there is no {what} with the id \"{id}\"")]
    NotThere {
        /// What was looked for.
        what: &'static str,
        /// Under which id.
        id: String,
    },
    /// There is one already.
    #[error("there is a card with the id \"{0}\" already")]
    Exists(String),
    /// An id that cannot be.
    #[error("an id is one line of 1 to {BOARD_ID_BYTES_MAX} bytes")]
    Id,
    /// A title, a name or a date that cannot be.
    #[error("{0} is one line of at most {BOARD_LINE_BYTES_MAX} bytes")]
    Line(&'static str),
    /// A text that is too long.
    #[error("a text has at most {BOARD_TEXT_BYTES_MAX} bytes, this one has {0}")]
    Text(usize),
    /// A color that is none.
    #[error("a color is #rrggbb")]
    Color,
    /// A number that is none.
    #[error("a position and an order are finite numbers, a time is a number of milliseconds up to 2^53 - 1")]
    Number,
    /// More votes than anyone can have.
    #[error("a person has at most {BOARD_VOTES_MAX} votes")]
    Votes,
    /// More columns than fit, or two with one id.
    #[error("a board has at most {BOARD_COLUMNS_MAX} columns, each with an id of its own")]
    Columns,
}

/// Makes an edit, in one transaction.
///
/// # Errors
/// [`EditError`]: the document is as it was.
pub fn apply(doc: &Doc, edit: &Edit, author: Author<'_>) -> Result<(), EditError> {
    make(&mut doc.transact_mut(), edit, author)
}

/// Makes an edit in a transaction, after those that were made in it before.
///
/// # Errors
/// [`EditError`]: nothing of this edit is in the transaction.
pub fn make(transaction: &mut TransactionMut<'_>, edit: &Edit, author: Author<'_>) -> Result<(), EditError> {
    check::form(edit)?;
    check::target(&*transaction, edit)?;
    write(transaction, edit, author);
    Ok(())
}

fn write(transaction: &mut TransactionMut<'_>, edit: &Edit, author: Author<'_>) {
    match edit {
        Edit::AddItem { id, text, column, position } => {
            let item = open(transaction, ITEMS, id);
            item.insert(transaction, "text", text.as_str());
            set(transaction, &item, "column", column.as_deref().map(Any::from));
            item.insert(transaction, "author", author.user);
            item.insert(transaction, "createdAt", whole(author.now_ms));
            if let Some(position) = position {
                put_position(transaction, id, *position);
            }
        }
        Edit::SetItemText { id, text } => {
            let item = open(transaction, ITEMS, id);
            item.insert(transaction, "text", text.as_str());
        }
        Edit::SetItemColumn { id, column } => {
            let item = open(transaction, ITEMS, id);
            set(transaction, &item, "column", column.as_deref().map(Any::from));
        }
        Edit::MoveItem { id, position } => put_position(transaction, id, *position),
        Edit::DeleteItem { id } => {
            for root in [ITEMS, ITEM_POSITIONS, ITEM_GROUPS] {
                put(transaction, root, id, None);
            }
        }
        Edit::SetItemGroup { id, group } => {
            put(transaction, ITEM_GROUPS, id, group.as_deref().map(Any::from))
        }
        Edit::SetGroup { id, title, order } => {
            let group = open(transaction, GROUPS, id);
            group.insert(transaction, "title", title.as_str());
            set(transaction, &group, "order", order.map(Any::from));
        }
        Edit::DeleteGroup { id } => put(transaction, GROUPS, id, None),
        Edit::Vote { target, count } => {
            let votes = (*count > 0).then(|| whole(u64::from(*count)));
            put(transaction, VOTES, &vote_key(author.user, target), votes);
        }
        Edit::SetSignatureColor { signature, color } => {
            put(transaction, SIGNATURE_COLORS, signature, Some(Any::from(color.as_str())));
        }
        Edit::SetActionItem { id, text, assignee, due, done, order } => {
            let item = open(transaction, ACTION_ITEMS, id);
            item.insert(transaction, "text", text.as_str());
            set(transaction, &item, "assignee", assignee.as_deref().map(Any::from));
            set(transaction, &item, "due", due.as_deref().map(Any::from));
            item.insert(transaction, "done", *done);
            set(transaction, &item, "order", order.map(Any::from));
        }
        Edit::DeleteActionItem { id } => put(transaction, ACTION_ITEMS, id, None),
        Edit::SetMeta { title, phase, columns, vote_limit, timer_ends_at, hide_cards } => {
            let values = [
                ("title", title.as_deref().map(Any::from)),
                ("phase", phase.map(|phase| Any::from(phase.as_str()))),
                ("columns", columns.as_deref().map(columns_value)),
                ("voteLimit", vote_limit.map(|limit| whole(u64::from(limit)))),
                ("timerEndsAt", timer_ends_at.map(|at| if at == 0 { Any::Null } else { whole(at) })),
                ("hideCards", hide_cards.map(Any::from)),
            ];
            for (key, value) in values {
                if value.is_some() {
                    put(transaction, META, key, value);
                }
            }
        }
    }
}

/// The map under a root's key, whatever it says it is. One is made where there is none, or something else; of a plain object
/// it has the fields.
pub(super) fn open(transaction: &mut TransactionMut<'_>, root: &str, id: &str) -> MapRef {
    let root = transaction.get_or_insert_map(root);
    let before = root.get(transaction, id);
    if let Some(map) = before.as_ref().and_then(as_map) {
        return map;
    }
    let map = root.insert(transaction, id, MapPrelim::default());
    if let Some(Out::Any(Any::Map(fields))) = before {
        for (field, value) in fields.iter() {
            map.insert(transaction, field.as_str(), value.clone());
        }
    }
    map
}

pub(super) fn put_position(transaction: &mut TransactionMut<'_>, id: &str, position: Point) {
    let Some(Point { x, y }) = Point::new(position.x, position.y) else { return };
    let value = object([("x", Any::from(x)), ("y", Any::from(y))]);
    put(transaction, ITEM_POSITIONS, id, Some(value));
}

/// Sets or removes a value of a root.
pub(super) fn put(transaction: &mut TransactionMut<'_>, root: &str, key: &str, value: Option<Any>) {
    let root = transaction.get_or_insert_map(root);
    set(transaction, &root, key, value);
}

pub(super) fn set(transaction: &mut TransactionMut<'_>, map: &MapRef, key: &str, value: Option<Any>) {
    match value {
        Some(value) => {
            map.insert(transaction, key, value);
        }
        None => {
            map.remove(transaction, key);
        }
    }
}

/// As JavaScript writes it: whole numbers up to 2^53.
pub(super) fn whole(number: u64) -> Any {
    Any::from(i64::try_from(number).unwrap_or(i64::MAX))
}

fn object<'a>(entries: impl IntoIterator<Item = (&'a str, Any)>) -> Any {
    let entries: HashMap<String, Any> =
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Any::Map(Arc::new(entries))
}

pub(super) fn columns_value(columns: &[Column]) -> Any {
    let column = |column: &Column| {
        let mut entries =
            vec![("id", Any::from(column.id.as_str())), ("title", Any::from(column.title.as_str()))];
        entries.extend(column.color.as_deref().map(|color| ("color", Any::from(color))));
        object(entries)
    };
    Any::Array(columns.iter().map(column).collect())
}

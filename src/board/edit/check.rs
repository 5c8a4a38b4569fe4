//! What is wrong with an edit, if anything is.

use yrs::{Map, ReadTxn};

use super::{Edit, EditError};
use crate::board::schema::{ACTION_ITEMS, Column, GROUPS, ITEMS, Point, is_color, is_id, is_line, is_text};
use crate::limits::{BOARD_COLUMNS_MAX, BOARD_VOTES_MAX, BOARD_WHOLE_MAX};

/// Checks what can be told from the edit alone.
pub(super) fn form(edit: &Edit) -> Result<(), EditError> {
    let id = |id: &str| if is_id(id) { Ok(()) } else { Err(EditError::Id) };
    let optional_id = |text: &Option<String>| text.as_deref().map_or(Ok(()), id);
    let text = |text: &str| if is_text(text) { Ok(()) } else { Err(EditError::Text(text.len())) };
    let line = |what, text: &str| if is_line(text) { Ok(()) } else { Err(EditError::Line(what)) };
    let optional_line = |what, text: &Option<String>| text.as_deref().map_or(Ok(()), |text| line(what, text));
    let finite = |number: Option<f64>| match number {
        Some(number) if !number.is_finite() => Err(EditError::Number),
        _ => Ok(()),
    };
    match edit {
        Edit::AddItem { id: item, text: written, column, position } => {
            id(item)?;
            text(written)?;
            optional_id(column)?;
            position.map_or(Ok(()), check_point)
        }
        Edit::SetItemText { id: item, text: written } => id(item).and_then(|()| text(written)),
        Edit::SetItemColumn { id: item, column: other } | Edit::SetItemGroup { id: item, group: other } => {
            id(item).and_then(|()| optional_id(other))
        }
        Edit::MoveItem { id: item, position } => id(item).and_then(|()| check_point(*position)),
        Edit::DeleteItem { id: item }
        | Edit::DeleteGroup { id: item }
        | Edit::DeleteActionItem { id: item } => id(item),
        Edit::SetGroup { id: group, title, order } => {
            id(group)?;
            line("a title", title)?;
            finite(*order)
        }
        Edit::Vote { target, count } => {
            id(target)?;
            if *count <= BOARD_VOTES_MAX { Ok(()) } else { Err(EditError::Votes) }
        }
        Edit::SetSignatureColor { signature, color } => {
            id(signature)?;
            if is_color(color) { Ok(()) } else { Err(EditError::Color) }
        }
        Edit::SetActionItem { id: item, text: written, assignee, due, order, .. } => {
            id(item)?;
            text(written)?;
            optional_line("an assignee", assignee)?;
            optional_line("a due date", due)?;
            finite(*order)
        }
        Edit::SetMeta { title, columns, vote_limit, timer_ends_at, .. } => {
            optional_line("a title", title)?;
            if timer_ends_at.is_some_and(|at| at > BOARD_WHOLE_MAX) {
                return Err(EditError::Number);
            }
            if vote_limit.is_some_and(|limit| limit > BOARD_VOTES_MAX) {
                return Err(EditError::Votes);
            }
            columns.as_deref().map_or(Ok(()), check_columns)
        }
    }
}

fn check_point(point: Point) -> Result<(), EditError> {
    Point::new(point.x, point.y).map(|_| ()).ok_or(EditError::Number)
}

fn check_columns(columns: &[Column]) -> Result<(), EditError> {
    // Compared one by one: they are few, and a sort is more that browsers load.
    let is_new = |at: usize| columns[..at].iter().all(|column| column.id != columns[at].id);
    if columns.len() > BOARD_COLUMNS_MAX || !(0..columns.len()).all(|at| is_new(at) && is_id(&columns[at].id))
    {
        return Err(EditError::Columns);
    }
    for column in columns {
        if !is_line(&column.title) {
            return Err(EditError::Line("a title"));
        }
        if column.color.as_deref().is_some_and(|color| !is_color(color)) {
            return Err(EditError::Color);
        }
    }
    Ok(())
}

/// Checks that what the edit is about is there.
pub(super) fn target(transaction: &impl ReadTxn, edit: &Edit) -> Result<(), EditError> {
    let has =
        |root: &str, id: &str| transaction.get_map(root).is_some_and(|map| map.contains_key(transaction, id));
    let there = |what, root, id: &String| {
        if has(root, id) { Ok(()) } else { Err(EditError::NotThere { what, id: id.clone() }) }
    };
    match edit {
        Edit::AddItem { id, .. } if has(ITEMS, id) => Err(EditError::Exists(id.clone())),
        Edit::SetItemText { id, .. }
        | Edit::SetItemColumn { id, .. }
        | Edit::MoveItem { id, .. }
        | Edit::DeleteItem { id } => there("card", ITEMS, id),
        Edit::SetItemGroup { id, group } => {
            there("card", ITEMS, id)?;
            group.as_ref().map_or(Ok(()), |group| there("group", GROUPS, group))
        }
        Edit::DeleteGroup { id } => there("group", GROUPS, id),
        Edit::DeleteActionItem { id } => there("action item", ACTION_ITEMS, id),
        Edit::Vote { target, count } if *count > 0 && !has(GROUPS, target) => {
            there("card or group", ITEMS, target)
        }
        _ => Ok(()),
    }
}

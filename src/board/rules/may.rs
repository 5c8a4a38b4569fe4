//! The rules for typed edits: what the gate would say of what such an edit writes. For who asks before it writes: the
//! browser before its own transaction, the HTTP API before its own update.

use yrs::{Doc, ReadTxn, Transact};

use super::before::{Document, as_map, get};
use super::{Before, Reason, Verdict, Who, judge};
use crate::board::edit::Edit;
use crate::board::schema::{
    ACTION_ITEMS, GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, SIGNATURE_COLORS, VOTES, vote_key,
};
use crate::caller::Role;
use crate::gate::{Act, Content, Place};

/// Whether somebody may make an edit on this document. An edit that may be made and is well formed is taken by the gate
/// as it is, unless somebody else was faster.
///
/// # Errors
/// The rule that it breaks.
pub fn may(edit: &Edit, role: Role, user: Option<&str>, doc: &Doc) -> Result<(), Reason> {
    let transaction = doc.transact();
    may_on(edit, &Who { role, user, only_shape: false }, &transaction)
}

/// The same within a transaction, after what was made in it before.
///
/// # Errors
/// The rule that it breaks.
pub fn may_on(edit: &Edit, who: &Who<'_>, transaction: &impl ReadTxn) -> Result<(), Reason> {
    let before = Document::new(transaction);
    let ask = |root: &str, keys: &[Option<&str>], content: Content<'_>| {
        one(&Act::imagined(Place::new(root, keys), content), who, &before)
    };
    // What it is is checked where it is made: here only that it is one.
    let value = Content::Values(&[]);
    let map = Content::Type(1);
    // Where no shared map is, one comes in place of what is there.
    let ask_field = |id: &str, field: &str| match get(transaction, ITEMS, id).as_ref().and_then(as_map) {
        Some(_) => ask(ITEMS, &[Some(id), Some(field)], value),
        None => ask(ITEMS, &[Some(id)], map),
    };
    match edit {
        Edit::AddItem { id, position, .. } => {
            ask(ITEMS, &[Some(id)], map)?;
            position.map_or(Ok(()), |_| ask(ITEM_POSITIONS, &[Some(id)], value))
        }
        Edit::SetItemText { id, .. } => ask_field(id, "text"),
        Edit::SetItemColumn { id, .. } => ask_field(id, "column"),
        Edit::MoveItem { id, .. } => ask(ITEM_POSITIONS, &[Some(id)], value),
        Edit::DeleteItem { id } => {
            ask(ITEMS, &[Some(id)], Content::Delete)?;
            ask(ITEM_POSITIONS, &[Some(id)], Content::Delete)?;
            ask(ITEM_GROUPS, &[Some(id)], Content::Delete)
        }
        Edit::SetItemGroup { id, .. } => ask(ITEM_GROUPS, &[Some(id)], value),
        Edit::SetGroup { id, .. } => ask(GROUPS, &[Some(id)], map),
        Edit::DeleteGroup { id } => ask(GROUPS, &[Some(id)], Content::Delete),
        Edit::Vote { target, .. } => {
            // Who votes under no name votes under the one that the client has made up.
            let key = who.user.map(|user| vote_key(user, target));
            ask(VOTES, &[key.as_deref().or(Some(target))], value)
        }
        Edit::SetSignatureColor { signature, .. } => ask(SIGNATURE_COLORS, &[Some(signature)], value),
        Edit::SetActionItem { id, .. } => ask(ACTION_ITEMS, &[Some(id)], map),
        Edit::DeleteActionItem { id } => ask(ACTION_ITEMS, &[Some(id)], Content::Delete),
        Edit::SetMeta { .. } => ask(META, &[Some("title")], value),
    }
}

fn one(act: &Act<'_>, who: &Who<'_>, before: &impl Before) -> Result<(), Reason> {
    match judge(act, who, before) {
        Verdict::Broken(reason) => Err(reason),
        // Nothing is under way in a document.
        Verdict::Allowed | Verdict::Unclear => Ok(()),
    }
}

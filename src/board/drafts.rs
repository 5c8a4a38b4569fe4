//! Hidden cards: the room that a person's cards live in until they are revealed, and what of it goes into the board then.
//!
//! `naming` says which rooms these are; here is what is copied, and what is taken out again; `late` is what follows when its author
//! changes a card that was copied.

mod late;
mod naming;

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;

use sha2::{Digest, Sha256};
use yrs::types::{AsPrelim, Delta, ToJson};
use yrs::{Any, Doc, In, Map, MapPrelim, Out, ReadTxn, Transact, TransactionMut, WriteTxn};

pub use late::{AT, Followed, Late, Moved};
pub use naming::{Draft, beginning, name};

use super::schema::{GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, is_id};
use super::shared::{as_map, as_text};
use crate::document::{Document, FoldError};
use crate::edit::{self, CopyError};
use crate::gate;
use crate::ids::{ClientId, Position};
use crate::limits::{BOARD_ID_BYTES_MAX, BOARD_ITEMS_MAX, UPDATE_BYTES_MAX};

/// Whether a board's cards are for their authors alone now.
#[must_use]
pub fn hides(board: &Doc) -> bool {
    hides_in(&board.transact())
}

/// Whether they are for all, and somebody has said so: a board that never hid cards says nothing of it.
#[must_use]
pub fn shows(board: &Doc) -> bool {
    hidden(&board.transact()) == Some(false)
}

pub(super) fn hides_in(transaction: &impl ReadTxn) -> bool {
    hidden(transaction) == Some(true)
}

fn hidden(transaction: &impl ReadTxn) -> Option<bool> {
    match transaction.get_map(META)?.get(transaction, "hideCards")? {
        Out::Any(Any::Bool(hides)) => Some(hides),
        _ => None,
    }
}

/// The cards in a document, in byte order of their ids.
#[must_use]
pub fn cards(doc: &Doc) -> Vec<String> {
    let transaction = doc.transact();
    let Some(items) = transaction.get_map(ITEMS) else { return Vec::new() };
    let of_form = items.iter(&transaction).filter(|(id, value)| is_id(id) && is_card(value));
    let mut cards: Vec<String> = of_form.map(|(id, _)| id.to_owned()).take(BOARD_ITEMS_MAX).collect();
    cards.sort();
    cards
}

/// How many cards there are.
#[must_use]
pub fn count(doc: &Doc) -> usize {
    cards(doc).len()
}

/// As views see it: a shared type, whatever it says it is, or a plain object.
fn is_card(value: &Out) -> bool {
    matches!(value, Out::Any(Any::Map(_))) || as_map(value).is_some()
}

/// The fields of a card or a group, as they are written somewhere else. What is neither a plain value nor a text is not of the
/// schema, and left out.
fn fields<T: ReadTxn>(transaction: &T, value: &Out) -> Option<Vec<(String, In)>> {
    if let Out::Any(Any::Map(entries)) = value {
        return Some(entries.iter().map(|(key, any)| (key.clone(), In::Any(any.clone()))).collect());
    }
    let entries = as_map(value)?;
    let of_schema = entries.iter(transaction).filter_map(|(key, value)| {
        let value = match value {
            Out::Any(any) => In::Any(any),
            shared => In::Text(as_text(&shared)?.as_prelim(transaction)),
        };
        Some((key.to_owned(), value))
    });
    Some(of_schema.collect())
}

/// About how many bytes a field's value takes.
fn bytes(value: &In) -> usize {
    let formats =
        |(name, value): (&std::sync::Arc<str>, &Any)| 2 * (name.len() + value.to_string().len() + 16);
    match value {
        In::Any(any) => any.to_string().len(),
        In::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Delta::Inserted(piece, with) => {
                    16 + bytes(piece) + with.iter().flat_map(|with| with.iter()).map(formats).sum::<usize>()
                }
                Delta::Deleted(_) | Delta::Retain(..) => 0,
            })
            .sum(),
        _ => 0,
    }
}

/// What to write into a board so that it has a draft's cards.
#[derive(Debug, Default)]
pub struct Copy {
    /// Updates V1, in their order, each a record: one, unless the cards are too large for it.
    pub updates: Vec<Vec<u8>>,
    /// The cards that they bring.
    pub cards: Vec<String>,
    /// How many of them each update brings.
    pub counts: Vec<usize>,
    /// Those that the board has already, by the state of the draft as which it has them: what was changed since is to follow.
    pub moved: Vec<Moved>,
    /// The board hides its cards: nothing may come into it, and nothing is to be taken out of the draft.
    pub hides: bool,
}

/// Copies a draft's cards into a board, written under `client`, with `user` as their author: cards, places, groups. What the board
/// has, or has had, is left out, so that nothing comes twice, and nothing comes back that was deleted. A card whose id somebody else's
/// card has comes under another one. `at`: the last record of the draft.
///
/// # Errors
/// [`FoldError`]: one of the documents is damaged.
pub fn copy(
    draft: &[u8],
    board: &[u8],
    user: &str,
    client: ClientId,
    at: Position,
) -> Result<Copy, FoldError> {
    let (mut from, mut onto) = (Document::new(), Document::of_client(client));
    onto.apply(&[board])?;
    if hides(onto.doc()) {
        return Ok(Copy { hides: true, ..Copy::default() });
    }
    from.apply(&[draft])?;
    let known = gate::keys_of_root(board, ITEMS)?;
    let moved = moved(draft, onto.doc(), &known, user)?;
    let mut ids = ids_in(onto.doc(), &known, cards(from.doc()), user);
    ids.retain(|_, id| !known.contains(id));
    if ids.is_empty() {
        return Ok(Copy { moved, ..Copy::default() });
    }
    let missing: Vec<String> = ids.keys().cloned().collect();
    let mut groups = gate::keys_of_root(board, GROUPS)?;
    let mut copy = Copy { cards: missing.clone(), moved, ..Copy::default() };
    let mut waiting = vec![missing];
    while let Some(cards) = waiting.pop() {
        // Tried on a copy if it may be too large for one update: cards have up to 128 KiB.
        if cards.len() > 1 && size(from.doc(), &cards) > UPDATE_BYTES_MAX / 2 {
            let (first, second) = cards.split_at(cards.len() / 2);
            waiting.extend([second.to_vec(), first.to_vec()]);
            continue;
        }
        let update;
        (onto, update) = written(onto, |to| {
            cards.iter().for_each(|card| put(to, from.doc(), (card, &ids[card]), (user, at), &mut groups));
        })?;
        copy.updates.push(update);
        copy.counts.push(cards.len());
    }
    Ok(copy)
}

/// The cards that a draft has or had, and that the board has.
fn moved(draft: &[u8], board: &Doc, known: &HashSet<String>, user: &str) -> Result<Vec<Moved>, FoldError> {
    let cards: Vec<String> =
        gate::keys_of_root(draft, ITEMS)?.into_iter().filter(|card| is_id(card)).collect();
    let ids = ids_in(board, known, cards, user);
    let transaction = board.transact();
    let here = |(card, first): (String, String)| {
        let (id, _) = late::stands_as(known, &card, first, user);
        let at = late::at_of(&transaction, &id, user)?;
        Some(Moved { at, card, id })
    };
    let mut moved: Vec<Moved> = ids.into_iter().filter_map(here).collect();
    moved.sort();
    Ok(moved)
}

/// Under which ids a user's cards stand in a board, or are to stand there: their own, unless somebody else's card has that one.
/// A card that the board had, and has not, may have been anybody's: it counts as the user's, so that nothing comes back.
fn ids_in(board: &Doc, known: &HashSet<String>, cards: Vec<String>, user: &str) -> BTreeMap<String, String> {
    let transaction = board.transact();
    let items = transaction.get_map(ITEMS);
    let author = |card: &str| {
        let item = items.as_ref()?.get(&transaction, card)?;
        Some(match item.to_json(&transaction) {
            Any::Map(fields) => fields.get("author").cloned(),
            _ => None,
        })
    };
    let id = |card: String| {
        let is_others = known.contains(&card)
            && author(&card).is_some_and(|author| author != Some(Any::String(user.into())));
        let id = if is_others { other_id(&card, user) } else { card.clone() };
        (card, id)
    };
    cards.into_iter().map(id).collect()
}

/// A user's card whose id is taken has this one, whoever copies it and however often.
fn other_id(card: &str, user: &str) -> String {
    later_id(card, user, 0)
}

/// The id of a card beside the one that is there already; each turn gives another.
fn later_id(card: &str, user: &str, turn: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(user);
    hash.update([0]);
    hash.update(card);
    if turn > 0 {
        hash.update([0]);
        hash.update(turn.to_le_bytes());
    }
    let mark = hash.finalize()[..8].iter().fold(String::new(), |mark, byte| format!("{mark}{byte:02x}"));
    let fits = BOARD_ID_BYTES_MAX - mark.len() - 1;
    let end = (0..=fits.min(card.len())).rev().find(|end| card.is_char_boundary(*end)).unwrap_or_default();
    format!("{}-{mark}", &card[..end])
}

/// Writes into a copy of a document, in one transaction. Returns it, and the update that came of it.
fn written(
    copy: Document,
    write: impl FnOnce(&mut TransactionMut<'_>),
) -> Result<(Document, Vec<u8>), FoldError> {
    let made = edit::written(copy, |transaction| {
        write(transaction);
        Ok::<_, Infallible>(())
    });
    match made {
        Ok((copy, update, ())) => Ok((copy, update)),
        Err(CopyError::Copy(error)) => Err(error),
        Err(CopyError::Engine) => Err(FoldError::Panicked),
        Err(CopyError::Refused(never)) => match never {},
    }
}

/// About how many bytes cards take: never much fewer.
fn size(draft: &Doc, cards: &[String]) -> usize {
    let transaction = draft.transact();
    let Some(items) = transaction.get_map(ITEMS) else { return 0 };
    let of = |card: &String| {
        let fields = items.get(&transaction, card).and_then(|card| fields(&transaction, &card));
        fields.unwrap_or_default().iter().map(|(key, value)| key.len() + bytes(value) + 16).sum::<usize>()
    };
    cards.iter().map(|card| of(card) + 2 * card.len() + 256).sum()
}

/// `card`: its id in the draft, and in the board. `at`: the last record of the draft.
fn put(
    to: &mut TransactionMut<'_>,
    draft: &Doc,
    (card, id): (&str, &str),
    (user, at): (&str, Position),
    groups: &mut HashSet<String>,
) {
    let from = draft.transact();
    let value = |root: &str, key: &str| from.get_map(root)?.get(&from, key);
    let Some(found) = value(ITEMS, card).and_then(|card| fields(&from, &card)) else { return };
    let item = to.get_or_insert_map(ITEMS).insert(to, id, MapPrelim::default());
    for (key, value) in found.into_iter().filter(|(key, _)| key != "author" && key != AT) {
        item.insert(to, key, value);
    }
    item.insert(to, "author", user);
    item.insert(to, AT, at.to_string());
    if let Some(Out::Any(place)) = value(ITEM_POSITIONS, card) {
        to.get_or_insert_map(ITEM_POSITIONS).insert(to, id, place);
    }
    let Some(Out::Any(Any::String(group))) = value(ITEM_GROUPS, card) else { return };
    to.get_or_insert_map(ITEM_GROUPS).insert(to, id, Any::String(group.clone()));
    put_group(to, draft, &group, groups);
}

/// A group's map, unless the board has it or has had it.
fn put_group(to: &mut TransactionMut<'_>, draft: &Doc, group: &str, groups: &mut HashSet<String>) {
    let from = draft.transact();
    if !groups.insert(group.to_owned()) {
        return;
    }
    let found = from.get_map(GROUPS).and_then(|groups| groups.get(&from, group));
    let Some(found) = found.and_then(|group| fields(&from, &group)) else { return };
    let copied = to.get_or_insert_map(GROUPS).insert(to, group, MapPrelim::default());
    for (key, value) in found.into_iter().filter(|(_, value)| matches!(value, In::Any(_))) {
        copied.insert(to, key, value);
    }
}

fn card_of<T: ReadTxn>(transaction: &T, card: &str) -> Option<Out> {
    transaction.get_map(ITEMS)?.get(transaction, card)
}

/// Takes cards out of a draft: an update V1 that only deletes.
///
/// # Errors
/// [`FoldError`]: the document is damaged.
pub fn remove(draft: &[u8], cards: &[String]) -> Result<Vec<u8>, FoldError> {
    let mut document = Document::new();
    document.apply(&[draft])?;
    let (_, update) = written(document, |to| {
        for root in [ITEMS, ITEM_POSITIONS, ITEM_GROUPS] {
            let map = to.get_or_insert_map(root);
            cards.iter().for_each(|card| drop(map.remove(to, card)));
        }
    })?;
    Ok(update)
}

/// Shows a board's cards: an update V1, written under `client`.
///
/// # Errors
/// [`FoldError`]: the document is damaged.
pub fn show(board: &[u8], client: ClientId) -> Result<Vec<u8>, FoldError> {
    let mut document = Document::of_client(client);
    document.apply(&[board])?;
    let (_, update) = written(document, |to| {
        to.get_or_insert_map(META).insert(to, "hideCards", false);
    })?;
    Ok(update)
}

/// The cards of a document that is whole in one update, and whether it ever had any.
///
/// # Errors
/// [`FoldError`]: the document is damaged.
pub fn cards_of(full: &[u8]) -> Result<(Vec<String>, bool), FoldError> {
    let mut document = Document::new();
    document.apply(&[full])?;
    Ok((cards(document.doc()), !gate::keys_of_root(full, ITEMS)?.is_empty()))
}

#[cfg(test)]
mod tests;

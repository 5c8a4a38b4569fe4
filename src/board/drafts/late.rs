//! What a person changes in a card of the own draft after it was moved into the board: offline, or in the moment before it was taken
//! out. To the draft that card is gone; here it is seen as if nothing had been taken out, and what its author has changed since it
//! was moved is changed on the board.
//!
//! Pure. Invariants:
//! - A card on the board says as which state of its draft it is there ([`AT`]), and that is written with what is carried over, in one
//!   update: so nothing is carried over twice, whoever does it and however often.
//! - Only what its author has changed is written, and only over what was there when the card was moved. What somebody has changed
//!   on the board meanwhile stays.

use std::collections::{BTreeMap, HashSet};

use yrs::branch::{Branch, BranchID};
use yrs::types::{Delta, ToJson};
use yrs::{Any, In, Map, Out, ReadTxn, Text, Transact, TransactionMut, WriteTxn};

use super::super::schema::{ITEM_GROUPS, ITEM_POSITIONS, ITEMS};
use super::super::shared::{as_map, as_text};
use super::{card_of, fields, hides, later_id, put, put_group, remove, written};
use crate::document::{Document, FoldError};
use crate::gate;
use crate::ids::{ClientId, Position};

/// The field of a card on the board that says up to which record of its author's draft it has what stands there.
pub const AT: &str = "draftAt";

/// How far a second card lies beside the first one, in pixels.
const BESIDE: f64 = 24.0;

/// A card that is on the board, and may have been changed in its draft since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    /// As which state of the draft.
    pub at: Position,
    /// Its id in the draft.
    pub card: String,
    /// Its id on the board.
    pub id: String,
}

/// What to write into a board so that it follows a draft.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// An update V1; `None`: there is nothing to follow.
    pub update: Option<Vec<u8>>,
    /// As [`Copy::hides`](super::Copy::hides).
    pub hides: bool,
}

/// A card as it was when it was moved.
struct Before {
    fields: Vec<(String, In)>,
    /// Of [`ITEM_POSITIONS`] and [`ITEM_GROUPS`].
    places: [Option<Any>; 2],
}

/// A draft as its author sees it who has not heard that cards were taken out.
pub struct Late {
    document: Document,
    moved: Vec<Moved>,
    before: BTreeMap<String, Before>,
}

impl Late {
    /// `full` is the draft as it was at `at`: the earliest of the states as which cards were moved.
    ///
    /// # Errors
    /// [`FoldError`]: the document is damaged.
    pub fn new(full: &[u8], at: Position, moved: Vec<Moved>) -> Result<Self, FoldError> {
        let mut document = Document::new();
        document.apply(&[full])?;
        let mut late = Self { document, moved, before: BTreeMap::new() };
        late.note(at);
        Ok(late)
    }

    /// The next record of the draft. That a card is taken out is passed over, whoever says so; what else the record does is done.
    ///
    /// # Errors
    /// [`FoldError`]: it does not follow, or is damaged. This is of no use then.
    pub fn pass(&mut self, at: Position, update: &[u8]) -> Result<(), FoldError> {
        let deletes = gate::deletes_of(update)?;
        let gone = self.gone(&deletes);
        if gone.is_empty() {
            self.document.apply(&[update])?;
        } else {
            let spared = gate::deletes_of(&remove(&self.document.encode_full(), &gone)?)?;
            self.document.apply(&[&gate::sparing(update, &spared)?])?;
        }
        self.note(at);
        Ok(())
    }

    /// The cards that such deletes would take out.
    fn gone(&self, deletes: &[(ClientId, u32, u32)]) -> Vec<String> {
        if deletes.is_empty() {
            return Vec::new();
        }
        let transaction = self.document.doc().transact();
        let is_gone = |card: &&str| {
            let Some(map) = card_of(&transaction, card).as_ref().and_then(as_map) else { return false };
            let BranchID::Nested(id) = AsRef::<Branch>::as_ref(&map).id() else { return false };
            let client = id.client.get();
            deletes.iter().any(|&(of, from, to)| of == client && (from..to).contains(&id.clock))
        };
        let cards: HashSet<&str> = self.moved.iter().map(|moved| moved.card.as_str()).collect();
        cards.into_iter().filter(is_gone).map(str::to_owned).collect()
    }

    fn note(&mut self, at: Position) {
        let transaction = self.document.doc().transact();
        for moved in self.moved.iter().filter(|moved| moved.at == at) {
            let Some(card) = card_of(&transaction, &moved.card) else { continue };
            let Some(fields) = fields(&transaction, &card) else { continue };
            let places = [ITEM_POSITIONS, ITEM_GROUPS].map(|root| value(&transaction, root, &moved.card));
            self.before.insert(moved.card.clone(), Before { fields, places });
        }
    }

    /// What follows for the board, as an update V1 written under `client`; `at`: the last record that was passed. Nothing comes of a
    /// card that was deleted on the board, or is somebody else's there by now.
    ///
    /// # Errors
    /// [`FoldError`]: the board's document is damaged.
    pub fn onto(
        &self,
        board: &[u8],
        user: &str,
        client: ClientId,
        at: Position,
    ) -> Result<Followed, FoldError> {
        let mut onto = Document::of_client(client);
        onto.apply(&[board])?;
        if hides(onto.doc()) {
            return Ok(Followed { update: None, hides: true });
        }
        let (known, groups) = (gate::keys_of_root(board, ITEMS)?, gate::keys_of_root(board, super::GROUPS)?);
        let mut board = Board { known, groups, user, at };
        let mut is_new = false;
        let (_, update) = written(onto, |to| {
            for moved in &self.moved {
                is_new |= self.carry_over(to, moved, &mut board).unwrap_or_default();
            }
        })?;
        Ok(Followed { update: is_new.then_some(update), hides: false })
    }

    /// Whether there was anything to carry over; `None`: the card is not here or not there.
    fn carry_over(&self, to: &mut TransactionMut<'_>, moved: &Moved, board: &mut Board<'_>) -> Option<bool> {
        let Moved { card, id, .. } = moved;
        let from = self.document.doc().transact();
        let before = self.before.get(card)?;
        let now = fields(&from, &card_of(&from, card)?)?;
        let there = card_of(to, id)?;
        let (item, there) = (as_map(&there)?, fields(to, &there)?);
        let mut changed: Vec<(String, In)> = now
            .into_iter()
            .filter(|field| !["author", AT].contains(&field.0.as_str()))
            .filter(|field| !before.fields.contains(field) && !there.contains(field))
            .collect();
        changed.sort_by_key(|(key, _)| key != "text"); // first: of a second card all is its author's
        let mut is_new = false;
        for (key, value) in changed {
            let (was, is) = (of(&before.fields, &key), of(&there, &key));
            let is_text = key == "text";
            match is_text.then(|| edit(was, &value, is)).flatten() {
                Some(edit) => edit.make(to, item.get(to, &key).as_ref().and_then(as_text)?),
                None if was == is => drop(item.insert(to, key, value)),
                None if is_text => return self.put_beside(to, card, board),
                None => continue, // where a card lies, and what else it says in a word, is the board's
            }
            is_new = true;
        }
        for (n, root) in [ITEM_POSITIONS, ITEM_GROUPS].into_iter().enumerate() {
            let (was, now, is) = (&before.places[n], value(&from, root, card), value(to, root, id));
            let Some(now) = now.filter(|now| is == *was && was.as_ref() != Some(now)) else { continue };
            if let (ITEM_GROUPS, Any::String(group)) = (root, &now) {
                put_group(to, self.document.doc(), group, &mut board.groups);
            }
            to.get_or_insert_map(root).insert(to, id.as_str(), now);
            is_new = true;
        }
        if is_new {
            item.insert(to, AT, board.at.to_string());
        }
        Some(is_new)
    }

    /// Two texts that cannot be one: the author's becomes a card of its own, which what the author changes later follows.
    fn put_beside(&self, to: &mut TransactionMut<'_>, card: &str, board: &mut Board<'_>) -> Option<bool> {
        let (_, next) = stands_as(&board.known, card, String::new(), board.user);
        let id = next?;
        put(to, self.document.doc(), (card, &id), (board.user, board.at), &mut board.groups);
        if let Some(Any::Map(place)) = value(to, ITEM_POSITIONS, &id) {
            let beside = |(key, value): (&String, &Any)| {
                let moved = match value {
                    Any::Number(number) => number.as_f64().map(|number| Any::from(number + BESIDE)),
                    _ => None,
                };
                (key.clone(), moved.unwrap_or_else(|| value.clone()))
            };
            let place = Any::Map(std::sync::Arc::new(place.iter().map(beside).collect()));
            to.get_or_insert_map(ITEM_POSITIONS).insert(to, id.as_str(), place);
        }
        board.known.insert(id);
        Some(true)
    }
}

/// What is known of the board that is written to.
struct Board<'b> {
    known: HashSet<String>,
    groups: HashSet<String>,
    user: &'b str,
    at: Position,
}

/// Second cards of one card, at most: one comes when somebody has changed the text of the one before.
const BESIDE_MAX: u32 = 64;

/// Under which id a card that stood as `first` stands by now, and under which one it would stand next, if it may.
pub(super) fn stands_as(
    known: &HashSet<String>,
    card: &str,
    first: String,
    user: &str,
) -> (String, Option<String>) {
    let mut id = first;
    for turn in 1..=BESIDE_MAX {
        let next = later_id(card, user, turn);
        if !known.contains(&next) {
            return (id, Some(next));
        }
        id = next;
    }
    (id, None)
}

/// As which state of its draft a card of the board is there; `None`: it does not say, or is not this user's.
pub(super) fn at_of<T: ReadTxn>(board: &T, id: &str, user: &str) -> Option<Position> {
    let card = as_map(&card_of(board, id)?)?;
    let says = |key: &str| match card.get(board, key) {
        Some(Out::Any(Any::String(value))) => Some(value),
        _ => None,
    };
    if *says("author")? != *user {
        return None;
    }
    Position::from_id(&says(AT)?)
}

fn value<T: ReadTxn>(transaction: &T, root: &str, key: &str) -> Option<Any> {
    let value = transaction.get_map(root)?.get(transaction, key)?;
    Some(value.to_json(transaction))
}

fn of<'f>(fields: &'f [(String, In)], key: &str) -> Option<&'f In> {
    fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// One change of a text, in UTF-16 units.
#[derive(Debug, PartialEq, Eq)]
struct TextEdit {
    at: u32,
    len: u32,
    insert: String,
}

impl TextEdit {
    fn make(&self, to: &mut TransactionMut<'_>, text: yrs::TextRef) {
        if self.len > 0 {
            text.remove_range(to, self.at, self.len);
        }
        text.insert(to, self.at, &self.insert);
    }
}

/// What an author has done to a shared text, as an edit of what it is by now. `None`: one of the three is no shared text, has
/// formats, or both have changed the same part of it.
fn edit(was: Option<&In>, now: &In, is: Option<&In>) -> Option<TextEdit> {
    let (was, now, is) = (plain(was?)?, plain(now)?, plain(is?)?);
    let (own, others) = (Span::of(&was, &now), Span::of(&was, &is));
    let shift = if others.to <= own.from {
        i64::try_from(others.insert.len()).ok()? - i64::try_from(others.to - others.from).ok()?
    } else if own.to <= others.from {
        0
    } else {
        return None;
    };
    let units = |chars: &[char]| chars.iter().map(|letter| letter.len_utf16() as u32).sum::<u32>();
    let from = usize::try_from(i64::try_from(own.from).ok()? + shift).ok()?;
    let is: Vec<char> = is.chars().collect();
    let len = own.to - own.from;
    Some(TextEdit {
        at: units(is.get(..from)?),
        len: units(is.get(from..from + len)?),
        insert: own.insert.iter().collect(),
    })
}

/// The letters of a shared text without formats.
fn plain(text: &In) -> Option<String> {
    let In::Text(pieces) = text else { return None };
    let mut plain = String::new();
    for piece in pieces.iter() {
        match piece {
            Delta::Inserted(In::Any(Any::String(letters)), formats)
                if formats.as_ref().is_none_or(|formats| formats.is_empty()) =>
            {
                plain.push_str(letters);
            }
            _ => return None,
        }
    }
    Some(plain)
}

/// The one part in which two texts differ: from where to where in the first, and what stands there in the second. In letters.
struct Span {
    from: usize,
    to: usize,
    insert: Vec<char>,
}

impl Span {
    fn of(old: &str, new: &str) -> Self {
        let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
        let from = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let shorter = old.len().min(new.len()) - from;
        let same = old.iter().rev().zip(new.iter().rev()).take(shorter);
        let after = same.take_while(|(old, new)| old == new).count();
        Self { from, to: old.len() - after, insert: new[from..new.len() - after].to_vec() }
    }
}

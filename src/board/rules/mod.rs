//! The rules of a board: who may write which part of it, and what may stand there. One code for the server's gate, for
//! the browser before its own transaction, and for whoever looks back.
//!
//! Pure. Invariants:
//! - A verdict depends on the place, the operation, the role, the user and the values in the document before the edit:
//!   not on client ids, clocks, or the order of the log.
//! - Undo and redo of what was allowed is allowed: they do what the rules allow, to the same places.
//! - Values are not judged, only their kind and size: readers pass over what is odd.

mod before;
mod may;
mod reason;
pub mod restore;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use yrs::Any;
use yrs::encoding::read::Cursor;

use super::schema::{
    ACTION_ITEMS, GROUPS, ITEM_GROUPS, ITEM_POSITIONS, ITEMS, META, SIGNATURE_COLORS, VOTES, is_line,
    is_vote_key_of,
};
use super::seed;
use crate::caller::Role;
use crate::gate::{Act, Content, Gate, Source};
use crate::limits::{BOARD_SMALL_VALUE_BYTES_MAX, BOARD_VALUE_BYTES_MAX};

pub use before::Document;
pub use may::{may, may_on};
pub use reason::Reason;

/// Who edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who<'a> {
    /// What the caller may do.
    pub role: Role,
    /// The name under which the tokens know the caller; without one nothing is anybody's.
    pub user: Option<&'a str>,
    /// Nobody edits: what the store has lost comes back, or another life. What it may look like is asked, not whose it is.
    pub only_shape: bool,
}

/// A card, as it is before an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Card {
    /// There is none.
    Absent,
    /// It says nothing of who has written it.
    Unsigned,
    /// It is this user's.
    Of(Arc<str>),
    /// Something is under way that may change it.
    Unclear,
}

/// What the rules have to know of the board as it is before an edit.
pub trait Before {
    /// Whose card it is.
    fn card(&self, id: &str) -> Card;
    /// Whether `meta` has a value under a key; nothing if that is under way.
    fn has_meta(&self, key: &str) -> Option<bool>;
}

/// What the rules say of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed.
    Allowed,
    /// It breaks a rule.
    Broken(Reason),
    /// It depends on what is under way.
    Unclear,
}

/// What stands in a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// One value a key; the small ones have a bound of their own.
    Values { bytes_max: usize },
    /// A map a key, of which the field `text` may be a shared text.
    Maps { with_text: bool },
}

impl Root {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            META => Self::Values { bytes_max: BOARD_VALUE_BYTES_MAX },
            ITEM_POSITIONS | ITEM_GROUPS | SIGNATURE_COLORS | VOTES => {
                Self::Values { bytes_max: BOARD_SMALL_VALUE_BYTES_MAX }
            }
            ITEMS | ACTION_ITEMS => Self::Maps { with_text: true },
            GROUPS => Self::Maps { with_text: false },
            _ => return None,
        })
    }
}

/// Whether a board has a root of this name.
#[must_use]
pub fn is_root(name: &str) -> bool {
    Root::of(name).is_some()
}

/// Whether a whole document, as one update, has what may stand on a board, and nothing else: for who brings one in from
/// elsewhere. What was deleted is not asked.
///
/// # Errors
/// The first rule that it breaks. What the gate would not take is misplaced too.
pub fn fits(document: &[u8]) -> Result<(), Reason> {
    let mut gate = Gate::new();
    let admitted = gate.admit(document, Source::Record).map_err(|_| Reason::Misplaced)?;
    let (Some(admitted), mut fits) = (admitted.remainder, Ok(())) else { return Ok(()) };
    let gone = |act: &Act<'_>| act.content == Content::Deleted;
    let shown = gate.acts(&admitted, |act| {
        if fits.is_ok() && !gone(act) {
            fits = shape(act);
        }
    });
    shown.map_err(|_| Reason::Misplaced).and(fits)
}

/// Judges one act.
#[must_use]
pub fn judge(act: &Act<'_>, who: &Who<'_>, before: &impl Before) -> Verdict {
    match shape(act) {
        Err(reason) => Verdict::Broken(reason),
        Ok(()) if who.only_shape => Verdict::Allowed,
        Ok(()) => rights(act, who, before),
    }
}

/// What may stand where.
fn shape(act: &Act<'_>) -> Result<(), Reason> {
    if act.content == Content::Delete {
        return Ok(());
    }
    let root = Root::of(act.place.root).ok_or(Reason::UnknownRoot)?;
    let keys = act.place.keys().ok_or(Reason::Misplaced)?;
    match (root, keys) {
        (Root::Values { bytes_max }, [Some(_)]) => value(act.content, bytes_max),
        // Yjs 14 writes a map that nobody has named otherwise as XML.
        (Root::Maps { .. }, [Some(_)]) if matches!(act.content, Content::Type(1 | 3 | 4)) => Ok(()),
        (Root::Maps { with_text: true }, [Some(_), Some("text")])
            if matches!(act.content, Content::Type(2..=4)) =>
        {
            Ok(())
        }
        (Root::Maps { .. }, [Some(_)] | [Some(_), Some(_)]) => value(act.content, BOARD_VALUE_BYTES_MAX),
        (Root::Maps { with_text: true }, [Some(_), Some("text"), None]) => match act.content {
            Content::Text | Content::Mark | Content::Deleted => Ok(()),
            _ => Err(Reason::NotText),
        },
        _ => Err(Reason::Misplaced),
    }
}

/// One plain value, or one that is gone.
fn value(content: Content<'_>, bytes_max: usize) -> Result<(), Reason> {
    match content {
        Content::Values(bytes) if bytes.len() > bytes_max => Err(Reason::TooLarge),
        Content::Values(_) | Content::Deleted => Ok(()),
        _ => Err(Reason::NotPlain),
    }
}

/// Who may.
fn rights(act: &Act<'_>, who: &Who<'_>, before: &impl Before) -> Verdict {
    if who.role == Role::Admin {
        return Verdict::Allowed;
    }
    if !who.role.may_write() {
        return Verdict::Broken(Reason::ReadOnly);
    }
    let leads = who.role >= Role::Facilitator;
    match (act.place.root, act.place.keys().unwrap_or_default()) {
        (META, [key, ..]) if !leads => template(act, *key, before),
        (VOTES, [key, ..]) => match (who.user, key) {
            (Some(user), key) if !key.is_some_and(|key| is_vote_key_of(key, user)) => {
                Verdict::Broken(Reason::OthersVotes)
            }
            _ => Verdict::Allowed,
        },
        (ITEMS, [Some(id), field @ ..]) if !leads => match who.user {
            Some(user) => item(act, (id, field.first().copied().flatten()), user, before),
            None => Verdict::Allowed,
        },
        _ => Verdict::Allowed,
    }
}

/// What an editor does to a card.
fn item(act: &Act<'_>, (id, field): (&str, Option<&str>), user: &str, before: &impl Before) -> Verdict {
    match field {
        None => {
            if author_in(act).is_some_and(|author| *author != *user) {
                return Verdict::Broken(Reason::AuthorIsNotYou);
            }
            own(id, user, before, Reason::OthersCard)
        }
        Some("author") if line(act.content).is_some_and(|author| *author != *user) => {
            Verdict::Broken(Reason::AuthorIsNotYou)
        }
        Some("author" | "createdAt") if !act.in_new => own(id, user, before, Reason::OthersSignature),
        Some(_) => Verdict::Allowed,
    }
}

/// What is allowed on one's own cards, and on those that are nobody's.
fn own(id: &str, user: &str, before: &impl Before, reason: Reason) -> Verdict {
    match before.card(id) {
        Card::Absent | Card::Unsigned => Verdict::Allowed,
        Card::Of(author) if *author == *user => Verdict::Allowed,
        Card::Of(_) => Verdict::Broken(reason),
        Card::Unclear => Verdict::Unclear,
    }
}

/// A board that has not begun may be begun by any editor, with a template.
fn template(act: &Act<'_>, key: Option<&str>, before: &impl Before) -> Verdict {
    const BROKEN: Verdict = Verdict::Broken(Reason::Meta);
    let (Some(key), Content::Values(bytes)) = (key, act.content) else { return BROKEN };
    let Some(value) = decode(bytes) else { return BROKEN };
    let of = (act.client, act.clocks.0);
    let Some(template) = seed::template_of(act.client).filter(|template| template.has(of, key, &value))
    else {
        return BROKEN;
    };
    for key in template.keys() {
        match before.has_meta(key) {
            Some(true) => return BROKEN,
            Some(false) => {}
            None => return Verdict::Unclear,
        }
    }
    Verdict::Allowed
}

/// The author that a card has which comes as one value.
fn author_in(act: &Act<'_>) -> Option<Arc<str>> {
    let Content::Values(bytes) = act.content else { return None };
    match decode(bytes)? {
        Any::Map(fields) => signature(fields.get("author")?),
        _ => None,
    }
}

/// A value that names somebody.
fn line(content: Content<'_>) -> Option<Arc<str>> {
    match content {
        Content::Values(bytes) => signature(&decode(bytes)?),
        _ => None,
    }
}

/// The author that readers see in a value.
fn signature(value: &Any) -> Option<Arc<str>> {
    match value {
        Any::String(text) if is_line(text) => Some(Arc::clone(text)),
        _ => None,
    }
}

/// The gate has seen that it is a value.
fn decode(bytes: &[u8]) -> Option<Any> {
    Any::decode(&mut Cursor::new(bytes)).ok()
}

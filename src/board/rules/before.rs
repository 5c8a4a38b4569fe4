//! The board before an edit, read from a document: a few values by their keys, never all of it.

use yrs::branch::{Branch, BranchPtr};
use yrs::{Any, Map, MapRef, Out, ReadTxn, TextRef};

use super::{Before, Card, signature};
use crate::board::schema::{ITEMS, META};

/// A document, with nothing under way.
pub struct Document<'t, T> {
    transaction: &'t T,
}

impl<'t, T: ReadTxn> Document<'t, T> {
    /// Reads what this transaction sees.
    #[must_use]
    pub fn new(transaction: &'t T) -> Self {
        Self { transaction }
    }
}

impl<T: ReadTxn> Before for Document<'_, T> {
    fn card(&self, id: &str) -> Card {
        let Some(card) = get(self.transaction, ITEMS, id) else { return Card::Absent };
        let author = match card {
            Out::Any(Any::Map(fields)) => fields.get("author").and_then(signature),
            shared => match as_map(&shared).and_then(|map| map.get(self.transaction, "author")) {
                Some(Out::Any(author)) => signature(&author),
                _ => None,
            },
        };
        author.map_or(Card::Unsigned, Card::Of)
    }

    fn has_meta(&self, key: &str) -> Option<bool> {
        Some(get(self.transaction, META, key).is_some())
    }
}

/// What stands in a root under a key.
pub(super) fn get<T: ReadTxn>(transaction: &T, root: &str, key: &str) -> Option<Out> {
    transaction.get_map(root)?.get(transaction, key)
}

/// The entries of a shared type, whatever it says it is: readers read them so.
pub(super) fn as_map(value: &Out) -> Option<MapRef> {
    branch(value).map(MapRef::from)
}

/// The text in a shared type that may be one, whatever it says it is: Yjs 14 writes a text that nobody has named as XML.
pub(crate) fn as_text(value: &Out) -> Option<TextRef> {
    match value {
        Out::YMap(_) | Out::YArray(_) => None,
        shared => branch(shared).map(TextRef::from),
    }
}

fn branch(value: &Out) -> Option<BranchPtr> {
    fn of<B: AsRef<Branch>>(shared: &B) -> BranchPtr {
        BranchPtr::from(shared.as_ref())
    }
    Some(match value {
        Out::YMap(map) => of(map),
        Out::YArray(array) => of(array),
        Out::YText(text) => of(text),
        Out::YXmlElement(xml) => of(xml),
        Out::YXmlFragment(xml) => of(xml),
        Out::YXmlText(xml) => of(xml),
        Out::UndefinedRef(branch) => *branch,
        _ => return None,
    })
}

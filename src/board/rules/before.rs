//! The board before an edit, read from a document: a few values by their keys, never all of it.

use yrs::{Any, Map, Out, ReadTxn};

use super::{Before, Card, signature};
use crate::board::schema::{ITEMS, META};
pub(super) use crate::board::shared::as_map;

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

    /// Whether a root has something under a key.
    #[must_use]
    pub fn holds(&self, root: &str, key: &str) -> bool {
        get(self.transaction, root, key).is_some()
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

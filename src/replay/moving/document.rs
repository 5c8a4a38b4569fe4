//! Foreign updates, in any order, become one document: each through the gate, as if a client had brought it. Pure.

use crate::document::{Document, FoldError};
use crate::gate::{Gate, Refusal, Source};
use crate::limits::{DOCUMENT_BYTES_MAX, MOVED_BYTES_MAX};

/// A document that has come over.
pub struct Moved {
    /// All of it, as one update V1.
    pub update: Vec<u8>,
    /// What it has is nothing at all.
    pub is_empty: bool,
    /// What did not come over, each a phrase.
    pub not_kept: Vec<String>,
}

/// Why a document cannot come over.
#[derive(Debug, thiserror::Error)]
pub enum MovedError {
    /// The gate refuses an update.
    #[error("{refusal}{}", help(*.refusal, *.is_text))]
    Refused {
        /// The rule.
        refusal: Refusal,
        /// The bytes are those of a text.
        is_text: bool,
    },
    /// The engine refuses it.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// Together the updates are more than a document may be.
    #[error("the document has {0} bytes, at most {DOCUMENT_BYTES_MAX} are taken")]
    TooLarge(usize),
}

/// What would help.
fn help(refusal: Refusal, is_text: bool) -> &'static str {
    match refusal {
        _ if is_text => "; this is text: if it is base64, decode it (base64 -d)",
        Refusal::LooksLikeV2 => "; Y.convertUpdateFormatV2ToV1(update) makes one that is taken",
        Refusal::Subdocument => "; make a room of each subdocument, and keep its name in its place",
        Refusal::LegacyJson => "; copy what it holds into a new Y.Doc with a Yjs of today, and import that",
        Refusal::UnknownType => "; put what it holds into arrays, maps, texts or XML, and import that",
        _ => "",
    }
}

impl Moved {
    /// Takes in all updates of a document. What builds on something that is in none of them is left out and said:
    /// no client shows that either.
    ///
    /// # Errors
    /// [`MovedError`]: nothing of the document is of use then.
    pub fn new(mut updates: Vec<Vec<u8>>) -> Result<Self, MovedError> {
        let bytes = updates.iter().map(Vec::len).sum::<usize>();
        if bytes > MOVED_BYTES_MAX {
            return Err(MovedError::TooLarge(bytes));
        }
        let mut taken = Taken::default();
        // Some stores give updates in another order than they were made in.
        let missing = loop {
            let before = updates.len();
            let mut waiting = Vec::new();
            let mut missing = 0;
            for update in updates {
                let left_out = taken.take(&update)?;
                missing += left_out;
                if left_out > 0 {
                    waiting.push(update);
                }
            }
            updates = waiting;
            if updates.is_empty() || updates.len() == before {
                break missing;
            }
        };
        let update = taken.document.encode_full();
        if update.len() > DOCUMENT_BYTES_MAX {
            return Err(MovedError::TooLarge(update.len()));
        }
        let is_empty = taken.gate.clients() == 0;
        let not_kept = (missing > 0)
            .then(|| format!("{missing} blocks or deletions that build on something that is not there"));
        Ok(Self { update, is_empty, not_kept: Vec::from_iter(not_kept) })
    }
}

/// What has been taken in.
#[derive(Default)]
struct Taken {
    gate: Gate,
    document: Document,
}

impl Taken {
    /// Takes in what is new and complete of an update, and says how much of it has to wait for others.
    fn take(&mut self, update: &[u8]) -> Result<u64, MovedError> {
        let refused = |refusal| MovedError::Refused { refusal, is_text: is_text(update) };
        let mut admitted = self.gate.admit(update, Source::Step2);
        if matches!(admitted, Err(Refusal::OrderUnknown)) {
            let document = self.document.encode_full();
            self.gate.learn_order([document.as_slice()]).map_err(refused)?;
            admitted = self.gate.admit(update, Source::Step2);
        }
        let admission = admitted.map_err(refused)?;
        if let Some(remainder) = admission.remainder {
            let deletes = self.document.apply(&[&remainder.update])?;
            self.gate.note_deleted(&deletes);
            self.gate.settle(&remainder.receipt);
        }
        Ok(admission.dropped.unknown_blocks + admission.dropped.unknown_deletes)
    }
}

/// Bytes that somebody may have written for people: an update has zeros, or begins with small numbers.
fn is_text(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact};

    use super::*;

    /// Updates of one text: each adds a letter.
    fn letters(text: &str) -> Vec<Vec<u8>> {
        let doc = Doc::with_client_id(7);
        let root = doc.get_or_insert_text("t");
        let mut updates = Vec::new();
        for letter in text.chars() {
            let before = doc.transact().state_vector();
            root.push(&mut doc.transact_mut(), &letter.to_string());
            updates.push(doc.transact().encode_diff_v1(&before));
        }
        updates
    }

    fn text(moved: &Moved) -> String {
        let mut document = Document::new();
        document.apply(&[&moved.update]).unwrap();
        let root = document.doc().get_or_insert_text("t");
        root.get_string(&document.doc().transact())
    }

    /// [O72] Updates in any order make the document; what builds on something missing is left out, and said.
    #[test]
    fn updates_come_in_any_order() {
        let mut updates = letters("hello");
        updates.reverse();
        let moved = Moved::new(updates.clone()).unwrap();
        assert_eq!((text(&moved).as_str(), moved.not_kept.len(), moved.is_empty), ("hello", 0, false));

        let gap = updates.remove(2); // the first l
        let moved = Moved::new(updates).unwrap();
        assert_eq!(text(&moved), "he");
        assert_eq!(moved.not_kept, ["2 blocks or deletions that build on something that is not there"]);
        assert!(Moved::new(vec![gap]).unwrap().is_empty);
        assert!(Moved::new(Vec::new()).unwrap().is_empty && Moved::new(vec![vec![0, 0]]).unwrap().is_empty);
    }

    /// [O73] What is not taken is refused with the rule and with what would help.
    #[test]
    fn refusals_say_what_would_help() {
        let refused = |bytes: &[u8]| Moved::new(vec![bytes.to_vec()]).err().unwrap().to_string();
        let v2 = Doc::with_client_id(1);
        v2.get_or_insert_text("t").push(&mut v2.transact_mut(), "x");
        let v2 = v2.transact().encode_diff_v2(&StateVector::default());
        assert!(
            refused(&v2).contains("V2, which is not taken")
                && refused(&v2).contains("convertUpdateFormatV2ToV1")
        );
        assert!(refused(b"AQEBAAQBAXQBeAA=\n").ends_with("decode it (base64 -d)"));
        // One block of content that is a document: guid "g", no options.
        let subdocument = [1, 1, 1, 0, 9, 1, 1, b'r', 1, b'g', 118, 0, 0];
        assert!(refused(&subdocument).contains("subdocuments are not taken; make a room of each"));
    }
}

//! One transaction on a copy of a document, as an update: the one way in which the server makes edits for others.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use yrs::{Transact, TransactionMut};

use crate::document::{Document, FoldError};
use crate::ids::ClientId;

/// Why nothing was made.
#[derive(Debug)]
pub(crate) enum CopyError<E> {
    /// The copy cannot be made: the document is damaged.
    Copy(FoldError),
    /// The engine panicked: the document holds what it cannot edit.
    Engine,
    /// The edit itself cannot be made.
    Refused(E),
}

/// Makes an edit of the document that `full` holds, under `client`. The update may be empty: nothing changed.
pub(crate) fn on_copy<T, E>(
    full: &[u8],
    client: ClientId,
    edit: impl FnOnce(&mut TransactionMut<'_>) -> Result<T, E>,
) -> Result<(Vec<u8>, T), CopyError<E>> {
    let mut copy = Document::of_client(client);
    copy.apply(&[full]).map_err(CopyError::Copy)?;
    written(copy, edit).map(|(_, update, made)| (update, made))
}

/// The same on a copy that is there, which comes back for the next edit.
pub(crate) fn written<T, E>(
    copy: Document,
    edit: impl FnOnce(&mut TransactionMut<'_>) -> Result<T, E>,
) -> Result<(Document, Vec<u8>, T), CopyError<E>> {
    let edited = catch_unwind(AssertUnwindSafe(|| {
        // Dropping a transaction commits it, and that would panic again while a panic unwinds. So it is
        // dropped by hand, and in a panic not at all.
        let mut transaction = ManuallyDrop::new(copy.doc().transact_mut());
        let edited = edit(&mut transaction);
        let update = edited.map(|edited| (transaction.encode_update_v1(), edited));
        drop(ManuallyDrop::into_inner(transaction));
        update
    }));
    match edited {
        Ok(Ok((update, made))) => Ok((copy, update, made)),
        Ok(Err(refused)) => Err(CopyError::Refused(refused)),
        Err(_) => {
            // Its lock is held for ever: nobody may wait for it, not even to free it. Who asked keeps count: see `Trust`.
            std::mem::forget(copy);
            Err(CopyError::Engine)
        }
    }
}

//! A page on its way from the gate into the document. A walk has the next page judged meanwhile.

use super::fold::{Broken, SetAside};
use super::walk::WalkError;
use crate::document::Document;
use crate::gate::Recorded;
use crate::heavy::heavy;
use crate::ids::{ClientId, Position};

/// What the gate has taken in, and the document has not.
pub(super) struct Unfolded {
    pub(super) update: Vec<u8>,
    /// Of the newest record in it.
    pub(super) position: Position,
    pub(super) recorded: Recorded,
}

/// A document, and what comes into it next: lent by a fold that judges the next page meanwhile.
pub(super) struct Folding {
    pub(super) document: Document,
    pub(super) unfolded: Unfolded,
}

/// The same when it is done.
pub(super) struct Returned {
    pub(super) document: Document,
    pub(super) deletes: Vec<(ClientId, u32, u32)>,
    pub(super) recorded: Recorded,
}

impl Folding {
    /// # Errors
    /// [`Broken`], with the position of the page that is folded here.
    pub(super) fn fold(self) -> Result<Returned, Broken> {
        let Self { mut document, unfolded: Unfolded { update, position, recorded } } = self;
        match document.apply(&[&update]) {
            Ok(deletes) => Ok(Returned { document, deletes, recorded }),
            Err(error) => Err(Broken(SetAside { position, why: format!("it cannot be folded: {error}") })),
        }
    }
}

/// Has a page taken into the document that was lent, on the blocking pool.
pub(super) async fn fold_beside(
    folding: Option<Folding>,
) -> Result<Result<Option<Returned>, Broken>, WalkError> {
    let Some(folding) = folding else { return Ok(Ok(None)) };
    let job = heavy(move || folding.fold().map(Some));
    job.await.map_err(|error| WalkError::Stopped(error.to_string()))
}

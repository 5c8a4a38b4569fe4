//! What comes of an update that is judged, before anything is written: for one that goes on by itself, and for those that
//! are gathered.

use smallvec::SmallVec;

use super::admit::Judgement;
use super::deletes::Deletes;
use super::index::Mark;
use super::read::Id;
use super::refusal::Refusal;
use super::rewrite::Rewrite;
use super::walks::{Account, Taken};
use super::write::OwnedPart;
use super::{Dropped, Gate, ParsedUpdate, Receipt};
use crate::ids::ClientId;

/// An update that is judged, and that the index has taken in.
pub(super) struct Judged {
    pub(super) parts: SmallVec<[OwnedPart; 1]>,
    pub(super) deletes: Deletes,
    pub(super) dropped: Dropped,
    /// Where the index stood before.
    pub(super) before: Mark,
    /// What integrating it costs at most.
    pub(super) steps: u64,
    /// What its sets of keys have named as origin.
    pub(super) named: Vec<Id>,
    /// What it has changed of the account of steps.
    pub(super) taken: Option<Box<Taken>>,
    /// See [`super::Remainder::turned`].
    pub(super) turned: bool,
}

impl Gate {
    /// Judges an update and takes it into the index. `overwritten` gets the ids that its blocks replace as the value of a key.
    pub(super) fn judge(
        &mut self,
        update: &ParsedUpdate<'_>,
        foreign: &[ClientId],
        rewrite: &Rewrite,
        overwritten: Option<&mut Vec<Id>>,
    ) -> Result<Judged, Refusal> {
        let ParsedUpdate { parsed, source } = update;
        let source = *source;
        let account = Account::new(&mut self.walks, source, self.index.mark());
        let mut judgement = Judgement::new(&mut self.index, account, parsed, (source, rewrite), overwritten);
        judgement.leave_out(foreign);
        judgement.blocks()?;
        let turned = !judgement.turned.is_empty();
        let deletes = judgement.deletes();
        let judged = judgement.finish(deletes, turned);
        if judged.parts.is_empty() && judged.deletes.parts.is_empty() {
            self.index.rewind(judged.before);
        }
        Ok(judged)
    }

    /// An admission brings something.
    pub(super) fn count_admission(&mut self) {
        self.admissions += 1;
    }

    /// Counts it, and says what it takes to take it back.
    pub(super) fn receipt(
        &mut self,
        parts: &[OwnedPart],
        deletes: SmallVec<[(ClientId, u32, u32); 1]>,
        (before, named, taken): (Mark, Vec<Id>, Option<Box<Taken>>),
    ) -> Receipt {
        self.count_admission();
        let blocks = parts.iter().map(|part| (part.client, part.clocks.0, part.clocks.1)).collect();
        Receipt { blocks, deletes: deletes.into_vec(), before, named, taken, number: self.admissions }
    }
}

//! Whose blocks an update brings: what of it the bringer may bring, and what its record says of who made it.
//! `owners` has the rules; here they meet the gate and the batches.
//!
//! A room of kind `board` enforces: what is somebody else's to bring is left out, and who contradicts what is
//! stored is told to reload. A `free` room takes both in, as far as it can, and reports them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::kinds::Choice;
use super::{State, Submission, SubmitError};
use crate::caller::UserId;
use crate::gate::{ParsedUpdate, Receipt, Recent, Source};
use crate::generation::Brings;
use crate::ids::{ClientId, Position, SessionId};
use crate::log::record::{Metadata, Record, RoomKind};
use crate::room::owners::{Attribution, Bringer, Owners};
use crate::session::Permit;

/// What a room's state keeps of who writes.
pub(super) struct Authors {
    pub(super) owners: Arc<Owners>,
    pub(super) kind: RoomKind,
    /// By what that is chosen if the room is made here; nothing in tests of the state alone.
    pub(super) choice: Option<Choice>,
    /// Nothing in a room without identities.
    kept: Option<Box<Kept>>,
}

/// What there is to remember of who writes.
#[derive(Default)]
struct Kept {
    recent: Recent,
    /// Sessions of whose update something was left out: they may bring it once its owner has gone.
    owing: HashSet<SessionId>,
    /// Of what was left out until its owner brings it, each client's next clock then: what the session has built on it
    /// can be taken when there is more.
    waiting: HashMap<SessionId, Vec<(ClientId, u32)>>,
    /// Sessions whose newest answer had something that builds on what nobody has, and nothing new; and what was stored then.
    vain: HashMap<SessionId, Position>,
    /// Sessions that are asked for all they have, because the store has lost something: whoever has it.
    pardoned: HashSet<SessionId>,
    /// Sessions that were reported once.
    reported: HashSet<SessionId>,
}

/// What is wrong with an update, as far as it is about who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Suspect {
    /// It has new blocks of somebody else who is here.
    pub(crate) foreign: bool,
    /// It says something else than what is stored under the same ids.
    pub(crate) contradicts: bool,
    /// Nothing was reported of its session before.
    pub(crate) first: bool,
    /// It brings back what the store has lost, and was asked for.
    pub(crate) pardoned: bool,
}

impl Suspect {
    pub(crate) fn is_any(self) -> bool {
        self.foreign || self.contradicts
    }
}

impl Default for Authors {
    fn default() -> Self {
        Self { owners: Arc::default(), kind: RoomKind::Free, choice: None, kept: None }
    }
}

impl State {
    /// Goes on with what the room's sessions share: the owners that are there, and those that the log tells of.
    pub(crate) fn share_owners(&mut self, owners: &Arc<Owners>) {
        owners.learn(self.authors.owners.stored());
        owners.learn_written(&self.authors.owners.written());
        self.authors.owners = Arc::clone(owners);
    }

    /// Who owns which client id.
    pub(crate) fn owners(&self) -> &Owners {
        &self.authors.owners
    }

    /// What of an update is not the session's to bring: these clients' new blocks.
    ///
    /// # Errors
    /// [`SubmitError::Contradicts`].
    pub(super) fn judge_authors(
        &mut self,
        submission: &Submission,
        update: &ParsedUpdate<'_>,
        brings: &Brings,
    ) -> Result<(Suspect, Vec<ClientId>), SubmitError> {
        let mut suspect = Suspect::default();
        if submission.permit == Permit::OnlyIfNothingNew || self.authors.owners.is_off() {
            return Ok((suspect, Vec::new()));
        }
        let (session, by) = (submission.session, bringer(submission));
        let kept = self.authors.kept.get_or_insert_default();
        suspect.contradicts = self.gate.contradicted(update, &kept.recent).is_some();
        let pardoned = submission.source == Source::Step2 && kept.pardoned.contains(&session);
        let mut foreign = Vec::new();
        // A life is brought whole, by whoever has it; so is what the store has lost.
        if !pardoned && *brings == Brings::Nothing {
            let new = update.parts().filter(|part| part.clocks.1 > self.gate.known(part.client));
            foreign = self.authors.owners.foreign(by, new.map(|part| part.client));
            suspect.foreign = !foreign.is_empty();
        }
        (suspect.first, suspect.pardoned) = (suspect.is_any() && !kept.reported.contains(&session), pardoned);
        match self.authors.kind {
            RoomKind::Board if suspect.contradicts => {
                kept.reported.insert(session);
                Err(SubmitError::Contradicts(suspect))
            }
            RoomKind::Board => Ok((suspect, foreign)),
            RoomKind::Free => Ok((suspect, Vec::new())),
        }
    }

    /// The gate has judged an update: a pardon is used up, and who was suspect is reported. Not before: it may have to be
    /// asked again.
    pub(super) fn note_judged(&mut self, session: SessionId, suspect: &Suspect) {
        if let Some(kept) = self.authors.kept.as_mut().filter(|_| suspect.pardoned || suspect.first) {
            if suspect.pardoned {
                kept.pardoned.remove(&session);
            }
            if suspect.first {
                kept.reported.insert(session);
            }
        }
    }

    /// Some of an update was left out because it is somebody else's to bring.
    pub(super) fn note_left_out(&mut self, session: SessionId) {
        self.authors.kept.get_or_insert_default().owing.insert(session);
    }

    /// What a session has brought of these clients waits for their owners, whoever is here. Its newest update counts.
    pub(super) fn note_waiting(&mut self, session: SessionId, clients: &[ClientId]) {
        if !clients.is_empty() {
            let waiting = clients.iter().map(|client| (*client, self.gate.known(*client))).collect();
            self.authors.kept.get_or_insert_default().waiting.insert(session, waiting);
        }
    }

    /// A session has answered with all that it has, and nothing of it is missing.
    pub(crate) fn note_whole_answer(&mut self, session: SessionId) {
        if let Some(kept) = &mut self.authors.kept {
            kept.vain.remove(&session);
        }
    }

    /// An answer of a session builds on what is not here, and has brought something new or nothing. Says whether asking again
    /// at once may help: of two answers in a row that brought nothing the second says what the first has said.
    pub(crate) fn note_gap_in_answer(&mut self, session: SessionId, is_vain: bool) -> bool {
        let stored = self.committed();
        let vain = &mut self.authors.kept.get_or_insert_default().vain;
        if is_vain {
            return vain.insert(session, stored).is_none();
        }
        vain.remove(&session);
        true
    }

    /// Sessions of which something was left out since this was asked last, those for which an owner has brought
    /// something that they wait for, and those that have answered in vain, if anything was stored since. Asked again, they may
    /// bring it.
    pub(crate) fn take_owing(&mut self) -> HashSet<SessionId> {
        let stored = self.committed();
        let Some(kept) = self.authors.kept.as_mut() else { return HashSet::new() };
        let mut owing = std::mem::take(&mut kept.owing);
        let moved = kept.vain.iter_mut().filter(|(_, since)| **since != stored);
        owing.extend(moved.map(|(session, since)| {
            *since = stored;
            *session
        }));
        kept.waiting.retain(|session, waiting| {
            let has_come = waiting.iter().any(|(client, known)| self.gate.known(*client) > *known);
            if has_come {
                owing.insert(*session);
            }
            !has_come
        });
        owing
    }

    /// What a session answers next is taken, whoever has made it.
    pub(crate) fn pardon(&mut self, session: SessionId) {
        if !self.authors.owners.is_off() {
            self.authors.kept.get_or_insert_default().pardoned.insert(session);
        }
    }

    /// A session has gone.
    pub(super) fn forget_author(&mut self, session: SessionId) {
        let Some(kept) = self.authors.kept.as_mut() else { return };
        let Kept { owing, waiting, vain, pardoned, reported, .. } = &mut **kept;
        waiting.remove(&session);
        vain.remove(&session);
        for of in [owing, pardoned, reported] {
            of.remove(&session);
        }
    }

    /// What the record of what was admitted of an update says of it.
    pub(super) fn metadata(
        &mut self,
        submission: &Submission,
        update: &ParsedUpdate<'_>,
        receipt: &Receipt,
        batch: u64,
    ) -> Metadata {
        let by = self.attribute(submission, update, receipt);
        Metadata {
            user: by.user.as_deref().map(str::to_owned),
            session: Some(submission.session),
            instance: self.instance,
            role: submission.caller.role.into(),
            batch,
            claims: by.claims,
            relayed_by: by.relayed_by.as_deref().map(str::to_owned),
            room_kind: self.authors.kind,
            admitted_ms: submission.admitted_ms,
        }
    }

    /// Who made what was admitted of an update.
    fn attribute(
        &mut self,
        submission: &Submission,
        update: &ParsedUpdate<'_>,
        receipt: &Receipt,
    ) -> Attribution {
        let user = submission.caller.user.clone();
        if self.authors.owners.is_off() {
            return Attribution { user, ..Attribution::default() };
        }
        self.authors.kept.get_or_insert_default().recent.note(update, &receipt.blocks);
        let is_marker = |client, to| self.generations.marker(client, to).is_some();
        let blocks = receipt.blocks.iter().filter(|&&(client, _, to)| !is_marker(client, to));
        let admitted = blocks.map(|&(client, from, _)| (client, from));
        let is_edit = submission.source == Source::Update && is_edit(update, receipt);
        self.authors.owners.attribute(bringer(submission), is_edit, admitted)
    }

    /// The last batch takes claims of a user.
    pub(super) fn batch_claims(&mut self, user: Option<&str>, claims: &[ClientId]) {
        let (Some(user), Some(batch)) = (user, self.batches.back_mut()) else { return };
        if claims.is_empty() {
            return;
        }
        let user = UserId::from(user);
        let claims: Vec<_> = claims.iter().map(|client| (*client, Arc::clone(&user))).collect();
        self.authors.owners.pend(&claims);
        batch.claims.extend(claims);
    }

    /// Records are stored, at this time by the log.
    pub(super) fn note_written<'r>(&self, records: impl IntoIterator<Item = &'r Record>, at_ms: u64) {
        for record in records.into_iter().filter(|record| record.kind().is_written()) {
            if let Ok(Metadata { user: Some(user), .. }) = record.metadata() {
                self.authors.owners.note_written(&user, record.kind(), at_ms);
            }
        }
    }

    /// A record of others is stored.
    pub(super) fn learn_claims(&self, record: &Record, at_ms: u64) {
        // Decoding has shown that the metadata can be read.
        let Ok(Metadata { user: Some(user), claims, .. }) = record.metadata() else { return };
        let user = UserId::from(user);
        self.authors.owners.note_written(&user, record.kind(), at_ms);
        self.authors.owners.learn(claims.into_iter().map(|client| (client, Arc::clone(&user))));
    }

    /// Goes on with the authors of `old`; owners that the log tells of come first, and the room's kind is what it tells.
    pub(super) fn take_authors(&mut self, old: &mut Self) {
        let told = self.authors.owners.stored();
        let mut authors = std::mem::take(&mut old.authors);
        authors.owners.overrule(told);
        authors.owners.learn_written(&self.authors.owners.written());
        if let Some(kept) = &mut authors.kept {
            kept.recent = Recent::default();
        }
        (authors.kind, authors.choice) = (self.authors.kind, self.authors.choice.take());
        self.authors = authors;
    }
}

/// Whether all of an update was new, and one client's.
fn is_edit(update: &ParsedUpdate<'_>, receipt: &Receipt) -> bool {
    let mut parts = update.parts();
    let only = parts.next().filter(|_| parts.next().is_none());
    match (only, &receipt.blocks[..]) {
        (Some(part), [(client, from, to)]) => (part.client, part.clocks) == (*client, (*from, *to)),
        _ => false,
    }
}

fn bringer(submission: &Submission) -> Bringer<'_> {
    Bringer { session: submission.session, user: submission.caller.user.as_ref() }
}

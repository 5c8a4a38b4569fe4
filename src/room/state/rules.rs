//! The rules of a board where they meet the gate: what of an update breaks one, what becomes of it, and what the server
//! writes behind it. `board::rules` has the rules.
//!
//! Invariants:
//! - What breaks a rule is stored without its content, in its place, and where a key had a value that value is set again
//!   behind it, in the same batch: nobody is shown the one without the other.
//! - Nothing is refused for breaking many rules, or on large values: what is beyond the bounds is kept as it was.
//! - What is set again is what the log has there: it is judged with nothing under way, and stored right behind the
//!   position at which it was judged, or not at all.

mod findings;
mod offences;
mod plan;

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use yrs::Transact;

use findings::{Findings, Seed};
pub(super) use findings::{Set, Touches};
use offences::{Offences, Offender};
use plan::Plan;

use super::{State, Submission, SubmitError};
use crate::board::rules::{self, Before, Card, Reason, Verdict, Who, judge};
use crate::caller::{Role, UserId};
use crate::gate::{Admission, Dropped, ParsedUpdate, Remainder, Rewrite};
use crate::ids::{ClientId, InstanceId, Position};
use crate::limits::CLIENT_ID_MAX;
use crate::log::record::RoomKind;
use crate::session::Permit;

/// What a room keeps for the rules of a board.
pub(super) struct Rules {
    /// Under which the server writes, in this load of the room. Nobody else may.
    client: ClientId,
    /// Cards that are made, taken away or signed by what is under way.
    cards: HashMap<Box<str>, UnderWay>,
    /// The newest batch that touches `meta`.
    meta: u64,
    /// The newest that is committed.
    committed: u64,
    offences: Offences,
}

/// How often something of one update is left out because others own it: all of that is known after the first time.
const LEAVINGS_MAX: usize = 8;

/// What is under way to one card.
struct UnderWay {
    /// The newest batch that does something to it.
    batch: u64,
    /// The editor whose doing all of it is, and who may: whatever becomes of it, the card is nobody else's.
    by: Option<UserId>,
}

/// An update that keeps the rules, by now.
pub(super) struct Mended {
    pub(super) remainder: Remainder,
    /// What the server sets behind it.
    pub(super) restored: Option<Remainder>,
    /// The first rule that it had broken.
    pub(super) broken: Option<Reason>,
    /// It was judged at this position, and is to be stored right behind it.
    pub(super) at: Option<Position>,
    pub(super) touches: Touches,
}

impl Mended {
    fn as_it_was(remainder: Remainder, touches: Touches) -> Self {
        Self { remainder, restored: None, broken: None, at: None, touches }
    }

    pub(super) fn remainders(&self) -> impl Iterator<Item = &Remainder> {
        [&self.remainder].into_iter().chain(&self.restored)
    }
}

impl Rules {
    pub(super) fn new(instance: InstanceId, life: u32) -> Self {
        let mut digest = Sha256::new_with_prefix("ruang compensation");
        digest.update(instance.0.to_be_bytes());
        digest.update(life.to_be_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finalize()[..8]);
        let client = u64::from_be_bytes(first) >> 11 & CLIENT_ID_MAX;
        Self { client, cards: HashMap::new(), meta: 0, committed: 0, offences: Offences::default() }
    }

    /// Under which the server writes.
    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    /// Which of these cards are touched by what is under way.
    pub(super) fn under_way<'t>(&self, touches: &'t Touches) -> impl Iterator<Item = &'t str> {
        touches.cards.iter().filter(|card| self.cards.contains_key(*card)).map(AsRef::as_ref)
    }

    /// A batch has this on its way into the log.
    pub(super) fn note(&mut self, touches: Touches, batch: u64) {
        for card in touches.cards {
            let by = touches.by.clone();
            let under_way = self.cards.entry(card).or_insert_with(|| UnderWay { batch, by });
            under_way.batch = batch;
            if under_way.by != touches.by {
                under_way.by = None;
            }
        }
        if touches.meta {
            self.meta = batch;
        }
    }

    /// What was under way in another load of the room is under way here, in batches up to this one.
    pub(super) fn take_over(&mut self, old: &mut Self, batch: u64) {
        let under_way = |card| (card, UnderWay { batch, by: None });
        self.cards.extend(std::mem::take(&mut old.cards).into_keys().map(under_way));
        self.meta = batch;
        self.offences = std::mem::take(&mut old.offences);
    }

    /// A batch is committed; what of older ones is not was dropped.
    pub(super) fn commit(&mut self, batch: u64) {
        self.committed = batch;
        self.cards.retain(|_, of| of.batch > batch);
        if self.cards.is_empty() {
            self.cards = HashMap::new(); // as in most rooms at most times
        }
    }
}

/// The board as it is committed, as far as nothing under way changes it.
struct Now<'s, B> {
    committed: B,
    rules: &'s Rules,
    /// Who asks.
    user: Option<&'s str>,
    /// Nothing is under way.
    still: bool,
}

impl<B: Before> Before for Now<'_, B> {
    fn card(&self, id: &str) -> Card {
        let under_way = self.rules.cards.get(id).filter(|_| !self.still);
        let committed = self.committed.card(id);
        match under_way.map(|under_way| under_way.by.as_deref()) {
            None => committed,
            Some(by) if by.is_some() && by == self.user => match committed {
                Card::Of(author) if Some(&*author) != by => Card::Unclear,
                own => own,
            },
            Some(_) => Card::Unclear,
        }
    }

    fn has_meta(&self, key: &str) -> Option<bool> {
        let is_settled = self.still || self.rules.meta <= self.rules.committed;
        if is_settled { self.committed.has_meta(key) } else { None }
    }
}

/// What became of an update.
pub(super) struct Kept {
    /// What is new of it; nothing if that is nothing.
    pub(super) mended: Option<Mended>,
    pub(super) dropped: Dropped,
    /// What is new of these clients waits for who owns them.
    pub(super) left_to_owners: Vec<ClientId>,
}

impl State {
    /// Whether the rules of a board hold here.
    pub(crate) fn is_board(&self) -> bool {
        self.authors.kind == RoomKind::Board
    }

    /// What the gate makes of what comes in, before the rules are asked.
    pub(super) fn rewrites(&self) -> Rewrite {
        if self.is_board() { Rewrite::default().telling_garbage() } else { Rewrite::default() }
    }

    /// The id under which the server writes is nobody's.
    pub(super) fn keep_own_id(&self, update: &ParsedUpdate<'_>, foreign: &mut Vec<ClientId>) {
        let own = self.rules.client;
        let writes = |known: u32| update.parts().any(|part| part.client == own && part.clocks.1 > known);
        if self.is_board() && writes(self.gate.known(own)) {
            foreign.push(own);
        }
    }

    /// Has an update keep the rules, which the gate has admitted just now. On an error the admission is taken back. What
    /// breaks a rule under an id that somebody else owns is left out, and waits for that one: mended it would be deleted in
    /// its owner's own copy.
    ///
    /// # Errors
    /// [`SubmitError::NotNow`], [`SubmitError::Broken`], [`SubmitError::TooOften`], and what the gate says.
    pub(super) fn keep_rules(
        &mut self,
        submission: &Submission,
        (update, mut foreign): (&ParsedUpdate<'_>, Vec<ClientId>),
        mut admission: Admission,
        only_shape: bool,
    ) -> Result<Kept, SubmitError> {
        let mut left_to_owners = Vec::new();
        for _ in 0..LEAVINGS_MAX {
            let dropped = admission.dropped;
            let Some(remainder) = admission.remainder.take() else {
                return Ok(Kept { mended: None, dropped, left_to_owners });
            };
            if !self.is_board() {
                let mended = Some(Mended::as_it_was(remainder, Touches::default()));
                return Ok(Kept { mended, dropped, left_to_owners });
            }
            let mut found = self.find(&remainder, submission, only_shape);
            let caller = &submission.caller;
            let editor = caller.role == Role::Editor && !only_shape;
            if found.first.is_none() && editor {
                found.touches.by.clone_from(&caller.user);
            }
            // What an editor may set in `meta` is a template, where there is nothing: of two that begin at once one does.
            let begins = editor && found.touches.meta && submission.permit != Permit::TakenWhole;
            found.unclear |= begins && !self.batches.is_empty();
            if found.unclear {
                self.gate.revert(&remainder.receipt);
                return Err(SubmitError::NotNow);
            }
            let leaves = submission.permit != Permit::TakenWhole && !found.theirs.is_empty();
            if !leaves && found.forged.is_empty() {
                let mended = match found.first {
                    None => {
                        let at = begins.then_some(self.committed);
                        Some(Mended { at, ..Mended::as_it_was(remainder, found.touches) })
                    }
                    Some(reason) => self.mend(submission, (update, &foreign), remainder, (reason, found))?,
                };
                return Ok(Kept { mended, dropped, left_to_owners });
            }
            self.gate.revert(&remainder.receipt);
            foreign.extend(found.forged);
            if leaves {
                left_to_owners.extend(&found.theirs);
                foreign.extend(found.theirs);
            }
            admission = self.gate.admit_rewritten(update, &foreign, &self.rewrites())?;
        }
        admission.remainder.iter().for_each(|remainder| self.gate.revert(&remainder.receipt));
        Err(SubmitError::Broken(Reason::TooMany))
    }

    /// Has the gate admit anew what breaks a rule, and what the server sets behind it. Nothing if nothing is left.
    fn mend(
        &mut self,
        submission: &Submission,
        (update, foreign): (&ParsedUpdate<'_>, &[ClientId]),
        remainder: Remainder,
        (reason, mut found): (Reason, Findings),
    ) -> Result<Option<Mended>, SubmitError> {
        let (by, now_ms) = (Offender::of(submission), submission.admitted_ms);
        let refused = if submission.permit == Permit::TakenWhole {
            Some(SubmitError::Broken(reason))
        } else if !self.rules.offences.may(&by, now_ms) {
            Some(SubmitError::TooOften)
        } else {
            None
        };
        if let Some(error) = refused {
            self.gate.revert(&remainder.receipt);
            return Err(error);
        }
        let touches = std::mem::take(&mut found.touches);
        let offence = self.offence(&remainder, found);
        self.gate.revert(&remainder.receipt);
        if offence.needs_former() && !self.batches.is_empty() {
            return Err(SubmitError::NotNow);
        }
        let Plan { rewrite, compensation, at, is_beyond } = self.plan(offence);
        let bytes = compensation.as_ref().map_or(0, Vec::len);
        let Some(remainder) = self.gate.admit_rewritten(update, foreign, &rewrite)?.remainder else {
            self.rules.offences.note(by, now_ms, bytes);
            return Ok(None); // all that it does is kept from being done
        };
        let mut restored = None;
        if let Some(compensation) = compensation {
            restored = self.restore(&compensation);
            if restored.is_none() {
                self.gate.revert(&remainder.receipt);
                return Err(SubmitError::Broken(Reason::TooMany));
            }
        }
        self.rules.offences.note(by, now_ms, bytes);
        let broken = Some(if is_beyond { Reason::TooMany } else { reason });
        Ok(Some(Mended { remainder, restored, broken, at, touches }))
    }

    /// Asks the rules about every act, as long as the answer matters.
    fn find(&self, admitted: &Remainder, submission: &Submission, only_shape: bool) -> Findings {
        let caller = &submission.caller;
        let who = Who { role: caller.role, user: caller.user.as_deref(), only_shape };
        let transaction = self.document.doc().transact();
        let before = Now {
            committed: rules::Document::new(&transaction),
            rules: &self.rules,
            user: who.user,
            still: self.batches.is_empty(),
        };
        let mut found = Findings::default();
        let mut seeds: Vec<Seed> = admitted.receipt.blocks.iter().filter_map(Seed::of).collect();
        let shown = self.gate.acts_while(admitted, |act| {
            found.touches.note(act);
            if let Some(seed) = seeds.iter_mut().find(|seed| seed.template.client() == act.client) {
                seed.note(act, &who);
            }
            match judge(act, &who, &before) {
                Verdict::Allowed => {}
                Verdict::Unclear => found.unclear = true,
                Verdict::Broken(reason) => {
                    found.note(act, reason, |root, key| before.committed.holds(root, key));
                    let owner = act.is_block().then(|| self.authors.owners.owner(act.client)).flatten();
                    if owner.is_some_and(|owner| Some(&owner) != caller.user.as_ref()) && !only_shape {
                        found.theirs.insert(act.client);
                    }
                }
            }
            !found.unclear
        });
        debug_assert!(shown.is_ok(), "the gate has written it");
        found.forged.extend(seeds.iter().filter(|seed| seed.left > 0).map(|seed| seed.template.client()));
        found
    }
}

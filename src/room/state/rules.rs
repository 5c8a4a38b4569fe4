//! The rules of a board where they meet the gate: what of an update breaks one, what becomes of it, and what the server
//! writes behind it. `board::rules` has the rules.
//!
//! Invariants:
//! - What breaks a rule is stored without its content, in its place, and where a key had a value that value is set again
//!   behind it, in the same batch: nobody is shown the one without the other.
//! - What is set again is what the log has there: it is judged with nothing under way, and stored right behind the
//!   position at which it was judged, or not at all.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use yrs::Transact;

use super::{State, Submission, SubmitError};
use crate::board::rules::restore::{Restore, compensation, former};
use crate::board::rules::{self, Before, Card, Reason, Verdict, Who, judge};
use crate::board::schema::{ITEMS, META};
use crate::caller::{Role, UserId};
use crate::gate::{Act, Content, ParsedUpdate, Remainder, Rewrite, Source, Where};
use crate::ids::{ClientId, InstanceId, Position};
use crate::limits::{BOARD_BROKEN_MAX, BOARD_RESTORED_BYTES_MAX, CLIENT_ID_MAX};
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
}

/// What is under way to one card.
struct UnderWay {
    /// The newest batch that does something to it.
    batch: u64,
    /// The editor whose doing all of it is, and who may: whatever becomes of it, the card is nobody else's.
    by: Option<UserId>,
}

/// What an update does that rules may have to know of it while it is under way.
#[derive(Debug, Default)]
pub(super) struct Touches {
    cards: Vec<Box<str>>,
    meta: bool,
    /// The editor who does it, and may.
    pub(super) by: Option<UserId>,
    /// Cards that it sets, each with the last id of the block.
    pub(super) sets: Vec<(Box<str>, (ClientId, u32))>,
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
        Self { client, cards: HashMap::new(), meta: 0, committed: 0 }
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

/// What the rules say of an update.
#[derive(Default)]
struct Findings {
    /// Places under keys of the board where something breaks a rule.
    keys: HashSet<Where>,
    /// Other blocks that do.
    garbage: Vec<(ClientId, u32, u32)>,
    /// Acts that do.
    count: usize,
    first: Option<Reason>,
    unclear: bool,
    touches: Touches,
}

/// What becomes of an update that breaks a rule.
struct Plan {
    rewrite: Rewrite,
    restores: Vec<Restore>,
    /// The position for which this is so; `None`: for any.
    at: Option<Position>,
}

/// What an update does under one key.
struct Key {
    root: String,
    levels: Vec<Option<String>>,
    /// The map came with the update: there was nothing.
    in_new: bool,
    /// The last ids of its blocks, and those that it deletes.
    ends: HashSet<(ClientId, u32)>,
    /// What its blocks stand behind.
    origins: HashSet<(ClientId, u32)>,
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

    /// Has an update keep the rules, which the gate has admitted just now. On an error the admission is taken back.
    ///
    /// # Errors
    /// [`SubmitError::NotNow`], [`SubmitError::Broken`], and what the gate says.
    pub(super) fn keep_rules(
        &mut self,
        submission: &Submission,
        (update, foreign): (&ParsedUpdate<'_>, &[ClientId]),
        remainder: Remainder,
        only_shape: bool,
    ) -> Result<Mended, SubmitError> {
        if !self.is_board() {
            return Ok(Mended::as_it_was(remainder, Touches::default()));
        }
        let caller = &submission.caller;
        let who = Who { role: caller.role, user: caller.user.as_deref(), only_shape };
        let mut found = self.find(&remainder, &who);
        let editor = caller.role == Role::Editor && !only_shape;
        if found.first.is_none() && editor {
            found.touches.by.clone_from(&caller.user);
        }
        // What an editor may set in `meta` is a template, where there is nothing: of two that begin at once one does.
        let begins = editor && found.touches.meta && submission.permit != Permit::TakenWhole;
        found.unclear |= begins && !self.drafts.is_empty();
        let Some(reason) = found.first.filter(|_| !found.unclear) else {
            if found.unclear {
                self.gate.revert(&remainder.receipt);
                return Err(SubmitError::NotNow);
            }
            let at = begins.then_some(self.committed);
            return Ok(Mended { at, ..Mended::as_it_was(remainder, found.touches) });
        };
        let planned = if submission.permit == Permit::TakenWhole {
            Err(SubmitError::Broken(reason))
        } else if found.count > BOARD_BROKEN_MAX {
            Err(SubmitError::Broken(Reason::TooMany))
        } else {
            self.plan(&remainder, &found)
        };
        self.gate.revert(&remainder.receipt);
        let Plan { rewrite, restores, at } = planned?;
        let admission = self.gate.admit_rewritten(update, foreign, &rewrite)?;
        let remainder = admission.remainder.ok_or(SubmitError::Broken(reason))?;
        let mut restored = None;
        if !restores.is_empty() {
            match self.restore(&restores) {
                Some(remainder) => restored = Some(remainder),
                None => {
                    self.gate.revert(&remainder.receipt);
                    return Err(SubmitError::Broken(Reason::TooMany));
                }
            }
        }
        Ok(Mended { remainder, restored, broken: Some(reason), at, touches: found.touches })
    }

    /// Asks the rules about every act.
    fn find(&self, admitted: &Remainder, who: &Who<'_>) -> Findings {
        let transaction = self.document.doc().transact();
        let before = Now {
            committed: rules::Document::new(&transaction),
            rules: &self.rules,
            user: who.user,
            still: self.drafts.is_empty(),
        };
        let mut found = Findings::default();
        let shown = self.gate.acts(admitted, |act| {
            found.touches.note(act);
            match judge(act, who, &before) {
                Verdict::Allowed => {}
                Verdict::Unclear => found.unclear = true,
                Verdict::Broken(reason) => found.note(act, reason),
            }
        });
        debug_assert!(shown.is_ok(), "the gate has written it");
        found
    }

    /// What is to become of the blocks of an update, and what is to be set again.
    fn plan(&self, admitted: &Remainder, found: &Findings) -> Result<Plan, SubmitError> {
        let mut deleted = Vec::new();
        let mut keys: HashMap<Where, Key> = HashMap::new();
        let shown = self.gate.acts(admitted, |act| {
            if !found.keys.contains(&act.at) {
                return;
            }
            let key = keys.entry(act.at).or_insert_with(|| Key::of(act));
            key.ends.insert((act.client, act.clocks.1 - 1));
            key.origins.extend(act.origin);
            if act.is_block() {
                deleted.push((act.client, act.clocks.0, act.clocks.1));
            }
        });
        debug_assert!(shown.is_ok(), "the gate has written it");
        let had: Vec<Key> = keys.into_values().filter(|key| !key.in_new).collect();
        if !had.is_empty() && !self.drafts.is_empty() {
            return Err(SubmitError::NotNow);
        }
        // Also where there was nothing: what others set meanwhile may stand before what has lost its content.
        let at = (!had.is_empty()).then_some(self.committed);
        let rewrite = Rewrite::new(deleted, found.garbage.iter().copied()).telling_garbage();
        Ok(Plan { rewrite, restores: self.restores(had), at })
    }

    /// What keys have had, as it is committed; in the order of their names.
    fn restores(&self, mut keys: Vec<Key>) -> Vec<Restore> {
        keys.sort_by(|a, b| (&a.root, &a.levels).cmp(&(&b.root, &b.levels)));
        let transaction = self.document.doc().transact();
        let mut restores = Vec::new();
        let mut whole: HashSet<(String, Option<String>)> = HashSet::new();
        for key in keys {
            let card = (key.root, key.levels.first().cloned().flatten());
            // What is set again as a whole has its fields.
            if whole.contains(&card) {
                continue;
            }
            let levels: Vec<Option<&str>> = key.levels.iter().map(Option::as_deref).collect();
            let Some(value) = former(&transaction, &card.0, &levels) else { continue };
            let mut behind: Vec<_> = key.ends.difference(&key.origins).copied().collect();
            behind.sort_unstable();
            restores.push(Restore { behind, value });
            if levels.len() == 1 {
                whole.insert(card);
            }
        }
        restores
    }

    /// Takes in what the server sets again. Nothing if that is too much.
    fn restore(&mut self, restores: &[Restore]) -> Option<Remainder> {
        let client = self.rules.client;
        let update = compensation((client, self.gate.known(client)), restores);
        if update.len() > BOARD_RESTORED_BYTES_MAX {
            return None;
        }
        let admission = self.gate.admit(&update, Source::Record).ok()?;
        let remainder = admission.remainder?;
        if admission.dropped.is_gap() {
            self.gate.revert(&remainder.receipt);
            return None;
        }
        Some(remainder)
    }
}

impl Touches {
    /// That of one card, whoever does it.
    pub(super) fn of_card(id: &str) -> Self {
        Self { cards: vec![Box::from(id)], ..Self::default() }
    }

    pub(super) fn note(&mut self, act: &Act<'_>) {
        if let (ITEMS, Some([Some(id)])) = (act.place.root, act.place.keys())
            && act.is_block()
            && act.content != Content::Deleted
        {
            self.sets.push((Box::from(*id), (act.client, act.clocks.1 - 1)));
        }
        match (act.place.root, act.place.keys().unwrap_or_default()) {
            (META, _) => self.meta = true,
            (ITEMS, [Some(id)] | [Some(id), Some("author")])
                if self.cards.last().is_none_or(|last| **last != **id) =>
            {
                self.cards.push(Box::from(*id));
            }
            _ => {}
        }
    }
}

impl Findings {
    fn note(&mut self, act: &Act<'_>, reason: Reason) {
        self.first.get_or_insert(reason);
        self.count += 1;
        let is_key = act.place.keys().is_some_and(|keys| keys.last().is_some_and(Option::is_some));
        if is_key && rules::is_root(act.place.root) {
            self.keys.insert(act.at);
        } else if act.is_block() {
            self.garbage.push((act.client, act.clocks.0, act.clocks.1));
        }
    }
}

impl Key {
    fn of(act: &Act<'_>) -> Self {
        let levels = act.place.keys().unwrap_or_default();
        Self {
            root: act.place.root.to_owned(),
            levels: levels.iter().map(|level| level.map(str::to_owned)).collect(),
            in_new: act.in_new,
            ends: HashSet::new(),
            origins: HashSet::new(),
        }
    }
}

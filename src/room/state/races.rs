//! Cards that somebody has made or signed on another instance, and that an edit under way here sets, or signs, without
//! knowing of it: whether that is allowed was judged before the record was here, and the edit may be stored by now. So it
//! stands, and once it is committed the server sets the card, or its author, again behind it, as behind what breaks a rule.
//!
//! To store all new cards at one position only would exclude it, and cost every card an append of its own.

use std::collections::{HashMap, HashSet};

use yrs::Transact;

use super::rules::{Set, Touches};
use super::{Broken, State, Submission};
use crate::board::rules::restore::{Compensation, Former, Restore, former};
use crate::board::rules::{self, Before, Card, Reason};
use crate::board::schema::ITEMS;
use crate::caller::UserId;
use crate::gate::{Remainder, Source};
use crate::ids::SessionId;
use crate::limits::BOARD_RESTORED_BYTES_MAX;
use crate::log::record::{Kind, Metadata, Record};
use crate::room::fan_out::Author;

/// A card that an editor sets or signs, and that was not somebody else's when it was judged.
#[derive(Debug, Clone)]
pub(super) struct CardSet {
    set: Set,
    by: UserId,
    session: SessionId,
    ordinal: u64,
    admitted_ms: u64,
}

impl CardSet {
    /// Those of an update; none if its sender may set any card.
    pub(super) fn all(touches: &Touches, of: &Submission) -> Vec<Self> {
        let Some(by) = &touches.by else { return Vec::new() };
        let set = |set: &Set| Self {
            set: set.clone(),
            by: by.clone(),
            session: of.session,
            ordinal: of.ordinal,
            admitted_ms: of.admitted_ms,
        };
        touches.sets.iter().map(set).collect()
    }
}

/// The cards of others that something under way sets.
#[derive(Debug, Default)]
pub(super) struct Races {
    open: Vec<Race>,
}

#[derive(Debug)]
struct Race {
    /// The batch that has the edit.
    batch: u64,
    of: CardSet,
    /// What the card, or its author, was before it, and whose the card.
    value: Former,
    author: UserId,
}

impl State {
    /// Others have stored something of these cards.
    pub(super) fn note_races(&mut self, touches: &Touches) {
        let found = self.races_with(touches);
        if !found.is_empty() {
            let again: HashSet<_> = found.iter().map(|race| race.of.set.last).collect();
            self.races.open.retain(|race| !again.contains(&race.of.set.last));
            self.races.open.extend(found);
        }
    }

    fn races_with(&self, touches: &Touches) -> Vec<Race> {
        let mut cards = self.rules.under_way(touches).peekable();
        if cards.peek().is_none() {
            return Vec::new();
        }
        let mut sets: HashMap<&str, Vec<(u64, &CardSet)>> = HashMap::new();
        for batch in &self.batches {
            for of in &batch.sets {
                sets.entry(&*of.set.card).or_default().push((batch.number, of));
            }
        }
        let (transaction, marks) = (self.document.doc().transact(), self.marks());
        let mut found = Vec::new();
        for card in cards {
            let Card::Of(author) = rules::Document::new(&transaction).card(card) else { continue };
            let theirs = sets.get(card).into_iter().flatten().filter(|(_, of)| *of.by != *author);
            for &(batch, of) in theirs {
                let keys = [Some(card), of.set.signs.then_some("author")];
                let keys = &keys[..1 + usize::from(of.set.signs)];
                let Some(value) = former(&transaction, ITEMS, keys, &marks) else { continue };
                found.push(Race { batch, of: of.clone(), value, author: UserId::from(&*author) });
            }
        }
        found
    }

    /// A batch is committed: what of it has taken a card of somebody else is to be told, and the card is set again in the
    /// next batch.
    pub(super) fn end_races(&mut self, batch: u64) -> Vec<Broken> {
        if self.races.open.is_empty() {
            return Vec::new();
        }
        // What was in older batches was dropped.
        let decided: Vec<Race> = self.races.open.extract_if(.., |race| race.batch <= batch).collect();
        let transaction = self.document.doc().transact();
        let board = rules::Document::new(&transaction);
        let is_lost = |race: &Race| match board.card(&race.of.set.card) {
            Card::Of(author) => *author != *race.author,
            _ => true,
        };
        let lost: Vec<Race> =
            decided.into_iter().filter(|race| race.batch == batch && is_lost(race)).collect();
        drop(transaction);
        lost.into_iter().filter_map(|race| self.set_again(race)).collect()
    }

    /// Nothing if it is too much to be set again.
    fn set_again(&mut self, Race { of, value, .. }: Race) -> Option<Broken> {
        let CardSet { set, by, session, ordinal, admitted_ms } = of;
        let client = self.rules.client();
        let restore = Restore { behind: vec![set.last], value };
        let mut compensation = Compensation::new((client, self.gate.known(client)), BOARD_RESTORED_BYTES_MAX);
        let update = compensation.put(&restore).then(|| compensation.finish()).flatten()?;
        let admission = self.gate.admit(&update, Source::Record).ok()?;
        let Remainder { update, receipt, steps, .. } = admission.remainder?;
        let number = self.open_batch(update.len());
        let metadata =
            Metadata { relayed_by: Some(by.to_string()), ..self.own_metadata(number, admitted_ms) };
        let record = match Record::new(Kind::Compensation, &metadata, &update) {
            Ok(record) => record,
            Err(_) => {
                self.gate.revert(&receipt);
                self.drop_empty_batch();
                return None;
            }
        };
        if let Some(batch) = self.batches.back_mut() {
            batch.bytes += record.encoded.len();
            batch.steps += steps;
            batch.records.push(record);
            batch.receipts.push(receipt);
            batch.author = Author::Several;
        }
        self.rules.note(Touches::of_card(&set.card), number);
        let reason = if set.signs { Reason::OthersSignature } else { Reason::OthersCard };
        Some((session, ordinal, reason))
    }
}

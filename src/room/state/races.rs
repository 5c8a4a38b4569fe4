//! Cards that somebody has made on another instance, and that an edit under way here sets without knowing of it: whether
//! that is allowed was judged before the record was here, and the edit may be stored by now. So it stands, and once it
//! is committed the server sets the card again behind it, as behind what breaks a rule.
//!
//! To store all new cards at one position only would exclude it, and cost every card an append of its own.

use yrs::Transact;

use super::rules::Touches;
use super::{Broken, State, Submission};
use crate::board::rules::restore::{Compensation, Former, Restore, former};
use crate::board::rules::{self, Before, Card, Reason};
use crate::board::schema::ITEMS;
use crate::caller::UserId;
use crate::gate::{Remainder, Source};
use crate::ids::{ClientId, SessionId};
use crate::limits::BOARD_RESTORED_BYTES_MAX;
use crate::log::record::{Kind, Metadata, Record};
use crate::room::fan_out::Author;

/// A card that an editor sets, and that was not somebody else's when it was judged.
#[derive(Debug, Clone)]
pub(super) struct CardSet {
    card: Box<str>,
    /// The last id of the block.
    last: (ClientId, u32),
    by: UserId,
    session: SessionId,
    ordinal: u64,
    admitted_ms: u64,
}

impl CardSet {
    /// Those of an update; none if its sender may set any card.
    pub(super) fn all(touches: &Touches, of: &Submission) -> Vec<Self> {
        let Some(by) = &touches.by else { return Vec::new() };
        let set = |(card, last): &(Box<str>, (ClientId, u32))| Self {
            card: card.clone(),
            last: *last,
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
    set: CardSet,
    /// What the card was before it, and whose.
    value: Former,
    author: UserId,
}

impl State {
    /// Others have stored something of these cards.
    pub(super) fn note_races(&mut self, touches: &Touches) {
        for card in self.rules.under_way(touches) {
            let sets = self.drafts.iter().flat_map(|draft| draft.sets.iter().map(|set| (draft.number, set)));
            let sets: Vec<_> = sets.filter(|(_, set)| *set.card == *card).collect();
            let transaction = self.document.doc().transact();
            let Card::Of(author) = rules::Document::new(&transaction).card(card) else { continue };
            let Some(value) = former(&transaction, ITEMS, &[Some(card)], &self.marks()) else { continue };
            let theirs = sets.into_iter().filter(|(_, set)| *set.by != *author);
            for (batch, set) in theirs {
                self.races.open.retain(|race| race.set.last != set.last);
                let (set, value, author) = (set.clone(), value.clone(), UserId::from(&*author));
                self.races.open.push(Race { batch, set, value, author });
            }
        }
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
        let is_lost = |race: &Race| match board.card(&race.set.card) {
            Card::Of(author) => *author != *race.author,
            _ => true,
        };
        let lost: Vec<Race> =
            decided.into_iter().filter(|race| race.batch == batch && is_lost(race)).collect();
        drop(transaction);
        lost.into_iter().filter_map(|race| self.set_again(race)).collect()
    }

    /// Nothing if it is too much to be set again.
    fn set_again(&mut self, Race { set, value, .. }: Race) -> Option<Broken> {
        let client = self.rules.client();
        let restore = Restore { behind: vec![set.last], value };
        let mut compensation = Compensation::new((client, self.gate.known(client)), BOARD_RESTORED_BYTES_MAX);
        let update = compensation.put(&restore).then(|| compensation.finish()).flatten()?;
        let admission = self.gate.admit(&update, Source::Record).ok()?;
        let Remainder { update, receipt, steps, .. } = admission.remainder?;
        let number = self.open_draft(update.len());
        let offender = Some(set.by.to_string());
        let metadata = Metadata { relayed_by: offender, ..self.own_metadata(number, set.admitted_ms) };
        let record = match Record::new(Kind::Compensation, &metadata, &update) {
            Ok(record) => record,
            Err(_) => {
                self.gate.revert(&receipt);
                self.drop_empty_draft();
                return None;
            }
        };
        if let Some(draft) = self.drafts.back_mut() {
            draft.bytes += record.encoded.len();
            draft.steps += steps;
            draft.records.push(record);
            draft.receipts.push(receipt);
            draft.author = Author::Several;
        }
        self.rules.note(Touches::of_card(&set.card), number);
        Some((set.session, set.ordinal, Reason::OthersCard))
    }
}

//! What a Hocuspocus client counts: its `unsyncedChanges`, from here.
//!
//! The provider sets its counter to 1 with each Step1, adds 1 for each Update that it makes, and takes 1 off for each
//! message that it is told is stored. Told of every message it would get below the truth: edits made offline are in its
//! Step2, and come once more each by itself, from a queue, after the counter was set to 1; what is on its way when a
//! Step1 is sent is not counted any more; an answer to a question of ours was never counted. So it is told of what it
//! counts and of nothing else, and says 0 when all of it is stored
//! (`docs/decisions/0016-what-hocuspocus-counts.md`).
//! Source: `HocuspocusProvider.ts`, `HocuspocusProviderWebsocket.ts` of 2.15, 3.4 and 4.8.

use std::collections::VecDeque;

use crate::gate::{self, Source, StateVector};
use crate::limits::UPDATE_BYTES_MAX;

/// Which messages one client waits to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counter {
    /// Their numbers, in order.
    owed: VecDeque<u64>,
    /// The 1 of the newest Step1: the Step2 that comes next pays for it.
    step2_due: bool,
    /// What the client had then. Updates of that come from its queue.
    had: Option<StateVector>,
    /// The counter never falls below zero, as from version 4 on. Version 2's does.
    stops_at_zero: bool,
    held: Held,
}

/// Whether something that was sent is not here, though it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    /// Something was missing before it; the answer to a question of ours will bring it.
    UntilAnswer,
    /// The answer has this number.
    Until(u64),
}

impl Counter {
    pub(super) fn new(stops_at_zero: bool) -> Self {
        Self { owed: VecDeque::new(), step2_due: false, had: None, stops_at_zero, held: Held::No }
    }

    /// The client begins to count anew.
    pub(super) fn on_step1(&mut self, state_vector: &[u8]) {
        self.owed.clear();
        self.step2_due = true;
        self.had = gate::parse_state_vector(state_vector).ok();
    }

    /// Update number `ordinal`.
    pub(super) fn on_update(&mut self, ordinal: u64, update: &[u8]) {
        if !self.was_made_before(update) {
            self.owed.push_back(ordinal);
        }
    }

    /// Step2 number `ordinal`, and whether we have asked for one.
    pub(super) fn on_step2(&mut self, ordinal: u64, asked: bool) {
        self.had = None;
        if asked && self.held == Held::UntilAnswer {
            self.held = Held::Until(ordinal);
        }
        if std::mem::take(&mut self.step2_due) || !asked {
            self.owed.push_back(ordinal);
        }
    }

    /// How many messages the client waits to be told of.
    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }

    /// Something that the client has sent builds on what is not here.
    pub(super) fn on_gap(&mut self) {
        self.held = Held::UntilAnswer;
    }

    /// All messages up to number `decided` are decided: those to tell of, in order.
    pub(super) fn settle(&mut self, decided: u64) -> Vec<u64> {
        match self.held {
            Held::UntilAnswer => return Vec::new(),
            Held::Until(answer) if decided < answer => return Vec::new(),
            Held::Until(_) | Held::No => self.held = Held::No,
        }
        let end = self.owed.partition_point(|ordinal| *ordinal <= decided);
        self.owed.drain(..end).collect()
    }

    /// Whether an Update was made before the newest Step1, whose Step2 has not come. What only deletes does not tell;
    /// it is taken for one from the queue unless being told too often does no harm.
    fn was_made_before(&self, update: &[u8]) -> bool {
        let Some(had) = &self.had else { return false };
        // What is larger is a whole document, and no keystroke from the queue; to read it here would take long.
        if update.len() > UPDATE_BYTES_MAX {
            return false;
        }
        let Ok(parsed) = gate::parse_update(update, Source::Step2) else { return false };
        let mut parts = parsed.parts().peekable();
        if parts.peek().is_none() {
            return !self.stops_at_zero && parsed.withheld().dropped.unknown_deletes > 0;
        }
        parts.all(|part| part.clocks.1 <= had.get(part.client))
    }
}

#[cfg(test)]
mod tests {
    use yrs::updates::encoder::Encode;
    use yrs::{Doc, ReadTxn, StateVector as Vector, Text, Transact};

    use super::*;

    const NOTHING: &[u8] = &[0];
    const EMPTY: &[u8] = &[0, 0];

    /// A provider's counter, and what is on its way to it.
    struct Client {
        doc: Doc,
        counter: i64,
        stops_at_zero: bool,
    }

    impl Client {
        fn new(stops_at_zero: bool) -> Self {
            Self { doc: Doc::with_client_id(7), counter: 0, stops_at_zero }
        }

        fn types(&mut self) -> Vec<u8> {
            self.counter += 1;
            let text = self.doc.get_or_insert_text("t");
            let mut transaction = self.doc.transact_mut();
            text.push(&mut transaction, "x");
            transaction.encode_update_v1()
        }

        fn deletes(&mut self) -> Vec<u8> {
            self.counter += 1;
            let text = self.doc.get_or_insert_text("t");
            let mut transaction = self.doc.transact_mut();
            text.remove_range(&mut transaction, 0, 1);
            transaction.encode_update_v1()
        }

        fn step1(&mut self) -> Vec<u8> {
            self.counter = 1;
            self.doc.transact().state_vector().encode_v1()
        }

        fn step2(&self) -> Vec<u8> {
            self.doc.transact().encode_state_as_update_v1(&Vector::default())
        }

        fn told(&mut self, ordinals: &[u64]) {
            self.counter -= i64::try_from(ordinals.len()).expect("few");
            if self.stops_at_zero {
                self.counter = self.counter.max(0);
            }
        }
    }

    fn pair(stops_at_zero: bool) -> (Client, Counter) {
        (Client::new(stops_at_zero), Counter::new(stops_at_zero))
    }

    /// [W27] Who is online is told of each message once it is decided, of empty ones too.
    #[test]
    fn each_message_is_told_of_once() {
        let (mut client, mut counter) = pair(false);
        counter.on_step1(&client.step1());
        counter.on_step2(1, true);
        let edit = client.types();
        counter.on_update(2, &edit);
        counter.on_update(3, &edit);
        counter.on_update(4, EMPTY);
        counter.on_step2(5, false);
        assert_eq!(counter.settle(1), [1]);
        assert_eq!(counter.settle(1), [0; 0]);
        assert_eq!(counter.settle(5), [2, 3, 4, 5]);
    }

    /// [W27] Edits made offline come in the Step2 and once more each by itself. The counter is 1 then, and 0 when the
    /// Step2 is stored, also where it could fall below.
    #[test]
    fn edits_from_the_queue_are_in_the_step2() {
        for stops_at_zero in [false, true] {
            let (mut client, mut counter) = pair(stops_at_zero);
            let queued = [client.types(), client.types(), client.deletes()];
            counter.on_step1(&client.step1());
            for (ordinal, update) in (1..).zip(&queued) {
                counter.on_update(ordinal, update);
            }
            let live = client.types();
            counter.on_update(4, &live);
            assert!(!client.step2().is_empty());
            counter.on_step2(5, true);
            assert_eq!(client.counter, 2);
            if !stops_at_zero {
                client.told(&counter.settle(3));
                assert_eq!(client.counter, 2, "the Step2 and the live edit are not stored");
            }
            client.told(&counter.settle(5));
            assert_eq!(client.counter, 0);
        }
    }

    /// [W27] A Step1 in the middle sets the counter to 1; what was on its way is not told of.
    #[test]
    fn a_new_step1_makes_the_count_begin_anew() {
        let (mut client, mut counter) = pair(false);
        let early = client.types();
        counter.on_update(1, &early);
        counter.on_step1(&client.step1());
        counter.on_step2(2, true);
        client.told(&counter.settle(2));
        assert_eq!(client.counter, 0);
        let edits = [client.types(), client.types()];
        (3..).zip(&edits).for_each(|(ordinal, update)| counter.on_update(ordinal, update));
        counter.on_step1(&client.step1());
        counter.on_step2(5, true);
        client.told(&counter.settle(4));
        assert_eq!(client.counter, 1, "the Step2 is not stored");
        client.told(&counter.settle(5));
        assert_eq!(client.counter, 0);
    }

    /// [W27] What builds on something missing is told of when the answer that brings it is stored; the answer itself
    /// was asked for, and never counted.
    #[test]
    fn a_gap_is_stored_by_the_answer() {
        let (mut client, mut counter) = pair(false);
        counter.on_step1(NOTHING);
        client.step1();
        counter.on_step2(1, true);
        client.told(&counter.settle(1));
        let edit = client.types();
        counter.on_update(2, &edit);
        counter.on_gap();
        client.told(&counter.settle(2));
        assert_eq!(client.counter, 1);
        counter.on_step2(3, true);
        client.told(&counter.settle(2));
        assert_eq!(client.counter, 1);
        client.told(&counter.settle(3));
        assert_eq!(client.counter, 0);
        let edit = client.types();
        counter.on_update(4, &edit);
        client.told(&counter.settle(4));
        assert_eq!(client.counter, 0);
    }
}

//! Batches before they are committed: the newest one grows until it is sent, and is frozen then.

use std::collections::HashMap;

use super::races::CardSet;
use super::{Broken, State};
use crate::caller::UserId;
use crate::gate::Receipt;
use crate::ids::{ClientId, Position, SessionId};
use crate::limits::{BATCH_BYTES_MAX, BATCH_UPDATES_MAX};
use crate::log::record::Record;
use crate::room::fan_out::Author;

/// A batch before it is committed.
pub(super) struct PendingBatch {
    pub(super) number: u64,
    pub(super) records: Vec<Record>,
    pub(super) receipts: Vec<Receipt>,
    /// Client ids that its records claim, each with whose it is.
    pub(super) claims: Vec<(ClientId, UserId)>,
    pub(super) bytes: usize,
    /// Steps that integrating it can take.
    pub(super) steps: u64,
    pub(super) author: Author,
    /// It brings back what the store has lost.
    pub(super) heals: bool,
    /// It brings another life of the room: its first record, so nothing was in flight before it.
    pub(super) revives: bool,
    /// It is stored right behind this position, or not at all: it is alone, and nothing is judged while it is under way.
    pub(super) at: Option<Position>,
    /// Per session: how many of its messages are decided once this batch is.
    pub(super) acks: HashMap<SessionId, u64>,
    /// Messages of which something breaks a rule of the board, and is stored without its content.
    pub(super) broken: Vec<Broken>,
    /// Cards that editors set.
    pub(super) sets: Vec<CardSet>,
    /// Inflow units to give back.
    pub(super) cost: u32,
}

impl PendingBatch {
    /// An empty batch.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            records: Vec::new(),
            receipts: Vec::new(),
            claims: Vec::new(),
            bytes: 0,
            steps: 0,
            author: Author::Nobody,
            heals: false,
            revives: false,
            at: None,
            acks: HashMap::new(),
            broken: Vec::new(),
            sets: Vec::new(),
            cost: 0,
        }
    }

    /// Whether more may be put into it.
    pub(super) fn is_open(&self) -> bool {
        !self.heals
    }
}

impl State {
    /// Makes sure that the last batch takes `bytes` more; returns its number.
    pub(super) fn open_batch(&mut self, bytes: usize) -> u64 {
        let first_open = usize::from(self.in_flight);
        let fits = self.batches.len() > first_open
            && self.batches.back().is_some_and(|batch| {
                batch.is_open()
                    && batch.records.len() < BATCH_UPDATES_MAX
                    && batch.bytes + bytes <= BATCH_BYTES_MAX
            });
        if !fits {
            self.newest_batch += 1;
            self.batches.push_back(PendingBatch::new(self.newest_batch));
        }
        self.batches.back().map_or(self.newest_batch, |batch| batch.number)
    }

    /// What [`State::open_batch`] has opened was not used.
    pub(super) fn drop_empty_batch(&mut self) {
        if self.batches.back().is_some_and(|batch| batch.records.is_empty()) {
            self.batches.pop_back();
        }
    }
}

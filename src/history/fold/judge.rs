//! What the gate says to a record of the log, and what of it is to be folded.

use std::sync::Arc;

use super::{Fold, OnTrouble, SetAside};
use crate::gate::{self, Dropped, Gathered, Source, UnderWay};
use crate::history::folding::Unfolded;
use crate::ids::Position;
use crate::log::record::{Metadata, Record, StoredRecord};

impl Fold {
    pub(super) fn trouble(&mut self, record: SetAside) {
        match self.on_trouble {
            OnTrouble::SetAside => self.set_aside.push(record),
            OnTrouble::Stop => {
                self.stopped.get_or_insert(record);
            }
        }
    }

    /// Takes a record into the gate, and adds what is new of it to what is to be folded.
    pub(super) fn admit(&mut self, stored: &StoredRecord, gathered: &mut Gathered) -> Admitted {
        let position = stored.position();
        if self.stopped.is_some() {
            return Admitted::Stopped;
        }
        assert!(self.last.seq < position.seq, "record {position} comes after {}", self.last);
        let (record, metadata, dropped) = match self.judge(stored, gathered) {
            Ok(judged) => judged,
            Err(why) => {
                self.pass(SetAside { position, why });
                return if self.stopped.is_some() { Admitted::Stopped } else { Admitted::Trouble };
            }
        };
        let Some(dropped) = dropped else {
            self.count(position, record);
            return Admitted::PassedOver;
        };
        if dropped.is_gap() {
            // What is complete of it stays in; the rest needs a record that is not there.
            self.trouble(SetAside::in_part(position));
            if self.stopped.is_some() {
                return Admitted::Stopped;
            }
        }
        self.count(position, record);
        if let Some(metadata) = metadata {
            self.kind = self.kind.and(record.kind(), metadata.room_kind);
            if let Some(user) = &metadata.user {
                self.wrote.note(user, record.kind(), position.ms);
            }
            self.note_claims(metadata);
        }
        if dropped.is_gap() { Admitted::Trouble } else { Admitted::Taken }
    }

    /// The fold stands behind this record now.
    fn count(&mut self, position: Position, record: &Record) {
        self.last = position;
        self.records += 1;
        self.log_bytes += record.encoded.len() as u64;
    }

    /// What the gate says to a record, and adds of it to what is to be folded; nothing if it is passed over. An error
    /// says what is wrong with it.
    fn judge<'r>(
        &mut self,
        stored: &'r StoredRecord,
        gathered: &mut Gathered,
    ) -> Result<(&'r Record, Option<Metadata>, Option<Dropped>), String> {
        let record = match stored {
            StoredRecord::Damaged { why, .. } => return Err(why.clone()),
            StoredRecord::Intact { record, .. } => record,
        };
        let refused = |refusal: gate::Refusal| refusal.to_string();
        let update = record.update();
        let update = gate::parse_update(&update, Source::Record).map_err(refused)?;
        let metadata = record.metadata().ok(); // decoding the record has shown that it can be read
        if let Some(metadata) = &metadata
            && self.apart.passes((record.kind(), metadata), &update, (&self.gate, &UnderWay::default()))
        {
            return Ok((record, None, None));
        }
        let whole = self.on_trouble == OnTrouble::Stop;
        let dropped = self.gate.gather(&update, gathered, whole).map_err(refused)?;
        Ok((record, metadata, Some(dropped)))
    }

    pub(super) fn leave_unfolded(&mut self, gathered: Gathered, position: Position) {
        let recorded = self.gate.end_gathering();
        if !gathered.is_empty() {
            let update = gathered.into_update();
            self.bytes += update.len();
            self.unfolded = Some(Unfolded { update, position, recorded });
        }
    }

    /// The first claim of an id counts.
    fn note_claims(&mut self, metadata: Metadata) {
        let Some(user) = metadata.user.filter(|_| !metadata.claims.is_empty()) else { return };
        let user: Arc<str> = user.into();
        for client in metadata.claims {
            self.claims.entry(client).or_insert_with(|| Arc::clone(&user));
        }
    }
}

/// What the gate said to one record.
pub(super) enum Admitted {
    Taken,
    PassedOver,
    /// It is set aside; what of it is complete is taken.
    Trouble,
    Stopped,
}

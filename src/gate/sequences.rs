//! How much lives in the sequences of a document: for who is about to copy one, and must know before how much it is.

use hashbrown::HashMap;

use super::Gate;
use super::index::{TypeNumber, What};
use super::read::Id;
use crate::ids::ClientId;

/// Of every sequence how many of its clocks are not deleted: text, formats and all else. Means something until the gate
/// admits or takes back anything.
#[derive(Debug, Clone, Default)]
pub struct Sequences(HashMap<TypeNumber, u64>);

impl Gate {
    /// Looks at everything once.
    #[must_use]
    pub fn sequences(&self) -> Sequences {
        Sequences(self.index.live_in_sequences())
    }

    /// How many clocks are not deleted in the sequence of the shared type that has this id.
    #[must_use]
    pub fn live_in(&self, sequences: &Sequences, (client, clock): (ClientId, u32)) -> u64 {
        match self.index.find(Id { client, clock }) {
            Some((_, What::Type(number))) => sequences.0.get(&number).copied().unwrap_or(0),
            _ => 0,
        }
    }
}

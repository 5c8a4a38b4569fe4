//! State vectors: the next clock of each client.

use super::parse::once_each;
use super::read::{Reader, put_number};
use super::refusal::Refusal;
use crate::ids::ClientId;
use crate::limits::CLIENTS_PER_DOCUMENT_MAX;

/// The next clock of each client of a document, sorted by client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateVector {
    entries: Vec<(ClientId, u32)>,
}

impl StateVector {
    /// From entries in any order; no client may come twice.
    pub(super) fn new(mut entries: Vec<(ClientId, u32)>) -> Self {
        entries.sort_unstable();
        Self { entries }
    }

    /// Clients with their next clocks, lowest client first.
    #[must_use]
    pub fn entries(&self) -> &[(ClientId, u32)] {
        &self.entries
    }

    /// The first clock of `client` that is not known; 0 if nothing of it is.
    #[must_use]
    pub fn get(&self, client: ClientId) -> u32 {
        match self.entries.binary_search_by_key(&client, |entry| entry.0) {
            Ok(at) => self.entries[at].1,
            Err(_) => 0,
        }
    }

    /// Whether no client has any block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.1 == 0)
    }

    /// Whether every block that `other` has is known here too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.entries.iter().all(|&(client, clock)| clock <= self.get(client))
    }

    /// The encoded form, highest client first as Yjs writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.entries.len() * 8);
        put_number(&mut out, self.entries.len() as u64);
        for &(client, clock) in self.entries.iter().rev() {
            put_number(&mut out, client);
            put_number(&mut out, u64::from(clock));
        }
        out
    }
}

/// Reads an encoded state vector. It may name more clients than a document may have: whoever comes
/// to a full room has an id too, and perhaps an older life of the room.
///
/// # Errors
/// The rule of form that is broken.
pub fn parse_state_vector(bytes: &[u8]) -> Result<StateVector, Refusal> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(2)?;
    if count as usize > CLIENTS_PER_DOCUMENT_MAX + CLIENTS_PER_DOCUMENT_MAX / 4 {
        return Err(Refusal::TooManyClients);
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push((reader.number()?, reader.clock()?));
    }
    reader.finish()?;
    once_each(entries.iter().map(|entry| entry.0))?;
    Ok(StateVector::new(entries))
}

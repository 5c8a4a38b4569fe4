//! Generations: whether a client's copy is of this life of the room.
//!
//! Each life of a room begins with a marker ([`Generation`]): one garbage-collected block that stands
//! in every state vector and full update. The room's *set* is the markers of its document; a copy
//! may come in if its markers are among them. So two lives of one name never mix, whatever a
//! browser has kept.
//!
//! Pure. The room asks here at each Step1 ([`Generations::greet`]) and at each update, before the gate
//! has judged it ([`Generations::judge`]) and after ([`Generations::check`]).
//!
//! Invariants:
//! - The set is a fold result: markers of the committed document, and of what is in flight behind it.
//! - A session may bring a marker only into a room that has nothing of its own ([`Generations::may_revive`]),
//!   and only as the block that it is. Nothing else that a client writes can become one.
//! - Looking for a marker costs a hash for each client id of more than 32 bits, and ends at the
//!   first that is not let in. Measured: 5.6 ms for the largest state vector with such ids only (81,920
//!   clients, a processor with SHA instructions), as long as it takes to read it; 4 us for one of
//!   60,000 markers.
//!
//! A marker is no secret and no signature: whoever knows a room's name can make one. It keeps honest
//! copies apart; it keeps nobody out.

use std::collections::BTreeMap;

use crate::gate::{ParsedUpdate, StateVector};
use crate::ids::{ClientId, Generation, MarkerIds, RoomName};
use crate::limits::{CLIENT_ID_MAX, GENERATION_NONCE_BITS, MARKER_CLIENT_MIN, MARKERS_PER_ROOM_MAX};
use crate::wire::close::{self, Close};

/// A marker of this room: id and length prove each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker {
    /// The client id under which it stands.
    pub client: ClientId,
    /// Its length, and so the client's clock.
    pub nonce: u32,
}

/// The markers of a session's copy that were not stored here when it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    markers: Vec<Marker>,
    /// Part of the room's log is damaged, and the copy has a marker of this life: the others were in
    /// what is lost. They may be brought back at any time, and nothing waits for them.
    heals: bool,
}

/// What one room knows of its lives.
pub struct Generations {
    ids: MarkerIds,
    /// The name has a tombstone: old lives of it are over for good.
    deleted: bool,
    /// Records of the room's log are set aside: markers may have been in them.
    damaged: bool,
    /// Of the committed document, by client.
    known: BTreeMap<ClientId, u32>,
    /// Brought by batches that are not stored yet.
    in_flight: BTreeMap<ClientId, u32>,
    /// The client id of the marker that the room gets if it is created from here. Nobody else may
    /// stand there before.
    reserved: Option<ClientId>,
    /// The committed document has a block that is no marker.
    has_content: bool,
}

/// What an update means for the room's set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brings {
    /// Nothing: it is of the room's own life.
    Nothing,
    /// These markers, which the room takes over. The room must be as it was judged then.
    Life(Vec<Marker>),
    /// These markers, which the room had before a record of it was damaged.
    Healing(Vec<Marker>),
    /// Its session has said that it holds a life that is not here, and this update does not bring
    /// that. Taken alone it would begin another life, so it has to wait.
    TooEarly,
}

/// Why a session has no place in this life of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerationError {
    /// Its copy is of another life.
    #[error("this copy is from another life of this room: reload without it, or save it as a new room")]
    OtherLife,
    /// The same may be true: it depends on what is being stored just now.
    #[error("someone else is writing to this room for the first time: please come back")]
    Undecided,
    /// More markers than a room has.
    #[error("this copy is from more lives of this room than are kept: save it as a new room")]
    TooMany,
    /// Blocks at or behind a marker that are not the marker.
    #[error("these blocks would pass for, or go on behind, the mark of this room's life")]
    Forged,
}

/// What became of a session that holds a life which was not here when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// Its life is the room's.
    Settled,
    /// It may still bring its life.
    Open,
    /// The room has another life now.
    Lost,
}

/// The markers of a room in a copy that has this state vector: the lives of it that the copy is of.
pub fn markers(room: &RoomName, state_vector: &StateVector) -> impl Iterator<Item = Marker> {
    let ids = MarkerIds::of(room);
    state_vector.entries().iter().filter_map(move |&(client, clock)| marker(&ids, client, clock))
}

fn marker(ids: &MarkerIds, client: ClientId, clock: u32) -> Option<Marker> {
    let possible = (MARKER_CLIENT_MIN..=CLIENT_ID_MAX).contains(&client)
        && (1..1 << GENERATION_NONCE_BITS).contains(&clock);
    let proven = possible && ids.client(Generation { nonce: clock }) == client;
    proven.then_some(Marker { client, nonce: clock })
}

impl Generations {
    /// Of a room as it was loaded. `deleted`: its name has a tombstone; `damaged`: something of its
    /// log is set aside.
    #[must_use]
    pub fn new(room: &RoomName, (deleted, damaged): (bool, bool), state_vector: &StateVector) -> Self {
        let mut generations = Self {
            ids: MarkerIds::of(room),
            deleted,
            damaged,
            known: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            reserved: None,
            has_content: false,
        };
        generations.commit(state_vector.entries().iter().copied());
        generations
    }

    /// Keeps the place of the marker that an absent room will get.
    pub fn reserve(&mut self, generation: Generation) {
        self.reserved = Some(self.ids.client(generation));
    }

    /// The marker that this client with this clock is, if it is one of this room.
    #[must_use]
    pub fn marker(&self, client: ClientId, clock: u32) -> Option<Marker> {
        marker(&self.ids, client, clock)
    }

    /// The room's set: its own markers, and those in flight.
    pub fn set(&self) -> impl Iterator<Item = Marker> {
        let markers = self.known.iter().chain(&self.in_flight);
        markers.map(|(&client, &nonce)| Marker { client, nonce })
    }

    /// Whether a session may bring another life of this room. The one place where this is decided.
    ///
    /// Yes if the room has nothing of its own: it is absent (expired), or holds markers only. Yes
    /// too if it has no marker at all: then its genesis record is damaged, and the copies of those
    /// who were in it are of this life. Never after a deletion.
    #[must_use]
    pub fn may_revive(&self) -> bool {
        !self.deleted && (!self.has_content || self.known.is_empty())
    }

    /// A Step1: may its sender be told of the room? Gives the markers of its copy that are not stored
    /// here yet. `undecided`: something is in flight.
    ///
    /// # Errors
    /// [`GenerationError`]: nothing of the room is for this session.
    pub fn greet(&self, theirs: &StateVector, undecided: bool) -> Result<Option<Claim>, GenerationError> {
        let mut owed = Vec::new();
        let heals = self.damaged && self.known.keys().any(|&client| theirs.get(client) > 0);
        for &(client, clock) in theirs.entries() {
            if let Some(nonce) = self.nonce_of(client) {
                if clock > nonce {
                    return Err(GenerationError::Forged);
                }
                if !self.known.contains_key(&client) {
                    owed.push(Marker { client, nonce });
                }
            } else if let Some(marker) = self.marker(client, clock) {
                self.let_in(owed.len(), heals, undecided)?;
                owed.push(marker);
            }
        }
        Ok((!owed.is_empty()).then_some(Claim { markers: owed, heals }))
    }

    /// An update, before anything of it is taken in. `claim`: what [`Generations::greet`] gave for its
    /// session; `undecided` as there.
    ///
    /// # Errors
    /// [`GenerationError`]: nothing of it may be stored.
    pub fn judge(
        &self,
        update: &ParsedUpdate<'_>,
        claim: Option<&Claim>,
        undecided: bool,
    ) -> Result<Brings, GenerationError> {
        let (owed, heals) = claim.map_or((&[][..], false), |claim| (&claim.markers[..], claim.heals));
        let mut brought = Vec::new();
        for part in update.parts() {
            let end = part.clocks.1;
            if self.reserved == Some(part.client)
                || self.nonce_of(part.client).is_some_and(|nonce| end > nonce)
            {
                return Err(GenerationError::Forged);
            }
            if self.nonce_of(part.client).is_some() {
                continue;
            }
            if let Some(marker) = self.marker(part.client, end) {
                self.let_in(brought.len(), heals && owed.contains(&marker), undecided)?;
                if !part.is_garbage || part.clocks.0 > 0 {
                    return Err(GenerationError::Forged);
                }
                brought.push(marker);
            }
        }
        let here = |marker: &Marker| self.nonce_of(marker.client).is_some() || brought.contains(marker);
        if !heals && !owed.iter().all(here) {
            self.let_in(0, false, undecided)?;
            return Ok(Brings::TooEarly);
        }
        Ok(match brought {
            none if none.is_empty() => Brings::Nothing,
            some if heals => Brings::Healing(some),
            some => Brings::Life(some),
        })
    }

    /// What the gate has admitted of a judged update: `(client, from, to)`. A part may have been cut
    /// to a length that makes it a marker.
    ///
    /// # Errors
    /// [`GenerationError::Forged`]: the admission must be taken back.
    pub fn check(&self, admitted: &[(ClientId, u32, u32)], brings: &Brings) -> Result<(), GenerationError> {
        let brought: &[Marker] = match brings {
            Brings::Life(markers) | Brings::Healing(markers) => markers,
            Brings::Nothing | Brings::TooEarly => &[],
        };
        let forged = |&(client, from, to): &(ClientId, u32, u32)| {
            self.marker(client, to).is_some_and(|marker| from > 0 || !brought.contains(&marker))
        };
        if admitted.iter().any(forged) { Err(GenerationError::Forged) } else { Ok(()) }
    }

    /// These markers are on their way into the log.
    pub fn pend(&mut self, markers: Vec<Marker>) {
        self.in_flight.extend(markers.into_iter().map(|marker| (marker.client, marker.nonce)));
    }

    /// A record of the room was set aside: markers may have been in it.
    pub fn note_damage(&mut self) {
        self.damaged = true;
    }

    /// What was in flight is dropped.
    pub fn revert(&mut self) {
        self.in_flight.clear();
    }

    /// A batch is stored: clients with their next clocks.
    pub fn commit(&mut self, clocks: impl Iterator<Item = (ClientId, u32)>) {
        for (client, clock) in clocks {
            match self.marker(client, clock) {
                Some(marker) => drop(self.known.insert(marker.client, marker.nonce)),
                None => self.has_content = true,
            }
        }
        let Self { known, in_flight, .. } = self;
        in_flight.retain(|client, _| !known.contains_key(client));
        if self.has_content || !self.known.is_empty() {
            self.reserved = None; // the room exists
        }
    }

    /// What became of a session with this claim, now that a batch is stored.
    #[must_use]
    pub fn outlook(&self, claim: &Claim) -> Outlook {
        if claim.markers.iter().all(|marker| self.known.contains_key(&marker.client)) {
            Outlook::Settled
        } else if claim.heals || self.may_revive() {
            Outlook::Open
        } else {
            Outlook::Lost
        }
    }

    fn nonce_of(&self, client: ClientId) -> Option<u32> {
        self.known.get(&client).or_else(|| self.in_flight.get(&client)).copied()
    }

    /// One more marker that is not here, behind `others`; `heals`: it was here.
    fn let_in(&self, others: usize, heals: bool, undecided: bool) -> Result<(), GenerationError> {
        if !heals && !self.may_revive() {
            return Err(GenerationError::OtherLife);
        }
        if !heals && undecided {
            return Err(GenerationError::Undecided);
        }
        // One place for the marker of the life that begins.
        if self.known.len() + others + 1 >= MARKERS_PER_ROOM_MAX {
            return Err(GenerationError::TooMany);
        }
        Ok(())
    }
}

impl GenerationError {
    /// How the session ends.
    #[must_use]
    pub fn close(self) -> Close {
        let code = match self {
            Self::OtherLife | Self::TooMany => close::OTHER_GENERATION,
            Self::Undecided => close::BUSY,
            Self::Forged => close::MALFORMED,
        };
        Close::new(code, self.to_string())
    }
}

#[cfg(test)]
mod tests;

//! How many, and how fast: who may come in when many are there already. The gate judges what someone sends,
//! this counts it.
//!
//! `bucket`, `buckets`, `counts`, `pace` and `address` are pure: time is an argument. [`Throttle`] holds them
//! for one instance, and hands out passes that give back what they took.
//!
//! Invariants:
//! - What is held is bounded, whatever addresses and names an attacker has: counts hold those who are there,
//!   buckets a fixed number of keys.
//! - A refusal says which bound it was, is temporary, and is counted.
//! - People are never thrown together: who comes from this machine, or through a proxy that does not say for
//!   whom, is not bounded by address.

mod address;
mod bucket;
mod buckets;
mod counts;
mod handshakes;
mod metrics;
mod pace;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

pub use address::Address;
pub use bucket::{Bucket, Rate};
pub use buckets::Buckets;
pub use counts::Counts;
pub use handshakes::{Busy, Handshake, Handshakes};
pub use metrics::Metrics;
pub use pace::{Forgiven, Pace, PaceRates, Verdict};

use crate::caller::UserId;
use crate::ids::RoomName;
use crate::limits;
use crate::session::desk::DeskBounds;
use crate::wire::close::{self, Close};

/// The bounds of one instance. `usize::MAX` and 0 a second or minute: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sockets.
    pub sockets: usize,
    /// Sockets of one address.
    pub sockets_per_address: usize,
    /// Sessions.
    pub sessions: usize,
    /// Sessions of one user.
    pub sessions_per_user: usize,
    /// Sessions in one room.
    pub sessions_per_room: usize,
    /// New rooms a minute.
    pub new_rooms_per_minute: u32,
    /// New rooms a minute of one address.
    pub new_rooms_per_address: u32,
    /// Messages a second of one socket.
    pub socket_messages: u32,
    /// Bytes a second of one socket.
    pub socket_bytes: u32,
    /// Connections without a whole request.
    pub handshakes: usize,
    /// Bytes of a document, and so of a message.
    pub document_bytes: usize,
    /// Bytes of one presence state.
    pub presence_bytes: usize,
    /// Documents of one socket, and what it may send before it has logged in on the socket.
    pub desk: DeskBounds,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sockets: limits::SOCKETS_MAX,
            sockets_per_address: limits::SOCKETS_PER_ADDRESS_MAX,
            sessions: limits::SESSIONS_MAX,
            sessions_per_user: limits::SESSIONS_PER_USER_MAX,
            sessions_per_room: limits::SESSIONS_PER_ROOM_MAX,
            new_rooms_per_minute: limits::NEW_ROOMS_PER_MINUTE,
            new_rooms_per_address: limits::NEW_ROOMS_PER_ADDRESS_PER_MINUTE,
            socket_messages: limits::SOCKET_MESSAGES_PER_S,
            socket_bytes: limits::SOCKET_BYTES_PER_S,
            handshakes: limits::HANDSHAKES_MAX,
            document_bytes: limits::DOCUMENT_BYTES_MAX,
            presence_bytes: limits::PRESENCE_STATE_BYTES_MAX,
            desk: DeskBounds::default(),
        }
    }
}

/// A bound that was met. The text is for people, and fits into a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// [`Limits::sockets`].
    #[error("the server has {0} connections, as many as it may; come back later")]
    Sockets(usize),
    /// [`Limits::sockets_per_address`].
    #[error("{0} connections from one address are as many as there may be; come back later")]
    SocketsPerAddress(usize),
    /// [`Limits::sessions`].
    #[error("the server has {0} sessions, as many as it may; come back later")]
    Sessions(usize),
    /// [`Limits::sessions_per_user`].
    #[error("{0} sessions of one user are as many as there may be; close a tab")]
    SessionsPerUser(usize),
    /// [`Limits::sessions_per_room`].
    #[error("{0} sessions in one room are as many as there may be; come back later")]
    SessionsPerRoom(usize),
    /// [`Limits::new_rooms_per_minute`].
    #[error("{0} new rooms a minute are as many as there may be; come back in a minute")]
    NewRooms(u32),
    /// [`Limits::new_rooms_per_address`].
    #[error("{0} new rooms a minute from one address are as many as there may be; come back in a minute")]
    NewRoomsPerAddress(u32),
}

impl Refused {
    /// The bound's name, as in the metrics.
    #[must_use]
    pub fn limit(self) -> &'static str {
        match self {
            Self::Sockets(_) => "sockets",
            Self::SocketsPerAddress(_) => "sockets_per_address",
            Self::Sessions(_) => "sessions",
            Self::SessionsPerUser(_) => "sessions_per_user",
            Self::SessionsPerRoom(_) => "sessions_per_room",
            Self::NewRooms(_) => "new_rooms",
            Self::NewRoomsPerAddress(_) => "new_rooms_per_address",
        }
    }
}

impl From<Refused> for Close {
    fn from(refused: Refused) -> Self {
        Self::new(close::BUSY, refused.to_string())
    }
}

/// What is counted of one instance.
pub struct Throttle {
    limits: Limits,
    pace: PaceRates,
    started: Instant,
    counted: Mutex<Counted>,
    handshakes: Arc<Handshakes>,
    metrics: Metrics,
}

struct Counted {
    sockets: usize,
    by_address: Counts<Address>,
    sessions: usize,
    by_user: Counts<UserId>,
    by_room: Counts<RoomName>,
    new_rooms: Bucket,
    new_rooms_by_address: Buckets<Address>,
}

/// What becomes of a socket that asks to be let in.
pub enum Knock {
    /// It is let in, as long as the pass is kept.
    In(SocketPass),
    /// It is not, and may be told so on the socket, under this pass.
    Told(SocketPass, Refused),
    /// It is not, and too many are being told.
    Turned(Refused),
}

impl Throttle {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(limits: Limits, metrics: Metrics) -> Arc<Self> {
        let by_address = Rate::per_minute(limits.new_rooms_per_address);
        Arc::new(Self {
            limits,
            pace: PaceRates {
                messages: Rate::per_second(limits.socket_messages, limits::SOCKET_BURST_S),
                bytes: Rate::per_second(limits.socket_bytes, limits::SOCKET_BURST_S),
            },
            started: Instant::now(),
            counted: Mutex::new(Counted {
                sockets: 0,
                by_address: Counts::default(),
                sessions: 0,
                by_user: Counts::default(),
                by_room: Counts::default(),
                new_rooms: Bucket::new(),
                new_rooms_by_address: Buckets::new(by_address, limits::ADDRESSES_MAX),
            }),
            handshakes: Arc::new(Handshakes::new(limits.handshakes, metrics.clone())),
            metrics,
        })
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What is counted of refusals.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Connections without a whole request.
    #[must_use]
    pub fn handshakes(&self) -> &Arc<Handshakes> {
        &self.handshakes
    }

    /// How fast sockets may be.
    #[must_use]
    pub fn pace(&self) -> &PaceRates {
        &self.pace
    }

    /// Milliseconds by a steady clock: what paces and buckets count in.
    #[must_use]
    pub fn steady_ms(&self) -> u64 {
        crate::clock::in_ms(self.started.elapsed())
    }

    /// A socket wants to come in.
    pub fn knock(self: &Arc<Self>, address: Option<Address>) -> Knock {
        let Limits { sockets, sockets_per_address, .. } = self.limits;
        let mut counted = self.counted.lock();
        let of_address = address.map_or(0, |address| counted.by_address.of(&address));
        let (refused, over) = if of_address >= sockets_per_address {
            (Refused::SocketsPerAddress(sockets_per_address), of_address - sockets_per_address)
        } else if counted.sockets >= sockets {
            (Refused::Sockets(sockets), counted.sockets - sockets)
        } else {
            return Knock::In(self.pass(&mut counted, address));
        };
        self.metrics.refused(refused.limit());
        // Those that are told count as the others do until they are gone.
        if over >= limits::SOCKETS_TOLD_MAX
            || counted.sockets >= sockets.saturating_add(limits::SOCKETS_TOLD_MAX)
        {
            return Knock::Turned(refused);
        }
        Knock::Told(self.pass(&mut counted, address), refused)
    }

    fn pass(self: &Arc<Self>, counted: &mut Counted, address: Option<Address>) -> SocketPass {
        counted.sockets += 1;
        if let Some(address) = address {
            counted.by_address.enter(address);
        }
        SocketPass { throttle: Arc::clone(self), address }
    }

    /// A session wants to come into a room. Anonymous people are not one user here: nothing tells them apart.
    ///
    /// # Errors
    /// [`Refused`] if there are as many as there may be.
    pub fn enter(self: &Arc<Self>, user: Option<&UserId>, room: &RoomName) -> Result<SessionPass, Refused> {
        let Limits { sessions, sessions_per_user, sessions_per_room, .. } = self.limits;
        let mut counted = self.counted.lock();
        let refused = if counted.sessions >= sessions {
            Some(Refused::Sessions(sessions))
        } else if counted.by_room.of(room) >= sessions_per_room {
            Some(Refused::SessionsPerRoom(sessions_per_room))
        } else {
            let of_user = user.map_or(0, |user| counted.by_user.of(user));
            (of_user >= sessions_per_user).then_some(Refused::SessionsPerUser(sessions_per_user))
        };
        if let Some(refused) = refused {
            self.metrics.refused(refused.limit());
            return Err(refused);
        }
        counted.sessions += 1;
        counted.by_room.enter(room.clone());
        if let Some(user) = user {
            counted.by_user.enter(UserId::clone(user));
        }
        self.metrics.sessions_open.inc();
        Ok(SessionPass { throttle: Arc::clone(self), user: user.cloned(), room: room.clone() })
    }

    /// Somebody wants to begin a room.
    ///
    /// # Errors
    /// [`Refused`] if enough were begun lately, by this address or by all.
    pub fn begin_room(&self, address: Option<Address>) -> Result<(), Refused> {
        let now_ms = self.steady_ms();
        let mut counted = self.counted.lock();
        let mut refused = None;
        if address.is_some_and(|address| !counted.new_rooms_by_address.take(address, now_ms)) {
            refused = Some(Refused::NewRoomsPerAddress(self.limits.new_rooms_per_address));
        } else if let Some(rate) = Rate::per_minute(self.limits.new_rooms_per_minute)
            && !counted.new_rooms.take(rate, 1, now_ms)
        {
            refused = Some(Refused::NewRooms(self.limits.new_rooms_per_minute));
        }
        drop(counted);
        refused.map_or(Ok(()), |refused| {
            self.metrics.refused(refused.limit());
            Err(refused)
        })
    }

    /// Sockets, addresses that have some, sessions.
    #[must_use]
    pub fn open(&self) -> (usize, usize, usize) {
        let counted = self.counted.lock();
        (counted.sockets, counted.by_address.len(), counted.sessions)
    }
}

/// One socket's place. Dropping it gives the place back.
pub struct SocketPass {
    throttle: Arc<Throttle>,
    address: Option<Address>,
}

impl SocketPass {
    /// Where the socket comes from.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.address
    }
}

impl Drop for SocketPass {
    fn drop(&mut self) {
        let mut counted = self.throttle.counted.lock();
        counted.sockets -= 1;
        if let Some(address) = &self.address {
            counted.by_address.leave(address);
        }
    }
}

/// One session's place. Dropping it gives the place back.
pub struct SessionPass {
    throttle: Arc<Throttle>,
    user: Option<UserId>,
    room: RoomName,
}

impl SessionPass {
    /// Bytes of one presence state, at most.
    #[must_use]
    pub fn presence_bytes(&self) -> usize {
        self.throttle.limits.presence_bytes
    }
}

impl Drop for SessionPass {
    fn drop(&mut self) {
        let mut counted = self.throttle.counted.lock();
        counted.sessions -= 1;
        counted.by_room.leave(&self.room);
        if let Some(user) = &self.user {
            counted.by_user.leave(user);
        }
        self.throttle.metrics.sessions_open.dec();
    }
}

#[cfg(test)]
mod tests;

//! A room: one live document and the sessions on it. The server sees [`Rooms`] and [`Member`];
//! behind them `actor` waits, `state` decides, `ring` and `seat` show, `presence` knows who is here.
//!
//! | file | what |
//! |---|---|
//! | `registry`, `load`, `removal` | all rooms that are open; a room as its history tells it; removing one |
//! | `member`, `outside`, `drafts` | what sessions ask of a room, what others ask, hidden cards |
//! | `inbox`, `inflow` | what was asked and waits, and how much may wait for the log |
//! | `actor` | the room's task |
//! | `state` | what it decides (pure), with `owners` |
//! | `append`, `pace` | the append in flight, and how far apart they begin |
//! | `line`, `order`, `read_on`, `loss` | what is heard of the log: from the bus, put in order, read, lost |
//! | `fan_out`, `ring`, `seat`, `catch_up` | from a committed batch to sockets |
//! | `presence`, `people` | who is here, and who was |
//! | `upkeep` | when the log is to be compacted |
//!
//! Invariants:
//! - Nobody is shown an update before the log has it; nothing is acked before either.
//! - A room is loaded once, however many join at the same time.
//! - A session that cannot keep up gets one diff; it is never skipped.
//! - A panic in one room ends the sessions of that room, and no other.

mod actor;
mod append;
mod catch_up;
mod drafts;
mod fan_out;
mod inbox;
mod inflow;
mod line;
mod load;
mod loss;
mod member;
mod order;
pub mod outside;
mod owners;
mod pace;
pub(crate) mod people;
mod presence;
mod read_on;
mod registry;
mod removal;
mod ring;
mod seat;
mod state;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::clock::in_ms;
use crate::gate::Refusal;
use crate::ids::{RoomName, SessionId};
use crate::wire::close::{self, Close};
use inbox::Inbox;
use inflow::Inflow;
use owners::Owners;
use presence::Presence;
use ring::{Cursor, Ring};

pub use drafts::{RevealError, Revealed};
pub(crate) use load::genesis_record;
pub use member::{Member, News};
pub use owners::OwnerMetrics;
pub use registry::{Rooms, RoomsOptions};
pub use seat::{Entry, Outlet, Post};

/// What is asked of a room.
enum Command {
    /// Somebody wants to come in.
    Join { entry: Entry, reply: oneshot::Sender<Result<Member, String>> },
    /// What a session that tells what it has, lacks.
    Sync { session: SessionId, state_vector: Bytes, reply: oneshot::Sender<Result<Synced, Close>> },
    /// The same for one that has missed frames.
    CatchUp { session: SessionId, covers: Bytes, reply: oneshot::Sender<Result<Synced, Close>> },
    /// An update of a session.
    Submit(state::Submission),
    /// A message of a session that is no part of the document.
    Relay { session: SessionId, payload: Bytes, cost: u32 },
    /// What the room has.
    StateVector { reply: oneshot::Sender<Result<Bytes, Close>> },
    /// Sees to it that the room is stored. Answered when it is; not at all if it is not.
    Begin { caller: Arc<Caller>, reply: oneshot::Sender<()> },
    /// A session has gone.
    Leave { session: SessionId },
    /// A part of the committed document, for the API.
    Read { part: outside::Part, reply: oneshot::Sender<Result<outside::Copy, outside::ReadError>> },
    /// An edit of the API.
    Write(outside::Write),
    /// What whoever moves hidden cards has to know.
    Look { reply: oneshot::Sender<drafts::Look> },
    /// The room is to be removed.
    Retire(removal::Retire),
}

/// What a room answers to a Sync or a CatchUp.
#[derive(Clone)]
struct Synced {
    /// The Step2, or the one update that brings a slow session up to date, as a whole frame.
    frame: Bytes,
    /// Where to go on in the ring.
    cursor: Cursor,
}

/// What a room shares with its sessions.
struct Shared {
    name: RoomName,
    inbox: Inbox,
    ring: Ring,
    presence: Arc<Mutex<Presence>>,
    owners: Arc<Owners>,
    presence_changed: Notify,
    /// Bounds what waits for the log.
    inflow: Inflow,
    /// About how many bytes a Step2 with everything has.
    encoded_bytes: AtomicUsize,
    /// Client ids for edits from outside.
    clients: outside::SharedClients,
    /// Members that have not left.
    sessions: AtomicUsize,
    started: Instant,
}

impl Shared {
    fn new(name: RoomName, inflow: Inflow) -> Self {
        let presence = Arc::<Mutex<Presence>>::default();
        Self {
            name,
            inbox: Inbox::default(),
            ring: Ring::new(),
            owners: Arc::new(Owners::new(Arc::clone(&presence))),
            presence,
            presence_changed: Notify::new(),
            inflow,
            encoded_bytes: AtomicUsize::new(0),
            clients: outside::SharedClients::default(),
            sessions: AtomicUsize::new(0),
            started: Instant::now(),
        }
    }

    /// Milliseconds by a steady clock: presence counts in it.
    fn steady_ms(&self) -> u64 {
        in_ms(self.started.elapsed())
    }
}

/// How a session ends whose bytes the gate refuses.
pub(crate) fn refusal_close(refusal: Refusal) -> Close {
    let code = if refusal.is_too_large() { close::TOO_LARGE } else { close::MALFORMED };
    Close::new(code, refusal.to_string())
}

/// How sessions end when the server does.
fn restarts() -> Close {
    Close::new(close::RESTART, "the server restarts")
}

fn room_ended() -> Close {
    Close::new(close::BUSY, "the room was reloaded: please come back")
}

//! What is asked of a room by others than its sessions: its committed document, and to have an edit stored.
//!
//! Invariants:
//! - What is read is committed: nobody is shown by this way what the log does not have.
//! - An edit that was made for a position stands right behind it in the log, or nowhere: no record comes in between.
//! - An edit is answered when it is stored, or refused; if neither is known, that is what is said.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::state::Submission;
use super::{Command, Rooms, Shared};
use crate::board::rules::Reason;
use crate::caller::{Caller, UserId};
use crate::document::FoldError;
use crate::gate::{Refusal, Source};
use crate::generation::GenerationError;
use crate::ids::{ClientId, Position, RoomName};
use crate::limits::{API_CLIENTS_KEPT_MAX, CLIENT_ID_MAX};
use crate::log::LogError;
use crate::wire::close::Close;

/// What of a document is asked for.
#[derive(Debug, Clone)]
pub enum Part {
    /// All of it.
    Everything,
    /// What somebody with this state vector lacks.
    Since(Bytes),
}

/// A document as it is committed.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The newest record in it; [`Position::START`] if nothing was ever stored.
    pub position: Position,
    /// What was asked for, as an update V1.
    pub update: Bytes,
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The state vector is malformed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state vector is of another life of the room.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// The document cannot be encoded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The room cannot be opened now.
    #[error("the room cannot be opened now: {0}")]
    Closed(String),
}

/// An edit from outside.
#[derive(Debug, Clone)]
pub struct Edit {
    /// An update V1.
    pub update: Bytes,
    /// Which limits hold for it.
    pub source: Source,
    /// Whose edit it is.
    pub caller: Arc<Caller>,
    /// The room must be at this position, or nothing is stored.
    pub at: Option<Position>,
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// All that was decided by then is stored up to here.
    pub position: Position,
    /// Something of it was new, and is stored.
    pub is_new: bool,
    /// Something of it builds on what the room does not have, and is not stored.
    pub has_gap: bool,
    /// Something of it is another user's to bring, who is here, and is not stored.
    pub is_foreign: bool,
}

/// Why an edit is not stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The room is at another position.
    #[error("the room is at another position")]
    Moved {
        /// At which, if it is known.
        now: Option<Position>,
    },
    /// The gate refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is of another life of the room.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// It cannot be a record.
    #[error("{0}")]
    Record(String),
    /// Something else is stored under the ids that it uses.
    #[error("{0}")]
    Contradicts(String),
    /// It breaks a rule of the board.
    #[error(transparent)]
    Broken(#[from] Reason),
    /// The store refuses it.
    #[error(transparent)]
    Store(#[from] LogError),
    /// The room cannot be opened, or ends: nothing was stored.
    #[error("the room takes no edits now: {0}")]
    Closed(String),
    /// The room has ended before the store has answered.
    #[error("the store has not answered: the edit may be stored or not")]
    Undecided,
}

impl WriteError {
    /// Whether nothing of the edit has been anywhere: its client id can be used for another one.
    #[must_use]
    pub fn leaves_no_trace(&self) -> bool {
        match self {
            Self::Moved { now } => now.is_some(),
            Self::Refused(_) | Self::Generation(_) | Self::Record(_) | Self::Broken(_) | Self::Closed(_) => {
                true
            }
            Self::Contradicts(_) | Self::Store(_) | Self::Undecided => false,
        }
    }
}

/// How a room answers an edit.
pub(super) type WriteReply = oneshot::Sender<Result<Written, WriteError>>;

/// An edit on its way to the room's task.
pub(super) struct Write {
    pub(super) edit: Edit,
    /// Inflow units that it holds.
    pub(super) cost: u32,
    pub(super) reply: WriteReply,
}

/// A place that was found to be gone is looked for again this often.
const TRIES: usize = 4;

impl Rooms {
    /// Whether an edit of a copy of this room's document may be tried: see [`Trust`](crate::edit::Trust).
    pub(crate) fn trusts_engine(&self, room: &RoomName) -> bool {
        self.trust.lock().holds(room)
    }

    /// The engine has panicked over one. Keeps count of copies that cannot be freed.
    pub(crate) fn engine_panicked(&self, room: &RoomName) {
        let panics = self.trust.lock().panicked(room);
        self.metrics.edit_panics.inc();
        tracing::error!(
            room = %room.log_id(), panics,
            "the document engine has panicked over an edit; the copy that it was made on stays in memory"
        );
    }

    /// The committed document of a room that is open here; `None` if it is not.
    pub async fn read_open(&self, name: &RoomName, part: Part) -> Option<Result<Copy, ReadError>> {
        let shared = self.listed.lock().open.get(name).cloned()?;
        read(&shared, part).await
    }

    /// About how many bytes the document of a room has that is open here; zero if it is not.
    #[must_use]
    pub fn document_bytes(&self, name: &RoomName) -> usize {
        self.listed.lock().open.get(name).map_or(0, |shared| shared.encoded_bytes.load(Ordering::Relaxed))
    }

    /// The committed document of a room, which is loaded if it is not open, and a client id for an edit on it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_to_edit(
        self: &Arc<Self>,
        name: &RoomName,
        user: Option<&UserId>,
    ) -> Result<(Copy, Lease), ReadError> {
        for _ in 0..TRIES {
            let shared =
                self.enter(name).await.map_err(|close| ReadError::Closed(close.reason.to_string()))?;
            // Before the document is read: all that was written under the id is in it then.
            let lease = Lease::take(&shared, user);
            match read(&shared, Part::Everything).await {
                Some(read) => return read.map(|copy| (copy, lease)),
                None => tokio::task::yield_now().await,
            }
        }
        Err(ReadError::Closed("it is loaded again and again".to_owned()))
    }

    /// Has an edit stored, in a room which is loaded or begun if it is not open. Once it is judged it goes on if the
    /// caller goes away.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn write(self: &Arc<Self>, name: &RoomName, edit: Edit) -> Result<Written, WriteError> {
        let mut why = "it is loaded again and again".to_owned();
        for _ in 0..TRIES {
            let shared =
                self.enter(name).await.map_err(|close| WriteError::Closed(close.reason.to_string()))?;
            let Ok(cost) = shared.inflow.enter(edit.update.len()).await else { continue };
            let (reply, answer) = oneshot::channel();
            let write = Write { edit: edit.clone(), cost, reply };
            if shared.inbox.send(Command::Write(write)).is_ok() {
                match answer.await {
                    Ok(Err(WriteError::Closed(closed))) => why = closed,
                    Ok(decided) => return decided,
                    Err(_) => return Err(WriteError::Undecided),
                }
            }
            tokio::task::yield_now().await;
        }
        Err(WriteError::Closed(why))
    }

    /// A room, once nobody removes it.
    pub(super) async fn enter(self: &Arc<Self>, name: &RoomName) -> Result<Arc<Shared>, Close> {
        loop {
            if self.stop.is_cancelled() {
                return Err(super::restarts());
            }
            match self.get_or_start(name) {
                Ok(shared) => return Ok(shared),
                Err(removed) => removed.cancelled().await,
            }
        }
    }
}

/// Asks an open room; `None` if it has ended.
async fn read(shared: &Shared, part: Part) -> Option<Result<Copy, ReadError>> {
    let (reply, answer) = oneshot::channel();
    shared.inbox.send(Command::Read { part, reply }).ok()?;
    answer.await.ok()
}

/// Answers commands of a room that cannot be had now: the next one that is opened in its place could not either.
pub(super) fn turn_away(commands: impl IntoIterator<Item = Command>, why: &str) {
    for command in commands {
        match command {
            Command::Join { reply, .. } => drop(reply.send(Err(why.to_owned()))),
            Command::Read { reply, .. } => drop(reply.send(Err(ReadError::Closed(why.to_owned())))),
            Command::Write(write) => drop(write.reply.send(Err(WriteError::Closed(why.to_owned())))),
            _ => {}
        }
    }
}

/// Lets go of commands that an ended room has not come to. Whoever wants to come in, or to read, gets no answer and asks the
/// room's successor; of an edit it is said that nobody has judged it.
pub(super) fn let_go(commands: impl IntoIterator<Item = Command>) {
    for command in commands {
        if let Command::Write(write) = command {
            let _ = write.reply.send(Err(WriteError::Closed("it has ended".to_owned())));
        }
    }
}

/// Client ids that edits from outside were written under, and that no edit uses now. They are written under again: all
/// that they have written is committed. An id belongs to one user.
#[derive(Default)]
pub(super) struct Clients {
    free: HashMap<Option<UserId>, Vec<ClientId>>,
    kept: usize,
    /// Counts the times that the room's log was not what it had been: ids from before are not used again, since nobody
    /// knows what was seen of them.
    age: u64,
}

impl Clients {
    pub(super) fn forget(&mut self) {
        *self = Self { age: self.age + 1, ..Self::default() };
    }
}

/// A client id that one edit is written under.
pub struct Lease {
    shared: Arc<Shared>,
    user: Option<UserId>,
    age: u64,
    /// The id.
    pub client: ClientId,
}

impl Lease {
    fn take(shared: &Arc<Shared>, user: Option<&UserId>) -> Self {
        let user = user.cloned();
        let mut clients = shared.clients.lock();
        let free = clients.free.get_mut(&user).and_then(Vec::pop);
        if clients.free.get(&user).is_some_and(Vec::is_empty) {
            clients.free.remove(&user);
        }
        clients.kept -= usize::from(free.is_some());
        let age = clients.age;
        drop(clients);
        let client = free.unwrap_or_else(|| rand::random::<u64>() & CLIENT_ID_MAX);
        Self { shared: Arc::clone(shared), user, age, client }
    }

    /// The edit is stored, or has left no trace: the id may be used again.
    pub fn give_back(self) {
        let mut clients = self.shared.clients.lock();
        if clients.age == self.age && clients.kept < API_CLIENTS_KEPT_MAX {
            clients.kept += 1;
            clients.free.entry(self.user).or_default().push(self.client);
        }
    }
}

/// Edits from outside whose room has them, and has not answered.
#[derive(Default)]
pub(super) struct Writes {
    /// Under way into the log, by the session that stands for each.
    pub(super) undecided: HashMap<crate::ids::SessionId, Decided>,
    /// Made for the position that the room is at, while something else is under way: they are judged when that is decided.
    pub(super) waiting: std::collections::VecDeque<Write>,
    /// An edit that can be judged only when nothing is under way. All that comes behind it is held until then.
    pub(super) next: Option<Box<Command>>,
    /// The session's edit that is under way and can be stored at one position only: it is judged anew if it is not.
    pub(super) judged: Option<Box<Submission>>,
    /// How often that one was judged anew, because another instance was faster.
    pub(super) tries: u32,
    /// Commands that have come while an edit is under way that nothing may come before: what is judged after it would
    /// build on it. What edits hold of the inflow bounds them; of the rest each session has one.
    pub(super) held: std::collections::VecDeque<Command>,
}

impl Writes {
    /// Nothing is under way that may have to be judged anew.
    pub(super) fn note_decided(&mut self) {
        (self.judged, self.tries) = (None, 0);
    }

    /// Whether something waits for its turn.
    pub(super) fn are_put_off(&self) -> bool {
        self.next.is_some() || !self.waiting.is_empty() || !self.held.is_empty()
    }

    /// All that does: nobody has judged it.
    pub(super) fn take_put_off(&mut self) -> impl Iterator<Item = Command> + use<> {
        let (waiting, held) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.held));
        let next = self.next.take().map(|next| *next);
        next.into_iter().chain(waiting.into_iter().map(Command::Write)).chain(held)
    }
}

/// What an edit is answered with once it is stored.
pub(super) struct Decided {
    pub(super) reply: WriteReply,
    pub(super) is_new: bool,
    pub(super) has_gap: bool,
    pub(super) is_foreign: bool,
}

/// Guards what [`Lease`]s share.
pub(super) type SharedClients = Mutex<Clients>;

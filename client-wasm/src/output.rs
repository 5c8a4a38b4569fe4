//! What a call comes to: frames to send, updates to store, what is to be shown and told; and how a call fails.

use bytes::Bytes;
use ruang::board::edit::EditError;
use ruang::board::live::Change;
use ruang::caller::Role;
use ruang::gate::Refusal;
use ruang::ids::{ClientId, RoomNameError};
use serde::{Deserialize, Serialize};

use crate::copy::CopyError;
use crate::presence;

/// Who edits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// Under which name edits are made: the token's `sub`, or a name that the app has made up.
    pub user: String,
    /// Whether a token says so. Without identity the rules about *whose* something is are off, as at the server.
    pub identified: bool,
    /// What this person may do.
    pub role: Role,
}

/// What a client begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientOptions {
    /// The room's name.
    pub room: String,
    /// Under which id this client writes and is present: random, from 1 to 2^32 - 1, new for each client. Two that
    /// write under one id lose edits.
    pub client_id: ClientId,
    /// As in [`Who`].
    pub user: String,
    /// As in [`Who`].
    pub identified: bool,
    /// As in [`Who`].
    pub role: Role,
}

/// What a call comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// Messages for the socket, in order. None while there is no connection.
    pub frames: Vec<Bytes>,
    /// Updates V1 for the local store, in order: all that is new in the document, one's own and others'.
    pub updates: Vec<Vec<u8>>,
    /// What of the board is another.
    pub change: Change,
    /// Presence that is another.
    pub presence: presence::Changes,
    /// What has to be told, in order.
    pub said: Vec<Said>,
    /// Why the socket must be closed: the server's bytes make no sense, or the copy is broken.
    pub close: Option<String>,
    /// Edits that the server has not decided on.
    pub unsaved: usize,
    /// Whether there is an edit to take back.
    pub can_undo: bool,
    /// Whether there is one to make again.
    pub can_redo: bool,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Said {
    /// The first answer of this connection has been taken in: the board is what the server has.
    Synced,
    /// Something was acknowledged.
    Saved {
        /// The newest stored position, opaque.
        position: String,
    },
    /// Edits were decided against.
    Refused {
        /// For programs; empty if the server has no word for it.
        code: String,
        /// For people.
        reason: String,
        /// How many of one's own edits were in it.
        edits: usize,
    },
    /// The room may go: offer to keep a copy.
    Expiry {
        /// In so many milliseconds.
        in_ms: u64,
    },
    /// Somebody else writes under this client's id: go on with a new client that loads this one's document.
    ClientIdTaken,
    /// What was to be taken in builds on something that is not here; the rest was taken.
    Gap,
    /// The copy is of no use any more: make a new client from the local store.
    Broken,
}

/// How a client stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether there is a connection.
    pub connected: bool,
    /// Whether the first answer of this connection has been taken in.
    pub synced: bool,
    /// Edits that the server has not decided on.
    pub unsaved: usize,
    /// Edits decided against, since the client was made.
    pub refused: usize,
    /// Of the last acknowledgement.
    pub position: Option<String>,
    /// The lives of the room that this copy is of; empty before the first stored edit has come.
    pub generation: Vec<String>,
    /// Under which id this client writes.
    pub client_id: ClientId,
    /// Client ids in the document.
    pub clients: usize,
    /// Bytes of the document as one update.
    pub bytes: usize,
}

/// Why a call failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The room's name cannot be.
    #[error("{0}")]
    Room(#[from] RoomNameError),
    /// An argument is not of its form.
    #[error("{0}")]
    Argument(String),
    /// There is no template of that name.
    #[error("there is no template of the name \"{0}\"")]
    Template(String),
    /// The rules of the board do not let this person make the edit.
    #[error("{0}")]
    NotAllowed(String),
    /// The document does not take it.
    #[error("{0}")]
    Copy(#[from] CopyError),
    /// The presence state is none.
    #[error("a presence state is JSON of at most 8 KiB and 32 levels: {0}")]
    Presence(Refusal),
}

impl ClientError {
    /// For programs: one of the codes in `npm/src/core.d.ts`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Room(_) | Self::Argument(_) | Self::Template(_) | Self::Presence(_) => "bad_argument",
            Self::NotAllowed(_) => "not_allowed",
            Self::Copy(CopyError::Refused(_)) => "bad_update",
            Self::Copy(CopyError::Broken) => "broken",
            Self::Copy(CopyError::Edit(error)) => match error {
                EditError::NotThere { .. } => "not_there",
                EditError::Exists(_) => "exists",
                EditError::Id => "bad_id",
                EditError::Line(_) => "bad_line",
                EditError::Text(_) => "bad_text",
                EditError::Color => "bad_color",
                EditError::Number => "bad_number",
                EditError::Votes => "bad_votes",
                EditError::Columns => "bad_columns",
            },
        }
    }
}

//! The wire: bytes of each client family to [`Message`]s and back.
//!
//! Pure. Nothing here looks inside an update, a state vector or a presence state: the gate does.
//! One module per family knows its bytes; `voice` says how they differ for who is spoken to; `close` holds what
//! ends a session.
//! Source of the formats: `y-protocols` (`sync.js`, `awareness.js`, `auth.js`), lib0.

pub mod close;
pub mod hocuspocus;
pub mod lib0;
pub mod voice;
pub mod websocket;
pub mod y_sweet;
pub mod y_websocket;

use bytes::Bytes;

use crate::limits::{HOCUSPOCUS_NAME_BYTES_MAX, HOCUSPOCUS_TOKEN_BYTES_MAX, STATELESS_BYTES_MAX};

/// What a client says, whatever family it belongs to. The bytes are not judged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// "This is what I have": an encoded state vector.
    SyncStep1(Bytes),
    /// The answer to our SyncStep1: an update with all that we lack.
    SyncStep2(Bytes),
    /// An edit.
    Update(Bytes),
    /// Presence of one person or several: an awareness update.
    Presence(Bytes),
    /// "Who is here?"
    QueryPresence,
    /// "Is what I have sent stored?" (y-sweet): the whole message, to be sent back when it is.
    Echo(Bytes),
    /// Something for the others that is not part of the document (Hocuspocus): text.
    Stateless(Bytes),
    /// A message type that this family's server does not know. Ignored: newer clients add types.
    Unknown(u64),
}

/// Why bytes from a socket are not messages of its family. The session ends with 4400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a number, a string or a buffer.
    #[error("the message ends too early")]
    Truncated,
    /// A number above 2^53 - 1, the largest that every client can hold.
    #[error("a number is larger than 2^53 - 1")]
    NumberTooLarge,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A sync message that is neither step 1, step 2 nor update.
    #[error("sync message {0} does not exist")]
    UnknownSync(u64),
    /// More messages in one frame than an honest client packs.
    #[error("more than {} messages in one frame", y_websocket::MESSAGES_PER_FRAME_MAX)]
    TooManyMessages,
    /// A text frame where the family speaks binary.
    #[error("text frames are not part of this protocol")]
    Text,
    /// A document's name that no room and no session of it can have (Hocuspocus).
    #[error("a document's name has at most {HOCUSPOCUS_NAME_BYTES_MAX} bytes")]
    LongName,
    /// A token in band that is longer than any that is issued.
    #[error("a token has at most {HOCUSPOCUS_TOKEN_BYTES_MAX} bytes")]
    LongToken,
    /// A stateless message that is too long.
    #[error("a stateless message has at most {STATELESS_BYTES_MAX} bytes")]
    LongStateless,
    /// A message that servers send each other.
    #[error("message {0} is for servers only")]
    ServerOnly(u64),
}

//! Why an update, a state vector or a presence message is refused whole. Each text names one rule
//! and never quotes the message: it goes to strangers and into close frames.

use crate::limits::{
    CLIENTS_PER_DOCUMENT_MAX, NAME_BYTES_MAX, PRESENCE_IDS_PER_ROOM_MAX, PRESENCE_STATE_BYTES_MAX,
    TYPE_DEPTH_MAX, VALUE_DEPTH_MAX,
};

/// The rule that was broken. After a refusal the gate is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More bytes than this kind of message may have.
    #[error("the message has {bytes} bytes, at most {max} are taken")]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// More client ids than a document, a state vector or an update may have.
    #[error("a document has at most {CLIENTS_PER_DOCUMENT_MAX} client ids")]
    TooManyClients,
    /// More presence entries than a room may have people.
    #[error("a presence message has at most {PRESENCE_IDS_PER_ROOM_MAX} entries")]
    TooManyPresences,
    /// One presence state is too large.
    #[error("a presence state has at most {PRESENCE_STATE_BYTES_MAX} bytes")]
    PresenceTooLarge,
    /// Ends before what it announces.
    #[error("the message ends before what it announces")]
    CutOff,
    /// Bytes after the end.
    #[error("bytes follow after the end of the message")]
    TrailingBytes,
    /// An update in the second encoding.
    #[error("this is not a Yjs update in encoding V1 (it looks like V2, which is not taken)")]
    LooksLikeV2,
    /// A number of more than 53 bits.
    #[error("a number has more than 53 bits")]
    NumberTooLarge,
    /// A clock, or a clock plus a length, of 2^31 or more.
    #[error("a clock reaches 2^31")]
    ClockTooLarge,
    /// A block or a delete range without length, or a client without blocks.
    #[error("a block, a delete range or a client's part is empty")]
    Empty,
    /// The same client id in two parts of one message.
    #[error("a client id stands in two parts of one message")]
    ClientTwice,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A key, a root, a format or an XML node with a very long name.
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// A block of no known kind, or with flags that peers read in different ways.
    #[error("a block is of no known kind")]
    UnknownBlock,
    /// Content that peers read in different ways: JSON of Yjs before 2020.
    #[error("content of the legacy kind JSON is not taken: peers read it in different ways")]
    LegacyJson,
    /// A document inside a document.
    #[error("subdocuments are not taken")]
    Subdocument,
    /// A shared type other than array, map, text, XML element, XML fragment, XML text.
    #[error("a shared type is of a kind that is not taken (XML hook, weak link, unknown)")]
    UnknownType,
    /// A value with an unknown tag.
    #[error("a value is of no known kind")]
    UnknownValue,
    /// Arrays and maps in each other.
    #[error("a value has more than {VALUE_DEPTH_MAX} levels")]
    ValueTooDeep,
    /// Embedded JSON that does not parse, in the way every peer parses it.
    #[error("embedded JSON does not parse")]
    BadJson,
    /// Shared types in each other.
    #[error("shared types are nested in more than {TYPE_DEPTH_MAX} levels")]
    TypesTooDeep,
    /// A block names a parent that is not a shared type.
    #[error("a block's parent is not a shared type")]
    ParentIsNoType,
    /// Left and right neighbour live in different places, or are one and the same.
    #[error("a block's neighbours are not neighbours")]
    CrossedNeighbours,
    /// Blocks that stand among too many others which they do not know, or that too many span.
    #[error("blocks stand among too many others that do not know them")]
    FarNeighbours,
    /// No verdict, and never told to a client: the gate must learn the document's order first.
    #[error("the order of the document is not known yet")]
    OrderUnknown,
}

impl Refusal {
    /// Whether a limit of size was passed (close code 4413) rather than a rule of form (4400).
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. } | Self::TooManyClients | Self::TooManyPresences | Self::PresenceTooLarge
        )
    }
}

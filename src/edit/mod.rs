//! An edit that somebody describes in JSON, as an update: what the HTTP API's `PATCH` takes.
//!
//! Pure: what a document holds and what is asked go in, an update V1 comes out. It is made on a copy of
//! the document, in one transaction, and goes the way of every update after that: through the gate, into
//! the log, and only then into the document. Edits that are typed (`board`) are made on a copy in the same way.
//!
//! | operation | what |
//! |---|---|
//! | `set` | the value of a key of a map, or an element of an array |
//! | `insert` | values into an array, text into a text; at the end, or `at` a place |
//! | `delete` | a key of a map, an element of an array, or `count` elements or UTF-16 units from `at` on |
//!
//! A path begins with the name of a root; after that a string is a key of a map, a number the place of an
//! element of an array. Each operation sees what those before it have done.

mod carry_out;
mod copy;
mod place;
mod trust;
mod value;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

pub(crate) use self::copy::{CopyError, on_copy, written};
pub use self::trust::Trust;
use crate::document::FoldError;
use crate::ids::ClientId;
use crate::limits::{EDIT_OPERATIONS_MAX, EDIT_PATH_MAX, NAME_BYTES_MAX, VALUE_DEPTH_MAX};

/// What is asked: all of it, or nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The position that the document must be at, as it is printed.
    #[serde(default, rename = "if")]
    pub at: Option<String>,
    /// What the roots are that hold nothing yet: nobody else can tell.
    #[serde(default)]
    pub roots: BTreeMap<String, Kind>,
    /// One after the other.
    pub operations: Vec<Operation>,
}

/// What a shared type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Keys with values (`Y.Map`).
    Map,
    /// Values in a row (`Y.Array`).
    Array,
    /// Text (`Y.Text`).
    Text,
}

/// As what a JSON value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// As one value: it is replaced whole, never merged.
    #[default]
    Json,
    /// An object as a shared map, its entries as values.
    Map,
    /// A list as a shared array, its elements as values.
    Array,
    /// A string as a shared text.
    Text,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Segment {
    /// The name of a root, or a key of a map.
    Key(String),
    /// A place in an array, from 0.
    Index(u32),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Operation {
    /// Sets the value that the path leads to.
    Set {
        /// To a key of a map, or to an element of an array, which is replaced.
        path: Vec<Segment>,
        /// What it becomes.
        value: Value,
        /// As what.
        #[serde(default, rename = "as")]
        shape: Shape,
    },
    /// Puts something in between.
    Insert {
        /// To an array or a text.
        path: Vec<Segment>,
        /// Before which element, or after how many UTF-16 units; at the end if it is not said.
        #[serde(default)]
        at: Option<u32>,
        /// For an array.
        #[serde(default)]
        values: Option<Vec<Value>>,
        /// For a text.
        #[serde(default)]
        text: Option<String>,
        /// As what each of the values is stored.
        #[serde(default, rename = "as")]
        shape: Shape,
    },
    /// Takes something away. What is not there is an error.
    Delete {
        /// To a key of a map or an element of an array; with `at`, to an array or a text.
        path: Vec<Segment>,
        /// The first element or UTF-16 unit.
        #[serde(default)]
        at: Option<u32>,
        /// How many from there on; 1 if it is not said.
        #[serde(default)]
        count: Option<u32>,
    },
}

/// Why an edit cannot be made. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// An operation does not fit the document.
    #[error("operation {index}: {why}")]
    Operation {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        why: Misfit,
    },
    /// More operations than one edit may have.
    #[error("an edit has 1 to {EDIT_OPERATIONS_MAX} operations, not {0}")]
    Count(usize),
    /// The document is too large for so many operations.
    #[error("the edit takes too long on this document: send fewer operations at once")]
    TooLong,
    /// The copy cannot be made: the document is damaged.
    #[error("the document cannot be copied: {0}")]
    Copy(#[from] FoldError),
    /// The engine panicked: the document holds what it cannot edit. The copy stays in memory: see [`Trust`].
    #[error("the document engine cannot make this edit")]
    Engine,
    /// That has happened too often.
    #[error(
        "the document engine has failed over such edits too often: until the server restarts, send an update in place of \
         operations"
    )]
    Distrusted,
}

/// Why an operation does not fit the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The path has no root, or too many steps.
    #[error("a path has 1 to {EDIT_PATH_MAX} steps and begins with the name of a root")]
    Path,
    /// Nothing can be done to a root itself.
    #[error("the path ends at a root: it needs one more step")]
    RootItself,
    /// The root holds nothing, and nobody has said what it is.
    #[error("the root holds nothing yet: say in `roots` whether it is a map, an array or a text")]
    UnknownRoot,
    /// The path goes on where nothing is.
    #[error("there is nothing at step {0} of the path")]
    Absent(usize),
    /// The path goes on into a value that is replaced whole only.
    #[error("at step {0} of the path stands a plain value, which can only be set whole")]
    Plain(usize),
    /// Something else is there.
    #[error("at step {step} of the path is {is}, not {wanted}")]
    Other {
        /// Of the path, from 0.
        step: usize,
        /// What is there.
        is: Held,
        /// What the operation is for.
        wanted: Held,
    },
    /// Beyond the end.
    #[error("{at} is beyond the end: there are {len}")]
    Beyond {
        /// What was asked for.
        at: u64,
        /// What there is.
        len: u32,
    },
    /// Inside of a character that has two UTF-16 units.
    #[error("{0} is inside of a character: places in a text count UTF-16 units")]
    InsideCharacter(u32),
    /// `as` and the value do not go together.
    #[error("a value that is stored as {0} is {1}")]
    Shape(&'static str, &'static str),
    /// An insert of both, of neither, or of nothing.
    #[error("an insert has either `values` or `text`, and not an empty one")]
    Nothing,
    /// A deletion of nothing.
    #[error("`count` is at least 1, and comes with `at`")]
    Count,
    /// Deeper than the gate takes.
    #[error("a value has at most {VALUE_DEPTH_MAX} levels")]
    Deep,
    /// Longer than the gate takes.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes")]
    Name,
}

/// What something in a document is, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A shared map.
    Map,
    /// A shared array.
    Array,
    /// A shared text.
    Text,
    /// Something of XML.
    Xml,
    /// An array or a text.
    Sequence,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "a map",
            Self::Array => "an array",
            Self::Text => "a text",
            Self::Xml => "a part of an XML document",
            Self::Sequence => "an array or a text",
        })
    }
}

impl From<Kind> for Held {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Map => Self::Map,
            Kind::Array => Self::Array,
            Kind::Text => Self::Text,
        }
    }
}

/// Makes an edit of the document that `full` holds, under `client`. The update may be empty: nothing changed.
/// `is_late` is asked between operations whether to give up.
///
/// # Errors
/// [`EditError`].
pub fn update_of(
    full: &[u8],
    edit: &Edit,
    client: ClientId,
    is_late: &dyn Fn() -> bool,
) -> Result<Vec<u8>, EditError> {
    let count = edit.operations.len();
    if count == 0 || count > EDIT_OPERATIONS_MAX {
        return Err(EditError::Count(count));
    }
    let made = on_copy(full, client, |transaction| carry_out::carry_out(transaction, edit, is_late));
    made.map(|(update, ())| update).map_err(EditError::from)
}

impl From<CopyError<EditError>> for EditError {
    fn from(error: CopyError<EditError>) -> Self {
        match error {
            CopyError::Copy(error) => Self::Copy(error),
            CopyError::Engine => Self::Engine,
            CopyError::Refused(error) => error,
        }
    }
}

#[cfg(test)]
mod tests;

//! History: everything that a room's log tells. [`walk`](fn@walk) is the one way through it.
//!
//! | file | what | pure |
//! |---|---|---|
//! | `fold` | one record after the other through the gate into the document (`fold/judge`: what the gate says) | yes |
//! | `folding` | what was judged comes into the document while the next page is judged | |
//! | `apart` | records that are passed over: another instance was faster | yes |
//! | `page` | whether a page of records is whole, and how it is folded | yes |
//! | `snapshot` | the bytes of a snapshot | yes |
//! | `kind` | what kind a room is of | |
//! | `wrote` | who has written in a room | yes |
//! | `plan` | when to compact, which snapshots stay, what is trimmed | yes |
//! | `start` | reads the snapshot that a walk begins with, or an older one if that is damaged | |
//! | `behind` | reads a page, always of the log that the walk began in | |
//! | `walk` | reads the log from there on (`walk/pages`: page by page) | |
//! | `compact` | writes a snapshot and trims | |
//! | `compactor` | the compactions of one instance | |
//!
//! Invariants:
//! - `document = fold(snapshot, records)`, whoever asks: rooms, compaction and replay fold here.
//! - Nothing is trimmed that an adopted, verified snapshot does not cover.

mod apart;
mod behind;
mod compact;
mod compactor;
mod fold;
mod folding;
mod kind;
mod page;
mod plan;
mod snapshot;
mod start;
mod walk;
mod wrote;

pub(crate) use apart::Apart;
pub use compact::{CompactError, Compacted, Outcome, Written, compact};
pub use compactor::Compactor;
pub use fold::{Broken, Fold, Folded, OnTrouble, Parts, SetAside};
pub use kind::kind_of;
pub use plan::{Retention, Tail};
pub use snapshot::{About, Snapshot, SnapshotError};
pub use start::{DamagedSnapshot, Start};
pub use walk::{Range, Step, Walk, WalkError, walk};
pub use wrote::Wrote;

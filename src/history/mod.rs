//! History: everything that a room's log tells. [`walk`](fn@walk) is the one way through it.
//!
//! `fold` (pure) takes one record after the other through the gate into the document; `walk` reads
//! the log and waits; `start` finds where to begin.

mod fold;
mod start;
mod walk;

pub use fold::{Fold, Folded, OnTrouble, Parts, SetAside};
pub use start::{DamagedSnapshot, Start};
pub use walk::{Range, Step, Walk, WalkError, walk};

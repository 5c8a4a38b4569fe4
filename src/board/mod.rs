//! The board: what a retrospective's document means, for server, browser and replay alike.
//!
//! A board is a Yjs document with eight root maps (`schema`). [`view`] reads it, [`live`] keeps what was read up with it,
//! [`edit`] writes it, [`votes`] says which votes count, [`seed`] begins one, [`rules`] say who may write what, [`export`]
//! writes one for people and spreadsheets, [`import`] takes one in, [`drafts`] is where cards are before they are revealed.
//!
//! Pure. Invariants:
//! - Whatever a document holds, reading it ends and never fails: what the schema does not know is passed over.
//! - What is read depends on the values in the document alone: not on clocks, client ids, or the order of the log.
//! - An edit is one transaction. What it writes, the view reads back.
//!
//! `docs/BOARD.md` has the layout and who wins when.

pub mod drafts;
pub mod edit;
pub mod export;
pub mod import;
pub mod live;
mod read;
pub mod rules;
pub mod schema;
pub mod seed;
mod shared;
pub mod view;
pub mod votes;

#[cfg(test)]
mod tests;

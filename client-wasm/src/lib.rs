//! The core of the browser client: what a client of one room knows and decides.
//!
//! | module | what |
//! |---|---|
//! | [`client`] | the conversation with the server, and everything that an app calls |
//! | [`copy`] | this client's copy of the document: in, out, edits, undo, the board as it is read |
//! | [`heard`] | bytes of the server to messages |
//! | [`tally`] | which edits the server has not decided on |
//! | [`presence`] | who is here |
//! | [`output`] | what a call comes to, and how it fails |
//! | [`fields`] | an edit, read from JSON |
//! | [`browser`] | the same for JavaScript |
//!
//! Pure: no sockets, no timers, no clock, no storage. Time and random numbers are arguments; work goes out as values.
//!
//! Invariants:
//! - Bytes of others meet the gate before the document engine sees them, as at the server: whatever a server or a store
//!   says, nothing here panics or hangs.
//! - An edit counts as unsaved until a message that carries it was acknowledged, over any number of connections.
//! - What is shown is what `ruang::board::view` reads of the document.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod browser;
pub mod client;
pub mod copy;
pub mod fields;
pub mod heard;
pub mod output;
pub mod presence;
pub mod tally;

//! Ruang ("room"): an event-sourced CRDT sync server for live rooms.
//!
//! Reading order, which is the way of an update:
//!
//! | module | what | pure |
//! |---|---|---|
//! | [`ids`], [`limits`] | names and bounds | yes |
//! | [`wire`] | bytes of each client family to messages and back | yes |
//! | [`gate`] | judges foreign bytes, admits the new remainder | yes |
//! | [`document`] | the fold: the only caller of yrs' apply | yes |
//! | [`session`] | one client in one room: message in, intents out | yes |
//! | [`log`] | the order of everything that happened in a room | server |
//! | [`room`] | one live document and the sessions on it | server |
//! | [`http`] | sockets, pages, operations | server |
//! | [`load`] | a load test against any server of the family | server |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod document;
pub mod gate;
pub mod ids;
pub mod limits;
#[cfg(feature = "server")]
pub mod load;
#[cfg(feature = "server")]
pub mod log;

//! Ruang ("room"): an event-sourced CRDT sync server for live rooms.
//!
//! Reading order, which is the way of an update:
//!
//! | module | what | pure |
//! |---|---|---|
//! | [`ids`], [`caller`], [`limits`] | names, who may do what, bounds | yes |
//! | [`kind`] | board or free, and who decides | yes |
//! | [`wire`] | bytes of each client family to messages and back | yes |
//! | [`session`] | one client in one room: message in, intent out | yes |
//! | [`gate`] | judges foreign bytes, admits the new remainder | yes |
//! | [`document`] | the fold: the only caller of yrs' apply | yes |
//! | [`edit`] | an edit described in JSON, as an update | yes |
//! | [`board`] | what a retrospective's document means | yes |
//! | [`generation`] | which life of a room a copy is of | yes |
//! | `auth` | who may enter, and for how long | server |
//! | `room` | one live document and the sessions on it | server |
//! | `log` | the order of everything that happened in a room | server |
//! | `history` | the way through a room's log: recovery, snapshots, replay | server |
//! | `life` | when a room may go, and how it goes | server |
//! | `throttle` | how many, and how fast | server |
//! | `webhooks` | tells other programs what happens to rooms | server |
//! | `http` | sockets, API, pages, operations | server |
//! | `server`, `config`, `cli`, `shutdown`, `telemetry`, `clock` | one process from start to end | server |
//! | `admin` | the unix socket for this machine's operators | server |
//! | `replay` | the operators' verbs, each a consumer of `history::walk` | server |
//! | `token` | makes tokens | server |
//! | `load` | a load test against a running server | server |
//!
//! The pure modules know no clock, no I/O and no runtime; without the feature `server` they are
//! the whole crate, and build for wasm32.
#![cfg_attr(test, allow(clippy::unwrap_used))]

/// What tests share names this crate as they all do.
#[cfg(test)]
extern crate self as ruang;

pub mod board;
pub mod caller;
pub mod document;
pub mod edit;
pub mod gate;
pub mod generation;
pub mod ids;
pub mod kind;
pub mod limits;
pub mod session;
pub mod wire;

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod auth;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
mod heavy;
#[cfg(feature = "server")]
pub mod history;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod life;
#[cfg(feature = "server")]
pub mod load;
#[cfg(feature = "server")]
pub mod log;
#[cfg(feature = "server")]
pub mod replay;
#[cfg(feature = "server")]
pub mod room;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod throttle;
#[cfg(feature = "server")]
pub mod token;
#[cfg(feature = "server")]
pub mod webhooks;

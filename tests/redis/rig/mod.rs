//! Redis servers for tests.

pub mod single;
pub mod store;

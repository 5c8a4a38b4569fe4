//! The log on Redis.
#![allow(dead_code, unused_imports)]
mod address;
mod connect;
mod errors;
mod keys;
pub use address::RedisAddress;

//! The operators' verbs.

pub mod export;
pub mod file;
pub mod part;
pub mod place;
pub mod portable;
pub mod remote;

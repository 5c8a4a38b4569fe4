//! Boards on several instances that share one Redis: the rules hold across them (docs/RULES.md, B60 to B69). Every update
//! that a page takes in is observed: whatever a board shows at any moment counts, not only what it comes to.
//!
//! `world` has instances behind proxies, and pages.

mod hidden;
mod ids;
mod offences;
mod races;
mod random;
mod world;

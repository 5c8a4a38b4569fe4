//! What a record did to the document, in one line: which roots and keys it touches, by the gate's index.

use serde::Serialize;

use super::output::Paint;
use crate::gate::Path;
use crate::history::{Fold, Folded};
use crate::kind::RoomKind;
use crate::log::record::{Kind, Record};

/// Places that one line names.
const PLACES_SHOWN: usize = 4;

/// The effect of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Effect {
    /// Blocks in the update; none if it cannot be told.
    blocks: Option<u64>,
    /// Ids that it deletes by name.
    deletes: Option<u64>,
    /// Where it writes, as `root/key/…`; `[]` is a place in a sequence.
    writes: Vec<String>,
    /// Where it deletes.
    clears: Vec<String>,
    /// There are more places than are named.
    more: bool,
    /// `new`, `known` (everything in it was known) or `set_aside`; none if it was not folded.
    outcome: Option<&'static str>,
    /// Why it is not, or not whole, in the document.
    why: Option<String>,
    #[serde(skip)]
    begins_life: Option<RoomKind>,
}

/// Tells the effect of a record, right after it was folded; little if it was not.
#[must_use]
pub fn effect(record: &Record, outcome: Option<(&Folded, &Fold)>) -> Effect {
    let begins = record.metadata().ok().filter(|_| record.kind() == Kind::Genesis);
    let begins_life = begins.map(|metadata| metadata.room_kind);
    let mut effect = Effect { begins_life, ..Effect::default() };
    let Some((folded, fold)) = outcome else { return effect };
    effect.outcome = Some(match folded {
        Folded::New => "new",
        Folded::Known => "known",
        Folded::PassedOver => "passed_over",
        Folded::SetAside(record) => {
            effect.why = Some(record.why.clone());
            "set_aside"
        }
    });
    if let Ok(touched) = fold.gate().touched(&record.update(), PLACES_SHOWN) {
        effect.blocks = Some(touched.blocks);
        effect.deletes = Some(touched.deletes);
        effect.writes = touched.written.iter().map(path_text).collect();
        effect.clears = touched.deleted.iter().map(path_text).collect();
        effect.more = touched.more;
    }
    effect
}

impl Effect {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        if let Some(why) = &self.why {
            return format!("not in the document: {why}");
        }
        if self.outcome == Some("known") {
            return "nothing new".to_owned();
        }
        match self.begins_life {
            Some(RoomKind::Board) => return "the room begins, a board".to_owned(),
            Some(RoomKind::Free) => return "the room begins".to_owned(),
            None => {}
        }
        let place = |places: &[String]| {
            if places.is_empty() { String::new() } else { format!(" in {}", places.join(", ")) }
        };
        let mut parts = Vec::new();
        if let Some(blocks) = self.blocks.filter(|blocks| *blocks > 0) {
            let noun = if blocks == 1 { "block" } else { "blocks" };
            parts.push(format!("{blocks} {noun}{}", place(&self.writes)));
        }
        if let Some(deletes) = self.deletes.filter(|deletes| *deletes > 0) {
            parts.push(format!("{deletes} deleted{}", place(&self.clears)));
        }
        let mut text = parts.join("; ");
        if self.more {
            text.push_str(", and more");
        }
        text
    }

    /// How it is painted.
    #[must_use]
    pub fn paint(&self) -> Paint {
        if self.why.is_some() { Paint::Alarm } else { Paint::Plain }
    }
}

/// `root/key/…`, a place in a sequence as `[]`.
fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for key in path {
        match key {
            Some(key) if text.is_empty() => text.push_str(key),
            Some(key) => {
                text.push('/');
                text.push_str(key);
            }
            None => text.push_str("[]"),
        }
    }
    text
}

//! What the gate admits folds in the engine and loads elsewhere; a refusal leaves no trace.
//!
//! The input is a room's traffic: for each message a byte of flags (1: as a Step2; 2: taken back after it was admitted; 4,
//! in the first: the room has not learnt the order of its blocks), its length in two bytes, its bytes.

use ruang::document::Document;
use ruang::gate::{Gate, Source, merge, parse_presence, parse_state_vector};

/// A room whose order is known: what Yjs has to make of it, too. In other rooms blocks that cross are not seen (G24), and
/// Yjs' own peers differ over them.
pub struct Room {
    /// All of it, as one update.
    pub full: Vec<u8>,
    /// What it was made of, oldest first.
    pub log: Vec<Vec<u8>>,
}

/// The messages of an input.
fn messages(mut input: &[u8]) -> Vec<(u8, &[u8])> {
    let mut messages = Vec::new();
    while let Some((&[flags, low, high], rest)) = input.split_first_chunk::<3>() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (message, rest) = rest.split_at(len);
        messages.push((flags, message));
        input = rest;
    }
    messages
}

/// See the module.
pub fn run(input: &[u8]) -> Option<Room> {
    let messages = messages(input);
    let (mut gate, mut document) = (Gate::new(), Document::new());
    let knows_order = messages.first().is_some_and(|(flags, _)| flags & 4 == 0);
    if knows_order {
        gate.learn_order([]).expect("nothing is in order");
    }
    let mut log: Vec<Vec<u8>> = Vec::new();
    for (flags, message) in messages {
        let before = (gate.state_vector(), gate.deleted());
        let source = if flags & 1 == 0 { Source::Update } else { Source::Step2 };
        drop((parse_state_vector(message), parse_presence(message)));
        let Ok(admission) = gate.admit(message, source) else {
            assert_eq!((gate.state_vector(), gate.deleted()), before, "a refusal leaves no trace");
            continue;
        };
        let Some(remainder) = admission.remainder else { continue };
        if flags & 2 != 0 {
            gate.revert(&remainder.receipt);
            assert_eq!((gate.state_vector(), gate.deleted()), before, "taken back");
            continue;
        }
        let deleted = document.apply(&[&remainder.update]).expect("what is admitted folds");
        gate.note_deleted(&deleted);
        log.push(remainder.update);
    }
    if log.is_empty() {
        return None;
    }
    let full = document.encode_full();
    assert_eq!(parse_state_vector(&document.state_vector()).as_ref(), Ok(&gate.state_vector()));
    let mut copy = Document::new();
    copy.apply(&[&full]).expect("a newcomer loads the room");
    let mut fresh = Gate::new();
    let admission = fresh.admit(&full, Source::Step2).expect("what is handed out is taken back");
    assert!(!admission.dropped.is_gap(), "completely");
    assert_eq!(gate.deleted(), fresh.deleted(), "the same deleted ids");
    let updates: Vec<&[u8]> = log.iter().map(Vec::as_slice).collect();
    let mut merged = Document::new();
    merged.apply(&[&merge(&updates)]).expect("merged remainders fold");
    knows_order.then_some(Room { full, log })
}

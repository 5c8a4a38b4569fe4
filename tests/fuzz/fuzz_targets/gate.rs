//! What the gate admits folds in the engine, loads elsewhere, and is the same document in Yjs; a refusal leaves no trace.
//!
//! The input is a room's traffic: for each message a byte of flags (1: as a Step2; 2: taken back after it was admitted; 4,
//! in the first: the room has not learnt the order of its blocks), its length in two bytes, its bytes. Yjs 13 is asked over a
//! pipe (`tests/clients/lib/fold.child.mjs`), but of rooms without an order: blocks that cross are not seen there (G24), and
//! Yjs' own peers differ over them.

#![no_main]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use ruang::document::Document;
use ruang::gate::{Gate, Source, merge, parse_presence, parse_state_vector};

/// Yjs, in a process of its own that ends with this one.
struct Yjs {
    child: Child,
    answers: BufReader<ChildStdout>,
}

static YJS: LazyLock<Mutex<Yjs>> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/lib/fold.child.mjs");
    let mut command = Command::new("node");
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("node is there, and the packages of tests/clients");
    let answers = BufReader::new(child.stdout.take().expect("it is piped"));
    Mutex::new(Yjs { child, answers })
});

impl Yjs {
    /// Whether the updates, one after the other, make the document `full` in Yjs; else what differs.
    fn agrees(&mut self, full: &[u8], updates: &[Vec<u8>]) -> Result<(), String> {
        let mut question = Vec::new();
        let mut put = |bytes: &[u8]| {
            question.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            question.extend_from_slice(bytes);
        };
        put(full);
        updates.iter().for_each(|update| put(update));
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        let count = (1 + updates.len() as u32).to_le_bytes();
        stdin.write_all(&count).and_then(|()| stdin.write_all(&question)).expect("Yjs is there");
        stdin.flush().expect("Yjs is there");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("Yjs is there");
        if answer == "same\n" { Ok(()) } else { Err(answer) }
    }
}

/// The messages of an input.
fn messages(mut input: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some((&[flags, low, high], rest)) = input.split_first_chunk::<3>() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let mut message = vec![0; len];
        input = rest;
        input.read_exact(&mut message).expect("it is that long");
        messages.push((flags, message));
    }
    messages
}

fuzz_target!(|input: &[u8]| {
    let messages = messages(input);
    let (mut gate, mut document) = (Gate::new(), Document::new());
    let knows_order = messages.first().is_some_and(|(flags, _)| flags & 4 == 0);
    if knows_order {
        gate.learn_order([]).expect("nothing is in order");
    }
    let mut log: Vec<Vec<u8>> = Vec::new();
    for (flags, message) in &messages {
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
        return;
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
    if knows_order && let Err(what) = YJS.lock().expect("it has not panicked").agrees(&full, &log) {
        panic!("Yjs: {what}");
    }
});

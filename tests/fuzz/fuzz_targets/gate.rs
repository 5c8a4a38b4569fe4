//! See `ruang_fuzz::gate`; and what is admitted is the same document in Yjs 13, which is asked over a pipe
//! (`tests/clients/lib/fold.child.mjs`).

#![no_main]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use ruang_fuzz::gate::{self, Room};

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
    fn agrees(&mut self, Room { full, log }: &Room) -> Result<(), String> {
        let mut question = Vec::new();
        let mut put = |bytes: &[u8]| {
            question.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            question.extend_from_slice(bytes);
        };
        put(full);
        log.iter().for_each(|update| put(update));
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        let count = (1 + log.len() as u32).to_le_bytes();
        stdin.write_all(&count).and_then(|()| stdin.write_all(&question)).expect("Yjs is there");
        stdin.flush().expect("Yjs is there");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("Yjs is there");
        if answer == "same\n" { Ok(()) } else { Err(answer) }
    }
}

fuzz_target!(|input: &[u8]| {
    if let Some(room) = gate::run(input)
        && let Err(what) = YJS.lock().expect("it has not panicked").agrees(&room)
    {
        panic!("Yjs: {what}");
    }
});

//! The gate and the fold behind a pipe, for tests in other languages: one line in, one line out.
//!
//! | line | answer |
//! |---|---|
//! | `admit <update or step2> <hex>` | `ok <remainder in hex, or -> known=<n> unknown=<n>` or `refused <why>` |
//! | `full` | `ok <hex>`, the whole document |
//! | `diff <state vector in hex>` | `ok <hex>`, what someone with it lacks |
//! | `sv` | `ok <hex>`, the state vector |
//! | `reset` | `ok -`, an empty room |
//! | `learn` | `ok <blocks>`, the gate has learnt the order and counts every step from here on |
//!
//! What is admitted is folded at once. `known` and `unknown` count clocks and deleted ids that were
//! cut off, and blocks and deleted ids that were dropped.

mod hex;
mod learning;

use std::io::{BufRead, Write};

use hex::{bytes, hex};
use ruang::document::Document;
use ruang::gate::{Gate, Source};

#[derive(Default)]
struct Room {
    gate: Gate,
    document: Document,
}

impl Room {
    fn answer(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["admit", "update", update] => self.admit(&bytes(update), Source::Update),
            ["admit", "step2", update] => self.admit(&bytes(update), Source::Step2),
            ["full"] => format!("ok {}", hex(&self.document.encode_full())),
            ["sv"] => format!("ok {}", hex(&self.document.state_vector())),
            ["diff", vector] => match self.document.diff(&bytes(vector)) {
                Ok(diff) => format!("ok {}", hex(&diff)),
                Err(error) => format!("refused {error}"),
            },
            ["learn"] => match self.gate.learn_order([self.document.encode_full().as_slice()]) {
                Ok(()) => format!("ok {}", self.gate.ordered_blocks().unwrap_or_default()),
                Err(refusal) => format!("refused {refusal}"),
            },
            ["reset"] => {
                *self = Self::default();
                "ok -".to_owned()
            }
            _ => "refused the line is not understood".to_owned(),
        }
    }

    fn admit(&mut self, update: &[u8], source: Source) -> String {
        let admission = match learning::admit(&mut self.gate, &self.document, update, source) {
            Ok(admission) => admission,
            Err(refusal) => return format!("refused {refusal}"),
        };
        let dropped = admission.dropped;
        let remainder = match admission.remainder {
            None => "-".to_owned(),
            Some(remainder) => match self.document.apply(&[&remainder.update]) {
                Ok(deleted) => {
                    self.gate.note_deleted(&deleted);
                    hex(&remainder.update)
                }
                Err(error) => return format!("broken {error}"),
            },
        };
        let known = dropped.known_clocks + dropped.known_deletes;
        format!("ok {remainder} known={known} unknown={}", dropped.unknown_blocks + dropped.unknown_deletes)
    }
}

fn main() -> std::io::Result<()> {
    let mut room = Room::default();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", room.answer(&line?))?;
        out.flush()?;
    }
    Ok(())
}

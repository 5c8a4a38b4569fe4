//! [G21 to G24] Blocks that stand far from their neighbours: attacks of every shape are refused after
//! a counted number of steps, honest work of every kind is not. Nothing here looks at a clock but to
//! print it.
#![allow(clippy::unwrap_used)]

mod craft;
mod gate_walks_attacks;
mod gate_walks_heaps;
mod gate_walks_honest;
mod learning;

use std::time::Instant;

use craft::{At, Blocks, Id, blocks, update};
use ruang::document::Document;
use ruang::gate::{Gate, Refusal, Source};
use ruang::limits::STEPS_PER_UPDATE_FREE;
use yrs::updates::decoder::Decode;
use yrs::{Array, ArrayRef, ClientID, Doc, OffsetKind, Options, ReadTxn, StateVector, Transact, Update};

/// A room: a gate, its document, and what its updates may have cost.
#[derive(Default)]
struct Room {
    gate: Gate,
    document: Document,
    /// Steps above what is free, of all that was admitted.
    owed: u64,
    folding: std::time::Duration,
}

impl Room {
    fn offer(&mut self, update: &[u8], source: Source) -> Result<u64, Refusal> {
        let admission = learning::admit(&mut self.gate, &self.document, update, source)?;
        assert!(!admission.dropped.is_gap(), "the tests send what is complete");
        let Some(remainder) = admission.remainder else { return Ok(0) };
        let began = Instant::now();
        let deleted = self.document.apply(&[&remainder.update]).expect("what is admitted folds");
        self.folding += began.elapsed();
        self.gate.note_deleted(&deleted);
        self.gate.settle(&remainder.receipt);
        self.owed = (self.owed + remainder.steps).saturating_sub(STEPS_PER_UPDATE_FREE);
        Ok(remainder.steps)
    }

    fn take(&mut self, update: &[u8]) -> u64 {
        self.offer(update, Source::Update).expect("honest work")
    }

    /// Honest people go on: at the front, at the end, under a key.
    fn still_works(&mut self, list: &str) {
        self.owed = 0;
        let peer = Peer::new(0xface, list);
        peer.hear(&self.document.encode_full());
        for at in [0, peer.len()] {
            self.take(&peer.insert(at));
        }
        self.take(&blocks(Blocks::of(0xfacf, 0).one(At::Key("honest", "key"))));
    }
}

/// A person with a list.
struct Peer {
    doc: Doc,
    list: ArrayRef,
}

impl Peer {
    fn new(client: u64, list: &str) -> Self {
        let options = Options {
            client_id: ClientID::new(client),
            offset_kind: OffsetKind::Utf16,
            ..Options::default()
        };
        let doc = Doc::with_options(options);
        let list = doc.get_or_insert_array(list);
        Self { doc, list }
    }

    fn len(&self) -> u32 {
        self.list.len(&self.doc.transact())
    }

    fn insert(&self, at: u32) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        self.list.insert(&mut transaction, at, i64::from(at));
        transaction.encode_update_v1()
    }

    fn hear(&self, update: &[u8]) {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }

    fn full(&self) -> Vec<u8> {
        self.doc.transact().encode_diff_v1(&StateVector::default())
    }
}

const ITEMS: u64 = 8_000;

/// A list of 8,000 items that do not merge: two clients took turns.
fn long_list(parent: At<'_>) -> Vec<u8> {
    let at = |n: u64| (10 + n % 2, n / 2);
    let side = |client: u64| {
        (0..ITEMS)
            .filter(|n| 10 + n % 2 == client)
            .fold(Blocks::of(client, 0), |all, n| all.one(if n == 0 { parent } else { At::After(at(n - 1)) }))
    };
    update([side(11), side(10)], &[])
}

fn item(n: u64) -> Id {
    (10 + n % 2, n / 2)
}

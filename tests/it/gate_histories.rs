//! [G1, G5 to G8, G23] Honest histories, delivered in honest ways: nothing is lost, and the gate's index
//! says what the document says.
#![allow(clippy::unwrap_used)]

mod hex;
mod learning;
mod random_docs;

use random_docs::{Client, Random, seeds, view};
use ruang::document::Document;
use ruang::gate::{Dropped, Gate, Receipt, Source, merge};
use yrs::updates::decoder::Decode;
use yrs::{Doc, IdSet, Options, ReadTxn, StateVector, Transact, Update};

/// The server of these tests: a gate, a document, and a log of remainders.
struct Server {
    gate: Gate,
    document: Document,
    log: Vec<Vec<u8>>,
    /// Everything that was ever offered and judged complete, folded by yrs alone.
    oracle: Doc,
}

impl Server {
    fn new() -> Self {
        let oracle = Doc::with_options(Options { offset_kind: yrs::OffsetKind::Utf16, ..Options::default() });
        Self { gate: Gate::new(), document: Document::new(), log: Vec::new(), oracle }
    }

    /// Admits, and folds what is new. Checks the remainder against yrs' own idea of it.
    fn offer(&mut self, update: &[u8], source: Source) -> Dropped {
        let (before, deleted_before) = (self.gate.state_vector(), id_set(&self.gate.deleted()));
        let judged = learning::admit(&mut self.gate, &self.document, update, source);
        let admission = judged.unwrap_or_else(|refusal| {
            panic!("honest work refused: {refusal}\n{}", hex::hex(update));
        });
        let remainder = admission.remainder.as_ref();
        let theirs = Update::decode_v1(update).unwrap();
        if !admission.dropped.is_gap() {
            let known = StateVector::decode_v1(&before.encode()).unwrap();
            let expected =
                Update::decode_v1(&yrs::diff_updates_v1(update, &known.clone().encode()).unwrap()).unwrap();
            let ours =
                remainder.map(|remainder| Update::decode_v1(&remainder.update).unwrap()).unwrap_or_default();
            let expected_blocks = expected.insertions(true);
            assert_eq!(ours.insertions(true), expected_blocks, "the same new blocks\n{}", hex::hex(update));
            assert!(ours.delete_set().intersect(&deleted_before).is_empty(), "nothing deleted twice");
            assert!(theirs.delete_set().diff(&id_set(&self.gate.deleted())).is_empty(), "every delete is in");
            self.oracle.transact_mut().apply_update(theirs).unwrap();
        }
        if let Some(remainder) = remainder {
            self.fold(&remainder.update.clone());
        }
        admission.dropped
    }

    fn fold(&mut self, update: &[u8]) {
        let deletes = self.document.apply(&[update]).unwrap();
        self.gate.note_deleted(&deletes);
        self.log.push(update.to_vec());
        self.check_index();
    }

    /// The index says what the document says.
    fn check_index(&self) {
        let document = StateVector::decode_v1(&self.document.state_vector()).unwrap();
        assert_eq!(StateVector::decode_v1(&self.gate.state_vector().encode()).unwrap(), document);
        let full = Update::decode_v1(&self.document.encode_full()).unwrap();
        assert_eq!(&id_set(&self.gate.deleted()), full.delete_set(), "the same deleted ids");
    }
}

trait Encoded {
    fn encode(&self) -> Vec<u8>;
}

impl Encoded for StateVector {
    fn encode(&self) -> Vec<u8> {
        yrs::updates::encoder::Encode::encode_v1(self)
    }
}

fn id_set(ranges: &[(u64, u32, u32)]) -> IdSet {
    let mut set = IdSet::new();
    for &(client, from, to) in ranges {
        set.insert(yrs::ID::new(yrs::ClientID::new(client), from), to - from);
    }
    set
}

/// One history: clients edit, lose connections, lose updates, repeat themselves.
fn history(seed: u64, undo: bool) {
    println!("seed {seed}, undo {undo}");
    let mut random = Random::new(seed);
    let mut server = Server::new();
    // Every other room counts steps from the start.
    if seed.is_multiple_of(2) {
        server.gate.learn_order([]).unwrap();
    }
    let ids =
        [1 + random.below(1 << 20), (1 << 31) + random.below(1 << 30), (1 << 52) + random.below(1 << 30)];
    let mut clients: Vec<Client> = ids.iter().map(|&id| Client::new(id, undo)).collect();
    let mut sent: Vec<Vec<u8>> = Vec::new();
    for _ in 0..40 + random.below(60) {
        let at = random.index(clients.len());
        let client = &mut clients[at];
        match random.below(10) {
            // Edits online, each update delivered at once; some get lost on the way.
            0..=4 => {
                client.edit(&mut random);
                for update in client.take_updates() {
                    if random.chance(90) {
                        let dropped = server.offer(&update, Source::Update);
                        sent.push(update);
                        if dropped.is_gap() {
                            // The server asks with SyncStep1.
                            repair(&mut server, client);
                        }
                    }
                }
            }
            // Edits offline, then reconnects: one Step2, with all updates behind it once more.
            5 => {
                for _ in 0..random.below(12) {
                    client.edit(&mut random);
                }
                repair(&mut server, client);
                for update in client.take_updates() {
                    server.offer(&update, Source::Update);
                    sent.push(update);
                }
            }
            // Overlaps: several updates as one, known ones among them; or a whole document again.
            6 => {
                client.edit(&mut random);
                sent.extend(client.take_updates());
                let from = sent.len().saturating_sub(random.index(6) + 1);
                let recent: Vec<&[u8]> = sent[from..].iter().map(Vec::as_slice).collect();
                let merged = yrs::merge_updates_v1(recent).unwrap();
                if server.offer(&merged, Source::Update).is_gap() {
                    clients.iter().for_each(|client| repair(&mut server, client));
                }
            }
            7 => {
                let full = client.step2(&[0]);
                assert!(!server.offer(&full, Source::Step2).is_gap());
            }
            // Receives what is new.
            _ => {
                for update in &server.log[client.cursor..] {
                    client.receive(update);
                }
                client.cursor = server.log.len();
            }
        }
    }
    for client in &clients {
        repair(&mut server, client);
    }
    for client in &mut clients {
        for update in &server.log[client.cursor..] {
            client.receive(update);
        }
        assert_eq!(view(&client.doc), view(server.document.doc()), "clients see what the server sees");
    }
    // Undo may set a key to several values at once; the gate admits the last as the value, so the
    // bytes differ there, and only there.
    let oracle = server.oracle.transact().encode_diff_v1(&StateVector::default());
    if !undo || server.gate.deleted() == deleted(&oracle) {
        assert_eq!(hex::hex(&server.document.encode_full()), hex::hex(&oracle), "the bytes of a direct fold");
    }
    assert_eq!(view(server.document.doc()), view(&server.oracle));
    check_log(&server);
}

/// The deleted ranges of an update.
fn deleted(update: &[u8]) -> Vec<(u64, u32, u32)> {
    let update = Update::decode_v1(update).expect("decodes");
    let clients = update.delete_set().iter();
    clients
        .flat_map(|(client, ranges)| ranges.iter().map(|range| (client.get(), range.start, range.end)))
        .collect()
}

/// The server asks, the client answers.
fn repair(server: &mut Server, client: &Client) {
    let answer = client.step2(&server.document.state_vector());
    let dropped = server.offer(&answer, Source::Step2);
    assert!(!dropped.is_gap(), "an answer to SyncStep1 is complete: {dropped:?}");
}

/// [G9, G10] The log gives the same document one by one, merged, and in batches; a new gate takes
/// it as records.
fn check_log(server: &Server) {
    let updates: Vec<&[u8]> = server.log.iter().map(Vec::as_slice).collect();
    let full = server.document.encode_full();
    let (mut one_by_one, mut merged, mut batched) = (Document::new(), Document::new(), Document::new());
    updates.iter().for_each(|update| drop(one_by_one.apply(&[update]).unwrap()));
    assert_eq!(hex::hex(&one_by_one.encode_full()), hex::hex(&full));
    if !updates.is_empty() {
        merged.apply(&[&merge(&updates)]).unwrap();
        assert_eq!(view(merged.doc()), view(server.document.doc()), "merged remainders");
        assert_eq!(merged.state_vector().len(), one_by_one.state_vector().len());
    }
    for chunk in updates.chunks(7) {
        batched.apply(&[&merge(chunk)]).unwrap();
    }
    assert_eq!(view(batched.doc()), view(server.document.doc()), "merged batches");

    let mut gate = Gate::new();
    for update in &updates {
        let admission = gate.admit(update, Source::Record).unwrap();
        assert_eq!(admission.dropped, Dropped::default(), "a record is complete and new");
        assert_eq!(&admission.remainder.unwrap().update, update, "a record goes through as it is");
    }
    // What the server hands out it takes back, in a fresh gate and in its own.
    let mut fresh = Gate::new();
    let admission = fresh.admit(&full, Source::Step2).unwrap();
    assert!(!admission.dropped.is_gap());
    assert_eq!(fresh.state_vector(), server.gate.state_vector());
}

/// [G1] Random histories of maps, arrays, text with formats and embeds, XML and nested types:
/// nothing honest is refused or lost, whatever way it comes.
#[test]
fn honest_histories_arrive_whole() {
    for seed in seeds("histories", 150) {
        history(seed, false);
    }
}

/// [G1] The same with undo and redo.
#[test]
fn undo_and_redo_arrive_whole() {
    for seed in seeds("undo", 80) {
        history(seed, true);
    }
}

/// [G11] What was admitted and taken back leaves no trace: the same update is admitted again with
/// the same remainder, and the index is what it was.
#[test]
fn taking_back_restores_the_index() {
    for seed in seeds("revert", 60) {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut gate = Gate::new();
        if seed.is_multiple_of(2) {
            gate.learn_order([]).unwrap();
        }
        let mut client = Client::new(1 + random.below(1 << 40), false);
        let mut receipts: Vec<(Receipt, Vec<u8>, Vec<u8>, State)> = Vec::new();
        for _ in 0..60 {
            if random.chance(70) || receipts.is_empty() {
                client.edit(&mut random);
                for update in client.take_updates() {
                    let before = state(&gate);
                    if let Some(remainder) = gate.admit(&update, Source::Update).unwrap().remainder {
                        receipts.push((remainder.receipt, update, remainder.update, before));
                    }
                }
                continue;
            }
            // Some of the newest are refused by the log, and come again later.
            let keep = receipts.len() - 1 - random.index(receipts.len());
            let back = receipts.split_off(keep);
            for (receipt, _, _, before) in back.iter().rev() {
                gate.revert(receipt);
                assert_eq!(&state(&gate), before);
            }
            for (_, update, remainder, before) in back {
                assert_eq!(state(&gate), before);
                let again = gate.admit(&update, Source::Update).unwrap().remainder.unwrap();
                assert_eq!(again.update, remainder);
                receipts.push((again.receipt, update, remainder, before));
            }
        }
    }
}

type State = (Vec<u8>, IdSet, usize, Vec<Option<Vec<Option<String>>>>);

/// All that can be asked of a gate.
fn state(gate: &Gate) -> State {
    let mut paths = Vec::new();
    for &(client, end) in gate.state_vector().entries() {
        for clock in 0..end {
            let path = gate.path(client, clock);
            paths.push(path.map(|path| path.iter().map(|key| key.map(str::to_owned)).collect()));
        }
    }
    (gate.state_vector().encode(), id_set(&gate.deleted()), gate.runs(), paths)
}

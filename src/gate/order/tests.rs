//! [G21, G22] The order is yrs', and what blocks are charged bounds the walks of every replay.

mod charges;

use std::collections::{BTreeMap, HashMap, HashSet};

use yrs::updates::decoder::Decode;
use yrs::{Array, ArrayRef, ClientID, Doc, Options, Out, ReadTxn, StateVector, Text, Transact, Update};

use super::super::names::NO_NAME;
use super::super::walks::Walks;
use super::super::{Gate, Source};
use super::*;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_TEST_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

type Charged = BTreeMap<(ClientId, u32), (u32, u32, u32)>;

impl Order {
    /// Of each id how many blocks span it, where its entry begins, and how many blocks that was.
    fn charged(&self) -> Charged {
        let held = self.clients.iter().flat_map(|held| held.slots.iter().map(|slot| (held.id, *slot)));
        let entries = held.map(|(client, slot)| (client, self.entries[slot as usize]));
        entries
            .flat_map(|(client, entry)| {
                let charged = (entry.spanned, entry.clock, entry.tag & 0xff);
                (entry.clock..entry.clock + entry.len).map(move |clock| ((client, clock), charged))
            })
            .collect()
    }

    /// The ids of a list in their order.
    fn ids(&self, spot: Spot) -> Vec<(ClientId, u32)> {
        let mut ids = Vec::new();
        let mut slot = self.firsts.get(&spot).copied().unwrap_or(NONE);
        let mut before = NONE;
        while let Some(entry) = self.entries.get(slot as usize) {
            let client = self.clients[entry.client() as usize].id;
            assert_eq!(std::mem::replace(&mut before, slot), entry.prev, "linked both ways");
            assert!(!entry.is_garbage() && entry.len > 0);
            ids.extend((entry.clock..entry.clock + entry.len).map(|clock| (client, clock)));
            slot = entry.next;
        }
        ids
    }
}

impl Gate {
    /// What later blocks are charged with, if the order is known: of each id what is known of its entry, and what is owed.
    fn charges(&self) -> Option<(Charged, Steps)> {
        self.walks.order().map(|order| (order.charged(), self.walks.owed()))
    }

    /// The ids of a root's list in their order, if it is known.
    fn order_of(&mut self, root: &str) -> Option<Vec<(ClientId, u32)>> {
        let spot = Spot { parent: self.index.root(root), key: NO_NAME };
        self.walks.order().map(|order| order.ids(spot))
    }
}

/// A list in which every value is its own id.
struct Author {
    doc: Doc,
    list: ArrayRef,
}

impl Author {
    fn new(client: u64) -> Self {
        let doc = Doc::with_options(Options { client_id: ClientID::new(client), ..Options::default() });
        let list = doc.get_or_insert_array("a");
        Self { doc, list }
    }

    /// Inserts up to three values, or deletes one; returns the update.
    fn edit(&self, random: &mut Random) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        let client = self.doc.client_id().get();
        let len = self.list.len(&transaction);
        let at = match random.below(4) {
            0 => len,
            1 => 0,
            _ => random.below(len as usize + 1) as u32,
        };
        if len > 4 && random.below(5) == 0 {
            self.list.remove(&mut transaction, random.below(len as usize) as u32);
        } else {
            let clock = transaction.state_vector().get(&ClientID::new(client));
            let values = (0..1 + random.below(3) as u32).map(|n| format!("{client}:{}", clock + n));
            self.list.insert_range(&mut transaction, at, values);
        }
        transaction.encode_update_v1()
    }

    fn hear(&self, update: &[u8]) {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).expect("decodes")).expect("applies");
    }

    fn full(&self) -> Vec<u8> {
        self.doc.transact().encode_diff_v1(&StateVector::default())
    }

    fn ids(&self) -> Vec<(ClientId, u32)> {
        let transaction = self.doc.transact();
        let id = |value: Out| {
            let text = value.to_string(&transaction);
            let (client, clock) = text.split_once(':').expect("an id");
            (client.parse().expect("a client"), clock.parse().expect("a clock"))
        };
        self.list.iter(&transaction).map(id).collect()
    }
}

/// [G21] Authors that hear each other late or not at all: the order is that of yrs, whether it
/// was kept from the start, learnt in the middle, or learnt from the whole document.
#[test]
fn the_order_is_that_of_the_engine() {
    for seed in seeds(150) {
        println!("seed {seed}");
        let mut random = Random(seed);
        let server = Author::new(0);
        let authors: Vec<Author> =
            (0..2 + random.below(5)).map(|_| Author::new(random.next() >> 12)).collect();
        let (mut kept, mut learnt) = (Gate { walks: Walks::ordered(), ..Gate::new() }, Gate::new());
        for turn in 0..150 {
            let author = &authors[random.below(authors.len())];
            if random.below(3) > 0 {
                // Sometimes several edits come as one update.
                let edits: Vec<_> = (0..1 + random.below(4)).map(|_| author.edit(&mut random)).collect();
                let update = yrs::merge_updates_v1(&edits).expect("they merge");
                server.hear(&update);
                for gate in [&mut kept, &mut learnt] {
                    let before = (gate.order_of("a"), gate.charges());
                    let admission = gate.admit(&update, Source::Update).expect("honest work");
                    assert!(!admission.dropped.is_gap());
                    // Now and then the log refuses it, and it comes again.
                    if let Some(remainder) = admission.remainder.filter(|_| random.below(4) == 0) {
                        gate.revert(&remainder.receipt);
                        let after = (gate.order_of("a"), gate.charges());
                        assert_eq!(after, before, "seed {seed}: taken back");
                        gate.admit(&update, Source::Update).expect("honest work");
                    }
                }
            } else {
                author.hear(&server.full());
            }
            if turn == 75 {
                learnt.learn_order([server.full().as_slice()]).expect("a document");
            }
        }
        let mut late = Gate::new();
        late.admit(&server.full(), Source::Step2).expect("honest work");
        late.learn_order([server.full().as_slice()]).expect("a document");
        for mut gate in [kept, learnt, late] {
            let mut ids = gate.order_of("a").expect("it is known");
            ids.retain(|&(client, clock)| !gate.index.is_deleted(Id { client, clock }));
            assert_eq!(ids, server.ids(), "seed {seed}");
        }
    }
}

/// [G11] What is refused or taken back, however often, leaves nobody who comes later charged for it: not what it spans, not
/// what it has become one with.
#[test]
fn what_was_taken_back_is_not_charged_for() {
    let mut gate = Gate { walks: Walks::ordered(), ..Gate::new() };
    // Sections of one client: how many blocks, client, clock; a text of one letter behind or between ids.
    let update = |head: [u8; 3], blocks: &[&[u8]]| [&[1][..], &head, &blocks.concat(), &[0]].concat();
    let in_root: &[u8] = &[4, 1, 1, b't', 1, b'x'];
    let behind: &[u8] = &[0x84, 1, 4, 1, b'x'];
    let crossed: &[u8] = &[0xc4, 1, 3, 1, 0, 1, b'x'];
    let hello: &[u8] = b"\x04\x01\x01t\x05hello";
    gate.admit(&update([1, 1, 0], &[hello]), Source::Update).expect("honest work");
    let before = gate.charges();
    let wide = update([1, 9, 0], &[in_root]);
    let longer = update([1, 1, 5], &[behind]);
    let between = update([1, 8, 0], &[&[0xc4, 1, 1, 1, 2, 1, b'x']]);
    // As `longer`, and then what is refused: its right neighbour stands before its left one.
    let refused = update([2, 1, 5], &[behind, crossed]);
    for turn in 0..1_000 {
        for update in [&wide, &longer] {
            let admission = gate.admit(update, Source::Update).expect("within what is free");
            gate.revert(&admission.remainder.expect("it is new").receipt);
        }
        gate.admit(&refused, Source::Update).expect_err("crossed");
        let admission = gate.admit(&between, Source::Update).expect("within what is free");
        gate.revert(&admission.remainder.expect("it is new").receipt);
        assert_eq!(gate.charges(), before, "turn {turn}");
    }
    println!("after 4,000 updates that were taken back or refused: {before:?}");
    let next = gate.admit(&longer, Source::Update).expect("honest work").remainder.expect("it is new");
    assert_eq!(next.steps, 0);
}

/// [G11] Somebody types a letter behind the first one of a room, goes back, and types another one in between. That is taken back,
/// as a board does with what breaks a rule, or refused with what comes behind it: the first letter is what it was.
#[test]
fn an_entry_that_grew_and_was_cut_is_what_it_was() {
    let first: &[u8] = &[1, 1, 1, 0, 4, 1, 1, b't', 1, b'x', 0];
    let typed: [&[u8]; 2] = [&[0x84, 1, 0, 1, b'y'], &[0xc4, 1, 0, 1, 1, 1, b'z']];
    let edit = [&[1, 2, 1, 1][..], typed[0], typed[1], &[0]].concat();
    let crossed = [&[1, 3, 1, 1][..], typed[0], typed[1], &[0xc4, 1, 0, 1, 0, 1, b'!'], &[0]].concat();
    for is_first_in_flight in [false, true] {
        let mut gate = Gate { walks: Walks::ordered(), ..Gate::new() };
        let empty = (gate.order_of("t"), gate.charges());
        let laid = gate.admit(first, Source::Update).expect("honest work").remainder.expect("it is new");
        let before = (gate.order_of("t"), gate.charges());
        for turn in 0..10 {
            let admission = gate.admit(&edit, Source::Update).expect("honest work");
            gate.revert(&admission.remainder.expect("it is new").receipt);
            assert_eq!((gate.order_of("t"), gate.charges()), before, "turn {turn}, taken back");
            gate.admit(&crossed, Source::Update).expect_err("crossed");
            assert_eq!((gate.order_of("t"), gate.charges()), before, "turn {turn}, refused");
        }
        println!("after 20 turns the first letter is {:?}", before.1);
        if is_first_in_flight {
            gate.revert(&laid.receipt);
            assert_eq!((gate.order_of("t"), gate.charges()), empty);
            gate.admit(first, Source::Update).expect("honest work");
        }
        gate.admit(&edit, Source::Update).expect("honest work");
        assert_eq!(gate.order_of("t"), Some(vec![(1, 0), (1, 2), (1, 1)]));
    }
}

/// [G3, G24] A right origin that stands before the origin, both in one string, is refused where the order is known: Yjs
/// cuts that string a second time, and puts the block somewhere else than yrs. One that was typed before and stands
/// behind is honest.
#[test]
fn a_right_origin_within_the_left_string_is_refused() {
    let author = Author::new(1);
    let text = author.doc.get_or_insert_text("t");
    let typed = |at, what| {
        let mut transaction = author.doc.transact_mut();
        text.insert(&mut transaction, at, what);
        transaction.encode_update_v1()
    };
    let first = typed(0, "abcdef");
    let mut gate = Gate { walks: Walks::ordered(), ..Gate::new() };
    gate.admit(&first, Source::Update).expect("honest work");
    let between = |client: u8, origin: u8, right: u8| {
        let block = [0xc4, 1, origin, 1, right, 1, b'x'];
        [&[1, 1, client, 0][..], &block, &[0]].concat()
    };
    for (origin, right) in [(2, 1), (4, 0), (5, 4)] {
        let refused = gate.admit(&between(2, origin, right), Source::Update).map(drop);
        assert_eq!(refused, Err(Refusal::CrossedNeighbours), "{origin}, {right}");
    }
    gate.admit(&between(3, 2, 3), Source::Update).expect("neighbours");
    // The same author types before what was typed first: clock 6 stands before clock 0.
    gate.admit(&typed(0, "z"), Source::Update).expect("honest work");
    gate.admit(&between(4, 6, 0), Source::Update).expect("neighbours, the later clock first");
}

//! [G21, G22] The order is yrs', and what blocks are charged bounds the walks of every replay.

use std::collections::{HashMap, HashSet};

use yrs::updates::decoder::Decode;
use yrs::{Array, ArrayRef, ClientID, Doc, Options, Out, ReadTxn, StateVector, Transact, Update};

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
    match std::env::var("RUANG_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

impl Order {
    /// The ids of a list in their order.
    fn ids(&self, spot: Spot) -> Vec<(ClientId, u32)> {
        let mut ids = Vec::new();
        let mut slot = self.firsts.get(&spot).copied().unwrap_or(NONE);
        while let Some(entry) = self.entries.get(slot as usize) {
            let client = self.clients[entry.client() as usize].id;
            ids.extend((entry.clock..entry.clock + entry.len).map(|clock| (client, clock)));
            slot = entry.next;
        }
        ids
    }
}

impl Gate {
    fn order(&self) -> &Order {
        self.walks.order().expect("it is known")
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
        let authors: Vec<Author> = (0..2 + random.below(5)).map(|_| Author::new(random.next() >> 12)).collect();
        let (mut kept, mut learnt) = (Gate { walks: Walks::ordered(), ..Gate::new() }, Gate::new());
        for turn in 0..150 {
            let author = &authors[random.below(authors.len())];
            if random.below(3) > 0 {
                let update = author.edit(&mut random);
                server.hear(&update);
                for gate in [&mut kept, &mut learnt] {
                    let admission = gate.admit(&update, Source::Update).expect("honest work");
                    assert!(!admission.dropped.is_gap());
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
            let spot = Spot { parent: gate.index.root("a"), key: NO_NAME };
            let mut ids = gate.order().ids(spot);
            ids.retain(|&(client, clock)| !gate.index.is_deleted(Id { client, clock }));
            assert_eq!(ids, server.ids(), "seed {seed}");
        }
    }
}

/// A block of one clock: where it says it stands.
#[derive(Clone, Copy)]
struct Loose {
    id: Id,
    origin: Option<Id>,
    right: Option<Id>,
}

/// Yjs' integration as it is written there, on a plain list. Returns its steps.
fn integrate_plainly(list: &mut Vec<Loose>, block: Loose) -> u64 {
    let at = |list: &[Loose], id: Id| list.iter().position(|item| item.id == id).expect("it is there");
    let start = block.origin.map_or(0, |origin| at(list, origin) + 1);
    let end = block.right.map_or(list.len(), |right| at(list, right));
    let (mut place, mut steps) = (start, 0);
    let (mut before, mut conflicting) = (HashSet::new(), HashSet::new());
    // Whoever names a right origin left of the origin walks to the end.
    for (n, item) in list.iter().enumerate().skip(start).take_while(|&(n, _)| n != end) {
        steps += 1;
        before.insert(item.id);
        conflicting.insert(item.id);
        if item.origin == block.origin {
            if item.id.client < block.id.client {
                place = n + 1;
                conflicting.clear();
            } else if item.right == block.right {
                break;
            }
        } else if let Some(origin) = item.origin.filter(|origin| before.contains(origin)) {
            if !conflicting.contains(&origin) {
                place = n + 1;
                conflicting.clear();
            }
        } else {
            break;
        }
    }
    list.insert(place, block);
    steps
}

/// Blocks that name neighbours at random, near or far, as no editor would.
fn hostile(random: &mut Random) -> (Order, Vec<Loose>, u64) {
    let (mut order, index) = (Order::default(), Index::default());
    let (mut admitted, mut charged) = (Vec::<Loose>::new(), 0);
    let mut clocks: HashMap<u64, u32> = HashMap::new();
    let (clients, wild) = (1 + random.below(8), random.below(4));
    for _ in 0..20 + random.below(60) {
        let client = random.below(clients) as u64;
        let clock = clocks.entry(client).or_default();
        let ids = order.ids(SPOT);
        let from = random.below(ids.len() + 1);
        let reach = if random.below(4) < wild { ids.len() } else { 1 };
        let to = (from + random.below(reach + 1)).min(ids.len());
        let id = |at: usize| ids.get(at).map(|&(client, clock)| Id { client, clock });
        let origin = from.checked_sub(1).and_then(id);
        let block = Loose { id: Id { client, clock: *clock }, origin, right: id(to) };
        let Loose { id, origin, right } = block;
        let placed = Placed { id, len: 1, origin, right, spot: SPOT, first: random.below(2) == 0 };
        // One that is refused was never there.
        match order.integrate(&placed, &index, Some(u64::MAX)) {
            Ok(steps) => {
                charged += steps;
                admitted.push(block);
                *clock += 1;
                order.settle();
            }
            Err(refusal) => assert_eq!(refusal, Refusal::CrossedNeighbours),
        }
    }
    (order, admitted, charged)
}

const SPOT: Spot = Spot { parent: 0, key: NO_NAME };

/// Another order in which the same blocks may come: any, or one client after the other.
fn shuffled(blocks: &[Loose], random: &mut Random) -> Vec<Loose> {
    let mut rank: Vec<u64> = (0..64).map(|_| random.next()).collect();
    let by_client = random.below(2) == 0;
    let (mut left, mut done, mut out) = (blocks.to_vec(), HashSet::new(), Vec::new());
    while !left.is_empty() {
        let ready = |block: &Loose| {
            let previous = block.id.clock.checked_sub(1).map(|clock| Id { clock, ..block.id });
            [block.origin, block.right, previous].iter().flatten().all(|id| done.contains(id))
        };
        let able: Vec<usize> = (0..left.len()).filter(|&at| ready(&left[at])).collect();
        let best = able.iter().copied().max_by_key(|&at| rank[left[at].id.client as usize]);
        let at = if by_client { best.expect("one is ready") } else { able[random.below(able.len())] };
        let block = left.remove(at);
        if !by_client {
            rank[0] = random.next();
        }
        done.insert(block.id);
        out.push(block);
    }
    out
}

/// [G22] However the same blocks come, one by one, client by client, or all shuffled: the walks
/// together never take more than was charged, plus one step a block. And all end in one order.
#[test]
fn charges_bound_every_replay() {
    let mut tightest = f64::MAX;
    for seed in seeds(3_000) {
        let mut random = Random(seed);
        let (order, blocks, charged) = hostile(&mut random);
        let expected = order.ids(SPOT);
        for replay in 0..12 {
            let blocks = if replay == 0 { blocks.clone() } else { shuffled(&blocks, &mut random) };
            let (mut list, mut steps) = (Vec::new(), 0);
            for &block in &blocks {
                steps += integrate_plainly(&mut list, block);
            }
            let ids: Vec<_> = list.iter().map(|item| (item.id.client, item.id.clock)).collect();
            let bound = charged + blocks.len() as u64;
            assert!(steps <= bound, "seed {seed}, replay {replay}: {steps} steps, charged {charged}");
            assert_eq!(ids, expected, "seed {seed}, replay {replay}: one order");
            if steps > 500 {
                tightest = tightest.min(bound as f64 / steps as f64);
            }
        }
    }
    println!("the dearest replay took {:.0} % of what was charged", 100.0 / tightest);
}

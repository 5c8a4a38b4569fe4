//! [G4, G20, G25, G26] What the gate costs: memory of a board's index and of a list's order, memory and time of judging. Figures are
//! printed; only sizes are asserted, never times.
#![allow(clippy::unwrap_used)]

mod craft;

use std::time::{Duration, Instant};

use craft::{At, Blocks, Delete, blocks, update};
use peak_alloc::PeakAlloc;
use ruang::document::Document;
use ruang::gate::{Gate, Source, parse_presence, parse_state_vector};
use yrs::{
    Any, Array, ClientID, Doc, Map, MapPrelim, MapRef, OffsetKind, Options, Out, ReadTxn, StateVector,
    Transact,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// All in one test: the counting allocator counts the whole process.
#[test]
fn costs_are_bounded() {
    empty_gates_are_small();
    boards_are_indexed_in_little();
    lists_are_ordered_in_little();
    hostile_messages_cost_little();
    dense_documents_cost_in_the_engine();
}

fn empty_gates_are_small() {
    let gate = Gate::new();
    println!(
        "an empty gate: {} B, {} B of them on the heap",
        size_of::<Gate>() + gate.heap_bytes(),
        gate.heap_bytes()
    );
    assert!(size_of::<Gate>() + gate.heap_bytes() <= 1_024);
}

fn doc(id: u64) -> Doc {
    Doc::with_options(Options {
        client_id: ClientID::new(id),
        offset_kind: OffsetKind::Utf16,
        ..Options::default()
    })
}

const ITEMS: usize = 10_000;

/// A board as the measured facts on yrs have it: `items` with nested maps of x, y, text, and
/// `itemPositions`. Written by `clients` taking turns; every fifth position was written again.
fn board(clients: u64) -> Vec<u8> {
    let whole = doc(1);
    for client in 0..clients {
        let doc = doc(0x1234_5678_9abc + client);
        let state = doc.transact().state_vector();
        doc.transact_mut().apply_update(decode(&whole.transact().encode_diff_v1(&state))).unwrap();
        let (items, positions) = (doc.get_or_insert_map("items"), doc.get_or_insert_map("itemPositions"));
        for n in (client as usize..ITEMS).step_by(clients as usize) {
            add_item(&doc, &items, &positions, n);
        }
        let state = whole.transact().state_vector();
        whole.transact_mut().apply_update(decode(&doc.transact().encode_diff_v1(&state))).unwrap();
    }
    whole.transact().encode_diff_v1(&StateVector::default())
}

fn add_item(doc: &Doc, items: &MapRef, positions: &MapRef, n: usize) {
    let id = format!("item-{n:08x}");
    let mut transaction = doc.transact_mut();
    let item = items.insert(&mut transaction, id.as_str(), MapPrelim::default());
    item.insert(&mut transaction, "x", n as i64);
    item.insert(&mut transaction, "y", (n / 7) as i64);
    item.insert(&mut transaction, "text", "What went well this week?");
    for turn in 0..1 + usize::from(n.is_multiple_of(5)) {
        let place =
            Any::from(std::collections::HashMap::from([("x".to_owned(), Any::from((n + turn) as i64))]));
        positions.insert(&mut transaction, id.as_str(), place);
    }
}

fn decode(update: &[u8]) -> yrs::Update {
    yrs::updates::decoder::Decode::decode_v1(update).unwrap()
}

/// [G20] At most 24 bytes a run and 15 % of the document's heap, also of a gate that was told it in one go.
fn boards_are_indexed_in_little() {
    for (clients, loads) in [(1, false), (1, true), (20, false), (20, true)] {
        let board = board(clients);
        let before = HEAP.current_usage();
        let mut document = Document::new();
        let deleted = document.apply(&[&board]).unwrap();
        let document_bytes = HEAP.current_usage() - before;

        let before = HEAP.current_usage();
        let mut gate = if loads { Gate::roomy() } else { Gate::new() };
        let admission = gate.admit(&board, Source::Step2).unwrap();
        assert!(!admission.dropped.is_gap());
        gate.note_deleted(&deleted);
        gate.settle(&admission.remainder.unwrap().receipt);
        if loads {
            gate.tighten();
        }
        let gate_bytes = HEAP.current_usage() - before;
        drop(deleted);
        let (runs, percent) = (gate.runs(), gate_bytes as f64 * 100.0 / document_bytes as f64);
        println!(
            "{ITEMS} items by {clients} clients, loaded {loads}, {} kB encoded: index {} kB ({} kB by its own count), document {} kB: \
             {percent:.1} %; {runs} runs of {:.1} B",
            board.len() / 1_000,
            gate_bytes / 1_000,
            gate.heap_bytes() / 1_000,
            document_bytes / 1_000,
            gate_bytes as f64 / runs as f64,
        );
        assert!(percent <= 15.0 && gate_bytes <= 24 * runs, "{percent} %, {} B a run", gate_bytes / runs);
        assert!(gate.heap_bytes().abs_diff(gate_bytes) < gate_bytes / 10, "its own count is about right");
        times(&mut gate, &document, &board);
    }
}

/// A small update into the board: one client sets x of one item. Its time is printed.
fn times(gate: &mut Gate, document: &Document, board: &[u8]) {
    let client = doc(77);
    client.transact_mut().apply_update(decode(board)).unwrap();
    let items = client.get_or_insert_map("items");
    let mut times = Vec::new();
    let mut bytes = 0;
    for n in 0..2_000 {
        let before = client.transact().state_vector();
        let mut transaction = client.transact_mut();
        let Some(Out::YMap(item)) = items.get(&transaction, &format!("item-{:08x}", n * 7919 % ITEMS)) else {
            panic!("the item is there")
        };
        item.insert(&mut transaction, if n % 2 == 0 { "x" } else { "y" }, n as i64);
        let update = transaction.encode_update_v1();
        drop((transaction, before));
        bytes += update.len();
        let start = Instant::now();
        let admission = gate.admit(&update, Source::Update).unwrap();
        times.push(start.elapsed());
        assert!(!admission.dropped.is_gap());
        gate.settle(&admission.remainder.unwrap().receipt);
    }
    times.sort();
    println!(
        "  a small update ({} B) is admitted in {:?} (median), {:?} (p99)",
        bytes / 2_000,
        times[1_000],
        times[1_980]
    );
    let start = Instant::now();
    let whole = gate.admit(&document.encode_full(), Source::Step2).unwrap();
    println!("  the whole board, known: {:?}; {:?}", start.elapsed(), whole.dropped);
    let start = Instant::now();
    Gate::new().admit(board, Source::Step2).unwrap();
    println!("  the whole board, new: {:?}", start.elapsed());
}

/// [G25] A list of 8,000 items with 5,000 insertions at random places, one update each: the order
/// takes at most 64 bytes a block, and a quarter of the document's heap.
fn lists_are_ordered_in_little() {
    let peer = doc(5);
    let list = peer.get_or_insert_array("a");
    let mut at = 7_u32;
    for n in 0..8_000 {
        list.insert(&mut peer.transact_mut(), 0, f64::from(n));
    }
    let (mut gate, mut document) = (Gate::new(), Document::new());
    let first = peer.transact().encode_diff_v1(&StateVector::default());
    gate.admit(&first, Source::Record).unwrap();
    document.apply(&[&first]).unwrap();
    let mut times = (Vec::new(), Vec::new(), Duration::ZERO);
    for n in 0..5_000 {
        at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut transaction = peer.transact_mut();
        list.insert(&mut transaction, at % (8_000 + n), f64::from(n));
        let update = transaction.encode_update_v1();
        drop(transaction);
        let is_counted = gate.ordered_blocks().is_some();
        let began = Instant::now();
        match gate.admit(&update, Source::Update) {
            Ok(_) => {
                if is_counted {
                    times.1.push(began.elapsed())
                } else {
                    times.0.push(began.elapsed())
                }
            }
            Err(_) => {
                let began = Instant::now();
                gate.learn_order([document.encode_full().as_slice()]).unwrap();
                times.2 = began.elapsed();
                gate.admit(&update, Source::Update).expect("honest work");
            }
        }
        document.apply(&[&update]).unwrap();
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        (times.len(), times[times.len() / 2], times[times.len() * 99 / 100])
    };
    println!(
        "insertions at random: estimated {:?}, learning {:?}, counted {:?}",
        median(&mut times.0),
        times.2,
        median(&mut times.1)
    );
    let full = document.encode_full();
    let before = HEAP.current_usage();
    let mut document = Document::new();
    drop(document.apply(&[&full]).unwrap());
    let document_bytes = HEAP.current_usage() - before;
    let mut gate = Gate::new();
    drop(gate.admit(&full, Source::Record).unwrap());
    let before = HEAP.current_usage();
    let (peak, time) = measured(|| gate.learn_order([full.as_slice()]).unwrap());
    let order_bytes = HEAP.current_usage() - before;
    let blocks = gate.ordered_blocks().unwrap();
    println!(
        "an order of {blocks} blocks: {} kB, {} B a block, {:.1} % of the document's {} kB; learnt in {time:?} with {} kB",
        order_bytes / 1_000,
        order_bytes / blocks,
        order_bytes as f64 * 100.0 / document_bytes as f64,
        document_bytes / 1_000,
        peak / 1_000,
    );
    assert!(order_bytes <= 64 * blocks && order_bytes <= document_bytes / 4);
}

/// [G4] The densest messages of each kind, 64 KiB to 1 MiB.
fn hostile_messages_cost_little() {
    for kib in [64, 1_024] {
        let bytes = kib << 10;
        let mut messages = dense(bytes);
        messages.push(("declared counts", [&[0x80, 0x80, 0x80, 0x40][..], &vec![0x7f; bytes]].concat()));
        for (name, message) in messages {
            // Counting takes the same number of steps for the larger ones, and seconds in debug builds.
            let ways: &[bool] = if kib == 64 { &[false, true] } else { &[false] };
            for &is_ordered in ways {
                let mut gate = Gate::new();
                let source = if is_ordered { Source::Update } else { Source::Step2 };
                if is_ordered {
                    gate.learn_order([]).unwrap();
                }
                let (peak, time) = measured(|| drop(gate.admit(&message, source)));
                let times = peak as f64 / message.len() as f64;
                let how = if is_ordered { "counted" } else { "estimated" };
                println!("{kib} KiB of {name}, {how}: {time:?}, {times:.1} times its size");
                assert!(peak <= (64 * message.len()).max(1 << 20), "{name}: {times}");
            }
        }
        let vector = [&[0x80, 0x80, 0x80, 0x40][..], &vec![0x01; bytes]].concat();
        let (peak, _) = measured(|| drop((parse_state_vector(&vector), parse_presence(&vector))));
        assert!(peak <= (64 * bytes).max(1 << 20));
    }
}

/// [G26] What the same messages cost once they are folded: what stays, and what it takes on the way.
fn dense_documents_cost_in_the_engine() {
    const BYTES: usize = 1 << 20;
    for (name, message) in dense(BYTES) {
        let Ok(admission) = Gate::new().admit(&message, Source::Step2) else { continue };
        let Some(update) = admission.remainder.map(|remainder| remainder.update) else { continue };
        let mut document = Document::new();
        let before = HEAP.current_usage();
        let (peak, time) = measured(|| drop(document.apply(&[&update]).unwrap()));
        let kept = HEAP.current_usage() - before;
        let times = |bytes: usize| bytes as f64 / update.len() as f64;
        assert!(peak <= 96 * update.len(), "{name}: {:.0} times", times(peak));
        println!(
            "{} KiB of {name}, folded: {time:?}, {:.0} times its size on the way, {:.0} kept",
            update.len() >> 10,
            times(peak),
            times(kept)
        );
    }
}

type Messages = Vec<(&'static str, Vec<u8>)>;

fn dense(bytes: usize) -> Messages {
    [dense_blocks(bytes), dense_clients(bytes), dense_content(bytes)].concat()
}

fn dense_blocks(bytes: usize) -> Messages {
    let fill = |unit: usize, add: &dyn Fn(Blocks, u64) -> Blocks| {
        blocks((1..(bytes / unit) as u64).fold(Blocks::of(1, 0).gc(1).new_type(At::Root("a"), 0), add))
    };
    vec![
        ("GC blocks", fill(2, &|all, _| all.gc(1))),
        ("types in a root", fill(6, &|all, _| all.new_type(At::Root("a"), 1))),
        ("types after each other", fill(6, &|all, n| all.new_type(At::After((1, n)), 0))),
        ("children of garbage", fill(6, &|all, _| all.one(At::After((1, 0))))),
        ("values in a root", fill(6, &|all, _| all.one(At::Root("a")))),
        ("values and garbage, turn by turn", fill(4, &|all, _| all.gc(1).one(At::Root("a")))),
        ("new keys", fill(10, &|all, n| all.one(At::Key("m", &n.to_string())))),
        ("new roots", fill(9, &|all, n| all.one(At::Root(&n.to_string())))),
    ]
}

fn dense_clients(bytes: usize) -> Messages {
    let many = |unit: usize, one: &dyn Fn(u64) -> Blocks| {
        let first = (0..(bytes / 14) as u64).fold(Blocks::of(0, 0), |all, _| all.one(At::Root("a")));
        update((1..(bytes / unit) as u64).rev().map(one).chain([first]), &[])
    };
    let before = |client: u64| At::After((client - 1, 0));
    vec![
        ("clients", many(7, &|client| Blocks::of(client, 0).gc(1))),
        ("clients with a value each", many(12, &|client| Blocks::of(client, 0).one(At::Root("a")))),
        ("clients in a chain", many(14, &|client| Blocks::of(client, 0).one(before(client)))),
        ("clients that wait in vain", many(14, &|client| Blocks::of(client, 0).one(At::After((client, 5))))),
        ("clients that wait for one", many(14, &|client| Blocks::of(client, 0).one(At::After((0, client))))),
    ]
}

fn dense_content(bytes: usize) -> Messages {
    let base = || Blocks::of(9, 0).gc(1 << 30);
    let apart: Vec<Delete> = (0..(bytes / 5) as u64).map(|n| (9, n * 2, 1)).collect();
    let scattered: Vec<Delete> = (0..(bytes / 5) as u64).map(|n| (n, 0, 1)).collect();
    let mut values = Vec::new();
    craft::number(&mut values, (bytes / 2) as u64);
    values.extend([118, 0].repeat(bytes / 2));
    let json = format!("[{}0]", "{},".repeat(bytes / 3));
    vec![
        ("delete ranges", update([base()], &apart)),
        ("deletes of many clients", update([base()], &scattered)),
        ("empty values", blocks(Blocks::of(1, 0).block(At::Root("a"), 8, &values))),
        ("JSON", blocks(Blocks::of(1, 0).embed(At::Root("t"), &json))),
        ("text", blocks(Blocks::of(1, 0).text(At::Root("t"), &"😀".repeat(bytes / 4)))),
    ]
}

fn measured(run: impl FnOnce()) -> (usize, Duration) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let start = Instant::now();
    run();
    (HEAP.peak_usage() - before, start.elapsed())
}

//! [G4, G20] What the gate costs: memory of a board's index, memory and time of judging. Figures are
//! printed; only sizes are asserted, never times.

mod craft;

use std::time::{Duration, Instant};

use craft::{At, Blocks, Delete, blocks, update};
use peak_alloc::PeakAlloc;
use ruang::document::Document;
use ruang::gate::{Gate, Source, parse_presence, parse_state_vector};
use yrs::{
    Any, ClientID, Doc, Map, MapPrelim, MapRef, OffsetKind, Options, Out, ReadTxn, StateVector, Transact,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// All in one test: the counting allocator counts the whole process.
#[test]
fn costs_are_bounded() {
    empty_gates_are_small();
    boards_are_indexed_in_little();
    hostile_messages_cost_little();
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
    for turn in 0..1 + usize::from(n % 5 == 0) {
        let place =
            Any::from(std::collections::HashMap::from([("x".to_owned(), Any::from((n + turn) as i64))]));
        positions.insert(&mut transaction, id.as_str(), place);
    }
}

fn decode(update: &[u8]) -> yrs::Update {
    yrs::updates::decoder::Decode::decode_v1(update).unwrap()
}

/// [G20] At most 24 bytes a run and 15 % of the document's heap.
fn boards_are_indexed_in_little() {
    for clients in [1, 20] {
        let board = board(clients);
        let before = HEAP.current_usage();
        let mut document = Document::new();
        let deleted = document.apply(&[&board]).unwrap();
        let document_bytes = HEAP.current_usage() - before;

        let before = HEAP.current_usage();
        let mut gate = Gate::new();
        let admission = gate.admit(&board, Source::Step2).unwrap();
        assert!(!admission.dropped.is_gap());
        drop(admission);
        gate.note_deleted(&deleted);
        let gate_bytes = HEAP.current_usage() - before;
        drop(deleted);
        let (runs, percent) = (gate.runs(), gate_bytes as f64 * 100.0 / document_bytes as f64);
        println!(
            "{ITEMS} items by {clients} clients, {} kB encoded: index {} kB ({} kB by its own count), document {} kB: \
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
        assert!(admission.remainder.is_some() && !admission.dropped.is_gap());
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

/// [G4] The densest messages of each kind, 64 KiB to 1 MiB.
fn hostile_messages_cost_little() {
    for kib in [64, 1_024] {
        let bytes = kib << 10;
        let mut messages = dense(bytes);
        messages.push(("declared counts", [&[0x80, 0x80, 0x80, 0x40][..], &vec![0x7f; bytes]].concat()));
        for (name, message) in messages {
            let mut gate = Gate::new();
            let (peak, time) = measured(|| drop(gate.admit(&message, Source::Step2)));
            let times = peak as f64 / message.len() as f64;
            println!("{kib} KiB of {name}: {time:?}, {times:.1} times its size");
            assert!(peak <= (64 * message.len()).max(1 << 20), "{name}: {times}");
        }
        let vector = [&[0x80, 0x80, 0x80, 0x40][..], &vec![0x01; bytes]].concat();
        let (peak, _) = measured(|| drop((parse_state_vector(&vector), parse_presence(&vector))));
        assert!(peak <= (64 * bytes).max(1 << 20));
    }
}

fn dense(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let fill = |unit: usize, add: &dyn Fn(Blocks, u64) -> Blocks| {
        blocks((0..(bytes / unit) as u64).fold(Blocks::of(1, 0), |all, n| add(all, n)))
    };
    let many =
        |unit: usize, one: &dyn Fn(u64) -> Blocks| update((0..(bytes / unit) as u64).rev().map(one), &[]);
    let base = || Blocks::of(9, 0).gc(1 << 30);
    let apart: Vec<Delete> = (0..(bytes / 5) as u64).map(|n| (9, n * 2, 1)).collect();
    let scattered: Vec<Delete> = (0..(bytes / 5) as u64).map(|n| (n, 0, 1)).collect();
    vec![
        ("GC blocks", fill(2, &|all, _| all.gc(1))),
        ("types in a root", fill(6, &|all, _| all.new_type(At::Root("a"), 1))),
        (
            "types after each other",
            fill(6, &|all, n| {
                if n == 0 { all.new_type(At::Root("a"), 0) } else { all.new_type(At::After((1, n - 1)), 0) }
            }),
        ),
        (
            "values and garbage, turn by turn",
            fill(6, &|all, n| if n % 2 == 0 { all.gc(1) } else { all.one(At::Root("a")) }),
        ),
        ("new keys", fill(10, &|all, n| all.one(At::Key("m", &n.to_string())))),
        ("new roots", fill(9, &|all, n| all.one(At::Root(&n.to_string())))),
        ("clients", many(7, &|client| Blocks::of(client, 0).gc(1))),
        ("clients with a value each", many(12, &|client| Blocks::of(client, 0).one(At::Root("a")))),
        (
            "clients in a chain",
            many(14, &|client| {
                Blocks::of(client, 0).one(if client == 0 {
                    At::Root("a")
                } else {
                    At::After((client - 1, 0))
                })
            }),
        ),
        (
            "clients that wait in vain",
            many(14, &|client| Blocks::of(client, 0).one(At::After((client + 1, 5)))),
        ),
        (
            "clients that wait for one",
            update(
                (1..(bytes / 14) as u64)
                    .rev()
                    .map(|client| Blocks::of(client, 0).one(At::After((0, client))))
                    .chain(
                        [(0..(bytes / 14) as u64).fold(Blocks::of(0, 0), |all, _| all.one(At::Root("a")))],
                    ),
                &[],
            ),
        ),
        (
            "children of garbage",
            update(
                [(1..(bytes / 6) as u64)
                    .fold(Blocks::of(1, 0).gc(1), |all, n| all.one(At::After((1, n - 1))))],
                &[],
            ),
        ),
        ("delete ranges", update([base()], &apart)),
        ("deletes of many clients", update([base()], &scattered)),
        (
            "empty values",
            blocks(Blocks::of(1, 0).block(At::Root("a"), 8, &{
                let mut content = Vec::new();
                craft::number(&mut content, (bytes / 2) as u64);
                content.extend([118, 0].repeat(bytes / 2));
                content
            })),
        ),
        ("JSON", blocks(Blocks::of(1, 0).embed(At::Root("t"), &format!("[{}0]", "{},".repeat(bytes / 3))))),
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

//! [B30] [B36] What the rules of a board cost. Figures are printed, medians; sizes are asserted, times are not.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Instant;

use peak_alloc::PeakAlloc;
use ruang::board::edit::{Author, Edit, apply};
use ruang::board::rules::restore::{Compensation, Former, Restore, former};
use ruang::board::rules::{self, Verdict, Who, judge};
use ruang::board::schema::Point;
use ruang::caller::Role;
use ruang::gate::{Gate, Source};
use ruang::limits::BOARD_RESTORED_BYTES_MAX;
use yrs::branch::{Branch, BranchID};
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, Map, MapPrelim, ReadTxn, StateVector, Text, TextPrelim, Transact, Update, WriteTxn};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const CARDS: usize = 1_000;
const EDITS: usize = 2_000;

/// All in one test: the counting allocator counts the whole process.
#[test]
fn the_rules_cost_little() {
    what_is_set_again_takes_little_memory();
    asking_is_fast();
}

/// The most that is on the heap beside what was there, in bytes.
fn peak_of<T>(does: impl FnOnce() -> T) -> (usize, T) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let done = does();
    (HEAP.peak_usage() - before, done)
}

/// [B30] A text whose formats begin one after the other, with the memory of their square if they were read; and a large value
/// behind hundreds of blocks.
fn what_is_set_again_takes_little_memory() {
    let doc = Doc::with_client_id(7);
    let marks = 2_000;
    {
        let mut t = doc.transact_mut();
        let card = t.get_or_insert_map("items").insert(&mut t, "a", MapPrelim::default());
        let text = card.insert(&mut t, "text", TextPrelim::new("x".repeat(marks as usize)));
        for n in 0..marks {
            text.format(&mut t, n, marks - n, [(format!("f{n}").into(), Any::from(true))].into());
        }
    }
    let mut gate = Gate::new();
    let all = doc.transact().encode_state_as_update_v1(&StateVector::default());
    gate.admit(&all, Source::Record).unwrap();
    let transaction = doc.transact();
    let counted = |text: &Branch| match text.id() {
        BranchID::Nested(id) => {
            let live = gate.live_in(&gate.sequences(), (id.client.get(), id.clock));
            live - u64::from(text.len())
        }
        BranchID::Root(_) => panic!("it is in a card"),
    };
    let read = |known: u64| {
        let keys = [Some("a")];
        let (bytes, former) =
            peak_of(|| former(&transaction, "items", &keys, &|text| known.min(counted(text))));
        let Some(Former::Map(fields)) = former else { panic!("a card") };
        println!("a text with {marks} formats, taken for {known} at most: {bytes} B");
        (bytes, fields)
    };
    let (bounded, fields) = read(u64::MAX);
    assert_eq!(fields[0].0, "text");
    assert!(bounded < 1 << 20, "{bounded} B");
    assert!(read(0).0 > 100 * bounded, "what it would be");

    let value = Former::Plain(Any::from("x".repeat(160 << 10)));
    let restore = Restore { behind: (0..900).map(|client| (client, 0)).collect(), value };
    let (bytes, written) = peak_of(|| {
        let mut compensation = Compensation::new((1, 0), BOARD_RESTORED_BYTES_MAX);
        (compensation.put(&restore), compensation.finish())
    });
    println!("160 KiB behind 900 blocks: {bytes} B");
    assert_eq!(written, (false, None), "there is no room");
    assert!(bytes <= 4 * BOARD_RESTORED_BYTES_MAX, "{bytes} B");
}

/// [B36] On a board of 1,000 cards: admitting a small update, and asking the rules about it.
fn asking_is_fast() {
    let doc = Doc::with_client_id(7);
    let author = Author { user: "ann", now_ms: 1_700_000_000_000 };
    let add = |n: usize| Edit::AddItem {
        id: format!("card-{n:06}"),
        text: "What went well this week?".to_owned(),
        column: Some("well".to_owned()),
        position: Some(Point { x: n as f64, y: 1.0 }),
    };
    (0..CARDS).for_each(|n| apply(&doc, &add(n), author).unwrap());
    let board = doc.transact().encode_state_as_update_v1(&StateVector::default());
    let server = Doc::with_client_id(8);
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let id = |n: usize| format!("card-{:06}", n * 37 % CARDS);
    let kinds: [(&str, &dyn Fn(usize) -> Edit); 5] = [
        ("moves a card", &|n| Edit::MoveItem { id: id(n), position: Point { x: 1.0, y: n as f64 } }),
        ("sets a text", &|n| Edit::SetItemText { id: id(n), text: format!("text {n}") }),
        ("votes", &|n| Edit::Vote { target: id(n), count: n as u32 % 5 + 1 }),
        ("adds a card", &|n| add(CARDS + n)),
        ("takes a card away", &|n| Edit::DeleteItem { id: format!("card-{:06}", CARDS + n) }),
    ];
    let updates = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let collected = Arc::clone(&updates);
    doc.observe_update_v1("updates", move |_, event| collected.lock().unwrap().push(event.update.clone()))
        .unwrap();
    let mut gate = Gate::new();
    gate.admit(&board, Source::Record).unwrap();
    server.transact_mut().apply_update(Update::decode_v1(&board).unwrap()).unwrap();
    let who = Who { role: Role::Editor, user: Some("ann"), only_shape: false };
    for (what, edit) in kinds {
        let (mut gate_ns, mut rules_ns, mut acts, mut bytes) = (Vec::new(), Vec::new(), 0_u64, 0);
        for n in 0..EDITS {
            apply(&doc, &edit(n), author).unwrap();
            let Some(update) = updates.lock().unwrap().pop() else { continue };
            bytes += update.len();
            let began = Instant::now();
            let Some(admitted) = gate.admit(&update, Source::Update).unwrap().remainder else { continue };
            gate_ns.push(began.elapsed().as_nanos());
            let began = Instant::now();
            let transaction = server.transact();
            let board = rules::Document::new(&transaction);
            gate.acts(&admitted, |act| {
                acts += 1;
                assert_eq!(judge(act, &who, &board), Verdict::Allowed, "{what}: {act:?}");
            })
            .unwrap();
            drop(transaction);
            rules_ns.push(began.elapsed().as_nanos());
            server.transact_mut().apply_update(Update::decode_v1(&admitted.update).unwrap()).unwrap();
        }
        let median = |mut ns: Vec<u128>| {
            ns.sort_unstable();
            ns[ns.len() / 2] as f64 / 1_000.0
        };
        println!(
            "{what}: {} bytes, gate {:.2} us, rules {:.2} us, {:.1} acts ({profile} profile)",
            bytes / EDITS,
            median(gate_ns),
            median(rules_ns),
            acts as f64 / EDITS as f64
        );
        assert!(acts >= EDITS as u64);
    }
}

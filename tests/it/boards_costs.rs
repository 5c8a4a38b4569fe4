//! [B36] What the rules of a board cost. Figures are printed, medians; times are not asserted.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Instant;

use ruang::board::edit::{Author, Edit, apply};
use ruang::board::rules::{self, Verdict, Who, judge};
use ruang::board::schema::Point;
use ruang::caller::Role;
use ruang::gate::{Gate, Source};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

const CARDS: usize = 1_000;
const EDITS: usize = 2_000;

/// [B36] On a board of 1,000 cards: admitting a small update, and asking the rules about it.
#[test]
fn the_rules_cost_little() {
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

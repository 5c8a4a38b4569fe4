//! The gate's rules, as its users may rely on them. Tests name the rules they show.
//!
//! - G1  Honest work is never refused and never lost: what Yjs 13, Yjs 14 and yrs write is admitted.
//! - G2  An update is refused whole if one byte of it breaks a rule of form. Nothing is taken in.
//! - G3  What Yjs 13, Yjs 14 and yrs read in different ways is refused.
//! - G4  Judging costs at most 64 times the message in memory (or 1 MiB), a fixed depth of stack, and
//!   10 ms for 64 KiB. Declared counts cost nothing.
//! - G5  A remainder starts at the known clock of each client; what is known is cut off, inside a
//!   block too, as Yjs itself cuts.
//! - G6  A remainder is complete: origins, right origins and parents are known or in it. The order
//!   of an update's parts does not matter. What never becomes complete is dropped and counted.
//! - G7  Skips are never admitted, nor what stands behind them, unless all they skip is known.
//! - G8  Deletes name known ids only, and each id once; the rest is counted.
//! - G9  Remainders merged change a document as they do one by one.
//! - G10 A record of the log goes through unchanged. What the server hands out it takes back.
//! - G11 An admission can be taken back; then, and after a refusal, the gate is as it was.
//! - G12 A parent is a shared type, or garbage; neighbours live in one place; a key is set to one
//!   value at a time. What lives in garbage is admitted as garbage.
//! - G13 Values have at most 32 levels, shared types 64.
//! - G14 Sets of one key beside each other are bounded, as G22 has it; a chain of sets is not, nor
//!   are records.
//! - G15 Updates, documents, clients and names have a largest size; a refusal tells size from form.
//! - G16 What is admitted folds. A fold that fails all the same, by error or panic, poisons its
//!   document and nothing else, and leaves no lock behind.
//! - G17 A fold tells every id that it deletes; an answer to a state vector has all deletes.
//! - G18 State vectors obey the same rules of form.
//! - G19 Presence: JSON that every client can parse, of bounded size, depth and number.
//! - G20 The index takes at most 24 bytes a run, and can say the path of every id.
//! - G21 to G24 are shown in `gate_walks.rs` and in `src/gate/order/tests.rs`.
#![allow(clippy::unwrap_used)]

mod craft;
mod gate_bounds;
mod gate_form;
mod hex;
mod learning;

use craft::{At, Blocks, blocks, update};
use hex::{bytes, hex};
use ruang::document::{Document, FoldError};
use ruang::gate::{Admission, Dropped, Gate, Recent, Refusal, Source, merge, parse_update, try_merge};

/// A gate and the document behind it.
#[derive(Default)]
struct Room {
    gate: Gate,
    document: Document,
}

impl Room {
    /// Admits and folds.
    fn offer(&mut self, update: &[u8], source: Source) -> Result<Admission, Refusal> {
        let admission = learning::admit(&mut self.gate, &self.document, update, source)?;
        if let Some(remainder) = &admission.remainder {
            let deleted = self.document.apply(&[&remainder.update]).expect("what is admitted folds");
            self.gate.note_deleted(&deleted);
        }
        Ok(admission)
    }

    /// Offers what must go through as it is.
    fn take(&mut self, update: &[u8]) {
        let admission = self.offer(update, Source::Update).expect("admitted");
        assert_eq!(admission.remainder.map(|remainder| hex(&remainder.update)), Some(hex(update)));
        assert_eq!(admission.dropped, Dropped::default());
    }

    /// What is left of an update, in hex, and what was dropped.
    fn left(&mut self, update: &[u8]) -> (Option<String>, Dropped) {
        let admission = self.offer(update, Source::Step2).expect("admitted");
        (admission.remainder.map(|remainder| hex(&remainder.update)), admission.dropped)
    }

    fn refused(&mut self, update: &[u8]) -> Refusal {
        let (state, deleted) = (self.gate.state_vector(), self.gate.deleted());
        let refusal = self.offer(update, Source::Update).expect_err("refused");
        assert_eq!((self.gate.state_vector(), self.gate.deleted()), (state, deleted), "no trace of it");
        refusal
    }

    /// An honest newcomer's edit works, and the whole document loads elsewhere.
    fn still_works(&mut self) {
        let client = 0xface + self.gate.state_vector().entries().len() as u64;
        self.take(&blocks(Blocks::of(client, 0).one(At::Key("honest", "key"))));
        let full = self.document.encode_full();
        Document::new().apply(&[&full]).expect("a newcomer loads the room");
        let mut gate = Gate::new();
        assert!(!gate.admit(&full, Source::Step2).expect("taken back").dropped.is_gap());
    }
}

/// [G5] What is known is cut off, inside blocks too, as Yjs' `Item.write(encoder, offset)` does.
#[test]
fn overlaps_are_cut_as_yjs_cuts() {
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).text(At::Root("t"), "a😀")));
    // The same text, longer: the cut falls behind the pair, then into it.
    let (left, dropped) = room.left(&blocks(Blocks::of(1, 0).text(At::Root("t"), "a😀bc")));
    assert_eq!(left, Some(hex(&blocks(Blocks::of(1, 3).text(At::After((1, 2)), "bc")))));
    assert_eq!(dropped.known_clocks, 3);
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).text(At::Root("t"), "ab")));
    let (left, _) = room.left(&blocks(Blocks::of(1, 0).text(At::Root("t"), "a😀c")));
    assert_eq!(left, Some(hex(&blocks(Blocks::of(1, 2).text(At::After((1, 1)), "\u{fffd}c")))));

    // Values, with a right origin; deleted content; garbage.
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(2, 0).one(At::Root("a"))));
    let three = [3, 125, 1, 119, 1, b'x', 126];
    room.take(&blocks(Blocks::of(1, 0).block(At::Before((2, 0)), 8, &[1, 125, 1])));
    let (left, _) = room.left(&blocks(Blocks::of(1, 0).block(At::Before((2, 0)), 8, &three)));
    let rest = [2, 119, 1, b'x', 126];
    assert_eq!(left, Some(hex(&blocks(Blocks::of(1, 1).block(At::Between((1, 0), (2, 0)), 8, &rest)))));
    let (left, _) = room.left(&blocks(Blocks::of(3, 0).deleted(At::Root("a"), 2)));
    assert!(left.is_some());
    let (left, _) = room.left(&blocks(Blocks::of(3, 0).deleted(At::Root("a"), 5)));
    assert_eq!(left, Some(hex(&blocks(Blocks::of(3, 2).deleted(At::After((3, 1)), 3)))));
    room.take(&blocks(Blocks::of(4, 0).gc(2)));
    let (left, _) = room.left(&blocks(Blocks::of(4, 0).gc(7)));
    assert_eq!(left, Some(hex(&blocks(Blocks::of(4, 2).gc(5)))));
    room.still_works();
}

/// [G6] Parts that need each other are admitted in whatever order they stand; what needs something
/// that is not there is dropped, with all behind it, and counted.
#[test]
fn what_is_complete_is_admitted_in_any_order() {
    let parts = || {
        [
            Blocks::of(3, 0).new_type(At::Root("a"), 0).one(At::After((1, 0))).one(At::After((2, 1))),
            Blocks::of(2, 0).one(At::Type((3, 0))).one(At::Between((2, 0), (1, 0))),
            Blocks::of(1, 0).one(At::Before((2, 0))),
        ]
    };
    let expected = hex(&update(parts(), &[]));
    for turn in 0..3 {
        let mut turned = parts();
        turned.rotate_left(turn);
        let mut room = Room::default();
        let (left, dropped) = room.left(&update(turned, &[]));
        assert_eq!((left, dropped), (Some(expected.clone()), Dropped::default()));
        room.still_works();
    }
    // Without the part of client 1, only what stands before the need for it goes on.
    let [three, two, _] = parts();
    let (left, dropped) = Room::default().left(&update([three, two], &[]));
    let complete = [Blocks::of(3, 0).new_type(At::Root("a"), 0), Blocks::of(2, 0).one(At::Type((3, 0)))];
    assert_eq!(left, Some(hex(&update(complete, &[]))));
    assert_eq!(dropped.unknown_blocks, 3);
    assert!(dropped.is_gap());
    // Two that wait for each other, and one that waits for itself.
    let knot = [Blocks::of(2, 0).one(At::After((1, 0))), Blocks::of(1, 0).one(At::After((2, 0)))];
    assert_eq!(
        Room::default().left(&update(knot, &[])),
        (None, Dropped { unknown_blocks: 2, ..Dropped::default() })
    );
    let own_tail = blocks(Blocks::of(1, 0).one(At::After((1, 0))));
    assert_eq!(Room::default().left(&own_tail).0, None);
}

/// [G6, G7] Gaps and Skips: nothing behind them is admitted, until what they skip is known.
#[test]
fn skips_are_never_admitted() {
    let at = At::Root("a");
    let pending = blocks(Blocks::of(1, 0).one(at).skip(2).one(At::After((1, 2))).one(At::After((1, 3))));
    let mut room = Room::default();
    let (left, dropped) = room.left(&pending);
    assert_eq!(left, Some(hex(&blocks(Blocks::of(1, 0).one(at)))));
    assert_eq!(dropped.unknown_blocks, 3);
    let (left, dropped) = room.left(&blocks(Blocks::of(1, 2).one(At::After((1, 1)))));
    assert_eq!((left, dropped.unknown_blocks), (None, 1), "a gap");
    room.take(&blocks(Blocks::of(1, 1).one(At::After((1, 0)))));
    let (left, dropped) = room.left(&pending);
    assert_eq!((left, dropped.unknown_blocks), (None, 3), "half of the Skip is known");
    room.take(&blocks(Blocks::of(1, 2).one(At::After((1, 1)))));
    let (left, dropped) = room.left(&pending);
    assert_eq!(left, Some(hex(&blocks(Blocks::of(1, 3).one(At::After((1, 2))).one(At::After((1, 3)))))));
    assert!(!dropped.is_gap());
    room.still_works();
}

/// [G8] Deletes: what is known and not deleted goes on; ids that were deleted, explicitly or by
/// integration, are cut off; unknown ones are counted.
#[test]
fn deletes_are_taken_once() {
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).text(At::Root("t"), "0123456789")));
    room.take(&update([], &[(1, 2, 2)]));
    let (left, dropped) = room.left(&update([], &[(1, 0, 6), (1, 8, 4), (7, 0, 3)]));
    assert_eq!(left, Some(hex(&update([], &[(1, 0, 2), (1, 4, 2), (1, 8, 2)]))));
    assert_eq!((dropped.known_deletes, dropped.unknown_deletes), (2, 5));
    // Ranges in any order, overlapping: taken as one set.
    let (left, dropped) = room.left(&update([], &[(1, 7, 2), (1, 6, 2), (1, 0, 3)]));
    assert_eq!(left, Some(hex(&update([], &[(1, 6, 2)]))));
    assert_eq!(dropped, Dropped { known_deletes: 4, ..Dropped::default() });
    // Overwritten by integration: the fold tells, the gate knows.
    room.take(&blocks(Blocks::of(2, 0).one(At::Key("m", "k"))));
    room.take(&blocks(Blocks::of(3, 0).one(At::Key("m", "k"))));
    let (left, dropped) = room.left(&update([], &[(2, 0, 1)]));
    assert_eq!((left, dropped.known_deletes), (None, 1));
    room.still_works();
}

/// [G8] A block that is new here and comes as garbage keeps its delete range: a client that holds the block alive
/// passes over the garbage, and would never learn that it is deleted.
#[test]
fn blocks_that_come_deleted_keep_their_ranges() {
    let mut room = Room::default();
    let sent =
        update([Blocks::of(2, 0).gc(3), Blocks::of(1, 0).text(At::Root("t"), "ab")], &[(2, 0, 3), (1, 1, 1)]);
    let (left, dropped) = room.left(&sent);
    assert_eq!((left, dropped), (Some(hex(&sent)), Dropped::default()));
    let (left, dropped) = room.left(&sent);
    assert_eq!((left, dropped.known_deletes), (None, 4), "once");
    room.still_works();
}

/// [G12] A parent is a shared type; neighbours live in one place.
#[test]
fn places_must_fit() {
    let mut room = Room::default();
    let base = Blocks::of(1, 0)
        .one(At::Root("a"))
        .one(At::Root("b"))
        .new_type(At::Root("a"), 0)
        .one(At::Key("m", "x"));
    room.take(&blocks(base.one(At::Key("m", "y"))));
    let cases = [
        ("a value as parent", At::Type((1, 0)), Refusal::ParentIsNoType),
        ("neighbours in two roots", At::Between((1, 0), (1, 1)), Refusal::CrossedNeighbours),
        ("neighbours under two keys", At::Between((1, 3), (1, 4)), Refusal::CrossedNeighbours),
        ("one neighbour on both sides", At::Between((1, 0), (1, 0)), Refusal::CrossedNeighbours),
    ];
    for (name, at, expected) in cases {
        assert_eq!(room.refused(&blocks(Blocks::of(2, 0).gc(1).one(at))), expected, "{name}");
    }
    room.still_works();
}

/// [G12] A key set to several values at once, as undo does it: only the last is a value; so it stays
/// whole when the type around it is deleted.
#[test]
fn a_set_is_one_value() {
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).new_type(At::Key("m", "k"), 1)));
    let wide = |client: u64, at| blocks(Blocks::of(client, 0).block(at, 8, &[3, 120, 121, 126]));
    // A block with a key keeps the flag that says so behind a cut, as in Yjs.
    let narrow = |client: u64, at, kind| {
        blocks(Blocks::of(client, 0).deleted(at, 2).block(At::After((client, 1)), kind, &[1, 126]))
    };
    let places = [(At::TypeKey((1, 0), "x"), 0x28), (At::Key("m", "x"), 0x28), (At::After((2, 2)), 8)];
    for (client, (at, kind)) in (2..).zip(places) {
        let (left, dropped) = room.left(&wide(client, at));
        assert_eq!(left, Some(hex(&narrow(client, at, kind))));
        assert!(!dropped.is_gap());
    }
    // Cut: the first value is known.
    room.take(&blocks(Blocks::of(9, 0).one(At::Key("m", "z"))));
    let (left, _) = room.left(&wide(9, At::Key("m", "z")));
    let rest = Blocks::of(9, 1).deleted(At::After((9, 0)), 1).block(At::After((9, 1)), 0x28, &[1, 126]);
    assert_eq!(left, Some(hex(&blocks(rest))));
    room.take(&update([], &[(1, 0, 1)]));
    room.still_works();
}

/// [G12] What lives in garbage becomes garbage at every peer, so it is stored as that.
#[test]
fn garbage_begets_garbage() {
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).gc(1).one(At::Root("a")).deleted(At::Root("a"), 1)));
    let places = [
        At::Type((1, 0)),
        At::After((1, 0)),
        At::Before((1, 0)),
        At::Between((1, 0), (1, 1)),
        At::Between((1, 1), (1, 0)),
        At::Type((1, 2)),
    ];
    for (client, at) in (10..).zip(places) {
        let (left, _) = room.left(&blocks(Blocks::of(client, 0).text(at, "abc").one(At::Root("a"))));
        assert_eq!(left, Some(hex(&blocks(Blocks::of(client, 0).gc(3).one(At::Root("a"))))));
    }
    room.still_works();
}

/// [G9] Remainders merged are one update, with the highest client first; what does not follow is
/// an error, never a panic, of `try_merge`.
#[test]
fn remainders_merge() {
    let first =
        update([Blocks::of(2, 0).text(At::Root("t"), "ab"), Blocks::of(1, 0).one(At::Root("a"))], &[]);
    let second = update([Blocks::of(2, 2).text(At::After((2, 1)), "c")], &[(2, 0, 1), (1, 0, 1)]);
    let third = update([Blocks::of(7, 0).one(At::Root("a"))], &[(2, 1, 1)]);
    let merged = merge(&[&first, &second, &third]);
    let expected = update(
        [
            Blocks::of(7, 0).one(At::Root("a")),
            Blocks::of(2, 0).text(At::Root("t"), "ab").text(At::After((2, 1)), "c"),
            Blocks::of(1, 0).one(At::Root("a")),
        ],
        &[(2, 0, 2), (1, 0, 1)],
    );
    assert_eq!(hex(&merged), hex(&expected));
    assert_eq!(merge(&[&first]), first);
    assert_eq!(merge(&[]), [0, 0]);
    assert_eq!(try_merge(&[&first, &first]), Err(Refusal::ClientTwice));
    assert_eq!(try_merge(&[&first, &[1, 2, 3]]), Err(Refusal::CutOff));
}

/// [G16] What was not gated can fail to fold: that is an error, the document is poisoned, and
/// nothing hangs.
#[test]
fn a_failed_fold_poisons_its_document_only() {
    let good = blocks(Blocks::of(1, 0).one(At::Root("a")));
    let bad = [
        ("not an update", bytes("ffff"), "decode"),
        ("a missing origin", blocks(Blocks::of(2, 0).one(At::After((9, 9)))), "missing"),
        ("a parent that is none", blocks(Blocks::of(2, 0).one(At::Type((1, 0)))), "integrated"),
        ("a clock that wraps", bytes("010402ffffffff0f00050a040a010a0f01020200080b04"), ""),
    ];
    for (name, bad, text) in bad {
        let mut document = Document::new();
        document.apply(&[&good]).unwrap();
        let error = document.apply(&[&bad]).expect_err(name);
        println!("{name}: {error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(matches!(document.apply(&[&good]), Err(FoldError::Poisoned)));
        drop((document.state_vector(), document.encode_full(), document.diff(&[0])));
    }
}

/// [G17] A fold tells what it deletes, by name or by integration; an answer has all deletes, also
/// for someone with the same state vector.
#[test]
fn deletes_are_told_and_handed_out() {
    let mut document = Document::new();
    let base = Blocks::of(5, 0)
        .new_type(At::Key("m", "k"), 1)
        .one(At::TypeKey((5, 0), "x"))
        .text(At::Root("t"), "abc");
    assert_eq!(document.apply(&[&blocks(base)]).unwrap(), []);
    // Overwrites the map: it and what is in it are deleted.
    let overwrite = update([Blocks::of(6, 0).one(At::After((5, 0)))], &[(5, 3, 1)]);
    assert_eq!(document.apply(&[&overwrite]).unwrap(), [(5, 0, 2), (5, 3, 4)]);
    // What comes for a deleted type is deleted as it comes.
    let late = blocks(Blocks::of(7, 0).one(At::TypeKey((5, 0), "y")));
    assert_eq!(document.apply(&[&late]).unwrap(), [(7, 0, 1)]);
    let same = document.diff(&document.state_vector()).unwrap();
    assert_eq!(hex(&same), hex(&update([], &[(5, 0, 2), (5, 3, 1), (7, 0, 1)])));
    assert!(matches!(document.diff(&bytes("80808040")), Err(FoldError::StateVector(_))));
    assert!(document.diff(&[0]).is_ok(), "a bad state vector does no harm");
}

/// [G20] The index can say where everything lives.
#[test]
fn paths_are_known() {
    let mut gate = Gate::new();
    let card = Blocks::of(1, 0)
        .new_type(At::Key("items", "card"), 1)
        .one(At::TypeKey((1, 0), "text"))
        .new_type(At::TypeKey((1, 0), "tags"), 0)
        .one(At::Type((1, 2)))
        .gc(1);
    gate.admit(&blocks(card), Source::Update).unwrap();
    let path = |clock| gate.path(1, clock);
    assert_eq!(path(0), Some(vec![Some("items"), Some("card")]));
    assert_eq!(path(1), Some(vec![Some("items"), Some("card"), Some("text")]));
    assert_eq!(path(3), Some(vec![Some("items"), Some("card"), Some("tags"), None]));
    assert_eq!((path(4), path(5)), (None, None));
}

/// [R43] Of an update of 20,000 clients the newest edits are remembered: each of those that comes again with another content
/// contradicts, and the same content does not. What was cut off as known, or left out, is not remembered.
#[test]
fn the_newest_edits_of_an_update_are_remembered() {
    const CLIENTS: u64 = 20_000;
    let section = |client: u64, letter: &'static str| {
        Blocks::of(client, 0).text(At::Key("m", &client.to_string()), letter)
    };
    let edit = update((1..=CLIENTS).map(|client| section(client, "a")), &[]);
    let (mut gate, mut recent) = (Gate::new(), Recent::default());
    // One is known already, one is left out.
    gate.admit(&blocks(section(CLIENTS - 3, "a")), Source::Update).unwrap();
    let parsed = parse_update(&edit, Source::Update).unwrap();
    let left_out = [CLIENTS - 5];
    let admitted = gate.admit_without(&parsed, &left_out).unwrap().remainder.unwrap().receipt;
    assert_eq!(admitted.blocks.len() as u64, CLIENTS - 2);
    let started = std::time::Instant::now();
    recent.note(&parsed, &admitted.blocks);
    println!("{CLIENTS} clients noted in {:?}", started.elapsed());
    let mut contradicted = 0;
    for client in CLIENTS - 99..=CLIENTS {
        let says = |letter| {
            let again = blocks(section(client, letter));
            gate.contradicted(&parse_update(&again, Source::Update).unwrap(), &recent)
        };
        assert_eq!(says("a"), None, "the same again");
        contradicted += u64::from(says("b") == Some(client));
        let is_forgotten = [CLIENTS - 3, CLIENTS - 5].contains(&client);
        assert!(!is_forgotten || says("b").is_none(), "{client} was not admitted of this update");
    }
    println!("{contradicted} of the newest 100 are remembered");
    assert_eq!(contradicted, ruang::limits::RECENT_EDITS_MAX as u64);
}

/// [G11] Two values under one key are judged one after the other. If only the second is too much, nothing of the first stays.
#[test]
fn half_a_set_of_a_key_is_taken_back() {
    const LAID: usize = 200_000;
    let mut gate = Gate::new();
    let heap = (0..LAID).fold(Blocks::of(1, 0), |all, _| all.one(At::Key("m", "k")));
    gate.admit(&blocks(heap), Source::Record).unwrap();
    let before = (gate.state_vector(), gate.deleted(), gate.runs());
    let two = blocks(Blocks::of(2, 0).block(At::Key("m", "k"), 8, &[2, 126, 126]));
    assert_eq!(gate.admit(&two, Source::Update), Err(Refusal::OrderUnknown));
    println!(
        "{LAID} sets of a key; of two more values the second was too much: client 2 has {} clocks",
        gate.known(2)
    );
    assert_eq!((gate.state_vector(), gate.deleted(), gate.runs()), before);
    let whole = gate.admit(&two, Source::Record).unwrap().remainder.unwrap();
    assert_eq!(whole.receipt.blocks, [(2, 0, 2)]);
}

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
//! - G12 A parent is a shared type, or garbage; neighbours live in one place. What lives in garbage
//!   is admitted as garbage.
//! - G13 Values have at most 32 levels, shared types 64.
//! - G14 Sets of one key beside each other are bounded per update, per Step2 and per loaded room; a
//!   chain of sets is not, nor are records.
//! - G15 Updates, documents, clients and names have a largest size; a refusal tells size from form.
//! - G16 A fold that fails poisons the document and nothing else; it never hangs, never aborts.
//! - G17 A fold tells every id that it deletes; an answer to a state vector has all deletes.
//! - G18 State vectors obey the same rules of form.
//! - G19 Presence: JSON that every client can parse, of bounded size, depth and number.
//! - G20 The index takes at most 24 bytes a run, and can say the path of every id.

mod craft;
mod hex;

use craft::{At, Blocks, blocks, update};
use hex::{bytes, hex};
use ruang::document::{Document, FoldError};
use ruang::gate::{
    Admission, Dropped, Gate, Refusal, Source, merge, parse_presence, parse_state_vector, try_merge,
};
use ruang::limits::{
    CLIENTS_PER_DOCUMENT_MAX, SIBLING_SETS_PER_ROOM_MAX, SIBLING_SETS_PER_STEP2_MAX,
    SIBLING_SETS_PER_UPDATE_MAX, TYPE_DEPTH_MAX, UPDATE_BYTES_MAX, VALUE_DEPTH_MAX,
};

/// A gate and the document behind it.
#[derive(Default)]
struct Room {
    gate: Gate,
    document: Document,
}

impl Room {
    /// Admits and folds.
    fn offer(&mut self, update: &[u8], source: Source) -> Result<Admission, Refusal> {
        let admission = self.gate.admit(update, source)?;
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

/// [G2, G3, G4] The inputs that are known to kill, hang or poison yrs: each is refused or reduced,
/// the room lives on, an honest edit works, a newcomer loads it.
#[test]
fn known_killers_do_nothing() {
    let killers = [
        ("a gap", "010101052801016d016b017e00"),
        ("a clock of 2^32", "010101feffffff0f2801016d016b017e00"),
        ("a poison pill of legacy JSON", "01010300820300010131013100"),
        ("overlapping ids, first part", "010302000004e70202020304810209050102010504"),
        ("overlapping ids, second part", "01010206000500"),
        ("lengths near 2^32", "010402ffffffff0f00050a040a010a0f01020200080b04"),
        ("a text that hangs an array's reader", "010101000401016108f09f9880f09f988000"),
        ("2^27 clients", "80808040"),
        ("2^24 clients", "80808008"),
        ("2^29 clients", "8080808002"),
        ("2^53 blocks", "01ffffffffffffff0f0100"),
        ("10^8 blocks", "0180c2d72f010000"),
        ("10^8 map entries", "010101002801016d016b017680c2d72f00"),
        ("GC blocks by run-length in V2", "000000000000018001000000"),
        ("an empty V2 update", "00000000000001000000000000"),
        (
            "a clock of 70 bits that aborts",
            "0203ea07ffffffffff00c4030203030b68656c6c6f20776f726c6408010175037d01787e44031b0b68656c6c6f20776f726c640e0300\
             040101740368656c840302076c6f20776f726c84030901644403000b68656c6c6f20776f726c6407010178030170c40309030a08c3a9\
             f09f9880c39f44030b0b68656c6c6f20776f726c642101016d016e01000144ea070c08c3a9f09f9880c39fa726010161017d01280101\
             6d026b30017a890bb3d1c7c2c2e14403280b68656c6c6f20146f726c640103012602",
        ),
        ("text that is not UTF-8", "010101000401016102fffe00"),
    ];
    let mut room = Room::default();
    for (name, killer) in killers {
        match room.offer(&bytes(killer), Source::Update) {
            Ok(admission) => println!("{name}: reduced to {:?}", admission.remainder.map(|r| hex(&r.update))),
            Err(refusal) => println!("{name}: {refusal}"),
        }
        room.still_works();
    }
}

/// [G2] Each rule of form, with the refusal that names it.
#[test]
fn what_breaks_a_rule_of_form_is_refused() {
    let at = At::Key("m", "k");
    let type_at = |type_ref: u8| blocks(Blocks::of(1, 0).new_type(at, type_ref));
    let cases = [
        ("no bytes", vec![], Refusal::CutOff),
        ("a byte too many", bytes("000000"), Refusal::LooksLikeV2),
        ("a byte too many", [blocks(Blocks::of(1, 0).one(at)), vec![0]].concat(), Refusal::TrailingBytes),
        ("cut off", bytes("0101010028"), Refusal::CutOff),
        ("a client id of 54 bits", blocks(Blocks::of(1 << 53, 0).one(at)), Refusal::NumberTooLarge),
        ("a clock of 2^31", blocks(Blocks::of(1, 1 << 31).one(at)), Refusal::ClockTooLarge),
        ("a clock that reaches 2^31", blocks(Blocks::of(1, (1 << 31) - 1).one(at)), Refusal::ClockTooLarge),
        ("a length of 2^31", blocks(Blocks::of(1, 0).gc(1 << 31)), Refusal::ClockTooLarge),
        ("lengths that reach 2^31", blocks(Blocks::of(1, 9).gc((1 << 31) - 9)), Refusal::ClockTooLarge),
        ("an empty GC", blocks(Blocks::of(1, 0).gc(0)), Refusal::Empty),
        ("an empty Skip", blocks(Blocks::of(1, 0).skip(0)), Refusal::Empty),
        ("empty text", blocks(Blocks::of(1, 0).text(At::Root("t"), "")), Refusal::Empty),
        ("no values", blocks(Blocks::of(1, 0).block(at, 8, &[0])), Refusal::Empty),
        ("a client without blocks", bytes("010001000000"), Refusal::Empty),
        (
            "a client twice",
            update([Blocks::of(1, 0).gc(1), Blocks::of(1, 1).gc(1)], &[]),
            Refusal::ClientTwice,
        ),
        (
            "a client twice among deletes",
            update([], &[(1, 0, 1), (2, 0, 1), (1, 5, 1)]),
            Refusal::LooksLikeV2,
        ),
        ("an empty delete", update([Blocks::of(1, 0).gc(1)], &[(1, 0, 0)]), Refusal::Empty),
        (
            "a delete that reaches 2^31",
            update([Blocks::of(1, 0).gc(1)], &[(1, 9, (1 << 31) - 9)]),
            Refusal::ClockTooLarge,
        ),
        ("a GC with flags", bytes("0101010080010000"), Refusal::UnknownBlock),
        ("a Skip with a key flag", bytes("010101002a01016d016b0100"), Refusal::UnknownBlock),
        ("content bit 0x10", blocks(Blocks::of(1, 0).block(at, 0x18, &[1, 125, 1])), Refusal::UnknownBlock),
        ("content 11", blocks(Blocks::of(1, 0).block(at, 11, &[1])), Refusal::UnknownBlock),
        ("parent info 2", bytes("0101010008020001017d0100"), Refusal::UnknownBlock),
        ("legacy JSON", blocks(Blocks::of(1, 0).block(at, 2, &[1, 1, b'1'])), Refusal::LegacyJson),
        ("a subdocument", blocks(Blocks::of(1, 0).block(at, 9, &[1, b'g', 118, 0])), Refusal::Subdocument),
        ("an XML hook", type_at(5), Refusal::UnknownType),
        ("a weak link", type_at(7), Refusal::UnknownType),
        ("a type of no kind", type_at(15), Refusal::UnknownType),
        ("a value of no kind", blocks(Blocks::of(1, 0).block(at, 8, &[1, 115])), Refusal::UnknownValue),
        (
            "a wide integer",
            blocks(Blocks::of(1, 0).block(at, 8, &[&[1, 125][..], &[0xff; 9], &[1]].concat())),
            Refusal::NumberTooLarge,
        ),
        ("JSON with a comma", blocks(Blocks::of(1, 0).embed(At::Root("t"), "[1,]")), Refusal::BadJson),
        ("JSON after JSON", blocks(Blocks::of(1, 0).embed(At::Root("t"), "{} {}")), Refusal::BadJson),
        (
            "JSON that yrs cannot read",
            blocks(Blocks::of(1, 0).embed(At::Root("t"), r#""\ud800""#)),
            Refusal::BadJson,
        ),
        (
            "JSON beyond 64 bits",
            blocks(Blocks::of(1, 0).embed(At::Root("t"), "9223372036854775808")),
            Refusal::BadJson,
        ),
        ("JSON beyond floats", blocks(Blocks::of(1, 0).embed(At::Root("t"), "1e999")), Refusal::BadJson),
    ];
    for (name, update, expected) in cases {
        let mut room = Room::default();
        let refusal = room.refused(&update);
        println!("{name}: {refusal}");
        assert_eq!(refusal, expected, "{name} {}", hex(&update));
        assert!(!refusal.is_too_large());
        room.still_works();
    }
}

/// [G3] V2 is refused with its own words, for what Yjs writes in it.
#[test]
fn v2_is_called_so() {
    use yrs::{Map, ReadTxn, Text, Transact};
    let doc = yrs::Doc::new();
    let (map, text) = (doc.get_or_insert_map("m"), doc.get_or_insert_text("t"));
    for n in 0..20 {
        let mut transaction = doc.transact_mut();
        map.insert(&mut transaction, format!("key {n}"), n);
        text.insert(&mut transaction, 0, "hello");
        text.remove_range(&mut transaction, 1, 2);
        drop(transaction);
        let v2 = doc.transact().encode_state_as_update_v2(&yrs::StateVector::default());
        assert_eq!(Room::default().refused(&v2), Refusal::LooksLikeV2);
    }
}

/// [G2, G11] Every update cut short at every byte is refused, and leaves no trace.
#[test]
fn truncations_are_refused() {
    let whole = update(
        [
            Blocks::of(9, 0)
                .new_type(At::Key("m", "k"), 1)
                .one(At::TypeKey((9, 0), "x"))
                .text(At::Root("t"), "héllo"),
            Blocks::of(3, 0).embed(At::After((9, 2)), r#"{"a":[1,2]}"#).deleted(At::Root("a"), 3),
        ],
        &[(9, 1, 1)],
    );
    for end in 0..whole.len() {
        Room::default().refused(&whole[..end]);
    }
    Room::default().take(&whole);
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

/// [G13] Deep values and deep types are refused at their limits, not before.
#[test]
fn depths_are_bounded() {
    let value = |levels: usize| {
        let content = [&[1][..], &[117, 1].repeat(levels), &[126]].concat();
        blocks(Blocks::of(1, 0).block(At::Root("a"), 8, &content))
    };
    let json = |levels: usize| {
        let json = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        blocks(Blocks::of(1, 0).embed(At::Root("t"), &json))
    };
    let types = |levels: u64| {
        let mut nested = Blocks::of(1, 0).new_type(At::Root("a"), 0);
        for level in 1..levels {
            nested = nested.new_type(At::Type((1, level - 1)), 0);
        }
        update([nested], &[(1, 0, 1)])
    };
    Room::default().take(&value(VALUE_DEPTH_MAX));
    Room::default().take(&json(VALUE_DEPTH_MAX));
    Room::default().take(&types(u64::from(TYPE_DEPTH_MAX)));
    assert_eq!(Room::default().refused(&value(VALUE_DEPTH_MAX + 1)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&value(400_000)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&json(VALUE_DEPTH_MAX + 1)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&json(400_000)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&types(u64::from(TYPE_DEPTH_MAX) + 1)), Refusal::TypesTooDeep);
    assert_eq!(Room::default().refused(&types(8_000)), Refusal::TypesTooDeep);
}

/// Sets of one key, all beside each other or each upon the one before.
fn sets(client: u64, count: u32, chained: bool) -> Vec<u8> {
    let mut sets = Blocks::of(client, 0).one(At::Key("m", "k"));
    for set in 1..u64::from(count) {
        sets = sets.one(if chained { At::After((client, set - 1)) } else { At::Key("m", "k") });
    }
    blocks(sets)
}

/// [G14] Sets beside each other are bounded; a drag of 600 sets, a chain, is not.
#[test]
fn siblings_are_bounded_and_chains_are_not() {
    let (update_max, step2_max) = (SIBLING_SETS_PER_UPDATE_MAX, SIBLING_SETS_PER_STEP2_MAX);
    Room::default().take(&sets(1, 600, true));
    Room::default().take(&sets(1, 20_000, true));
    Room::default().take(&sets(1, update_max, false));
    assert_eq!(
        Room::default().refused(&sets(1, update_max + 1, false)),
        Refusal::TooManySiblings { max: update_max }
    );
    assert_eq!(
        Room::default().refused(&sets(1, 20_000, false)),
        Refusal::TooManySiblings { max: update_max }
    );
    let step2 = |count| Room::default().offer(&sets(1, count, false), Source::Step2).map(drop);
    assert_eq!(step2(step2_max), Ok(()));
    assert_eq!(step2(step2_max + 1), Err(Refusal::TooManySiblings { max: step2_max }));
    assert!(Gate::new().admit(&sets(1, 20_000, false), Source::Record).is_ok(), "records were judged once");
    // In small slices: the room remembers.
    let mut gate = Gate::new();
    let slices = (0..).map(|n| gate.admit(&sets(1 + n, 100, false), Source::Update).map(drop));
    let (count, refusal) =
        slices.zip(1..).find_map(|(slice, n)| slice.err().map(|refusal| (n, refusal))).unwrap();
    assert_eq!(refusal, Refusal::TooManySiblings { max: SIBLING_SETS_PER_ROOM_MAX });
    assert!(count <= 1 + (SIBLING_SETS_PER_ROOM_MAX + update_max) / 100, "after {count} slices");
    println!("20,000 siblings in slices of 100: refused from slice {count} on");
}

/// [G14] An honest room that is dragged about for weeks never meets the bound.
#[test]
fn weeks_of_dragging_are_honest() {
    let mut gate = Gate::new();
    let mut last = [0_u64; 50];
    gate.admit(
        &blocks((0..50).fold(Blocks::of(1, 0), |all, n| all.one(At::Key("m", &n.to_string())))),
        Source::Update,
    )
    .unwrap();
    (0..50).for_each(|n| last[n as usize] = n);
    for clock in 50..300_000_u64 {
        let item = (clock * 7919 % 50) as usize;
        gate.admit(&blocks(Blocks::of(1, clock).one(At::After((1, last[item])))), Source::Update).unwrap();
        last[item] = clock;
    }
}

/// [G15] Sizes: bytes, clients, names; and which refusals are about size.
#[test]
fn sizes_are_bounded() {
    let large = blocks(Blocks::of(1, 0).text(At::Root("t"), &"x".repeat(UPDATE_BYTES_MAX)));
    let refusal = Room::default().refused(&large);
    assert!(matches!(refusal, Refusal::TooLarge { .. }) && refusal.is_too_large());
    assert!(Room::default().offer(&large, Source::Step2).is_ok(), "a Step2 may bring a whole document");
    let name = "n".repeat(1_025);
    for at in [At::Root(&name), At::Key("m", &name), At::Key(&name, "k")] {
        assert_eq!(Room::default().refused(&blocks(Blocks::of(1, 0).one(at))), Refusal::NameTooLong);
    }
    let many = |count: usize| update((0..count as u64).rev().map(|client| Blocks::of(client, 0).gc(1)), &[]);
    let mut gate = Gate::new();
    gate.admit(&many(CLIENTS_PER_DOCUMENT_MAX), Source::Step2).unwrap();
    assert_eq!(
        gate.admit(&many(CLIENTS_PER_DOCUMENT_MAX + 1), Source::Step2).map(drop),
        Err(Refusal::TooManyClients)
    );
    let one_more = blocks(Blocks::of(1 << 40, 0).one(At::Root("a")));
    let state = gate.state_vector();
    assert_eq!(gate.admit(&one_more, Source::Update).map(drop), Err(Refusal::TooManyClients));
    assert_eq!(gate.state_vector(), state);
    assert!(Refusal::TooManyClients.is_too_large());
}

/// [G4, G16] Tens of thousands of clients whose blocks need each other's: yrs needs stack for each;
/// the fold has it.
#[test]
fn a_chain_of_many_clients_folds() {
    let chain = (0..40_000_u64).rev().map(|client| {
        Blocks::of(client, 0).one(if client == 0 { At::Root("a") } else { At::After((client - 1, 0)) })
    });
    let mut room = Room::default();
    let admission = room.offer(&update(chain, &[]), Source::Step2).unwrap();
    assert_eq!(admission.dropped, Dropped::default());
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

/// [G18] State vectors.
#[test]
fn state_vectors_are_checked() {
    let parsed = parse_state_vector(&bytes("03 0705 ffffffffffffff0f07 0100")).unwrap();
    assert_eq!(parsed.entries(), [(1, 0), (7, 5), ((1 << 53) - 1, 7)]);
    assert_eq!((parsed.get(7), parsed.get(8)), (5, 0));
    assert_eq!(parse_state_vector(&parsed.encode()), Ok(parsed));
    assert_eq!(parse_state_vector(&[0]).map(|empty| empty.entries().len()), Ok(0));
    let bad = [
        ("80808040", Refusal::CutOff),
        ("80808008", Refusal::CutOff),
        ("8080808002", Refusal::CutOff),
        ("", Refusal::CutOff),
        ("0000", Refusal::TrailingBytes),
        ("0101", Refusal::CutOff),
        ("0201000100", Refusal::ClientTwice),
        ("0101ffffffff0f", Refusal::ClockTooLarge),
        ("0180808080808080100100", Refusal::NumberTooLarge),
    ];
    for (vector, refusal) in bad {
        assert_eq!(parse_state_vector(&bytes(vector)), Err(refusal), "{vector}");
    }
    let mut many = Vec::new();
    craft::number(&mut many, 70_000);
    many.extend([1, 0].repeat(70_000));
    assert_eq!(parse_state_vector(&many), Err(Refusal::TooManyClients));
}

/// A presence message.
fn presence(entries: &[(u64, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    craft::number(&mut out, entries.len() as u64);
    for (client, state) in entries {
        craft::number(&mut out, *client);
        out.push(3);
        craft::number(&mut out, state.len() as u64);
        out.extend_from_slice(state.as_bytes());
    }
    out
}

/// [G19] Presence.
#[test]
fn presence_is_checked() {
    let cut_emoji = r#"{"user":{"name":"Ann","initial":"\ud83d"}}"#;
    let message = presence(&[(7, cut_emoji), (9, "null"), (1 << 50, "{}")]);
    let entries = parse_presence(&message).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.state).collect::<Vec<_>>(),
        [Some(cut_emoji), None, Some("{}")]
    );
    assert_eq!((entries[0].client, entries[0].clock), (7, 3));
    assert_eq!(parse_presence(&[0]), Ok(vec![]));

    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    let long = format!("\"{}\"", "x".repeat(9_000));
    let bad: [(&str, Refusal); 7] = [
        ("{", Refusal::BadJson),
        ("", Refusal::CutOff),
        ("{} {}", Refusal::BadJson),
        ("undefined", Refusal::BadJson),
        ("{'a':1}", Refusal::BadJson),
        (&deep, Refusal::ValueTooDeep),
        (&long, Refusal::PresenceTooLarge),
    ];
    for (state, refusal) in bad {
        assert_eq!(parse_presence(&presence(&[(1, state)])), Err(refusal), "{state:.40}");
    }
    assert_eq!(parse_presence(&presence(&[(1, "{}"), (1, "{}")])), Err(Refusal::ClientTwice));
    assert_eq!(parse_presence(&presence(&vec![(1, "{}"); 5_000])), Err(Refusal::TooManyPresences));
    assert_eq!(parse_presence(&bytes("010103 02fffe")), Err(Refusal::NotUtf8));
    for hostile in ["80808040", "80808008", "01ffffffffffffffffff"] {
        assert!(parse_presence(&bytes(hostile)).is_err());
    }
    assert!(Refusal::PresenceTooLarge.is_too_large() && Refusal::TooManyPresences.is_too_large());
}

/// [G20] The index can say where everything lives.
#[test]
fn paths_are_known() {
    let mut gate = Gate::new();
    let card = Blocks::of(1, 0)
        .new_type(At::Key("items", "card"), 1)
        .text(At::TypeKey((1, 0), "text"), "hi")
        .new_type(At::TypeKey((1, 0), "tags"), 0)
        .one(At::Type((1, 3)))
        .gc(1);
    gate.admit(&blocks(card), Source::Update).unwrap();
    let path = |clock| gate.path(1, clock);
    assert_eq!(path(0), Some(vec![Some("items"), Some("card")]));
    assert_eq!(path(2), Some(vec![Some("items"), Some("card"), Some("text")]));
    assert_eq!(path(4), Some(vec![Some("items"), Some("card"), Some("tags"), None]));
    assert_eq!((path(5), path(6)), (None, None));
}

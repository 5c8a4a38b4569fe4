//! [G2, G3, G18, G19] Rules of form: updates, state vectors, presence.

use ruang::gate::{Refusal, Source, parse_presence, parse_state_vector};

use crate::Room;
use crate::craft::{self, At, Blocks, blocks, update};
use crate::hex::{bytes, hex};

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
    ];
    refuses(cases);
}

/// [G3] Each kind of content that peers read in different ways, with the refusal that names it.
#[test]
fn what_peers_read_differently_is_refused() {
    let at = At::Key("m", "k");
    let type_at = |type_ref: u8| blocks(Blocks::of(1, 0).new_type(at, type_ref));
    let cases = [
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
    refuses(cases);
}

/// Each of these is refused for that reason, and the room lives on.
fn refuses<const N: usize>(cases: [(&str, Vec<u8>, Refusal); N]) {
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
    craft::number(&mut many, 140_000);
    many.extend([1, 0].repeat(140_000));
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

    for fine in [r#"["1e400\"",1e300,-1E-400,true]"#, r#"{"1e999":"\\","2":123456789012345678901234567890}"#]
    {
        let message = presence(&[(1, fine)]);
        assert_eq!(parse_presence(&message).unwrap()[0].check_state(), Ok(()), "{fine}");
    }
    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    let long = format!("\"{}\"", "x".repeat(9_000));
    let large = format!("[1{}]", "0".repeat(400));
    let bad: [(&str, Refusal); 10] = [
        ("{", Refusal::BadJson),
        ("", Refusal::CutOff),
        ("{} {}", Refusal::BadJson),
        ("undefined", Refusal::BadJson),
        ("{'a':1}", Refusal::BadJson),
        (r#"{"at":[1,-2.5e320,"1e9"]}"#, Refusal::BadJson),
        ("1e400", Refusal::BadJson),
        (&large, Refusal::BadJson),
        (&deep, Refusal::ValueTooDeep),
        (&long, Refusal::PresenceTooLarge),
    ];
    for (state, refusal) in bad {
        let message = presence(&[(1, state)]);
        let read = parse_presence(&message).and_then(|entries| entries[0].check_state());
        assert_eq!(read, Err(refusal), "{state:.40}");
    }
    assert_eq!(parse_presence(&presence(&[(1, "{}"), (1, "{}")])), Err(Refusal::ClientTwice));
    assert_eq!(parse_presence(&presence(&vec![(1, "{}"); 5_000])), Err(Refusal::TooManyPresences));
    assert_eq!(parse_presence(&bytes("010103 02fffe")), Err(Refusal::NotUtf8));
    for hostile in ["80808040", "80808008", "01ffffffffffffffffff"] {
        assert!(parse_presence(&bytes(hostile)).is_err());
    }
    assert!(Refusal::PresenceTooLarge.is_too_large() && Refusal::TooManyPresences.is_too_large());
}

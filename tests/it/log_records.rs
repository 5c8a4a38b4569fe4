//! The format of records: golden files, damage, versions, limits, the marker of a generation.

use std::path::PathBuf;

use bytes::Bytes;
use rand::Rng;
use ruang::ids::{Generation, InstanceId, SessionId};
use ruang::log::record::{Kind, Metadata, Record, RecordError, Role, RoomKind, genesis_update};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

use crate::log_support::*;

/// Set to write golden files that do not exist yet. Existing ones are never written again.
const WRITE_GOLDEN: &str = "RUANG_WRITE_GOLDEN";

fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records").join(format!("v1-{name}.bin"))
}

/// One record of each kind; together they set every field to each of its forms.
fn golden() -> Vec<(Kind, Metadata, Vec<u8>)> {
    let full = Metadata {
        user: Some("ayu@example.org".to_owned()),
        session: Some(SessionId(300)),
        instance: InstanceId(0x0123_4567_89ab_cdef),
        role: Role::Facilitator,
        batch: 70_000,
        claims: vec![1, 251, 65_536, (1 << 53) - 1],
        relayed_by: Some("budi — 房間".to_owned()),
        room_kind: RoomKind::Board,
        admitted_ms: 1_795_000_000_000,
    };
    let server = Metadata {
        user: None,
        session: None,
        instance: InstanceId(1),
        role: Role::Server,
        batch: 1,
        claims: Vec::new(),
        relayed_by: None,
        room_kind: RoomKind::Free,
        admitted_ms: 0,
    };
    let with = |role, room_kind| Metadata { role, room_kind, ..full.clone() };
    let marker = genesis_update(&room("golden"), Generation { nonce: 123_456_789 });
    let edit = {
        let doc = Doc::with_client_id(77);
        let text = doc.get_or_insert_text("notes");
        text.push(&mut doc.transact_mut(), "hello");
        doc.transact().encode_state_as_update_v1(&StateVector::default())
    };
    vec![
        (Kind::Genesis, server.clone(), marker),
        (Kind::Update, full.clone(), edit.clone()),
        (Kind::Compensation, server.clone(), edit.clone()),
        (Kind::Heal, with(Role::Editor, RoomKind::Free), edit.clone()),
        (Kind::Revive, with(Role::Viewer, RoomKind::Board), edit.clone()),
        (Kind::Import, Metadata { user: None, ..full.clone() }, edit),
        (Kind::Admin, Metadata { relayed_by: None, ..full }, Vec::new()),
    ]
}

/// [L20] Records of version 1 load for ever, and are written the same, byte for byte.
#[test]
fn golden_records_load_for_ever() {
    let golden = golden();
    assert_eq!(golden.len(), Kind::ALL.len());
    for (kind, metadata, update) in golden {
        let path = golden_path(&kind.to_string());
        let written = Record::new(kind, &metadata, &update).unwrap();
        if std::env::var_os(WRITE_GOLDEN).is_some() && !path.exists() {
            std::fs::write(&path, &written.encoded).unwrap();
        }
        let stored = Bytes::from(std::fs::read(&path).unwrap());
        assert_eq!(written.encoded, stored, "{kind} is written differently");
        let loaded = Record::decode(stored).unwrap();
        assert_eq!(
            (loaded.kind(), loaded.metadata(), loaded.update().to_vec()),
            (kind, Ok(metadata), update)
        );
    }
}

/// [L21] No truncation, no extension and no flipped bit of a record goes unnoticed.
#[test]
fn damage_is_detected() {
    for (kind, metadata, update) in golden() {
        let encoded = Record::new(kind, &metadata, &update).unwrap().encoded;
        let damaged = |bytes: Vec<u8>| matches!(Record::decode(bytes.into()), Err(RecordError::Damaged(_)));
        for len in 0..encoded.len() {
            assert!(damaged(encoded[..len].to_vec()), "{kind} cut to {len}");
        }
        for bit in 0..encoded.len() * 8 {
            let mut bytes = encoded.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(damaged(bytes), "{kind} with bit {bit} turned");
        }
        for more in [&[0][..], &[0; 16], b"RUAR"] {
            assert!(damaged([&encoded[..], more].concat()), "{kind} with more behind");
        }
    }
}

/// [L21] Random bytes, also with a valid checksum, are refused or read without a panic and without
/// memory that they only declare.
#[test]
fn any_bytes_are_survived() {
    let (_, mut random) = seeded();
    let encoded = record(b"update").encoded;
    for _ in 0..20_000 {
        let mut bytes = encoded.to_vec();
        bytes.resize(random.random_range(16..80), 0);
        for _ in 0..random.random_range(1..6) {
            // Everything but magic and version, which are tested above.
            let at = random.random_range(5..bytes.len());
            bytes[at] = if random.random() { random.random() } else { 0xff };
        }
        if let Ok(record) = Record::decode(sealed(bytes)) {
            record.metadata().unwrap();
            assert!(record.update().len() < 80);
            let _ = (record.kind().to_string(), format!("{record:?}"));
        }
    }
    // A length of claims that would be gigabytes.
    let mut bytes = encoded[..16].to_vec();
    bytes.extend([0, 0, 1, 0, 1, 253, 0, 0, 0, 0, 0, 0, 0, 0x0f]);
    bytes[8] = u8::try_from(bytes.len() - 16).unwrap();
    assert!(matches!(Record::decode(sealed(bytes)), Err(RecordError::Damaged(_))));
}

/// [L21] The metadata must use exactly its length.
#[test]
fn metadata_consumes_its_length() {
    let encoded = record(b"update").encoded;
    for change in [-1_i8, 1, 6] {
        let mut bytes = encoded.to_vec();
        bytes[8] = bytes[8].wrapping_add_signed(change);
        let error = Record::decode(sealed(bytes)).unwrap_err();
        assert!(matches!(error, RecordError::Damaged(_)), "{error}");
    }
}

/// [L22] An unknown optional kind is intact: its update can be folded, its bytes relayed.
#[test]
fn an_unknown_optional_kind_is_intact() {
    for byte in (0..=0x7f).filter(|byte| ![2, 3, 4, 6, 7].contains(byte)) {
        let mut bytes = record(b"update").encoded.to_vec();
        bytes[5] = byte;
        bytes[7] = 0x80; // an optional flag of the future too
        let encoded = sealed(bytes);
        let record = Record::decode(encoded.clone()).unwrap();
        assert_eq!(
            (record.kind(), &record.update()[..], record.encoded),
            (Kind::Other(byte), &b"update"[..], encoded)
        );
        assert_eq!(Record::new(Kind::Other(byte), &metadata(), b""), Err(RecordError::NotOurs(byte)));
    }
}

/// [L9] A newer version, an unknown required kind or flag: refused by name, in one line, and told
/// apart from damage.
#[test]
fn what_must_be_understood_is_refused_by_name() {
    for (at, value, expected) in [
        (4, 2, "its version is 2, this one knows version 1"),
        (4, 0, "its version is 0, this one knows version 1"),
        (5, 0x88, "its kind is 8, this one knows kinds 1 to 7"),
        (5, 0x82, "its kind is 2, this one knows kinds 1 to 7"),
        (6, 1, "its set of flags is 1, this one knows none"),
    ] {
        let mut bytes = record(b"update").encoded.to_vec();
        bytes[at] = value;
        let error = Record::decode(sealed(bytes)).unwrap_err();
        assert!(matches!(error, RecordError::Newer { .. }));
        assert_eq!(error.to_string(), format!("the record needs a newer version of ruang: {expected}"));
    }
}

/// [L23] What could not be read back is not made.
#[test]
fn records_are_bounded() {
    let part = |result: Result<Record, RecordError>| match result {
        Err(RecordError::TooLarge { part, .. }) => Some(part),
        _ => None,
    };
    let made = |metadata: &Metadata, update: &[u8]| Record::new(Kind::Update, metadata, update);
    assert_eq!(part(made(&metadata(), &vec![0; (64 << 20) + 1])), Some("update"));
    assert_eq!(part(made(&Metadata { claims: vec![0; 65_537], ..metadata() }, b"")), Some("metadata"));
    assert_eq!(
        part(made(&Metadata { user: Some("x".repeat(1 << 20)), ..metadata() }, b"")),
        Some("metadata")
    );
    // The largest ones are read back.
    for claim in [0, (1 << 53) - 1] {
        let user = Some("x".repeat(400_000));
        let large = Metadata { claims: vec![claim; 65_536], user, ..metadata() };
        let record = made(&large, &[7; 100]).unwrap();
        assert_eq!(Record::decode(record.encoded).unwrap().metadata(), Ok(large));
    }
}

/// [L24] The update is a view into the record: nothing is copied.
#[test]
fn the_update_shares_the_records_memory() {
    let record = record(b"an update that is long enough");
    let (inside, update) = (record.encoded.as_ptr_range(), record.update());
    assert!(inside.contains(&update.as_ptr()));
    assert_eq!(update.as_ptr_range().end, inside.end);
}

/// [L24] The update's bytes belong to the people in the room: they are not printed.
#[test]
fn debug_output_hides_the_update() {
    assert_eq!(format!("{:?}", record(b"secret")), "Record(update, 32 bytes)");
}

/// [L25] The marker is seen in state vector and full update, and nowhere in the content.
#[test]
fn the_marker_is_invisible_and_kept() {
    for nonce in [1, 127, 128, 123_456_789, (1 << 30) - 1] {
        let (name, generation) = (room("team/retro"), Generation { nonce });
        let client = generation.marker_client(&name);
        let marker = genesis_update(&name, generation);
        let doc = Doc::with_client_id(1);
        let text = doc.get_or_insert_text("notes");
        let mut transaction = doc.transact_mut();
        transaction.apply_update(Update::decode_v1(&marker).unwrap()).unwrap();
        text.push(&mut transaction, "hello");
        assert_eq!(text.get_string(&transaction), "hello");
        let clock = |vector: StateVector| vector.iter().find(|(id, _)| id.get() == client).map(|(_, n)| *n);
        assert_eq!(clock(transaction.state_vector()), Some(nonce));
        let full = transaction.encode_state_as_update_v1(&StateVector::default());
        let copy = Doc::with_client_id(2);
        copy.transact_mut().apply_update(Update::decode_v1(&full).unwrap()).unwrap();
        assert_eq!(clock(copy.transact().state_vector()), Some(nonce));
        // Nothing else is in it.
        let alone = Doc::with_client_id(3);
        alone.transact_mut().apply_update(Update::decode_v1(&marker).unwrap()).unwrap();
        let again = alone.transact().encode_state_as_update_v1(&StateVector::default());
        let (deletes, blocks) = marker.split_last().unwrap();
        assert!(*deletes == 0 && again.starts_with(blocks));
        assert_eq!(StateVector::decode_v1(&alone.transact().state_vector().encode_v1()).unwrap().len(), 1);
    }
}

//! The bytes of snapshots: golden files, damage, versions; and rooms whose snapshots are damaged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ruang::history::{self, About, Fold, OnTrouble, Range, Snapshot, SnapshotError, WalkError};
use ruang::ids::{Generation, Position};
use ruang::kind::RoomKind;
use ruang::log::SnapshotRef;

use crate::history_support::*;
use crate::random_docs::Random;

/// Set to write golden files that do not exist yet. Existing ones are never written again.
const WRITE_GOLDEN: &str = "RUANG_WRITE_GOLDEN";

/// One that sets every field.
fn golden() -> Snapshot {
    let claims = [(1, "ayu@example.org"), (251, "budi — 房間"), ((1 << 53) - 1, "ayu@example.org")];
    let about = About {
        through: Position { seq: 70_000, ms: 1_795_000_000_000 },
        records: 69_998,
        log_bytes: 1 << 33,
        kind: RoomKind::Free,
        generations: vec![Generation { nonce: 1 }, Generation { nonce: (1 << 30) - 1 }],
        claims: claims.into_iter().map(|(client, user)| (client, Arc::from(user))).collect(),
        state_vector: vec![1, 77, 5],
        engine: "yrs 0.28.1".to_owned(),
        set_aside: vec![Position { seq: 3, ms: 4 }, Position { seq: 251, ms: 65_536 }],
    };
    // "hello" in the root text `notes` by client 77.
    let document = b"\x01\x01\x4d\x00\x04\x01\x05notes\x05hello\x00".to_vec();
    Snapshot { about, document }
}

/// [H3] [B12] Snapshots of each version load for ever, and a free room's is still written as version 1. Only the compressed part may
/// be written differently by another version of zstd.
#[test]
fn golden_snapshots_load_for_ever() {
    golden_loads("v1.bin", &golden());
    let mut board = golden();
    board.about.kind = RoomKind::Board;
    golden_loads("v2.bin", &board);
}

fn golden_loads(file: &str, golden: &Snapshot) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/snapshots").join(file);
    let written = golden.encode().unwrap();
    if std::env::var_os(WRITE_GOLDEN).is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &written).unwrap();
    }
    let stored = std::fs::read(&path).unwrap();
    assert_eq!(Snapshot::decode(&stored).as_ref(), Ok(golden));
    let metadata = 20 + usize::try_from(u32::from_le_bytes(stored[8..12].try_into().unwrap())).unwrap();
    assert_eq!(written[..12], stored[..12], "the header is written differently");
    assert_eq!(written[20..metadata], stored[20..metadata], "the metadata is written differently");
}

/// [H4] No truncation, no extension and no flipped bit goes unnoticed.
#[test]
fn damage_is_detected() {
    let encoded = golden().encode().unwrap();
    let damaged = |bytes: &[u8]| matches!(Snapshot::decode(bytes), Err(SnapshotError::Damaged(_)));
    assert!((0..encoded.len()).all(|len| damaged(&encoded[..len])));
    for bit in 0..encoded.len() * 8 {
        let mut bytes = encoded.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(damaged(&bytes), "bit {bit} turned");
    }
    for more in [&[0][..], &[0; 20], b"RUAS"] {
        assert!(damaged(&[&encoded[..], more].concat()));
    }
}

/// Bytes with their checksum set right, as a newer ruang would have written them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..16]), &bytes[20..]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// [H4] Random bytes with a valid checksum are refused or read, without a panic.
#[test]
fn any_bytes_are_survived() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let encoded = golden().encode().unwrap();
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = encoded.clone();
        for _ in 0..1 + random.below(5) {
            let at = 5 + random.index(bytes.len() - 5);
            bytes[at] = if random.chance(50) { random.next() as u8 } else { 0xff };
        }
        if let Ok(snapshot) = Snapshot::decode(&sealed(bytes)) {
            read += 1;
            drop(Fold::resume("r".parse().unwrap(), &snapshot, OnTrouble::Stop));
        }
    }
    println!("{read} of 20,000 are read");
    assert!((1..20_000).contains(&read), "some are read, and some are refused");
}

/// [H4] What a newer ruang wrote is told from damage, in one line.
#[test]
fn what_must_be_understood_is_refused_by_name() {
    for (at, value, expected) in [
        (4, 3, "its version is 3, this one knows versions 1 and 2"),
        (5, 2, "its form is 2, this one knows form 1"),
        (6, 1, "its set of flags is 1, this one knows none"),
    ] {
        let mut bytes = golden().encode().unwrap();
        bytes[at] = value;
        let error = Snapshot::decode(&sealed(bytes)).unwrap_err();
        assert!(matches!(error, SnapshotError::Newer { .. }));
        assert_eq!(error.to_string(), format!("the snapshot needs a newer version of ruang: {expected}"));
    }
    let mut bytes = golden().encode().unwrap();
    bytes[7] = 0x80; // a flag that may be ignored
    assert_eq!(Snapshot::decode(&sealed(bytes)), Ok(golden()));
}

/// [H4] A snapshot whose document is not what its metadata says does not become a room.
#[test]
fn a_document_must_be_what_it_says() {
    let resume = |snapshot: &Snapshot| Fold::resume("r".parse().unwrap(), snapshot, OnTrouble::Stop);
    assert!(resume(&golden()).is_ok());
    let mut other = golden();
    other.about.state_vector = vec![1, 77, 4];
    let mut gap = golden();
    gap.document[3] = 1; // a clock behind a hole
    let mut hostile = golden();
    hostile.document = vec![0xff; 20];
    for (case, snapshot) in [("another state vector", other), ("a gap", gap), ("no update", hostile)] {
        let refused = resume(&snapshot).err();
        println!("{case}: {refused:?}");
        assert!(matches!(refused, Some(SnapshotError::Damaged(_))));
    }
}

/// [H3] What is too large is not made.
#[test]
fn snapshots_are_bounded() {
    let mut large = golden();
    large.about.claims = BTreeMap::from([(1, Arc::from("x".repeat(9 << 20)))]);
    assert!(matches!(large.encode(), Err(SnapshotError::TooLarge { part: "metadata", .. })));
    large = golden();
    large.document = vec![0; (128 << 20) + 1];
    assert!(matches!(large.encode(), Err(SnapshotError::TooLarge { part: "document", .. })));
}

/// [H3] As many claims as a document may have clients are read back.
#[test]
fn the_largest_claim_table_is_read_back() {
    let mut large = golden();
    let user = |n: u64| -> Arc<str> { format!("user-{}@example.org", n % 1_000).into() };
    large.about.claims = (0..65_536).map(|n| ((1 << 53) - 1 - n, user(n))).collect();
    let encoded = large.encode().unwrap();
    println!("{} bytes", encoded.len());
    assert_eq!(Snapshot::decode(&encoded), Ok(large));
}

/// A small room with two snapshots, and how long the newer one is.
async fn two_snapshots(retention: history::Retention) -> (Writer, ruang::log::memory::Faults, SnapshotRef) {
    let (log, faults) = memory();
    let mut writer = Writer::new(&log, "r");
    let mut random = Random::new(9);
    let mut crowd = Crowd::new(&mut random, 1);
    for _ in 0..2 {
        writer.write(&crowd.edit(&mut random, 3)).await;
        writer.compact(retention).await;
    }
    writer.write(&crowd.edit(&mut random, 3)).await;
    let newest = *writer.log.open(&writer.room).await.unwrap().unwrap().snapshots.last().unwrap();
    (writer, faults, newest)
}

/// [H4] Each truncation and each flipped bit of a stored snapshot: the room is what it was, from an
/// older snapshot and a longer tail, or from all records; the damage is told; the next compaction
/// replaces it.
#[tokio::test]
async fn damaged_snapshots_are_passed_over_and_replaced() {
    let (mut writer, faults, newest) = two_snapshots(Default::default()).await;
    let truth = fold(&writer.truth, &writer.room).await;
    let len = usize::try_from(newest.bytes).unwrap();
    let whole = writer.log.chunk(&writer.room, newest.upload, 0).await.unwrap().unwrap();
    let rewrite = |bytes: Vec<u8>| {
        assert!(faults.rewrite_chunk(&writer.room, newest.upload, 0, |chunk| *chunk = bytes));
    };
    let bits = (0..len * 8).map(|bit| {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cuts = (0..len).map(|len| whole[..len].to_vec());
    for bytes in bits.chain(cuts) {
        rewrite(bytes);
        let walk = walked(&writer.log, &writer.room, Range::TO_HEAD).await;
        assert_eq!(walk.damaged_snapshots().len(), 1);
        assert_eq!(walk.started_at().map(|start| start.revision), Some(1));
        assert_same(&walk.into_fold().unwrap(), &truth, "from the older snapshot");
    }
    println!("{} cases", len * 9);
    let written = writer.compact(Default::default()).await;
    assert_eq!(written.through, writer.last);
    writer.check("after the next snapshot").await;
    // The log keeps the one that was the newest; it goes when it would become the base, or before.
    writer.write(&keystrokes(999, 1)).await;
    writer.compact(NO_RETENTION).await;
    writer.check("after one more").await;
    let head = writer.log.open(&writer.room).await.unwrap().unwrap();
    assert!(!head.snapshots.iter().any(|kept| kept.revision == newest.revision), "{:?}", head.snapshots);
}

/// [H4] If every snapshot is damaged: all records tell the room, as long as none is trimmed;
/// otherwise it cannot be opened, and the reason says what to do. Nothing is trimmed on top of it.
#[tokio::test]
async fn without_any_snapshot_the_records_must_be_there() {
    for (retention, opens) in [(history::Retention::default(), true), (NO_RETENTION, false)] {
        let (writer, faults, _) = two_snapshots(retention).await;
        let head = writer.log.open(&writer.room).await.unwrap().unwrap();
        assert_eq!(head.base == 0, opens);
        for snapshot in &head.snapshots {
            assert!(faults.rewrite_chunk(&writer.room, snapshot.upload, 0, |bytes| bytes[30] ^= 1));
        }
        let walk = history::walk(&writer.log, &writer.room, Range::TO_HEAD).await;
        if opens {
            let mut walk = walk.unwrap().unwrap();
            walk.to_end().await.unwrap();
            assert_eq!(walk.damaged_snapshots().len(), head.snapshots.len());
            let truth = fold(&writer.truth, &writer.room).await;
            assert_same(&walk.into_fold().unwrap(), &truth, "from all records");
            writer.compact(NO_RETENTION).await;
            writer.check("healed").await;
        } else {
            let Err(error @ WalkError::NoSnapshot { .. }) = walk else { panic!("it cannot be opened") };
            println!("{error}");
            assert!(history::compact(&writer.log, &writer.room, NO_RETENTION).await.is_err());
            assert_eq!(writer.log.open(&writer.room).await.unwrap(), Some(head));
        }
    }
}

/// [H4] A snapshot of a newer ruang is not passed over: the room is not opened by guessing.
#[tokio::test]
async fn a_newer_snapshot_is_not_passed_over() {
    let (writer, faults, newest) = two_snapshots(Default::default()).await;
    assert!(faults.rewrite_chunk(&writer.room, newest.upload, 0, |bytes| {
        bytes[4] = 3;
        *bytes = sealed(std::mem::take(bytes));
    }));
    let Err(error @ WalkError::Newer(_)) = history::walk(&writer.log, &writer.room, Range::TO_HEAD).await
    else {
        panic!("it needs a newer ruang")
    };
    assert!(error.to_string().contains("needs a newer version of ruang"), "{error}");
}

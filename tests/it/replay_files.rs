//! Exported files: they hold what the log holds, prove it, and load for ever.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ruang::ids::RoomName;
use ruang::limits::SNAPSHOT_CHUNK_BYTES;
use ruang::log::memory::Damage;
use ruang::log::record::StoredRecord;
use ruang::log::{Adopted, Adoption, Head, Log, UploadId};
use ruang::replay::export::{ExportError, Exported, export, export_to_file};
use ruang::replay::file::{ExportedRoom, FileError};
use ruang::replay::part::{self, PartKind};
use ruang::replay::show::ShowOptions;
use ruang::replay::verify::verify;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::JoinHandle;

use crate::log_support::{read_all, room, sealed};
use crate::replay_support::*;

/// Set to write a golden file that does not exist yet. Existing ones are never written again.
const WRITE_GOLDEN: &str = "RUANG_WRITE_GOLDEN";

/// Bytes before the first part.
const PREAMBLE: usize = 12;

/// Puts a snapshot of `chunks` chunks into the log, through the counter `through`. Its bytes mean nothing.
pub async fn snapshot(log: &Arc<dyn Log>, name: &RoomName, through: u64, chunks: u32) -> u64 {
    let head = log.open(name).await.unwrap().unwrap();
    let position = log.read(name, through - 1, 1).await.unwrap()[0].position();
    let upload = UploadId(u64::MAX - through);
    let mut bytes = 0;
    for index in 0..chunks {
        let chunk = Bytes::from(vec![index as u8; SNAPSHOT_CHUNK_BYTES - index as usize]);
        bytes += chunk.len() as u64;
        log.put_chunk(name, upload, index, chunk).await.unwrap();
    }
    let drop = Vec::new();
    let adoption =
        Adoption { upload, revision: head.revision, through: position, log_bytes: 7, chunks, bytes, drop };
    match log.adopt(name, adoption).await.unwrap() {
        Adopted::Done(revision) => revision,
        Adopted::Lost(_) => panic!("nobody else is here"),
    }
}

async fn exported(fixture: &Fixture, name: &RoomName) -> (TempDir, PathBuf, Exported) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("room.ruang");
    let exported = export_to_file(&fixture.log, name, &path, TEN).await.unwrap();
    (dir, path, exported)
}

/// Whether two logs say the same of a room.
async fn same(one: &dyn Log, other: &dyn Log, name: &RoomName) {
    let head = one.open(name).await.unwrap();
    assert_eq!(head, other.open(name).await.unwrap());
    assert_eq!(read_all(one, name).await, read_all(other, name).await);
    for snapshot in head.map(|head| head.snapshots).unwrap_or_default() {
        for index in 0..=snapshot.chunks {
            let chunk = one.chunk(name, snapshot.upload, index).await.unwrap();
            assert_eq!(chunk, other.chunk(name, snapshot.upload, index).await.unwrap());
            assert_eq!(chunk.is_some(), index < snapshot.chunks);
        }
    }
}

/// [O17] An exported file is a log that says what the exported one said: head, records, damage, snapshots.
#[tokio::test]
async fn an_export_is_the_log() {
    let (fixture, name) = (Fixture::new(), room("team/retro"));
    fixture.story(&name).await;
    snapshot(&fixture.log, &name, 3, 2).await;
    snapshot(&fixture.log, &name, 5, 1).await;
    fixture.log.trim(&name, 2).await.unwrap();
    assert!(fixture.faults.damage(&name, 4, Damage::FlipBit(300)));
    let (_dir, path, exported) = exported(&fixture, &name).await;
    assert_eq!((exported.records, exported.damaged, exported.snapshots, exported.last.seq), (4, 1, 2, 6));
    assert_eq!(exported.bytes, std::fs::metadata(&path).unwrap().len());
    let file = ExportedRoom::open(&path).unwrap();
    let mut head = fixture.log.open(&name).await.unwrap().unwrap();
    assert_eq!((head.base, head.snapshots.len()), (2, 2));
    // What it was is kept in place of the damage, with the reason.
    let records = read_all(&file, &name).await;
    assert!(matches!(&records[1], StoredRecord::Damaged { position, why }
        if position.seq == 4 && why.contains("checksum")));
    same(&*fixture.log, &file, &name).await;
    assert_eq!(file.room(), &name);
    assert_eq!(file.open(&room("other")).await.unwrap(), None);
    assert_eq!(file.rooms(None, 9).await.unwrap(), std::slice::from_ref(&name));
    assert_eq!(file.rooms(Some(&name), 9).await.unwrap(), []);
    head.frozen = true;
    assert!(
        file.freeze(&name, true).await.is_err() && file.delete(&name).await.is_err(),
        "it can only be read"
    );
}

/// [O17] A directory that only its owner may read has files that only their owner may read; one that exists is
/// never replaced; one that fails leaves nothing.
#[tokio::test]
async fn a_file_is_there_whole_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;
    let (fixture, name) = (Fixture::new(), room("r"));
    fixture.story(&name).await;
    let (dir, path, _) = exported(&fixture, &name).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, "mine").unwrap();
    let again = export_to_file(&fixture.log, &name, &path, TEN).await;
    assert!(matches!(again, Err(ExportError::Exists(_))), "{again:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let absent = export_to_file(&fixture.log, &room("gone"), &dir.path().join("gone"), TEN).await;
    assert!(matches!(absent, Err(ExportError::Absent)), "{absent:?}");
    let nowhere = export_to_file(&fixture.log, &name, &dir.path().join("no/dir"), TEN).await;
    assert!(nowhere.unwrap_err().to_string().contains("no/dir"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

fn open_bytes(dir: &Path, bytes: &[u8]) -> Result<ExportedRoom, FileError> {
    let path = dir.join("changed");
    std::fs::write(&path, bytes).unwrap();
    ExportedRoom::open(&path)
}

/// [O17] Each turned bit, each cut, each byte more, and parts that change places are noticed before anything
/// is read.
#[tokio::test]
async fn damage_to_a_file_is_noticed() {
    let (fixture, name) = (Fixture::new(), room("r"));
    fixture.story(&name).await;
    let (dir, path, _) = exported(&fixture, &name).await;
    let good = std::fs::read(&path).unwrap();
    assert!(open_bytes(dir.path(), &good).is_ok());
    let changed = std::fs::OpenOptions::new().write(true).open(dir.path().join("changed")).unwrap();
    for bit in 0..good.len() * 8 {
        let at = bit / 8;
        changed.write_all_at(&[good[at] ^ 1 << (bit % 8)], at as u64).unwrap();
        let opened = ExportedRoom::open(&dir.path().join("changed"));
        changed.write_all_at(&good[at..=at], at as u64).unwrap();
        let error = opened.err().unwrap_or_else(|| panic!("bit {bit} of byte {at}"));
        assert!(matches!(error, FileError::Damaged { .. } | FileError::Foreign(_)), "{error}");
    }
    for len in 0..good.len() {
        assert!(open_bytes(dir.path(), &good[..len]).is_err(), "cut to {len}");
    }
    assert!(open_bytes(dir.path(), &[&good[..], b"\0"].concat()).is_err(), "a byte more");
    let parts = parts(&good);
    for at in 0..parts.len() - 1 {
        let mut swapped = parts.clone();
        swapped.swap(at, at + 1);
        let mut missing = parts.clone();
        missing.remove(at);
        let mut doubled = parts.clone();
        doubled.insert(at, parts[at]);
        for changed in [swapped, missing, doubled] {
            let bytes = [&good[..PREAMBLE], &changed.concat()].concat();
            assert!(open_bytes(dir.path(), &bytes).is_err(), "part {at}");
        }
    }
}

/// The parts of a file, each with its header.
fn parts(file: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), &file[PREAMBLE..]);
    while !rest.is_empty() {
        let len = 9 + u32::from_le_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (part, behind) = rest.split_at(len);
        parts.push(part);
        rest = behind;
    }
    parts
}

fn golden_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exports/v1-story.ruang")
}

/// [O18] A file of version 1 loads for ever, and is written the same, but for the version that wrote it.
#[tokio::test]
async fn golden_exports_load_for_ever() {
    let (fixture, name) = (Fixture::new(), room("team/retro"));
    fixture.story(&name).await;
    let (_dir, path, _) = exported(&fixture, &name).await;
    if std::env::var_os(WRITE_GOLDEN).is_some() && !golden_path().exists() {
        std::fs::create_dir_all(golden_path().parent().unwrap()).unwrap();
        std::fs::copy(&path, golden_path()).unwrap();
    }
    let golden = ExportedRoom::open(&golden_path()).unwrap();
    same(&*fixture.log, &golden, &name).await;
    assert_eq!((golden.header().room.as_str(), golden.header().exported_ms), ("team/retro", TEN));
    assert_eq!(golden.header().generations, [12_345]);
    let (stored, written) = (std::fs::read(golden_path()).unwrap(), std::fs::read(&path).unwrap());
    assert_eq!(stored[..PREAMBLE], written[..PREAMBLE]);
    assert_eq!(parts(&stored)[1..], parts(&written)[1..], "all but the header");
}

/// [O18] What a newer ruang wrote is refused in one line that says so, and told apart from damage; optional news
/// is passed over.
#[tokio::test]
async fn files_of_newer_versions() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read(golden_path()).unwrap();
    let preamble = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        let crc = crc32c::crc32c(&bytes[..8]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let mut parts: Vec<Vec<u8>> = parts(&good).iter().map(|part| part.to_vec()).collect();
    let end = parts.pop().unwrap();
    let number = parts.len() as u64;
    let with = |kind: u8| {
        let extra = part::encode(number, PartKind::Other(kind), &[b"news"]).to_vec();
        let end = part::encode(number + 1, PartKind::End, &[&end[9..]]).to_vec();
        [good[..PREAMBLE].to_vec(), parts.concat(), extra, end].concat()
    };
    let record = {
        let mut record = good[..PREAMBLE].to_vec();
        record.extend(&parts[0]);
        let mut newer = parts[1][9 + 16..].to_vec();
        newer[4] = 9;
        record.extend(part::encode(1, PartKind::Record, &[&parts[1][9..25], &sealed(newer)]));
        record.extend(parts[2..].concat());
        record.extend(&end);
        record
    };
    for (bytes, expected) in [
        (preamble(4, 2), "its format is 2, this one knows 1"),
        (preamble(5, 1), "its set of flags is 1, this one knows none"),
        (with(0x89), "it has parts of kind 9"),
    ] {
        let error = open_bytes(dir.path(), &bytes).err().unwrap().to_string();
        assert!(error.contains("needs a newer version of ruang") && error.ends_with(expected), "{error}");
    }
    assert!(open_bytes(dir.path(), &preamble(6, 1)).is_ok(), "a flag that may be ignored");
    assert!(open_bytes(dir.path(), &with(0x09)).is_ok(), "a part that may be ignored");
    let file = open_bytes(dir.path(), &record).unwrap();
    let error = file.read(&room("team/retro"), 0, 9).await.unwrap_err().to_string();
    assert!(
        error.contains("needs a newer version of ruang") && error.contains("its version is 9"),
        "{error}"
    );
}

/// [O18] What is no export is called so.
#[test]
fn other_files_are_foreign() {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], b"RUAX", b"hello, this is a letter", &[0; 4096]] {
        let error = open_bytes(dir.path(), bytes).err().unwrap().to_string();
        assert!(error.ends_with("is not an export of ruang"), "{error}");
    }
    assert!(ExportedRoom::open(dir.path()).err().unwrap().to_string().ends_with("is not an export of ruang"));
    assert!(matches!(ExportedRoom::open(&dir.path().join("gone")), Err(FileError::Io { .. })));
}

type Exporting = JoinHandle<Result<Exported, ExportError>>;

/// An export that goes on only as far as it is read.
fn exporting(fixture: &Fixture, name: &RoomName) -> (DuplexStream, Exporting) {
    let (mut pipe, reader) = tokio::io::duplex(16);
    let (log, name) = (Arc::clone(&fixture.log), name.clone());
    let exporting = tokio::spawn(async move { export(&log, &name, &mut pipe, TEN).await });
    (reader, exporting)
}

/// Reads the rest and gives the file, if it became one.
async fn rest(
    begun: Vec<u8>,
    (mut reader, exporting): (DuplexStream, Exporting),
) -> Result<(ExportedRoom, Head), ExportError> {
    let mut bytes = begun;
    reader.read_to_end(&mut bytes).await.unwrap();
    exporting.await.unwrap()?;
    let dir = tempfile::tempdir().unwrap();
    let file = open_bytes(dir.path(), &bytes).unwrap();
    let head = file.open(file.room()).await.unwrap().unwrap();
    Ok((file, head))
}

/// [O17] Compaction while a room is exported: what is trimmed is in the snapshots that were written before.
#[tokio::test]
async fn compaction_meanwhile_is_survived() {
    let (fixture, name) = (Fixture::new(), room("r"));
    fixture.story(&name).await;
    snapshot(&fixture.log, &name, 3, 1).await;
    let (mut reader, running) = exporting(&fixture, &name);
    let mut begun = vec![0; 600];
    reader.read_exact(&mut begun).await.unwrap(); // within the snapshot
    fixture.append(&name, vec![update_record(None, vec![], &[0, 0])]).await;
    assert_eq!(fixture.log.trim(&name, 3).await.unwrap(), 3);
    let (file, head) = rest(begun, (reader, running)).await.unwrap();
    assert_eq!(
        (head.base, head.last.seq, head.snapshots.len()),
        (3, 6, 1),
        "as it was at the start, less the trimmed"
    );
    assert_eq!(read_all(&file, &name).await.len(), 3);
}

/// [O17] Trimmed beyond what was written, removed, or born again: no file that only looks like one.
#[tokio::test]
async fn what_cannot_be_exported_whole_is_not() {
    let (fixture, name) = (Fixture::new(), room("r"));
    fixture.story(&name).await;
    let begin = async || {
        let (mut reader, running) = exporting(&fixture, &name);
        let mut begun = vec![0; 20]; // within the header
        reader.read_exact(&mut begun).await.unwrap();
        (begun, (reader, running))
    };
    let (begun, running) = begin().await;
    snapshot(&fixture.log, &name, 4, 1).await;
    fixture.log.trim(&name, 4).await.unwrap();
    let overtaken = rest(begun, running).await.err();
    assert!(matches!(overtaken, Some(ExportError::Compacted)), "{overtaken:?}");

    let (begun, running) = begin().await;
    fixture.log.delete(&name).await.unwrap();
    let removed = rest(begun, running).await.err();
    assert!(matches!(removed, Some(ExportError::Removed)), "{removed:?}");

    fixture.story(&name).await;
    let (begun, running) = begin().await;
    fixture.log.delete(&name).await.unwrap();
    for _ in 0..3 {
        fixture.story(&name).await;
    }
    let reborn = rest(begun, running).await.err();
    assert!(matches!(reborn, Some(ExportError::Removed)), "{reborn:?}");
}

/// [O17] A verb says the same of a file as of the log that it came from.
#[tokio::test]
async fn verbs_work_on_files() {
    let (fixture, name) = (Fixture::new(), room("r"));
    fixture.story(&name).await;
    let (_dir, path, _) = exported(&fixture, &name).await;
    let file: Arc<dyn Log> = Arc::new(ExportedRoom::open(&path).unwrap());
    let options = ShowOptions::default;
    assert_eq!(shown(&file, &name, options()).await, shown(&fixture.log, &name, options()).await);
    for at in [0, 3, 6] {
        let (one, other) = (state_at(&file, &name, at).await, state_at(&fixture.log, &name, at).await);
        assert_eq!(one, other, "at #{at}");
    }
    let verified = async |log| printed(true, async |output| verify(log, None, output).await).await.out.text();
    assert_eq!(verified(&file).await, verified(&fixture.log).await);
}

/// [O18] So does one of a room that was compacted, with what its snapshots hold.
#[tokio::test]
async fn golden_exports_of_compacted_rooms_load_for_ever() {
    let path = golden_path().with_file_name("v1-compacted.ruang");
    let (fixture, name) = with_snapshots(true).await;
    if std::env::var_os(WRITE_GOLDEN).is_some() && !path.exists() {
        export_to_file(&fixture.log, &name, &path, TEN).await.unwrap();
    }
    let golden: Arc<dyn Log> = Arc::new(ExportedRoom::open(&path).unwrap());
    assert_eq!(read_all(&*golden, &name).await, read_all(&*fixture.log, &name).await);
    let printed = printed(true, async |output| verify(&golden, None, output).await).await;
    let line = &printed.out.lines()[0];
    assert_eq!(
        (&line["snapshots"], &line["compared"], &line["findings"]),
        (&json!(2), &json!(1), &json!(0)),
        "{line}"
    );
    for at in [3, 5, 7] {
        assert_eq!(state_at(&golden, &name, at).await, state_at(&fixture.log, &name, at).await);
    }
}

//! What is imported from files: a room that can be read, or a line that says why not; never a part of one, and nothing fails.
//!
//! The first byte of the input says what the rest is: updates, each after its length in two bytes; a file of y-sweet; of a
//! LevelDB store its manifest, its log, or one block of a table; a SQLite database; a board as JSON; an exported file. What
//! checksums of LevelDB and of exported files guard is meant, not they: they are set right first.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use ruang::document::Document;
use ruang::gate::{Gate, Source, same_document};
use ruang::history::{self, Range};
use ruang::kind::Boards;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::replay::import::{ImportOptions, import};
use ruang::replay::moving::{From, MoveOptions, Moved, move_in, seed};
use ruang::replay::output::Output;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::stored::mend_parts;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

fn options() -> ImportOptions {
    ImportOptions {
        name: None,
        dry_run: false,
        force: false,
        kind: None,
        boards: Boards::default(),
        ttl_ms: None,
        now_ms: 1_795_000_000_000,
    }
}

/// A document that has come over is one that the gate takes and that loads.
fn document(updates: Vec<Vec<u8>>) -> bool {
    let Ok(moved) = Moved::new(updates) else { return false };
    let mut gate = Gate::new();
    let admission = gate.admit(&moved.update, Source::Step2).expect("what has come over is taken back");
    assert!(!admission.dropped.is_gap(), "completely");
    assert_eq!(moved.is_empty, gate.clients() == 0);
    Document::new().apply(&[&moved.update]).expect("a newcomer loads it");
    !moved.is_empty
}

fn updates(mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut updates = Vec::new();
    while let Some((&len, rest)) = input.split_first_chunk::<2>() {
        let (update, rest) = rest.split_at(usize::from(u16::from_le_bytes(len)).min(rest.len()));
        updates.push(update.to_vec());
        input = rest;
    }
    updates
}

/// Imports what is at `path` into an empty store, twice: the second time it is there.
async fn moved(path: &Path, from: From) -> bool {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let mut rooms = Vec::new();
    for json in [false, true] {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut notes, json, false);
        let options = MoveOptions { document: None, import: options() };
        if let Err(error) = move_in(path, from, &log, &options, &mut output).await {
            output.note(&format!("error: {error}"));
            assert_eq!(text(&notes).lines().count(), 1, "one line");
        }
        text(&out);
        rooms.push(read_all(&log).await);
    }
    let names = |rooms: &[(String, Vec<u8>)]| rooms.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&rooms[0]), names(&rooms[1]), "imported twice it is there once");
    let same = rooms[0].iter().zip(&rooms[1]).all(|(first, second)| same_document(&first.1, &second.1));
    assert!(same, "and is as it was");
    !rooms[0].is_empty()
}

/// What was printed, in which nothing is a command to a terminal.
fn text(printed: &[u8]) -> &str {
    let text = std::str::from_utf8(printed).expect("it is text");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    text
}

/// Every room of a store, each of which can be read from its beginning.
async fn read_all(log: &Arc<dyn Log>) -> Vec<(String, Vec<u8>)> {
    let mut read = Vec::new();
    for room in log.rooms(None, 1_000).await.expect("it is in memory") {
        let walk = history::walk(log, &room, Range::TO_HEAD).await.expect("it can be read");
        let mut walk = walk.expect("it is there");
        walk.to_end().await.expect("to its end");
        let fold = walk.into_fold().expect("a room that was made is whole");
        read.push((room.as_str().to_owned(), fold.document().encode_full()));
    }
    read
}

async fn exported(path: &Path) -> bool {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let imported = import(path, &log, &options()).await;
    let rooms = read_all(&log).await;
    assert_eq!(rooms.len(), usize::from(imported.is_ok()), "a room or none: {imported:?}");
    imported.is_ok()
}

/// A checksum as LevelDB stores it.
fn checksum(parts: &[&[u8]]) -> [u8; 4] {
    let sum = parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    sum.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Sets the checksums of a log's fragments right.
fn mend_fragments(bytes: &mut [u8]) {
    for block in bytes.chunks_mut(32 << 10) {
        let mut at = 0;
        while let Some(&[_, _, _, _, low, high, _]) = block.get(at..).and_then(|rest| rest.first_chunk()) {
            let end = at + 7 + usize::from(u16::from_le_bytes([low, high]));
            let Some(rest) = block.get(at + 6..end) else { break };
            let sum = checksum(&[rest]);
            block[at..at + 4].copy_from_slice(&sum);
            at = end;
        }
    }
}

/// One record of a log that fits into a fragment.
fn fragment(record: &[u8]) -> Vec<u8> {
    let mut out = checksum(&[&[1], record]).to_vec();
    out.extend_from_slice(&u16::try_from(record.len()).expect("it is short").to_le_bytes());
    out.push(1);
    out.extend_from_slice(record);
    out
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A block with its trailer: not compressed if `compression` is 0, by snappy if it is 1.
fn block(out: &mut Vec<u8>, bytes: &[u8], compression: u8) -> (u64, u64) {
    let handle = (out.len() as u64, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.push(compression);
    out.extend_from_slice(&checksum(&[bytes, &[compression]]));
    handle
}

/// A table of one block, whose first byte says how it is compressed; and the manifest of a store that has only this table.
fn table(input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    const LAST: &[u8] = &[0xff; 16];
    let (&compression, bytes) = input.split_first().unwrap_or((&0, &[]));
    let mut table = Vec::new();
    let data = block(&mut table, bytes, compression % 3);
    let mut place = Vec::new();
    varint(&mut place, data.0);
    varint(&mut place, data.1);
    let mut index = vec![0, LAST.len() as u8, place.len() as u8];
    index.extend_from_slice(LAST);
    index.extend_from_slice(&place);
    index.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
    let index = block(&mut table, &index, 0);
    let mut footer = vec![0, 0];
    varint(&mut footer, index.0);
    varint(&mut footer, index.1);
    footer.resize(40, 0);
    footer.extend_from_slice(&0xdb47_7524_8b80_fb57_u64.to_le_bytes());
    table.extend_from_slice(&footer);
    // Table 5 on level 0, from the first key to the last.
    let mut change = vec![7, 0, 5];
    varint(&mut change, table.len() as u64);
    change.extend_from_slice(&[8, 0, 0, 0, 0, 0, 0, 0, 0, LAST.len() as u8]);
    change.extend_from_slice(LAST);
    (table, fragment(&change))
}

/// A directory for the files of one input; gone when the process ends well.
static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));

/// A LevelDB store of these files: what does not come is not there.
fn level_db(manifest: &[u8], log: Option<&[u8]>, table: Option<&[u8]>) -> PathBuf {
    let directory = DIRECTORY.path().join("leveldb");
    let put = |name: &str, bytes: Option<&[u8]>| {
        let path = directory.join(name);
        match bytes {
            Some(bytes) => fs::write(path, bytes).expect("it can be written"),
            None => drop(fs::remove_file(path)),
        }
    };
    fs::create_dir_all(&directory).expect("it can be made");
    put("CURRENT", Some(b"MANIFEST-000004\n"));
    put("MANIFEST-000004", Some(manifest));
    put("000006.log", log);
    put("000005.ldb", table);
    directory
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = DIRECTORY.path().join(name);
    fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
    fs::write(&path, bytes).expect("it can be written");
    path
}

/// See the module. Whether there is a room now.
pub fn run(input: &[u8]) -> bool {
    let Some((&which, rest)) = input.split_first() else { return false };
    let mut bytes = rest.to_vec();
    let (path, from) = match which % 8 {
        0 => return document(updates(rest)),
        1 => (file("plans/data.ysweet", rest), From::YSweet),
        2 => {
            mend_fragments(&mut bytes);
            (level_db(&bytes, None, None), From::YLeveldb)
        }
        3 => {
            mend_fragments(&mut bytes);
            (level_db(&fragment(&[2, 6]), Some(&bytes), None), From::YLeveldb)
        }
        4 => {
            let (table, manifest) = table(rest);
            (level_db(&manifest, None, Some(&table)), From::YLeveldb)
        }
        5 => (file("board.sqlite", rest), From::HocuspocusSqlite),
        6 => {
            if let Ok(board) = seed::board(rest) {
                document(vec![board.update]);
            }
            (file("board.json", rest), From::SeedJson)
        }
        _ => {
            if let Some(preamble) = bytes.first_chunk_mut::<12>() {
                let crc = crc32c::crc32c(&preamble[..8]);
                preamble[8..].copy_from_slice(&crc.to_le_bytes());
            }
            mend_parts(&mut bytes, 12);
            return RUNTIME.block_on(exported(&file("room.ruang", &bytes)));
        }
    };
    RUNTIME.block_on(moved(&path, from))
}

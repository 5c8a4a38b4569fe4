//! Moving in: stores that the real packages have written (`tests/fixtures/imports`) become rooms that say the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ruang::gate::parse_state_vector;
use ruang::history::{self, Range};
use ruang::ids::RoomName;
use ruang::log::LogError;
use ruang::replay::import::ImportOptions;
use ruang::replay::moving::leveldb::LevelDb;
use ruang::replay::moving::{From, MoveOptions, Moved, SourceError, move_in, seed};
use ruang::replay::place::Place;
use ruang::replay::state::{Format, state};
use ruang::replay::{Done, ReplayError};
use serde_json::{Value, json};
use tempfile::TempDir;
use yrs::{Map, Transact};

use crate::hex;
use crate::log_support::room;
use crate::replay_support::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/imports").join(name)
}

fn options() -> MoveOptions {
    let import = ImportOptions { name: None, dry_run: false, force: false, ttl_ms: None, now_ms: TEN };
    MoveOptions { document: None, import }
}

fn named(document: &str, name: &str) -> MoveOptions {
    let mut options = MoveOptions { document: Some(document.to_owned()), ..options() };
    options.import.name = Some(room(name));
    options
}

/// Moves in, and gives the lines by document, the summary under "".
async fn moved(
    log: &Fixture,
    from: From,
    path: &Path,
    options: &MoveOptions,
) -> (Result<Done, ReplayError>, BTreeMap<String, Value>) {
    let printed = printed(true, async |output| move_in(path, from, &log.log, options, output).await).await;
    let lines = printed.out.lines().into_iter();
    (printed.done, lines.map(|line| (line["document"].as_str().unwrap_or("").to_owned(), line)).collect())
}

fn became(lines: &BTreeMap<String, Value>) -> BTreeMap<&str, &str> {
    let documents = lines.iter().filter(|(name, _)| !name.is_empty());
    documents.map(|(name, line)| (name.as_str(), line["became"].as_str().unwrap())).collect()
}

async fn view(log: &Fixture, room: &RoomName) -> Option<Value> {
    log.log.open(room).await.unwrap()?;
    let printed =
        printed(true, async |output| state(&log.log, room, Place::Head, Format::Json, TEN, output).await)
            .await;
    assert_eq!(printed.done.unwrap(), Done::Good);
    Some(printed.out.lines()[0]["document"].clone())
}

/// Clients and clocks of a room, without the mark of its life.
async fn blocks(log: &Fixture, room: &RoomName) -> Vec<(u64, u32)> {
    let mut walk = history::walk(&log.log, room, Range::TO_HEAD).await.unwrap().unwrap();
    walk.to_end().await.unwrap();
    let fold = walk.into_fold().unwrap();
    let lives = fold.generations();
    let entries = fold.gate().state_vector().entries().to_vec();
    entries.into_iter().filter(|(_, clock)| lives.iter().all(|life| life.nonce != *clock)).collect()
}

/// Every file below a directory, with its bytes.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if path.is_file() {
        return BTreeMap::from([(path.to_owned(), fs::read(path).unwrap())]);
    }
    fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect()
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// The stores, and where each keeps its documents.
const STORES: [(From, &str, &str); 5] = [
    (From::YLeveldb, "y-leveldb-0.2.0", ""),
    (From::YLeveldb, "y-leveldb-0.1.2", ""),
    (From::HocuspocusSqlite, "hocuspocus-sqlite-3.4.0", "db.sqlite"),
    (From::HocuspocusSqlite, "hocuspocus-sqlite-4.7.0", "db.sqlite"),
    (From::YSweet, "y-sweet-0.9.1", ""),
];

fn expected(store: &str) -> BTreeMap<String, Value> {
    serde_json::from_slice(&fs::read(fixture(&format!("{store}.json"))).unwrap()).unwrap()
}

/// [O71] Each document of each store becomes a room with the view that the package itself gives, and with its
/// blocks under their ids. One with something that is not taken stays out, with the reason; the others come. The
/// store is as it was.
#[tokio::test]
async fn stores_become_rooms() {
    for (from, store, at) in STORES {
        println!("{store}");
        let (log, path) = (Fixture::new(), fixture(store).join(at));
        let before = files(&fixture(store));
        let (done, lines) = moved(&log, from, &path, &options()).await;
        assert_eq!(files(&fixture(store)), before, "{store} is not written to");
        let has_sub = from != From::YSweet;
        assert_eq!(done.unwrap(), if has_sub { Done::Findings } else { Done::Good });
        let expected = expected(store);
        assert_eq!(lines.keys().skip(1).collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, expected) in &expected {
            let line = &lines[name];
            let name = RoomName::parse(line["room"].as_str().unwrap()).unwrap();
            let seen = view(&log, &name).await;
            if name.as_str() == "sub" {
                assert_eq!((&line["became"], seen), (&json!("failed"), None));
                assert!(line["why"].as_str().unwrap().starts_with("subdocuments are not taken; "), "{line}");
            } else if name.as_str() == "nothing" {
                assert_eq!((&line["became"], seen), (&json!("empty"), None));
            } else {
                assert_eq!((&line["became"], seen.as_ref()), (&json!("made"), Some(&expected["view"])));
                let state = hex::bytes(expected["state"].as_str().unwrap());
                let mut state = parse_state_vector(&state).unwrap().entries().to_vec();
                let mut ours = blocks(&log, &name).await;
                (state.sort_unstable(), ours.sort_unstable());
                assert_eq!(ours, state, "{name:?}");
            }
        }
        if from == From::YLeveldb {
            // What the path of a request said.
            assert_eq!(lines["team%2Fplans%201"]["room"], "team/plans 1");
            assert_eq!(lines["retro"]["not_kept"], json!(["1 entries of metadata (setMeta)"]));
        }
    }
}

/// [O72] Who imports again is told what is there and has nothing twice, also when people have gone on meanwhile;
/// a room with something else is left alone. After a store that was full the rest comes.
#[tokio::test]
async fn what_is_there_is_told() {
    let (log, path) = (Fixture::new(), fixture("y-leveldb-0.2.0"));
    log.faults.fail_appends(1, LogError::Full("no space".to_owned()));
    let (done, lines) = moved(&log, From::YLeveldb, &path, &options()).await;
    assert!(matches!(done, Err(ReplayError::Log(LogError::Full(_)))), "{done:?}");
    assert!(!became(&lines).values().any(|became| *became == "made"), "{lines:?}");
    assert_eq!(log.log.rooms(None, 9).await.unwrap(), []);

    let (_, lines) = moved(&log, From::YLeveldb, &path, &named("retro", "retro")).await;
    assert_eq!(became(&lines), BTreeMap::from([("retro", "made")]));
    let mut author = Author::new(5);
    let edit =
        author.edit(|doc| drop(doc.get_or_insert_map("items").insert(&mut doc.transact_mut(), "new", 1)));
    log.append(&room("retro"), vec![update_record(None, vec![], &edit)]).await;
    log.append(&room("long"), vec![update_record(None, vec![], &edit)]).await;
    let before = view(&log, &room("retro")).await;

    let (done, lines) = moved(&log, From::YLeveldb, &path, &options()).await;
    assert_eq!(done.unwrap(), Done::Findings);
    let all = [
        ("long", "failed"),
        ("nothing", "empty"),
        ("retro", "there"),
        ("sub", "failed"),
        ("team%2Fplans%201", "made"),
    ];
    assert_eq!(became(&lines), BTreeMap::from(all));
    assert_eq!(
        lines["long"]["why"],
        "a room of this name is there, without all of this; choose another with --as"
    );
    assert_eq!(view(&log, &room("retro")).await, before, "untouched");
    assert_eq!(view(&log, &room("long")).await.unwrap(), json!({ "items": { "new": 1 } }), "untouched");
    let summary = &lines[""];
    let counts = ["made", "there", "empty", "failed"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!((counts, &summary["dry_run"]), ([1, 1, 1, 2], &json!(false)));

    log.log.delete(&room("gone")).await.unwrap();
    let (_, lines) = moved(&log, From::YLeveldb, &path, &named("retro", "gone")).await;
    assert!(lines["retro"]["why"].as_str().unwrap().contains("was deleted"), "{lines:?}");
}

/// [O72] One document under another name; a dry run stores nothing; what cannot be meant is said.
#[tokio::test]
async fn one_document_of_many() {
    let (log, path) = (Fixture::new(), fixture("hocuspocus-sqlite-4.7.0/db.sqlite"));
    let mut dry = options();
    dry.import.dry_run = true;
    let (_, lines) = moved(&log, From::HocuspocusSqlite, &path, &dry).await;
    assert_eq!(became(&lines)["team/plans 1"], "would_be_made");
    assert_eq!(log.log.rooms(None, 9).await.unwrap(), []);

    let (done, lines) = moved(&log, From::HocuspocusSqlite, &path, &named("team/plans 1", "mine")).await;
    assert_eq!((done.unwrap(), became(&lines)), (Done::Good, BTreeMap::from([("team/plans 1", "made")])));
    assert_eq!(view(&log, &room("mine")).await.unwrap(), json!({ "list": ["one plan"] }));

    let mut many = options();
    many.import.name = Some(room("all"));
    let (done, _) = moved(&log, From::HocuspocusSqlite, &path, &many).await;
    assert!(
        matches!(&done, Err(error) if error.is_usage() && error.to_string().contains("4 documents")),
        "{done:?}"
    );
    let (done, _) = moved(&log, From::HocuspocusSqlite, &path, &named("none", "mine")).await;
    assert!(matches!(done, Err(ReplayError::Moving(SourceError::Absent))), "{done:?}");
    assert_eq!(log.log.rooms(None, 9).await.unwrap(), [room("mine")]);
}

/// [O71] [O73] Files with updates: one, or a directory of them with encoded names. V2, text and subdocuments are
/// refused with what would help; so are the old kinds of content.
#[tokio::test]
async fn update_files_become_rooms() {
    let log = Fixture::new();
    let (done, lines) = moved(&log, From::UpdateFile, &fixture("updates"), &options()).await;
    assert_eq!(done.unwrap(), Done::Findings);
    let all = [("in-v2", "failed"), ("retro", "made"), ("sub", "failed"), ("team%2Fplans", "made")];
    assert_eq!(became(&lines), BTreeMap::from(all));
    assert!(
        lines["in-v2"]["why"]
            .as_str()
            .unwrap()
            .ends_with("Y.convertUpdateFormatV2ToV1(update) makes one that is taken")
    );
    for (name, expected) in expected("updates") {
        assert_eq!(
            view(&log, &room(lines[&name]["room"].as_str().unwrap())).await.unwrap(),
            expected["view"]
        );
    }
    let one = fixture("updates/team%2Fplans.bin");
    let (done, _) = moved(&log, From::UpdateFile, &one, &named("team%2Fplans", "copy")).await;
    assert_eq!(done.unwrap(), Done::Good);
    assert_eq!(view(&log, &room("copy")).await.unwrap(), json!({ "list": ["one plan"] }));

    let old = tempfile::tempdir().unwrap();
    // One block each: content of kind JSON with the value 1; a weak link (type 7).
    fs::write(old.path().join("json.bin"), [1, 1, 1, 0, 2, 1, 1, b'r', 1, 1, b'1', 0]).unwrap();
    fs::write(old.path().join("link.bin"), [1, 1, 1, 0, 7, 1, 1, b'r', 7, 0, 1, 1, 0, 0]).unwrap();
    fs::write(old.path().join("text.bin"), "AQEBAAQBAXQBeAA=").unwrap();
    fs::write(old.path().join("ignored.txt"), "x").unwrap();
    fs::write(old.path().join(format!("{}.bin", "n".repeat(129))), [0, 0]).unwrap();
    let (_, lines) = moved(&log, From::UpdateFile, old.path(), &options()).await;
    let why = |name: &str| lines[name]["why"].as_str().unwrap().to_owned();
    assert!(
        why("json").contains("JSON is not taken") && why("json").contains("new Y.Doc with a Yjs of today")
    );
    assert!(
        why("link").contains("weak link") && why("link").contains("arrays, maps, texts or XML"),
        "{}",
        why("link")
    );
    assert!(why("text").ends_with("decode it (base64 -d)"), "{}", why("text"));
    assert!(why(&"n".repeat(129)).contains("at most 128 bytes"));
    assert_eq!(lines.len(), 5);
    let (done, _) = moved(&log, From::UpdateFile, &old.path().join("no.bin"), &options()).await;
    assert!(matches!(done, Err(ReplayError::Moving(SourceError::Io { .. }))));
}

/// [O71] One document of y-sweet, by its directory or its file.
#[tokio::test]
async fn one_y_sweet_document() {
    for at in ["y-sweet-0.9.1/plans-1", "y-sweet-0.9.1/plans-1/data.ysweet"] {
        let log = Fixture::new();
        let (done, lines) = moved(&log, From::YSweet, &fixture(at), &options()).await;
        assert_eq!((done.unwrap(), became(&lines)), (Done::Good, BTreeMap::from([("plans-1", "made")])));
        assert_eq!(view(&log, &room("plans-1")).await.unwrap(), json!({ "list": ["one plan"] }));
    }
}

/// [O74] Each byte of a LevelDB store, turned around: it is noticed, or nothing is read differently. Each cut of
/// its log: the rest is there, or the damage is said.
#[test]
fn damage_in_leveldb_is_noticed() {
    let all = |path: &Path| LevelDb::open(path).and_then(|store| store.range(&[], &[255]));
    let (mut noticed, mut harmless) = (0, 0);
    let intact = all(&fixture("y-leveldb-0.2.0")).unwrap();
    assert!(intact.len() > 80, "{}", intact.len());
    let store = copy(&fixture("y-leveldb-0.2.0"));
    for (path, bytes) in files(store.path()) {
        // Everything near the ends, where the structure is, and some between.
        let places = (0..bytes.len()).filter(|at| at % 41 == 0 || *at < 64 || *at + 64 > bytes.len());
        for at in places {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            match all(store.path()) {
                Err(_) => noticed += 1,
                // In what nothing points to: filters, padding.
                Ok(read) if read == intact => harmless += 1,
                // A length that reaches behind the end of a log looks like the record that was being written last:
                // LevelDB says nothing either.
                Ok(read) if path.extension().is_some_and(|end| end == "log") => {
                    fs::write(&path, &bytes[..at]).unwrap();
                    assert_eq!(read, all(store.path()).unwrap(), "what is before it is read");
                }
                Ok(_) => panic!("bit {} of byte {at} of {} was not noticed", at % 8, path.display()),
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    println!("{noticed} noticed, {harmless} harmless");
    assert!(noticed > 10 * harmless, "{noticed} noticed, {harmless} harmless");
    fs::remove_file(store.path().join("000005.ldb")).unwrap();
    assert!(all(store.path()).is_err(), "a table that is gone");
    assert!(all(tempfile::tempdir().unwrap().path()).is_err(), "no store");
}

/// [O74] Files of y-sweet, updates, boards and databases with any bit turned around or cut anywhere end in a line or in
/// a room, never in anything else.
#[tokio::test]
async fn any_bytes_end_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let kinds = [
        (From::YSweet, fixture("y-sweet-0.9.1/retro/data.ysweet"), 1),
        (From::UpdateFile, fixture("updates/retro.bin"), 1),
        (From::SeedJson, fixture("seed.json"), 11),
        (From::HocuspocusSqlite, fixture("hocuspocus-sqlite-4.7.0/db.sqlite"), 197),
    ];
    for (from, path, step) in kinds {
        let bytes = fs::read(&path).unwrap();
        let to = dir.path().join(path.file_name().unwrap());
        let mut results = [0, 0];
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            for bytes in [&flipped[..], &bytes[..at]] {
                fs::write(&to, bytes).unwrap();
                let mut dry = options();
                dry.import.dry_run = true;
                let (done, _) = moved(&Fixture::new(), from, &to, &dry).await;
                results[usize::from(matches!(done, Ok(Done::Good)))] += 1;
            }
        }
        println!("{from:?}: {} refused, {} taken", results[0], results[1]);
        assert!(results[0] > 0);
    }
}

/// [O75] A database whose server was killed: what is only in its write-ahead log comes over too, and nothing beside it
/// changes. What is no such database is refused in a line.
#[tokio::test]
async fn databases_that_were_not_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it's a db?.sqlite");
    let open = rusqlite::Connection::open(&path).unwrap();
    let mode: String = open.query_row("PRAGMA journal_mode=WAL", (), |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    open.execute_batch("CREATE TABLE documents (id INTEGER, data BLOB, name TEXT UNIQUE)").unwrap();
    open.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let plans = fs::read(fixture("updates/team%2Fplans.bin")).unwrap();
    open.execute("INSERT INTO documents VALUES (1, ?1, 'plans'), (2, x'', 'new'), (3, 'x', 'odd')", [&plans])
        .unwrap();
    let before = files(dir.path());
    assert!(before.keys().any(|path| path.to_string_lossy().ends_with("-wal")));
    let log = Fixture::new();
    let (_, lines) = moved(&log, From::HocuspocusSqlite, &path, &options()).await;
    assert_eq!(became(&lines), BTreeMap::from([("new", "empty"), ("odd", "failed"), ("plans", "made")]));
    assert_eq!(view(&log, &room("plans")).await.unwrap(), json!({ "list": ["one plan"] }));
    assert_eq!(files(dir.path()), before);

    open.execute_batch("DROP TABLE documents").unwrap();
    let (done, _) = moved(&log, From::HocuspocusSqlite, &path, &options()).await;
    assert!(done.unwrap_err().to_string().contains("a table `documents`"));
    let (done, _) = moved(&log, From::HocuspocusSqlite, &fixture("seed.json"), &options()).await;
    assert!(done.unwrap_err().to_string().ends_with("this is no SQLite database"));
}

/// [O76] A board as JSON has its place in each root of the layout; what a room knows by itself is left out and
/// said. Imported again, it is there once.
#[tokio::test]
async fn a_board_as_json_becomes_a_room() {
    let (log, path) = (Fixture::new(), fixture("seed.json"));
    let (done, lines) = moved(&log, From::SeedJson, &path, &named("seed", "retro-41")).await;
    assert_eq!((done.unwrap(), became(&lines)), (Done::Good, BTreeMap::from([("seed", "made")])));
    let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let board = view(&log, &room("retro-41")).await.unwrap();
    for same in ["meta", "items", "itemPositions", "itemGroups", "signatureColors"] {
        assert_eq!(board[same], json[same], "{same}");
    }
    assert_eq!(board["groups"], json!({ "g1": { "title": "Less", "order": 0 } }));
    assert_eq!(board["votes"], json!({ "ayu/i1": 2, "ayu/g1": 1, "budi/i1": 1 }));
    let first = json!({ "text": "write it down", "assignee": "budi", "due": "2026-12-01", "done": false, "order": 0 });
    let second = json!({ "text": "ask again", "assignee": null, "due": null, "done": true, "order": 1 });
    assert_eq!(board["actionItems"], json!({ "a2": first, "action-1": second }));
    assert_eq!(board.as_object().unwrap().len(), 8);
    let not_kept = lines["seed"]["not_kept"].as_array().unwrap();
    assert_eq!(not_kept.len(), 3, "{not_kept:?}");

    let (_, lines) = moved(&log, From::SeedJson, &path, &named("seed", "retro-41")).await;
    assert_eq!(became(&lines)["seed"], "there");
    assert_eq!(view(&log, &room("retro-41")).await.unwrap(), board);
}

/// [O76] JSON that is no board is refused with the place in it.
#[test]
fn no_board_is_refused_with_its_place() {
    let refused = |json: &str| seed::board(json.as_bytes()).err().unwrap().to_string();
    assert!(refused("{").starts_with("this is no JSON"));
    assert!(
        refused("[]").starts_with("this is no board")
            && refused(r#"{"lastUpdated":1}"#).starts_with("this is no board")
    );
    for (json, expected) in [
        (
            r#"{"itemPositions":{"a":{"x":1}}}"#,
            "itemPositions/a: an object with the numbers x and y is expected",
        ),
        (r#"{"itemGroups":{"a":1}}"#, "itemGroups/a: a string is expected"),
        (r#"{"items":[{"text":"x"}]}"#, "items/0: an object with the string id is expected"),
        (r#"{"items":[{"id":"a"},{"id":"a"}]}"#, "items/a: an id that is there once is expected"),
        (r#"{"allUserVotes":{"a/b":{"i":1}}}"#, "allUserVotes/a/b: a user without a slash is expected"),
        (r#"{"allUserVotes":{"a":{"i":-1}}}"#, "allUserVotes/a/i: a count is expected"),
        (r#"{"actionItems":{}}"#, "actionItems: a list is expected"),
    ] {
        assert_eq!(refused(json), expected);
    }
    let deep = format!(r#"{{"meta":{{"a":{}1{}}}}}"#, "[".repeat(40), "]".repeat(40));
    assert_eq!(refused(&deep), "meta/a: a value with fewer levels is expected");
    let same = |json: &str| Moved::new(vec![seed::board(json.as_bytes()).unwrap().update]).unwrap();
    assert!(!same(r#"{"meta":{"n":1e300,"big":18446744073709551615}}"#).is_empty);
    assert!(same(r#"{"meta":{}}"#).is_empty);
}

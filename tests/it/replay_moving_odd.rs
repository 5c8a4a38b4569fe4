//! Moving in: damage, databases that were not closed, boards as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ruang::board::view::view;
use ruang::history::{self, Range};
use ruang::replay::Done;
use ruang::replay::moving::leveldb::LevelDb;
use ruang::replay::moving::{From, Moved, seed};
use serde_json::{Value, json};

use crate::log_support::room;
use crate::replay_moving::{became, copy, files, fixture, moved, named, options, view as shown};
use crate::replay_support::Fixture;

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
    assert_eq!(shown(&log, &room("plans")).await.unwrap(), json!({ "list": ["one plan"] }));
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
    let board = shown(&log, &room("retro-41")).await.unwrap();
    for same in ["meta", "items", "itemPositions", "itemGroups", "signatureColors"] {
        assert_eq!(board[same], json[same], "{same}");
    }
    assert_eq!(board["groups"], json!({ "g1": { "title": "Less", "order": 0 } }));
    assert_eq!(board["votes"], json!({ "ayu/i1": 2, "ayu/g1": 1, "budi/i1": 1 }));
    let first = json!({ "text": "write it down", "assignee": "budi", "due": "2026-12-01", "done": false, "order": 0 });
    let second = json!({ "text": "ask again", "assignee": null, "due": null, "done": true, "order": 1 });
    assert_eq!(board["actionItems"], json!({ "a2": first, "action-1": second }));
    assert_eq!(board.as_object().unwrap().len(), 8);

    // What boards are read by finds all of it.
    let mut walk = history::walk(&log.log, &room("retro-41"), Range::TO_HEAD).await.unwrap().unwrap();
    walk.to_end().await.unwrap();
    let state = serde_json::to_value(view(walk.into_fold().unwrap().document().doc())).unwrap();
    for same in ["items", "itemGroups", "signatureColors"] {
        assert_eq!(state[same], json[same], "{same}");
    }
    assert_eq!(state["itemPositions"]["i1"], json!({ "x": 12.0, "y": 40.5 }));
    for same in ["title", "phase", "columns", "voteLimit"] {
        assert_eq!(state["meta"][same], json["meta"][same], "{same}");
    }
    assert_eq!(state["allUserVotes"], json!({ "ayu": { "i1": 2, "g1": 1 }, "budi": { "i1": 1 } }));
    let order: Vec<&Value> =
        state["actionItems"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(order, ["a2", "action-1"]);
    let not_kept = lines["seed"]["not_kept"].as_array().unwrap();
    assert_eq!(not_kept.len(), 3, "{not_kept:?}");

    let (_, lines) = moved(&log, From::SeedJson, &path, &named("seed", "retro-41")).await;
    assert_eq!(became(&lines)["seed"], "there");
    assert_eq!(shown(&log, &room("retro-41")).await.unwrap(), board);
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
        (r#"{"allUserVotes":{"":{"i":1}}}"#, "allUserVotes/: a user is expected"),
        (r#"{"groups":{"":{}}}"#, "groups/: an id of one line, not empty is expected"),
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

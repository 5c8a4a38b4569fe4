//! Moving in: stores that the real packages have written (`tests/fixtures/imports`) become rooms that say the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ruang::gate::parse_state_vector;
use ruang::history::{self, Range};
use ruang::ids::RoomName;
use ruang::kind::Boards;
use ruang::log::LogError;
use ruang::replay::import::ImportOptions;
use ruang::replay::moving::{From, MoveOptions, SourceError, move_in};
use ruang::replay::place::Place;
use ruang::replay::state::{Format, state};
use ruang::replay::{Done, ReplayError};
use serde_json::{Value, json};
use tempfile::TempDir;
use yrs::{Map, Transact};

use crate::hex;
use crate::log_support::room;
use crate::replay_support::*;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/imports").join(name)
}

pub fn options() -> MoveOptions {
    let import = ImportOptions {
        name: None,
        dry_run: false,
        force: false,
        kind: None,
        boards: Boards::default(),
        ttl_ms: None,
        now_ms: TEN,
    };
    MoveOptions { document: None, import }
}

pub fn named(document: &str, name: &str) -> MoveOptions {
    let mut options = MoveOptions { document: Some(document.to_owned()), ..options() };
    options.import.name = Some(room(name));
    options
}

/// Moves in, and gives the lines by document, the summary under "".
pub async fn moved(
    log: &Fixture,
    from: From,
    path: &Path,
    options: &MoveOptions,
) -> (Result<Done, ReplayError>, BTreeMap<String, Value>) {
    let printed = printed(true, async |output| move_in(path, from, &log.log, options, output).await).await;
    let lines = printed.out.lines().into_iter();
    (printed.done, lines.map(|line| (line["document"].as_str().unwrap_or("").to_owned(), line)).collect())
}

pub fn became(lines: &BTreeMap<String, Value>) -> BTreeMap<&str, &str> {
    let documents = lines.iter().filter(|(name, _)| !name.is_empty());
    documents.map(|(name, line)| (name.as_str(), line["became"].as_str().unwrap())).collect()
}

pub async fn view(log: &Fixture, room: &RoomName) -> Option<Value> {
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
pub fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if path.is_file() {
        return BTreeMap::from([(path.to_owned(), fs::read(path).unwrap())]);
    }
    fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect()
}

pub fn copy(from: &Path) -> TempDir {
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
                state.sort_unstable();
                ours.sort_unstable();
                assert_eq!(ours, state, "{name:?}");
            }
        }
        if from == From::YLeveldb {
            // What the path of a request said.
            assert_eq!(lines["team%2Fplans%201"]["room"], "team/plans 1");
            assert_eq!(lines["retro"]["not_kept"], json!(["metadata of the application (setMeta): 1"]));
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
    let edit = author.edit(|doc| {
        let items = doc.get_or_insert_map("items");
        items.insert(&mut doc.transact_mut(), "new", 1);
    });
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

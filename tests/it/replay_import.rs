//! Importing: a file becomes a room that is there whole or not at all.

use std::path::PathBuf;
use std::sync::Arc;

use ruang::history::{self, Range};
use ruang::ids::{Generation, RoomName};
use ruang::kind::Boards;
use ruang::log::record::{Kind, StoredRecord};
use ruang::log::{Log, LogError};
use ruang::replay::export::export_to_file;
use ruang::replay::import::{ImportError, ImportOptions, import};
use ruang::replay::transfer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::log_support::{kind, read_all, room};
use crate::replay_support::*;

/// The story, exported.
async fn file() -> (TempDir, PathBuf, Value) {
    let (fixture, name) = (Fixture::new(), room("a"));
    fixture.story(&name).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ruang");
    export_to_file(&fixture.log, &name, &path, TEN).await.unwrap();
    (dir, path, state_at(&fixture.log, &name, 6).await)
}

fn options(name: Option<&str>) -> ImportOptions {
    ImportOptions {
        name: name.map(room),
        dry_run: false,
        force: false,
        kind: None,
        boards: Boards::default(),
        ttl_ms: Some(MINUTE),
        now_ms: TEN,
    }
}

async fn generations(log: &Arc<dyn Log>, name: &RoomName) -> Vec<u32> {
    let mut walk = history::walk(log, name, Range::TO_HEAD).await.unwrap().unwrap();
    walk.to_end().await.unwrap();
    walk.fold().unwrap().generations().iter().map(|generation| generation.nonce).collect()
}

fn kinds(records: &[StoredRecord]) -> Vec<Option<Kind>> {
    records.iter().map(kind).collect()
}

/// [O22] The document comes over whole, as records of kind import behind a genesis of its own, and who owns which
/// client id too. What is not kept is said. The line is pinned.
#[tokio::test]
async fn a_file_becomes_a_room() {
    let (_dir, path, document) = file().await;
    let (fixture, name) = (Fixture::new(), room("b"));
    let printed = printed(true, async |output| {
        transfer::import(&path, &fixture.log, &options(Some("b")), output).await
    })
    .await;
    let line = &printed.out.lines()[0];
    let expected = json!({
        "v": 1, "type": "imported", "room": "b", "kind": "free", "dry_run": false, "from": "a", "last": "1795428240000-6",
        "bytes": line["bytes"], "claims": 1, "not_kept": ["who wrote what and when in records #1 to #6"],
    });
    assert_eq!(line, &expected);
    let records = read_all(&*fixture.log, &name).await;
    assert_eq!(kinds(&records), [Some(Kind::Genesis), Some(Kind::Import), Some(Kind::Import)]);
    assert_eq!(state_at(&fixture.log, &name, 3).await, document);
    let mut walk = history::walk(&fixture.log, &name, Range::TO_HEAD).await.unwrap().unwrap();
    walk.to_end().await.unwrap();
    let claims: Vec<(u64, String)> =
        walk.fold().unwrap().claims().iter().map(|(id, user)| (*id, user.to_string())).collect();
    assert_eq!(claims, [(77, "ayu".to_owned())]);
    let head = fixture.log.open(&name).await.unwrap().unwrap();
    assert_eq!(head.deadline_ms, Some(TEN + MINUTE));
}

/// [O23] Under its own name the lives before stay members of the room's set, so that who has a copy comes back
/// in; under another name the old marker means nothing.
#[tokio::test]
async fn markers_come_along() {
    let (_dir, path, _) = file().await;
    let fixture = Fixture::new();
    import(&path, &fixture.log, &options(None)).await.unwrap();
    import(&path, &fixture.log, &options(Some("b"))).await.unwrap();
    let (same, other) =
        (generations(&fixture.log, &room("a")).await, generations(&fixture.log, &room("b")).await);
    assert_eq!((same.len(), other.len()), (2, 1));
    assert!(same.contains(&12_345) && !other.contains(&12_345), "{same:?} {other:?}");
    let marker = Generation { nonce: 12_345 }.marker_client(&room("a"));
    let mut walk = history::walk(&fixture.log, &room("b"), Range::TO_HEAD).await.unwrap().unwrap();
    walk.to_end().await.unwrap();
    assert_eq!(walk.fold().unwrap().gate().known(marker), 12_345, "as a block like any other");
}

/// [O22] Once more, from what was imported: exports of imports are as good.
#[tokio::test]
async fn imports_can_be_exported() {
    let (dir, path, document) = file().await;
    let fixture = Fixture::new();
    import(&path, &fixture.log, &options(Some("b"))).await.unwrap();
    let again = dir.path().join("b.ruang");
    export_to_file(&fixture.log, &room("b"), &again, TEN).await.unwrap();
    import(&again, &fixture.log, &options(Some("c"))).await.unwrap();
    assert_eq!(state_at(&fixture.log, &room("c"), 3).await, document);
}

/// [O22] Rooms are never overwritten, and a dry run stores nothing.
#[tokio::test]
async fn rooms_are_never_overwritten() {
    let (_dir, path, _) = file().await;
    let fixture = Fixture::new();
    let dry = ImportOptions { dry_run: true, ..options(None) };
    assert_eq!(import(&path, &fixture.log, &dry).await.unwrap().claims, 1);
    assert_eq!(fixture.log.rooms(None, 9).await.unwrap(), []);
    import(&path, &fixture.log, &options(None)).await.unwrap();
    let before = read_all(&*fixture.log, &room("a")).await;
    for options in [options(None), ImportOptions { force: true, ..options(None) }, dry] {
        let refused = import(&path, &fixture.log, &options).await;
        assert!(matches!(refused, Err(ImportError::Exists(_))), "{refused:?}");
    }
    assert_eq!(read_all(&*fixture.log, &room("a")).await, before);
}

/// [O22] The name of a deleted room is taken only by force.
#[tokio::test]
async fn deleted_names_need_force() {
    let (_dir, path, document) = file().await;
    let (fixture, name) = (Fixture::new(), room("a"));
    fixture.log.delete(&name).await.unwrap();
    let refused = import(&path, &fixture.log, &options(None)).await.unwrap_err().to_string();
    assert!(
        refused.contains("was deleted at 2026-11-23T10:00:00.000Z") && refused.contains("--force"),
        "{refused}"
    );
    assert_eq!(fixture.log.open(&name).await.unwrap(), None);
    import(&path, &fixture.log, &ImportOptions { force: true, ..options(None) }).await.unwrap();
    assert_eq!(state_at(&fixture.log, &name, 4).await, document);
    let kinds = kinds(&read_all(&*fixture.log, &name).await);
    assert_eq!(kinds, [Some(Kind::Genesis), Some(Kind::Admin), Some(Kind::Import), Some(Kind::Import)]);
}

/// [O22] Someone who makes the room first wins, and nothing of the file is in it; a lost answer is asked for
/// again.
#[tokio::test]
async fn of_two_one_makes_the_room() {
    let (_dir, path, _) = file().await;
    let (fixture, name) = (Fixture::new(), room("a"));
    let held = fixture.faults.hold_appends();
    let importing = tokio::spawn({
        let (log, path) = (Arc::clone(&fixture.log), path.clone());
        async move { import(&path, &log, &options(None)).await }
    });
    held.arrived(1).await;
    let other = tokio::spawn({
        let (log, name) = (Arc::clone(&fixture.log), name.clone());
        async move { append(&log, &name, 1, vec![update_record(None, vec![], &[0, 0])]).await }
    });
    held.arrived(2).await;
    held.release();
    other.await.unwrap();
    let raced = importing.await.unwrap();
    let records = read_all(&*fixture.log, &name).await;
    let imported = records.iter().any(|record| kind(record) == Some(Kind::Import));
    // Whoever was let go first: never both, unless the other one found the room and wrote into it.
    match raced {
        Ok(_) => assert!(imported && kind(&records[1]) == Some(Kind::Import)),
        Err(ImportError::Raced) => assert!(!imported),
        Err(error) => panic!("{error}"),
    }

    fixture.log.delete(&room("c")).await.unwrap();
    fixture.faults.lose_replies(1);
    import(&path, &fixture.log, &options(Some("b"))).await.unwrap();
    assert_eq!(read_all(&*fixture.log, &room("b")).await.len(), 3);
    fixture.faults.fail_appends(1, LogError::Full("no space".to_owned()));
    let full = import(&path, &fixture.log, &options(Some("d"))).await;
    assert!(matches!(full, Err(ImportError::Log(LogError::Full(_)))), "{full:?}");
    assert_eq!(fixture.log.open(&room("d")).await.unwrap(), None);
}

/// [O22] A trimmed room comes over from its snapshot and the records behind it.
#[tokio::test]
async fn trimmed_rooms_are_imported() {
    let (fixture, name) = with_snapshots(true).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trimmed.ruang");
    export_to_file(&fixture.log, &name, &path, TEN).await.unwrap();
    let imported = import(&path, &fixture.log, &options(Some("copy"))).await.unwrap();
    assert_eq!((imported.last.seq, imported.claims), (7, 1));
    assert_eq!(imported.not_kept, ["who wrote what and when in records #4 to #7"]);
    assert_eq!(state_at(&fixture.log, &room("copy"), 3).await, state_at(&fixture.log, &name, 7).await);
}

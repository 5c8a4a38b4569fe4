//! The directory of an embedded store: what opens, what does not, and what the operator reads then.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ruang::ids::InstanceId;
use ruang::log::embedded::{EmbeddedLog, OpenError};
use ruang::log::{Durability, Log};

use crate::log_support::*;

fn open(dir: &Path) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(dir, InstanceId(0xabc))
}

/// The error, after checking that it is one line that names the directory.
fn refused(dir: &Path) -> OpenError {
    let error = open(dir).err().expect("it opened");
    let text = error.to_string();
    assert!(text.contains(dir.to_str().unwrap()) && !text.contains('\n'), "{text}");
    error
}

async fn filled(dir: &Path) {
    let log = open(dir).unwrap();
    append(&log, &room("a"), 1, 1, &["one"]).await;
    log.close().await;
}

/// [L14] [L31] What was answered is there after a close, and after a drop without one; retries are
/// recognised across both.
#[tokio::test]
async fn it_survives_the_end_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let now_ms = Arc::new(AtomicU64::new(1));
    for number in 1..=6 {
        let log = open_embedded(dir.path(), &now_ms);
        assert_eq!(log.durability(), Durability::Fsync);
        if number > 1 {
            assert!(append(&log, &room("a"), 1, number - 1, &["x"]).await.duplicate);
        }
        append(&log, &room("a"), 1, number, &["x"]).await;
        if number % 2 == 0 {
            log.close().await;
        }
        drop(log);
    }
    let log = open_embedded(dir.path(), &now_ms);
    assert_eq!(seqs(&read_all(&log, &room("a")).await), [1, 2, 3, 4, 5, 6, 7]);
}

/// [L32] An absent directory is made, with its parents, for its owner only; an empty one and the
/// root of a fresh volume are taken.
#[tokio::test]
async fn absent_and_empty_directories_become_stores() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("some/where");
    filled(&dir).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    }
    assert_eq!(fs::read_to_string(dir.join("FORMAT")).unwrap(), "ruang store, format 2\n");
    fs::create_dir_all(root.path().join("volume/lost+found")).unwrap();
    filled(&root.path().join("volume")).await;
}

/// [L32] A first start that was cut off at any point is taken up again.
#[tokio::test]
async fn an_interrupted_first_start_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    fs::rename(dir.path().join("FORMAT"), dir.path().join("FORMAT.new")).unwrap();
    let log = open(dir.path()).unwrap();
    assert_eq!(texts(&log, &room("a")).await, ["one"]);
    drop(log);
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    fs::write(dir.path().join("log.redb"), b"").unwrap();
    filled(dir.path()).await;
}

/// [L33] A store in use is refused, and says by whom; after it is free it opens.
#[tokio::test]
async fn a_store_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let by = format!("process {}, instance 0000000000000abc", std::process::id());
    assert!(error.to_string().contains(&by), "{error}");
    // The one that holds it is not disturbed.
    append(&log, &room("a"), 1, 1, &["x"]).await;
    log.close().await;
    drop(open(dir.path()).unwrap());
    drop(log);
    drop(open(dir.path()).unwrap());
}

/// [L33] Another program that holds only the database file keeps us out too.
#[tokio::test]
async fn a_held_database_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let held = redb::Database::open(dir.path().join("log.redb")).unwrap();
    assert!(matches!(refused(dir.path()), OpenError::Locked { .. }));
    drop(held);
    drop(open(dir.path()).unwrap());
}

/// [L34] A directory of something else is refused, and nothing in it is touched.
#[test]
fn a_foreign_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), b"mine").unwrap();
    assert!(matches!(refused(dir.path()), OpenError::Foreign { .. }));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
    // A file in place of the directory.
    assert!(matches!(refused(&dir.path().join("thesis.txt")), OpenError::Io { .. }));
    assert_eq!(fs::read(dir.path().join("thesis.txt")).unwrap(), b"mine");
}

/// [L34] A store of a newer format is refused by its number; a FORMAT that says nothing is damage.
#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let format = dir.path().join("FORMAT");
    fs::write(&format, "ruang store, format 3\n").unwrap();
    assert!(matches!(refused(dir.path()), OpenError::Newer { found: 3, known: 2, .. }));
    for text in ["", "ruang store, format 0\n", "ruang store, format x", "\u{0}\u{0}", "hello"] {
        fs::write(&format, text).unwrap();
        assert!(matches!(refused(dir.path()), OpenError::Damaged { .. }), "{text:?}");
    }
    fs::write(&format, "ruang store, format 2\n").unwrap();
    drop(open(dir.path()).unwrap());
}

/// [L35] A database that is gone, empty, cut or overwritten is an error, never an empty store.
#[tokio::test]
async fn a_damaged_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let path = dir.path().join("log.redb");
    let good = fs::read(&path).unwrap();
    for len in [0, 1, 100, 4_096, 5_000, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..len]).unwrap();
        assert!(matches!(refused(dir.path()), OpenError::Damaged { .. }), "{len} bytes");
    }
    fs::write(&path, vec![7; good.len()]).unwrap();
    assert!(matches!(refused(dir.path()), OpenError::Damaged { .. }));
    fs::remove_file(&path).unwrap();
    assert!(matches!(refused(dir.path()), OpenError::Damaged { .. }));
    assert!(!path.exists());
    fs::write(&path, &good).unwrap();
    assert_eq!(texts(&open(dir.path()).unwrap(), &room("a")).await, ["one"]);
}

/// [L34] A directory that we may not write is refused before anything else happens.
#[test]
fn a_read_only_directory_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("read-only");
    fs::create_dir(&dir).unwrap();
    if let Some(_mounted) = crate::log_support::Mounted::tmpfs(&dir, "size=64k,ro") {
        assert!(matches!(refused(&dir), OpenError::NotWritable { .. }));
        return;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o500)).unwrap();
        if fs::write(dir.join("x"), b"").is_ok() {
            println!("NOT RUN: no mount allowed, and permissions do not bind this user");
            return;
        }
        assert!(matches!(refused(&dir), OpenError::NotWritable { .. }));
    }
}

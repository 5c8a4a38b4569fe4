//! The real binary, on a real store: stopped, while it is served, and when it cannot be had.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use ruang::ids::InstanceId;
use ruang::log::Log;
use ruang::log::embedded::EmbeddedLog;
use ruang::replay::file::ExportedRoom;
use serde_json::Value;

use crate::binary::{Served, end_of, ruang, said};
use crate::harness::{Client, PATIENCE};
use crate::log_support::{read_all, room};
use crate::replay_support::field;

/// A server on a store in this directory.
fn serve(dir: &Path) -> Served {
    Served::start(&["--store", &format!("file:{}", dir.display())], &[])
}

struct Ran {
    code: Option<i32>,
    out: String,
    notes: String,
}

impl Ran {
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs `ruang replay` to its end.
fn run(args: &[&str]) -> Ran {
    let (code, notes, out) = said(&[&["replay"], args].concat(), &[]);
    Ran { code, out, notes }
}

/// The same on a store.
fn on(dir: &Path, args: &[&str]) -> Ran {
    let store = format!("file:{}", dir.display());
    run(&[args, &["--store", &store]].concat())
}

fn good(dir: &Path, args: &[&str]) -> String {
    let ran = on(dir, args);
    assert_eq!((ran.code, ran.notes.as_str()), (Some(0), ""), "{args:?}: {}", ran.out);
    ran.out
}

/// A server with the rooms `team/retro` and `b`, and some edits in them.
async fn served(dir: &Path) -> Served {
    let server = serve(dir);
    for (room, edits) in [("team%2Fretro", 8), ("b", 2)] {
        let mut author = Client::connect(&server.url(room), Some("ruang.v1")).await;
        author.sync().await;
        for n in 0..edits {
            author.set(&format!("k{n}"), "v").await;
        }
        author.until("acks", |author| author.acked == edits + 1).await;
    }
    server
}

/// [O26] Every verb says the same of a store, whether a server holds it or not, and nothing on standard error.
#[tokio::test(flavor = "multi_thread")]
async fn verbs_say_the_same_served_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let server = served(dir.path()).await;
    let verbs: [&[&str]; 7] = [
        &["rooms", "--json"],
        &["show", "team/retro", "--json"],
        &["show", "b"],
        &["state", "team/retro", "--at", "#4"],
        &["state", "b", "--at", "head", "--format", "text"],
        &["verify", "--all", "--json"],
        &["verify", "b"],
    ];
    let settled = good(dir.path(), &["freeze", "b", "--json"]);
    assert!(settled.contains(r#""frozen":true,"changed":true"#), "{settled}");
    server.end();
    let stopped: Vec<String> = verbs.iter().map(|verb| good(dir.path(), verb)).collect();
    assert!(!dir.path().join("admin.sock").exists(), "the socket went with its server");
    let server = serve(dir.path());
    let served: Vec<String> = verbs.iter().map(|verb| good(dir.path(), verb)).collect();
    assert_eq!(stopped, served);
    let rooms: Vec<Value> = served[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(field(&rooms, "room"), ["b", "team/retro"]);
    assert_eq!(rooms[0]["frozen"], true);
    assert!(!served[2].contains('\x1b'), "no colour where there is no terminal");
    let export = dir.path().join("team.ruang");
    good(dir.path(), &["export", "team/retro", export.to_str().unwrap()]);
    good(dir.path(), &["thaw", "b"]);
    server.end();
    let log = EmbeddedLog::open(dir.path(), InstanceId(1)).unwrap();
    let exported = ExportedRoom::open(&export).unwrap();
    let name = room("team/retro");
    assert_eq!(read_all(&exported, &name).await, read_all(&log, &name).await);
    assert!(!log.open(&room("b")).await.unwrap().unwrap().frozen);
    drop(log);
    let file = export.to_str().unwrap();
    assert_eq!(run(&["show", "--file", file, "--json"]).out, served[1]);
    assert_eq!(run(&["state", "--file", file, "--at", "4"]).out, served[3]);
    assert_eq!(run(&["verify", "--file", file]).code, Some(0));
}

/// [O22, O26] An import through a running server is there for who joins; those who sit in the empty room get it
/// with the next edit, and stay.
#[tokio::test(flavor = "multi_thread")]
async fn imports_are_served_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = served(dir.path()).await;
    let export = dir.path().join("b.ruang");
    let export = export.to_str().unwrap();
    good(dir.path(), &["export", "b", export]);
    let mut early = Client::connect(&server.url("copy"), None).await;
    early.sync().await;
    let said = good(dir.path(), &["import", export, "--as", "copy"]);
    assert!(said.contains("copy is made from b") && said.contains("not kept: who wrote what"), "{said}");
    let mut late = Client::connect(&server.url("copy"), None).await;
    late.sync().await;
    if late.get("k1").is_none() {
        // The room was open and empty: an edit makes it look at its log again.
        late.set("mine", "v").await;
        late.until("the imported", |late| late.get("k1").is_some() && late.get("mine").is_some()).await;
    }
    let again = on(dir.path(), &["import", export, "--as", "copy"]);
    assert_eq!((again.code, again.notes.lines().count()), (Some(1), 1), "{}", again.notes);
    assert!(again.notes.contains("there is a room of this name"), "{}", again.notes);
}

/// [O14] Following prints what comes, and ends in one line when the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_served_room_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let server = served(dir.path()).await;
    let store = format!("file:{}", dir.path().display());
    let args = ["replay", "show", "b", "-f", "-n", "1", "--json", "--store", &store];
    let mut following = ruang(&args).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["seq"], 3);
    let mut author = Client::connect(&server.url("b"), None).await;
    author.sync().await;
    author.set("later", "v").await;
    let line = next();
    assert_eq!((&line["seq"], &line["outcome"]), (&Value::from(4), &Value::from("new")));
    server.end();
    let status = end_of(&mut following, PATIENCE);
    let mut notes = String::new();
    following.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    assert_eq!((status.code(), notes.lines().count()), (Some(1), 1), "{notes}");
    let stopped = on(dir.path(), &["show", "b", "-f", "-n", "1", "--json"]);
    assert_eq!((stopped.code, stopped.lines().len()), (Some(0), 1));
    assert!(stopped.notes.contains("no server holds this"), "{}", stopped.notes);
}

/// [O25] After kill -9 the socket that was left is in nobody's way: the store opens, and the next server takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_left_is_no_hindrance() {
    let dir = tempfile::tempdir().unwrap();
    served(dir.path()).await.kill();
    assert!(dir.path().join("admin.sock").exists());
    assert_eq!(good(dir.path(), &["rooms", "--json"]).lines().count(), 2);
    let server = serve(dir.path());
    assert_eq!(good(dir.path(), &["rooms", "--json"]).lines().count(), 2);
    server.end();
}

/// [O21] What cannot be worked on is said in one line: exit code 2 if the command line has to change, else 1.
#[tokio::test]
async fn refusals_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(&dir.path().join("store"), InstanceId(7)).unwrap();
    log.close().await;
    drop(log);
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let golden = std::fs::read("tests/fixtures/exports/v1-story.ruang").unwrap();
    let (cut, letter) = (write("cut", &golden[..200]), write("letter", b"hello"));
    let whole = write("whole", &golden);
    let mut newer = golden.clone();
    newer[4] = 2;
    let crc = crc32c::crc32c(&newer[..8]).to_le_bytes();
    newer[8..12].copy_from_slice(&crc);
    let newer = write("newer", &newer);
    std::fs::create_dir(dir.path().join("newer-store")).unwrap();
    write("newer-store/FORMAT", b"ruang store, format 9\n");
    let store = |name: &str| format!("file:{}", dir.path().join(name).display());
    let (here, gone, later) = (store("store"), store("gone"), store("newer-store"));
    let cases: [(&[&str], i32, &str); 19] = [
        (&["rooms", "--store", &gone], 2, "there is no ruang store"),
        (&["rooms", "--store", "memory:"], 2, "--store memory:"),
        (&["rooms", "--store", "reddis://:hunter2@host/"], 2, "--store"),
        (&["rooms", "--store", "redis://:hunter2@127.0.0.1:1/"], 1, "Redis cannot be reached"),
        (&["rooms", "--store", &later], 1, "has store format 9"),
        (&["show", "never", "--store", &here], 1, "there is no room of this name"),
        (&["show", "--store", &here], 2, "which ROOM?"),
        (&["verify", "--store", &here], 2, "--all"),
        (&["state", "x", "--at", "yesterday", "--store", &here], 2, "2026-11-23T10:00Z"),
        (&["show", "x", "--kind", "edit", "--store", &here], 2, "genesis, update"),
        (&["show", "--file", &cut], 1, "is damaged at byte"),
        (&["show", "--file", &letter], 1, "is not an export of ruang"),
        (&["verify", "--file", &newer], 1, "needs a newer version of ruang"),
        (&["show", "other", "--file", &whole], 2, "the file holds room \"team/retro\""),
        (&["state", "--at", "#99", "--file", &whole], 2, "its newest is #6"),
        (&["state", "--at", "snapshot", "--file", &whole], 1, "no snapshot"),
        (&["freeze", "x", "--file", &whole], 2, "can only be read"),
        (&["state", "--format", "sv", "--json", "--file", &whole], 2, "no place for bytes"),
        (&["import", &cut, "--store", &here], 1, "is damaged at byte"),
    ];
    for (args, code, expected) in cases {
        let ran = run(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.notes);
        assert!(ran.notes.contains(expected) && ran.out.is_empty(), "{args:?}: {}{}", ran.notes, ran.out);
        assert_eq!(ran.notes.lines().count(), 1, "{args:?}: {}", ran.notes);
        assert!(!ran.notes.contains("hunter2") && !ran.notes.contains("panicked"), "{}", ran.notes);
    }
    assert!(!dir.path().join("gone").exists(), "looking makes no store");
}

/// [O21, O26] A store that somebody holds who has no socket: one line that says who.
#[tokio::test]
async fn a_store_without_a_socket_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), InstanceId(0xabc)).unwrap();
    let ran = on(dir.path(), &["rooms"]);
    assert_eq!((ran.code, ran.notes.lines().count()), (Some(1), 1), "{}", ran.notes);
    assert!(
        ran.notes.contains("instance 0000000000000abc") && ran.notes.contains("admin.sock"),
        "{}",
        ran.notes
    );
    drop(log);
    assert_eq!(on(dir.path(), &["rooms"]).code, Some(0));
}

/// [O20] A reader that has seen enough ends a verb without a word.
#[test]
fn a_closed_pipe_is_quiet() {
    let args = ["replay", "show", "--json", "--file", "tests/fixtures/exports/v1-story.ruang"];
    let mut child = ruang(&args).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut notes = String::new();
    child.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    assert_eq!(notes, "");
}

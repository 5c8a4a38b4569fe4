//! The binary: settings, kill -9, and what the operators' verbs say.

use std::path::Path;

use crate::binary::{Served, ruang, said};
use crate::harness::Client;

async fn edit(server: &Served, room: &str, key: &str) {
    let mut client = Client::connect(&server.url(room), Some("ruang.v1")).await;
    client.sync().await;
    client.set(key, "v").await;
    client.until_acked().await.unwrap();
}

/// [B11] [B17] kill -9 and a start with other settings: rooms are what they were, and `ruang replay rooms` and `show` say so, while the
/// server runs and when it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_outlives_kill_9_and_other_settings() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path());
    let mut server = Served::start(&["--store", &store, "--boards", "retro,team"], &[]);
    edit(&server, "retro", "k").await;
    edit(&server, "other", "k").await;
    server.kill(); // SIGKILL
    let check = |what: &str| {
        let (code, _, rooms) = said(&["replay", "--store", &store, "--json", "rooms"], &[]);
        println!("{what}: {rooms}");
        assert_eq!(code, Some(0));
        let kind = |room: &str| {
            let line = rooms.lines().find(|line| line.contains(&format!("\"room\":\"{room}\""))).unwrap();
            serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned()
        };
        assert_eq!((kind("retro").as_str(), kind("other").as_str()), ("board", "free"));
    };
    check("after kill -9");
    let server = Served::start(&["--store", &store, "--boards", "other"], &[]);
    edit(&server, "retro", "l").await;
    edit(&server, "other", "l").await;
    check("through the server");
    drop(server);
    let (_, _, table) = said(&["replay", "--store", &store, "rooms"], &[]);
    let (_, _, records) = said(&["replay", "--store", &store, "show", "retro"], &[]);
    println!("{table}\n{records}");
    assert!(table.contains("KIND") && table.contains("board") && table.contains("free"));
    assert!(records.contains("the room begins, a board"));
    let (_, _, records) = said(&["replay", "--store", &store, "--json", "show", "retro"], &[]);
    assert_eq!(records.matches("\"room_kind\":\"board\"").count(), 3, "{records}");
}

fn store_of(dir: &Path) -> String {
    format!("file:{}", dir.display())
}

/// [B16] A prefix or a kind that is none ends the start: one line, exit code 2, from the flag, the variable and the file; the same for
/// `ruang token` and `ruang replay import`.
#[test]
fn bad_settings_end_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ruang.toml");
    std::fs::write(&file, "boards = \"retro/,\"\n").unwrap();
    let long = "x".repeat(200);
    let token = ["token", "--room", "r", "--user", "u", "--role", "editor", "--kind", "plank"];
    for (args, word) in [
        (&["serve", "--boards", &long][..], "--boards"),
        (&["serve", "--boards", "a,,b"], "--boards"),
        (&["serve", "--config", file.to_str().unwrap()], "--boards"),
        (&["replay", "import", "x", "--kind", "plank"], "--kind"),
        (&token, "--kind"),
    ] {
        let (code, error, _) = said(args, &[]);
        println!("{error}");
        assert_eq!((code, error.lines().count()), (Some(2), 1), "{args:?}: {error}");
        assert!(error.contains(word), "{error}");
    }
    let output = ruang(&["serve", "--store", "memory:"]).env("RUANG_BOARDS", "\n").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

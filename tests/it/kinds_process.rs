//! The binary: settings, kill -9, and what the operators' verbs say.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::Client;

fn ruang(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ruang"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RUANG_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(args: &[&str]) -> (String, String, Option<i32>) {
    let output = ruang(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

/// A server that ends with its test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(store: &str, more: &[&str]) -> (Serving, String) {
    let args = [&["serve", "--listen", "127.0.0.1:0", "--store", store], more].concat();
    let mut server = Serving(ruang(&args).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let listening = lines.by_ref().map(Result::unwrap).find(|line| line.contains("listening on")).unwrap();
    let address = listening.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    (server, address)
}

async fn edit(address: &str, room: &str, key: &str) {
    let mut client = Client::connect(&format!("ws://{address}/ws/{room}"), Some("ruang.v1")).await;
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
    let (mut server, address) = serve(&store, &["--boards", "retro,team"]);
    edit(&address, "retro", "k").await;
    edit(&address, "other", "k").await;
    server.0.kill().unwrap(); // SIGKILL
    server.0.wait().unwrap();
    let check = |what: &str| {
        let (rooms, _, code) = said(&["replay", "--store", &store, "--json", "rooms"]);
        println!("{what}: {rooms}");
        assert_eq!(code, Some(0));
        let kind = |room: &str| {
            let line = rooms.lines().find(|line| line.contains(&format!("\"room\":\"{room}\""))).unwrap();
            serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned()
        };
        assert_eq!((kind("retro").as_str(), kind("other").as_str()), ("board", "free"));
    };
    check("after kill -9");
    let (server, address) = serve(&store, &["--boards", "other"]);
    edit(&address, "retro", "l").await;
    edit(&address, "other", "l").await;
    check("through the server");
    drop(server);
    let (table, _, _) = said(&["replay", "--store", &store, "rooms"]);
    let (records, _, _) = said(&["replay", "--store", &store, "show", "retro"]);
    println!("{table}\n{records}");
    assert!(table.contains("KIND") && table.contains("board") && table.contains("free"));
    assert!(records.contains("the room begins, a board"));
    let (records, _, _) = said(&["replay", "--store", &store, "--json", "show", "retro"]);
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
        let (_, error, code) = said(args);
        println!("{error}");
        assert_eq!((code, error.lines().count()), (Some(2), 1), "{args:?}: {error}");
        assert!(error.contains(word), "{error}");
    }
    let output = ruang(&["serve", "--store", "memory:"]).env("RUANG_BOARDS", "\n").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

//! The real binary: how it starts, refuses, drains and dies. Rules O, R10 and W2 of `docs/RULES.md`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod binary;
mod harness;
mod process_log;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use binary::{Served, said};
use futures_util::SinkExt;
use harness::{Client, PATIENCE};
use ruang::wire::y_websocket;
use tokio_tungstenite::tungstenite::Message as Frame;

/// A server on a store in this directory.
fn serve(dir: &Path, more: &[&str]) -> Served {
    let store = format!("file:{}", dir.display());
    Served::start(&[&["--store", store.as_str()], more].concat(), &[])
}

/// Runs it to its end; exit code and everything on standard error.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let (code, text, _) = said(args, &[]);
    (code, text)
}

/// Sends bytes and reads what comes until the server closes.
fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // A refusal may come before everything is written.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend(&part[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the server neither answers nor closes: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// [O3, R1] SIGTERM: no new connections, what was acked is stored, sockets are sent away with 1012,
/// and the process ends well, in time.
#[tokio::test]
async fn a_signal_drains_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    assert!(
        ask(&server.address, b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").contains("200")
    );
    let mut author = Client::connect(&server.url("r"), Some("ruang.v1")).await;
    author.sync().await;
    author.until("the ack of the Step2", |author| author.acked == 1).await;
    let mut watcher = Client::connect(&server.url("r"), None).await;
    watcher.sync().await;
    for n in 0..200 {
        let update = author.set_locally(&format!("k{n}"), "v");
        author.socket.feed(Frame::Binary(y_websocket::update(&update))).await.unwrap();
    }
    author.socket.flush().await.unwrap();
    server.signal("-TERM");
    let address = server.address.clone();
    assert_eq!(author.until_closed().await, Some(1012));
    assert_eq!(watcher.until_closed().await, Some(1012));
    match TcpStream::connect(&address) {
        Err(_) => {}
        Ok(_) => assert!(
            !ask(&address, b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").contains("200")
        ),
    }
    let (code, lines) = server.ended(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{lines}");

    let again = serve(dir.path(), &[]);
    let mut newcomer = Client::connect(&again.url("r"), None).await;
    newcomer.sync().await;
    for n in 0..author.acked - 1 {
        assert!(newcomer.get(&format!("k{n}")).is_some(), "k{n} of {} acked", author.acked - 1);
    }
    for n in 0..200 {
        let key = format!("k{n}");
        assert!(watcher.get(&key).is_none() || newcomer.get(&key).is_some(), "{key} was seen");
    }
    // Coming back brings the rest.
    author.reconnect(&again.url("r"), None).await;
    author.sync().await;
    newcomer.until("everything", |newcomer| newcomer.get("k199").is_some()).await;
}

/// [O3] A second SIGTERM ends at once what the first one has begun to end.
#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = serve(dir.path(), &[]);
    // Clients that do not answer the close are listened to for a while: that keeps the drain going.
    let mut deaf = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&server.url("r"), None).await;
        client.sync().await;
        deaf.push(client);
    }
    server.signal("-TERM");
    server.until_logged("draining");
    server.signal("-TERM");
    let (code, lines) = server.ended(PATIENCE);
    assert_eq!(code, Some(130), "{lines}");
}

/// [O1, L33, L34] A store that is in use, or a directory that is none: one line, exit code 2, and
/// whoever uses it goes on.
#[tokio::test]
async fn stores_that_cannot_be_had_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    let store = format!("file:{}", dir.path().display());
    let (code, text) = run(&["serve", "--listen", "127.0.0.1:0", "--store", &store]);
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("--store") && text.contains("in use"), "{text}");
    let mut client = Client::connect(&server.url("r"), Some("ruang.v1")).await;
    client.sync().await;
    client.until("the ack", |client| client.acked == 1).await;

    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("letter.txt"), "mine").unwrap();
    let store = format!("file:{}", foreign.path().display());
    let (code, text) = run(&["serve", "--listen", "127.0.0.1:0", "--store", &store]);
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("not a ruang store"), "{text}");
    assert_eq!(std::fs::read_dir(foreign.path()).unwrap().count(), 1, "nothing was put there");
}

/// [O1, O2] A bad setting: exit code 2, and a first line that names it, what was read, and what is
/// allowed.
#[test]
fn bad_settings_are_refused() {
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--listen", "nonsense"], &["--listen", "nonsense"]),
        (&["--listen", "0.0.0.0:0"], &["--listen", "0.0.0.0:0", "--insecure"]),
        (
            &["--store", "reddis://:hunter2@host/"],
            &["--store", "reddis:", "file:DIR", "memory:", "redis://HOST"],
        ),
        (&["--store", "file:"], &["--store", "file:DIR"]),
        (&["--store", "memory:", "--durability", "fsync"], &["--durability fsync", "memory", "file:DIR"]),
        (&["--durability", "eventual"], &["--durability", "eventual"]),
        (&["--room-idle", "soon"], &["--room-idle", "soon"]),
        (&["--room-idle", "5y"], &["--room-idle", "5y", "ms, s, m, h"]),
        (&["--room-ttl", "5s"], &["--room-ttl", "5s", "60 s", "never"]),
        (&["--store", "memory:", "--archive", "/dev/null"], &["--archive", "/dev/null"]),
        (&["--store", "memory:", "--log", "ruang=loud"], &["--log", "ruang=loud"]),
        (&["--config", "/does/not/exist.toml"], &["--config", "/does/not/exist.toml"]),
    ];
    for (args, expected) in cases {
        let (code, text) = run(&[&["serve"], args].concat());
        assert_eq!(code, Some(2), "{args:?}: {text}");
        let first = text.lines().next().unwrap_or_default();
        for part in expected {
            assert!(first.contains(part), "{args:?}: {part:?} is not in {first:?}");
        }
        assert!(!text.contains("panicked") && !text.contains("hunter2"), "{text}");
    }
}

/// [O1] One line and no more, and no secret in it.
#[test]
fn secrets_in_settings_are_not_repeated() {
    for (store, expected) in [
        ("redis://:hunter2@host/x", (Some(2), 1)),
        // Not there now: that is no setting to change, and whoever starts the server tries again.
        ("redis://:hunter2@127.0.0.1:1", (Some(1), 1)),
    ] {
        let (code, text) = run(&["serve", "--store", store]);
        assert_eq!((code, text.lines().count()), expected, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// [W2] No token is ever logged, wherever it came, however much is logged; nor is what people write,
/// below `trace` (where the WebSocket library prints what it reads).
#[tokio::test]
async fn tokens_are_never_logged() {
    let dir = tempfile::tempdir().unwrap();
    for filter in ["debug", "trace"] {
        let server = serve(dir.path(), &["--log", filter]);
        for room in ["r?token=s3cretInUrl", "a%2Fb?x=1&token=s3cretInUrl"] {
            let mut client = Client::connect(&server.url(room), None).await;
            client.sync().await;
            if filter == "debug" {
                client.set("k", "s3cretInDocument").await;
                client.send(y_websocket::presence(b"\x01\x63\x01\x16{\"a\":\"s3cretPresence\"}")).await;
            }
        }
        let mut client = Client::connect(&server.url("r"), Some("bearer.s3cretInProtocol, ruang.v1")).await;
        client.sync().await;
        client.send(b"\xff".to_vec()).await;
        assert_eq!(client.until_closed().await, Some(4400));
        let plain = "GET /ws/r?token=s3cretInUrl HTTP/1.1\r\nhost: x\r\nauthorization: Bearer s3cretInHeader\r\n\
                     connection: close\r\n\r\n";
        assert!(ask(&server.address, plain.as_bytes()).starts_with("HTTP/1.1 426"));
        server.signal("-TERM");
        let (_, lines) = server.ended(Duration::from_secs(30));
        assert!(lines.contains("DEBUG"), "debug lines are there: {lines}");
        let told: Vec<&str> = lines.lines().filter(|line| line.contains("s3cret")).collect();
        assert_eq!(told, [""; 0], "at {filter}");
    }
}

/// [O4] Requests are bounded: a head that does not end is given up, too many or too long headers
/// are refused, and a socket path without an upgrade says what it wants.
#[test]
fn requests_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    let address = server.address.clone();
    let half = std::thread::spawn({
        let address = address.clone();
        move || ask(&address, b"GET /ws/r HTTP/1.1\r\nhost: x\r\nx-slow: ")
    });
    let mute = std::thread::spawn({
        let address = address.clone();
        move || ask(&address, b"")
    });
    let request = |headers: &str| {
        ask(&address, format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").as_bytes())
    };
    assert!(request("").starts_with("HTTP/1.1 200"));
    let many: String = (0..70).map(|n| format!("x-{n}: y\r\n")).collect();
    let answer = request(&many);
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    let answer = request(&format!("x-long: {}\r\n", "y".repeat(20 << 10)));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    let answer = ask(&address, format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(70 << 10)).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    let answer = ask(&address, b"GET /ws/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426") && answer.contains("WebSocket"), "{answer:?}");
    for garbage in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = ask(&address, garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{garbage:?}: {answer:?}");
    }
    println!("waiting for the server to give up on half a request, about 10 s");
    half.join().unwrap();
    mute.join().unwrap();
    assert!(request("").starts_with("HTTP/1.1 200"), "and it goes on");
}

/// [R1, R10] kill -9 while people edit, again and again: whatever was acked to its author, or seen by
/// another, is there after the restart.
#[tokio::test]
async fn nothing_acked_or_seen_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (mut kept, mut written) = (Vec::<String>::new(), 0_u64);
    for round in 0..10_u64 {
        let mut server = serve(dir.path(), &[]);
        let mut newcomer = Client::connect(&server.url("r"), None).await;
        newcomer.sync().await;
        for key in &kept {
            assert!(newcomer.get(key).is_some(), "round {round}: {key} is lost");
        }
        let mut author = Client::connect(&server.url("r"), Some("ruang.v1")).await;
        author.sync().await;
        author.until("the ack of the Step2", |author| author.acked == 1).await;
        let mut watcher = newcomer;
        let first = written;
        let enough = 20 + 13 * round;
        // The author never waits: at the kill there is always something on its way.
        while author.acked < 2 + enough {
            author.set(&format!("k{written}"), &"v".repeat((written * 37 % 500) as usize + 1)).await;
            written += 1;
            author.step(Duration::from_millis(written % 3)).await.unwrap();
            watcher.step(Duration::ZERO).await.unwrap();
        }
        server.kill(); // SIGKILL
        for client in [&mut author, &mut watcher] {
            while client.step(PATIENCE).await.is_ok() {}
        }
        kept.extend((first..first + author.acked - 1).map(|n| format!("k{n}")));
        kept.extend((first..written).map(|n| format!("k{n}")).filter(|key| watcher.get(key).is_some()));
    }
    println!("{written} edits written, {} acked or seen", kept.len());
    let server = serve(dir.path(), &[]);
    let mut newcomer = Client::connect(&server.url("r"), None).await;
    newcomer.sync().await;
    for key in &kept {
        assert!(newcomer.get(key).is_some(), "{key} is lost");
    }
}

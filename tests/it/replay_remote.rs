//! The log of a running server, over its admin socket, is the server's log.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use ruang::admin::AdminSocket;
use ruang::history::Retention;
use ruang::ids::{InstanceId, RoomName};
use ruang::log::memory::Damage;
use ruang::log::{Adopted, Adoption, Expects, Log, LogError, UploadId};
use ruang::replay::compact::compact;
use ruang::replay::remote::RemoteLog;
use ruang::room::RoomsOptions;
use ruang::{http, server};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log_support::{batch, read_all, room};
use crate::replay_files::snapshot;
use crate::replay_support::*;

/// An admin socket on a fixture's log.
struct Remote {
    log: RemoteLog,
    dir: TempDir,
    end: CancellationToken,
    serving: JoinHandle<()>,
}

impl Remote {
    async fn of(fixture: &Fixture) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = server::app(Arc::clone(&fixture.log), InstanceId(1), "memory", RoomsOptions::default());
        let socket = AdminSocket::bind(dir.path()).unwrap();
        let end = CancellationToken::new();
        let serving = tokio::spawn(socket.serve(http::admin::router(app), end.clone()));
        let log = RemoteLog::connect(dir.path()).await.unwrap();
        Self { log, dir, end, serving }
    }
}

/// [O24] Everything that can be asked is answered as the log itself answers: names with any character, damage,
/// pages of any size, chunks, tombstones, what is not there.
#[tokio::test]
async fn a_remote_log_is_the_log() {
    let fixture = Fixture::new();
    let names: Vec<RoomName> = ["a", "team/retro 1", "..", "%2F?x=1&y#z", "é 房間", "+"].map(room).to_vec();
    for name in &names {
        fixture.story(name).await;
    }
    snapshot(&fixture.log, &names[1], 3, 2).await;
    fixture.log.trim(&names[1], 2).await.unwrap();
    assert!(fixture.faults.damage(&names[2], 4, Damage::FlipBit(300)));
    fixture.log.delete(&room("gone")).await.unwrap();
    let remote = Remote::of(&fixture).await;
    let (log, there) = (&*fixture.log, &remote.log);
    for name in names.iter().chain([&room("gone"), &room("never")]) {
        assert_eq!(there.open(name).await, log.open(name).await, "{name:?}");
        assert_eq!(there.tombstone(name).await, log.tombstone(name).await);
        assert_eq!(read_all(there, name).await, read_all(log, name).await);
        for (after, count) in [(0, 1), (2, 3), (6, 9), (99, 1)] {
            assert_eq!(there.read(name, after, count).await, log.read(name, after, count).await);
        }
        for count in [1, 2, 99] {
            assert_eq!(there.rooms(Some(name), count).await, log.rooms(Some(name), count).await);
        }
    }
    assert_eq!(there.rooms(None, 99).await.unwrap().len(), names.len());
    let upload = log.open(&names[1]).await.unwrap().unwrap().snapshots[0].upload;
    for (upload, index) in [(upload, 0), (upload, 1), (upload, 2), (UploadId(1), 0)] {
        let chunk = there.chunk(&names[1], upload, index).await;
        assert_eq!(chunk, log.chunk(&names[1], upload, index).await);
    }
    there.health().await.unwrap();
}

/// [O24] An append goes through the server's log, with all that is said of it; so do freezing and thawing; the
/// rest is not offered.
#[tokio::test]
async fn a_remote_log_appends() {
    let (fixture, name) = (Fixture::new(), room("a/b"));
    let remote = Remote::of(&fixture).await;
    let there = &remote.log;
    let mut first = batch(&name, 7, 1, &["one", "two"]);
    first.expects = Expects::At(0);
    first.ttl_ms = Some(MINUTE);
    let stored = there.append(&name, first.clone()).await.unwrap();
    assert!(stored.created.is_some() && !stored.duplicate);
    assert_eq!((stored.first.seq, stored.last.seq), (2, 3));
    let again = there.append(&name, first.clone()).await.unwrap();
    assert_eq!((again.created, again.duplicate), (stored.created, true));
    let head = fixture.log.open(&name).await.unwrap().unwrap();
    assert_eq!(head.deadline_ms, Some(TEN + MINUTE));
    let mut late = batch(&name, 8, 1, &["three"]);
    for (expects, what) in [(Expects::At(0), "newest record is 3"), (Expects::At(9), "newest record is 3")] {
        late.expects = expects;
        let refused = there.append(&name, late.clone()).await.unwrap_err();
        assert!(matches!(&refused, LogError::Moved(why) if why.contains(what)), "{refused}");
    }
    late.expects = Expects::Present;
    assert_eq!(there.append(&name, late).await.unwrap().first.seq, 4);
    for frozen in [true, false] {
        assert!(there.freeze(&name, frozen).await.unwrap());
        assert_eq!(fixture.log.open(&name).await.unwrap().unwrap().frozen, frozen);
    }
    assert!(!there.freeze(&room("never"), true).await.unwrap());
    assert!(there.delete(&name).await.is_err());
    assert!(there.touch(&name, None).await.is_err() && there.expire(&name, 1).await.is_err());
}

/// [O24] Compaction goes through the socket too: chunks, adoption by compare-and-set, trimming.
#[tokio::test]
async fn a_remote_log_is_compacted() {
    let (fixture, name) = (Fixture::new(), room("a/b"));
    fixture.story(&name).await;
    let remote = Remote::of(&fixture).await;
    let there: Arc<dyn Log> = Arc::new(remote.log);
    let document = state_at(&fixture.log, &name, 6).await;
    let no_retention = Retention { age_ms: 0, bytes: 0 };
    let compacted =
        async || printed(true, async |output| compact(&there, &name, no_retention, output).await).await;
    let line = compacted().await.out.lines().remove(0);
    let (bytes, log_bytes) = (&line["bytes"], &line["log_bytes"]);
    let expected = json!({
        "v": 1, "type": "compacted", "room": "a/b", "outcome": "written", "through": "1795428240000-6",
        "bytes": bytes, "log_bytes": log_bytes, "trimmed": 0, "stopped": null, "why": null,
    });
    assert_eq!(line, expected);
    assert_eq!(state_at(&fixture.log, &name, 6).await, document);
    assert_eq!(compacted().await.out.lines()[0]["outcome"], "nothing");
    fixture.append(&name, vec![update_record(None, vec![], &[0, 0])]).await;
    assert_eq!(compacted().await.out.lines()[0]["trimmed"], 6, "what the one before covers");
    let head = there.open(&name).await.unwrap().unwrap();
    assert_eq!((head.base, head.revision), (6, 2));
    let adopted = *head.snapshots.last().unwrap();
    let late = Adoption {
        upload: UploadId(5),
        revision: 0,
        through: adopted.through,
        log_bytes: 0,
        chunks: 1,
        bytes: 1,
        drop: vec![1],
    };
    assert_eq!(there.adopt(&name, late).await, Ok(Adopted::Lost(2)));
    assert_eq!(there.trim(&name, 9).await, fixture.log.trim(&name, 9).await);
    there.freeze(&name, true).await.unwrap();
    fixture.append(&name, vec![update_record(None, vec![], &[0, 0])]).await;
    assert_eq!(compacted().await.out.lines()[0]["outcome"], "frozen");
}

/// [O24] Each failure of the log arrives as what it is.
#[tokio::test]
async fn failures_arrive() {
    let (fixture, name) = (Fixture::new(), room("a"));
    let remote = Remote::of(&fixture).await;
    for error in [
        LogError::Unknown("no answer".to_owned()),
        LogError::Full("no space".to_owned()),
        LogError::Unavailable("later".to_owned()),
        LogError::Moved("elsewhere".to_owned()),
        LogError::Fatal("never".to_owned()),
    ] {
        fixture.faults.fail_reads(1, error.clone());
        assert_eq!(remote.log.open(&name).await, Err(error.clone()));
        fixture.faults.fail_appends(1, error.clone());
        assert_eq!(remote.log.append(&name, batch(&name, 1, 1, &["x"])).await, Err(error));
    }
    remote.end.cancel();
    remote.serving.await.unwrap();
    let gone = remote.log.open(&name).await;
    assert!(matches!(&gone, Err(LogError::Unavailable(why)) if why.contains("is gone")), "{gone:?}");
    assert_eq!(std::fs::read_dir(remote.dir.path()).unwrap().count(), 0, "the socket is removed");
}

/// Asks as curl does.
fn ask(dir: &Path, request: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(dir.join("admin.sock")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn get(dir: &Path, path: &str) -> String {
    let answer = ask(dir, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// [O24] It is HTTP: what is asked wrongly is refused with a sentence, whatever the bytes are, and the next one is
/// answered.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_http() {
    let (fixture, name) = (Fixture::new(), room("team/retro"));
    fixture.story(&name).await;
    let remote = Remote::of(&fixture).await;
    let dir = remote.dir.path();
    let rooms = get(dir, "/v1/rooms");
    assert!(rooms.starts_with("HTTP/1.1 200") && rooms.ends_with(r#"{"rooms":["team/retro"]}"#), "{rooms}");
    let head = get(dir, "/v1/rooms/team%2Fretro");
    assert!(head.contains(r#""last":"1795428240000-6""#) && head.contains(r#""frozen":false"#), "{head}");
    assert!(get(dir, "/healthz").contains(r#""status":"ok""#));
    for (path, status) in [
        ("/v1/rooms/never", 404),
        ("/v1/rooms/a%00b", 400),
        ("/v1/rooms?count=x", 400),
        ("/v1/rooms/team%2Fretro/records?after=-1", 400),
        ("/v1/rooms/team%2Fretro/chunks/xyz/0", 400),
        ("/v1/rooms/team%2Fretro/chunks/1/0", 404),
        ("/v1/rooms/never/export", 404),
        ("/v1/rooms/team%2Fretro/tombstone", 404),
        ("/nothing", 400),
    ] {
        let answer = get(dir, path);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(r#""error":"#),
            "{path}: {answer}"
        );
    }
    for body in ["", "hello", "\u{1}\u{ff}\u{ff}\u{ff}\u{ff}\u{ff}"] {
        let len = body.len();
        let post = "POST /v1/rooms/x/batches HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ";
        let answer = ask(dir, &format!("{post}{len}\r\n\r\n{body}"));
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(fixture.log.open(&room("x")).await.unwrap(), None);
    assert!(ask(dir, "no http\r\n\r\n").starts_with(b"HTTP/1.1 400"));
    assert!(get(dir, "/v1/rooms").starts_with("HTTP/1.1 200"));
}

/// [O24] An export can be fetched with curl; one that cannot be finished is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn exports_can_be_fetched() {
    let (fixture, name) = (Fixture::new(), room("r"));
    fixture.story(&name).await;
    let remote = Remote::of(&fixture).await;
    let request = "GET /v1/rooms/r/export HTTP/1.0\r\nhost: x\r\n\r\n"; // no chunks in the answer
    let answer = ask(remote.dir.path(), request);
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let file = remote.dir.path().join("file");
    std::fs::write(&file, &answer[body..]).unwrap();
    let exported = ruang::replay::file::ExportedRoom::open(&file).unwrap();
    assert_eq!(read_all(&exported, &name).await, read_all(&*fixture.log, &name).await);
}

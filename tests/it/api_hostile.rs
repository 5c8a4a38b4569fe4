//! Requests that are none, or too large, or too slow.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use ruang::ids::InstanceId;
use ruang::limits::{API_LARGE_ANSWERS_MAX, API_LARGE_BODIES_MAX, API_MS_MAX};
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::api_support::{World, call, parse, set, update};
use crate::harness::{PATIENCE, until};

/// [P11] A body that is too large is refused by its length alone, or as soon as it shows; nothing is stored.
#[tokio::test]
async fn large_bodies_are_refused_early() {
    let world = World::start().await;
    let octets = ("Content-Type", "application/octet-stream");
    let with_json = ("Content-Type", "application/json");
    for (method, path, kind, max) in
        [("POST", "r/update", octets, 64_usize << 20), ("PATCH", "r", with_json, 1 << 20)]
    {
        let length = (max + 1).to_string();
        let refused = world.call(method, path, &[kind, ("Content-Length", &length)], None).await;
        assert_eq!(refused.refusal(), (413, "too_large".to_owned()), "{method}");
    }
    // Of a length that is not said.
    let mut chunks = Vec::new();
    for _ in 0..5 {
        chunks.extend_from_slice(b"40000\r\n");
        chunks.extend_from_slice(&vec![b' '; 0x40000]);
        chunks.extend_from_slice(b"\r\n");
    }
    let chunked = ("Transfer-Encoding", "chunked");
    let refused = world.call("PATCH", "r", &[with_json, chunked], Some(&chunks)).await;
    assert_eq!(refused.refusal(), (413, "too_large".to_owned()));
    let body = update(&[("a", "1")]);
    let mut chunks = format!("{:x}\r\n", body.len()).into_bytes();
    chunks.extend_from_slice(&body);
    chunks.extend_from_slice(b"\r\n0\r\n\r\n");
    assert_eq!(world.call("POST", "fine/update", &[octets, chunked], Some(&chunks)).await.status, 200);
    assert_eq!(world.records("r").await, 0);

    // A text of a mebibyte fits into one edit, and makes an update that is a little larger: that is said.
    let text = "x".repeat(1_040_000);
    let edit =
        json!({ "roots": { "t": "text" }, "operations": [{ "op": "insert", "path": ["t"], "text": text }] });
    assert_eq!(world.patch("t", &[], &edit).await.status, 200);
    assert_eq!(world.document("t").await["t"].as_str().map(str::len), Some(1_040_000));
    world.server.stop().await;
}

/// [P11] A body that ends early, and one that comes bit by bit, keep nobody else waiting, whichever family they are for;
/// of those that may be large as many are read at once as may be. What never came is not stored.
#[tokio::test]
async fn slow_and_cut_bodies_harm_nobody() {
    let world = World::start().await;
    for path in ["/api/v1/rooms/r/update", "/d/r/update"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n");
        let mut slow = Vec::new();
        for _ in 0..2 * API_LARGE_BODIES_MAX {
            // Each says that it is large, and sends little.
            let mut stream = TcpStream::connect(world.server.address).await.unwrap();
            stream.write_all(format!("{head}Content-Length: 2000000\r\n\r\nab").as_bytes()).await.unwrap();
            slow.push(stream);
        }
        let free = || world.server.app.api.free().bodies;
        until(&format!("{path}: large bodies have their shares"), async || free() == 0).await;
        assert_eq!(world.patch("other", &[], &set("a", 1)).await.status, 200);
        assert_eq!(world.post("other", &[], &update(&[("b", "2")])).await.status, 200);
        drop(slow);
        assert_eq!(world.records("r").await, 0);
        // Their places are free again.
        let large = vec![0; 2_000_000];
        assert_eq!(world.post("r", &[], &large).await.code(), "bad_update");
        until("all places are free", async || free() == API_LARGE_BODIES_MAX).await;
    }
    world.server.stop().await;
}

/// [P11] Documents are given to readers in pieces. As many as there may be who do not read hold a piece each, and others are
/// answered; one more document waits for the first who leaves.
#[tokio::test]
async fn readers_who_do_not_read_harm_nobody() {
    let world = World::start().await;
    let text = "x".repeat(900_000);
    for _ in 0..7 {
        let edit = json!({ "roots": { "t": "text" }, "operations": [{ "op": "insert", "path": ["t"], "text": text }] });
        assert_eq!(world.patch("large", &[], &edit).await.status, 200);
    }
    let free = || world.server.app.api.free().answers;
    let mut idle = Vec::new();
    for n in 1..=API_LARGE_ANSWERS_MAX {
        // What the system buffers for a reader who does not read must not be all that it asked for.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let mut stream = socket.connect(world.server.address).await.unwrap();
        stream.write_all(b"GET /api/v1/rooms/large/update HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        until("it has its share", async || free() == API_LARGE_ANSWERS_MAX - n).await;
        idle.push(stream);
    }
    assert_eq!(world.patch("other", &[], &set("a", 1)).await.status, 200);
    assert_eq!(world.get("other/update").await.status, 200);
    assert_eq!(free(), 0, "nobody of them has been served");
    let waits = world.get("large/update");
    let leaves = async {
        // One of them reads after all, and has the same as who waited for its place.
        let mut stream = idle.pop().unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let text = std::str::from_utf8(&bytes[..head]).unwrap().to_ascii_lowercase();
        let length: usize =
            text.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        parse(&bytes[..head + 4 + length], false).body.len()
    };
    let (waited, read) = tokio::join!(waits, leaves);
    assert_eq!((waited.status, waited.body.len()), (200, read));
    drop(idle);
    until("all shares are free", async || free() == API_LARGE_ANSWERS_MAX).await;
    world.server.stop().await;
}

/// [P91] A deletion is answered in time although the store hangs and a body never ends. It goes on.
#[tokio::test(start_paused = true)]
async fn deletions_are_answered_in_time() {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let app = ruang::server::app(Arc::clone(&log), InstanceId(1), "memory", RoomsOptions::default());
    let service = TowerToHyperService::new(ruang::http::router(app));
    let ask = async |method: &str, path: &str, body: Body| {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        let request = request.header("content-type", "application/octet-stream").body(body).unwrap();
        let answer = service.call(request).await.unwrap();
        let (status, body) = (answer.status().as_u16(), to_bytes(answer.into_body(), 1 << 20).await.unwrap());
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let written = ask("POST", "/api/v1/rooms/r/update", update(&[("a", "1")]).into()).await;
    assert_eq!(written.0, 200, "{written:?}");
    let held = faults.hold_changes();
    let began = Instant::now();
    let endless = Body::from_stream(stream::pending::<std::io::Result<Bytes>>());
    let (status, body) = ask("DELETE", "/api/v1/rooms/r", endless).await;
    println!("after {:?}: {status} {body}", began.elapsed());
    assert!(status == 503 && body.contains("\"undecided\""), "{status} {body}");
    assert_eq!(began.elapsed(), Duration::from_millis(API_MS_MAX));
    held.release();
    let head = async || log.open(&"r".parse().unwrap()).await.unwrap();
    until("it is gone", async || head().await.is_none()).await;
}

/// [P5] Unknown paths, names and methods are refused in the one shape; the next request is answered.
#[tokio::test]
async fn odd_requests_are_refused() {
    let world = World::start().await;
    world.post("r", &[], &update(&[("a", "1")])).await;
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/rooms",
        "/api/v1/rooms/",
        "/api/v1/rooms/r/nothing",
        "/api/v1/rooms/r/update/x",
        "/api/v1/rooms/r/at",
        "/api/v1/rooms/r/at/1/2",
        "/api/v2/rooms/r",
        "/api/v1/rooms/a/b/c/d",
    ] {
        let answer = call(world.server.address, ("GET", path), &[], None).await;
        println!("{path}: {}", answer.status);
        assert_eq!(answer.refusal(), (404, "no_such_path".to_owned()));
    }
    for name in ["%00", "%ff", "a%0Ab", &"x".repeat(129), "%C3%28"] {
        for path in [name.to_owned(), format!("{name}/update"), format!("{name}/at/head")] {
            assert_eq!(world.get(&path).await.refusal(), (400, "bad_room_name".to_owned()), "{path}");
        }
    }
    for (method, path) in
        [("PUT", "r"), ("POST", "r"), ("PATCH", "r/update"), ("DELETE", "r/log"), ("BREW", "r/export")]
    {
        let answer = world.call(method, path, &[], None).await;
        assert_eq!(answer.refusal(), (405, "method_not_allowed".to_owned()), "{method} {path}");
    }
    for query in ["?sv=%ff", "?sv=AA&sv=AB", "?format=", "?count=-1", "?%"] {
        let answer = world.get(&format!("r/update{query}")).await;
        println!("{query}: {}", answer.status);
        assert!(matches!(answer.status, 200 | 400), "{query}");
    }
    assert_eq!(world.get("r/document").await.status, 200);
    world.server.stop().await;
}

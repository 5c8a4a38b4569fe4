//! What the API says of a room.

use std::sync::Arc;
use std::time::Duration;

use ruang::log::memory::MemoryLog;
use ruang::log::{Log, LogError};

use crate::harness::Server;
use crate::life_support::{DAY, HOUR, TestClocks, eventually, head, request, room};

/// [H26] A room is described as the store has it: position, records, bytes, deadline; and who is here.
/// Within an hour of its deadline it is said to be expiring. After its deletion the tombstone is told.
#[tokio::test]
async fn a_room_is_described() {
    let clocks = TestClocks::new();
    let (log, _) = MemoryLog::with_clock(clocks.wall());
    let log: Arc<dyn Log> = Arc::new(log);
    let server = Server::start_with(Arc::clone(&log), clocks.options()).await;
    let path = "/api/v1/rooms/team%2Fr%C3%A9tro%201";
    let name = room("team/rétro 1");
    let (status, body) = request(server.address, "GET", path).await;
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("no_such_room")));

    let mut author = server.join_for_acks("team/r%C3%A9tro%201").await;
    let (status, body) = request(server.address, "GET", path).await;
    assert_eq!((status, &body["exists"], &body["sessions"]), (200, &false.into(), &1.into()), "{body}");
    author.set("k", "v").await;
    author.until("two acks", |author| author.acked == 2).await;
    clocks.pass(HOUR / 2);
    let (status, body) = request(server.address, "GET", path).await;
    println!("{body:#}");
    let stored = head(&log, &name).await.unwrap();
    let deadline_ms = stored.deadline_ms.unwrap();
    let expected = serde_json::json!({
        "room": "team/rétro 1", "exists": true, "position": stored.last.to_string(), "records": 2,
        "bytes": stored.bytes, "snapshots": 0, "expires_ms": deadline_ms,
        "expires_in_ms": deadline_ms - clocks.wall_ms(), "expiring": false, "sessions": 1, "deleted_ms": null, "kind": "free",
    });
    assert_eq!((status, body), (200, expected));

    drop(author);
    eventually("the author has left", || server.app.rooms.sessions(&name) == 0).await;
    eventually("the room is unloaded", || !server.app.rooms.is_open(&name)).await;
    clocks.pass(23 * HOUR);
    let (_, body) = request(server.address, "GET", path).await;
    assert_eq!((&body["expiring"], body["expires_in_ms"].as_u64()), (&true.into(), Some(HOUR)), "{body}");
    clocks.pass(3 * DAY);
    let (_, body) = request(server.address, "GET", path).await;
    assert_eq!((&body["exists"], body["expires_in_ms"].as_u64()), (&true.into(), Some(0)));

    let deleted_ms = clocks.wall_ms();
    assert_eq!(request(server.address, "DELETE", path).await.0, 204);
    let (status, body) = request(server.address, "GET", path).await;
    println!("{body:#}");
    assert_eq!(
        (status, &body["exists"], body["deleted_ms"].as_u64()),
        (200, &false.into(), Some(deleted_ms))
    );
    assert_eq!((&body["records"], &body["position"]), (&0.into(), &serde_json::Value::Null));
    server.stop().await;
}

/// [H26] Whatever the API refuses, it says so in one shape, with a code for programs and a line for people.
#[tokio::test]
async fn refusals_have_one_shape() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    let long = format!("/api/v1/rooms/{}", "n".repeat(129));
    for (method, path, status, code) in [
        ("GET", "/api/v1/rooms/absent", 404, "no_such_room"),
        ("DELETE", "/api/v1/rooms/absent", 404, "no_such_room"),
        ("GET", "/api/v1/rooms/%00", 400, "bad_room_name"),
        ("GET", "/api/v1/rooms/%FF", 400, "bad_room_name"),
        ("DELETE", "/api/v1/rooms/line%0Abreak", 400, "bad_room_name"),
        ("GET", long.as_str(), 400, "bad_room_name"),
        ("POST", "/api/v1/rooms/r", 405, "method_not_allowed"),
        ("OPTIONS", "/api/v1/rooms/r", 405, "method_not_allowed"),
        ("GET", "/api/v1/rooms/a/b", 404, "no_such_path"),
        ("GET", "/api/v1/rooms/", 404, "no_such_path"),
        ("DELETE", "/api/v2/rooms/r", 404, "no_such_path"),
    ] {
        let (got, body) = request(server.address, method, path).await;
        println!("{method} {path}: {got} {body}");
        assert_eq!((got, body["error"]["code"].as_str()), (status, Some(code)));
        assert!(
            body["error"]["message"].as_str().is_some_and(|line| !line.is_empty() && !line.contains('\n'))
        );
        assert_eq!(body.as_object().unwrap().len(), 1);
    }
    faults.fail_reads_of(&"r".parse().unwrap(), 1, LogError::Unavailable("a test".to_owned()));
    let (status, body) = request(server.address, "GET", "/api/v1/rooms/r").await;
    assert_eq!((status, body["error"]["code"].as_str()), (503, Some("unavailable")));
    let held = faults.hold_reads();
    let (status, body) =
        tokio::time::timeout(Duration::from_secs(25), request(server.address, "GET", "/api/v1/rooms/r"))
            .await
            .expect("a store that hangs does not hang the API");
    assert_eq!((status, body["error"]["code"].as_str()), (503, Some("unavailable")));
    held.release();
    server.stop().await;
}

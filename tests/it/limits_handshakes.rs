//! Connections that never say what they want.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ruang::limits::HANDSHAKE_FRESH_MS;
use ruang::throttle::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::{Client, PATIENCE, Server};
use crate::limits_support::server;

/// A connection with half a request.
async fn half(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    stream.write_all(b"GET /ws/r HTTP/1.1\r\nHost: x\r\nUpgra").await.expect("written");
    stream
}

/// [O49] Above the bound, connections without a whole request make room, oldest first, once they are not quite
/// new; others come in meanwhile, and sockets that are in stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_make_room() {
    let server = server(Limits { handshakes: 50, ..Limits::default() }).await;
    let mut before = server.join("r").await;
    let mut halves: Vec<TcpStream> = join_all((0..200).map(|_| half(&server))).await;
    let silent: Vec<Client> = join_all((0..100).map(|_| server.connect("r"))).await;
    before.set("one", "1").await;
    let mut newcomer = server.join("r").await;
    newcomer.until_set("one", "1").await;
    sleep(Duration::from_millis(HANDSHAKE_FRESH_MS)).await;
    // Each that comes now makes one go.
    for n in 0..20 {
        let mut late = server.join("r").await;
        late.set("late", &n.to_string()).await;
    }
    let shed = server.app.throttle.metrics().handshakes_shed.get();
    println!("{shed} made room");
    assert!(shed >= 20, "{shed}");
    let mut ends = [0; 16];
    let ended = timeout(PATIENCE, halves[0].read(&mut ends)).await.expect("in time");
    assert!(matches!(ended, Ok(0) | Err(_)), "the oldest has ended: {ended:?}");
    before.set("two", "2").await;
    newcomer.until_set("two", "2").await;
    assert_eq!(silent.len(), 100);
}

/// [O49] How long a newcomer waits while 2,000 connections are half open: measured, not judged but for the
/// promised second. `cargo test --release --test limits -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn newcomers_among_two_thousand_half_open() {
    let server = server(Limits::default()).await;
    let mut author = server.join("r").await;
    author.set("a", "b").await;
    let heads = join_all((0..1_000).map(|_| half(&server))).await;
    let silent = join_all((0..1_000).map(|_| server.connect("r"))).await;
    for wait_ms in [0, 500, 3_000] {
        sleep(Duration::from_millis(wait_ms)).await;
        let began = Instant::now();
        let mut newcomer = server.join("r").await;
        newcomer.until_set("a", "b").await;
        let took = began.elapsed();
        println!(
            "{wait_ms} ms later: in after {took:?}, {} heads open",
            server.app.throttle.handshakes().len()
        );
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert_eq!((heads.len(), silent.len()), (1_000, 1_000));
}

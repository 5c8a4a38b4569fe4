//! What requests share, and who gets how much of it.

use std::sync::Arc;

use ruang::http::front::{FrontOptions, Proxies};
use ruang::limits::{API_DOCUMENTS_MAX, API_LARGE_ANSWERS_MAX, API_SHARES_OF_AN_ADDRESS};
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::api_support::{call, patch};
use crate::harness::{Server, until};

/// Asks for a document that is larger than what lies between, and reads nothing of it.
async fn asks(server: &Server, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let head =
        format!("GET /api/v1/rooms/large/update HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {from}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// [O91] An address of which many ask for large documents and read nothing leaves shares for others: of the answers, and of the
/// documents that are in memory for those who wait. A network of 64 bits is one address.
#[tokio::test]
async fn one_address_leaves_shares_for_others() {
    let proxies = Proxies { networks: vec!["127.0.0.0/8".parse().unwrap()], ..Proxies::default() };
    let front = FrontOptions { development: true, proxies, ..FrontOptions::default() };
    let server = Server::start_behind(Arc::new(MemoryLog::new()), RoomsOptions::default(), front).await;
    let (text, other) = ("x".repeat(900_000), ("X-Forwarded-For", "203.0.113.8"));
    for _ in 0..7 {
        let edit = json!({ "roots": { "t": "text" }, "operations": [{ "op": "insert", "path": ["t"], "text": text }] });
        assert_eq!(patch(server.address, "large", &[other], &edit).await.status, 200);
    }
    let (part, whole) = API_SHARES_OF_AN_ADDRESS;
    let of_an_address = |max: usize| max * part / whole;
    let free = || server.app.api.free();
    let mut idle = Vec::new();
    for n in 0..of_an_address(API_LARGE_ANSWERS_MAX) {
        idle.push(asks(&server, &format!("2001:db8:1:2::{n:x}")).await);
        until("it has its share", async || free().answers == API_LARGE_ANSWERS_MAX - n - 1).await;
    }
    for _ in 0..2 * API_LARGE_ANSWERS_MAX {
        idle.push(asks(&server, "2001:db8:1:2:ffff::1").await);
    }
    until("more of them wait, with a document", async || {
        free().documents == API_DOCUMENTS_MAX - of_an_address(API_DOCUMENTS_MAX)
    })
    .await;
    println!("{:?} while {} of one address read nothing", free(), idle.len());
    assert_eq!(free().answers, API_LARGE_ANSWERS_MAX - of_an_address(API_LARGE_ANSWERS_MAX));
    for _ in 0..3 {
        let answer = call(server.address, ("GET", "/api/v1/rooms/large/update"), &[other], None).await;
        assert!(answer.status == 200 && answer.body.len() > 7 * 900_000, "another address has all of it");
    }
    drop(idle);
    until("all shares are free", async || {
        free().answers == API_LARGE_ANSWERS_MAX && free().documents == API_DOCUMENTS_MAX
    })
    .await;
    server.stop().await;
}

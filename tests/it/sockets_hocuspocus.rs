//! Hostile bytes on a Hocuspocus socket while honest people edit.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ruang::log::memory::MemoryLog;
use ruang::wire::lib0::write_buffer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::harness::{Client, PATIENCE, Server, seeds};

/// Frames that are sent to the server in one run, and on one socket.
const FRAMES: usize = 20_000;
const FRAMES_PER_SOCKET: usize = 50;

fn about(name: &str, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_buffer(&mut frame, name.as_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Each kind of message, as a provider sends it.
fn corpus() -> Vec<Vec<u8>> {
    let update = b"\x01\x01\x87\xad\x4b\x00\x28\x01\x01m\x03fof\x01\x7d\x01\x00";
    let sync = |kind: u8, body: &[u8]| {
        let mut out = vec![0, kind];
        write_buffer(&mut out, body);
        out
    };
    let bodies: Vec<Vec<u8>> = vec![
        b"\x02\x00\x03tok\x054.8.0".to_vec(),
        sync(0, b"\x01\x87\xad\x4b\x01"),
        sync(1, update),
        sync(2, update),
        sync(2, b"\x00\x00"),
        b"\x01\x0a\x01\x87\xad\x4b\x01\x06{\"a\":1}".to_vec(),
        b"\x03".to_vec(),
        b"\x05\x02hi".to_vec(),
        b"\x06\x02hi".to_vec(),
        b"\x07".to_vec(),
        b"\x09".to_vec(),
    ];
    ["hostile", "hostile\0session"]
        .iter()
        .flat_map(|name| bodies.iter().map(|body| about(name, body)))
        .chain([vec![9], vec![10]])
        .collect()
}

fn mutate(frame: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..frame.len().max(1));
        match random.random_range(0..5) {
            0 if !frame.is_empty() => frame[at] ^= 1 << random.random_range(0..8),
            1 => frame.truncate(at),
            2 => frame.insert(at.min(frame.len()), random.random()),
            3 if !frame.is_empty() => frame[at] = random.random(),
            _ => frame.extend_from_slice(&[0xff; 9][..random.random_range(0..9)]),
        }
    }
}

/// [W23] 20,000 mutated frames: documents and sockets are refused, nobody else notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_frames_harm_nobody_else() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let url = format!("ws://{}/hocuspocus", server.address);
    let corpus = corpus();
    for seed in seeds(1) {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let (mut one, mut two) = (server.join("hostile").await, server.join("hostile").await);
        let (mut sent, mut sockets, mut slowest) = (0, 0, Duration::ZERO);
        while sent < FRAMES {
            let mut hostile = Client::connect(&url, None).await;
            sockets += 1;
            let _ = hostile.socket.send(Frame::Binary(corpus[0].clone().into())).await;
            let mut alive = true;
            for _ in 0..FRAMES_PER_SOCKET {
                let mut frame = corpus[random.random_range(0..corpus.len())].clone();
                mutate(&mut frame, &mut random);
                sent += 1;
                alive = alive && hostile.socket.send(Frame::Binary(frame.into())).await.is_ok();
            }
            // Whatever has come is read: no frame may be larger or stranger than the library takes.
            while let Ok(Some(Ok(_))) = timeout(Duration::from_millis(1), hostile.socket.next()).await {}
            if sockets % 40 == 0 {
                let began = Instant::now();
                one.set("n", &sent.to_string()).await;
                two.until_set("n", &sent.to_string()).await;
                slowest = slowest.max(began.elapsed());
            }
        }
        println!("{sent} frames on {sockets} sockets; an edit took {slowest:?} at most");
        one.set("after", "all").await;
        two.until_set("after", "all").await;
        let mut late = server.join("hostile").await;
        late.until_set("after", "all").await;
    }
    let metrics = &server.app.metrics;
    assert_eq!(metrics.rooms_failed.get(), 0, "no room has failed");
    println!("{} sockets and documents were refused", metrics.sockets_refused.get());
    assert!(metrics.sockets_refused.get() > 0, "nothing of it came as far as a parser");
    let emptied = timeout(PATIENCE, async {
        while metrics.sockets_open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    emptied.await.expect("no socket is left behind");
    server.stop().await;
}

/// [W24] A frame that comes in one piece with the request for the socket is heard.
#[tokio::test]
async fn what_comes_with_the_request_is_heard() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let mut bytes = b"GET /hocuspocus HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    bytes.extend_from_slice(&[0x82, 0x81, 0, 0, 0, 0, 9]); // a ping of the family, masked with zeros
    stream.write_all(&bytes).await.expect("it is taken");
    let mut answer = Vec::new();
    let answered = async {
        while !answer.ends_with(&[0x82, 1, 10]) {
            assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "closed: {answer:?}");
        }
    };
    timeout(PATIENCE, answered).await.expect("the ping is answered");
    drop(stream);
    server.stop().await;
}

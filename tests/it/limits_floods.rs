//! How fast and how large.

use std::time::Instant;

use bytes::Bytes;
use ruang::limits::{FLOOD_MS_MAX, SOCKET_BURST_S};
use ruang::throttle::Limits;
use ruang::wire::lib0::{write_buffer, write_var_uint};
use ruang::wire::y_websocket;
use yrs::{Text, Transact};

use crate::harness::Client;
use crate::limits_support::server;

/// A message of presence with a state of so many bytes.
fn presence(client: u64, clock: u64, bytes: usize) -> Bytes {
    let mut update = Vec::new();
    [1, client, clock].into_iter().for_each(|number| write_var_uint(&mut update, number));
    write_buffer(&mut update, format!("\"{}\"", "x".repeat(bytes.saturating_sub(2))).as_bytes());
    y_websocket::presence(&update)
}

/// [O46] A flood is read no faster than the rate, and closed with 4529 when it goes on for ten seconds; what it
/// sent until then is stored. Others in the room notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_are_slowed_then_closed_and_others_unharmed() {
    const RATE: u32 = 10;
    let server = server(Limits { socket_messages: RATE, ..Limits::default() }).await;
    let mut honest = server.join("r").await;
    let mut flooder = server.join("r").await;
    let (mut pushed, began) = (0, Instant::now());
    let code = loop {
        let update = flooder.set_locally(&format!("flood-{}", pushed % 50), "x");
        if pushed < 3_000 && flooder.try_send(y_websocket::update(&update)).await {
            pushed += 1;
            continue;
        }
        break flooder.until_closed().await;
    };
    let metrics = server.app.throttle.metrics();
    let stored = server.app.metrics.updates_stored.get();
    let took = began.elapsed();
    println!("{pushed} sent in {took:?}, {stored} stored, closed with {code:?}");
    assert_eq!(code, Some(4529));
    assert!(metrics.sockets_slowed.get() >= 1 && metrics.sockets_too_fast.get() == 1);
    // A burst at once, then no faster than the rate, however long it takes this machine; and no less than ten seconds of that.
    let (rate, burst) = (u64::from(RATE), u64::from(RATE * SOCKET_BURST_S));
    assert!((burst - 10..=burst + rate * (took.as_secs() + 2)).contains(&stored), "{stored}");
    assert!(took.as_millis() >= u128::from(FLOOD_MS_MAX), "{took:?}");
    let mut other = server.join("r").await;
    honest.set("mine", "is here").await;
    other.until_set("mine", "is here").await;
    honest.until("the flood that was stored", |honest| honest.get("flood-49").is_some()).await;
}

/// [O46] Bytes are bounded as messages are, pings and presence as edits are, and many pieces as many messages.
#[tokio::test]
async fn every_kind_of_message_counts() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    // 10 kB may come at once; what is ten seconds above that is too much.
    let bytes = server(Limits { socket_bytes: 256, ..Limits::default() }).await;
    let mut shown = bytes.join("r").await;
    for n in 0..2 {
        shown.try_send(presence(7, n + 1, 8_000)).await;
    }
    assert_eq!(shown.until_closed().await, Some(4529), "presence");
    let mut pinging = bytes.join("r").await;
    for _ in 0..110 {
        let _ = pinging.socket.send(Message::Ping(vec![0; 125].into())).await;
    }
    assert_eq!(pinging.until_closed().await, Some(4529), "pings");
    let messages = server(Limits { socket_messages: 1, ..Limits::default() }).await;
    let mut pieces = messages.join("r").await;
    for n in 0..16 * 60 {
        let kind = OpCode::Data(if n == 0 { Data::Binary } else { Data::Continue });
        let piece =
            Frame::message(Bytes::from_static(if n == 0 { &[99] } else { &[] }), kind, n + 1 == 16 * 60);
        let _ = pieces.socket.feed(Message::Frame(piece)).await;
    }
    let _ = pieces.socket.flush().await;
    assert_eq!(pieces.until_closed().await, Some(4529), "one message in very many pieces");
}

/// [O47] The first Step2 of a large document passes whatever the rate, and editing goes on at once.
#[tokio::test]
async fn the_first_step2_is_exempt() {
    let server = server(Limits { socket_bytes: 1024, ..Limits::default() }).await;
    let mut author = Client::connect(&server.url("r"), Some("ruang.v1")).await;
    let text = author.doc.get_or_insert_text("t");
    text.insert(&mut author.doc.transact_mut(), 0, &"words ".repeat(500_000));
    author.sync().await;
    author.set("after", "it").await;
    author.until_acked().await.expect("stored");
    let mut reader = server.join("r").await;
    reader.until("all of it", |reader| reader.text().len() == 3_000_000).await;
    reader.until_set("after", "it").await;
    let metrics = server.app.throttle.metrics();
    assert_eq!((metrics.sockets_slowed.get(), metrics.sockets_too_fast.get()), (0, 0));
    // Once: a document that nobody asked for is a flood.
    let more = author.encode_full();
    author.send(y_websocket::sync_step2(&more)).await;
    assert_eq!(author.until_closed().await, Some(4529));
}

/// [O47] What a network held back for half a minute comes at once: edits and presence of a drag, 60 of each a
/// second. With the limits as they are nobody is slowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drag_that_was_held_back_is_not_punished() {
    let server = server(Limits::default()).await;
    let mut watcher = server.join("r").await;
    let mut dragger = server.join_for_acks("r").await;
    for step in 0..30 * 60 {
        dragger.set("card", &step.to_string()).await;
        dragger.send(presence(7, step + 1, 60)).await;
    }
    dragger.until_acked().await.expect("nobody is closed");
    watcher.until_set("card", "1799").await;
    let metrics = server.app.throttle.metrics();
    assert_eq!((metrics.sockets_slowed.get(), metrics.sockets_too_fast.get()), (0, 0));
}

/// [O55] Documents and presence have the size that is set: what is larger gets 4413, as does an edit that would
/// make the document larger; the room goes on.
#[tokio::test]
async fn sizes_can_be_set() {
    let bounds = Limits { document_bytes: 16 << 10, presence_bytes: 100, ..Limits::default() };
    let server = server(bounds).await;
    let mut honest = server.join("r").await;
    honest.set("a", &"x".repeat(10_000)).await;
    let mut message = server.join("r").await;
    message.try_send(y_websocket::update(&[0; 17 << 10])).await;
    assert_eq!(message.until_closed().await, Some(4413), "a message");
    let mut growing = server.join("r").await;
    growing.set("b", &"x".repeat(10_000)).await;
    assert_eq!(growing.until_closed().await, Some(4413), "a document that grows");
    let mut shown = server.join("r").await;
    shown.send(presence(7, 1, 100)).await;
    shown.send(presence(7, 2, 101)).await;
    assert_eq!(shown.until_closed().await, Some(4413), "presence");
    honest.set("c", "small").await;
    let mut reader = server.join("r").await;
    reader.until_set("c", "small").await;
    assert_eq!(reader.get("b"), None);
    // Edits are shown in the order in which they are stored.
    reader.set("d", "last").await;
    honest.until_set("d", "last").await;
    assert_eq!(honest.get("b"), None);
}

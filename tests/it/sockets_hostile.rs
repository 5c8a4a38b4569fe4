//! Hostile bytes while honest people edit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use futures_util::future::join_all;
use ruang::gate::{Gate, Source};
use ruang::ids::RoomName;
use ruang::limits::{DOCUMENT_BYTES_MAX, PRESENCE_STATE_BYTES_MAX, UPDATE_BYTES_MAX};
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Kind, StoredRecord};
use ruang::wire::lib0::{write_buffer, write_var_uint};
use ruang::wire::y_websocket;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::craft::{At, Blocks, blocks, number, update};
use crate::harness::{Client, PATIENCE, Server, hostile, seeds};
use crate::hex::bytes;
use crate::random_docs::{Client as Author, Random, view};

/// What becomes of who sends something.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    /// Closed with this code.
    Closed(u16),
    /// Closed with 4400 or 4413.
    Refused,
    /// Over, however.
    Over,
    /// Dropped: the session goes on.
    Ignored,
    /// Any of these.
    Any,
}
use Outcome::{Any, Closed, Ignored, Over, Refused};

/// Ids of hostile clients begin here, so that nothing of theirs can hide in the log.
const HOSTILE: u64 = 1 << 40;

enum Input {
    /// Whole WebSocket messages.
    Frames(Vec<Frame>),
    /// Bytes past the WebSocket library.
    Raw(Vec<Vec<u8>>),
}

struct Attack {
    name: String,
    input: Input,
    outcome: Outcome,
}

fn attack(name: impl Into<String>, message: impl Into<Bytes>, outcome: Outcome) -> Attack {
    Attack { name: name.into(), input: Input::Frames(vec![Frame::Binary(message.into())]), outcome }
}

fn raw(name: &str, parts: Vec<Vec<u8>>, outcome: Outcome) -> Attack {
    Attack { name: name.to_owned(), input: Input::Raw(parts), outcome }
}

fn as_update(name: &str, update: &[u8], outcome: Outcome) -> Attack {
    attack(name, y_websocket::update(update), outcome)
}

/// A masked WebSocket frame; the mask is zero.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![head];
    match payload.len() {
        len @ ..126 => out.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
    out
}

fn presence(states: &[(u64, &str)]) -> Bytes {
    let mut update = Vec::new();
    write_var_uint(&mut update, states.len() as u64);
    for (client, state) in states {
        [*client, 1].into_iter().for_each(|number| write_var_uint(&mut update, number));
        write_buffer(&mut update, state.as_bytes());
    }
    y_websocket::presence(&update)
}

/// The inputs of the references.
fn known() -> Vec<Attack> {
    let one = |entry: &crate::harness::Hostile| {
        let inputs = entry.hex.iter().map(|hex| bytes(hex));
        let message = |input: Vec<u8>| match entry.kind.as_str() {
            "update" => y_websocket::update(&input),
            "state vector" => y_websocket::sync_step1(&input),
            "awareness" => y_websocket::presence(&input),
            _ => input.into(),
        };
        let frames = inputs.map(|input| Frame::Binary(message(input))).collect();
        let outcome = if entry.refused { Refused } else { Any };
        Attack { name: entry.name.clone(), input: Input::Frames(frames), outcome }
    };
    hostile().iter().map(one).collect()
}

/// What generators make.
fn generated() -> Vec<Attack> {
    let of = |clock| Blocks::of(HOSTILE, clock);
    let root = At::Root("x");
    let deep_any = |levels| [&[1][..], &[117, 1].repeat(levels), &[126]].concat();
    let nested = |open: &str, close: &str, levels| format!("{}{}", open.repeat(levels), close.repeat(levels));
    let deep_json = nested("[", "]", 4_000);
    let deep_objects = format!("{}1{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000));
    let large = format!("\"{}\"", "x".repeat(PRESENCE_STATE_BYTES_MAX));
    let types =
        (1..8_000).fold(of(0).new_type(root, 0), |all, n| all.new_type(At::Type((HOSTILE, n - 1)), 0));
    let sets = |n| (0..n).fold(of(0), |all, _| all.one(At::Key("m", "k")));
    let missing = (0..5_000).fold(of(0), |all, n| all.one(At::After((HOSTILE + 1 + n, 7))));
    let mut empty_clients = Vec::new();
    number(&mut empty_clients, 22_000);
    for client in (0..22_000).rev() {
        [0, HOSTILE + client, 0].into_iter().for_each(|part| number(&mut empty_clients, part));
    }
    empty_clients.push(0);
    let mut subdocument = vec![4];
    subdocument.extend(b"guid");
    subdocument.extend([118, 1, 2, b'g', b'c', 119, 1, b'x']); // options: {gc: "x"}
    let wide_deletes: Vec<_> = (0..50_000).map(|n| (HOSTILE, 2 * n, 1)).collect();
    let many: Vec<(u64, &str)> = (0..5_000).map(|n| (HOSTILE + n, "{}")).collect();
    let text =
        Attack { name: "text".into(), input: Input::Frames(vec![Frame::text("{}")]), outcome: Closed(4400) };
    vec![
        as_update("a deep value", &blocks(of(0).block(root, 8, &deep_any(400_000))), Refused),
        as_update("a deep embed", &blocks(of(0).embed(root, &nested("[", "]", 400_000))), Refused),
        as_update("deep objects", &blocks(of(0).embed(root, &deep_objects)), Refused),
        attack("deep presence", presence(&[(HOSTILE, &deep_json)]), Refused),
        attack("deep presence objects", presence(&[(HOSTILE, &deep_objects)]), Refused),
        attack(
            "deep presence behind a good one",
            presence(&[(HOSTILE, "{}"), (HOSTILE + 1, &deep_json)]),
            Refused,
        ),
        attack("large presence", presence(&[(HOSTILE, &large)]), Closed(4413)),
        attack("many people", presence(&many), Any),
        as_update(
            "nested types, then the delete of the outermost",
            &update([types], &[(HOSTILE, 0, 1)]),
            Refused,
        ),
        as_update("20,000 sets of one key", &blocks(sets(20_000)), Refused),
        as_update("thousands of missing dependencies", &blocks(missing), Ignored),
        as_update("deletes of what nobody has", &update([], &wide_deletes), Ignored),
        as_update("22,000 empty clients", &empty_clients, Refused),
        as_update("a subdocument", &blocks(of(0).block(root, 9, &subdocument)), Any),
        as_update("an update of a megabyte of nothing", &vec![0; UPDATE_BYTES_MAX + 1], Closed(4400)),
        attack("a question who is here", vec![3], Ignored),
        attack("many keepalives in a frame", y_websocket::KEEPALIVE.repeat(5_000), Closed(4400)),
        text,
        raw(
            "an oversized frame",
            vec![vec![0x82, 0xff], (DOCUMENT_BYTES_MAX as u64 + 65).to_be_bytes().into(), vec![0; 4]],
            Closed(4413),
        ),
        raw(
            "a frame of 2^63 bytes",
            vec![vec![0x82, 0xff], (1_u64 << 62).to_be_bytes().into(), vec![0; 64]],
            Refused,
        ),
        raw("fragments without end", fragments(2 << 20, 33), Closed(4413)),
        raw(
            "100,000 empty fragments",
            [fragments(1, 1), vec![frame(0x00, b"").repeat(100_000)], vec![frame(0x80, b"")]].concat(),
            Any,
        ),
        raw("a continuation of nothing", vec![frame(0x80, b"x")], Refused),
        raw("a text of bad UTF-8", vec![frame(0x81, b"\xff\xfe")], Refused),
        raw("a close of bad UTF-8", vec![frame(0x88, b"\x03\xe8\xff\xfe")], Over),
        raw("a close of one byte", vec![frame(0x88, b"\x03")], Over),
        raw("a close of a forbidden code", vec![frame(0x88, b"\x03\xed")], Over),
        raw("a long ping", vec![frame(0x89, &[0; 200])], Refused),
        raw("a fragmented ping", vec![frame(0x09, b"x")], Refused),
        raw("a reserved opcode", vec![frame(0x83, b"x")], Refused),
        raw("a reserved bit", vec![frame(0xc2, b"x")], Refused),
        raw("a frame without a mask", vec![vec![0x82, 3, 1, 1, 0]], Refused),
        raw("HTTP again", vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()], Refused),
    ]
}

/// The first fragments of a message that does not end.
fn fragments(len: usize, count: usize) -> Vec<Vec<u8>> {
    let payload = vec![0; len];
    (0..count).map(|n| frame(if n == 0 { 0x02 } else { 0x00 }, &payload)).collect()
}

/// Honest frames, cut and with flipped bits; and noise. They may still be honest by accident.
fn mutated(random: &mut Random) -> Vec<Attack> {
    let mut author = Author::new(HOSTILE - 1, false);
    for _ in 0..8 {
        author.edit(random);
    }
    let mut honest: Vec<Bytes> =
        author.take_updates().iter().map(|update| y_websocket::update(update)).collect();
    honest.push(y_websocket::sync_step2(&author.step2(&[0])));
    honest.push(y_websocket::sync_step1(&[2, 1, 1, 2, 2]));
    honest.push(presence(&[(HOSTILE, r#"{"user":{"name":"x"}}"#)]));
    let mut attacks = Vec::new();
    for n in 0..160 {
        let mut message = honest[random.index(honest.len())].to_vec();
        match n % 4 {
            0 => message.truncate(random.index(message.len())),
            1 | 2 => {
                for _ in 0..=random.below(3) {
                    let at = random.index(message.len());
                    message[at] ^= 1 << random.below(8);
                }
            }
            _ => message = (0..random.below(2_000)).map(|_| random.next().to_le_bytes()[0]).collect(),
        }
        attacks.push(attack(format!("mutant {n}"), message, Any));
    }
    attacks
}

/// Sends an attack over a socket of its own, and sees what becomes of it.
async fn launch(server: &Server, room: &str, attack: Attack) {
    let Attack { name, input, outcome } = attack;
    let mut client = server.join(room).await;
    match input {
        Input::Frames(frames) => {
            for frame in frames {
                // Closed meanwhile: found below.
                let _ = client.socket.send(frame).await;
            }
        }
        Input::Raw(parts) => {
            let MaybeTlsStream::Plain(stream) = client.socket.get_mut() else { panic!("no TLS here") };
            for part in parts {
                if timeout(PATIENCE, stream.write_all(&part))
                    .await
                    .expect("the server reads or closes")
                    .is_err()
                {
                    break;
                }
            }
        }
    }
    // An honest question behind it: it is answered if the session goes on.
    let before = client.received.len();
    if outcome == Ignored || outcome == Any {
        let _ = client.socket.send(Frame::Binary(y_websocket::sync_step1(&[0]))).await;
    }
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        match client.step(deadline.saturating_duration_since(Instant::now())).await {
            Err(code) => break Some(code),
            Ok(false) => panic!("{name}: neither closed nor answered"),
            Ok(true) if client.received.len() > before && (outcome == Ignored || outcome == Any) => {
                break None;
            }
            Ok(true) => {}
        }
    };
    let fits = match (outcome, ended) {
        (Any, None | Some(Some(4400 | 4413))) | (Ignored, None) | (Over, Some(_)) => true,
        (Refused, Some(Some(code))) => code == 4400 || code == 4413,
        (Closed(expected), Some(Some(code))) => code == expected,
        _ => false,
    };
    assert!(fits, "{name}: expected {outcome:?}, ended with {ended:?}");
}

/// An honest person who edits until told to stop, and comes to rest then.
fn edits(server: &Server, room: &str, id: u64, stop: &Arc<AtomicBool>) -> JoinHandle<(Client, Author)> {
    let (url, stop) = (server.url(room), Arc::clone(stop));
    tokio::spawn(async move {
        let mut author = Author::new(id, true);
        let mut random = Random::new(id);
        let mut client = Client::connect(&url, Some("ruang.v1")).await;
        client.doc = author.doc.clone();
        client.sync().await;
        let mut sent = 1;
        while !stop.load(Ordering::SeqCst) {
            if sent < 400 {
                author.edit(&mut random);
            }
            for update in author.take_updates() {
                client.send(y_websocket::update(&update)).await;
                sent += 1;
            }
            client.step(Duration::from_millis(20)).await.expect("honest people are not sent away");
        }
        client.until("the acks", |client| client.acked == sent).await;
        assert_eq!(client.asked.len(), 1, "nothing of an honest person was lost");
        (client, author)
    })
}

async fn converge(server: &Server, room: &str, people: Vec<JoinHandle<(Client, Author)>>) {
    let mut people: Vec<_> = join_all(people).await.into_iter().map(Result::unwrap).collect();
    let newcomer = server.join(room).await;
    let everything = view(&newcomer.doc);
    for (client, author) in &mut people {
        let deadline = Instant::now() + PATIENCE;
        while view(&author.doc) != everything {
            assert!(Instant::now() < deadline, "[S3] not everyone has the same document");
            client.step(Duration::from_millis(50)).await.expect("honest people are not sent away");
        }
    }
}

/// Every client id that has something in a room's log, genesis aside.
async fn authors_of(log: &dyn Log, room: &str) -> Vec<u64> {
    let room: RoomName = room.parse().unwrap();
    let mut gate = Gate::new();
    for stored in log.read(&room, 0, usize::MAX).await.unwrap() {
        let StoredRecord::Intact { record, .. } = stored else { panic!("nothing is damaged") };
        if record.kind() != Kind::Genesis {
            assert!(!gate.admit(&record.update(), Source::Record).unwrap().dropped.is_gap());
        }
    }
    gate.state_vector().entries().iter().map(|(client, _)| *client).collect()
}

/// [R9, S3, W5] Four people edit while every hostile input that we know of comes in, each over a
/// socket of its own. Its sender is refused or ignored; nothing of it is stored; the four converge,
/// a newcomer loads the room, another room notices nothing, and nothing has panicked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_inputs_harm_nobody() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(Arc::clone(&log)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let four: Vec<_> = (101..=104).map(|id| edits(&server, "r", id, &stop)).collect();
    let apart: Vec<_> = (201..=202).map(|id| edits(&server, "apart", id, &stop)).collect();

    let attacks: Vec<Attack> =
        known().into_iter().filter(|attack| attack.outcome != Any).chain(generated()).collect();
    let names: Vec<String> = attacks.iter().map(|attack| attack.name.clone()).collect();
    for attack in attacks {
        launch(&server, "r", attack).await;
        sleep(Duration::from_millis(2)).await;
    }
    println!("{} hostile inputs: {names:?}", names.len());
    let authors = authors_of(&*log, "r").await;
    assert!(
        authors.iter().all(|author| (101..=104).contains(author)),
        "nothing hostile is stored: {authors:?}"
    );

    stop.store(true, Ordering::SeqCst);
    converge(&server, "r", four).await;
    converge(&server, "apart", apart).await;
    let authors = authors_of(&*log, "apart").await;
    assert!(authors.iter().all(|author| (201..=202).contains(author)), "{authors:?}");
    assert_eq!(server.app.metrics.rooms_failed.get(), 0);
    server.stop().await;
}

/// [R9, S3, G16] The same with inputs that may be honest by accident: cut and flipped frames, noise,
/// and what the gate takes in part. What is taken harms nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_frames_harm_nobody() {
    for seed in seeds(2) {
        println!("RUANG_TEST_SEED={seed}");
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
        let server = Server::start(Arc::clone(&log)).await;
        let stop = Arc::new(AtomicBool::new(false));
        let four: Vec<_> = (101..=104).map(|id| edits(&server, "r", id, &stop)).collect();
        let attacks = known().into_iter().filter(|attack| attack.outcome == Any);
        for attack in attacks.chain(mutated(&mut Random::new(seed))) {
            // An honest text, but who reads that root as an array with yrs never comes back: the
            // people of this test do.
            let room = if attack.name == "text read as an array" { "texts" } else { "r" };
            launch(&server, room, attack).await;
        }
        stop.store(true, Ordering::SeqCst);
        converge(&server, "r", four).await;
        assert_eq!(server.app.metrics.rooms_failed.get(), 0);
        server.stop().await;
    }
}

//! The y-sweet family where it needs no package: frames that no provider would send, and documents that several make
//! at once. `tests/clients/y-sweet` runs the real packages. Rules W40 to W47 of `docs/RULES.md`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod harness;
mod random_docs;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use ruang::clock::system_clock;
use ruang::ids::RoomName;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Kind, StoredRecord};
use ruang::room::{Entry, Outlet};
use ruang::wire::voice::Voice;
use ruang::wire::{Message, y_websocket};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use harness::{PATIENCE, Server, seeds};
use random_docs::{Client as Author, Random};

/// Frames of a run, over all sockets.
const MUTANTS: usize = 20_000;
/// Sockets at a time.
const SOCKETS: usize = 8;
/// Ids of hostile clients begin here.
const HOSTILE: u64 = 1 << 40;

/// What an honest client sends, as the capture of a conversation has it, and some frames with several messages.
fn honest(random: &mut Random) -> Vec<Vec<u8>> {
    let mut author = Author::new(HOSTILE, false);
    for _ in 0..8 {
        author.edit(random);
    }
    let status = vec![0x66, 1, 0];
    let presence = vec![1, 6, 1, 7, 0, 2, 0x7b, 0x7d];
    let answer = [&[3, 6], &presence[2..]].concat();
    let step1 = y_websocket::sync_step1(&[1, 7, 1]).to_vec();
    let step2 = y_websocket::sync_step2(&author.step2(&[0])).to_vec();
    let mut frames: Vec<Vec<u8>> =
        author.take_updates().iter().map(|update| y_websocket::update(update).to_vec()).collect();
    frames.push([&step1[..], &status, &presence].concat());
    frames.push([&step2[..], &status].concat());
    frames.push([&frames[0][..], &status, &status, &answer].concat());
    frames.extend([status, vec![0x66, 2, 0x80, 1], presence, answer, step1, step2]);
    frames
}

/// Cut, with flipped bits, two in one, or noise. It may still be honest by accident.
fn mutant(random: &mut Random, honest: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = honest[random.index(honest.len())].clone();
    match random.below(5) {
        0 => frame.truncate(random.index(frame.len())),
        1 | 2 => {
            for _ in 0..=random.below(3) {
                let at = random.index(frame.len());
                frame[at] ^= 1 << random.below(8);
            }
        }
        3 => {
            let other = &honest[random.index(honest.len())];
            frame.truncate(random.index(frame.len()));
            frame.extend_from_slice(&other[random.index(other.len())..]);
        }
        _ => frame = (0..random.below(200)).map(|_| random.next().to_le_bytes()[0]).collect(),
    }
    frame
}

/// Sends one frame after an honest beginning, and a question behind it; whether the session has ended.
async fn is_refused(address: &str, frame: Vec<u8>) -> bool {
    let (mut socket, _) = connect_async(address).await.expect("the server listens");
    for message in [Bytes::from_static(&[0, 0, 1, 0]), frame.into(), Bytes::from_static(&[0, 0, 1, 0])] {
        let _ = socket.send(Frame::Binary(message)).await; // it may be closed already
    }
    let mut answers = 0;
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("answered or closed") {
            Some(Ok(Frame::Binary(message))) => {
                let (message, used) = Voice::YSweet.decode(&message).expect("the server sends messages");
                assert!(!matches!(message, Message::QueryPresence), "nobody is asked who is here");
                assert!(used > 0);
                answers += usize::from(matches!(message, Message::SyncStep2(_)));
                // The frame may hold a Step1 of its own; two answers are the least.
                if answers == 2 {
                    return false;
                }
            }
            Some(Ok(Frame::Close(close))) => {
                let code = close.map_or(0, |close| close.code.into());
                assert!([4400, 4409, 4413].contains(&code), "closed with {code}");
                return true;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return true,
        }
    }
}

/// [W47, R9, S3] 20,000 frames that are cut, mixed, flipped or noise: each is refused or does what it says, honest people
/// in the same room go on, and who comes later has what they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_frames_harm_nobody() {
    for seed in seeds(1) {
        println!("RUANG_TEST_SEED={seed}");
        let server = Server::start(Arc::new(MemoryLog::new())).await;
        let address = format!("ws://{}/d/r/ws/r", server.address);
        let mut witness = server.join("r").await;
        let stop = Arc::new(AtomicBool::new(false));
        let goes_on = {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    witness.set(&format!("key {}", n % 50), &format!("{n}")).await;
                    while witness.step(Duration::from_millis(20)).await.expect("it is not sent away") {}
                }
                witness
            })
        };
        let (sent, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (address, sent, refused) = (&address, &sent, &refused);
        join_all((0..SOCKETS as u64).map(|n| async move {
            let mut random = Random::new(seed << 8 | n);
            let honest = honest(&mut random);
            while sent.fetch_add(1, Ordering::Relaxed) < MUTANTS {
                let frame = mutant(&mut random, &honest);
                refused.fetch_add(usize::from(is_refused(address, frame).await), Ordering::Relaxed);
            }
        }))
        .await;
        println!("{MUTANTS} frames, {} refused", refused.load(Ordering::Relaxed));
        assert!(refused.load(Ordering::Relaxed) > MUTANTS / 10, "most of what is noise is refused");
        stop.store(true, Ordering::Relaxed);
        let mut witness = goes_on.await.unwrap();
        witness.set("last", "word").await;
        let mut newcomer = server.join("r").await;
        newcomer.until_set("last", "word").await;
        witness.until("the same document", |witness| witness.doc_json() == newcomer.doc_json()).await;
        assert_eq!(server.app.metrics.rooms_failed.get(), 0);
        server.stop().await;
    }
}

/// [W47] The decoder takes something of whatever it accepts, and no more than there is.
#[test]
fn the_decoder_never_takes_more_than_there_is() {
    for seed in seeds(1) {
        println!("RUANG_TEST_SEED={seed}");
        let mut random = Random::new(seed);
        let honest = honest(&mut random);
        for _ in 0..MUTANTS {
            let mut frame = Bytes::from(mutant(&mut random, &honest));
            while let Ok((_, used)) = Voice::YSweet.decode(&frame) {
                assert!((1..=frame.len()).contains(&used));
                frame = frame.slice(used..);
            }
        }
    }
}

struct Nobody;

impl Outlet for Nobody {
    fn offer(&self, _bytes: &[u8]) -> usize {
        0
    }
}

/// [W40] Twenty make the same document on two instances at once, one writes meanwhile: it is made once, all are told that it
/// is there, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_made_once() {
    let (log, _) = MemoryLog::for_instances(system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let servers = [Server::start(Arc::clone(&log)).await, Server::start(Arc::clone(&log)).await];
    for round in 0..20 {
        let name: RoomName = format!("made-{round}").parse().unwrap();
        let makers = (0..20).map(|n| {
            let (rooms, name) = (&servers[n % 2].app.rooms, &name);
            async move {
                let member = rooms.join(name, Entry::anonymous(Arc::new(Nobody))).await.unwrap();
                timeout(PATIENCE, member.begin()).await.expect("in time").expect("it is made");
            }
        });
        let writer = async {
            let mut writer = servers[0].join(&format!("made-{round}")).await;
            writer.set("written", "meanwhile").await;
            writer
        };
        let (_, writer) = tokio::join!(join_all(makers), writer);
        let mut reader = servers[1].join(&format!("made-{round}")).await;
        reader.until_set("written", "meanwhile").await;
        drop((reader, writer));
        let records = log.read(&name, 0, usize::MAX).await.unwrap();
        let kind = |stored: &StoredRecord| match stored {
            StoredRecord::Intact { record, .. } => record.kind(),
            StoredRecord::Damaged { .. } => panic!("nothing is damaged"),
        };
        let kinds: Vec<Kind> = records.iter().map(kind).collect();
        println!("round {round}: {kinds:?}");
        assert_eq!(kinds[0], Kind::Genesis);
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Genesis).count(), 1);
        assert!(kinds.iter().filter(|kind| **kind == Kind::Admin).count() <= 2, "one an instance at most");
    }
    join_all(servers.map(Server::stop)).await;
}

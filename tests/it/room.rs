//! Rooms through real sockets: what is shown, to whom, and when. The rules that this file, its
//! modules (`room_*.rs`), `sockets.rs`, `process.rs` and `src/room/state/tests.rs` show; docs/RULES.md
//! has all of them.
//!
//! - R1  Stored before seen: nothing reaches another participant, a newcomer or an ack before the log
//!   has it.
//! - R2  A lost reply is asked for again with the same batch: nothing is stored or shown twice. A
//!   batch that is refused after a lost reply may be stored: the room is loaded again.
//! - R3  However many join a room at once, it is loaded once.
//! - R4  A room that is unloaded comes back with all that was stored: a load is the fold of the log.
//! - R5  Who is too slow falls off the ring and gets one diff.
//! - R7  Who missed changes of presence gets the newest, also after falling off.
//! - R8  Echoes are no news; removals count from the last announcer; a crash is passed on after the
//!   grace, at its clock.
//! - R9  A session ends by itself alone.
//! - R10 What was acked is stored and survives `kill -9`; an ack never runs over a refused batch.
//! - R11 A record that is damaged, or that must not be folded, is set aside and counted, and so is what
//!   builds on it. The rest of the room is served; a client that holds the content brings it back.
//! - R12 A room that fails, by a panic or a log that cannot be read, asks all its sessions, silent ones
//!   too, to come back (1013). No other room notices, and later joins get in.
//! - H5, H7 to H9: when a room is compacted, and what happens if it cannot be.
//! - S1  Nothing of the room is sent before the client's Step1.
//! - S2  A gap is not stored; its sender is asked for it once; a Step2 repairs it.
//! - S3  Everyone ends up with the same document.
//! - S7  A silent socket hears a keepalive within 30 s.
//! - S8  Each Step2 and Update is acked once what was under way at its judging is stored, never earlier.
//! - S9  A client that reads more slowly than its room writes is heard all the same.
//! - W1  Each name is a room of its own; a name that cannot be gets a final answer.
//! - W2  No token is ever logged.
//! - O1  A bad setting ends the start with code 2 and a line that names it.
//! - O3  SIGTERM drains; a second one ends at once.
//! - O4  Requests are bounded in time, header fields and bytes.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod craft;
mod harness;
mod hex;
mod life_support;
mod random_docs;
mod room_compaction;
mod room_crowd;
mod room_damage;
mod room_ends;
mod room_faults;
mod room_patience;
mod room_random;
mod room_store_away;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Client, Server, hostile};
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use ruang::wire::y_websocket;

/// [R1] Stored before seen: while an append is held, nobody sees a byte of it, not the others, not
/// a newcomer, and there is no ack: not for the edit, not for its duplicate, not for a Step2 that
/// repeats it. Once the log has it, everyone sees it and all three are acked.
#[tokio::test]
async fn nothing_is_shown_or_acked_before_it_is_stored() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    let mut author = server.join_for_acks("r").await;
    author.set("before", "1").await;
    author.until("both acks", |author| author.acked == 2).await;
    let mut watcher = server.join("r").await;
    watcher.until_set("before", "1").await;

    let held = faults.hold_appends();
    let update = author.set_locally("k", "v");
    author.send(y_websocket::update(&update)).await;
    author.send(y_websocket::update(&update)).await;
    author.send(y_websocket::sync_step2(&update)).await;
    let mut newcomer = server.join("r").await;
    println!("holding an append for 2 s: nobody may hear anything");
    let heard = tokio::join!(
        author.hears_anything(Duration::from_secs(2)),
        watcher.hears_anything(Duration::from_secs(2)),
        newcomer.hears_anything(Duration::from_secs(2)),
    );
    assert_eq!(heard, (false, false, false), "author, watcher, newcomer");
    assert_eq!(newcomer.get("k"), None, "a newcomer's Step2 holds committed records only");

    held.release();
    watcher.until_set("k", "v").await;
    newcomer.until_set("k", "v").await;
    author.until("the acks of edit, duplicate and Step2", |author| author.acked == 5).await;
    server.stop().await;
}

/// [R2] A reply that is lost after the append was applied: the same batch is sent again, nothing is
/// stored twice, and everyone sees it once.
#[tokio::test]
async fn a_lost_reply_stores_nothing_twice() {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let server = Server::start(Arc::clone(&log)).await;
    let (mut author, mut watcher) = (server.join("r").await, server.join("r").await);
    faults.lose_replies(2);
    author.set("k", "v").await;
    watcher.until_set("k", "v").await;
    let records = log.read(&"r".parse().unwrap(), 0, 100).await.unwrap();
    assert_eq!(records.len(), 2, "genesis and one update");
    server.stop().await;
}

/// [R3] However many join a room at once, it is loaded once, and all are in the same room.
#[tokio::test]
async fn many_joins_are_one_load() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let first = Server::start(Arc::clone(&log)).await;
    first.join("r").await.set("k", "v").await;
    let mut check = first.join("r").await;
    check.until_set("k", "v").await;
    drop(check);

    let server = Server::start_with(Arc::clone(&log), RoomsOptions::default()).await;
    let mut clients = join_all((0..50).map(|_| server.join("r"))).await;
    assert_eq!(server.app.metrics.rooms_loaded.get(), 1);
    clients[0].set("k", "w").await;
    for client in &mut clients[1..] {
        client.until_set("k", "w").await;
    }
    server.stop().await;
}

/// [R4] A room without sessions is unloaded, and loaded again with all that was stored.
#[tokio::test]
async fn idle_rooms_are_unloaded_and_come_back_whole() {
    let options = RoomsOptions { idle_unload: Duration::from_millis(50), ..RoomsOptions::default() };
    let server = Server::start_with(Arc::new(MemoryLog::new()), options).await;
    for round in 0..3 {
        let mut client = server.join("r").await;
        if round > 0 {
            client.until_set("k", &(round - 1).to_string()).await;
        }
        client.set("k", &round.to_string()).await;
        let mut other = server.join("r").await;
        other.until_set("k", &round.to_string()).await;
        drop((client, other));
        while server.app.rooms.open_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(server.app.metrics.rooms_loaded.get(), 3);
    server.stop().await;
}

/// [R5] A reader that takes nothing for a long time falls off the ring and gets one diff; it ends
/// with all that the others have.
#[tokio::test]
async fn a_stalled_reader_catches_up_with_one_diff() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut stalled = server.join("r").await;
    let mut author = server.join("r").await;
    let filler = "x".repeat(60_000);
    let mut count = 0;
    while server.app.metrics.catch_ups.get() == 0 && count < 400 {
        // Until the kernel's buffers are full and the ring has moved on.
        author.set(&format!("k{count}"), &filler).await;
        // Providers read while they write; one that does not is not read either.
        while author.step(Duration::ZERO).await == Ok(true) {}
        count += 1;
        if count % 40 == 0 {
            let (mut check, newest) = (server.join("r").await, format!("k{}", count - 1));
            tokio::select! {
                () = check.until_set(&newest, &filler) => {}
                _ = author.until_closed() => panic!("nobody is sent away"),
            }
        }
    }
    author.set("last", "1").await;
    tokio::select! {
        () = stalled.until_set("last", "1") => {}
        _ = author.until_closed() => panic!("nobody is sent away"),
    }
    assert!(server.app.metrics.catch_ups.get() > 0, "it fell off after {count} updates");
    for n in 0..count {
        assert_eq!(stalled.get(&format!("k{n}")).map(|value| value.len()), Some(filler.len()), "k{n}");
    }
    server.stop().await;
}

/// [S1] Nothing of the room is sent before the client's Step1: not at connect, not when others edit.
#[tokio::test]
async fn nothing_is_sent_before_step1() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut author = server.join("r").await;
    let mut silent = server.connect("r").await;
    author.set("k", "v").await;
    assert!(!silent.hears_anything(Duration::from_millis(500)).await);
    silent.sync().await;
    silent.until_set("k", "v").await;
    server.stop().await;
}

/// [S2] [S8] A gap is not stored: the session is asked for what is missing, once, and then everyone has
/// everything.
#[tokio::test]
async fn a_gap_is_asked_for() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let (mut author, mut watcher) = (server.join("r").await, server.join("r").await);
    author.set_locally("lost", "1");
    author.set("k", "v").await;
    author.set("k2", "v").await;
    author.until("a second step 1", |author| author.asked.len() == 2).await;
    let theirs = author.asked[1].clone();
    let missing = {
        use yrs::updates::decoder::Decode;
        use yrs::{ReadTxn, Transact};
        author.doc.transact().encode_state_as_update_v1(&yrs::StateVector::decode_v1(&theirs).unwrap())
    };
    author.send(y_websocket::sync_step2(&missing)).await;
    watcher.until_set("lost", "1").await;
    watcher.until_set("k2", "v").await;
    author.hears_anything(Duration::from_millis(100)).await;
    assert_eq!(author.acked, 0, "acks are for those who speak ruang.v1");
    server.stop().await;
}

/// [S2] A client whose copy has a hole that it cannot fill is not asked for ever: it would answer each time with all that it
/// has.
#[tokio::test]
async fn a_hole_that_nobody_can_fill_is_not_asked_for_again_and_again() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut holed = server.connect("r").await;
    holed.set_locally("lost", "1");
    let behind = holed.set_locally("k", "v");
    holed.send(y_websocket::sync_step1(&holed.state_vector())).await;
    for asked in 1..=2 {
        holed.until("a question", |client| client.asked.len() == asked).await;
        holed.send(y_websocket::sync_step2(&behind)).await;
    }
    holed.hears_anything(Duration::from_millis(500)).await;
    println!("two answers that bring nothing: asked {} times", holed.asked.len());
    assert_eq!(holed.asked.len(), 2, "the second answer says what the first has said");
    // What it writes besides is stored, and an edit behind the hole is asked for as ever.
    holed.set("k2", "v").await;
    holed.until("a question", |client| client.asked.len() == 3).await;
    server.stop().await;
}

/// [R9] A session that ends takes only itself along: a malformed frame closes its sender with 4400,
/// nothing is stored, the others go on.
#[tokio::test]
async fn a_malformed_update_ends_only_its_sender() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let (mut author, mut watcher) = (server.join("r").await, server.join("r").await);
    for bad in [
        &b"\x00\x02\x04\x80\x80\x80\x08"[..],
        b"\x00\x00\x04\x80\x80\x80\x40",
        b"\x01\x03\x01\x07\x01",
        b"\xff",
    ] {
        let mut hostile = server.join("r").await;
        hostile.send(bad.to_vec()).await;
        assert_eq!(hostile.until_closed().await, Some(4400), "{bad:?}");
    }
    author.set("k", "v").await;
    watcher.until_set("k", "v").await;
    assert_eq!(server.app.metrics.sockets_refused.get(), 4);
    server.stop().await;
}

/// [O3] On the way down: what is in flight is stored and acked, then clients are sent away with
/// 1012, so that they come back.
#[tokio::test]
async fn draining_finishes_what_is_in_flight() {
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start(Arc::new(log)).await;
    let mut author: Client = server.connect_for_acks("r").await;
    author.sync().await;
    author.until("the ack of step 2", |author| author.acked == 1).await;
    let held = faults.hold_appends();
    author.set("k", "v").await;
    assert!(!author.hears_anything(Duration::from_millis(200)).await);
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    held.release();
    assert_eq!(author.until_closed().await, Some(1012));
    assert_eq!(author.acked, 2, "the edit was acked before the close");
    stopping.await.unwrap();
}

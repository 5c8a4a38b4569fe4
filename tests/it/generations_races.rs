//! Several who begin a room at once, and a log that answers late, twice or not at all.

use std::sync::Arc;
use std::time::Duration;

use ruang::ids::Generation;
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Kind, genesis_update};
use ruang::log::{Log, LogError};
use ruang::wire::y_websocket;

use crate::craft::{At, Blocks, blocks};
use crate::generations_world::{append_elsewhere, holder, kinds, old_board, room, twin, whole};
use crate::harness::Server;

/// [R16, R17] Two laptops with the old board, each with edits of its own since: both come while the
/// first append is held, and again the other way round. One revives, the other joins; nothing is lost,
/// nothing is there twice.
#[tokio::test]
async fn two_laptops_revive_one_board() {
    for swap in [false, true] {
        let old = old_board(&["a", "b"]).await;
        let (log, faults) = MemoryLog::with_faults();
        let log: Arc<dyn Log> = Arc::new(log);
        let server = Server::start(Arc::clone(&log)).await;
        let other = twin(&old);
        let (mut one, mut two) = (holder(&server, &old, true).await, holder(&server, &other, true).await);
        one.set_locally("one", "1");
        two.set_locally("two", "2");
        if swap {
            std::mem::swap(&mut one, &mut two);
        }
        let held = faults.hold_appends();
        // Both are let in while the room is absent, or while the first one's board is in flight.
        one.sync().await;
        held.arrived(1).await;
        two.sync().await;
        let heard = two.hears_anything(Duration::from_millis(300)).await;
        assert!(!heard, "nothing is shown before it is stored");
        held.release();
        for client in [&mut one, &mut two] {
            client.until_set("one", "1").await;
            client.until_set("two", "2").await;
            client.until("the ack", |client| client.acked == 1).await;
        }
        assert_eq!(kinds(&log).await, [Kind::Genesis, Kind::Revive, Kind::Update]);
        let newcomer = server.join("r").await;
        assert_eq!(whole(&newcomer.doc).len(), whole(&one.doc).len());
        server.stop().await;
    }
}

/// [R15, R17] A fresh writer is first, the laptop is already in the room and has not sent its board: it
/// is sent away before it sees a byte of the new life, so that its copy does not mix.
#[tokio::test]
async fn a_life_that_comes_too_late_is_not_mixed() {
    let old = old_board(&["a"]).await;
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(Arc::clone(&log)).await;
    let mut laptop = holder(&server, &old, false).await;
    laptop.send(y_websocket::sync_step1(&laptop.state_vector())).await;
    laptop.until("the server's Step1", |laptop| !laptop.asked.is_empty()).await;
    let before = whole(&laptop.doc);
    let mut writer = server.join("r").await;
    writer.set("new", "1").await;
    assert_eq!(laptop.until_closed().await, Some(4409));
    assert_eq!(whole(&laptop.doc), before, "nothing of the new life has reached it");
    laptop.reconnect(&server.url("r"), None).await;
    laptop.send(y_websocket::sync_step1(&laptop.state_vector())).await;
    assert_eq!(laptop.until_closed().await, Some(4409));
    server.stop().await;
}

/// [R17] A fresh writer's first edit is in flight when the laptop comes, by its Step1 or with its board: the
/// answer is not final. Once the edit is stored it is; if the store refuses the edit, the laptop revives.
#[tokio::test]
async fn what_is_in_flight_decides_nothing_for_good() {
    for stored in [true, false] {
        let old = old_board(&["a"]).await;
        let (log, faults) = MemoryLog::with_faults();
        let log: Arc<dyn Log> = Arc::new(log);
        let server = Server::start(Arc::clone(&log)).await;
        let mut early = holder(&server, &old, false).await;
        early.send(y_websocket::sync_step1(&early.state_vector())).await;
        early.until("the server's Step1", |early| !early.asked.is_empty()).await;
        let mut writer = server.join("r").await;
        if !stored {
            faults.fail_appends(1, LogError::Unavailable("the test says so".to_owned()));
            faults.fail_appends(1, LogError::Fatal("the test says so".to_owned()));
        }
        let held = faults.hold_appends();
        writer.set("new", "1").await;
        held.arrived(1).await;
        early.send(y_websocket::sync_step2(&whole(&early.doc))).await;
        assert_eq!(early.until_closed().await, Some(1013), "its board, while the edit is in flight");
        let mut late = holder(&server, &old, false).await;
        late.send(y_websocket::sync_step1(&late.state_vector())).await;
        assert_eq!(late.until_closed().await, Some(1013), "its Step1, while the edit is in flight");
        assert!(late.received.is_empty() && late.asked.is_empty());
        held.release();

        let mut back = if stored {
            let mut newcomer = server.join("r").await;
            newcomer.until_set("new", "1").await;
            holder(&server, &old, false).await
        } else {
            assert_eq!(writer.until_closed().await, Some(1013), "the store has refused");
            holder(&server, &old, false).await
        };
        if stored {
            back.send(y_websocket::sync_step1(&back.state_vector())).await;
            assert_eq!(back.until_closed().await, Some(4409));
        } else {
            back.sync().await;
            let mut newcomer = server.join("r").await;
            newcomer.until_set("a", "old").await;
        }
        server.stop().await;
    }
}

/// [R2, R17] The reply to the reviving append is lost, twice: it is asked for again, and the board is
/// stored once.
#[tokio::test]
async fn a_lost_reply_revives_once() {
    let old = old_board(&["a"]).await;
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let server = Server::start(Arc::clone(&log)).await;
    let mut phone = server.join("r").await;
    faults.lose_replies(2);
    let mut laptop = holder(&server, &old, true).await;
    laptop.sync().await;
    phone.until_set("a", "old").await;
    laptop.until("the ack", |laptop| laptop.acked == 1).await;
    assert_eq!(kinds(&log).await, [Kind::Genesis, Kind::Revive]);
    server.stop().await;
}

/// [R17] Another instance begins the room while the laptop's board is on its way: the log says that the
/// room has moved, everyone here comes back and is judged by what the room is now. Then the other life
/// is final for the laptop, and the phone sees it. The same for a room that had only markers.
#[tokio::test]
async fn somebody_else_was_first() {
    for blank in [false, true] {
        let old = old_board(&["a"]).await;
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
        if blank {
            append_elsewhere(&log, 815, 1, &[genesis_update(&room(), Generation { nonce: 4_711 })]).await;
        }
        let server = Server::start(Arc::clone(&log)).await;
        let mut phone = server.join("r").await;
        let edit = blocks(Blocks::of(7, 0).text(At::Root("t"), "elsewhere"));
        append_elsewhere(&log, 815, 2, &[edit]).await;
        let mut laptop = holder(&server, &old, true).await;
        laptop.sync().await;
        assert_eq!(laptop.until_closed().await, Some(1013), "blank: {blank}");
        assert_eq!(phone.until_closed().await, Some(1013));
        assert_eq!(laptop.acked, 0);
        phone.reconnect(&server.url("r"), None).await;
        phone.sync().await;
        phone.until("the other's text", |phone| phone.text() == "elsewhere").await;
        laptop.reconnect(&server.url("r"), None).await;
        laptop.send(y_websocket::sync_step1(&laptop.state_vector())).await;
        assert_eq!(laptop.until_closed().await, Some(4409));
        assert_eq!(server.app.metrics.rooms_failed.get(), 0, "that is no fault");
        server.stop().await;
    }
}

/// [R17] The room expires under those who are in it: the next edit is not stored as another life.
/// Everyone comes back, and the first one brings the room back whole.
#[tokio::test]
async fn a_room_that_expired_under_its_sessions_is_revived() {
    let (log, _) = MemoryLog::with_clock(Arc::new(|| u64::MAX));
    let log: Arc<dyn Log> = Arc::new(log);
    let server = Server::start(Arc::clone(&log)).await;
    let (mut author, mut watcher) = (server.join("r").await, server.join("r").await);
    author.set("a", "1").await;
    watcher.until_set("a", "1").await;
    author.set("b", "1").await;
    watcher.until_set("b", "1").await;
    let deadline = log.open(&room()).await.unwrap().unwrap().deadline_ms.unwrap();
    assert!(log.expire(&room(), deadline).await.unwrap());
    author.set("c", "1").await;
    assert_eq!(author.until_closed().await, Some(1013));
    assert_eq!(watcher.until_closed().await, Some(1013));
    assert!(log.open(&room()).await.unwrap().is_none(), "no second life has begun");
    let url = server.url("r");
    author.reconnect(&url, None).await;
    author.sync().await;
    watcher.reconnect(&url, None).await;
    watcher.sync().await;
    for key in ["a", "b", "c"] {
        watcher.until_set(key, "1").await;
    }
    assert_eq!(kinds(&log).await[..2], [Kind::Genesis, Kind::Revive]);
    server.stop().await;
}

//! Two lives of one room name, through real sockets and a log of the test's own: what comes back
//! after a room has expired, what is refused, and what happens when several come at once. Rules R13 to
//! R20 of docs/RULES.md; `src/generation/tests.rs` has the shapes of forged markers one by one.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod craft;
mod generations_races;
mod generations_world;
mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use craft::{At, Blocks, blocks};
use generations_world::{append_elsewhere, holder, kinds, old_board, room, twin, whole};
use harness::Server;
use ruang::ids::Generation;
use ruang::limits::UPDATE_BYTES_MAX;
use ruang::log::Log;
use ruang::log::memory::{Damage, MemoryLog};
use ruang::log::record::{Kind, genesis_update};
use ruang::room::RoomsOptions;
use ruang::wire::y_websocket;
use yrs::{Text, Transact};

/// [R13, R15] A room with content of its own: a copy of another life is refused with 4409 at its
/// Step1, in an Update and in a Step2. Nothing of it is stored, nothing of the room is sent to it,
/// and those who are in the room notice nothing.
#[tokio::test]
async fn another_life_is_refused() {
    let old = old_board(&["a", "b"]).await;
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(Arc::clone(&log)).await;
    let (mut author, mut watcher) = (server.join("r").await, server.join("r").await);
    author.set("new", "1").await;
    watcher.until_set("new", "1").await;

    let mut refused = holder(&server, &old, false).await;
    refused.send(y_websocket::sync_step1(&refused.state_vector())).await;
    assert_eq!(refused.until_closed().await, Some(4409));
    assert!(refused.received.is_empty() && refused.asked.is_empty() && refused.presence.is_empty());

    // The copy is loaded after the Step1, as y-indexeddb may do it: then it comes as an Update.
    for (how, message) in
        [("Update", y_websocket::update(&whole(&old))), ("Step2", y_websocket::sync_step2(&whole(&old)))]
    {
        let mut late = server.join("r").await;
        late.send(message.clone()).await;
        // What it sends behind that is not stored either.
        let edit = late.set_locally("behind", "x");
        let _ = late.send(y_websocket::update(&edit)).await;
        assert_eq!(late.until_closed().await, Some(4409), "{how}");
        let mut unsynced = server.connect("r").await;
        unsynced.send(message).await;
        assert_eq!(unsynced.until_closed().await, Some(4409), "{how} without a Step1");
    }

    author.set("new", "2").await;
    watcher.until_set("new", "2").await;
    assert_eq!((watcher.get("a"), watcher.get("behind")), (None, None));
    assert_eq!(kinds(&log).await, [Kind::Genesis, Kind::Update, Kind::Update]);
    assert_eq!(server.app.metrics.sessions_of_other_lives.get(), 5);

    // The set follows from the log.
    let again = Server::start(log).await;
    let mut refused = holder(&again, &old, false).await;
    refused.send(y_websocket::sync_step1(&refused.state_vector())).await;
    assert_eq!(refused.until_closed().await, Some(4409));
    let mut back = holder(&again, &watcher.crash(), false).await;
    back.sync().await;
    again.stop().await;
    server.stop().await;
}

/// [R16] An expired room: a fresh phone joins first, then the laptop with the board. The board is
/// back whole, in one record that says so, behind a new marker; the phone gets all of it; both are of
/// the room from then on, over a restart too, and so is whoever comes with the old marker alone.
#[tokio::test]
async fn a_returning_editor_revives_an_expired_room() {
    let old = old_board(&["a", "b", "c"]).await;
    let stale = twin(&old);
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(Arc::clone(&log)).await;
    let mut phone = server.join("r").await;
    let mut laptop = holder(&server, &old, true).await;
    laptop.sync().await;
    for key in ["a", "b", "c"] {
        phone.until_set(key, "old").await;
    }
    laptop.until("the ack", |laptop| laptop.acked == 1).await;
    assert_eq!(kinds(&log).await, [Kind::Genesis, Kind::Revive]);
    laptop.set("d", "new").await;
    phone.until_set("d", "new").await;
    laptop.until("the new marker", |laptop| whole(&laptop.doc).len() == whole(&phone.doc).len()).await;

    let again = Server::start(Arc::clone(&log)).await;
    for doc in [laptop.crash(), phone.crash(), stale] {
        let mut back = holder(&again, &doc, false).await;
        back.sync().await;
        back.until_set("d", "new").await;
        back.set("e", "more").await;
    }
    assert_eq!(kinds(&log).await[..3], [Kind::Genesis, Kind::Revive, Kind::Update]);
    again.stop().await;
    server.stop().await;
}

/// [R16] The old life may come in several messages: an edit made before the server has asked waits
/// (it would begin another life) and comes again with the Step2; what follows is ordinary. All acked.
#[tokio::test]
async fn an_old_life_comes_in_several_messages() {
    let old = old_board(&["a"]).await;
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(Arc::clone(&log)).await;
    let mut laptop = holder(&server, &old, true).await;
    laptop.send(y_websocket::sync_step1(&laptop.state_vector())).await;
    laptop.set("early", "1").await;
    laptop.until("the server's Step1", |laptop| !laptop.asked.is_empty()).await;
    assert!(log.open(&room()).await.unwrap().is_none(), "nothing is stored before its life is");
    let step2 = y_websocket::sync_step2(&whole(&laptop.doc));
    laptop.send(step2).await;
    laptop.set("late", "1").await;
    laptop.until("three acks", |laptop| laptop.acked == 3).await;
    let newcomer = server.join("r").await;
    for (key, value) in [("a", "old"), ("early", "1"), ("late", "1")] {
        assert_eq!(newcomer.get(key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(kinds(&log).await, [Kind::Genesis, Kind::Revive, Kind::Update]);
    server.stop().await;
}

/// [R16, G1] A copy that is loaded after the join, and so comes as one Update, revives as well, also if it
/// is larger than any edit.
#[tokio::test]
async fn an_old_life_comes_as_an_update() {
    let old = old_board(&["a"]).await;
    let notes = old.get_or_insert_text("notes");
    notes.push(&mut old.transact_mut(), &"x".repeat(UPDATE_BYTES_MAX));
    assert!(whole(&old).len() > UPDATE_BYTES_MAX);
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let (mut late, mut phone) = (server.join("r").await, server.join("r").await);
    late.send(y_websocket::update(&whole(&old))).await;
    phone.until_set("a", "old").await;
    server.stop().await;
}

/// [R16, R17] A room that holds nothing but markers adopts: the set grows, everyone who is there gets
/// the marker with the content, and the record says what it is.
#[tokio::test]
async fn a_room_without_content_adopts() {
    let old = old_board(&["a"]).await;
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let earlier = genesis_update(&room(), Generation { nonce: 4_711 });
    append_elsewhere(&log, 815, 1, &[earlier]).await;
    let server = Server::start(Arc::clone(&log)).await;
    let mut phone = server.join("r").await;
    let mut laptop = holder(&server, &old, false).await;
    laptop.sync().await;
    phone.until_set("a", "old").await;
    assert_eq!(kinds(&log).await, [Kind::Genesis, Kind::Update, Kind::Revive]);
    laptop.until("all three markers", |laptop| whole(&laptop.doc).len() == whole(&phone.doc).len()).await;
    let mut back = holder(&server, &phone.crash(), false).await;
    back.sync().await;
    back.set("b", "1").await;
    laptop.until_set("b", "1").await;
    server.stop().await;
}

/// [R18] A deleted room: nobody who was in it brings it back, not even into a new room of the name.
#[tokio::test]
async fn a_deleted_room_stays_deleted() {
    let old = old_board(&["a"]).await;
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    log.delete(&room()).await.unwrap();
    let server = Server::start(Arc::clone(&log)).await;
    let refuse = async |why: &str| {
        let mut laptop = holder(&server, &old, false).await;
        laptop.send(y_websocket::sync_step1(&laptop.state_vector())).await;
        assert_eq!(laptop.until_closed().await, Some(4409), "{why}");
        let mut late = server.join("r").await;
        late.send(y_websocket::update(&whole(&old))).await;
        assert_eq!(late.until_closed().await, Some(4409), "{why}, as an Update");
    };
    refuse("deleted").await;
    let mut author = server.join("r").await;
    author.set("new", "1").await;
    let mut newcomer = server.join("r").await;
    newcomer.until_set("new", "1").await;
    refuse("deleted, and begun anew").await;
    server.stop().await;
}

/// [R13] The way back: the board is saved under another name, where its markers mean nothing; there
/// it is a room as any other, with the same content.
#[tokio::test]
async fn a_refused_board_is_saved_as_a_new_room() {
    let old = old_board(&["a", "b"]).await;
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut saver = server.connect_for_acks("r-2").await;
    saver.doc = old;
    saver.sync().await;
    saver.until("the ack", |saver| saver.acked == 1).await;
    let mut friend = server.join("r-2").await;
    assert_eq!(friend.get("b").as_deref(), Some("old"));
    friend.set("c", "1").await;
    saver.until_set("c", "1").await;
    saver.reconnect(&server.url("r-2"), None).await;
    saver.sync().await;
    server.stop().await;
}

/// [R14] Forged markers, and blocks behind the room's own, through a socket: each ends its session,
/// and the room lives. Sixty thousand markers in one message are refused as fast as one.
#[tokio::test]
async fn forged_markers_end_their_session_only() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    append_elsewhere(&log, 815, 1, &[blocks(Blocks::of(7, 0).one(At::Root("a")))]).await;
    let server = Server::start(Arc::clone(&log)).await;
    let (mut honest, mut watcher) = (server.join("r").await, server.join("r").await);
    let id = |nonce| Generation { nonce }.marker_client(&room());
    let marker = |nonce: u32| Blocks::of(id(nonce), 0).gc(nonce.into());
    let vector = |entries: &[(u64, u64)]| {
        let mut out = Vec::new();
        craft::number(&mut out, entries.len() as u64);
        for (client, clock) in entries {
            craft::number(&mut out, *client);
            craft::number(&mut out, *clock);
        }
        y_websocket::sync_step1(&out)
    };
    let many: Vec<(u64, u64)> = (1..60_000).map(|nonce| (id(nonce), nonce.into())).collect();
    let text = At::Root("t");
    let cases = [
        ("a marker", 4409, y_websocket::update(&blocks(marker(9)))),
        ("a marker as text", 4409, y_websocket::update(&blocks(Blocks::of(id(4), 0).text(text, "four")))),
        ("a marker in pieces", 4409, y_websocket::update(&blocks(Blocks::of(id(4), 0).gc(2).gc(2)))),
        (
            "cut to a marker",
            4400,
            y_websocket::update(&blocks(Blocks::of(id(4), 0).text(text, "four").one(At::After((1, 1))))),
        ),
        ("behind the room's", 4400, y_websocket::update(&blocks(Blocks::of(id(815), 815).gc(1)))),
        ("as one's own id", 4400, y_websocket::sync_step2(&blocks(Blocks::of(id(815), 815).one(text)))),
        ("behind the room's, in a Step1", 4400, vector(&[(id(815), 816)])),
        ("many in a Step1", 4409, vector(&many)),
        ("many in a Step2", 4409, y_websocket::sync_step2(&craft::update((1..60_000).map(marker), &[]))),
    ];
    for (case, code, message) in cases {
        let mut forger = server.connect("r").await;
        forger.send(message).await;
        assert_eq!(forger.until_closed().await, Some(code), "{case}");
    }
    honest.set("k", "v").await;
    watcher.until_set("k", "v").await;
    assert_eq!(kinds(&log).await, [Kind::Genesis, Kind::Update, Kind::Update]);
    assert_eq!(server.app.metrics.rooms_failed.get(), 0);
    server.stop().await;
}

/// [R20, R11] A revive record, and with it its markers, is damaged. Who was in the room holds a marker
/// of this life as well: the copy is let in, and brings back what is lost.
#[tokio::test]
async fn a_damaged_revive_record_is_brought_back() {
    let old = old_board(&["a", "b"]).await;
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let server = Server::start(Arc::clone(&log)).await;
    let (mut laptop, mut phone) = (holder(&server, &old, false).await, server.join("r").await);
    laptop.sync().await;
    phone.until_set("b", "old").await;
    phone.set("c", "1").await;
    laptop.until_set("c", "1").await;
    assert!(faults.damage(&room(), 2, Damage::FlipBit(70)));

    let again = Server::start(Arc::clone(&log)).await;
    let mut newcomer = again.join("r").await;
    assert_eq!((newcomer.get("a"), newcomer.get("b")), (None, None), "the record is lost");
    newcomer.set("d", "1").await;
    let mut phone = holder(&again, &phone.crash(), false).await;
    phone.sync().await;
    for key in ["a", "b"] {
        newcomer.until_set(key, "old").await;
    }
    let mut laptop = holder(&again, &laptop.crash(), false).await;
    laptop.sync().await;
    laptop.until_set("d", "1").await;
    again.stop().await;
    server.stop().await;
}

/// [R16, S4] Thirty days offline, 10,000 edits: a room that is kept merges them with what others did
/// meanwhile; one that has expired is revived with all of them. The log's clock is the test's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_days_offline_lose_nothing() {
    const DAY_MS: u64 = 24 * 3_600_000;
    for expires in [false, true] {
        let now = Arc::new(AtomicU64::new(1_700_000_000_000));
        let clock = Arc::clone(&now);
        let (log, _) = MemoryLog::with_clock(Arc::new(move || clock.load(Ordering::SeqCst)));
        let log: Arc<dyn Log> = Arc::new(log);
        let options = RoomsOptions {
            idle_unload: Duration::ZERO,
            ttl: expires.then_some(Duration::from_secs(86_400)),
            ..RoomsOptions::default()
        };
        let server = Server::start_with(Arc::clone(&log), options).await;
        let mut phone = server.join("r").await;
        phone.set("before", "1").await;
        let mut laptop = server.join("r").await;
        laptop.until_set("before", "1").await;
        let (laptop, phone) = (laptop.crash(), phone.crash());
        while server.app.rooms.open_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut offline = server.connect("elsewhere").await;
        offline.doc = laptop;
        for n in 0..10_000 {
            now.fetch_add(30 * DAY_MS / 10_000, Ordering::SeqCst);
            offline.set_locally(&format!("k{}", n % 2_000), &n.to_string());
        }
        if expires {
            let deadline = log.open(&room()).await.unwrap().unwrap().deadline_ms.unwrap();
            assert!(log.expire(&room(), deadline).await.unwrap(), "it is long due");
        } else {
            let mut friend = server.join("r").await;
            friend.set("meanwhile", "1").await;
            let mut check = server.join("r").await;
            check.until_set("meanwhile", "1").await;
        }
        let mut back = holder(&server, &offline.crash(), true).await;
        back.sync().await;
        back.until("the ack", |back| back.acked == 1).await;
        let newcomer = server.join("r").await;
        for n in 8_000..10_000 {
            let key = format!("k{}", n % 2_000);
            assert_eq!(newcomer.get(&key), Some(n.to_string()), "expires: {expires}");
        }
        assert_eq!(newcomer.get("before").as_deref(), Some("1"));
        assert_eq!(newcomer.get("meanwhile").is_some(), !expires);
        // The phone has slept as long, and is of both.
        let mut phone = holder(&server, &phone, false).await;
        phone.sync().await;
        phone.until_set("k1999", "9999").await;
        let expected = if expires { Kind::Revive } else { Kind::Update };
        assert_eq!(kinds(&log).await.get(1), Some(&expected));
        server.stop().await;
    }
}

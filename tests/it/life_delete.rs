//! Deletion: everyone is sent away, and nothing of the old life is seen again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ruang::clock::system_clock;
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::{Log, LogError};
use ruang::room::RoomsOptions;
use ruang::wire::lib0::{write_buffer, write_var_uint};

use crate::harness::{Client, Server};
use crate::life_support::{Person, TestClocks, head, leave_one_edit, request, room, rooms};

async fn server() -> (Server, Arc<dyn Log>, Faults) {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    (Server::start_with(Arc::clone(&log), RoomsOptions::default()).await, log, faults)
}

/// Writes until the server closes; the close code.
async fn write_until_closed(mut client: Client, who: usize) -> Option<u16> {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message as Frame;
    for n in 0.. {
        let update = client.set_locally(&format!("old-{who}-{n}"), "x");
        let message = ruang::wire::y_websocket::update(&update);
        if client.socket.send(Frame::Binary(message)).await.is_err() {
            break;
        }
        if let Err(code) = client.step(Duration::from_millis(2)).await {
            return code;
        }
    }
    loop {
        if let Err(code) = client.step(Duration::from_secs(20)).await {
            return code;
        }
    }
}

/// [H28] Twenty clients write as fast as they can when the room is deleted: all are closed with 4409,
/// the room is gone from the log, and from then on nothing of it is seen: not in the log, not by those
/// who come. They begin another life. Asked again, there is nothing to delete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_old_life_is_seen_again() {
    let (server, log, _) = server().await;
    let name = room("a/board");
    let writers = join_all((0..20).map(|_| server.join("a%2Fboard"))).await;
    let writing: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(who, client)| tokio::spawn(write_until_closed(client, who)))
        .collect();
    let mut reader = server.join("a%2Fboard").await;
    reader.until("edits", |reader| reader.received.len() > 20).await;
    let (status, _) = request(server.address, "DELETE", "/api/v1/rooms/a%2Fboard").await;
    assert_eq!(status, 204);
    assert_eq!(log.open(&name).await.unwrap(), None);
    assert!(log.tombstone(&name).await.unwrap().is_some());

    let mut newcomer = server.join_for_acks("a%2Fboard").await;
    newcomer.set("new", "life").await;
    newcomer.until("the ack", |newcomer| newcomer.acked == 2).await;
    for closed in join_all(writing).await {
        assert_eq!(closed.unwrap(), Some(4409));
    }
    assert_eq!(reader.until_closed().await, Some(4409));
    let mut late = server.join("a%2Fboard").await;
    late.until_set("new", "life").await;
    for client in [&newcomer, &late] {
        let keys = keys(client);
        assert_eq!(keys, ["new"], "nothing of the old life");
    }
    let records = log.read(&name, 0, 100).await.unwrap().len();
    assert_eq!(records, 2, "genesis and one edit");
    let (status, _) = request(server.address, "DELETE", "/api/v1/rooms/a%2Fboard").await;
    assert_eq!(status, 204, "the new life can be deleted too");
    let (status, body) = request(server.address, "DELETE", "/api/v1/rooms/a%2Fboard").await;
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("no_such_room")));
    assert_eq!(server.app.rooms.open_count(), 0);
    server.stop().await;
}

fn keys(client: &Client) -> Vec<String> {
    use yrs::{Map, Transact};
    let map = client.doc.get_or_insert_map("m");
    let txn = client.doc.transact();
    map.keys(&txn).map(ToString::to_string).collect()
}

/// [H29] An append is under way when the room is deleted. The deletion waits for it; the edit is acked,
/// as it was stored, and is gone with the room. An edit that came behind it is neither stored nor acked.
#[tokio::test]
async fn what_is_under_way_is_decided_first() {
    let (server, log, faults) = server().await;
    let mut author = server.join_for_acks("r").await;
    author.set("a", "1").await;
    author.until("two acks", |author| author.acked == 2).await;
    let held = faults.hold_appends();
    author.set("b", "2").await;
    held.arrived(1).await;
    let rooms = Arc::clone(&server.app.rooms);
    let mut deleting = tokio::spawn(async move { rooms.delete(&room("r")).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut deleting).await.is_err(), "it waits");
    author.set("c", "3").await;
    let rooms = Arc::clone(&server.app.rooms);
    let mut joining = tokio::spawn(async move { Person::join(&rooms, &room("r")).await.keys().await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut joining).await.is_err(), "joins wait");
    held.release();
    assert_eq!(deleting.await.unwrap(), Ok(true));
    assert!(joining.await.unwrap().is_empty());
    assert_eq!(author.until_closed().await, Some(4409));
    assert_eq!(author.acked, 3, "stored, then deleted with the rest");
    assert_eq!(log.open(&room("r")).await.unwrap(), None);
    server.stop().await;
}

/// [H29] The first batch of a room hangs in the store: it could begin another life after the deletion,
/// so the room is not deleted, and says so. A later batch that hangs cannot: it is refused after that.
#[tokio::test(start_paused = true)]
async fn no_append_begins_another_life() {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let (rooms, name) = (rooms(Arc::clone(&log), TestClocks::new().options()), room("r"));
    let mut person = Person::join(&rooms, &name).await;
    let held = faults.hold_appends();
    person.write("first").await;
    held.arrived(1).await;
    let refused = rooms.delete(&name).await;
    println!("{refused:?}");
    assert!(matches!(refused, Err(LogError::Unavailable(_))));
    held.release();
    let told = person.member.news().post.close.unwrap();
    assert_eq!(told.code, 1013, "come back: the room is as it was");

    let mut person = Person::join(&rooms, &name).await;
    person.set("second").await;
    let held = faults.hold_appends();
    person.write("third").await;
    held.arrived(1).await;
    assert_eq!(rooms.delete(&name).await, Ok(true));
    assert_eq!(person.member.news().post.close.unwrap().code, 4409);
    held.release();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(head(&log, &name).await, None, "the append that hung has begun nothing");
}

/// [H29] A room ends by a fault while its first batch is tried again and again: after that the batch is
/// not tried again, so it cannot come back after a deletion.
#[tokio::test(start_paused = true)]
async fn a_first_batch_is_not_tried_behind_the_back() {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let (rooms, name) = (rooms(Arc::clone(&log), TestClocks::new().options()), room("r"));
    let mut person = Person::join(&rooms, &name).await;
    faults.fail_appends(60, LogError::Unavailable("a test".to_owned()));
    person.write("first").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("the instance stops: the room gives up after ten seconds");
    rooms.shut_down().await;
    println!("another instance deletes the name; the store works again");
    log.delete(&name).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(head(&log, &name).await, None);
    assert_eq!(log.rooms(None, 10).await.unwrap(), []);
}

/// [H28] The store cannot delete: nobody is told that the room is deleted, all may come back, and find
/// it as it was. A lost answer is asked for again.
#[tokio::test]
async fn a_deletion_that_fails_changes_nothing() {
    let (server, _, faults) = server().await;
    let mut author = server.join_for_acks("r").await;
    author.set("k", "v").await;
    author.until("two acks", |author| author.acked == 2).await;
    faults.fail_change(0, LogError::Fatal("a test".to_owned()));
    let (status, body) = request(server.address, "DELETE", "/api/v1/rooms/r").await;
    println!("{status} {body}");
    assert_eq!((status, body["error"]["code"].as_str()), (500, Some("store_refuses")));
    assert_eq!(author.until_closed().await, Some(1013));
    let mut again = server.join("r").await;
    again.until_set("k", "v").await;
    faults.lose_change_reply(0);
    let (status, _) = request(server.address, "DELETE", "/api/v1/rooms/r").await;
    assert_eq!(status, 204, "it existed, though the answer to the first try was lost");
    assert_eq!(again.until_closed().await, Some(4409));
    server.stop().await;
}

/// [H28] A deletion goes on when the client that asked for it goes away; two at once are one after the
/// other; and a room that nothing was stored in has nothing to delete, and lets its people return.
#[tokio::test]
async fn deletions_finish_and_take_turns() {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let (rooms, name) = (rooms(Arc::clone(&log), TestClocks::new().options()), room("r"));
    leave_one_edit(&rooms, &name).await;
    let held = faults.hold_changes();
    let asking = tokio::spawn({
        let (rooms, name) = (Arc::clone(&rooms), name.clone());
        async move { rooms.delete(&name).await }
    });
    held.arrived(1).await;
    asking.abort();
    let second = tokio::spawn({
        let (rooms, name) = (Arc::clone(&rooms), name.clone());
        async move { rooms.delete(&name).await }
    });
    held.release();
    assert_eq!(second.await.unwrap(), Ok(false), "the first one has done it");
    let mut person = Person::join(&rooms, &name).await;
    assert!(person.keys().await.is_empty());
    assert_eq!(rooms.delete(&name).await, Ok(false));
    assert_eq!(person.member.news().post.close.unwrap().code, 1013);
    rooms.shut_down().await;
    assert!(matches!(rooms.delete(&name).await, Err(LogError::Unavailable(_))));
}

fn shown(client: u64, state: &str) -> Vec<u8> {
    let mut update = Vec::new();
    for number in [1, client, 1] {
        write_var_uint(&mut update, number);
    }
    write_buffer(&mut update, state.as_bytes());
    update
}

/// [R33] [H28] A room is busy (its store has lost a record, and it heals once an append is decided) for longer than a
/// deletion waits: that fails, and the room stays the only one of its name. Who joins then is with those who are there, and the
/// deletion can be asked for again, whether the room is still busy or not.
#[tokio::test(start_paused = true)]
async fn a_room_too_busy_to_be_deleted_stays_the_only_one() {
    let (log, faults) = MemoryLog::for_instances(system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let (rooms, name) = (rooms(Arc::clone(&log), RoomsOptions::default()), room("r"));
    let open = || (rooms.open_count(), rooms.metrics().rooms_open.get(), rooms.sessions(&name));
    let mut ann = Person::join(&rooms, &name).await;
    ann.set("one").await;
    ann.set("two").await;
    ann.member.announce(&shown(7, r#"{"name":"Ann"}"#)).unwrap();

    let held = faults.hold_appends();
    ann.write("three").await;
    held.arrived(1).await;
    faults.roll_back(&name, 2);
    faults.check_heads();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for time in ["first", "second"] {
        let refused = rooms.delete(&name).await;
        println!("the {time} deletion of a busy room: {refused:?}; open: {:?}", open());
        assert!(matches!(refused, Err(LogError::Unavailable(_))));
        assert_eq!(open(), (1, 1, 1), "it is there as before");
    }
    let joining = tokio::spawn({
        let (rooms, name) = (Arc::clone(&rooms), name.clone());
        async move { Person::join(&rooms, &name).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("the store decides the append");
    held.release();
    let mut bob = joining.await.unwrap();
    println!("open, with two people: {:?}", open());
    assert_eq!(open(), (1, 1, 2));
    assert_eq!(bob.keys().await, ["one", "three", "two"], "what the store had lost too");
    let everyone = bob.member.everyone().expect("Ann is shown");
    assert!(everyone.windows(3).any(|bytes| bytes == b"Ann"));
    assert!(ann.member.news().post.close.is_none() && bob.member.news().post.close.is_none());

    assert_eq!(rooms.delete(&name).await, Ok(true));
    for person in [&mut ann, &mut bob] {
        assert_eq!(person.member.news().post.close.unwrap().code, 4409);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("deleted; open: {:?}", open());
    assert_eq!(open(), (0, 0, 0));
    assert_eq!(head(&log, &name).await, None);
}

//! Presence as three people see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ruang::gate::parse_presence;
use ruang::limits::PRESENCE_GRACE_MS;
use ruang::log::memory::MemoryLog;
use ruang::wire::lib0::{write_buffer, write_var_uint};
use ruang::wire::y_websocket;

use crate::harness::{Client, Server};

/// An awareness update of one state, `null` for none, as a message.
fn announcement(client: u64, clock: u64, state: &str) -> Bytes {
    let mut update = Vec::new();
    [1, client, clock].into_iter().for_each(|number| write_var_uint(&mut update, number));
    write_buffer(&mut update, state.as_bytes());
    y_websocket::presence(&update)
}

/// What a client has heard of one person: clock and state, in order.
fn heard(client: &Client, id: u64) -> Vec<(u32, Option<String>)> {
    let entries = client.presence.iter().flat_map(|update| parse_presence(update).unwrap());
    entries
        .filter(|entry| entry.client == id)
        .map(|entry| (entry.clock, entry.state.map(str::to_owned)))
        .collect()
}

fn knows(id: u64, clock: u32, here: bool) -> impl Fn(&Client) -> bool {
    move |client| heard(client, id).last().is_some_and(|(at, state)| (*at, state.is_some()) == (clock, here))
}

/// Three people who know of each other: ids 1, 2 and 3, clock 1.
async fn three(server: &Server) -> [Client; 3] {
    let mut people = [server.join("r").await, server.join("r").await, server.join("r").await];
    for (id, person) in (1..).zip(&mut people) {
        person.send(announcement(id, 1, r#"{"user":{"name":"a"}}"#)).await;
    }
    for (me, person) in (1..).zip(&mut people) {
        for other in (1..=3).filter(|other| *other != me) {
            person.until("the others", knows(other, 1, true)).await;
        }
    }
    people
}

/// [R8] Who says goodbye is gone at once, at the clock of the goodbye.
#[tokio::test]
async fn a_goodbye_is_passed_on_at_once() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let [mut one, mut two, mut three] = three(&server).await;
    one.send(announcement(1, 2, "null")).await;
    // Passed on as it came: had the server removed it after the grace, the clock would be 1.
    two.until("the goodbye", knows(1, 2, false)).await;
    three.until("the goodbye", knows(1, 2, false)).await;
    let newcomer = server.join("r").await;
    drop(one);
    let mut newcomer = newcomer;
    newcomer.until("who is here", |newcomer| !newcomer.presence.is_empty()).await;
    assert_eq!(heard(&newcomer, 1), [], "a newcomer does not hear of those who have gone");
    server.stop().await;
}

/// [R8] Who crashes is removed after the grace, at its own clock, so that a return is newer.
#[tokio::test]
async fn a_crash_is_passed_on_after_the_grace() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let [one, mut two, mut three] = three(&server).await;
    let crashed = Instant::now();
    drop(one.crash());
    two.until("the removal", knows(1, 1, false)).await;
    assert!(crashed.elapsed() >= Duration::from_millis(PRESENCE_GRACE_MS), "{:?}", crashed.elapsed());
    three.until("the removal", knows(1, 1, false)).await;
    let mut back = server.join("r").await;
    back.send(announcement(1, 2, "{}")).await;
    two.until("the return", knows(1, 2, true)).await;
    three.until("the return", knows(1, 2, true)).await;
    server.stop().await;
}

/// [R8] Who crashes and returns within the grace was never away.
#[tokio::test]
async fn a_short_absence_is_not_seen() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let [one, mut two, _three] = three(&server).await;
    let crashed = Instant::now();
    drop(one.crash());
    let mut back = server.join("r").await;
    back.send(announcement(1, 2, "{}")).await;
    two.until("the return", knows(1, 2, true)).await;
    if crashed.elapsed() < Duration::from_millis(PRESENCE_GRACE_MS / 2) {
        two.hears_anything(Duration::from_millis(PRESENCE_GRACE_MS + 500)).await;
        assert!(heard(&two, 1).iter().all(|(_, state)| state.is_some()), "{:?}", heard(&two, 1));
    }
    server.stop().await;
}

/// [R8] Clients send back what they receive; nobody hears of it again. A removal by someone else
/// changes nothing.
#[tokio::test]
async fn echoes_and_foreign_removals_end_here() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let [mut one, mut two, mut three] = three(&server).await;
    one.send(announcement(1, 2, r#"{"cursor":1}"#)).await;
    two.until("the state", knows(1, 2, true)).await;
    three.until("the state", knows(1, 2, true)).await;
    for _ in 0..200 {
        two.send(announcement(1, 2, r#"{"cursor":1}"#)).await;
        three.send(announcement(1, 2, r#"{"cursor":1}"#)).await;
        three.send(announcement(1, 1, "{}")).await;
        two.send(announcement(1, 2, "null")).await;
        three.send(announcement(1, 9, "null")).await;
    }
    // What comes after all of it shows that all of it was dealt with.
    two.send(announcement(2, 2, "{}")).await;
    three.send(announcement(3, 2, "{}")).await;
    for person in [&mut one, &mut two, &mut three] {
        person
            .until("the last states", |person| knows(2, 2, true)(person) && knows(3, 2, true)(person))
            .await;
        let of_one = heard(person, 1);
        assert!(of_one.iter().all(|(_, state)| state.is_some()), "nobody was removed: {of_one:?}");
        assert!(of_one.iter().filter(|(clock, _)| *clock == 2).count() <= 1, "heard once: {of_one:?}");
    }
    let mut newcomer = server.join("r").await;
    newcomer.until("everyone", knows(1, 2, true)).await;
    server.stop().await;
}

/// [S7] On a socket that hears nothing else a keepalive comes before clients give up (30 s).
#[tokio::test]
async fn a_silent_socket_is_kept_alive() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut silent = server.join("r").await;
    println!("waiting for a keepalive, up to 30 s");
    silent.presence.clear();
    let deadline = Instant::now() + Duration::from_secs(30);
    while silent.presence.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        assert_eq!(silent.step(left).await, Ok(true), "a keepalive within 30 s");
    }
    assert_eq!(silent.presence[0][..], [0], "it says nothing of anyone");
    server.stop().await;
}

//! How many there may be.

use futures_util::future::join_all;
use ruang::caller::{Caller, Role};
use ruang::room::{Entry, Outlet};
use ruang::throttle::Limits;
use std::sync::Arc;

use crate::harness::{Client, Server};
use crate::limits_support::{behind_loopback, server, server_behind};

const FROM: &str = "x-forwarded-for";

async fn connect(server: &Server, room: &str, from: &str) -> Client {
    Client::connect_with(&server.url(room), &[(FROM, from)]).await.expect("a socket")
}

async fn join(server: &Server, room: &str, from: &str) -> Client {
    let mut client = connect(server, room, from).await;
    client.sync().await;
    client
}

/// The code and the reason with which a socket ends.
async fn refused(mut client: Client) -> (u16, String) {
    use futures_util::StreamExt;
    use tokio_tungstenite::tungstenite::Message;
    loop {
        match client.socket.next().await {
            Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), close.reason.to_string()),
            Some(Ok(_)) => {}
            other => panic!("no close: {other:?}"),
        }
    }
}

/// [O43] With the limits as they are: forty people behind one address join within a minute, each with a board of
/// its own besides; then all reload, twice. Nobody is refused, nobody is slowed, everybody sees everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_is_never_throttled() {
    const PEOPLE: usize = 40;
    let server = server(Limits::default()).await;
    let office = "203.0.113.7";
    let mut round = Vec::new();
    for reload in 0..3 {
        drop(std::mem::take(&mut round));
        let all = (0..PEOPLE).map(|person| {
            let server = &server;
            async move {
                let mut client = join(server, "retro", office).await;
                let mut own = join(server, &format!("notes-{person}"), office).await;
                for card in 0..20 {
                    client.set(&format!("{reload}-{person}-{card}"), "x").await;
                }
                own.set("own", "x").await;
                (client, own)
            }
        });
        round = join_all(all).await;
        let cards = (reload + 1) * PEOPLE * 20;
        for (client, _) in &mut round {
            client
                .until("every card", |client| {
                    use yrs::{Map, Transact};
                    let map = client.doc.get_or_insert_map("m");
                    map.len(&client.doc.transact()) as usize == cards
                })
                .await;
        }
        println!("round {reload}: {PEOPLE} people see {cards} cards");
    }
    let metrics = server.app.throttle.metrics();
    let limits = ["sockets", "sockets_per_address", "sessions", "sessions_per_room", "new_rooms"];
    for limit in [&limits[..], &["new_rooms_per_address", "sessions_per_user"]].concat() {
        assert_eq!(metrics.refusals(limit), 0, "{limit}");
    }
    assert_eq!((metrics.sockets_slowed.get(), metrics.sockets_too_fast.get()), (0, 0));
}

/// [O40] An address has so many sockets; the next one is told so and can come back, others are let in, and who
/// leaves makes room. What a client writes into the list of proxies does not make it another address.
#[tokio::test]
async fn an_address_has_so_many_sockets() {
    let server = server(Limits { sockets_per_address: 2, ..Limits::default() }).await;
    let first = join(&server, "r", "203.0.113.7").await;
    let _second = join(&server, "r", "198.51.100.1, 203.0.113.7").await;
    for spoofed in ["203.0.113.7", "198.51.100.2, 203.0.113.7", "127.0.0.1, 203.0.113.7", "x,203.0.113.7"] {
        let (code, reason) = refused(connect(&server, "r", spoofed).await).await;
        println!("{spoofed}: {code} {reason}");
        assert_eq!(code, 1013);
        assert!(reason.contains("2 connections from one address"), "{reason}");
    }
    let _other = join(&server, "r", "203.0.113.8").await;
    let _six = join(&server, "r", "2001:db8::1").await;
    let _of_same_network = join(&server, "r", "2001:db8::2").await;
    assert_eq!(refused(connect(&server, "r", "2001:db8::3").await).await.0, 1013);
    assert_eq!(server.app.throttle.metrics().refusals("sockets_per_address"), 5);
    let text = server.app.metrics.render();
    assert!(text.contains("ruang_refusals_total{limit=\"sockets_per_address\"} 5"), "{text}");
    first.crash();
    let mut tries = 0;
    while refused_soon(&server).await {
        tries += 1;
        assert!(tries < 1_000, "the place does not come free");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Whether the address of the test above is still full.
async fn refused_soon(server: &Server) -> bool {
    let mut client = connect(server, "r", "203.0.113.7").await;
    let state_vector = client.state_vector();
    client.send(ruang::wire::y_websocket::sync_step1(&state_vector)).await;
    !matches!(client.step(crate::harness::PATIENCE).await, Ok(true))
}

/// [O40] Who comes from this machine, or through a proxy that does not say for whom, is not one address.
#[tokio::test]
async fn people_are_not_thrown_together() {
    let bounds = Limits { sockets_per_address: 1, new_rooms_per_address: 1, ..Limits::default() };
    let untrusting = server_behind(bounds, ruang::http::front::FrontOptions::default()).await;
    let own: Vec<Client> = join_all((0..5).map(|n| {
        let room = format!("own-{n}");
        let untrusting = &untrusting;
        async move { join(untrusting, &room, "203.0.113.7").await }
    }))
    .await;
    assert_eq!(own.len(), 5, "the header of who is no proxy changes nothing");
    let trusting = server_behind(bounds, behind_loopback()).await;
    for n in 0..5 {
        trusting.join(&format!("silent-{n}")).await;
    }
}

/// [O42] A room and a user have so many sessions. Other rooms and users are not affected.
#[tokio::test]
async fn rooms_and_users_have_so_many_sessions() {
    struct Nowhere;
    impl Outlet for Nowhere {
        fn offer(&self, _: &[u8]) -> usize {
            0
        }
    }
    let server = server(Limits { sessions_per_room: 3, sessions_per_user: 2, ..Limits::default() }).await;
    let _all = [server.join("full").await, server.join("full").await, server.join("full").await];
    let (code, reason) = refused(server.connect("full").await).await;
    assert_eq!((code, reason.contains("3 sessions in one room")), (1013, true), "{reason}");
    server.join("other").await;
    let entry = |user: &str| {
        let caller = Arc::new(Caller { user: Some(user.into()), ..Caller::anonymous(Role::Editor) });
        Entry { caller, ..Entry::anonymous(Arc::new(Nowhere)) }
    };
    let enter = async |user: &str, room: &str| {
        let joined = server.app.rooms.join(&room.parse().unwrap(), entry(user)).await;
        joined.map_err(|close| close.reason.to_string())
    };
    let first = enter("ana", "a").await.unwrap();
    let _second = enter("ana", "b").await.unwrap();
    let why = enter("ana", "c").await.err().unwrap();
    assert!(why.contains("2 sessions of one user"), "{why}");
    assert!(enter("ben", "c").await.is_ok());
    drop(first);
    assert!(enter("ana", "c").await.is_ok());
    assert_eq!(server.app.throttle.metrics().refusals("sessions_per_user"), 1);
}

/// [O44] An address begins so many rooms a minute. Rooms that are there are entered by everybody, rooms that
/// nobody has written to by those who are in them.
#[tokio::test]
async fn new_rooms_have_a_bound_and_old_ones_none() {
    let server = server(Limits { new_rooms_per_address: 2, ..Limits::default() }).await;
    let office = "203.0.113.7";
    let mut old = join(&server, "old", "198.51.100.1").await;
    old.set("is", "there").await;
    let _begun = [join(&server, "one", office).await, join(&server, "two", office).await];
    let (code, reason) = refused(connect(&server, "three", office).await).await;
    println!("{code} {reason}");
    assert_eq!((code, reason.contains("2 new rooms a minute from one address")), (1013, true), "{reason}");
    for room in ["one", "two", "old", "old"] {
        join(&server, room, office).await;
    }
    join(&server, "three", "198.51.100.2").await;
    assert_eq!(server.app.throttle.metrics().refusals("new_rooms_per_address"), 1);
}

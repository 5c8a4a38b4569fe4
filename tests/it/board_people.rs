//! Who takes part.

use std::sync::Arc;

use ruang::board::view::Participant;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use ruang::wire::lib0::{write_buffer, write_var_uint};
use ruang::wire::y_websocket;
use serde_json::json;
use yrs::{Map, Transact};

use crate::api_support::World;
use crate::auth_support::{auth, public_key};
use crate::board_support::{Boards, ROOM, add, options, state};
use crate::harness::{Client, Server, until};

fn awareness(client: u64, state: &str) -> Vec<u8> {
    let mut update = Vec::new();
    for number in [1, client, 1] {
        write_var_uint(&mut update, number);
    }
    write_buffer(&mut update, state.as_bytes());
    y_websocket::presence(&update).to_vec()
}

async fn write(client: &mut Client, key: &str) {
    let map = client.doc.get_or_insert_map("signatureColors");
    let update = {
        let mut transaction = client.doc.transact_mut();
        map.insert(&mut transaction, key, "#aabbcc");
        transaction.encode_update_v1()
    };
    client.send(y_websocket::update(&update)).await;
}

fn of<'a>(all: &'a [Participant], user: &str) -> Option<&'a Participant> {
    all.iter().find(|somebody| somebody.user == user)
}

/// [B41] Everyone who has written or is here takes part: over a socket, over HTTP, or silently; with name and color as presence
/// shows them, and when something came last.
#[tokio::test]
async fn everyone_who_wrote_or_is_here_takes_part() {
    let boards = Boards::start().await;
    boards.done("bob", &add("a", "1")).await;
    let mut ann = boards.join("ann").await;
    write(&mut ann, "x").await;
    let id = ann.doc.client_id().get();
    ann.send(awareness(id, r##"{"user":{"name":"Somebody else","color":"#123456"},"cursor":[1,2]}"##)).await;
    let vic = boards.join("vic").await;
    until("all are there", || async {
        let people = boards.shown().await.participants;
        of(&people, "ann").is_some_and(|ann| ann.color.is_some()) && people.len() == 3
    })
    .await;
    let board = boards.shown().await;
    for somebody in &board.participants {
        println!("{somebody:?}");
    }
    let here = of(&board.participants, "ann").unwrap();
    assert_eq!(
        (here.online, here.name.as_deref(), here.color.as_deref()),
        (true, Some("ann"), Some("#123456"))
    );
    assert!(here.last_seen >= board.last_updated);
    let wrote = of(&board.participants, "bob").unwrap();
    assert_eq!((wrote.online, wrote.name.as_deref()), (false, None));
    assert!(wrote.last_seen.is_some() && wrote.last_seen < here.last_seen);
    assert!(of(&board.participants, "vic").unwrap().online, "who only looks is here");
    let exported = state(&boards.get("/export?format=json").await.json());
    assert_eq!(exported.participants.len(), 2, "a file tells who wrote");
    drop(vic);
    drop(ann);
    until("they have left", || async {
        boards.shown().await.participants.iter().all(|somebody| !somebody.online)
    })
    .await;
    let left = boards.shown().await.participants;
    assert!(of(&left, "ann").unwrap().last_seen.is_some());
    boards.server.stop().await;
}

/// [B41] Who has written is known when the room is closed, when it is loaded again, on another instance, and when a snapshot is all
/// that is left of what they wrote.
#[tokio::test]
async fn writers_are_known_from_the_log_and_from_snapshots() {
    let (log, _) = MemoryLog::for_instances(ruang::clock::system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let boards = Boards::on(Arc::clone(&log)).await;
    for user in ["ann", "bob", "fay"] {
        boards.done(user, &add(user, "1")).await;
    }
    let users =
        |people: &[Participant]| people.iter().map(|somebody| somebody.user.clone()).collect::<Vec<_>>();
    let before = boards.shown().await.participants;
    assert_eq!(users(&before), ["ann", "bob", "fay"]);
    let other = Boards::on(Arc::clone(&log)).await;
    assert_eq!(other.shown().await.participants, before, "closed there, and walked");
    let mut eve = other.join("eve").await;
    write(&mut eve, "e").await;
    until("both know eve", || async {
        let (here, there) = (boards.shown().await.participants, other.shown().await.participants);
        users(&here) == ["ann", "bob", "eve", "fay"] && users(&there) == users(&here)
    })
    .await;
    drop(eve);
    let room = ROOM.parse().unwrap();
    let retention = ruang::history::Retention { age_ms: 0, bytes: 0 };
    let compacting = RoomsOptions { retention, ..options() };
    let server = Server::start_for_with(Arc::clone(&log), compacting, auth(&[public_key("EdDSA")])).await;
    let third = Boards { log: Arc::clone(&log), server };
    for round in 0..2 {
        third.done("fay", &add(&format!("round {round}"), "")).await;
        println!("{:?}", third.server.app.rooms.compact(&room).await.unwrap());
    }
    third.done("bob", &add("after", "")).await;
    let head = log.open(&room).await.unwrap().unwrap();
    println!("records up to {} are trimmed, of {}", head.base, head.last.seq);
    assert!(head.base >= 5, "what the others wrote is in snapshots only");
    let fourth = Boards::on(Arc::clone(&log)).await;
    for opened in [false, true] {
        if opened {
            drop(fourth.join("fay").await);
        }
        let people = fourth.shown().await.participants;
        println!("{people:?}");
        assert_eq!(users(&people), ["ann", "bob", "eve", "fay"]);
        assert_eq!(of(&people, "ann").unwrap().last_seen, None, "nobody knows when");
        assert!(of(&people, "bob").unwrap().last_seen.is_some(), "the log does");
    }
    for boards in [boards, other, third, fourth] {
        boards.server.stop().await;
    }
}

/// [B41] Where nobody has an identity those who are here take part under the name that they show.
#[tokio::test]
async fn without_identity_people_are_who_they_say() {
    let world = World::start().await;
    let mut gus = world.server.join("r").await;
    gus.send(awareness(7, r##"{"user":{"id":"u7","name":"Gus","color":"#00ff00"}}"##)).await;
    let mut pat = world.server.join("r").await;
    pat.send(awareness(8, r#"{"user":{"name":"Pat"}}"#)).await;
    pat.set("k", "v").await;
    let shown = async || world.get("r?as=board").await;
    until("they are shown", || async {
        let answer = shown().await;
        answer.status == 200 && answer.json()["participants"].as_array().unwrap().len() == 2
    })
    .await;
    let people = shown().await.json()["participants"].clone();
    println!("{people}");
    assert_eq!((&people[0]["user"], &people[0]["name"]), (&json!("Pat"), &json!("Pat")));
    assert_eq!(
        (&people[1]["user"], &people[1]["color"], &people[1]["online"]),
        (&json!("u7"), &json!("#00ff00"), &json!(true))
    );
    world.server.stop().await;
}

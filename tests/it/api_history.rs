//! What a room's log holds, over the API: [P10].

use ruang::log::LogError;
use ruang::replay::file::ExportedRoom;
use serde_json::json;

use crate::api_support::{World, set};

/// [P10] The document as it was at a record, a counter, a moment and now; what is not there is said.
#[tokio::test]
async fn documents_are_read_as_they_were() {
    let world = World::start().await;
    let mut positions = Vec::new();
    for n in 1..=5 {
        positions.push(world.patch("r", &[], &set("n", n)).await.position());
    }
    for (n, position) in (1..).zip(&positions) {
        let answer = world.get(&format!("r/at/{position}")).await;
        assert_eq!(
            (answer.position(), &answer.json()["document"]),
            (position.clone(), &json!({ "m": { "n": n } }))
        );
        let seq = position.split_once('-').unwrap().1;
        for path in [format!("r/at/{seq}"), format!("r/at/%23{seq}")] {
            assert_eq!(world.get(&path).await.json(), answer.json(), "{path}");
        }
        let update = world.get(&format!("r/at/{position}?format=update")).await;
        assert_eq!(update.headers["content-type"], "application/octet-stream");
        use yrs::{Map, Transact};
        let doc = update.doc();
        let map = doc.get_or_insert_map("m");
        let value = map.get(&doc.transact(), "n").unwrap().to_string(&doc.transact());
        assert_eq!(value, n.to_string());
    }
    assert_eq!(world.get("r/at/head").await.json()["document"]["m"]["n"], 5);
    assert_eq!(world.get("r/at/-0s").await.json()["document"]["m"]["n"], 5);
    let none = world.get("r/at/0").await.json();
    assert_eq!(none, json!({ "position": "0-0", "document": {} }));
    for (path, refusal) in [
        ("r/at/99", (404, "no_such_position")),
        ("r/at/1-3", (404, "no_such_position")),
        ("r/at/snapshot", (404, "no_such_position")),
        ("r/at/nowhere", (400, "bad_position")),
        ("r/at/99999999999999999999", (400, "bad_position")),
    ] {
        assert_eq!(world.get(path).await.refusal(), (refusal.0, refusal.1.to_owned()), "{path}");
    }
    world.server.stop().await;
}

/// [P10] Records come in pages, each with its position, kind, user and size; as lines, too.
#[tokio::test]
async fn records_are_listed() {
    let world = World::start().await;
    for n in 1..=5 {
        world.patch("r", &[], &set("n", n)).await;
    }
    let (mut after, mut listed) = (String::new(), Vec::new());
    loop {
        let page = world.get(&format!("r/log?count=2{after}")).await.json();
        let records = page["records"].as_array().unwrap().clone();
        assert!(records.len() <= 2);
        listed.extend(records);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    println!("{:#}", listed[1]);
    assert_eq!(listed.len(), 6);
    assert_eq!((&listed[0]["kind"], &listed[1]["kind"]), (&json!("genesis"), &json!("update")));
    assert!(listed[1]["bytes"].as_u64().unwrap() > 10 && listed[1]["user"].is_null());
    let all = world.get("r/log").await.json();
    assert_eq!(all["records"], json!(listed));
    let lines = world.call("GET", "r/log", &[("Accept", "application/x-ndjson")], None).await;
    let lines = String::from_utf8(lines.body).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, listed);
    assert_eq!(world.get("r/log?after=head").await.json()["records"], json!([]));
    assert_eq!(world.get("r/log?count=0").await.json()["records"].as_array().unwrap().len(), 1);
    world.server.stop().await;
}

/// [P10] What is trimmed is said to be, and what a snapshot holds can be read all the same.
#[tokio::test]
async fn what_is_trimmed_is_said() {
    let world = World::start().await;
    trimmed_answers(&world).await;
    world.server.stop().await;
}

pub async fn trimmed_answers(world: &World) {
    let name = "trimmed".parse().unwrap();
    for n in 1..=9 {
        world.patch("trimmed", &[], &set("n", n)).await;
    }
    let done = world.server.app.rooms.compact(&name).await.unwrap();
    assert!(matches!(done, Some(Ok(_))), "{done:?}");
    world.log.trim(&name, 5).await.unwrap();
    let base = world.log.open(&name).await.unwrap().unwrap().base;
    println!("trimmed up to {base}");
    assert!(base > 1);
    assert_eq!(world.get("trimmed/at/2").await.refusal(), (410, "trimmed".to_owned()));
    assert_eq!(world.get("trimmed/log?after=1").await.refusal(), (410, "trimmed".to_owned()));
    assert_eq!(world.get("trimmed/log").await.json()["trimmed"], base);
    assert_eq!(world.get("trimmed/at/snapshot").await.json()["document"]["m"]["n"], 9);
    assert_eq!(world.document("trimmed").await["m"]["n"], 9);
}

/// [P10] An export over the API is the file that `ruang replay import` takes; one that fails on the way is none.
#[tokio::test]
async fn a_room_is_exported() {
    let world = World::start().await;
    for n in 1..=3 {
        world.patch("r", &[], &set("n", n)).await;
    }
    let answer = world.get("r/export").await;
    assert_eq!(answer.status, 200);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &answer.body).unwrap();
    let export = ExportedRoom::open(file.path()).unwrap();
    assert_eq!(export.room().as_str(), "r");
    std::fs::write(file.path(), &answer.body[..answer.body.len() - 1]).unwrap();
    assert!(ExportedRoom::open(file.path()).is_err());

    // The records cannot be read any more once the answer has begun.
    world.faults.fail_reads_of(&"r".parse().unwrap(), 1, LogError::Unavailable("a test".to_owned()));
    assert_eq!(world.get("r/export").await.status, 503);
    world.server.stop().await;
}

//! Reading documents.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ruang::ids::RoomName;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use serde_json::json;
use yrs::updates::encoder::Encode;
use yrs::{Doc, Map, ReadTxn, StateVector, Text, Transact};

use crate::api_support::{World, call, full, set, update};
use crate::harness::{Server, until};

fn state_vector(doc: &Doc) -> String {
    URL_SAFE_NO_PAD.encode(doc.transact().state_vector().encode_v1())
}

fn get(doc: &Doc, key: &str) -> Option<String> {
    let map = doc.get_or_insert_map("m");
    let transaction = doc.transact();
    map.get(&transaction, key).map(|value| value.to_string(&transaction))
}

/// [P1] What is on its way into the log is not read: not by any path, not in a room that is open nor by way of the log,
/// not by who has written it. Once it is stored, it is.
#[tokio::test]
async fn nothing_is_read_before_it_is_stored() {
    let world = World::start().await;
    let other = Server::start(Arc::clone(&world.log)).await;
    let mut ann = world.server.join_for_acks("r").await;
    let held = world.faults.hold_appends();
    ann.set("k", "v").await;
    held.arrived(1).await;
    let paths = ["r/update", "r/document", "r/log", "r/at/head", "r/export"];
    for path in paths {
        assert_eq!(world.get(path).await.code(), "no_such_room", "{path}");
    }
    held.release();
    assert_eq!(ann.until_acked().await, Ok(()));
    assert_eq!(world.document("r").await, json!({ "m": { "k": "v" } }));

    let held = world.faults.hold_appends();
    let before = world.get("r/update").await;
    ann.set("k", "unseen").await;
    let address = world.server.address;
    let patch = tokio::spawn(async move { crate::api_support::patch(address, "r", &[], &set("p", 1)).await });
    held.arrived(1).await;
    for server in [&world.server, &other] {
        for path in ["r/update", "r/document", "r/at/head?format=update"] {
            let answer = call(server.address, ("GET", &format!("/api/v1/rooms/{path}")), &[], None).await;
            assert_eq!(answer.position(), before.position(), "{path}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("unseen"), "{path}");
        }
    }
    assert!(!patch.is_finished(), "an edit is answered when it is stored");
    held.release();
    let patched = patch.await.unwrap();
    assert_eq!((patched.status, patched.json()["stored"].as_bool()), (200, Some(true)));
    assert_eq!(ann.until_acked().await, Ok(()));
    assert_eq!(world.document("r").await, json!({ "m": { "k": "unseen", "p": 1 } }));
    other.stop().await;
    world.server.stop().await;
}

/// [P1] A room that is only read is not opened for it, and lives no longer. Names may have slashes.
#[tokio::test]
async fn reading_opens_no_room() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let options = RoomsOptions { idle_unload: Duration::from_millis(20), ..RoomsOptions::default() };
    let server = Server::start_with(Arc::clone(&log), options).await;
    let name: RoomName = "team/rétro 1".parse().unwrap();
    let path = "/api/v1/rooms/team%2Fr%C3%A9tro%201";
    let octets = [("Content-Type", "application/octet-stream")];
    let body = update(&[("a", "1")]);
    let written = call(server.address, ("POST", &format!("{path}/update")), &octets, Some(&body)).await;
    assert_eq!(written.status, 200);
    until("the room is unloaded", || async { !server.app.rooms.is_open(&name) }).await;
    let deadline = log.open(&name).await.unwrap().unwrap().deadline_ms;
    let loads = server.app.metrics.rooms_loaded.get();
    for part in ["/update", "/document", "/log", "/at/head", "/export", ""] {
        let answer = call(server.address, ("GET", &format!("{path}{part}")), &[], None).await;
        assert_eq!(answer.status, 200, "{part}");
        if part == "/update" {
            assert_eq!(get(&answer.doc(), "a").as_deref(), Some("1"));
            assert_eq!(answer.position(), written.position());
        }
    }
    assert_eq!(server.app.metrics.rooms_loaded.get(), loads);
    assert!(!server.app.rooms.is_open(&name));
    assert_eq!(log.open(&name).await.unwrap().unwrap().deadline_ms, deadline);
    server.stop().await;
}

/// [P2] A state vector is answered with what it lacks, in a room that is open and in one that is not; a position that the
/// client has is not sent again.
#[tokio::test]
async fn a_client_gets_what_it_lacks() {
    let world = World::start().await;
    let cold = Server::start(Arc::clone(&world.log)).await;
    world.post("r", &[], &update(&[("a", "1")])).await;
    let first = world.get("r/update").await;
    let doc = first.doc();
    world.patch("r", &[], &set("b", "2")).await;
    world.patch("r", &[], &json!({ "operations": [{ "op": "delete", "path": ["m", "a"] }] })).await;
    let sv = state_vector(&doc);
    for server in [&world.server, &cold] {
        let read = async |path: &str, headers: &[(&str, &str)]| {
            call(server.address, ("GET", &format!("/api/v1/rooms/r/{path}")), headers, None).await
        };
        let diff = read(&format!("update?sv={sv}"), &[]).await;
        let whole = read("update", &[]).await;
        assert!(diff.body.len() < whole.body.len() && diff.position() == whole.position());
        let copy = first.doc();
        copy.transact_mut()
            .apply_update(yrs::updates::decoder::Decode::decode_v1(&diff.body).unwrap())
            .unwrap();
        assert_eq!((get(&copy, "a"), get(&copy, "b").as_deref()), (None, Some("2")));
        assert_eq!(full(&copy).len(), full(&whole.doc()).len());
        let tag = whole.headers["etag"].clone();
        for path in ["update", "document"] {
            for known in [tag.clone(), format!("\"1-1\", W/{tag}")] {
                let same = read(path, &[("If-None-Match", &known)]).await;
                assert_eq!((same.status, same.headers["etag"].clone()), (304, tag.clone()), "{path}");
            }
            assert_eq!(read(path, &[("If-None-Match", &first.headers["etag"])]).await.status, 200);
        }
        let padded = base64::engine::general_purpose::URL_SAFE.encode([0]).replace('=', "%3D");
        assert_eq!(read(&format!("update?sv={padded}"), &[]).await.status, 200);
        for bad in ["", "AQ", "____"] {
            let refused = read(&format!("update?sv={bad}"), &[]).await;
            println!("{bad:?}: {}", String::from_utf8_lossy(&refused.body));
            assert_eq!(refused.status, 400);
        }
    }
    cold.stop().await;
    world.server.stop().await;
}

/// [P2] Who holds a copy of another life of the room is not told of this one, nor may it be written here.
#[tokio::test]
async fn lives_of_a_name_do_not_mix() {
    let world = World::start().await;
    answers_of_another_life(&world).await;
    world.server.stop().await;
}

pub async fn answers_of_another_life(world: &World) {
    world.post("lives", &[], &update(&[("old", "1")])).await;
    let old = world.get("lives/update").await;
    let sv = state_vector(&old.doc());
    assert_eq!(world.call("DELETE", "lives", &[], None).await.status, 204);
    assert_eq!(world.post("lives", &[], &old.body).await.refusal(), (409, "other_life".to_owned()));
    let begun = world.patch("lives", &[("If-None-Match", "*")], &set("new", 1)).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let cold = Server::start(Arc::clone(&world.log)).await;
    for address in [world.server.address, cold.address] {
        let path = format!("/api/v1/rooms/lives/update?sv={sv}");
        let answer = call(address, ("GET", &path), &[], None).await;
        assert_eq!(answer.refusal(), (409, "other_life".to_owned()));
    }
    assert_eq!(world.post("lives", &[], &old.body).await.refusal(), (409, "other_life".to_owned()));
    let gap = {
        let doc = Doc::with_client_id(6);
        let text = doc.get_or_insert_text("t");
        text.push(&mut doc.transact_mut(), "first");
        let before = doc.transact().state_vector();
        text.push(&mut doc.transact_mut(), "second");
        doc.transact().encode_diff_v1(&before)
    };
    let refused = world.post("lives", &[], &gap).await;
    assert_eq!((refused.code().as_str(), &refused.json()["error"]["stored"]), ("gap", &json!(null)));
    // A conditional edit on a name that had another life: its log is asked for the end of this one.
    let at = format!("\"{}\"", begun.position());
    let edit = json!({ "operations": [{ "op": "set", "path": ["m", "new"], "value": 2 }] });
    assert_eq!(world.patch("lives", &[("If-Match", &at)], &edit).await.status, 200);
    // An edit in JSON meets no other life: the conflict that it has is the room's own.
    assert_eq!(world.document("lives").await, json!({ "m": { "new": 2 } }));
    cold.stop().await;
}

/// [P3] The document as JSON, whatever its clients have put into it; and a large one whole.
#[tokio::test]
async fn documents_are_shown_as_json() {
    let world = World::start().await;
    let doc = Doc::new();
    {
        let (map, text) = (doc.get_or_insert_map("items"), doc.get_or_insert_text("notes"));
        let mut transaction = doc.transact_mut();
        map.insert(&mut transaction, "card", yrs::MapPrelim::from([("text", "hi"), ("author", "é")]));
        text.push(&mut transaction, "h😀llo");
    }
    assert_eq!(world.post("r", &[], &full(&doc)).await.status, 200);
    let shown = world.get("r/document").await;
    assert_eq!(shown.json()["position"], shown.position());
    let expected = json!({ "items": { "card": { "author": "é", "text": "hi" } }, "notes": "h😀llo" });
    assert_eq!(shown.json()["document"], expected);

    let large = Doc::new();
    let text = large.get_or_insert_text("t");
    text.push(&mut large.transact_mut(), &"0123456789".repeat(300_000));
    assert_eq!(world.post("large", &[], &full(&large)).await.status, 200);
    let answer = world.get("large/update").await;
    assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
    let copy = answer.doc();
    let text = copy.get_or_insert_text("t");
    assert_eq!(text.len(&copy.transact()), 3_000_000);
    assert_eq!(world.document("large").await["t"].as_str().map(str::len), Some(3_000_000));
    assert!(copy.transact().state_vector() > StateVector::default());
    world.server.stop().await;
}

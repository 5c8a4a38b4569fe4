//! The API's description: that it is served, that it is whole, and that the judge of all answers is awake.

use std::collections::BTreeSet;
use std::sync::Arc;

use ruang::kind::Boards;
use ruang::log::LogError;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use serde_json::{Value, json};

use crate::api_description::{DESCRIPTION, SEEN, judge, resolved};
use crate::api_support::{World, call, set, update};
use crate::harness::Server;

/// [P12] The description is served as it is in the source, and all that it refers to is in it.
#[tokio::test]
async fn the_description_is_served() {
    let world = World::start().await;
    let answer = call(world.server.address, ("GET", "/api/v1/openapi.json"), &[], None).await;
    assert_eq!((answer.status, answer.json()), (200, DESCRIPTION.clone()));
    assert_eq!(answer.json()["openapi"], "3.1.0");
    fn references(value: &Value) -> usize {
        match value {
            Value::Object(entries) => {
                let here = usize::from(entries.contains_key("$ref"));
                resolved(value);
                here + entries.values().map(references).sum::<usize>()
            }
            Value::Array(values) => values.iter().map(references).sum(),
            _ => 0,
        }
    }
    println!("{} references", references(&DESCRIPTION));
    let mut names = BTreeSet::new();
    for (path, item) in DESCRIPTION["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
        }
    }
    world.server.stop().await;
}

/// Statuses that nothing asks for here, and why.
const NOT_SEEN: [(&str, &str); 4] = [
    ("401", "`tokens_decide_what_is_done`"),
    ("403", "`tokens_decide_what_is_done`"),
    ("408", "a body that takes 30 s; `api_hostile` looks at the bound alone"),
    ("500", "a damaged store; `a_store_that_fails_is_said` shows it where it can be had"),
];

/// [P12] Each path takes the methods that are described, answers each with every status that is described, and others
/// with 405. (Every other test holds its answers to the description as well.)
#[tokio::test]
async fn every_route_and_status_is_as_described() {
    let world = World::start().await;
    let bare = Server::start(std::sync::Arc::clone(&world.log)).await;
    let octets = ("Content-Type", "application/octet-stream");
    let with_json = ("Content-Type", "application/json");
    let ok = update(&[("a", "1")]);
    assert_eq!(world.post("r", &[], &ok).await.status, 200);
    let position = world.get("r/update").await.position();
    let tag = format!("\"{position}\"");

    // The good ways.
    assert_eq!(call(world.server.address, ("GET", "/api/v1/openapi.json"), &[], None).await.status, 200);
    for path in ["r", "r/update", "r/document", "r/at/head", "r/log", "r/export", "r/hidden"] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
        assert_eq!(world.call("HEAD", path, &[], None).await.status, 200, "{path}");
    }
    for path in ["r/update", "r/document"] {
        let answer = world.call("GET", path, &[("If-None-Match", &tag)], None).await;
        assert_eq!(answer.status, 304, "{path}");
    }
    assert_eq!(world.patch("r", &[], &set("b", 2)).await.status, 200);
    assert_eq!(world.post("gone", &[], &ok).await.status, 200);
    assert_eq!(world.call("DELETE", "gone", &[], None).await.status, 204);

    // The bad ones.
    let long = "x".repeat(129);
    for path in ["", "/update", "/document", "/at/head", "/log", "/export", "/hidden"] {
        assert_eq!(world.get(&format!("{long}{path}")).await.refusal(), (400, "bad_room_name".to_owned()));
        assert_eq!(
            world.get(&format!("none{path}")).await.refusal(),
            (404, "no_such_room".to_owned()),
            "{path}"
        );
        let unknown = world.call("OPTIONS", &format!("r{path}"), &[], None).await;
        assert_eq!(unknown.refusal(), (405, "method_not_allowed".to_owned()), "{path}");
    }
    assert_eq!(call(world.server.address, ("PUT", "/api/v1/openapi.json"), &[], None).await.status, 405);
    assert_eq!(world.call("DELETE", "none", &[], None).await.status, 404);
    assert_eq!(world.call("DELETE", &long, &[], None).await.status, 400);
    assert_eq!(world.patch(&long, &[], &set("b", 2)).await.status, 400);
    assert_eq!(world.post("r", &[], b"nonsense").await.refusal(), (400, "bad_update".to_owned()));
    assert_eq!(world.get("r/update?sv=%21").await.refusal(), (400, "bad_state_vector".to_owned()));
    assert_eq!(world.get("r/at/yesterday").await.refusal(), (400, "bad_position".to_owned()));
    assert_eq!(world.get("r/at/99").await.refusal(), (404, "no_such_position".to_owned()));
    assert_eq!(world.get("r/at/head?format=xml").await.refusal(), (400, "bad_query".to_owned()));
    assert_eq!(world.get("r/log?count=x").await.refusal(), (400, "bad_query".to_owned()));
    let stale = [("If-Match", tag.as_str())];
    assert_eq!(world.patch("r", &stale, &set("b", 3)).await.refusal(), (412, "moved".to_owned()));
    assert_eq!(world.post("r", &stale, &ok).await.refusal(), (412, "moved".to_owned()));
    for (method, path) in [("PATCH", "r"), ("POST", "r/update")] {
        let refused = world.call(method, path, &[("Content-Type", "text/plain")], Some(b"x")).await;
        assert_eq!(refused.refusal(), (415, "unsupported_media_type".to_owned()));
        let kind = if method == "POST" { octets } else { with_json };
        let refused = world.call(method, path, &[kind, ("Content-Length", "99999999999")], None).await;
        assert_eq!(refused.refusal(), (413, "too_large".to_owned()));
    }
    // Hidden cards are a board's.
    let none = world.get("r/hidden").await;
    assert_eq!((none.status, none.json()), (200, json!({ "hidden": {} })));
    assert_eq!(
        world.call("POST", "none/reveal", &[], None).await.refusal(),
        (404, "no_such_room".to_owned())
    );
    assert_eq!(world.call("POST", &format!("{long}/reveal"), &[], None).await.status, 400);
    assert_eq!(world.call("POST", "r/reveal", &[], None).await.refusal(), (409, "no_board".to_owned()));
    assert_eq!(world.get("r/reveal").await.refusal(), (405, "method_not_allowed".to_owned()));
    let boards = RoomsOptions { boards: Boards::all(), ..RoomsOptions::default() };
    let boards = Server::start_with(Arc::new(MemoryLog::new()), boards).await;
    let template = Some(&b"{\"template\":\"retro\"}"[..]);
    let begun = call(boards.address, ("PUT", "/api/v1/rooms/b/board"), &[with_json], template).await;
    assert_eq!(begun.status, 200);
    let revealed = call(boards.address, ("POST", "/api/v1/rooms/b/reveal"), &[], None).await;
    assert_eq!(revealed.json(), json!({ "position": null, "authors": 0, "cards": 0, "failed": [] }));
    boards.stop().await;
    let misfit = json!({ "operations": [{ "op": "delete", "path": ["m", "none"] }] });
    assert_eq!(world.patch("r", &[], &misfit).await.refusal(), (422, "bad_operation".to_owned()));
    crate::api_board::answers(&world).await;
    crate::api_history::trimmed_answers(&world).await;
    crate::api_read::answers_of_another_life(&world).await;

    // The store is away: a room that is not open here cannot be read.
    for path in ["r", "r/update", "r/document", "r/at/head", "r/log", "r/export", "r/hidden"] {
        world.faults.fail_reads_of(&"r".parse().unwrap(), 2, LogError::Unavailable("a test".to_owned()));
        let answer = call(bare.address, ("GET", &format!("/api/v1/rooms/{path}")), &[], None).await;
        assert_eq!(answer.refusal(), (503, "unavailable".to_owned()), "{path}");
        world.faults.forgive();
    }
    world.faults.fail_reads(30, LogError::Unavailable("a test".to_owned()));
    let vote = json!({ "type": "vote", "target": "x", "count": 0 }).to_string().into_bytes();
    let template = json!({ "template": "retro" }).to_string().into_bytes();
    for (method, path, kind, body) in [
        ("PATCH", "r", with_json, set("c", 1).to_string().into_bytes()),
        ("POST", "r/update", octets, ok.clone()),
        ("DELETE", "r", octets, Vec::new()),
        ("POST", "r/reveal", octets, Vec::new()),
        ("POST", "r/edits", with_json, vote),
        ("PUT", "r/board", with_json, template),
        ("POST", "r/import", with_json, b"{}".to_vec()),
    ] {
        let path = format!("/api/v1/rooms/{path}");
        let answer = call(bare.address, (method, &path), &[kind], Some(&body)).await;
        assert_eq!(answer.refusal(), (503, "unavailable".to_owned()), "{method}");
    }
    world.faults.forgive();

    let seen = SEEN.lock().unwrap().clone();
    let mut missing = Vec::new();
    for (path, item) in DESCRIPTION["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            for status in operation["responses"].as_object().unwrap().keys() {
                let is_told = NOT_SEEN.iter().any(|(not_seen, _)| not_seen == status) || status == "405";
                let entry = (path.clone(), method.to_uppercase(), status.clone());
                // An edit in JSON conflicts only with a store that has lost what it was made on.
                let is_edit = method == "patch" || path.ends_with("/edits");
                let is_told = is_told || is_edit && status == "409";
                if !is_told && !seen.contains(&entry) {
                    missing.push(entry);
                }
            }
        }
    }
    println!("{} answers seen; not asked for: {NOT_SEEN:?}", seen.len());
    assert!(missing.is_empty(), "described, and never answered: {missing:#?}");
    bare.stop().await;
    world.server.stop().await;
}

/// [P5] A store that refuses for good, or that is damaged, is an error of the server, and said.
#[tokio::test]
async fn a_store_that_fails_is_said() {
    let world = World::start().await;
    world.faults.fail_appends(1, LogError::Fatal("a test".to_owned()));
    assert_eq!(
        world.post("r", &[], &update(&[("a", "1")])).await.refusal(),
        (500, "store_refuses".to_owned())
    );
    assert_eq!(world.records("r").await, 0);
    assert_eq!(world.post("r", &[], &update(&[("a", "1")])).await.status, 200);
    world.faults.fail_reads_of(&"r".parse().unwrap(), 1, LogError::Fatal("a test".to_owned()));
    assert_eq!(world.get("r/log").await.refusal(), (500, "store_refuses".to_owned()));
    world.server.stop().await;
}

/// [P12] The judge of answers knows a bad one.
#[test]
fn the_judge_is_awake() {
    let room = &DESCRIPTION["components"]["schemas"]["Written"];
    assert!(judge(room, &json!({ "position": "1-2", "stored": true })).is_ok());
    for bad in [
        json!({ "position": "1-2" }),
        json!({ "position": "1-x", "stored": true }),
        json!({ "position": 1, "stored": true }),
        json!({ "position": "1-2", "stored": true, "more": 1 }),
    ] {
        println!("{bad}: {}", judge(room, &bad).unwrap_err());
    }
}

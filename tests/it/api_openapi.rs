//! The API's description, as a judge of its answers.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};

use ruang::kind::Boards;
use ruang::log::LogError;
use ruang::log::memory::MemoryLog;
use ruang::room::RoomsOptions;
use serde_json::{Value, json};

use crate::api_support::{Answer, World, call, set, update};
use crate::harness::Server;

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(ruang::http::api::OPENAPI).expect("it is JSON"));

/// What of the description was seen, by all tests of this process together.
static SEEN: Mutex<BTreeSet<(String, String, String)>> = Mutex::new(BTreeSet::new());

/// Follows a reference.
fn resolved(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("a reference into the document");
            resolved(DESCRIPTION.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
        }
        None => value,
    }
}

/// The path of the description that a request's path is of.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().expect("a path");
    let parts: Vec<&str> = path.split('/').collect();
    let paths = DESCRIPTION["paths"].as_object().expect("paths");
    let fits = |template: &&String| {
        let wanted: Vec<&str> = template.split('/').collect();
        wanted.len() == parts.len()
            && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
    };
    paths.keys().find(fits).map(String::as_str)
}

/// Fails if an answer is not as described.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let what = format!("{method} {path}: {}", answer.status);
    let Some(template) = template(path) else {
        assert_eq!(answer.refusal(), (404, "no_such_path".to_owned()), "{what}");
        return;
    };
    let described = &DESCRIPTION["paths"][template];
    let lower = method.to_lowercase();
    let operation = described.get(if method == "HEAD" { "get" } else { lower.as_str() });
    let Some(operation) = operation else {
        assert_eq!(answer.status, 405, "{what}");
        let allowed = &answer.headers["allow"];
        let methods = described.as_object().expect("methods").keys().filter(|key| *key != "parameters");
        for method in methods {
            assert!(allowed.contains(&method.to_uppercase()), "{what}: {allowed}");
        }
        return;
    };
    let response = operation["responses"].get(answer.status.to_string());
    let response = resolved(response.unwrap_or_else(|| panic!("{what} is not described: {answer:?}")));
    SEEN.lock().expect("not poisoned").insert((
        template.to_owned(),
        method.to_owned(),
        answer.status.to_string(),
    ));
    for header in
        response.get("headers").and_then(Value::as_object).into_iter().flat_map(|headers| headers.keys())
    {
        assert!(answer.headers.contains_key(&header.to_lowercase()), "{what} lacks {header}");
    }
    if method == "HEAD" {
        assert!(answer.body.is_empty(), "{what}");
        return;
    }
    let Some(content) = response.get("content").and_then(Value::as_object) else {
        assert!(answer.body.is_empty(), "{what}");
        return;
    };
    let media_type = &answer.headers["content-type"];
    let schema = content.get(media_type).unwrap_or_else(|| panic!("{what}: {media_type} is not described"));
    let holds = |value: &Value| {
        judge(&schema["schema"], value).unwrap_or_else(|why| panic!("{what}: {why}: {value}"))
    };
    match media_type.as_str() {
        "application/json" => holds(&answer.json()),
        "application/x-ndjson" => {
            let lines = String::from_utf8(answer.body.clone()).expect("text");
            lines.lines().for_each(|line| holds(&serde_json::from_str(line).expect("JSON")));
        }
        _ => {}
    }
}

/// Whether a value is as a schema says: as much of JSON Schema as the description uses.
fn judge(schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(schema);
    if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
        return Err(format!("it is not {constant}"));
    }
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(value)
    {
        return Err(format!("it is none of {allowed:?}"));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(several)) = schema.get(key)
            && !several.iter().any(|schema| judge(schema, value).is_ok())
        {
            return Err(format!("it fits none of {key}"));
        }
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match schema.get("type") {
        Some(Value::String(wanted)) if wanted != is => return Err(format!("it is no {wanted}")),
        Some(Value::Array(wanted)) if !wanted.contains(&json!(is)) => {
            return Err(format!("it is none of {wanted:?}"));
        }
        _ => {}
    }
    if let (Some(pattern), Some(text)) = (schema.get("pattern"), value.as_str()) {
        assert_eq!(pattern, "^[0-9]+-[0-9]+$", "the only pattern that this judge knows");
        let (ms, seq) = text.split_once('-').ok_or("it is no position")?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(ms) || !is_number(seq) {
            return Err("it is no position".to_owned());
        }
    }
    if let Value::Array(values) = value
        && let Some(items) = schema.get("items")
    {
        values.iter().try_for_each(|value| judge(items, value))?;
    }
    let Value::Object(entries) = value else { return Ok(()) };
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !entries.contains_key(required.as_str().expect("a name")) {
            return Err(format!("it lacks {required}"));
        }
    }
    let none = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (key, value) in entries {
        match (properties.get(key), schema.get("additionalProperties")) {
            (Some(schema), _) => judge(schema, value).map_err(|why| format!("{key}: {why}"))?,
            (None, Some(Value::Bool(false))) => return Err(format!("{key} is not described")),
            (None, Some(schema @ Value::Object(_))) => judge(schema, value)?,
            (None, _) => {}
        }
    }
    Ok(())
}

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
    for path in ["r", "r/update", "r/document", "r/at/head", "r/log", "r/export"] {
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
    for path in ["", "/update", "/document", "/at/head", "/log", "/export"] {
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
    assert_eq!(
        world.call("POST", "none/reveal", &[], None).await.refusal(),
        (404, "no_such_room".to_owned())
    );
    assert_eq!(world.call("POST", &format!("{long}/reveal"), &[], None).await.status, 400);
    assert_eq!(world.call("POST", "r/reveal", &[], None).await.refusal(), (409, "no_board".to_owned()));
    assert_eq!(world.get("r/reveal").await.refusal(), (405, "method_not_allowed".to_owned()));
    let boards = RoomsOptions { boards: Boards::all(), ..RoomsOptions::default() };
    let boards = Server::start_with(Arc::new(MemoryLog::new()), boards).await;
    assert_eq!(crate::api_support::patch(boards.address, "b", &[], &set("b", 2)).await.status, 200);
    let revealed = call(boards.address, ("POST", "/api/v1/rooms/b/reveal"), &[], None).await;
    assert_eq!(revealed.json(), json!({ "position": null, "authors": 0, "cards": 0 }));
    boards.stop().await;
    let misfit = json!({ "operations": [{ "op": "delete", "path": ["m", "none"] }] });
    assert_eq!(world.patch("r", &[], &misfit).await.refusal(), (422, "bad_operation".to_owned()));
    crate::api_history::trimmed_answers(&world).await;
    crate::api_read::answers_of_another_life(&world).await;

    // The store is away: a room that is not open here cannot be read.
    for path in ["r", "r/update", "r/document", "r/at/head", "r/log", "r/export"] {
        world.faults.fail_reads(2, LogError::Unavailable("a test".to_owned()));
        let answer = call(bare.address, ("GET", &format!("/api/v1/rooms/{path}")), &[], None).await;
        assert_eq!(answer.refusal(), (503, "unavailable".to_owned()), "{path}");
        world.faults.forgive();
    }
    world.faults.fail_reads(9, LogError::Unavailable("a test".to_owned()));
    for (method, path, kind, body) in [
        ("PATCH", "r", with_json, set("c", 1).to_string().into_bytes()),
        ("POST", "r/update", octets, ok.clone()),
        ("DELETE", "r", octets, Vec::new()),
        ("POST", "r/reveal", octets, Vec::new()),
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
                let is_told = is_told || method == "patch" && status == "409";
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
    world.faults.fail_reads(1, LogError::Fatal("a test".to_owned()));
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

//! The API's description, as a judge of its answers.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex};

use serde_json::{Value, json};

use crate::api_support::Answer;

pub static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(ruang::http::api::OPENAPI).expect("it is JSON"));

/// What of the description was seen, by all tests of this process together.
pub static SEEN: Mutex<BTreeSet<(String, String, String)>> = Mutex::new(BTreeSet::new());

/// Follows a reference.
pub fn resolved(value: &Value) -> &Value {
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
pub fn judge(schema: &Value, value: &Value) -> Result<(), String> {
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

/// Fails if a value is not as the description says of this name.
pub fn holds(schema: &str, value: &Value) {
    let schema = &DESCRIPTION["components"]["schemas"][schema];
    assert!(schema.is_object(), "it is described");
    judge(schema, value).unwrap_or_else(|why| panic!("{why}: {value}"));
}

//! A small HTTP client that holds each answer to the API's own description.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ruang::log::Log;
use ruang::log::memory::{Faults, MemoryLog};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use yrs::updates::decoder::Decode;
use yrs::{Doc, Map, ReadTxn, StateVector, Transact, Update};

use crate::api_description;
use crate::harness::{PATIENCE, Server};

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    /// The code of a refusal.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("a refusal").to_owned()
    }

    /// Status and code of a refusal.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// The position, from the entity tag.
    pub fn position(&self) -> String {
        self.headers["etag"].trim_matches('"').to_owned()
    }

    /// The document that the body is an update of.
    pub fn doc(&self) -> Doc {
        let doc = Doc::new();
        doc.transact_mut()
            .apply_update(Update::decode_v1(&self.body).expect("an update"))
            .expect("it applies");
        doc
    }
}

pub type Headers<'a> = &'a [(&'a str, &'a str)];

/// One request on a connection of its own.
pub async fn call(
    address: SocketAddr,
    (method, path): (&str, &str),
    headers: Headers<'_>,
    body: Option<&[u8]>,
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"))
    {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("written");
    // A request that is refused early may not be read to its end.
    let _ = stream.write_all(body.unwrap_or_default()).await;
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("in time").expect("an answer");
    let answer = parse(&bytes, method == "HEAD");
    api_description::check(method, path, &answer);
    answer
}

pub fn parse(bytes: &[u8], is_head: bool) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&bytes[..end]).expect("text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if is_chunked && !is_head { unchunked(body) } else { body.to_vec() };
    if let Some(length) = headers.get("content-length").filter(|_| !is_head) {
        assert_eq!(body.len().to_string(), *length, "the whole body");
    }
    Answer { status, headers, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's length");
        let length = std::str::from_utf8(&rest[..line]).expect("text");
        let length = usize::from_str_radix(length, 16).expect("a length");
        rest = &rest[line + 2..];
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[..length]);
        rest = &rest[length + 2..];
    }
}

/// A server on a memory log.
pub struct World {
    pub log: Arc<dyn Log>,
    pub faults: Faults,
    pub server: Server,
}

impl World {
    pub async fn start() -> Self {
        let (log, faults) = MemoryLog::with_faults();
        let log: Arc<dyn Log> = Arc::new(log);
        let server = Server::start(Arc::clone(&log)).await;
        Self { log, faults, server }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    pub async fn call(&self, method: &str, path: &str, headers: Headers<'_>, body: Option<&[u8]>) -> Answer {
        call(self.server.address, (method, &format!("/api/v1/rooms/{path}")), headers, body).await
    }

    pub async fn patch(&self, room: &str, headers: Headers<'_>, edit: &Value) -> Answer {
        patch(self.server.address, room, headers, edit).await
    }

    pub async fn post(&self, room: &str, headers: Headers<'_>, update: &[u8]) -> Answer {
        let mut all = vec![("Content-Type", "application/octet-stream")];
        all.extend_from_slice(headers);
        self.call("POST", &format!("{room}/update"), &all, Some(update)).await
    }

    /// How many records a room has.
    pub async fn records(&self, room: &str) -> u64 {
        let head = self.log.open(&room.parse().unwrap()).await.unwrap();
        head.map_or(0, |head| head.last.seq)
    }

    pub async fn document(&self, room: &str) -> Value {
        let answer = self.get(&format!("{room}/document")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["document"].clone()
    }
}

pub async fn patch(address: SocketAddr, room: &str, headers: Headers<'_>, edit: &Value) -> Answer {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    let body = edit.to_string();
    call(address, ("PATCH", &format!("/api/v1/rooms/{room}")), &all, Some(body.as_bytes())).await
}

/// Sets a key of the root map `m`.
pub fn set(key: &str, value: impl Into<Value>) -> Value {
    let value: Value = value.into();
    json!({ "roots": { "m": "map" }, "operations": [{ "op": "set", "path": ["m", key], "value": value }] })
}

/// An update that sets keys of the root map `m`, by a client of its own.
pub fn update(entries: &[(&str, &str)]) -> Vec<u8> {
    let doc = Doc::new();
    let map = doc.get_or_insert_map("m");
    let mut transaction = doc.transact_mut();
    for (key, value) in entries {
        map.insert(&mut transaction, *key, *value);
    }
    transaction.encode_update_v1()
}

pub fn full(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

//! Tokens at the door of a real server: sockets and the API.

use std::sync::Arc;
use std::time::Duration;

use ruang::auth::{Auth, AuthSettings};
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::wire::y_websocket;
use serde_json::json;

use crate::auth_support::*;
use crate::harness::{Client, Server};

async fn server() -> Server {
    Server::start_for(Arc::new(MemoryLog::new()), auth(&[public_key("EdDSA")])).await
}

fn with(url: &str, token: &str) -> String {
    format!("{url}?token={token}")
}

/// [A15] A token comes with the address or as a subprotocol; without a good one a socket is closed with 4401, with one for
/// another room with 4403, and hears nothing else. The upgrade itself is always accepted.
#[tokio::test]
async fn sockets_are_asked_for_tokens() {
    let server = server().await;
    let good = token("EdDSA", &claims(&json!({})));
    let mut writer = Client::connect(&with(&server.url("retro"), &good), None).await;
    writer.sync().await;
    writer.set("card", "written").await;
    let protocols = format!("bearer.{good}, ruang.v1").leak();
    let mut reader = Client::connect(&server.url("retro"), Some(protocols)).await;
    reader.sync().await;
    reader.until_set("card", "written").await;

    let expired = token("EdDSA", &claims(&json!({ "exp": 1 })));
    let forged = token("HS256", &claims(&json!({})));
    for (what, url, code) in [
        ("no token", server.url("retro"), 4401),
        ("an expired one", with(&server.url("retro"), &expired), 4401),
        ("a forged one", with(&server.url("retro"), &forged), 4401),
        ("garbage", with(&server.url("retro"), "x"), 4401),
        ("one for another room", with(&server.url("other"), &good), 4403),
        ("one for another room that nobody has made", with(&server.url("never"), &good), 4403),
        ("none, a y-sweet client", format!("ws://{}/d/retro/ws/retro", server.address), 4401),
        (
            "of another room, a y-sweet client",
            with(&format!("ws://{}/d/a/ws/a", server.address), &good),
            4403,
        ),
    ] {
        let mut client = Client::connect(&url, None).await;
        let step1 = y_websocket::sync_step1(&client.state_vector());
        let _ = client.try_send(step1).await;
        let closed = client.until_closed().await;
        println!("{what}: {closed:?}");
        assert_eq!(closed, Some(code), "{what}");
        assert!(
            client.received.is_empty() && client.asked.is_empty() && client.presence.is_empty(),
            "{what}"
        );
    }
    assert_eq!(server.app.metrics.sockets_refused.get(), 8);
    server.stop().await;
}

/// [A16] A live socket ends with 4501 when its token expires; what comes from then on is not taken. With another token it
/// comes back.
#[tokio::test]
async fn a_live_socket_ends_when_its_token_expires() {
    let settings = AuthSettings { auth_leeway: Duration::ZERO, ..settings(&[public_key("HS256")]) };
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start_for(Arc::clone(&log), auth_of(&settings)).await;
    let url = server.url("retro");
    let lasting = token("HS256", &claims(&json!({ "sub": "bob" })));
    let mut other = Client::connect(&with(&url, &lasting), None).await;
    other.sync().await;
    // A token that lives as long as this machine takes to write something with it.
    let mut life_s = 2;
    let (mut client, brief, ends_s) = loop {
        let ends_s = now_s() + life_s;
        let brief = token("HS256", &claims(&json!({ "exp": ends_s })));
        let mut client = Client::connect(&with(&url, &brief), Some("ruang.v1")).await;
        let step1 = y_websocket::sync_step1(&client.state_vector());
        let update = client.set_locally("before", "x");
        let is_in = client.try_send(step1).await && client.try_send(y_websocket::update(&update)).await;
        client.sent += 1;
        if is_in && client.until_acked().await.is_ok() {
            break (client, brief, ends_s);
        }
        life_s *= 2;
        assert!(life_s < 100, "it is never let in");
    };
    println!("a token of {life_s} s was long enough");
    assert_eq!(client.until_closed().await, Some(4501));
    println!("closed {} ms after the end", now_ms() as i64 - (ends_s * 1000) as i64);
    assert!(now_ms() >= ends_s * 1000);
    let late = client.set_locally("after", "y");
    let _ = client.try_send(y_websocket::update(&late)).await;
    client.reconnect(&with(&url, &brief), None).await;
    assert_eq!(client.until_closed().await, Some(4401));
    other.until_set("before", "x").await;
    other.set("others", "go on").await;
    let records = log.read(&room("retro"), 0, 100).await.unwrap().len();
    client.reconnect(&with(&url, &token("HS256", &claims(&json!({})))), Some("ruang.v1")).await;
    client.sync().await;
    client.until_acked().await.unwrap();
    other.until_set("after", "y").await;
    let now = log.read(&room("retro"), 0, 100).await.unwrap().len();
    println!("{records} records before the return, {now} after");
    assert!(now > records, "what it kept is stored when it returns, not before");
    server.stop().await;
}

/// One request with a token; all of the answer but its date.
async fn ask(server: &Server, method: &str, path: &str, token: Option<&str>) -> String {
    let header = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    request(server.address, method, path, &header, "").await
}

/// [A17] The API is asked for with `Authorization: Bearer`; only admins delete. Refusals are the same bytes for rooms that
/// are there and rooms that are not.
#[tokio::test]
async fn the_api_is_asked_for_tokens() {
    let server = server().await;
    let editor = token("EdDSA", &claims(&json!({ "room": ["retro", "never"] })));
    let mut writer = Client::connect(&with(&server.url("retro"), &editor), Some("ruang.v1")).await;
    writer.sync().await;
    writer.set("card", "written").await;
    writer.until_acked().await.unwrap();
    let path = "/api/v1/rooms/retro";
    let absent = "/api/v1/rooms/never";
    let foreign = token("EdDSA", &claims(&json!({ "room": "other" })));
    let status = |answer: &str| answer.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status(&ask(&server, "GET", path, Some(&editor)).await), "200");
    for (method, token, expected) in [
        ("GET", None, "401"),
        ("GET", Some("x.y.z"), "401"),
        ("GET", Some(&*foreign), "403"),
        ("DELETE", None, "401"),
        ("DELETE", Some(&*foreign), "403"),
        ("DELETE", Some(&*editor), "403"),
    ] {
        let (there, not) =
            (ask(&server, method, path, token).await, ask(&server, method, absent, token).await);
        println!("{method}: {}", there.lines().next().unwrap());
        assert_eq!(status(&there), expected, "{method}");
        assert_eq!(there, not, "nobody learns whether a room is there");
        assert_eq!(there.contains("www-authenticate: Bearer"), expected == "401");
    }
    let admin = token("EdDSA", &claims(&json!({ "room": null, "role": "admin" })));
    for (method, path) in [("POST", "/doc/new"), ("POST", "/doc/retro/auth"), ("GET", "/d/retro/as-update")] {
        assert_eq!(status(&ask(&server, method, path, Some(&foreign)).await), "403", "{method} {path}");
        assert_eq!(status(&ask(&server, method, path, None).await), "401", "{method} {path}");
        assert_eq!(status(&ask(&server, method, path, Some(&admin)).await), "200", "{method} {path}");
    }
    assert_eq!(status(&ask(&server, "DELETE", path, Some(&admin)).await), "204");
    server.stop().await;
}

/// [A11] A token that y-sweet's back end asked for opens that document, as what was asked; not the other families' doors
/// of other rooms.
#[tokio::test]
async fn document_tokens_open_their_document() {
    let server = server().await;
    let admin = token("EdDSA", &claims(&json!({ "room": null, "role": "admin" })));
    let header = format!("Authorization: Bearer {admin}\r\nContent-Type: application/json\r\n");
    request(server.address, "POST", "/doc/new", &header, r#"{"docId":"doc"}"#).await;
    let body = r#"{"authorization":"read-only","userId":"ada","validForSeconds":60}"#;
    let answer = request(server.address, "POST", "/doc/doc/auth", &header, body).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let given: serde_json::Value = serde_json::from_str(body).unwrap();
    let token = given["token"].as_str().unwrap();
    let caller = server.app.auth.admit(Some(token), &room("doc"), now_ms()).unwrap();
    assert_eq!((caller.user.as_deref(), caller.role.as_str()), (Some("ada"), "viewer"));
    let mut client = Client::connect(&with(&server.url("doc"), token), None).await;
    client.sync().await;
    let mut elsewhere = Client::connect(&with(&server.url("retro"), token), None).await;
    assert_eq!(elsewhere.until_closed().await, Some(4403));
    server.stop().await;
}

/// [A1] A server without keys lets everybody in, whatever token comes.
#[tokio::test]
async fn an_open_server_ignores_tokens() {
    let server = Server::start_for(Arc::new(MemoryLog::new()), Auth::open()).await;
    for url in [server.url("a"), with(&server.url("a"), "x"), with(&server.url("a"), "a.b.c")] {
        let mut client = Client::connect(&url, None).await;
        client.sync().await;
        client.set("k", &url).await;
    }
    server.stop().await;
}

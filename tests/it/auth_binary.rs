//! The real binary with keys: how it starts and refuses to, what it prints, what it never logs.

use std::path::Path;

use ruang::wire::y_websocket;

use crate::auth_support::*;
use crate::binary::{Served, said};
use crate::harness::Client;

const ADMIN: &str = "the-admin-token-of-this-test-0123456789";

/// A server on a store in this directory.
fn serve(dir: &Path, more: &[&str], variables: &[(&str, &str)]) -> Served {
    let store = format!("file:{}", dir.display());
    Served::start(&[&["--store", store.as_str()], more].concat(), variables)
}

/// [A22] `ruang token` makes what `ruang serve` with the same key takes; nothing of a token, a key or a credential is in
/// the log, however much is logged.
#[tokio::test]
async fn minted_tokens_are_taken_and_never_logged() {
    let dir = tempfile::tempdir().unwrap();
    let key = [("RUANG_AUTH_KEY", SECRET)];
    let args = [
        "token", "--room", "retro", "--user", "ada", "--role", "editor", "--name", "Ada", "--color",
        "#336699",
    ];
    let (code, _, printed) = said(&args, &key);
    let token = printed.trim();
    assert_eq!((code, printed.lines().count(), token.matches('.').count()), (Some(0), 1, 2));
    let args = ["token", "--prefix", "team/", "--user", "bob", "--role", "viewer", "--ttl", "60s"];
    let (_, _, viewer) = said(&args, &key);
    let variables = [("RUANG_AUTH_KEY", SECRET), ("RUANG_ADMIN_TOKEN", ADMIN), ("RUANG_LOG", "trace")];
    let mut server = serve(dir.path(), &["--admin-listen", "127.0.0.1:0"], &variables);
    let address = server.address.clone();
    let admin = server.until_logged("the admin API listens on http://");
    let url = |room: &str, token: &str| format!("ws://{address}/ws/{room}?token={token}");
    let mut client = Client::connect(&url("retro", token), Some("ruang.v1")).await;
    client.sync().await;
    client.set("k", "v").await;
    client.until_acked().await.unwrap();
    let protocol = format!("bearer.{}", viewer.trim()).leak();
    let mut other = Client::connect(&format!("ws://{address}/ws/team%2F1"), Some(protocol)).await;
    other.sync().await;
    let bad = format!("{}x", &token[..token.len() - 4]);
    for (room, token, code) in [("retro", &*bad, 4401), ("other", token, 4403)] {
        let mut refused = Client::connect(&url(room, token), None).await;
        refused.send(y_websocket::sync_step1(&[0])).await;
        assert_eq!(refused.until_closed().await, Some(code));
    }
    let address = address.parse().unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert!(request(address, "GET", "/api/v1/rooms/retro", &bearer, "").await.starts_with("HTTP/1.1 200"));
    assert!(request(address, "DELETE", "/api/v1/rooms/retro", &bearer, "").await.starts_with("HTTP/1.1 403"));
    let headers = format!("Authorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\n");
    let admin = admin.parse().unwrap();
    assert!(request(admin, "POST", "/v1/revocations", "", "{}").await.starts_with("HTTP/1.1 401"));
    let revoked = request(admin, "POST", "/v1/revocations", &headers, r#"{"user":"ada"}"#).await;
    assert!(revoked.starts_with("HTTP/1.1 201"), "{revoked}");
    assert_eq!(client.until_closed().await, Some(4401));
    let log = server.end();
    assert!(log.contains("DEBUG") && log.contains("ruang::audit"), "{log}");
    assert!(!log.contains("no authentication"), "{log}");
    let parts = token.split('.').chain(viewer.trim().split('.')).chain([SECRET, ADMIN, "ada"]);
    // The first part is the same for all tokens and says nothing.
    for secret in parts.filter(|part| !part.starts_with("eyJ0eXAi")) {
        let told: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert_eq!(told, [""; 0], "a secret of {} bytes is in the log", secret.len());
    }
    println!("{} lines logged, no secret in them", log.lines().count());

    // What was revoked is revoked after a restart.
    let server = serve(dir.path(), &[], &variables);
    let mut again = Client::connect(&server.url(&format!("retro?token={token}")), None).await;
    assert_eq!(again.until_closed().await, Some(4401));
    drop(server);
}

/// [A22] What cannot be is refused in one line with exit code 2, without repeating a secret; with a key the server listens
/// anywhere, without one it says loudly that anybody may come.
#[tokio::test]
async fn bad_settings_of_authentication_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("file:{}", dir.path().display());
    let refused = |more: &[&str], variables: &[(&str, &str)]| {
        let args = [&["serve", "--store", &*store], more].concat();
        let (code, text, _) = said(&args, variables);
        println!("{}", text.trim());
        assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
        text
    };
    let short = "hunter2";
    assert!(refused(&[], &[("RUANG_AUTH_KEY", short)]).contains("RUANG_AUTH_KEY"));
    assert!(refused(&["--auth-key-file", "/nowhere"], &[]).contains("/nowhere"));
    assert!(refused(&["--auth-leeway", "31s"], &[]).contains("at most 30s"));
    assert!(refused(&["--auth-token-life", "9000h"], &[]).contains("8784h"));
    assert!(refused(&["--auth-key-file", "ruang.document=x"], &[]).contains("own key"));
    assert!(refused(&["--admin-listen", "0.0.0.0:0"], &[]).contains("RUANG_ADMIN_TOKEN"));
    let text = refused(&["--admin-listen", "0.0.0.0:0"], &[("RUANG_ADMIN_TOKEN", short)]);
    assert!(text.contains("32 bytes") && !text.contains(short));
    assert!(refused(&["--listen", "0.0.0.0:0"], &[]).contains("--insecure"));
    let args = ["token", "--room", "a", "--user", "b", "--role", "editor"];
    let (code, text, printed) = said(&args, &[]);
    assert_eq!((printed.as_str(), code), ("", Some(2)), "{text}");
    assert!(text.contains("no key"), "{text}");
    let (code, text, _) =
        said(&["token", "--room", "a", "--user", "b", "--role", "boss"], &[("RUANG_AUTH_KEY", SECRET)]);
    assert!(code == Some(2) && text.contains("viewer, editor"), "{text}");

    let mut open = serve(dir.path(), &[], &[]);
    open.until_logged("no authentication: everyone");
    drop(open);
    drop(serve(dir.path(), &["--listen", "0.0.0.0:0"], &[("RUANG_AUTH_KEY", SECRET)]));
}

/// [O90] Metrics are on the admin listener alone where there is one, unless it is set otherwise.
#[tokio::test]
async fn metrics_are_where_it_is_set() {
    let admin = ["--admin-listen", "127.0.0.1:0"];
    for (more, public) in [
        (vec![], "200"),
        (vec!["--metrics", "admin"], "404"),
        (admin.to_vec(), "404"),
        ([&admin[..], &["--metrics", "public"]].concat(), "200"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = serve(dir.path(), &more, &[]);
        let address = server.address.parse().unwrap();
        let answer = request(address, "GET", "/metrics", "", "").await;
        println!("{more:?}: {}", answer.lines().next().unwrap_or_default());
        assert_eq!(answer.split(' ').nth(1), Some(public));
        assert_eq!(answer.contains("ruang_rooms_open"), public == "200");
        if more.contains(&admin[0]) {
            let listener = server.until_logged("the admin API listens on http://");
            let mut stream = tokio::net::TcpStream::connect(&listener).await.unwrap();
            let asked = format!("GET /metrics HTTP/1.1\r\nHost: {listener}\r\nConnection: close\r\n\r\n");
            tokio::io::AsyncWriteExt::write_all(&mut stream, asked.as_bytes()).await.unwrap();
            let mut heard = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut heard).await.unwrap();
            assert!(heard.contains("ruang_rooms_open"), "{heard}");
        }
        server.end();
    }
}

/// [A13] [A22] Keys of files are read again on SIGHUP: new tokens are looked at with the new ones, sessions stay.
#[tokio::test]
async fn keys_are_read_again_on_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, SECRET).unwrap();
    let config = dir.path().join("ruang.toml");
    let next = "the-next-secret-0123456789abcdefghij";
    std::fs::write(&config, format!("auth-key-file = \"{}\"\nauth-issuer = \"a,b\"\n", file.display()))
        .unwrap();
    let config = config.display().to_string();
    let mut server = serve(&dir.path().join("store"), &["--config", &config], &[]);
    let address = server.address.clone();
    let mint = |secret: &str| {
        let args = ["token", "--room", "a", "--user", "b", "--role", "editor", "--auth-issuer", "b"];
        said(&args, &[("RUANG_AUTH_KEY", secret)]).2.trim().to_owned()
    };
    let connect =
        async |token: &str| Client::connect(&format!("ws://{address}/ws/a?token={token}"), None).await;
    let (old, new) = (mint(SECRET), mint(next));
    let mut stays = connect(&old).await;
    stays.sync().await;
    assert_eq!(connect(&new).await.until_closed().await, Some(4401));
    std::fs::write(&file, "short").unwrap();
    server.signal("-HUP");
    server.until_logged("keys cannot be read again");
    connect(&old).await.sync().await;
    std::fs::write(&file, next).unwrap();
    server.signal("-HUP");
    server.until_logged("keys are read again");
    connect(&new).await.sync().await;
    assert_eq!(connect(&old).await.until_closed().await, Some(4401));
    stays.set("k", "v").await;
    let mut reader = connect(&new).await;
    reader.sync().await;
    reader.until_set("k", "v").await;
    drop(server);
}

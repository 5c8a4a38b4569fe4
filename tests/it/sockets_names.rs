//! Hostile room names: each is a room of its own, or is refused for good.

use std::sync::Arc;

use ruang::ids::InstanceId;
use ruang::log::Log;
use ruang::log::embedded::EmbeddedLog;
use ruang::log::memory::MemoryLog;

use crate::harness::{Client, Server};

/// A name as a browser puts it into an address: everything but letters and digits is encoded.
fn encode(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    name.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn names() -> Vec<String> {
    let names = [
        "*",
        ":",
        "{}",
        "{a}",
        "[a]",
        "?",
        "??",
        "a*",
        "a?c",
        "abc",
        "%2F",
        "%2f",
        "/",
        "//",
        "..",
        ".",
        "../x",
        "..%2f",
        "..%2fx",
        "x",
        "x/",
        "x//",
        "/x",
        "x/..",
        "x ",
        " x",
        "X",
        "room",
        "room1",
        "room:1",
        "room/1",
        "room%001",
        "room\\1",
        "é",
        "e\u{301}",
        "ﬁ",
        "fi",
        "K",
        "\u{212a}",
        "房間",
        "👩‍👧",
        "\u{200b}",
        "\u{202e}x",
        "retro:room:x:log",
        "{x}:y",
        "$x",
        "x\"",
        "'; --",
        "NUL",
        "~",
        "#",
        "&a=b",
        "+",
        "%",
        "%%",
        "null",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.extend(["y".repeat(127), "y".repeat(128), "é".repeat(64), format!("{}é", "y".repeat(126))]);
    names
}

async fn each_is_its_own(log: Arc<dyn Log>) {
    let server = Server::start(Arc::clone(&log)).await;
    let names = names();
    let mut authors = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let mut author = Client::connect(&server.url(&encode(name)), Some("ruang.v1")).await;
        author.sync().await;
        assert_eq!(author.get("name"), None, "{name:?} is a room of its own");
        author.set("name", &n.to_string()).await;
        author.until("the acks", |author| author.acked == 2).await;
        authors.push(author);
    }
    for (n, name) in names.iter().enumerate() {
        let newcomer = server.join(&encode(name)).await;
        assert_eq!(newcomer.get("name"), Some(n.to_string()), "{name:?}");
    }
    for (author, name) in authors.iter_mut().zip(&names) {
        let heard = author.received.len();
        while author.step(std::time::Duration::ZERO).await == Ok(true) {}
        // Its own marker, at most: nothing of another room.
        assert!(author.received.len() <= heard + 1, "{name:?}");
    }
    let mut stored = log.rooms(None, 1_000).await.unwrap();
    let mut expected: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected, "[W1] exactly these rooms exist, byte for byte");
    // The same name written in another way is the same room.
    for (written, name) in
        [("room%3A1", "room:1"), ("room:1", "room:1"), ("room/1", "room/1"), ("roo%6d", "room")]
    {
        let n = names.iter().position(|known| known == name).unwrap();
        assert_eq!(server.join(written).await.get("name"), Some(n.to_string()), "{written}");
    }
    server.stop().await;
}

/// [W1, L7] Patterns, separators, dots, prefixes, cases and normal forms: no two names meet.
#[tokio::test]
async fn hostile_names_are_rooms_of_their_own_in_memory() {
    each_is_its_own(Arc::new(MemoryLog::new())).await;
}

/// [W1, L7] The same on the embedded store.
#[tokio::test]
async fn hostile_names_are_rooms_of_their_own_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    each_is_its_own(Arc::new(EmbeddedLog::open(dir.path(), InstanceId(7)).unwrap())).await;
}

/// [W1] What cannot be a name gets a final answer and leaves nothing.
#[tokio::test]
async fn names_that_cannot_be_are_refused_for_good() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(Arc::clone(&log)).await;
    let long = "y".repeat(129);
    let wide = "é".repeat(65);
    let huge = "y".repeat(8_000);
    for name in ["a\0b", "\0", "\n", "a\r\nb", "\u{1b}[2J", "\u{7f}", "x\u{85}", &long, &wide, &huge] {
        let mut client = server.connect(&encode(name)).await;
        assert_eq!(client.until_closed().await, Some(4400), "{name:?}");
    }
    assert_eq!(log.rooms(None, 10).await.unwrap(), []);
    assert_eq!(server.app.rooms.open_count(), 0);
    server.stop().await;
}

//! A board as a file.

use std::path::PathBuf;

use ruang::board::export::{csv, markdown};
use ruang::board::view::RetroRoomState;
use serde_json::Value;

use crate::api_support::World;
use crate::board_support::{Boards, every_edit, in_document, state};

/// Set: files that are not there are written as they would be.
const WRITE_GOLDEN: &str = "RUANG_WRITE_GOLDEN";

fn golden(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/exports", name].iter().collect()
}

fn time(ms: u64) -> String {
    format!("{ms} ms")
}

fn board() -> RetroRoomState {
    let json = std::fs::read(golden("board.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn compare(name: &str, written: &str) {
    let path = golden(name);
    if std::env::var_os(WRITE_GOLDEN).is_some() && !path.exists() {
        std::fs::write(&path, written).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    println!("{name}: {} bytes", expected.len());
    assert_eq!(written, expected, "{name}");
}

/// The fields of a table, as RFC 4180 has them.
fn table(csv: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut quoted = false;
    let mut characters = csv.trim_start_matches('\u{FEFF}').chars().peekable();
    while let Some(character) = characters.next() {
        let row = rows.last_mut().unwrap();
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                row.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'), "lines end with both");
                rows.push(vec![String::new()]);
            }
            character => row.last_mut().unwrap().push(character),
        }
    }
    assert!(!quoted);
    assert_eq!(rows.pop(), Some(vec![String::new()]), "the last line ends, too");
    rows
}

/// [B46] A board with all that is hard to write, as Markdown and as a table, is the same bytes as ever.
#[test]
fn exports_are_the_same_bytes_as_ever() {
    let board = board();
    compare("board.md", &markdown(&board, time));
    let table_of = csv(&board, time);
    compare("board.csv", &table_of);
    let rows = table(&table_of);
    assert_eq!(rows.len(), board.items.len() + 1);
    for row in &rows {
        assert_eq!(row.len(), rows[0].len(), "{row:?}");
    }
    for row in &rows[1..] {
        let text = &board.items[row[0].trim_start_matches('\'')].text;
        let said = row[3].strip_prefix('\'').filter(|_| !text.starts_with('\'')).unwrap_or(&row[3]);
        let guarded = text.replace("\n-", "\n'-"); // a cell may begin there
        assert_eq!(said, guarded.replace('\u{0}', "\u{FFFD}"), "{row:?}");
        for cell in row.iter().take(6) {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "a spreadsheet may run {cell:?}");
        }
    }
}

/// [B46] What is exported is the committed board, under its position, as a file of a name and a type that are safe.
#[tokio::test]
async fn exports_are_files() {
    let boards = Boards::start().await;
    for (user, edit) in every_edit() {
        boards.done(user, &edit).await;
    }
    let shown = boards.shown().await;
    let at = boards.get("").await.position();
    for (format, media_type) in [
        ("json", "application/json"),
        ("md", "text/markdown; charset=utf-8"),
        ("csv", "text/csv; charset=utf-8"),
    ] {
        let file = boards.get(&format!("/export?format={format}")).await;
        assert_eq!((file.status, file.headers["content-type"].as_str()), (200, media_type));
        assert_eq!(file.position(), at);
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        let name =
            format!("attachment; filename=\"board-retro.{format}\"; filename*=UTF-8''board-retro.{format}");
        assert_eq!(file.headers["content-disposition"], name);
        let text = String::from_utf8(file.body.clone()).unwrap();
        println!("{text}");
        match format {
            "json" => assert_eq!(in_document(state(&file.json())), in_document(shown.clone())),
            "md" => assert!(text.starts_with("# Sprint 7\n") && text.contains("rewritten 👩‍👩‍👧")),
            _ => assert_eq!(table(&text).len(), shown.items.len() + 1),
        }
    }
    let log = boards.get("/export").await;
    assert_eq!(log.headers["content-type"], "application/octet-stream", "what it was before boards");
    boards.server.stop().await;
}

/// [B47] What was exported comes back as it was, in a new room and in one that was only begun; the same file for `ruang replay
/// import` too, since the members are the same.
#[tokio::test]
async fn what_was_exported_comes_back() {
    let world = World::start().await;
    let with_json = [("Content-Type", "application/json")];
    let original = std::fs::read(golden("board.json")).unwrap();
    let first = world.call("POST", "one/import", &with_json, Some(&original)).await;
    println!("{}", first.json());
    assert_eq!(first.status, 200);
    assert_eq!(world.records("one").await, 2, "one record");
    let template = b"{\"template\":\"retro\"}";
    assert_eq!(world.call("PUT", "two/board", &with_json, Some(template)).await.status, 200);
    let exported = world.get("one/export?format=json").await;
    assert_eq!(in_document(state(&exported.json())), in_document(board()));
    let second = world.call("POST", "two/import", &with_json, Some(&exported.body)).await;
    assert_eq!(second.status, 200);
    let again = world.get("two/export?format=json").await.json();
    assert_eq!(in_document(state(&again)), in_document(board()));
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&again), members(&exported.json()));
    world.server.stop().await;
}

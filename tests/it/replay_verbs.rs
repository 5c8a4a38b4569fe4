//! Verbs on a log in memory: what they print is pinned here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ruang::ids::{Position, RoomName};
use ruang::log::LogError;
use ruang::log::memory::Damage;
use ruang::log::record::Kind;
use ruang::replay::freeze::freeze;
use ruang::replay::output::Output;
use ruang::replay::place::{NotThere, Place, Side, resolve};
use ruang::replay::rooms::rooms;
use ruang::replay::show::{ShowOptions, show};
use ruang::replay::state::{Format, state};
use ruang::replay::verify::verify;
use ruang::replay::{Done, ReplayError};
use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, Transact, Update};

use crate::harness::PATIENCE;
use crate::log_support::room;
use crate::replay_support::*;

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

/// [O11] Each room is one line, in byte order, with what an operator asks first. The lines' form is pinned.
#[tokio::test]
async fn rooms_are_listed() {
    let (fixture, name) = story().await;
    fixture.append(&room("b"), vec![update_record(None, vec![], &[0, 0])]).await;
    let printed = printed(true, async |output| rooms(&*fixture.log, output).await).await;
    assert_eq!(printed.done.unwrap(), Done::Good);
    let lines = printed.out.lines();
    assert_eq!(field(&lines, "room"), ["b", "team/retro"]);
    let bytes = fixture.log.open(&name).await.unwrap().unwrap().bytes;
    let expected = json!({
        "v": 1, "type": "room", "room": "team/retro", "kind": "free",
        "head": "1795428240000-6", "time": "2026-11-23T10:04:00.000Z",
        "base": 0, "records": 6, "bytes": bytes, "snapshots": 0, "snapshot": null, "unfolded": 6,
        "deadline": "2026-11-24T10:04:00.000Z", "frozen": false,
    });
    assert_eq!(lines[1], expected);
}

/// [O20] The table has the same, for people, in plain text.
#[tokio::test]
async fn rooms_are_a_table() {
    let (fixture, _) = story().await;
    let printed = printed(false, async |output| rooms(&*fixture.log, output).await).await;
    let text = printed.out.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("ROOM        KIND  HEAD  NEWEST (UTC)"), "{text}");
    assert!(lines[1].starts_with("team/retro  free  #6    2026-11-23T10:04:00.000Z  6"), "{text}");
    assert!(!text.contains('\x1b'));
}

/// [O12] A record is one line: where, when, what kind, who, how large, and what it touches. Pinned.
#[tokio::test]
async fn records_are_shown_with_their_effect() {
    let (fixture, name) = story().await;
    let lines = shown(&fixture.log, &name, ShowOptions::default()).await;
    assert_eq!(lines.len(), 6);
    let bytes = lines[1]["bytes"].as_u64().unwrap();
    let expected = json!({
        "v": 1, "type": "record", "id": "1795428000000-2", "seq": 2, "time": "2026-11-23T10:00:00.000Z",
        "kind": "update", "user": "ayu", "session": 3, "role": "editor", "relayed_by": null,
        "room_kind": "free", "instance": "0000000000000abc", "bytes": bytes, "blocks": 2, "deletes": 0,
        "writes": ["items/a", "items/a/x"], "clears": [], "more": false, "outcome": "new", "why": null,
    });
    assert_eq!(lines[1], expected);
    assert_eq!(field(&lines, "kind"), ["genesis", "update", "update", "update", "update", "update"]);
    assert_eq!(lines[2]["writes"], json!(["notes[]"]));
    assert_eq!((&lines[5]["deletes"], &lines[5]["clears"]), (&json!(2), &json!(["items/a"])));

    let printed =
        printed(false, async |output| show(&fixture.log, &name, &ShowOptions::default(), TEN, output).await);
    let text = printed.await.out.text();
    for effect in
        ["the room begins", "2 blocks in items/a, items/a/x", "1 block in notes[]", "2 deleted in items/a"]
    {
        assert!(text.contains(effect), "{effect}: {text}");
    }
    assert!(text.contains("ayu (3)") && text.contains("1795428000000-2"), "{text}");
}

/// [O12] A part of the records: from, to, how many, which kind.
#[tokio::test]
async fn a_part_is_shown() {
    let (fixture, name) = story().await;
    let seqs = async |options: ShowOptions| -> Vec<u64> {
        let lines = shown(&fixture.log, &name, options).await;
        lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    };
    let options = |from: Option<&str>, to: Option<&str>, count: Option<usize>, kind: Option<Kind>| {
        ShowOptions { from: from.map(place), to: to.map(place), count, kind, follow: false }
    };
    assert_eq!(seqs(options(None, None, Some(2), None)).await, [5, 6]);
    assert_eq!(seqs(options(Some("#2"), None, Some(2), None)).await, [2, 3]);
    assert_eq!(seqs(options(Some("#3"), Some("#4"), None, None)).await, [3, 4]);
    assert_eq!(seqs(options(None, Some("#4"), Some(3), None)).await, [2, 3, 4]);
    assert_eq!(seqs(options(None, None, Some(1), Some(Kind::Genesis))).await, [1]);
    assert_eq!(seqs(options(None, None, Some(1), Some(Kind::Update))).await, [6]);
    assert_eq!(seqs(options(Some("2026-11-23T10:02Z"), None, None, None)).await, [4, 5, 6]);
    assert_eq!(seqs(options(None, Some("2026-11-23T10:01:30Z"), None, None)).await, [1, 2, 3]);
    assert_eq!(seqs(options(Some("-58m"), None, None, None)).await, [4, 5, 6], "an hour after ten");
    assert_eq!(seqs(options(Some("head"), None, None, None)).await, [6]);
}

/// [O12] What is damaged, or not in the document, is shown as that, in its place.
#[tokio::test]
async fn damage_is_shown() {
    let (fixture, name) = story().await;
    assert!(fixture.faults.damage(&name, 4, Damage::FlipBit(300)));
    fixture.append(&name, vec![update_record(None, vec![], b"no update")]).await;
    let lines = shown(&fixture.log, &name, ShowOptions::default()).await;
    assert_eq!(field(&lines, "seq"), [1, 2, 3, 4, 5, 6, 7]);
    let time = "2026-11-23T10:02:00.000Z";
    let why = "the record is damaged: its checksum does not hold";
    let damaged =
        json!({ "v": 1, "type": "damaged", "id": "1795428120000-4", "seq": 4, "time": time, "why": why });
    assert_eq!(lines[3], damaged);
    // What follows of the same client builds on it.
    assert_eq!((&lines[4]["outcome"], &lines[6]["outcome"]), (&json!("set_aside"), &json!("set_aside")));
}

/// [O14] Following shows what comes, once each and in order, and ends when the room is removed.
#[tokio::test]
async fn a_room_is_followed() {
    let (fixture, name) = story().await;
    let paper = Paper::default();
    let following = tokio::spawn({
        let (log, name, paper) = (Arc::clone(&fixture.log), name.clone(), paper.clone());
        async move {
            let (mut out, mut notes) = (paper, Paper::default());
            let mut output = Output::new(&mut out, &mut notes, true, false);
            let options = ShowOptions { count: Some(1), follow: true, ..ShowOptions::default() };
            show(&log, &name, &options, TEN, &mut output).await
        }
    });
    let until = async |count: usize| {
        let wait = async {
            while paper.lines().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    };
    until(1).await;
    for n in 0..3_u64 {
        let mut author = Author::new(1_000 + n);
        let map = author.doc.get_or_insert_map("items");
        let update = author.edit(|doc| {
            yrs::Map::insert(&map, &mut doc.transact_mut(), "k", n as i64);
        });
        fixture.append(&name, vec![update_record(None, vec![], &update)]).await;
    }
    until(4).await;
    assert_eq!(field(&paper.lines(), "seq"), [6, 7, 8, 9]);
    assert_eq!(paper.lines()[3]["writes"], json!(["items/k"]));
    fixture.log.delete(&name).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, following).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ReplayError::Walk(_))), "{ended:?}");
}

/// [O10] A moment is found by halving; places that a room does not have are refused with what it has.
#[tokio::test]
async fn places_are_found() {
    let (fixture, name) = story().await;
    let head = fixture.log.open(&name).await.unwrap().unwrap();
    let find = async |text: &str, side| {
        resolve(&*fixture.log, (&name, &head), place(text), side, TEN + 5 * MINUTE).await
    };
    for (text, before, after) in [
        ("2026-11-23T09:59Z", 0, 1),
        ("2026-11-23T10:00Z", 2, 1),
        ("2026-11-23T10:00:30Z", 2, 3),
        ("2026-11-23T10:04Z", 6, 6),
        ("2026-11-23T11:00Z", 6, 7),
        ("-5m", 2, 1),
        ("-1s", 6, 7),
        ("head", 6, 6),
        ("#4", 4, 4),
        ("1795428120000-4", 4, 4),
    ] {
        assert_eq!(find(text, Side::Before).await, Ok(before), "up to {text}");
        assert_eq!(find(text, Side::After).await, Ok(after), "from {text}");
    }
    assert_eq!(find("#7", Side::Before).await, Err(NotThere::Above { asked: 7, last: 6 }));
    assert_eq!(find("snapshot", Side::Before).await, Err(NotThere::NoSnapshot));
    let (asked, found) = (Position { seq: 4, ms: 9 }, Position { seq: 4, ms: TEN + 2 * MINUTE });
    assert_eq!(find("9-4", Side::Before).await, Err(NotThere::OtherId { asked, found }));
}

async fn document(fixture: &Fixture, name: &RoomName, at: &str, format: Format) -> Printed {
    printed(false, async |output| {
        state(&fixture.log, name, place(at), format, TEN + 5 * MINUTE, output).await
    })
    .await
}

/// [O13] The document is what it was at each position.
#[tokio::test]
async fn any_moment_can_be_seen() {
    let (fixture, name) = story().await;
    let at = async |at: &str| -> Value {
        serde_json::from_str(&document(&fixture, &name, at, Format::Json).await.out.text()).unwrap()
    };
    assert_eq!(at("0").await, json!({}));
    assert_eq!(at("#1").await, json!({}));
    assert_eq!(at("#2").await, json!({ "items": { "a": { "x": 1 } } }));
    assert_eq!(at("2026-11-23T10:01Z").await, json!({ "items": { "a": { "x": 1 } }, "notes": "hello" }));
    let fifth = json!({ "items": { "a": { "x": 1 }, "b": "second" }, "notes": "hello world" });
    assert_eq!(at("#5").await, fifth);
    let last = json!({ "items": { "b": "second" }, "notes": "hello world" });
    assert_eq!((at("head").await, at("-1s").await), (last.clone(), last));
}

/// [O13, B83] As bytes, it is what a client would be sent; as text, one value a line; as a board, what a board would show; as
/// a line of JSON, with its place, and with the board in rooms of that kind only.
#[tokio::test]
async fn documents_have_five_forms() {
    let (fixture, name) = story().await;
    let update = document(&fixture, &name, "#5", Format::Update).await.out.bytes();
    let copy = Doc::new();
    copy.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
    let notes = copy.get_or_insert_text("notes");
    assert_eq!(notes.get_string(&copy.transact()), "hello world");
    let vector = document(&fixture, &name, "#5", Format::Sv).await.out.bytes();
    assert_eq!(yrs::StateVector::decode_v1(&vector).unwrap(), copy.transact().state_vector());
    let text = document(&fixture, &name, "#5", Format::Text).await.out.text();
    assert_eq!(text, "items/a/x 1\nitems/b \"second\"\nnotes \"hello world\"\n");
    let board = document(&fixture, &name, "#2", Format::Board).await.out.text();
    let board: Value = serde_json::from_str(board.strip_suffix('\n').unwrap()).unwrap();
    assert_eq!(
        board["items"],
        json!({ "a": { "text": "", "column": null, "author": null, "createdAt": null } })
    );
    assert_eq!(board["lastUpdated"], json!(TEN));
    let line = printed(true, async |output| {
        state(&fixture.log, &name, place("#2"), Format::Json, TEN, output).await
    });
    let expected = json!({
        "v": 1, "type": "state", "room": "team/retro", "at": "1795428000000-2",
        "time": "2026-11-23T10:00:00.000Z", "set_aside": 0, "document": { "items": { "a": { "x": 1 } } },
    });
    assert_eq!(line.await.out.lines(), [expected]);
}

/// [O13] What is missing from a document is said beside it.
#[tokio::test]
async fn a_document_with_damage_says_so() {
    let (fixture, name) = story().await;
    assert!(fixture.faults.damage(&name, 4, Damage::Truncate(20)));
    let printed = document(&fixture, &name, "head", Format::Json).await;
    assert!(printed.out.text().contains("hello"), "{}", printed.out.text());
    assert!(
        printed.notes.text().contains("1795428120000-4 is not in the document"),
        "{}",
        printed.notes.text()
    );
}

/// [O12, O13] In a trimmed room the oldest moment is that of the oldest snapshot; what is before is refused in one line.
#[tokio::test]
async fn trimmed_rooms_begin_later() {
    let (fixture, name) = with_snapshots(true).await;
    let lines = shown(&fixture.log, &name, ShowOptions::default()).await;
    assert_eq!(field(&lines, "seq"), [4, 5, 6, 7]);
    assert_eq!(field(&lines, "outcome"), ["new"; 4]);
    let snapshot = document(&fixture, &name, "snapshot", Format::Json).await.out.text();
    assert_eq!(serde_json::from_str::<Value>(&snapshot).unwrap(), json!({ "items": { "k0": 4, "k1": 3 } }));
    let third = document(&fixture, &name, "#3", Format::Json).await.out.text();
    assert_eq!(serde_json::from_str::<Value>(&third).unwrap(), json!({ "items": { "k0": 0, "k1": 1 } }));
    let gone = document(&fixture, &name, "#2", Format::Json).await.done.unwrap_err().to_string();
    assert!(gone.contains("records up to 3 are trimmed") && !gone.contains('\n'), "{gone}");
}

/// [O12] Records that are older than the oldest snapshot are still shown, though nothing can be folded there; so are
/// all of them if no snapshot can be read.
#[tokio::test]
async fn records_before_the_oldest_snapshot_are_shown() {
    let (fixture, name) = with_snapshots(false).await;
    let snapshots = fixture.log.open(&name).await.unwrap().unwrap().snapshots;
    assert_eq!(fixture.log.trim(&name, 1).await.unwrap(), 1);
    let lines = shown(&fixture.log, &name, ShowOptions::default()).await;
    assert_eq!(field(&lines, "seq"), [2, 3, 4, 5, 6, 7]);
    let outcomes = field(&lines, "outcome");
    assert_eq!(outcomes[..2], [&Value::Null, &Value::Null]);
    assert_eq!(outcomes[2..], ["new"; 4]);
    for snapshot in snapshots {
        assert!(fixture.faults.rewrite_chunk(&name, snapshot.upload, 0, Vec::clear));
    }
    let lines = shown(&fixture.log, &name, ShowOptions::default()).await;
    assert_eq!((field(&lines, "seq").len(), &lines[5]["outcome"]), (6, &Value::Null));
}

/// [O16] Frozen is seen in the list, and thawed is not.
#[tokio::test]
async fn rooms_are_frozen_and_thawed() {
    let (fixture, name) = story().await;
    for (frozen, changed) in [(true, true), (true, false), (false, true)] {
        let printed = printed(true, async |output| freeze(&fixture.log, &name, frozen, output).await).await;
        let expected =
            json!({ "v": 1, "type": "frozen", "room": "team/retro", "frozen": frozen, "changed": changed });
        assert_eq!(printed.out.lines(), [expected]);
        assert_eq!(fixture.log.open(&name).await.unwrap().unwrap().frozen, frozen);
    }
}

/// [O21] A room that is not there, and a log that does not answer, are errors of one line.
#[tokio::test]
async fn what_is_not_there_is_said() {
    let (fixture, name) = story().await;
    let gone = room("gone");
    let absent = printed(true, async |output| verify(&fixture.log, Some(&gone), output).await).await.done;
    let text = absent.unwrap_err().to_string();
    assert_eq!(text, "there is no room of this name; see `ruang replay rooms`");
    fixture.log.close().await;
    let closed = printed(true, async |output| verify(&fixture.log, Some(&name), output).await).await.done;
    assert!(matches!(closed, Err(ReplayError::Log(LogError::Fatal(_)))), "{closed:?}");
    assert_eq!(fixture.now_ms.load(Ordering::Relaxed), TEN + 5 * MINUTE);
}

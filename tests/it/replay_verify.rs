//! `verify`: what is damaged is found at its place, and nothing else is.

use ruang::ids::RoomName;
use ruang::log::memory::Damage;
use ruang::replay::Done;
use ruang::replay::verify::verify;
use serde_json::{Value, json};
use yrs::Transact;

use crate::replay_support::*;

async fn findings(fixture: &Fixture, name: Option<&RoomName>) -> (Done, Vec<Value>) {
    let printed = printed(true, async |output| verify(&fixture.log, name, output).await).await;
    (printed.done.unwrap(), printed.out.lines())
}

/// [O15] A good room has no findings; the line says what was looked at.
#[tokio::test]
async fn good_rooms_have_no_findings() {
    let (fixture, name) = story().await;
    let good = json!({
        "v": 1, "type": "verified", "room": "team/retro", "records": 6, "snapshots": 0, "compared": 0, "findings": 0,
    });
    assert_eq!(findings(&fixture, Some(&name)).await, (Done::Good, vec![good.clone()]));
    assert_eq!(findings(&fixture, None).await, (Done::Good, vec![good]));
}

/// [O15] Damaged records, records that are no updates, and what builds on them: each is found at its place, with
/// what would help. The line's form is pinned.
#[tokio::test]
async fn damage_is_found() {
    let (fixture, name) = story().await;
    fixture.append(&name, vec![update_record(None, vec![], b"no update")]).await;
    let (done, lines) = findings(&fixture, Some(&name)).await;
    assert_eq!(done, Done::Findings);
    let help = "the room is served without it; a client that has it brings it back when it syncs, or restore a backup";
    let what = &lines[0]["what"];
    let expected = json!({ "v": 1, "type": "finding", "room": "team/retro", "at": "1795428300000-7", "what": what, "help": help });
    assert_eq!((lines.len(), &lines[0]), (2, &expected));
    assert!(fixture.faults.damage(&name, 3, Damage::FlipBit(400)));
    let (_, lines) = findings(&fixture, None).await;
    let at: Vec<&Value> = field(&lines[..lines.len() - 1], "at");
    assert_eq!(at[0], "1795428060000-3", "{lines:?}");
    assert!(at.contains(&&json!("1795428120000-4")) && at.contains(&&json!("1795428300000-7")), "{lines:?}");
    assert_eq!(lines.last().unwrap()["findings"], json!(at.len()));
}

/// [O15] Each snapshot is compared with what the records before it say, where they are there.
#[tokio::test]
async fn snapshots_are_compared() {
    for (trimmed, records, compared) in [(false, 7, 2), (true, 4, 1)] {
        let (fixture, name) = with_snapshots(trimmed).await;
        let (done, lines) = findings(&fixture, Some(&name)).await;
        let line = &lines[0];
        assert_eq!((done, &line["records"], &line["snapshots"]), (Done::Good, &json!(records), &json!(2)));
        assert_eq!(line["compared"], json!(compared));
    }
}

/// [O15] A snapshot that cannot be read is found, wherever it stands; a room whose only way back is gone, too.
#[tokio::test]
async fn damaged_snapshots_are_found() {
    for damaged in [0, 1] {
        for trimmed in [false, true] {
            let (fixture, name) = with_snapshots(trimmed).await;
            let snapshot = fixture.log.open(&name).await.unwrap().unwrap().snapshots[damaged];
            assert!(fixture.faults.rewrite_chunk(&name, snapshot.upload, 0, |bytes| bytes[40] ^= 4));
            let (done, lines) = findings(&fixture, Some(&name)).await;
            assert_eq!(done, Done::Findings);
            assert_eq!(
                lines[0]["at"],
                json!(format!("snapshot {} (#{})", damaged + 1, snapshot.through.seq))
            );
            assert!(lines[0]["what"].as_str().unwrap().contains("checksum"), "{lines:?}");
            assert_eq!((lines.len(), &lines[1]["snapshots"]), (2, &json!(1)), "{lines:?}");
        }
    }
}

/// [O15] A snapshot that is sound but says something else than the records is found: here one of other records.
#[tokio::test]
async fn a_wrong_snapshot_is_found() {
    let (fixture, name) = with_snapshots(false).await;
    let mut author = Author::new(9);
    let items = author.doc.get_or_insert_map("items");
    for (n, seq) in (10_i64..).zip([2, 3]) {
        let update = author.edit(|doc| {
            yrs::Map::insert(&items, &mut doc.transact_mut(), format!("k{}", n % 2), n);
        });
        let other = update_record(Some("budi"), vec![9], &update).encoded.to_vec();
        assert!(fixture.faults.rewrite(&name, seq, |bytes| *bytes = other));
    }
    let (done, lines) = findings(&fixture, Some(&name)).await;
    assert_eq!(done, Done::Findings);
    let what: Vec<&str> = lines.iter().filter_map(|line| line["what"].as_str()).collect();
    assert_eq!(
        what,
        ["its document is not what the records say"],
        "what was overwritten later is gone: {lines:?}"
    );
    assert!(lines[0]["help"].as_str().unwrap().contains("freeze"), "{lines:?}");
}

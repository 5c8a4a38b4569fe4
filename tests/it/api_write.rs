//! Writing documents.

use std::time::Duration;

use ruang::log::record::{Kind, Role, StoredRecord};
use serde_json::{Value, json};
use yrs::{Doc, ReadTxn, Text, Transact};

use crate::api_support::{World, patch, set, update};
use crate::harness::hostile;
use crate::hex::bytes;

/// [P4] A posted update is stored and shown as a client's edit is; what is known of it is left out.
#[tokio::test]
async fn posted_updates_are_stored_and_shown() {
    let world = World::start().await;
    let mut ann = world.server.join("r").await;
    let body = update(&[("k", "v")]);
    let written = world.post("r", &[], &body).await;
    ann.until_set("k", "v").await;
    let head = world.log.open(&"r".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(written.json(), json!({ "position": head.last.to_string(), "stored": true }));
    let again = world.post("r", &[], &body).await;
    assert_eq!(again.json(), json!({ "position": head.last.to_string(), "stored": false }));
    assert_eq!(world.records("r").await, 2, "the genesis and one update");

    let own = ann.encode_full();
    assert_eq!(world.post("r", &[], &own).await.json()["stored"], false, "what is given out is taken back");
    ann.set("x", "y").await;
    crate::harness::until("the edit is stored", || async { world.document("r").await["m"]["x"] == "y" })
        .await;

    // The first is complete, the second is not.
    let doc = Doc::with_client_id(9);
    let text = doc.get_or_insert_text("t");
    let piece = |word: &str| {
        let mut transaction = doc.transact_mut();
        text.push(&mut transaction, word);
        transaction.encode_update_v1()
    };
    let (_, second) = (piece("one"), piece("two"));
    let refused = world.post("r", &[], &second).await;
    assert_eq!(
        (refused.refusal(), &refused.json()["error"]["stored"]),
        ((409, "gap".to_owned()), &Value::Null)
    );
    let whole = doc.transact().encode_state_as_update_v1(&yrs::StateVector::default());
    assert_eq!(world.post("r", &[], &whole).await.status, 200);
    assert_eq!(world.document("r").await["t"], "onetwo");
    world.server.stop().await;
}

/// [P4] An edit that the store does not answer for is said to be undecided, after ten seconds; it is stored all the
/// same when the store comes back. Nobody else waits for it.
#[tokio::test]
async fn what_is_not_decided_is_said() {
    let world = World::start().await;
    world.post("r", &[], &update(&[("a", "1")])).await;
    let at = format!("\"{}\"", world.get("r/update").await.position());
    let held = world.faults.hold_appends();
    let (address, body) = (world.server.address, set("b", 2));
    let conditional = tokio::spawn(async move { patch(address, "r", &[("If-Match", &at)], &body).await });
    held.arrived(1).await;
    // While nothing may come before that edit, reads go on.
    assert_eq!(world.document("r").await, json!({ "m": { "a": "1" } }));
    let mut ann = world.server.connect("r").await;
    ann.sync().await;
    let refused = conditional.await.unwrap();
    println!("{}", refused.json());
    assert_eq!(refused.refusal(), (503, "undecided".to_owned()));
    held.release();
    ann.until_set("b", "2").await;
    assert_eq!(world.document("r").await, json!({ "m": { "a": "1", "b": 2 } }));
    world.server.stop().await;
}

/// [P6] All operations of a request are one record, in the caller's name; those that do not fit leave nothing.
#[tokio::test]
async fn an_edit_is_one_record() {
    let world = World::start().await;
    let made = world
        .patch(
            "r",
            &[],
            &json!({
                "roots": { "items": "map", "list": "array", "notes": "text" },
                "operations": [
                    { "op": "set", "path": ["items", "a"], "value": { "text": "hi" }, "as": "map" },
                    { "op": "set", "path": ["items", "a", "votes"], "value": 1 },
                    { "op": "insert", "path": ["list"], "values": [1, { "x": [true, null] }] },
                    { "op": "insert", "path": ["notes"], "text": "a😀b" },
                    { "op": "delete", "path": ["notes"], "at": 0, "count": 1 },
                ],
            }),
        )
        .await;
    assert_eq!(made.status, 200, "{made:?}");
    let expected = json!({
        "items": { "a": { "text": "hi", "votes": 1 } }, "list": [1, { "x": [true, null] }], "notes": "😀b",
    });
    assert_eq!(world.document("r").await, expected);
    let records = world.log.read(&"r".parse().unwrap(), 0, 10).await.unwrap();
    let about = |stored: &StoredRecord| match stored {
        StoredRecord::Intact { record, .. } => {
            let metadata = record.metadata().unwrap();
            (record.kind(), metadata.role, metadata.session.is_some(), metadata.user)
        }
        StoredRecord::Damaged { why, .. } => panic!("{why}"),
    };
    let about: Vec<_> = records.iter().map(about).collect();
    println!("{about:?}");
    assert_eq!(about[0].0, Kind::Genesis);
    assert_eq!((about.len(), about[1].0, about[1].2, about[1].3.clone()), (2, Kind::Update, true, None));
    assert_ne!(about[1].1, Role::Server, "it is the caller's, not the server's");
    assert_eq!(made.json()["position"], records[1].position().to_string());

    let refused = world
        .patch(
            "r",
            &[],
            &json!({ "operations": [
        { "op": "set", "path": ["items", "b"], "value": 1 },
        { "op": "delete", "path": ["items", "none"] },
    ] }),
        )
        .await;
    println!("{}", refused.json());
    assert_eq!(
        (refused.refusal(), &refused.json()["error"]["operation"]),
        ((422, "bad_operation".to_owned()), &json!(1))
    );
    for bad in [&b""[..], b"[]", b"{", b"{\"operations\":[{\"op\":\"move\"}]}", b"\xff"] {
        let answer =
            world.call("PATCH", "r", &[("Content-Type", "application/json; charset=utf-8")], Some(bad)).await;
        assert_eq!(answer.refusal(), (400, "bad_json".to_owned()));
    }
    let nothing = world
        .patch(
            "r",
            &[],
            &json!({ "operations": [
        { "op": "insert", "path": ["list"], "at": 0, "values": [7] },
        { "op": "delete", "path": ["list", 0] },
    ] }),
        )
        .await;
    println!("what cancels itself: {}", nothing.json());
    assert_eq!(world.document("r").await, expected);

    // A room that holds nothing is not made by what is refused.
    assert_eq!(world.patch("none", &[], &json!({ "operations": [] })).await.status, 422);
    assert_eq!(world.records("none").await, 0);
    world.server.stop().await;
}

/// [P8] Edits one after the other are written under one client id, edits at the same time under several; each is
/// there in the end.
#[tokio::test]
async fn client_ids_are_used_again() {
    let world = World::start().await;
    for n in 0..20 {
        assert_eq!(world.patch("r", &[], &set(&format!("k{n}"), n)).await.status, 200);
    }
    let clients = async || world.get("r/update").await.doc().transact().state_vector().len();
    assert_eq!(clients().await, 2, "the mark of the room's life, and one client");
    let address = world.server.address;
    let at_once: Vec<_> = (0..20)
        .map(|n| {
            tokio::spawn(async move { patch(address, "r", &[], &set(&format!("p{n}"), n)).await.status })
        })
        .collect();
    for one in at_once {
        assert_eq!(one.await.unwrap(), 200);
    }
    let document = world.document("r").await;
    assert_eq!(document["m"].as_object().unwrap().len(), 40);
    let after = clients().await;
    println!("{after} clients after 20 edits one by one and 20 at once");
    assert!(after <= 2 + 20);
    world.server.stop().await;
}

/// [P5] Hostile updates are refused with the gate's reason, nothing of them is stored, and others go on.
#[tokio::test]
async fn hostile_updates_are_refused() {
    let world = World::start().await;
    world.post("r", &[], &update(&[("k", "v")])).await;
    let mut seen = 0;
    for input in hostile().into_iter().filter(|input| input.kind == "update") {
        let (last, before) = input.hex.split_last().unwrap();
        let room = format!("hostile-{seen}");
        for message in before {
            world.post(&room, &[], &bytes(message)).await;
        }
        let answer = world.post(&room, &[], &bytes(last)).await;
        println!("{}: {} {}", input.name, answer.status, String::from_utf8_lossy(&answer.body));
        if input.refused {
            assert!(matches!(answer.status, 400 | 413), "{}", input.name);
        } else {
            assert!(matches!(answer.status, 200 | 409), "{}", input.name);
        }
        let document =
            tokio::time::timeout(Duration::from_secs(10), world.get(&format!("{room}/document"))).await;
        assert!(matches!(document.expect("it ends").status, 200 | 404));
        seen += 1;
    }
    assert!(seen > 10);
    assert_eq!(world.document("r").await, json!({ "m": { "k": "v" } }));
    world.server.stop().await;
}

//! Random edits, by several people, over HTTP and over a socket.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ruang::board::edit::{Author, Edit, apply};
use ruang::board::rules::may;
use ruang::board::view::view;
use ruang::caller::Role;
use ruang::wire::y_websocket;
use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::{Doc, Map, ReadTxn, Transact, Update};

use crate::board_support::{Boards, add, in_document, seen};
use crate::harness::{seeds, until};

const PEOPLE: [&str; 3] = ["ann", "bob", "fay"];

fn random_edit(rng: &mut StdRng) -> Value {
    let id = |rng: &mut StdRng| format!("c{}", rng.random_range(0..6));
    let group = |rng: &mut StdRng| format!("g{}", rng.random_range(0..3));
    match rng.random_range(0..12) {
        0..=2 => add(&id(rng), "text"),
        3 => json!({ "type": "setItemText", "id": id(rng), "text": "x".repeat(rng.random_range(0..40)) }),
        4 => {
            json!({ "type": "moveItem", "id": id(rng), "position": { "x": rng.random_range(-9..9), "y": 0.5 } })
        }
        5 => json!({ "type": "deleteItem", "id": id(rng) }),
        6 => json!({ "type": "setGroup", "id": group(rng), "title": "G", "order": rng.random_range(0..5) }),
        7 => json!({ "type": "setItemGroup", "id": id(rng), "group": group(rng) }),
        8 => json!({ "type": "deleteGroup", "id": group(rng) }),
        9 => json!({ "type": "vote", "target": id(rng), "count": rng.random_range(0..4) }),
        10 => {
            json!({ "type": "setActionItem", "id": group(rng), "text": "do", "done": rng.random::<bool>() })
        }
        _ => json!({ "type": "setItemColumn", "id": id(rng), "column": "bad" }),
    }
}

/// [B45] Whatever people edit, one by one and in lists, over HTTP and over a socket, each edit is made or refused as on a document
/// of one's own; and what is shown is what a client sees that has folded the updates.
#[tokio::test]
async fn random_edits_are_made_as_on_a_document_of_ones_own() {
    for seed in seeds(4) {
        let mut rng = StdRng::seed_from_u64(seed);
        let boards = Boards::start().await;
        let mut watcher = boards.join("eve").await;
        let own = Doc::new();
        let (mut made, mut refused) = (0, 0);
        for _ in 0..60 {
            let user = PEOPLE[rng.random_range(0..PEOPLE.len())];
            let list: Vec<Value> = (0..rng.random_range(1..4)).map(|_| random_edit(&mut rng)).collect();
            // What a document of one's own says to them; nothing of them is in it if one is refused.
            let trial = Doc::new();
            let whole = own.transact().encode_state_as_update_v1(&yrs::StateVector::default());
            trial.transact_mut().apply_update(Update::decode_v1(&whole).unwrap()).unwrap();
            let author = Author { user, now_ms: 1 };
            let first_bad = list.iter().position(|edit| {
                let edit: Edit = serde_json::from_value(edit.clone()).unwrap();
                let role = if user == "fay" { Role::Facilitator } else { Role::Editor };
                may(&edit, role, Some(user), &trial).is_err() || apply(&trial, &edit, author).is_err()
            });
            let answer = boards.edit(user, &Value::Array(list.clone())).await;
            match first_bad {
                None => {
                    assert_eq!(answer.status, 200, "seed {seed}: {list:?} {answer:?}");
                    made += 1;
                }
                Some(index) => {
                    assert_eq!(answer.json()["error"]["edit"], json!(index), "seed {seed}: {list:?}");
                    refused += 1;
                }
            }
            let stored = boards.get("/update").await;
            if stored.status == 200 {
                own.transact_mut().apply_update(Update::decode_v1(&stored.body).unwrap()).unwrap();
                let shown = in_document(boards.shown().await);
                assert_eq!(shown, in_document(view(&own)), "seed {seed}");
                watcher.until(&format!("seed {seed}"), |watcher| seen(watcher) == shown).await;
            }
            if rng.random_range(0..4) == 0 {
                let map = watcher.doc.get_or_insert_map("signatureColors");
                let color = format!("#{:06x}", rng.random_range(0..1 << 24));
                let update = {
                    let mut transaction = watcher.doc.transact_mut();
                    map.insert(&mut transaction, "eve", color.as_str());
                    transaction.encode_update_v1()
                };
                watcher.send(y_websocket::update(&update)).await;
                until("it is stored", || async {
                    let shown = boards.get("").await;
                    shown.status == 200 && shown.json()["signatureColors"]["eve"] == color
                })
                .await;
            }
        }
        println!("seed {seed}: {made} lists made, {refused} refused");
        assert!(made > 5 && refused > 5, "seed {seed}");
        boards.server.stop().await;
    }
}

//! Boards as large as they may be.

use serde_json::{Value, json};

use crate::api_support::World;
use crate::board_support::{in_document, state};

const WITH_JSON: (&str, &str) = ("Content-Type", "application/json");

fn large(cards: usize) -> Value {
    let items: serde_json::Map<String, Value> = (0..cards)
        .map(|n| {
            let text = format!("card {n} של מישהו 🎉");
            (
                format!("c{n:05}"),
                json!({ "text": text, "column": "well", "author": format!("u{}", n % 50), "createdAt": n }),
            )
        })
        .collect();
    let positions: serde_json::Map<String, Value> =
        (0..cards).map(|n| (format!("c{n:05}"), json!({ "x": n as f64, "y": 0.0 }))).collect();
    json!({ "meta": { "columns": [{ "id": "well", "title": "Well" }] }, "items": items, "itemPositions": positions })
}

/// [B49] Ten thousand cards come in as one record, are shown, exported in every form, and edited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_cards() {
    let world = World::start().await;
    let board = large(10_000);
    let body = board.to_string();
    let began = std::time::Instant::now();
    let said = |what: &str| println!("{what}: {:?} from the beginning", began.elapsed());
    let imported = world.call("POST", "r/import", &[WITH_JSON], Some(body.as_bytes())).await;
    said(&format!("imported {} bytes", body.len()));
    assert_eq!(imported.status, 200, "{:.300}", String::from_utf8_lossy(&imported.body));
    let shown = world.get("r?as=board").await;
    said(&format!("shown, {} bytes", shown.body.len()));
    assert_eq!(in_document(state(&shown.json())), in_document(state(&board)));
    assert_eq!(world.get("r?as=board").await.body.len(), shown.body.len());
    said("shown again");
    for format in ["json", "md", "csv"] {
        let file = world.get(&format!("r/export?format={format}")).await;
        said(&format!("exported as {format}, {} bytes", file.body.len()));
        assert_eq!(file.status, 200);
        assert!(file.body.windows(10).any(|window| window == b"card 9999 "));
    }
    let edit = json!({ "type": "vote", "target": "c00001", "count": 1 }).to_string();
    assert_eq!(world.call("POST", "r/edits", &[WITH_JSON], Some(edit.as_bytes())).await.status, 200);
    said("voted");
    let mut late = world.server.join("r").await;
    late.until("all of it", |late| crate::board_support::seen(late).items.len() == 10_000).await;
    world.server.stop().await;
}

/// [B49] A card of 100 KB goes in and comes out, a longer one than there may be does not; so do many of them as one board, and what
/// is larger than a document is refused by its length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_texts() {
    let world = World::start().await;
    let text = "שלום 🎉 ".repeat(100_000 / 14);
    assert!(text.len() > 95_000);
    let edit = json!({ "type": "addItem", "id": "a", "text": text }).to_string();
    assert_eq!(world.call("POST", "r/edits", &[WITH_JSON], Some(edit.as_bytes())).await.status, 200);
    assert_eq!(world.get("r?as=board").await.json()["items"]["a"]["text"], json!(text));
    // Ten at once are above what one edit has, and come by an import.
    let edits: Vec<Value> =
        (0..12).map(|n| json!({ "type": "addItem", "id": format!("n{n}"), "text": text })).collect();
    let edits = Value::Array(edits).to_string();
    let refused = world.call("POST", "r/edits", &[WITH_JSON], Some(edits.as_bytes())).await;
    assert_eq!(refused.refusal(), (413, "too_large".to_owned()));
    let items: serde_json::Map<String, Value> =
        (0..40).map(|n| (format!("i{n}"), json!({ "text": text }))).collect();
    let body = json!({ "items": items }).to_string();
    let imported = world.call("POST", "long/import", &[WITH_JSON], Some(body.as_bytes())).await;
    assert_eq!(imported.status, 200, "{:.300}", String::from_utf8_lossy(&imported.body));
    let shown = world.get("long?as=board").await;
    println!("{} bytes in, {} out", body.len(), shown.body.len());
    assert_eq!(shown.json()["items"].as_object().unwrap().len(), 40);
    for format in ["md", "csv"] {
        let file = world.get(&format!("long/export?format={format}")).await;
        println!("{format}: {} {}", file.status, file.body.len());
        assert!(file.body.len() > 40 * 95_000);
    }
    let length = ((64 << 20) + 1).to_string();
    let refused = world.call("POST", "new/import", &[WITH_JSON, ("Content-Length", &length)], None).await;
    assert_eq!(refused.refusal(), (413, "too_large".to_owned()));
    world.server.stop().await;
}

//! What each role's messages get, over a real socket of the y-websocket family. The families' other words are tested in
//! `src/session`.

use std::sync::Arc;

use ruang::caller::Role;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::log::record::StoredRecord;
use ruang::session::{Permit, permit};
use ruang::wire::{Message, y_websocket};
use serde_json::json;

use crate::auth_support::*;
use crate::harness::{Client, Server};

/// [S20] The table: who may send what.
#[test]
fn the_table_of_roles() {
    let messages = [
        ("Step1", Message::SyncStep1(Default::default())),
        ("Step2", Message::SyncStep2(Default::default())),
        ("Update", Message::Update(Default::default())),
        ("Presence", Message::Presence(Default::default())),
        ("QueryPresence", Message::QueryPresence),
        ("Echo", Message::Echo(Default::default())),
        ("Unknown", Message::Unknown(99)),
    ];
    for role in Role::ALL {
        for (name, message) in &messages {
            let edits = matches!(*name, "Step2" | "Update");
            let expected =
                if edits && role == Role::Viewer { Permit::OnlyIfNothingNew } else { Permit::Taken };
            println!("{role:12}{name:14}{expected:?}");
            assert_eq!(permit(role, message), expected, "{role} {name}");
        }
    }
}

/// [S20] [S21] A viewer reads and is seen; its edits are refused in words and leave no trace, and it stays. Editors and
/// facilitators write; each record says who did.
#[tokio::test]
async fn viewers_read_and_editors_write() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start_for(Arc::clone(&log), auth(&[public_key("HS256")])).await;
    let join = async |user: &str, role: &str| {
        let token = token("HS256", &claims(&json!({ "sub": user, "role": role })));
        let url = format!("{}?token={token}", server.url("retro"));
        let mut client = Client::connect(&url, None).await;
        client.sync().await;
        client
    };
    let mut editor = join("ed", "editor").await;
    let mut leader = join("fay", "facilitator").await;
    let mut viewer = join("vic", "viewer").await;
    editor.set("a", "1").await;
    leader.set("b", "2").await;
    viewer.until_set("a", "1").await;
    viewer.until_set("b", "2").await;
    for at in 0..3 {
        viewer.set(&format!("mine-{at}"), "x").await;
    }
    viewer.until("three refusals, or one for all", |client| !client.denied.is_empty()).await;
    println!("{:?}", viewer.denied);
    assert!(!viewer.denied[0].is_empty());
    // The whole document again, with what was refused in it, as a Step2 that answers the server.
    let whole = viewer.encode_full();
    viewer.send(y_websocket::sync_step2(&whole)).await;
    editor.set("c", "3").await;
    viewer.until_set("c", "3").await;
    leader.until_set("c", "3").await;
    let mut late = join("zoe", "viewer").await;
    late.until_set("c", "3").await;
    println!("{}", late.doc_json());
    assert!(!late.doc_json().contains("mine") && !leader.doc_json().contains("mine"));
    let records = log.read(&room("retro"), 0, 100).await.unwrap();
    let mut authors = Vec::new();
    for record in records {
        let StoredRecord::Intact { record, .. } = record else { panic!("damage") };
        let metadata = record.metadata().unwrap();
        authors.extend(metadata.user.map(|user| user.to_string()));
    }
    println!("{authors:?}");
    assert_eq!(authors, ["ed", "fay", "ed"]);
    server.stop().await;
}

//! Who may do what over the API.

use std::sync::Arc;

use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Role, StoredRecord};
use serde_json::json;

use crate::api_support::{call, set, update};
use crate::auth_support::{auth, claims, public_key, token};
use crate::harness::Server;

/// [P8] [P9] Reading takes a viewer, writing an editor, deleting an admin, each in a room of the token's; refusals say nothing of
/// the room. What is written is in the caller's name.
#[tokio::test]
async fn tokens_decide_what_is_done() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start_for(Arc::clone(&log), auth(&[public_key("EdDSA")])).await;
    let minted = |change| token("EdDSA", &claims(&change));
    let editor = minted(json!({ "sub": "eve" }));
    let body = update(&[("a", "1")]);
    let ask = async |method: &str, path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let json = match path.split('?').next().and_then(|path| path.split_once('/')) {
            _ if method == "PATCH" => Some(set("b", 2).to_string()),
            Some((_, "edits")) => Some(json!({ "type": "vote", "target": "x", "count": 0 }).to_string()),
            Some((_, "board")) => Some(json!({ "template": "retro" }).to_string()),
            Some((_, "import")) => Some("{}".to_owned()),
            _ => None,
        };
        let kind = if json.is_some() { "application/json" } else { "application/octet-stream" };
        let mut headers = vec![("Content-Type", kind)];
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        let body = json.as_ref().map_or(&body[..], String::as_bytes);
        call(server.address, (method, &format!("/api/v1/rooms/{path}")), &headers, Some(body)).await
    };
    assert_eq!(ask("PATCH", "retro", Some(&editor)).await.status, 200);
    assert_eq!(ask("POST", "retro/update", Some(&editor)).await.status, 200);

    let reads = ["", "/update", "/document", "/log", "/at/head", "/export"].map(|path| ("GET", path, 0));
    let others = [
        ("PATCH", "", 1),
        ("POST", "/update", 1),
        ("POST", "/edits", 1),
        ("PUT", "/board", 1),
        ("POST", "/import?merge=true", 1),
        ("DELETE", "", 3),
    ];
    let callers = [
        (0, Some(minted(json!({ "role": "viewer" })))),
        (1, Some(editor)),
        (2, Some(minted(json!({ "role": "facilitator" })))),
        (-1, Some(minted(json!({ "room": "other" })))),
        (-1, Some("x.y.z".to_owned())),
        (-1, None),
    ];
    for (rank, token) in callers {
        for (method, path, needed) in reads.into_iter().chain(others) {
            let answer = ask(method, &format!("retro{path}"), token.as_deref()).await;
            if rank >= needed {
                assert!(answer.status < 300, "{method} {path}: {answer:?}");
                continue;
            }
            let absent = ask(method, &format!("never{path}"), token.as_deref()).await;
            assert!(matches!(answer.status, 401 | 403), "{method} {path}: {answer:?}");
            if rank < 0 {
                assert_eq!((absent.status, &absent.body), (answer.status, &answer.body), "{method} {path}");
            }
        }
    }
    let records = log.read(&"retro".parse().unwrap(), 0, 10).await.unwrap();
    let StoredRecord::Intact { record, .. } = &records[1] else { panic!("a record") };
    let metadata = record.metadata().unwrap();
    assert_eq!((metadata.user.as_deref(), metadata.role), (Some("eve"), Role::Editor));
    let admin = minted(json!({ "room": null, "role": "admin" }));
    assert_eq!(ask("DELETE", "retro", Some(&admin)).await.status, 204);
    server.stop().await;
}

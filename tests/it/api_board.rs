//! What the paths of boards answer, one of each; `board` is the test of what they do.

use serde_json::{Value, json};

use crate::api_description::holds;
use crate::api_support::{Answer, Headers, World};

async fn send(world: &World, (method, path): (&str, &str), headers: Headers<'_>, body: &Value) -> Answer {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    world.call(method, path, &all, Some(body.to_string().as_bytes())).await
}

const WRITES: [(&str, &str); 3] = [("PUT", "board"), ("POST", "edits"), ("POST", "import")];

/// Every answer that the description has of them, but for those that need another server.
pub async fn answers(world: &World) {
    let template = json!({ "template": "retro" });
    let add = json!({ "type": "addItem", "id": "a", "text": "hi", "column": "well" });
    let begun = send(world, ("PUT", "board/board"), &[], &template).await;
    assert_eq!(begun.status, 200, "{}", String::from_utf8_lossy(&begun.body));
    let edited = send(world, ("POST", "board/edits"), &[], &add).await;
    assert_eq!(edited.status, 200);
    let tag = edited.headers["etag"].clone();
    let exported = world.get("board/export?format=json").await.json();
    holds("Board", &exported);
    assert_eq!(send(world, ("POST", "copy/import"), &[], &exported).await.status, 200);

    let shown = world.get("board?as=board").await;
    assert_eq!((shown.status, &shown.headers["etag"]), (200, &tag));
    holds("BoardRoom", &shown.json());
    assert_eq!(world.get("board?as=about").await.json().get("items"), None);
    let past = world.get("board/at/head?as=board").await.json();
    holds("PastBoard", &past);
    assert_eq!(past["board"]["items"], shown.json()["items"]);
    for path in ["board?as=board", "board/export?format=md"] {
        assert_eq!(world.call("GET", path, &[("If-None-Match", &tag)], None).await.status, 304, "{path}");
        assert_eq!(world.call("HEAD", path, &[], None).await.status, 200, "{path}");
    }
    for format in ["json", "md", "csv"] {
        assert_eq!(world.get(&format!("board/export?format={format}")).await.status, 200);
        let none = world.get(&format!("none/export?format={format}")).await;
        assert_eq!(none.refusal(), (404, "no_such_room".to_owned()));
    }
    for path in
        ["board/export?format=update", "board/export?format=xml", "board?as=list", "board/at/head?format=csv"]
    {
        assert_eq!(world.get(path).await.refusal(), (400, "bad_query".to_owned()), "{path}");
    }

    let other = json!({ "template": "4ls" });
    assert_eq!(
        send(world, ("PUT", "board/board"), &[], &other).await.refusal(),
        (409, "not_empty".to_owned())
    );
    let again = send(world, ("POST", "board/import"), &[], &exported).await;
    assert_eq!(again.refusal(), (409, "not_empty".to_owned()));
    let unknown = send(world, ("PUT", "board/board"), &[], &json!({ "template": "none" })).await;
    assert_eq!(unknown.refusal(), (400, "no_such_template".to_owned()));
    let refused = send(world, ("POST", "board/edits"), &[], &add).await;
    assert_eq!(
        (refused.refusal(), &refused.json()["error"]["edit"]),
        ((400, "bad_edit".to_owned()), &json!(0))
    );
    let odd = send(world, ("POST", "new/import"), &[], &json!({ "items": { "": {} } })).await;
    assert_eq!(odd.refusal(), (400, "bad_board".to_owned()));
    assert_eq!(world.records("new").await, 0);

    let long = "x".repeat(129);
    let too_long = [("Content-Type", "application/json"), ("Content-Length", "99999999999")];
    for ((method, path), body) in WRITES.into_iter().zip([&template, &add, &exported]) {
        let here = format!("board/{path}");
        let stale = send(world, (method, &here), &[("If-Match", "\"1-1\"")], body).await;
        assert_eq!(stale.refusal(), (412, "moved".to_owned()), "{path}");
        let bad = send(world, (method, &format!("{long}/{path}")), &[], body).await;
        assert_eq!(bad.refusal(), (400, "bad_room_name".to_owned()), "{path}");
        let text = world.call(method, &here, &[("Content-Type", "text/plain")], Some(b"x")).await;
        assert_eq!(text.refusal(), (415, "unsupported_media_type".to_owned()), "{path}");
        assert_eq!(world.call(method, &here, &too_long, None).await.refusal(), (413, "too_large".to_owned()));
        assert_eq!(world.get(&here).await.refusal(), (405, "method_not_allowed".to_owned()), "{path}");
        for broken in [&b""[..], b"{", b"7", b"\xff", b"[1]"] {
            let answer =
                world.call(method, &here, &[("Content-Type", "application/json")], Some(broken)).await;
            assert_eq!(answer.status, 400, "{path}: {}", String::from_utf8_lossy(broken));
        }
    }
}

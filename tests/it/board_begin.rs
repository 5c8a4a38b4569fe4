//! The beginning of a board from a template.

use ruang::board::seed::{TEMPLATES, template};
use serde_json::json;

use crate::api_support::World;
use crate::board_support::{Boards, ROOM, add};

/// [B44] A board begins with a template's columns, as one record with the template's own bytes; asked for twice it is there once,
/// and a board that has others is left alone.
#[tokio::test]
async fn a_board_begins_with_a_template() {
    let boards = Boards::start().await;
    for (index, template) in TEMPLATES.iter().enumerate() {
        let path = format!("{ROOM}{index}");
        let world = World::start().await;
        let body = json!({ "template": template.name }).to_string();
        let headers = [("Content-Type", "application/json")];
        let put = async || world.call("PUT", &format!("{path}/board"), &headers, Some(body.as_bytes())).await;
        assert_eq!(put().await.json()["stored"], true);
        assert_eq!(put().await.json()["stored"], false, "twice is once");
        let board = world.get(&format!("{path}?as=board")).await.json();
        let titles: Vec<_> =
            board["meta"]["columns"].as_array().unwrap().iter().map(|column| &column["title"]).collect();
        assert_eq!(titles, template.columns.iter().map(|column| column.1).collect::<Vec<_>>());
        assert_eq!(world.records(&path).await, 2);
        world.server.stop().await;
    }
    let begun = boards.send("ann", ("PUT", "/board"), &json!({ "template": "retro" })).await;
    assert_eq!((begun.status, &begun.json()["stored"]), (200, &json!(true)), "an editor may begin a board");
    let (record, metadata) = boards.newest().await;
    assert_eq!(metadata.user.as_deref(), Some("ann"));
    assert_eq!(&record.update()[..], template("retro").unwrap().update());
    boards.done("fay", &json!({ "type": "setMeta", "phase": "vote" })).await;
    let again = boards.send("bob", ("PUT", "/board"), &json!({ "template": "retro" })).await;
    assert_eq!(again.json()["stored"], false);
    assert_eq!(boards.shown().await.meta.phase.as_str(), "vote", "what was set since stays");
    for user in ["ann", "fay"] {
        let other = boards.send(user, ("PUT", "/board"), &json!({ "template": "4ls" })).await;
        println!("{}", other.json());
        assert_eq!(other.refusal(), (409, "not_empty".to_owned()));
    }
    assert_eq!(boards.send("vic", ("PUT", "/board"), &json!({ "template": "retro" })).await.status, 403);
    boards.server.stop().await;
}

/// [B44] Twenty who begin the same board at the same moment begin it once, also with a condition, which one of them meets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_begin_it_once() {
    let world = World::start().await;
    let address = world.server.address;
    for (room, condition) in [("plain", None), ("new", Some(("If-None-Match", "*")))] {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn(async move {
                    let mut headers = vec![("Content-Type", "application/json")];
                    headers.extend(condition);
                    let path = format!("/api/v1/rooms/{room}/board");
                    let body = b"{\"template\":\"retro\"}";
                    crate::api_support::call(address, ("PUT", &path), &headers, Some(body)).await
                })
            })
            .collect();
        let mut statuses = Vec::new();
        let mut stored = 0;
        for task in tasks {
            let answer = task.await.unwrap();
            statuses.push(answer.status);
            stored += u32::from(answer.status == 200 && answer.json()["stored"] == true);
        }
        println!("{room}: {statuses:?}, {stored} stored it");
        assert!(stored >= 1);
        if condition.is_some() {
            assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
        }
        let board = world.get(&format!("{room}?as=board")).await.json();
        assert_eq!(board["meta"]["columns"].as_array().unwrap().len(), 3);
        assert_eq!(world.records(room).await, 2);
    }
    world.server.stop().await;
}

/// [B44] A board that was begun is edited like any other.
#[tokio::test]
async fn what_was_begun_goes_on() {
    let boards = Boards::start().await;
    let mut ann = boards.join("ann").await;
    assert_eq!(
        boards.send("bob", ("PUT", "/board"), &json!({ "template": "mad-sad-glad" })).await.status,
        200
    );
    ann.until("the columns", |ann| crate::board_support::seen(ann).meta.columns.len() == 3).await;
    boards.done("bob", &add("a", "hi")).await;
    ann.until("the card", |ann| crate::board_support::seen(ann).items.contains_key("a")).await;
    boards.server.stop().await;
}

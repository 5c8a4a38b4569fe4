//! What breaks a rule on one instance, for those on the others.

use std::collections::HashMap;

use ruang::board::seed;
use ruang::limits::BOARD_OFFENCES_MAX;
use ruang::wire::y_websocket;
use serde_json::{Value, json};
use yrs::{
    Any, Map, MapPrelim, TextPrelim, Transact, TransactionMut, WriteTxn, XmlElementPrelim, XmlFragment,
    XmlTextPrelim,
};

use super::world::{Page, World, bearer, card, card_in, field, remove, set};
use crate::auth_support::request;

/// A code, and what is answered with it.
type Offence = (&'static str, Box<dyn Fn(&mut TransactionMut<'_>) + Send>);

/// What Bob, an editor, may not do on a board with a card `a` of Ann's, a vote of hers, and a title.
fn offences() -> Vec<Offence> {
    fn of(code: &'static str, edit: impl Fn(&mut TransactionMut<'_>) + Send + 'static) -> Offence {
        (code, Box::new(edit))
    }
    vec![
        of("card_of_another", remove("items", "a")),
        of("card_of_another", |t| card("a", Some("bob"))(t)),
        of("card_of_another", |t| set("items", "a", "a plain value by bob")(t)),
        of("signature_of_another", |t| field("a", "author", "bob")(t)),
        of("author_is_not_you", |t| field("a", "author", "zoe")(t)),
        of("author_is_not_you", |t| {
            let card: HashMap<String, Any> = HashMap::from([("author".to_owned(), "ann".into())]);
            set("items", "new", card)(t);
        }),
        of("signature_of_another", |t| field("a", "createdAt", 1)(t)),
        of("signature_of_another", |t| {
            card_in(t, "a").remove(t, "createdAt");
        }),
        of("meta_is_the_facilitators", |t| set("meta", "title", "by bob")(t)),
        of("meta_is_the_facilitators", |t| set("meta", "hideCards", "by bob")(t)),
        of("meta_is_the_facilitators", remove("meta", "title")),
        of("votes_of_another", |t| set("votes", "ann/a", 9)(t)),
        of("votes_of_another", remove("votes", "ann/a")),
        of("votes_of_another", |t| set("votes", "zoe/a", 9)(t)),
        of("not_plain", |t| {
            t.get_or_insert_map("votes").insert(t, "bob/a", MapPrelim::from([("count", 3)]));
        }),
        of("not_plain", |t| {
            t.get_or_insert_map("itemPositions").insert(t, "a", TextPrelim::new("by bob"));
        }),
        of("not_plain", |t| {
            card_in(t, "a").insert(t, "text", yrs::ArrayPrelim::from(["by bob"]));
        }),
        of("not_plain", |t| {
            card_in(t, "a").insert(t, "column", MapPrelim::from([("deep", "by bob")]));
        }),
        of("value_too_large", |t| set("itemPositions", "a", "by bob".repeat(1_000))(t)),
        of("unknown_root", |t| {
            let root = t.get_or_insert_xml_fragment("default");
            root.push_back(t, XmlElementPrelim::empty("paragraph"))
                .push_back(t, XmlTextPrelim::new("by bob"));
        }),
    ]
}

/// A board that Lea leads, with a card and a vote of Ann's, as all of these see it.
async fn begin(lea: &mut Page, ann: &mut Page) {
    lea.edit(set("meta", "title", "Sprint 7")).await;
    lea.edit(set("meta", "voteLimit", 5)).await;
    ann.edit(card("a", Some("ann"))).await;
    ann.edit(set("itemPositions", "a", 1)).await;
    ann.edit(set("votes", "ann/a", 2)).await;
}

/// Only what the board had all the time was ever read by this page's observers, and no byte of anything else came.
fn has_seen_only(page: &Page, board: &Value) {
    for (root, value) in page.seen() {
        assert_eq!(value, board[root], "{} has read something else in {root}", page.user);
    }
    let bad = |update: &bytes::Bytes| update.windows(6).any(|bytes| bytes == b"by bob");
    assert!(!page.client.received.iter().any(bad), "{} was sent something of it", page.user);
}

/// [B61] Whatever an editor on one instance may not do is told to that one, and is seen by nobody, on whichever instance, at
/// no moment; all come to the board that was there, the offender too, with what its browser has kept, by the other instance.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_on_another_instance_sees_what_breaks_a_rule() {
    let world = World::start().await;
    let mut lea = world.page(0, "lea", "facilitator").await;
    let mut ann = world.page(0, "ann", "editor").await;
    let mut wim = world.page(0, "wim", "viewer").await;
    let mut eve = world.page(1, "eve", "editor").await;
    let mut bob = world.page(1, "bob", "editor").await;
    begin(&mut lea, &mut ann).await;
    let everyone = &mut [&mut lea, &mut ann, &mut wim, &mut eve, &mut bob];
    world.same(everyone, "a board", |board| board["votes"]["ann/a"] == 2.0).await;
    let before = lea.board();
    for page in [&lea, &ann, &wim, &eve, &bob] {
        page.seen();
    }
    for (n, (code, offence)) in offences().into_iter().enumerate() {
        bob.edit(offence).await;
        bob.until_acked().await;
        assert_eq!(bob.told(), [code], "offence {n}");
        let everyone = &mut [&mut lea, &mut ann, &mut wim, &mut eve, &mut bob];
        world.same(everyone, "the board as it was", |board| *board == before).await;
        for page in [&lea, &ann, &wim, &eve] {
            has_seen_only(page, &before);
        }
        let mut again = world.reloaded(0, &bob, "editor").await;
        world.same(&mut [&mut again, &mut lea], "bob's own copy", |board| *board == before).await;
        assert_eq!(again.told(), [""; 0], "offence {n}: it brings nothing again");
        println!("offence {n}: {code}");
    }
    println!("over HTTP, by the other instance: refused whole");
    let stored = world.newest().await;
    for (edit, code) in [
        (json!({ "type": "deleteItem", "id": "a" }), "card_of_another"),
        (json!({ "type": "setMeta", "title": "by bob" }), "meta_is_the_facilitators"),
    ] {
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\n",
            bearer("bob", "editor")
        );
        let (path, body) = ("/api/v1/rooms/retro/edits", edit.to_string());
        let answer = request(world.servers[0].address, "POST", path, &headers, &body).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(code), "{answer}");
    }
    assert_eq!(world.newest().await, stored);
    println!("what is allowed goes on, both ways");
    bob.edit(field("a", "text", "better")).await;
    bob.edit(set("votes", "bob/a", 1)).await;
    ann.edit(remove("votes", "ann/a")).await;
    let everyone = &mut [&mut lea, &mut ann, &mut wim, &mut eve, &mut bob];
    let is_so =
        |board: &Value| board["items"]["a"]["text"] == "better" && board["votes"] == json!({ "bob/a": 1 });
    world.same(everyone, "edits", is_so).await;
    assert_eq!((bob.told(), bob.closed.len()), (vec![], 0));
    world.stop((lea, ann, wim, eve, bob)).await;
}

/// [B61] A board is begun with a template through one instance; another one through the other breaks a rule there, and an
/// editor's own page comes to the first one.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_is_begun_once_on_all_instances() {
    let world = World::start().await;
    let mut ann = world.page(0, "ann", "editor").await;
    let mut bob = world.page(1, "bob", "editor").await;
    let bring = async |page: &mut Page, name: &str| {
        let update = seed::template(name).unwrap().update();
        let decoded = yrs::updates::decoder::Decode::decode_v1(&update).unwrap();
        page.client.doc.transact_mut().apply_update(decoded).unwrap();
        page.client.send(y_websocket::update(&update)).await;
        page.client.sent += 1;
    };
    ann.edit(set("itemPositions", "x", 1)).await; // so that there is a room
    world.same(&mut [&mut ann, &mut bob], "a room", |board| board["itemPositions"]["x"] == 1.0).await;
    let (sent, newest) = ([world.appends(0), world.appends(1)], world.newest().await);
    (0..2).for_each(|at| world.hold(at));
    bring(&mut ann, "retro").await;
    bring(&mut bob, "4ls").await;
    world.until_sent(0, sent[0]).await;
    world.until_sent(1, sent[1]).await;
    world.let_go(0);
    world.until_stored(newest).await;
    world.let_go(1);
    let has_three = |board: &Value| board["meta"]["columns"].as_array().map(Vec::len) == Some(3);
    world.same(&mut [&mut ann, &mut bob], "one template", has_three).await;
    assert_eq!((ann.told(), bob.told()), (vec![], vec!["meta_is_the_facilitators".to_owned()]));
    assert!(ann.seen().iter().all(|(root, value)| *root != "meta" || has_three(&json!({ "meta": value }))));
    world.stop((ann, bob)).await;
}

/// [B65] Each instance counts offences for itself: who has come to the bound on one is asked to come back later there, and is
/// mended on another one.
#[tokio::test(flavor = "multi_thread")]
async fn offences_are_counted_by_each_instance() {
    let world = World::start().await;
    let mut lea = world.page(0, "lea", "facilitator").await;
    let mut bob = world.page(0, "bob", "editor").await;
    lea.edit(set("meta", "title", "Sprint 7")).await;
    world.same(&mut [&mut lea, &mut bob], "a title", |board| board["meta"]["title"] == "Sprint 7").await;
    for n in 0..BOARD_OFFENCES_MAX {
        bob.edit(set("meta", "title", format!("by bob {n}"))).await;
        bob.until_acked().await;
    }
    assert_eq!(bob.told().len(), BOARD_OFFENCES_MAX as usize);
    bob.edit(set("meta", "title", "by bob once more")).await;
    assert_eq!(bob.client.until_closed().await, Some(4529));
    let mut there = world.reloaded(1, &bob, "editor").await;
    assert_eq!(
        there.told(),
        ["meta_is_the_facilitators"],
        "what it has kept is mended on the other instance"
    );
    there.edit(set("meta", "title", "by bob there")).await;
    world.same(&mut [&mut lea, &mut there], "the title", |board| board["meta"]["title"] == "Sprint 7").await;
    world.stop((lea, bob, there)).await;
}

//! Hidden cards whose board and drafts are on several instances. What one instance does is in `tests/it/hidden*.rs`; that one
//! reveals what was written through another, in `tests/it/hidden_stores.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ruang::board::edit::{Author, Edit, apply};
use ruang::board::view::view;
use ruang::history::{self, Range};
use ruang::log::Log;
use ruang::log::record::{Kind, StoredRecord};
use ruang::wire::y_websocket;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use yrs::{ReadTxn, Transact};

use super::world::{World, bearer};
use crate::auth_support::{SECRET, request, room};
use crate::binary::Served;
use crate::harness::{Client, PATIENCE};
use crate::rig::process::RedisProcess;
use crate::traffic::open;

const AUTHORS: usize = 6;
const CARDS: usize = 3;

async fn page(address: &str, name: &str, user: &str, role: &str) -> Client {
    let url = format!("ws://{address}/ws/{name}?token={}", bearer(user, role));
    let mut page = Client::connect(&url, Some("ruang.v1")).await;
    page.sync().await;
    page.until_acked().await.unwrap();
    page
}

async fn edit(page: &mut Client, user: &str, edit: &Edit) {
    let before = page.doc.transact().state_vector();
    apply(&page.doc, edit, Author { user, now_ms: 7 }).unwrap();
    let update = page.doc.transact().encode_diff_v1(&before);
    page.send(y_websocket::update(&update)).await;
    page.sent += 1;
    page.until_acked().await.unwrap();
}

fn author(n: usize) -> String {
    format!("user{n}")
}

/// A board that hides its cards, and cards of people who have gone.
async fn hidden(address: &str, board: &str) {
    let mut fay = page(address, board, "fay", "facilitator").await;
    let hide = Edit::SetMeta {
        title: None,
        phase: None,
        columns: None,
        vote_limit: None,
        timer_ends_at: None,
        hide_cards: Some(true),
    };
    edit(&mut fay, "fay", &hide).await;
    for user in (0..AUTHORS).map(author) {
        let mut page = page(address, &format!("{board}~{user}"), &user, "editor").await;
        for n in 0..CARDS {
            let card = Edit::AddItem {
                id: format!("{user}-{n}"),
                text: "x".to_owned(),
                column: None,
                position: None,
            };
            edit(&mut page, &user, &card).await;
        }
    }
}

async fn reveal(address: &str, board: &str) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {}\r\n", bearer("fay", "facilitator"));
    let answer =
        request(address.parse().unwrap(), "POST", &format!("/api/v1/rooms/{board}/reveal"), &headers, "")
            .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Cards in a room, with their authors, by the log.
async fn cards(log: &Arc<dyn Log>, name: &str) -> BTreeMap<String, Option<String>> {
    let Some(mut walk) = history::walk(log, &room(name), Range::TO_HEAD).await.unwrap() else {
        return BTreeMap::new();
    };
    walk.to_end().await.unwrap();
    let shown = view(walk.fold().unwrap().document().doc());
    shown.items.into_iter().map(|(id, item)| (id, item.author)).collect()
}

async fn left(log: &Arc<dyn Log>, board: &str) -> usize {
    let mut left = 0;
    for user in (0..AUTHORS).map(author) {
        left += cards(log, &format!("{board}~{user}")).await.len();
    }
    left
}

/// Each card is on the board once, was written once, in its author's name, and lies in no draft.
async fn all_are_there_once(log: &Arc<dyn Log>, board: &str) {
    let expected: BTreeMap<_, _> = (0..AUTHORS)
        .flat_map(|user| (0..CARDS).map(move |n| (format!("{}-{n}", author(user)), Some(author(user)))))
        .collect();
    assert_eq!(cards(log, board).await, expected);
    assert_eq!(left(log, board).await, 0);
    let mut records = BTreeMap::<String, usize>::new();
    for stored in log.read(&room(board), 0, 10_000).await.unwrap() {
        let StoredRecord::Intact { record, .. } = stored else { panic!("damage") };
        assert_ne!(record.kind(), Kind::Compensation);
        if let Some(user) = record.metadata().unwrap().user {
            *records.entry(user).or_default() += 1;
        }
    }
    records.remove("fay");
    assert_eq!(records, (0..AUTHORS).map(|user| (author(user), 1)).collect(), "one record of each author");
}

async fn until_empty(log: &Arc<dyn Log>, name: &str) {
    let began = Instant::now();
    while !cards(log, name).await.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{name} keeps its cards");
        sleep(Duration::from_millis(10)).await;
    }
}

/// [B66] Two reveals at the same moment, on two instances, of cards that were written through one of them, by people who have
/// gone: together they move each card once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_reveals_at_once_move_each_card_once() {
    for round in 0..3 {
        let world = World::of(2).await;
        let [one, two] = [0, 1].map(|at| world.servers[at].address.to_string());
        hidden(&one, "retro").await;
        let (here, there) = tokio::join!(reveal(&one, "retro"), reveal(&two, "retro"));
        println!("round {round}: {here:?}, {there:?}");
        for (status, told) in [&here, &there] {
            assert!(matches!(status, 200 | 503), "{told}");
        }
        let (status, told) = reveal(&two, "retro").await;
        assert_eq!(status, 200, "{told}");
        all_are_there_once(&world.log, "retro").await;
        let mut fay = page(&two, "retro", "fay", "facilitator").await;
        fay.until("all cards", |page| view(&page.doc).items.len() == AUTHORS * CARDS).await;
        drop(fay);
        world.stop(()).await;
    }
}

/// [B66] [B57] The instance that reveals is killed at any moment. What it has left of a draft is moved by the other instance as
/// soon as that draft is opened there, and all else when it is asked to reveal: nothing is lost, nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_reveal_is_finished_by_another_instance() {
    let seed: u64 =
        std::env::var("RUANG_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let redis = RedisProcess::alone(&[]);
    let store = redis.url();
    let log: Arc<dyn Log> = open(&store).await;
    let serve = || Served::start(&["--store", &store, "--boards", "retro"], &[("RUANG_AUTH_KEY", SECRET)]);
    let mut one = serve();
    for (round, spread) in [2, 15, 60, 150].into_iter().enumerate() {
        let board = &*format!("retro{round}");
        hidden(&one.address, board).await;
        let two = serve();
        if round % 2 == 1 {
            one = serve(); // one that has nothing open, so that nobody but the other one moves anything
        }
        // It has the board, as an instance has that somebody is on.
        let wim = page(&two.address, board, "wim", "viewer").await;
        let after = Duration::from_millis(seed.rotate_left(7 * round as u32) % spread);
        let told = tokio::select! {
            told = reveal(&two.address, board) => format!("{told:?}"),
            () = sleep(after) => "nothing yet".to_owned(),
        };
        drop(two); // SIGKILL
        drop(wim);
        let (moved, left_there) = (cards(&log, board).await.len(), left(&log, board).await);
        println!(
            "round {round}, killed after {after:?}: {told}; {moved} cards are there, {left_there} in drafts"
        );
        let shown = {
            let fay = page(&one.address, board, "fay", "facilitator").await;
            !view(&fay.doc).meta.hide_cards
        };
        if shown {
            println!("one author comes back");
            let _back = page(&one.address, &format!("{board}~user0"), "user0", "editor").await;
            until_empty(&log, &format!("{board}~user0")).await;
        }
        let (status, told) = reveal(&one.address, board).await;
        assert_eq!(status, 200, "{told}");
        all_are_there_once(&log, board).await;
    }
}

//! The binary, killed in the middle of a reveal.

use std::time::Duration;

use ruang::board::view::view;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::auth_support::{SECRET, request};
use crate::binary::Served;
use crate::harness::{Client, PATIENCE};
use crate::{card, edit, hide, token_for};

/// A server with keys, where `retro` is a board.
struct Serving {
    process: Served,
    address: std::net::SocketAddr,
}

fn serve(store: &str) -> Serving {
    let args = ["--boards", "retro", "--store", store];
    let process = Served::start(&args, &[("RUANG_AUTH_KEY", SECRET)]);
    Serving { address: process.address.parse().unwrap(), process }
}

impl Serving {
    async fn page(&self, name: &str, user: &str, role: &str) -> Client {
        let url = self.process.url(&format!("{name}?token={}", token_for(user, role)));
        let mut page = Client::connect(&url, Some("ruang.v1")).await;
        page.sync().await;
        page.until_acked().await.unwrap();
        page
    }

    async fn reveal(&self) -> String {
        let headers = format!("Authorization: Bearer {}\r\n", token_for("fay", "facilitator"));
        request(self.address, "POST", "/api/v1/rooms/retro/reveal", &headers, "").await
    }
}

/// [B57] kill -9 at any moment of a reveal, and again while that is made up for: in the end each card is there once, written once, and
/// no draft has any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reveal_outlives_kill_9() {
    const AUTHORS: usize = 8;
    let seed: u64 =
        std::env::var("RUANG_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut ms = (0..).map(|n: u64| seed.rotate_left(u32::try_from(n * 7 % 64).unwrap()) % 60);
    for round in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let store = format!("file:{}", dir.path().display());
        let mut server = serve(&store);
        let mut fay = server.page("retro", "fay", "facilitator").await;
        edit(&mut fay, &hide(true), "fay").await;
        for user in 0..AUTHORS {
            let user = format!("user{user}");
            let mut page = server.page(&format!("retro~{user}"), &user, "editor").await;
            for n in 0..3 {
                edit(&mut page, &card(&format!("{user}-{n}")), &user).await;
            }
        }
        for kill in 0..3 {
            let after = Duration::from_millis(ms.next().unwrap());
            let revealing = server.reveal();
            let cut = tokio::select! {
                told = revealing => told.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned(),
                () = sleep(after) => "nothing yet".to_owned(),
            };
            server.process.kill(); // SIGKILL
            println!("round {round}, kill {kill} after {after:?}: {cut}");
            server = serve(&store);
        }
        let told = server.reveal().await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        let page = server.page("retro", "wim", "viewer").await;
        let board = view(&page.doc);
        assert_eq!(board.items.len(), AUTHORS * 3);
        assert!(board.items.iter().all(|(id, item)| Some(&id[..5]) == item.author.as_deref()));
        let headers = format!("Authorization: Bearer {}\r\n", token_for("fay", "facilitator"));
        let log = request(server.address, "GET", "/api/v1/rooms/retro/log", &headers, "").await;
        let log: Value = serde_json::from_str(log.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        for user in 0..AUTHORS {
            let user = format!("user{user}");
            let of = log["records"].as_array().unwrap().iter().filter(|record| record["user"] == *user);
            assert_eq!(of.count(), 1, "one record of {user}");
            let deadline = Instant::now() + PATIENCE;
            loop {
                let page = server.page(&format!("retro~{user}"), &user, "editor").await;
                if view(&page.doc).items.is_empty() {
                    break;
                }
                assert!(Instant::now() < deadline, "{user}'s draft keeps cards");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// [B75] kill -9 right after a page has shown the cards: nobody asks for a reveal, and no draft is opened. Who opens the board finds
/// every card there, once, and the drafts are empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reveal_goes_on_by_itself_after_kill_9() {
    const AUTHORS: usize = 6;
    let seed: u64 =
        std::env::var("RUANG_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    for round in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let store = format!("file:{}", dir.path().display());
        let mut server = serve(&store);
        let mut fay = server.page("retro", "fay", "facilitator").await;
        edit(&mut fay, &hide(true), "fay").await;
        for user in 0..AUTHORS {
            let user = format!("user{user}");
            let mut page = server.page(&format!("retro~{user}"), &user, "editor").await;
            edit(&mut page, &card(&user), &user).await;
        }
        edit(&mut fay, &hide(false), "fay").await; // acked, so stored
        sleep(Duration::from_millis(seed.rotate_left(round * 7) % 12)).await;
        server.process.kill(); // SIGKILL
        server = serve(&store);
        let mut wim = server.page("retro", "wim", "viewer").await;
        println!("round {round}: {} of {AUTHORS} cards had come", view(&wim.doc).items.len());
        wim.until("all cards", |page| view(&page.doc).items.len() == AUTHORS).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let headers = format!("Authorization: Bearer {}\r\n", token_for("fay", "facilitator"));
            let told = request(server.address, "GET", "/api/v1/rooms/retro/hidden", &headers, "").await;
            if told.ends_with("{\"hidden\":{}}") {
                break;
            }
            assert!(Instant::now() < deadline, "drafts keep cards: {told}");
            sleep(Duration::from_millis(20)).await;
        }
        let headers = format!("Authorization: Bearer {}\r\n", token_for("fay", "facilitator"));
        let log = request(server.address, "GET", "/api/v1/rooms/retro/log", &headers, "").await;
        let log: Value = serde_json::from_str(log.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        for user in 0..AUTHORS {
            let user = format!("user{user}");
            let of = log["records"].as_array().unwrap().iter().filter(|record| record["user"] == *user);
            assert_eq!(of.count(), 1, "one record of {user}");
        }
    }
}

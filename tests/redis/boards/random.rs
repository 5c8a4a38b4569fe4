//! People who edit at random on two instances that are held up now and then, honest ones and one with two sockets and one id.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ruang::history::{Folded, OnTrouble, Range, Start, Step};
use yrs::{Map, ReadTxn, Transact, TransactionMut, WriteTxn};

use super::world::{Page, World, card, field, set};
use crate::auth_support::room;

const HIGHEST: u64 = (1 << 53) - 1_000;
const ROUNDS: usize = 120;
const PEOPLE: [(usize, &str, &str); 6] = [
    (0, "lea", "facilitator"),
    (0, "ann", "editor"),
    (1, "bob", "editor"),
    (1, "wim", "viewer"),
    (0, "mallory", "editor"),
    (1, "mallory", "editor"),
];

fn seed() -> u64 {
    let seed = std::env::var("RUANG_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    seed
}

/// One edit; honest people do what they may, and what they may not.
fn edit(random: &mut StdRng, t: &mut TransactionMut<'_>, (user, role): (&str, &str)) {
    let (n, key) = (random.random_range(0..1_000), ["a", "b", "c"][random.random_range(0..3)]);
    match random.random_range(0..12) {
        0..=2 => set("itemPositions", key, n)(t),
        3 => set("itemGroups", key, n)(t),
        4 => set("votes", &format!("{user}/{key}"), n % 7)(t),
        5 if t.get_map("items").is_some_and(|items| items.contains_key(t, "anns")) => {
            field("anns", "text", n)(t)
        }
        6 => card(&format!("{user} {key}"), Some(user))(t),
        7 | 8 if role == "facilitator" => set("meta", "title", format!("title {n}"))(t),
        7 => set("meta", "title", format!("bad {n}"))(t),
        8 => set("votes", &format!("carl/{key}"), "bad")(t),
        9 if user != "lea" && user != "ann" => card("anns", Some(user))(t),
        10 if user == "mallory" => {
            let root = ["itemPositions", "itemGroups", "meta", "votes"][random.random_range(0..4)];
            (0..2).for_each(|_| set(root, "carl/a", "bad")(t));
        }
        11 if user != "lea" && user != "ann" => {
            t.get_or_insert_map("items").remove(t, "anns");
        }
        _ => set("signatureColors", user, "#aabbcc")(t),
    }
}

/// One of two pages that write under one id, and not the same.
async fn liar(world: &World, at: usize) -> Page {
    let mut page = world.page_as(at, ("mallory", "editor"), HIGHEST).await;
    page.client.is_liar = true;
    page
}

/// [B64] Whatever people do at the same time on two instances, and one of them with two sockets under one id: all come to one
/// board, which is what the log comes to; nobody is ever shown a title that is not the facilitator's, a vote in another's
/// name, or another author of Ann's card; and honest people lose nothing that was acked.
#[tokio::test(flavor = "multi_thread")]
async fn any_mix_on_two_instances_comes_to_one_board() {
    let mut random = StdRng::seed_from_u64(seed());
    let world = World::start().await;
    let mut pages = Vec::new();
    for (at, user, role) in PEOPLE {
        pages.push(match user {
            "mallory" => liar(&world, at).await,
            _ => world.page(at, user, role).await,
        });
    }
    pages[0].edit(set("meta", "title", "title 0")).await;
    pages[1].edit(card("anns", Some("ann"))).await;
    pages[2]
        .until("both", |page| {
            page.board()["items"]["anns"].is_object() && !page.board()["meta"]["title"].is_null()
        })
        .await;
    for page in &pages {
        page.seen();
    }
    let mut turned_away = 0;
    for _ in 0..ROUNDS {
        let held = random.random_range(0..6);
        if held < 2 {
            world.hold(held);
        }
        for _ in 0..random.random_range(1..8) {
            // One mallory is seldom without the other.
            let who = random.random_range(0..PEOPLE.len() + 2).min(PEOPLE.len() - 1);
            for who in if who >= 4 { vec![4, 5] } else { vec![who] } {
                let ((_, user, role), page) = (PEOPLE[who], &mut pages[who]);
                if role == "viewer" || page.is_out() {
                    continue;
                }
                let update = {
                    let mut t = page.client.doc.transact_mut();
                    edit(&mut random, &mut t, (user, role));
                    t.encode_update_v1()
                };
                if page.client.try_send(ruang::wire::y_websocket::update(&update)).await {
                    page.client.sent += 1;
                }
            }
        }
        if held < 2 {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
            world.let_go(held);
        }
        for (page, (at, user, _)) in pages.iter_mut().zip(PEOPLE) {
            // Not always all that has come.
            for _ in 0..random.random_range(0..40) {
                if !page.step(Duration::from_millis(1)).await {
                    break;
                }
            }
            if page.is_out() {
                assert_eq!(user, "mallory", "{:?}", page.closed);
                (*page, turned_away) = (liar(&world, at).await, turned_away + 1);
            }
        }
    }
    for page in pages.iter_mut().filter(|page| page.user != "mallory") {
        page.until_acked().await;
    }
    let honest = &mut pages[..4];
    let mut honest: Vec<&mut Page> = honest.iter_mut().collect();
    world.same(&mut honest, "one board", |board| board["items"]["anns"]["author"] == "ann").await;
    for page in &honest {
        for (root, value) in page.seen() {
            let text = value.to_string();
            let is_own = page.user != "lea" && page.user != "wim"; // whose own bad edits may still stand
            let is_good = match root {
                "meta" => value["title"].as_str().is_some_and(|title| title.starts_with("title ")),
                "votes" => !text.contains("carl"),
                "items" => value["anns"]["author"] == "ann",
                _ => true,
            };
            assert!(is_good || is_own, "{} has read {root}: {text}", page.user);
        }
    }
    let range = Range { start: Start::Genesis, until: u64::MAX, on_trouble: OnTrouble::SetAside };
    let mut walk = ruang::history::walk(&world.log, &room("retro"), range).await.unwrap().unwrap();
    let (mut records, mut passed_over) = (0, 0);
    while let Some(step) = walk.next().await.unwrap() {
        let Step::Record(_, folded, _) = step else { continue };
        records += 1;
        passed_over += usize::from(folded == Folded::PassedOver);
    }
    println!("{records} records, {passed_over} passed over; mallory was turned away {turned_away} times");
    world.stop(pages).await;
}

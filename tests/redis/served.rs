//! A server on Redis, end to end: the binary, clients, and the operators' verbs on the same store.

use std::sync::Arc;

use crate::binary::{self, Served};
use crate::harness::{Client, Server};
use crate::rig::single::{FSYNC, Single};

/// All that the binary says, and whether it went well.
fn said(args: &[&str]) -> (bool, String) {
    let (code, notes, out) = binary::said(args, &[]);
    (code == Some(0), out + &notes)
}

/// [O1] [O26] [L84] The binary serves a store on Redis and says what an ack means there, without the password; the verbs see
/// the same store while it is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_serves_a_store_on_redis() {
    let redis = Single::start(&[FSYNC, &["--requirepass", "hush"]].concat());
    let store = format!("redis://:hush@127.0.0.1:{}", redis.port);
    let server = Served::start(&["--store", &store, "--durability", "fsync"], &[]);
    let logged = server.logged();
    let listening = logged.lines().find(|line| line.contains("listening on")).unwrap();
    println!("{listening}");
    assert!(
        listening.contains("fsync") && listening.contains("redis://127.0.0.1") && !listening.contains("hush")
    );
    let mut one = Client::connect(&server.url("a"), None).await;
    let mut two = Client::connect(&server.url("a"), None).await;
    one.sync().await;
    two.sync().await;
    one.set("card", "written").await;
    two.until_set("card", "written").await;
    let (good, rooms) = said(&["replay", "rooms", "--json", "--store", &store]);
    println!("{rooms}");
    assert!(good && rooms.contains("\"a\"") && !rooms.contains("hush"));
    let (good, state) = said(&["replay", "state", "a", "--store", &store]);
    println!("{state}");
    assert!(good && state.contains("written"));
    assert!(said(&["replay", "verify", "--all", "--store", &store]).0);
}

/// [O2] What Redis does not give is refused at the start, with the setting that is in the way.
#[test]
fn a_durability_that_redis_does_not_give_is_refused() {
    let redis = Single::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let (good, text) =
        said(&["serve", "--listen", "127.0.0.1:0", "--store", &redis.url(), "--durability", "fsync"]);
    println!("{text}");
    assert!(!good && text.lines().count() == 1 && text.contains("appendfsync is everysec"));
    let evicting = Single::start(&["--maxmemory-policy", "allkeys-lru"]);
    let (good, text) = said(&["serve", "--listen", "127.0.0.1:0", "--store", &evicting.url()]);
    println!("{text}");
    assert!(
        !good
            && text.lines().count() == 1
            && text.contains("allkeys-lru")
            && text.contains("--accept-eviction")
    );
}

/// [L88] Clients stay while Redis is killed and started again: what they wrote meanwhile is stored then, and seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay_while_redis_is_away() {
    let mut redis = Single::start(FSYNC);
    let server = Server::start(Arc::new(redis.log().await)).await;
    let (mut one, mut two) = (server.join("a").await, server.join("a").await);
    for round in 0..5 {
        let (before, during) = (format!("before {round}"), format!("during {round}"));
        one.set("card", &before).await;
        two.until_set("card", &before).await;
        redis.kill();
        one.set("card", &during).await;
        redis.restart();
        two.until_set("card", &during).await;
    }
    let mut late = server.join("a").await;
    late.until_set("card", "during 4").await;
    server.stop().await;
}

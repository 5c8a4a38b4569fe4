//! The log on the server that Sentinel calls the primary.

use std::time::{Duration, Instant};

use ruang::log::Log;
use ruang::log::redis::{RedisLog, RedisOptions};

use crate::log_support::{append, batch, room};
use crate::rig::PATIENCE;
use crate::rig::sentinel::SentinelRig;
use crate::traffic::{Traffic, open, texts_soon};

/// Repeats a batch until it is stored.
async fn insist(log: &RedisLog, name: &str, number: u64, text: &str) {
    let name = room(name);
    let (sent, started) = (batch(&name, 1, number, &[text]), Instant::now());
    while let Err(error) = log.append(&name, sent.clone()).await {
        assert!(error.is_temporary() && started.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// [L91] The primary dies: what was not answered is repeated on the next one, on the same log, without being asked.
#[tokio::test(flavor = "multi_thread")]
async fn the_primary_dies() {
    let mut rig = SentinelRig::start(3);
    let log = open(&rig.url()).await;
    insist(&log, "a", 1, "before").await;
    rig.wait_for_replica();
    let old = rig.primary();
    rig.nodes[old].kill();
    insist(&log, "a", 2, "after").await;
    assert_eq!(texts_soon(&log, &room("a")).await, ["before", "after"]);
    let new = rig.primary_other_than(old);
    assert_eq!(rig.nodes[new].ask::<u64>(&["XLEN", "retro:room:{a}:log"]), 3);
    // It comes back as a replica, and nobody writes to it.
    rig.nodes[old].restart();
    insist(&log, "a", 3, "later").await;
    assert_eq!(rig.nodes[new].ask::<u64>(&["XLEN", "retro:room:{a}:log"]), 4);
}

/// [L91] A primary that is replaced in good order goes on taking writes until it is told. It is left within seconds, by
/// writers and by those who only look.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_primary_is_left() {
    let rig = SentinelRig::start(3);
    let log = open(&rig.url()).await;
    let idle = open(&rig.url()).await;
    let key = "retro:room:{a}:log";
    for failover in 1..=2 {
        insist(&log, "a", 2 * failover, "before").await;
        rig.wait_for_replica();
        let new = rig.fail_over();
        // Asked once a second, and answered within half of one.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        insist(&log, "a", 2 * failover + 1, "after").await;
        let stored: u64 = rig.nodes[new].ask(&["XLEN", key]);
        assert_eq!(stored, 1 + 2 * failover, "on the new primary");
        assert_eq!(idle.open(&room("a")).await.unwrap().unwrap().last.seq, stored);
    }
}

/// [L91] Writers go on through two failovers, and what they store after each is stored once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_after_failovers() {
    let rig = SentinelRig::start(1);
    let log = open(&rig.url()).await;
    for life in 0..3 {
        let traffic = Traffic::start(&log, (0..4).map(|number| room(&format!("life{life}room{number}"))));
        traffic.go_on(20).await;
        traffic.end().await;
        rig.wait_for_replica();
        if life < 2 {
            rig.fail_over();
        }
    }
}

/// [L91] Sentinels that are gone or silent are no hindrance as long as one answers; without any, what is connected stays
/// connected, and a start says which one did not answer.
#[tokio::test(flavor = "multi_thread")]
async fn sentinels_may_be_away() {
    let mut rig = SentinelRig::start(3);
    rig.sentinels[0].kill();
    rig.sentinels[1].freeze(true);
    let log = open(&rig.url()).await;
    append(&*log, &room("a"), 1, 1, &["x"]).await;
    rig.sentinels[1].freeze(false);
    for sentinel in &mut rig.sentinels {
        sentinel.kill();
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    append(&*log, &room("a"), 1, 2, &["y"]).await;
    let error = refused(&rig.url()).await;
    assert!(error.contains("the sentinel 127.0.0.1:"), "{error}");
}

/// [L91] A name that Sentinel does not know, and a server that is no sentinel, are told in one line.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_names_are_told() {
    let rig = SentinelRig::start(1);
    let wrong = rig.url().replace("/ruang", "/other");
    assert!(refused(&wrong).await.contains("other"));
    let no_sentinel = format!("redis+sentinel://:secret@{}/ruang", rig.nodes[0].socket());
    let error = refused(&no_sentinel).await;
    assert!(error.contains("SENTINEL") && !error.contains("secret"), "{error}");
}

async fn refused(url: &str) -> String {
    let error = RedisLog::open(&url.parse().unwrap(), RedisOptions::default()).await.err().unwrap();
    let line = error.to_string();
    println!("{line}");
    assert!(!line.contains('\n'));
    line
}

//! Redis ends, freezes and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ruang::log::{Durability, Log, LogError};

use crate::log_support::{append, batch, head, room, texts};
use crate::rig::single::{FSYNC, Single};

/// Repeats a call as rooms and compactors do, until it is decided.
async fn decided<T, F: Future<Output = Result<T, LogError>>>(mut call: impl FnMut() -> F) -> T {
    for _ in 0..2_000 {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("Redis does not come back");
}

/// [L31] [L88] After a kill -9 with an append-only file that is always synced, everything answered is there, and retries are
/// recognised; the same log goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    let mut server = Single::start(FSYNC);
    let log = Arc::new(server.log().await);
    assert_eq!(log.durability(), Durability::Fsync);
    for round in 0..5_u64 {
        let mut tasks = Vec::new();
        for instance in 1..=8 {
            let log = Arc::clone(&log);
            tasks.push(tokio::spawn(async move {
                let name = room(&format!("r{}", instance % 3));
                for number in round * 40 + 1..=round * 40 + 40 {
                    let text = format!("{instance}.{number}");
                    decided(|| log.append(&name, batch(&name, instance, number, &[text.as_str(); 2]))).await;
                }
            }));
        }
        // In the midst of it.
        while head_seq(&*log, "r1").await < round * 240 + 60 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.restart();
        for task in tasks {
            task.await.unwrap();
        }
    }
    let other = server.log().await;
    for rest in 0..3 {
        let texts = texts(&other, &room(&format!("r{rest}"))).await;
        let mut expected: Vec<String> = (1..=8_u64)
            .filter(|instance| instance % 3 == rest)
            .flat_map(|instance| (1..=200).flat_map(move |number| vec![format!("{instance}.{number}"); 2]))
            .collect();
        let mut sorted = texts.clone();
        sorted.sort();
        expected.sort();
        assert_eq!(sorted.len(), expected.len());
        assert_eq!(sorted, expected, "each batch is there once");
        assert!(texts.chunks(2).all(|two| two[0] == two[1]));
    }
}

async fn head_seq(log: &dyn Log, name: &str) -> u64 {
    log.open(&room(name)).await.ok().flatten().map_or(0, |head| head.last.seq)
}

/// [L88] While Redis is away calls fail at once and for now, none hangs; when it is back the log goes on by itself, with
/// everything that was there.
#[tokio::test]
async fn a_log_outlives_its_server() {
    let mut server = Single::start(FSYNC);
    let (log, name) = (server.log().await, room("a"));
    append(&log, &name, 1, 1, &["one"]).await;
    log.freeze(&name, true).await.unwrap();
    let before = head(&log, &name).await;
    server.kill();
    for number in 0..200 {
        let began = Instant::now();
        let answers = [
            log.append(&name, batch(&name, 1, 2, &["two"])).await.map(drop),
            log.open(&name).await.map(drop),
            log.read(&name, 0, 9).await.map(drop),
            log.rooms(None, 9).await.map(drop),
            log.health().await,
        ];
        for answer in &answers {
            assert!(matches!(answer, Err(LogError::Unavailable(_) | LogError::Unknown(_))), "{answer:?}");
        }
        if number == 0 || number == 199 {
            println!("{number}: {answers:?} in {:?}", began.elapsed());
        }
    }
    server.restart();
    assert_eq!(decided(|| log.open(&name)).await, Some(before));
    decided(|| log.append(&name, batch(&name, 1, 2, &["two"]))).await;
    decided(|| log.health()).await;
    assert_eq!(texts(&log, &name).await, ["one", "two"]);
}

/// [L88] A connection that is cut while nobody calls is noticed: the next call is answered.
#[tokio::test]
async fn a_connection_that_is_cut_is_made_again() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    for number in 1..=20 {
        let _: u64 = server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        decided(|| log.append(&name, batch(&name, 1, number, &["x"]))).await;
    }
    assert_eq!(decided(|| log.read(&name, 0, 99)).await.len(), 21);
}

/// [L13] [L88] A log that is closed lets go of its connections, also one that Redis does not answer.
#[tokio::test]
async fn a_closed_log_lets_go() {
    let server = Single::start(&[]);
    let log = server.log().await;
    append(&log, &room("a"), 1, 1, &["x"]).await;
    let connected = || server.ask::<String>(&["CLIENT", "LIST"]).lines().count();
    let before = connected();
    log.close().await;
    while connected() > before - 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(log.health().await, Err(LogError::Fatal(_))));
    let log = Arc::new(server.log().await);
    server.freeze(true);
    let (name, sent) = (room("a"), batch(&room("a"), 1, 2, &["y"]));
    let (appended, ()) = tokio::join!(log.append(&name, sent), log.close());
    println!("{appended:?}");
    assert!(appended.is_err());
    server.freeze(false);
}

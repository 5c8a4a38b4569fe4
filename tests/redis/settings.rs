//! How Redis is set, what follows from that, and what it must be allowed to do.

use std::time::Duration;

use ruang::log::redis::{RedisLog, RedisOpenError, RedisOptions};
use ruang::log::{Durability, Log, LogError, UploadId};

use crate::harness::until;
use crate::log_support::{append, batch, room, texts};
use crate::rig::single::{FSYNC, Single};
use crate::rig::store::adopt_at;
use crate::rig::{acl, words};

/// [L14] [L84] What an answer means is what Redis is set to do.
#[tokio::test]
async fn durability_is_what_redis_is_set_to() {
    for (settings, durability) in [
        (FSYNC, Durability::Fsync),
        (&["--appendonly", "yes", "--appendfsync", "everysec"], Durability::Memory),
        (&["--appendonly", "yes", "--appendfsync", "no"], Durability::Memory),
        (&["--appendonly", "no", "--appendfsync", "always"], Durability::Memory),
    ] {
        let log = Single::start(settings).log().await;
        println!("{settings:?}: {}, {:?}", log.durability(), log.weakness());
        assert_eq!(log.durability(), durability);
        assert_eq!(log.weakness().is_none(), durability == Durability::Fsync);
    }
}

/// Looks at the settings all the time.
fn often() -> RedisOptions {
    RedisOptions { watch: Duration::from_millis(20), ..RedisOptions::default() }
}

/// [L84] A setting that is changed under a running log changes what it says of itself, in both directions.
#[tokio::test]
async fn settings_that_change_are_noticed() {
    let server = Single::start(FSYNC);
    let log = server.try_log(often()).await.unwrap();
    let set = |name: &str, value: &str| server.ask::<String>(&["CONFIG", "SET", name, value]);
    set("appendfsync", "everysec");
    until("weaker", async || log.durability() == Durability::Memory).await;
    set("maxmemory-policy", "allkeys-lru");
    set("appendfsync", "always");
    until("stronger", async || log.durability() == Durability::Fsync).await;
    until("evicting", async || matches!(log.health().await, Err(LogError::Unavailable(_)))).await;
    println!("{:?}", log.health().await);
    set("maxmemory-policy", "noeviction");
    until("good again", async || log.health().await.is_ok()).await;
}

/// [L84] A Redis that may throw rooms away is refused in one line, unless that is accepted.
#[tokio::test]
async fn an_evicting_redis_is_refused() {
    let server = Single::start(&["--maxmemory", "64mb", "--maxmemory-policy", "volatile-ttl"]);
    let refused = server.try_log(RedisOptions::default()).await.map(drop).unwrap_err();
    println!("{refused}");
    assert!(matches!(&refused, RedisOpenError::Evicts { policy, .. } if policy == "volatile-ttl"));
    let options = RedisOptions { accept_eviction: true, ..RedisOptions::default() };
    let log = server.try_log(options).await.unwrap();
    assert_eq!(log.health().await, Ok(()));
}

/// [L39] When Redis' memory is full, appends are refused as full and leave nothing; reads, trims and removals go on, and so
/// do appends when there is space.
#[tokio::test]
async fn a_full_redis_refuses_and_goes_on() {
    let server = Single::start(&["--maxmemory", "8mb"]);
    let (log, name, other) = (server.try_log(often()).await.unwrap(), room("a"), room("b"));
    let set_most = |bytes: &str| server.ask::<String>(&["CONFIG", "SET", "maxmemory", bytes]);
    append(&log, &name, 1, 1, &["first"]).await;
    let last = append(&log, &other, 1, 1, &["x"]).await.last;
    adopt_at(&log, &other, 1, last).await;
    let large = "x".repeat(100_000);
    let mut number = 1;
    let refused = loop {
        number += 1;
        match log.append(&other, batch(&other, 1, number, &[&large])).await {
            Ok(_) => assert!(number < 1_000, "Redis takes more than it has"),
            Err(error) => break error,
        }
    };
    println!("after {number} batches: {refused}");
    assert!(matches!(refused, LogError::Full(_)));
    set_most("1mb"); // full beyond doubt
    let absent = room("absent");
    let refused = log.append(&absent, batch(&absent, 1, 1, &["x"])).await;
    assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
    assert_eq!(log.open(&absent).await, Ok(None));
    let refused = log.put_chunk(&name, UploadId(1), 0, "x".into()).await;
    assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
    assert_eq!(texts(&log, &name).await, ["first"]);
    assert_eq!(log.open(&other).await.unwrap().unwrap().last.seq, number);
    until("health says so", async || matches!(log.health().await, Err(LogError::Full(_)))).await;
    // What gives memory back, or keeps rooms from ending, still works.
    log.touch(&name, Some(3_600_000)).await.unwrap();
    assert_eq!(log.freeze(&name, true).await, Ok(true));
    assert_eq!(log.trim(&other, 9).await, Ok(2));
    assert_eq!(log.delete(&other).await, Ok(true));
    assert!(log.tombstone(&other).await.unwrap().is_some());
    set_most("64mb");
    until("health is good", async || log.health().await.is_ok()).await;
    append(&log, &name, 1, 2, &["second"]).await;
    assert_eq!(texts(&log, &name).await, ["first", "second"]);
}

/// [L89] A user with the rights that are documented can do everything.
#[tokio::test]
async fn documented_rights_are_enough() {
    let server = Single::start(FSYNC);
    let _: String = server.ask(
        &[&["ACL", "SETUSER", "ruang", "on", ">secret"], &words(&acl::least(&["+config|get"]))[..]].concat(),
    );
    let address = acl::with_user(&server.url()).parse().unwrap();
    let (log, name) = (RedisLog::open(&address, RedisOptions::default()).await.unwrap(), room("a"));
    assert_eq!((log.durability(), log.health().await), (Durability::Fsync, Ok(())));
    let lasting = ruang::log::Batch { ttl_ms: Some(60_000), ..batch(&name, 1, 1, &["x"; 9]) };
    log.append(&name, lasting).await.unwrap();
    for instance in 2..=20 {
        append(&log, &name, instance, 1, &["x"]).await;
    }
    let last = log.open(&name).await.unwrap().unwrap().last;
    for upload in [1, 2] {
        adopt_at(&log, &name, upload, last).await;
    }
    log.put_chunk(&name, UploadId(3), 0, "x".into()).await.unwrap();
    assert_eq!(log.trim(&name, 5).await, Ok(5));
    assert_eq!(log.read(&name, 7, 3).await.unwrap().len(), 3);
    assert_eq!(log.rooms(None, 9).await.unwrap().len(), 1);
    log.touch(&name, Some(9)).await.unwrap();
    log.freeze(&name, true).await.unwrap();
    assert!(log.chunk(&name, UploadId(2), 0).await.unwrap().is_some());
    // The entry of somebody else, over which the time steps.
    let _: String =
        server.ask(&["XADD", "retro:room:{a}:log", &format!("{}-9000", last.ms + 900_000), "f", "x"]);
    append(&log, &name, 1, 2, &["y"]).await;
    assert_eq!(log.delete(&name).await, Ok(true));
    assert!(log.tombstone(&name).await.unwrap().is_some());
    let other = room("b");
    append(&log, &other, 1, 1, &["x"]).await;
    assert_eq!(log.expire(&other, 0).await, Ok(false));
}

/// [O1] [L84] What cannot be connected to is told in one line, without the password.
#[tokio::test]
async fn a_start_that_fails_says_why() {
    let mut server = Single::start(&["--requirepass", "secret"]);
    let open = async |address: String| {
        let opened = RedisLog::open(&address.parse().unwrap(), RedisOptions::default()).await;
        let text = opened.map(drop).unwrap_err().to_string();
        println!("{text}");
        assert!(!text.contains("hush") && !text.contains('\n'));
        text
    };
    let port = server.port;
    assert!(open(format!("redis://127.0.0.1:{port}")).await.contains("refuses"));
    assert!(open(format!("redis://:hush@127.0.0.1:{port}")).await.contains("refuses"));
    server.kill();
    assert!(open(format!("redis://:hush@127.0.0.1:{port}")).await.contains("cannot be reached"));
    assert!(open("unix:/nowhere/redis.sock?password=hush".to_owned()).await.contains("cannot be reached"));
}

/// [L84] A socket file on this machine, and a database other than the first.
#[tokio::test]
async fn a_socket_and_a_database_can_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("redis.sock");
    let server = Single::start(&["--unixsocket", path.to_str().unwrap()]);
    let addresses =
        [format!("unix:{}", path.display()), format!("unix:{}?db=3", path.display()), server.url() + "/4"];
    for address in &addresses {
        let log = RedisLog::open(&address.parse().unwrap(), RedisOptions::default()).await.unwrap();
        assert_eq!(log.rooms(None, 9).await, Ok(vec![]), "{address}");
        append(&log, &room("a"), 1, 1, &["x"]).await;
        assert_eq!(log.rooms(None, 9).await.unwrap().len(), 1);
    }
    let databases: String = server.ask(&["INFO", "keyspace"]);
    assert!(["db0:", "db3:", "db4:"].iter().all(|db| databases.contains(db)), "{databases}");
}

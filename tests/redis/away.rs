//! Redis away in every way that it can be, with people at work on two instances: rules R28 and R32. They stay, edit on,
//! and see nothing that is not stored; when it is back, everything is stored and shown.

use std::time::Duration;

use ruang::room::RoomsOptions;
use ruang::wire::y_websocket;
use tokio::time::{Instant, sleep};

use crate::harness::{PATIENCE, Server};
use crate::rig::process::{FSYNC, RedisProcess};
use crate::rig::proxy::{Direction, Fault, Proxy};
use crate::traffic::open;
use crate::two::{Two, kinds};

/// Two instances, each behind a network of its own.
async fn behind_networks(redis: &RedisProcess) -> (Proxy, Proxy, Two) {
    let (one, two) = (Proxy::tcp(redis.socket()), Proxy::tcp(redis.socket()));
    let people = Two::through(&one.url(), &two.url(), &redis.url()).await;
    (one, two, people)
}

/// [R32] Nobody listens, nobody answers, or nothing arrives, in either direction; on both instances.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_redis_is_waited_for() {
    let redis = RedisProcess::alone(&[]);
    let (one, two, mut people) = behind_networks(&redis).await;
    for fault in [Fault::Refuse, Fault::Freeze, Fault::Drop(Direction::ToServer)] {
        let what = format!("{fault:?}");
        people.exchange(&format!("before {what}")).await;
        for network in [&one, &two] {
            network.set(fault);
        }
        people.edit_unseen(&what).await;
        people.welcome("first").await;
        for network in [&one, &two] {
            network.set(Fault::Pass);
        }
        people.meet(&what).await;
        people.exchange(&format!("after {what}")).await;
    }
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R28] [R32] One instance alone is cut off, in both directions or in one: its people edit on, the others go on with all
/// that is stored, and they meet again.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_cut_off_comes_back() {
    let redis = RedisProcess::alone(&[]);
    let (one, _two, mut people) = behind_networks(&redis).await;
    let faults =
        [Fault::Refuse, Fault::Freeze, Fault::Drop(Direction::ToServer), Fault::Drop(Direction::ToClient)];
    for fault in faults {
        let what = format!("{fault:?}");
        people.exchange(&format!("before {what}")).await;
        people.meet(&what).await;
        one.set(fault);
        let (by_ann, by_bob) = (people.ann.acked, people.bob.sent + 5);
        people.edit(&what, 5).await;
        people.pass().await;
        let shown = people.amy.get(&format!("{what}-ann-0")).or(people.ann.get(&format!("{what}-amy-0")));
        assert_eq!(shown, None, "{what}: something of which nobody knows that it is stored");
        assert_eq!((people.ann.acked, people.bob.acked), (by_ann, by_bob), "{what}");
        // What has arrived without an answer is stored, and shown to the others; whether it has is up to the link.
        let may_arrive = fault == Fault::Drop(Direction::ToClient);
        assert!(may_arrive || people.bob.get(&format!("{what}-ann-0")).is_none(), "{what}");
        one.set(Fault::Pass);
        people.meet(&what).await;
    }
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R2] [R28] The answer to an append is cut off when it is stored: it is stored once, shown once, and acked once.
#[tokio::test(flavor = "multi_thread")]
async fn edits_whose_answer_is_lost_are_stored_once() {
    let redis = RedisProcess::alone(&[]);
    let (one, _two, mut people) = behind_networks(&redis).await;
    people.meet("before").await;
    let before = kinds(&redis.url()).await.len();
    let edits = 20;
    for n in 0..edits {
        // The next answer on any connection, or one a few bytes later.
        one.set(Fault::CutAfter(Direction::ToClient, n % 4));
        people.ann.set(&format!("cut-{n}"), "x").await;
        people.meet("an answer is lost").await;
        one.set(Fault::Pass);
    }
    let kinds = kinds(&redis.url()).await;
    assert_eq!(kinds.len() as u64, before as u64 + edits, "each edit is one record");
    assert_eq!(people.bob.received.len() as u64, people.amy.received.len() as u64);
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R32] Redis answers and refuses: a full memory, a disk that fails, too few replicas, a replica's role. Edits wait until
/// it takes them; who comes meanwhile gets what is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_edits_is_waited_for() {
    let redis = RedisProcess::alone(&["--dbfilename", "copy.rdb", "--save", "3600 1000000"]);
    let redis = &redis;
    let set = |name: &str, value: &str| {
        let () = redis.ask(&["CONFIG", "SET", name, value]);
    };
    let copy = redis.dir().join("copy.rdb");
    let saved = |status: &str| {
        let _: redis::Value = redis.ask(&["BGSAVE"]);
        crate::rig::wait_for("a copy that is made or not", || {
            (redis.info("rdb_bgsave_in_progress")? == "0").then_some(())
        });
        assert_eq!(redis.info("rdb_last_bgsave_status").as_deref(), Some(status));
    };
    let mut people = Two::on(&redis.url()).await;

    set("maxmemory", "1mb");
    people.edit_unseen("OOM").await;
    people.welcome("first").await;
    println!("presence goes to the other instance all the same");
    let news = people.announce().await;
    people.bob.until("Ann's presence", news).await;
    set("maxmemory", "0");
    people.meet("OOM").await;

    // A directory in place of the file: it cannot be replaced, whoever tries.
    std::fs::create_dir(&copy).unwrap();
    saved("err");
    people.edit_unseen("MISCONF").await;
    people.welcome("first").await;
    std::fs::remove_dir(&copy).unwrap();
    saved("ok");
    people.meet("MISCONF").await;

    set("min-replicas-to-write", "1");
    people.edit_unseen("NOREPLICAS").await;
    people.welcome("first").await;
    set("min-replicas-to-write", "0");
    people.meet("NOREPLICAS").await;

    let () = redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    people.edit_unseen("READONLY").await;
    people.welcome("first").await;
    let () = redis.ask(&["REPLICAOF", "NO", "ONE"]);
    people.meet("READONLY").await;

    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [L99] [R32] What Redis appends to cannot be written, and later can: edits wait meanwhile, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_file_fails_is_waited_for() {
    let redis = RedisProcess::alone(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut people = Two::on(&redis.url()).await;
    people.exchange("before").await;
    for turn in 1..=2 {
        redis.limit_files(true);
        // The first write finds out.
        let () = redis.ask(&["SET", "other", "x"]);
        let fails =
            || redis.info("aof_last_write_status").is_some_and(|status| status == "err").then_some(());
        crate::rig::wait_for("a write that fails", fails);
        let refused = redis.try_ask::<String>(&["SET", "other", "x"]).unwrap_err().to_string();
        println!("{refused}");
        assert!(refused.contains("MISCONF") && refused.contains("AOF"));
        people.edit_unseen(&format!("no file {turn}")).await;
        people.welcome("first").await;
        redis.limit_files(false);
        people.meet("the file is back").await;
    }
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [L98] [R31] Presence that changed while the bus was lost, on whichever side, is seen once it is back, though nobody renews
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn presence_is_asked_for_when_the_bus_is_back() {
    let redis = RedisProcess::alone(&[]);
    let (one, two, mut people) = behind_networks(&redis).await;
    for (network, whose) in [(&one, "Ann's"), (&two, "Bob's"), (&one, "Ann's again")] {
        people.exchange(whose).await;
        network.set(Fault::Refuse);
        let news = people.announce().await;
        people.pass().await;
        assert!(!news(&people.bob), "{whose}");
        network.set(Fault::Pass);
        people.bob.until("Ann's presence", news).await;
        println!("{whose} instance was cut off: Bob sees Ann");
    }
    people.stop().await;
}

/// [R32] Redis answers nothing but that it cannot: it is busy with somebody's script, it is a replica that has lost its
/// primary, it wants a password that we do not have. Edits wait, who is here stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_nothing_is_waited_for() {
    let redis = RedisProcess::alone(&["--busy-reply-threshold", "100", "--replica-serve-stale-data", "no"]);
    let mut people = Two::on(&redis.url()).await;
    std::thread::scope(|scope| {
        let busy = "local from = redis.call('TIME')[1]; repeat until redis.call('TIME')[1] - from > 3";
        scope.spawn(|| redis.ask::<()>(&["EVAL", busy, "0"]));
        crate::rig::wait_for("a busy Redis", || {
            redis.try_ask::<String>(&["PING"]).is_err_and(|error| error.code() == Some("BUSY")).then_some(())
        });
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async { people.edit_unseen("BUSY").await });
        });
    });
    people.meet("BUSY").await;

    let () = redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    people.edit_unseen("MASTERDOWN").await;
    let () = redis.ask(&["REPLICAOF", "NO", "ONE"]);
    people.meet("MASTERDOWN").await;

    let mut connection = redis.connection();
    let () = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("new").exec(&mut connection).unwrap();
    let () = redis::cmd("CLIENT").arg("KILL").arg("SKIPME").arg("yes").exec(&mut connection).unwrap();
    people.edit_unseen("NOAUTH").await;
    people.welcome("first").await;
    let () = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("").exec(&mut connection).unwrap();
    people.meet("NOAUTH").await;

    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R32] One that is away for longer than the patience is: people are asked to come back later, by a code that lets them,
/// and are let in again with all that they have written when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_patience_people_come_back_later() {
    let redis = RedisProcess::alone(&[]);
    let patience = RoomsOptions { store_patience: Duration::from_secs(2), ..RoomsOptions::default() };
    let server = Server::start_with(open(&redis.url()).await, patience).await;
    let mut ann = server.join_for_acks("r").await;
    ann.set("before", "x").await;
    ann.until_acked().await.unwrap();
    redis.freeze(true);
    for n in 0..5 {
        ann.set(&format!("away-{n}"), "x").await;
    }
    assert_eq!(ann.until_closed().await, Some(1013));
    let url = server.url("r");
    ann.reconnect(&url, Some("ruang.v1")).await;
    let state_vector = ann.state_vector();
    ann.send(y_websocket::sync_step1(&state_vector)).await;
    assert_eq!(ann.until_closed().await, Some(1013), "no room is opened meanwhile");
    redis.freeze(false);
    let began = Instant::now();
    loop {
        ann.reconnect(&url, Some("ruang.v1")).await;
        ann.send(y_websocket::sync_step1(&state_vector)).await;
        if ann.step(PATIENCE).await.is_ok() {
            break;
        }
        assert!(began.elapsed() < PATIENCE);
    }
    ann.reconnect(&url, Some("ruang.v1")).await;
    ann.sync().await;
    ann.until_acked().await.unwrap();
    println!("back, and stored, after {} ms", began.elapsed().as_millis());
    let mut late = server.join("r").await;
    late.until_set("away-4", "x").await;
    assert_eq!(late.doc_json(), ann.doc_json());
    drop((ann, late));
    server.stop().await;
}

/// [R32] A Redis that is back and still reads its file (LOADING) is waited for as one that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_loads_is_waited_for() {
    // Slow on purpose, and answering in between.
    let slowly = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"];
    let mut redis = RedisProcess::alone(&[FSYNC, &slowly, &["--rdbcompression", "no"]].concat());
    let mut connection = redis.connection();
    for n in 0..150 {
        redis::cmd("SET").arg(format!("other:{n}")).arg("x".repeat(200)).exec(&mut connection).unwrap();
    }
    let mut people = Two::on(&redis.url()).await;
    let _: redis::Value = redis.ask(&["BGREWRITEAOF"]);
    crate::rig::wait_for("a shorter file", || {
        let done = |key: &str| (redis.info(key).as_deref() == Some("0")).then_some(());
        done("aof_rewrite_in_progress").and(done("aof_rewrite_scheduled"))
    });
    redis.restart_and_load(false);
    assert_eq!(redis.info("loading").as_deref(), Some("1"));
    people.edit("loading", 10).await;
    let unseen = |people: &Two| people.bob.get("loading-ann-0").is_none();
    while redis.info("loading").as_deref() == Some("1") {
        let _ = people.bob.step(Duration::from_millis(20)).await.unwrap();
        assert!(unseen(&people) || redis.info("loading").as_deref() == Some("0"));
    }
    people.meet("LOADING").await;
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R28] Scripts that are forgotten again and again are told again, between edits that go on.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_hold_up_nothing() {
    let redis = RedisProcess::alone(&[]);
    let mut people = Two::on(&redis.url()).await;
    for n in 0..20 {
        let () = redis.ask(&["SCRIPT", "FLUSH"]);
        people.edit(&format!("edit-{n}"), 1).await;
    }
    people.meet("NOSCRIPT").await;
    people.agree().await;
    people.stop().await;
}

/// [R28] A subscription that is dead and does not say so: what is stored is found all the same, by the batch that does not
/// come back and by looking at the log's end.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_subscription_is_noticed() {
    let redis = RedisProcess::alone(&[]);
    let (one, _two, mut people) = behind_networks(&redis).await;
    people.meet("before").await;
    one.set(Fault::Mute);
    for n in 0..3 {
        people.edit(&format!("mute-{n}"), 2).await;
        people.meet("the subscription is dead").await;
    }
    println!("only the other side edits");
    people.bob.set("last", "x").await;
    people.ann.until_set("last", "x").await;
    one.set(Fault::Pass);
    people.exchange("it is well again").await;
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// Calls of a command since the server began.
fn calls(redis: &RedisProcess, command: &str) -> u64 {
    let line = redis.info(&format!("cmdstat_{command}")).unwrap_or_default();
    let calls = line.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
    calls.and_then(|calls| calls.parse().ok()).unwrap_or(0)
}

/// [L81] [L93] A key of another type, or a right that is taken away, while the room is open: its people are asked to come back
/// with their edits, Redis is not asked again in haste, other rooms go on; when it is repaired, they are stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_redis_refuses_for_good_is_left_alone() {
    let redis = RedisProcess::alone(&[]);
    let log = "retro:room:{r}:log";
    type Act = Box<dyn Fn(&RedisProcess)>;
    let acts: [(&str, Act, Act); 2] = [
        (
            "WRONGTYPE",
            Box::new(move |redis| {
                let () = redis.ask(&["RENAME", log, "aside"]);
                let () = redis.ask(&["SET", log, "x"]);
            }),
            Box::new(move |redis| {
                let () = redis.ask(&["RENAME", "aside", log]);
            }),
        ),
        (
            "NOPERM",
            Box::new(|redis| {
                let () = redis.ask(&["ACL", "SETUSER", "default", "-xadd"]);
            }),
            Box::new(|redis| {
                let () = redis.ask(&["ACL", "SETUSER", "default", "+xadd"]);
            }),
        ),
    ];
    for (what, harm, repair) in acts {
        println!("{what}");
        let mut people = Two::on(&redis.url()).await;
        people.exchange("before").await;
        people.meet("before").await;
        harm(&redis);
        people.ann.set(what, "x").await;
        assert_eq!(people.ann.until_closed().await, Some(1013), "{what}");
        if what == "WRONGTYPE" {
            let mut other = people.one.join_for_acks("other").await;
            other.set("a", "x").await;
            other.until_acked().await.unwrap();
        }
        let before = calls(&redis, "evalsha");
        sleep(Duration::from_secs(2)).await;
        let again = calls(&redis, "evalsha") - before;
        println!("{what}: {again} calls of scripts in 2 s");
        assert!(again < 20, "{what}: {again} calls");
        repair(&redis);
        let url = people.one.url("r");
        let began = Instant::now();
        loop {
            people.ann.reconnect(&url, Some("ruang.v1")).await;
            people.ann.sync().await;
            match people.ann.until_acked().await {
                Ok(()) => break,
                Err(code) => {
                    assert!(code == Some(1013) && began.elapsed() < PATIENCE, "{what}: {code:?}");
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
        people.bob.until_set(what, "x").await;
        println!("{what}: stored {} ms after the repair", began.elapsed().as_millis());
        people.agree().await;
        people.stop().await;
        let () = redis.ask(&["FLUSHALL"]);
    }
}

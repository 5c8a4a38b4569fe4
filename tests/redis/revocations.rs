//! Revocations on real Redis: they reach other instances, and outlive outages and losses of the store.

use std::sync::Arc;
use std::time::Duration;

use ruang::auth::{Auth, AuthError, AuthSettings, Grant, Revocation, Target, keeper};
use ruang::caller::Role;
use ruang::ids::RoomName;
use ruang::limits::REDIS_NOTES_PER_CALL;
use ruang::log::{Log, Note};
use tokio::time::{sleep, timeout};

use crate::harness::{Client, Server};
use crate::rig::acl;
use crate::rig::cluster::ClusterRig;
use crate::rig::single::{FSYNC, Single};

const SECRET: &str = "8b1f0c97d2e45a63b8f1c0e7d2945a6b";

fn auth() -> Auth {
    let key = |name: &str| (name == "RUANG_AUTH_KEY").then(|| SECRET.to_owned());
    Auth::from_settings_and(&AuthSettings::default(), &key).unwrap()
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn token(user: &str) -> String {
    let grant = Grant {
        user: user.to_owned(),
        rooms: vec![RoomName::parse("retro").unwrap()],
        prefixes: vec![],
        role: Role::Editor,
        ttl_s: 600,
        name: None,
        color: None,
        kid: None,
        kind: None,
    };
    // Made a while ago: revoking a user is about tokens that were issued before.
    auth().mint(&grant, now_ms() - 5_000).unwrap()
}

fn ada() -> Revocation {
    Revocation::new(Target::User("ada".into()), None, None, now_ms(), 3_600_000).unwrap()
}

async fn join(server: &Server, token: &str) -> Client {
    let mut client =
        Client::connect(&format!("{}?token={token}", server.url("retro")), Some("ruang.v1")).await;
    client.sync().await;
    client
}

/// Waits until something is so.
async fn within_a_minute<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), waiting).await.is_ok(), "waited in vain: {what}");
}

fn admits(server: &Server, token: &str) -> Result<(), AuthError> {
    let room = RoomName::parse("retro").unwrap();
    server.app.auth.admit(Some(token), &room, now_ms()).map(drop)
}

/// [A19] [A20] A user who is revoked on one instance is gone from another that shares only Redis; others stay. When Redis is
/// frozen nothing changes; when it has lost everything, what was revoked is put back, and a third instance knows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_travel_through_redis() {
    let redis = Single::start(FSYNC);
    let (first, second) = (Arc::new(redis.log().await), Arc::new(redis.log().await));
    let one = Server::start_for(Arc::clone(&first) as Arc<dyn Log>, auth()).await;
    let two = Server::start_for(Arc::clone(&second) as Arc<dyn Log>, auth()).await;
    let (hers, his) = (token("ada"), token("bob"));
    let mut ada_here = join(&two, &hers).await;
    let mut bob = join(&two, &his).await;
    ada_here.set("a", "1").await;
    bob.until_set("a", "1").await;
    keeper::revoke(&one.app.auth, &*one.app.log, ada()).await.unwrap();
    within_a_minute("the other instance knows", async || admits(&two, &hers).is_err()).await;
    let late = ada_here.set_locally("late", "x");
    let _ = ada_here.try_send(ruang::wire::y_websocket::update(&late)).await;
    assert_eq!(ada_here.until_closed().await, Some(4401));
    bob.set("b", "2").await;
    bob.until_acked().await.unwrap();

    let looks = || [&one, &two].map(|server| server.app.metrics.auth.looks_failed.get());
    let before = looks();
    redis.freeze(true);
    within_a_minute("both have looked in vain", async || {
        looks().iter().zip(before).all(|(now, before)| *now > before)
    })
    .await;
    assert_eq!(admits(&two, &hers), Err(AuthError::Revoked), "an outage un-revokes nothing");
    assert_eq!(admits(&two, &his), Ok(()), "and revokes nobody");
    redis.freeze(false);
    let _: () = redis.ask(&["FLUSHALL"]);
    let is_there = || redis.ask::<i64>(&["EXISTS", "retro:room:{}:notes"]) == 1;
    within_a_minute("what Redis had lost is put back", async || is_there()).await;
    let third = auth();
    keeper::load(&third, &redis.log().await).await.unwrap();
    let room = RoomName::parse("retro").unwrap();
    assert_eq!(third.admit(Some(&hers), &room, now_ms()), Err(AuthError::Revoked));
    one.stop().await;
    two.stop().await;
}

/// [A20] However many revocations Redis has lost, they are put back in a few calls, and are read a few times meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_revocations_are_put_back_together() {
    const MANY: usize = 1_000;
    let redis = Single::start(&[]);
    let log = Arc::new(redis.log().await);
    let server = Server::start_for(Arc::clone(&log) as Arc<dyn Log>, auth()).await;
    let notes = (1..=MANY as u128).map(|id| {
        let target = Target::Token(format!("token {id}").into());
        let revocation = Revocation::new(target, None, None, now_ms(), 3_600_000).unwrap();
        Note { id, until_ms: revocation.until_ms, body: revocation.to_bytes().into() }
    });
    log.put_notes(notes.collect()).await.unwrap();
    let known = || server.app.auth.revocations(now_ms()).len();
    within_a_minute("the instance knows all", async || known() == MANY).await;
    let _: () = redis.ask(&["FLUSHALL"]);
    let _: () = redis.ask(&["CONFIG", "RESETSTAT"]);
    let stored = || redis.ask::<usize>(&["HLEN", "retro:room:{}:notes"]);
    within_a_minute("all are there again", async || stored() == MANY + 1).await;
    let stats: String = redis.ask(&["INFO", "commandstats"]);
    let calls = |command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<usize>().unwrap())
    };
    println!("{MANY} put back with {} HSET and {} HGETALL", calls("hset"), calls("hgetall"));
    assert!(calls("hset") <= MANY.div_ceil(REDIS_NOTES_PER_CALL));
    assert!(calls("hgetall") <= 10, "they are not all read again for each");
    server.stop().await;
}

/// [A20] [L93] Notes need no more permissions than rooms do, work on a cluster, and go when they are over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_work_with_the_documented_user_and_on_clusters() {
    let single = Single::start(&acl::settings(&[]).iter().map(String::as_str).collect::<Vec<_>>());
    let cluster = ClusterRig::start();
    for url in [acl::with_user(&single.url()), cluster.url()] {
        let address = url.parse().unwrap();
        let log = ruang::log::redis::RedisLog::open(&address, Default::default()).await.unwrap();
        let note = |id: u128, until_ms: u64| Note { id, until_ms, body: vec![b'x', 0, 255, b' '].into() };
        let (lasting, brief) = (note(7, now_ms() + 60_000), note(8, now_ms() + 2_000));
        log.put_notes(vec![lasting.clone()]).await.unwrap();
        log.put_notes(vec![lasting.clone(), brief]).await.unwrap();
        within_a_minute("the brief one is over", async || log.notes().await.unwrap().len() == 1).await;
        assert_eq!(log.notes().await.unwrap(), std::slice::from_ref(&lasting));
        log.put_notes(vec![note(9, now_ms() + 60_000)]).await.unwrap();
        let other = ruang::log::redis::RedisLog::open(&address, Default::default()).await.unwrap();
        let mut ids: Vec<u128> = other.notes().await.unwrap().iter().map(|note| note.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [7, 9]);
        assert_eq!(log.rooms(None, 10).await.unwrap(), [], "they are no rooms");
    }
}

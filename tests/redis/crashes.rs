//! Real servers and instances that are killed, frozen and cut off while people write: nothing that was acked or shown is
//! lost. Short here, long in `scripts/soak`: `RUANG_TEST_KILLS`, `RUANG_TEST_AWAY_S`, `RUANG_TEST_MOVES_S`,
//! `RUANG_TEST_LOSSES`, `RUANG_TEST_FAILOVERS`.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::binary::Served;
use crate::crowd::Crowd;
use crate::rig::cluster::ClusterRig;
use crate::rig::process::{FSYNC, RedisProcess};
use crate::rig::proxy::{Fault, Proxy};
use crate::rig::sentinel::SentinelRig;

/// After so many kills the crowd goes to a new room: documents that grow for ever measure something else.
const KILLS_OF_A_ROOM: u64 = 10;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn random() -> StdRng {
    let seed = setting("RUANG_TEST_SEED", rand::random());
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// Two instances as processes of their own.
struct Instances {
    stores: [String; 2],
    served: Vec<Served>,
    places: Arc<Mutex<Vec<String>>>,
}

impl Instances {
    fn start(stores: [&str; 2]) -> Self {
        let served: Vec<_> = stores.iter().map(|store| serve(store)).collect();
        let places = Arc::new(Mutex::new(served.iter().map(|it| it.address.clone()).collect()));
        Self { stores: stores.map(str::to_owned), served, places }
    }

    /// kill -9; people find the place empty, and another one with time.
    fn kill(&mut self, which: usize) {
        let next = serve(&self.stores[which]);
        self.places.lock()[which] = next.address.clone();
        self.served[which] = next;
    }
}

fn serve(store: &str) -> Served {
    Served::start(&["--store", store], &[])
}

/// [R1] [R28] Instances are killed under people who write: whatever was acked or shown is in the store.
#[tokio::test(flavor = "multi_thread")]
async fn killed_instances_lose_nothing() {
    let redis = RedisProcess::alone(&[]);
    let url = redis.url();
    let (mut random, kills) = (random(), setting("RUANG_TEST_KILLS", 5));
    let mut instances = Instances::start([&url, &url]);
    let (mut killed, mut lost) = (0, 0);
    while killed < kills {
        let crowd = Crowd::start(&format!("r{killed}"), 4, &instances.places);
        for _ in 0..KILLS_OF_A_ROOM.min(kills - killed) {
            crowd.go_on(1).await;
            sleep(Duration::from_millis(random.random_range(0..400))).await;
            instances.kill(random.random_range(0..2));
            killed += 1;
            let promised = crowd.promised();
            let (missing, stored) = crowd.missing(&url, &promised).await;
            println!("kill {killed}: {promised:?} promised, {stored} stored, {missing} lost");
            lost += missing;
        }
        crowd.end(&url).await;
    }
    println!("{killed} kills of an instance: {lost} lost");
    assert_eq!(lost, 0);
}

/// [R1] [R32] Redis, with a file that is always synced, is killed under people who write: whatever was acked or shown is
/// there again, and nobody has to heal it.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_loses_nothing() {
    let mut redis = RedisProcess::alone(FSYNC);
    let url = redis.url();
    let (mut random, kills) = (random(), setting("RUANG_TEST_KILLS", 5));
    let instances = Instances::start([&url, &url]);
    let (mut killed, mut lost) = (0, 0);
    while killed < kills {
        let crowd = Crowd::start(&format!("r{killed}"), 4, &instances.places);
        for _ in 0..KILLS_OF_A_ROOM.min(kills - killed) {
            crowd.go_on(1).await;
            sleep(Duration::from_millis(random.random_range(0..400))).await;
            redis.kill();
            killed += 1;
            sleep(Duration::from_millis(random.random_range(50..300))).await;
            let promised = crowd.promised();
            redis.restart();
            let (missing, stored) = crowd.missing(&url, &promised).await;
            println!("kill {killed}: {promised:?} promised, {stored} stored, {missing} lost");
            lost += missing;
        }
        crowd.end(&url).await;
    }
    println!("{killed} kills of Redis: {lost} lost");
    assert_eq!(lost, 0);
}

/// [R32] Redis freezes for a while, then one instance is cut off for as long, under people who write.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_absence_loses_nothing() {
    let redis = RedisProcess::alone(&[]);
    let (url, proxy) = (redis.url(), Proxy::tcp(redis.socket()));
    let away = Duration::from_secs(setting("RUANG_TEST_AWAY_S", 4));
    let instances = Instances::start([&url, &proxy.url()]);
    let crowd = Crowd::start("r", 4, &instances.places);
    crowd.go_on(10).await;
    println!("Redis is frozen for {away:?}");
    redis.freeze(true);
    sleep(away).await;
    redis.freeze(false);
    let began = Instant::now();
    crowd.go_on(1).await;
    println!("edits are acked {} ms after it", began.elapsed().as_millis());
    println!("one instance is cut off for {away:?}");
    proxy.set(Fault::Freeze);
    sleep(away).await;
    proxy.set(Fault::Pass);
    let began = Instant::now();
    crowd.go_on(1).await;
    println!("edits are acked {} ms after it", began.elapsed().as_millis());
    println!("one instance is frozen for {away:?}");
    instances.served[0].signal("-STOP");
    sleep(away).await;
    instances.served[0].signal("-CONT");
    let began = Instant::now();
    crowd.go_on(1).await;
    println!("edits are acked {} ms after it", began.elapsed().as_millis());
    let promised = crowd.promised();
    let (lost, stored) = crowd.missing(&url, &promised).await;
    println!("{promised:?} promised, {stored} stored, {lost} lost");
    assert_eq!(lost, 0);
    crowd.end(&url).await;
}

/// [R30] Redis forgets everything, or a key of the room, again and again under people who write; no instance dies: nothing is
/// lost in the end, nobody is sent away for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_under_load_is_healed() {
    let mut redis = RedisProcess::alone(&[]);
    let url = redis.url();
    let (mut random, losses) = (random(), setting("RUANG_TEST_LOSSES", 12));
    let instances = Instances::start([&url, &url]);
    let crowd = Crowd::start("r", 4, &instances.places);
    for loss in 0..losses {
        crowd.go_on(2).await;
        sleep(Duration::from_millis(random.random_range(0..300))).await;
        let kind = random.random_range(0..4);
        println!("loss {loss} of kind {kind}");
        match kind {
            0 => redis.ask::<()>(&["FLUSHALL"]),
            1 => redis.restart(), // it keeps nothing on the disk
            2 => {
                let _: i64 = redis.ask(&["DEL", "retro:room:{r}:log"]);
            }
            _ => {
                let _: i64 = redis.ask(&["DEL", "retro:room:{r}:meta"]);
            }
        }
    }
    crowd.go_on(2).await; // so that the last one is noticed
    crowd.end(&url).await;
}

/// [R30] Failovers without the newest edits, under people who write: what the new primary lacks is stored again.
#[tokio::test(flavor = "multi_thread")]
async fn failovers_that_lose_the_tail_under_load_are_healed() {
    let mut rig = SentinelRig::start(1);
    let url = rig.url();
    let instances = Instances::start([&url, &url]);
    let crowd = Crowd::start("r", 4, &instances.places);
    for _ in 0..setting("RUANG_TEST_FAILOVERS", 1) {
        crowd.go_on(10).await;
        rig.wait_for_replica();
        rig.hold_replica();
        crowd.go_on(30).await;
        let old = rig.primary();
        let new = rig.lose_primary();
        println!("{new} is the primary, which lacks the newest edits");
        crowd.go_on(10).await;
        rig.nodes[old].restart();
        rig.let_replica_follow();
    }
    crowd.end(&url).await;
}

/// [R28] Slots move for a while under people who write in several rooms.
#[tokio::test(flavor = "multi_thread")]
async fn moving_slots_lose_nothing() {
    let rig = ClusterRig::start();
    let url = rig.url();
    let mut random = random();
    let until = Instant::now() + Duration::from_secs(setting("RUANG_TEST_MOVES_S", 4));
    let instances = Instances::start([&url, &url]);
    let (mut moves, mut lost, mut lives) = (0, 0, 0);
    while Instant::now() < until {
        lives += 1;
        let names: Vec<String> = (0..3).map(|room| format!("r{lives}x{room}")).collect();
        let crowds: Vec<_> = names.iter().map(|name| Crowd::start(name, 2, &instances.places)).collect();
        for _ in 0..60 {
            let at = random.random_range(0..3);
            let slot = rig.slot_of(&format!("retro:room:{{{}}}:log", names[at]));
            let moving = rig.begin_move(slot, (rig.owner_of(slot) + random.random_range(1..3)) % 3);
            while moving.move_keys(random.random_range(1..4)) > 0 {
                sleep(Duration::from_millis(random.random_range(0..30))).await;
            }
            moving.finish();
            moves += 1;
            crowds[at].go_on(1).await;
            if Instant::now() >= until {
                break;
            }
        }
        for crowd in crowds {
            let promised = crowd.promised();
            lost += crowd.missing(&url, &promised).await.0;
            crowd.end(&url).await;
        }
    }
    println!("{moves} moves of slots: {lost} lost");
    assert_eq!(lost, 0);
}

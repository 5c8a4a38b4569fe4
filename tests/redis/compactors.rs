//! Several compactors of one room on a real Redis: paused at any step, late, killed, cut off in the middle of an answer. Rules
//! H8 and H10.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ruang::history::{self, Compacted, Outcome, Range, Written};
use ruang::ids::RoomName;
use ruang::log::Log;
use tokio::time::{Instant, sleep};

use crate::history_orders::{COMPACTORS, Cast, LARGE, LOADER, walk_an_order};
use crate::history_support::NO_RETENTION;
use crate::log_support::room;
use crate::rig::PATIENCE;
use crate::rig::process::RedisProcess;
use crate::rig::proxy::{Direction, Fault, Proxy};
use crate::traffic::open;
use crate::two::Two;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// [H10] Writers, compactors and a loader, each stopped before each of its calls for as long as others like: the room can
/// be loaded at every moment, with all that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn compactors_in_any_order_lose_nothing() {
    let redis = RedisProcess::alone(&[]);
    let store: Arc<dyn Log> = open(&redis.url()).await;
    let seed = setting("RUANG_TEST_SEED", rand::random());
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let casts: [Cast; 4] = [COMPACTORS, LOADER, LARGE[0], LARGE[1]];
    let (orders, mut steps) = (setting("RUANG_TEST_ORDERS", 24), 0);
    for order in 0..orders {
        let () = redis.ask(&["FLUSHALL"]);
        let cast = casts[usize::try_from(order % 4).unwrap()];
        let walked = walk_an_order(Arc::clone(&store), cast, |count| random.random_range(0..count)).await;
        steps += walked.unwrap_or_else(|why| panic!("{cast:?}: {why}"));
    }
    println!("{orders} orders, {steps} steps");
}

/// What a newcomer gets: how many records, from whichever snapshot.
async fn loaded(store: &str, room: &RoomName) -> u64 {
    let log: Arc<dyn Log> = open(store).await;
    let mut walk = history::walk(&log, room, Range::TO_HEAD).await.unwrap().unwrap();
    walk.to_end().await.unwrap();
    let fold = walk.into_fold().unwrap();
    assert!(fold.set_aside().is_empty(), "{:?}", fold.set_aside());
    fold.last().seq
}

/// [H8] A compaction whose connection is cut, byte after byte further on, in the middle of a question or of an answer: the
/// room is as readable as before, people edit on, and the next compaction makes up for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_is_cut_off_harms_nothing() {
    let redis = RedisProcess::alone(&[]);
    let (url, name) = (redis.url(), room("r"));
    let mut people = Two::on(&url).await;
    people.edit("before", 5).await;
    people.meet("before").await;
    let seed = setting("RUANG_TEST_SEED", rand::random());
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for (direction, step) in [(Direction::ToServer, 300), (Direction::ToClient, 2_000)] {
        let (mut bytes, mut cuts) = (0, 0);
        loop {
            let proxy = Proxy::tcp(redis.socket());
            let log: Arc<dyn Log> = open(&proxy.url()).await;
            people.edit(&format!("{direction:?}-{bytes}"), 1).await;
            people.meet("edits go on").await;
            proxy.set(Fault::CutAfter(direction, bytes));
            let done = history::compact(&log, &name, NO_RETENTION).await;
            let seq = loaded(&url, &name).await;
            let head = open(&url).await.open(&name).await.unwrap().unwrap();
            assert_eq!(seq, head.last.seq, "{direction:?} after {bytes} bytes: {done:?}");
            match &done {
                // Such a one has done without the cut.
                Ok(Compacted { outcome: Outcome::Written(Written { trimmed: Ok(_), .. }), .. }) => break,
                Ok(done) => println!("{bytes}: {:?}", done.outcome),
                Err(why) => println!("{bytes}: {why}"),
            }
            cuts += 1;
            bytes += random.random_range(1..step);
        }
        println!("{direction:?}: {cuts} cuts");
        assert!(cuts > 3, "{cuts} cuts");
    }
    let log: Arc<dyn Log> = open(&url).await;
    people.edit("after", 1).await;
    people.meet("after").await;
    let done = history::compact(&log, &name, NO_RETENTION).await.unwrap();
    assert!(matches!(done.outcome, Outcome::Written(_)), "{done:?}");
    people.agree().await;
    people.stop().await;
}

/// [H8] [H7] A compaction is under way while Redis freezes, is killed, or forgets: whichever instance compacts next makes up
/// for it, and nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_outlives_its_redis() {
    let mut redis = RedisProcess::alone(crate::rig::process::FSYNC);
    let (url, name) = (redis.url(), room("r"));
    let mut people = Two::on(&url).await;
    let mut random = StdRng::seed_from_u64(setting("RUANG_TEST_SEED", 1));
    let mut done = Vec::new();
    for round in 0..8 {
        people.edit(&format!("round-{round}"), 4).await;
        people.meet("a round").await;
        let logs: [Arc<dyn Log>; 2] = [open(&url).await, open(&url).await];
        let compactions = logs.map(|log| {
            let name = name.clone();
            tokio::spawn(async move { history::compact(&log, &name, NO_RETENTION).await })
        });
        sleep(Duration::from_micros(random.random_range(0..4_000))).await;
        if round % 2 == 0 {
            redis.restart();
        } else {
            compactions[0].abort();
        }
        for compaction in compactions {
            let ended = compaction.await;
            done.push(match ended {
                Err(_) => "killed".to_owned(),
                Ok(Err(why)) => why.to_string(),
                Ok(Ok(done)) => format!("{:?}", done.outcome),
            });
        }
        people.edit(&format!("then-{round}"), 1).await;
        people.meet("a round is over").await;
        let began = Instant::now();
        while open(&url).await.open(&name).await.is_err() {
            assert!(began.elapsed() < PATIENCE);
        }
        let seq = loaded(&url, &name).await;
        assert_eq!(seq, open(&url).await.open(&name).await.unwrap().unwrap().last.seq);
    }
    println!("{done:#?}");
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

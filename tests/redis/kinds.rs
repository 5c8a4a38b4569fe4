//! What kind rooms are of, and hidden cards, on a real Redis.

use crate::hidden_stores::drafts_are_found_and_moved;
use crate::kinds_stores::{a_room_keeps_its_kind, two_make_one_room};
use crate::rig::process::RedisProcess;
use crate::traffic::open;

#[tokio::test]
async fn a_room_keeps_its_kind_on_redis() {
    let redis = RedisProcess::alone(&[]);
    a_room_keeps_its_kind(open(&redis.url()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_are_found_on_redis() {
    let redis = RedisProcess::alone(&[]);
    drafts_are_found_and_moved(open(&redis.url()).await, open(&redis.url()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_make_one_room_on_redis() {
    let redis = RedisProcess::alone(&[]);
    two_make_one_room(open(&redis.url()).await, open(&redis.url()).await).await;
}

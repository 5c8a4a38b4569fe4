//! Servers that others take the place of, and slots that move, with people at work on two instances: rules R28, R30 and
//! R32.

use std::time::Duration;

use crate::harness::Server;
use crate::rig::cluster::ClusterRig;
use crate::rig::sentinel::SentinelRig;
use crate::traffic::open;
use crate::two::{Two, kinds};

/// How often slots move: more in `scripts/soak`.
fn moves() -> u32 {
    std::env::var("RUANG_TEST_SLOT_MOVES")
        .map_or(6, |count| count.parse().expect("RUANG_TEST_SLOT_MOVES is a number"))
}

/// [R32] A primary dies and another server takes its place: people edit on meanwhile, and lose nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_waited_for() {
    let mut rig = SentinelRig::start(3);
    let mut people = Two::on(&rig.url()).await;
    people.meet("before the failover").await;
    rig.wait_for_replica();
    let old = rig.primary();
    rig.nodes[old].kill();
    people.edit("failover", 10).await;
    rig.primary_other_than(old);
    people.meet("after the failover").await;
    rig.nodes[old].restart();
    rig.wait_for_replica();
    println!("a failover in good order");
    people.edit("during", 3).await;
    rig.fail_over();
    people.meet("after the failover in good order").await;
    people.exchange("and on").await;
    people.agree().await;
    people.stop().await;
}

/// [R30] A server takes over that has not heard of the newest edits: they are stored again from memory, nobody sees them
/// go.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_loses_the_tail_is_healed() {
    let mut rig = SentinelRig::start(1);
    let mut people = Two::on(&rig.url()).await;
    people.edit("kept", 3).await;
    people.meet("kept").await;
    rig.wait_for_replica();
    rig.hold_replica();
    people.edit("lost", 10).await;
    people.meet("stored where it will be lost").await;
    rig.lose_primary();
    people.edit("later", 3).await;
    people.meet("stored again").await;
    people.agree().await;
    assert!(people.healed() >= 1);
    people.stop().await;
}

/// [R30] The same, and nobody edits afterwards: the next look notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tail_is_noticed_in_a_quiet_room() {
    let mut rig = SentinelRig::start(1);
    let mut people = Two::on(&rig.url()).await;
    rig.wait_for_replica();
    rig.hold_replica();
    people.edit("lost", 3).await;
    people.meet("stored where it will be lost").await;
    rig.lose_primary();
    people.pass().await;
    people.agree().await;
    assert!(people.healed() >= 1);
    people.stop().await;
}

/// [R30] The same, and the instances are gone too: those who come back bring what the store has lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_only_people_have_is_stored_again() {
    let mut rig = SentinelRig::start(1);
    let mut people = Two::on(&rig.url()).await;
    people.edit("kept", 3).await;
    people.meet("kept").await;
    rig.wait_for_replica();
    rig.hold_replica();
    people.edit("lost", 10).await;
    people.meet("stored where it will be lost").await;
    let stored = kinds(&rig.url()).await.len();
    let mut people = people
        .restart_instances(|| {
            rig.lose_primary();
        })
        .await;
    people.meet("brought back by people").await;
    let again = kinds(&rig.url()).await.len();
    println!("{stored} records before, {again} after");
    assert!(again < stored, "the tail was lost, and came back in few records");
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R32] A cluster that misses a server takes nothing: its rooms wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_is_waited_for() {
    let mut rig = ClusterRig::start();
    let mut people = Two::on(&rig.url()).await;
    people.meet("before").await;
    // Not the room's own server: it answers CLUSTERDOWN.
    let own = rig.owner_of(rig.slot_of("retro:room:{r}:log"));
    for down in [(own + 1) % 3, own] {
        rig.nodes[down].kill();
        rig.wait_until_down();
        people.edit_unseen(&format!("CLUSTERDOWN {}", down == own)).await;
        people.welcome("first").await;
        rig.nodes[down].restart();
        rig.wait_until_ok();
        people.meet("after CLUSTERDOWN").await;
    }
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R28] [R30] The room's slot moves from server to server while people edit, key by key too: all edits are stored and shown,
/// and nothing is taken for lost.
#[tokio::test(flavor = "multi_thread")]
async fn slots_move_under_people() {
    let rig = ClusterRig::start();
    let mut people = Two::on(&rig.url()).await;
    let slot = rig.slot_of("retro:room:{r}:log");
    for n in 0..moves() {
        people.edit(&format!("before-{n}"), 1).await;
        let moving = rig.begin_move(slot, (rig.owner_of(slot) + 1) % 3);
        people.edit(&format!("open-{n}"), 1).await;
        if n % 2 == 1 {
            moving.move_keys(1);
            people.edit(&format!("torn-{n}"), 1).await;
            for client in people.everyone() {
                let _ = client.step(Duration::from_millis(100)).await.unwrap();
            }
        }
        while moving.move_keys(10) > 0 {}
        people.edit(&format!("moved-{n}"), 1).await;
        moving.finish();
        people.meet("after a move").await;
    }
    people.exchange("and on").await;
    people.agree().await;
    assert_eq!(people.healed(), 0);
    people.stop().await;
}

/// [R28] [R30] A cluster's replica takes over from a server that dies, with and without the newest edits.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_under_people() {
    let mut rig = ClusterRig::start_with(3, &[]);
    let mut people = Two::on(&rig.url()).await;
    let own = rig.owner_of(rig.slot_of("retro:room:{r}:log"));
    people.edit("kept", 5).await;
    people.meet("kept").await;
    rig.wait_for_replicas();
    rig.nodes[own].kill();
    people.edit("meanwhile", 5).await;
    people.meet("after the failover").await;
    people.agree().await;
    people.stop().await;
    let server = Server::start(open(&rig.url()).await).await;
    let mut late = server.join("r").await;
    late.until_set("meanwhile-ann-4", "x").await;
    server.stop().await;
}

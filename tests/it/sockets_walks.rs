//! [G24, R9] Blocks far from their neighbours, over sockets: who sends them is sent away, and nobody
//! else notices.

use std::sync::Arc;

use futures_util::SinkExt;
use ruang::log::memory::MemoryLog;
use ruang::wire::y_websocket;
use tokio_tungstenite::tungstenite::Message as Frame;
use yrs::updates::decoder::Decode;
use yrs::{Array, Transact, Update};

use crate::craft::{At, Blocks, Id, blocks, update};
use crate::harness::Server;

const ITEMS: u32 = 4_000;

/// The items of a list that two people have appended to in turns: no two of them become one.
fn item(n: u64) -> Id {
    (10 + n % 2, n / 2)
}

fn long_list() -> Vec<u8> {
    let side = |client: u64| {
        let own = (0..u64::from(ITEMS)).filter(|&n| item(n).0 == client);
        own.fold(Blocks::of(client, 0), |all, n| {
            all.one(if n == 0 { At::Root("a") } else { At::After(item(n - 1)) })
        })
    };
    update([side(11), side(10)], &[])
}

/// An honest person makes a long list and goes on in it. A stranger's blocks, each between its first
/// and its last item, come in small updates: the first ones may pass, then the room counts, the
/// stranger is closed with a final code, and what was sent behind is not stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_far_blocks_is_sent_away() {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut honest = server.connect_for_acks("r").await;
    let list = honest.doc.get_or_insert_array("a");
    honest.sync().await;
    let all = long_list();
    honest.doc.transact_mut().apply_update(Update::decode_v1(&all).unwrap()).unwrap();
    honest.send(y_websocket::update(&all)).await;
    honest.until("the list is stored", |honest| honest.acked == 2).await;

    let mut stranger = server.join("r").await;
    let (first, last) = (item(0), item(u64::from(ITEMS) - 1));
    let mut sent = 0;
    for n in 0..ITEMS.into() {
        let far = blocks(Blocks::of((1 << 50) - n, 0).one(At::Between(first, last)));
        if stranger.socket.send(Frame::Binary(y_websocket::update(&far))).await.is_err() {
            break;
        }
        sent += 1;
    }
    assert_eq!(stranger.until_closed().await, Some(4_400), "a final code, after at most {sent} updates");
    assert_eq!(server.app.metrics.orders_learnt.get(), 1);
    assert_eq!(server.app.metrics.updates_refused.get(), 1);
    let stored = server.app.metrics.updates_stored.get();
    println!("{stored} updates were stored, {sent} sent");
    assert!(stored < u64::from(ITEMS) / 4, "{stored} updates were stored");

    // Others go on: in the middle, where counting is exact.
    for n in 0..50 {
        let update = {
            let mut transaction = honest.doc.transact_mut();
            list.insert(&mut transaction, ITEMS / 2 + n, f64::from(n));
            transaction.encode_update_v1()
        };
        honest.send(y_websocket::update(&update)).await;
    }
    honest.until("all is stored", |honest| honest.acked == 52).await;
    let newcomer = server.join("r").await;
    let list = newcomer.doc.get_or_insert_array("a");
    assert!(list.len(&newcomer.doc.transact()) >= ITEMS + 50);
    assert_eq!(server.app.metrics.rooms_failed.get(), 0);
    server.stop().await;
}

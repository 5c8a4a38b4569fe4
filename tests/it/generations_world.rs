//! Copies of rooms that are gone, and other instances that write to the same log.

use std::sync::Arc;

use ruang::ids::{Generation, InstanceId, RoomName};
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Kind, Metadata, Record, RoomKind, genesis_update};
use ruang::log::{Batch, Log};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

use crate::harness::{Client, Server, kinds_of};

pub fn room() -> RoomName {
    "r".parse().unwrap()
}

/// A board that was edited in room `r` of a server that is gone, and so with the marker of that life:
/// `keys` of the map.
pub async fn old_board(keys: &[&str]) -> Doc {
    let server = Server::start(Arc::new(MemoryLog::new())).await;
    let mut author = server.join("r").await;
    for key in keys {
        author.set(key, "old").await;
    }
    let mut witness = server.join("r").await;
    for key in keys {
        witness.until_set(key, "old").await;
    }
    let doc = witness.crash();
    drop(author);
    server.stop().await;
    doc
}

/// A client with a copy that has not said anything.
pub async fn holder(server: &Server, doc: &Doc, acks: bool) -> Client {
    let mut client = if acks { server.connect_for_acks("r").await } else { server.connect("r").await };
    client.doc = doc.clone();
    client
}

/// A copy of a copy: what another device has.
pub fn twin(doc: &Doc) -> Doc {
    let other = Doc::new();
    let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
    other.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
    other
}

pub fn whole(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

/// The kinds of a room's records.
pub async fn kinds(log: &Arc<dyn Log>) -> Vec<Kind> {
    kinds_of(&log.read(&room(), 0, 100).await.unwrap())
}

fn record(kind: Kind, update: &[u8]) -> Record {
    let metadata = Metadata::by_server(InstanceId(99), 1, RoomKind::Free, 5);
    Record::new(kind, &metadata, update).unwrap()
}

/// What another instance appends: a room with a marker of its own, and these updates behind it.
pub async fn append_elsewhere(log: &Arc<dyn Log>, nonce: u32, number: u64, updates: &[Vec<u8>]) {
    let genesis = record(Kind::Genesis, &genesis_update(&room(), Generation { nonce }));
    let records = updates.iter().map(|update| record(Kind::Update, update)).collect();
    let batch = Batch::new(InstanceId(99), number, genesis, records);
    log.append(&room(), batch).await.unwrap();
}

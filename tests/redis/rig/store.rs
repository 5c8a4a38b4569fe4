//! The store that the contract runs on.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use redis::cmd;
use ruang::ids::{Position, RoomName};
use ruang::log::redis::RedisOptions;
use ruang::log::{Adopted, Adoption, Log, UploadId};

use super::single::Single;
use crate::log_support::{Change, Keeper, Store, clock};

/// A log on a server of its own, with a clock in the test's hands.
pub async fn single() -> Store {
    let (server, now_ms) = (Single::start(&[]), Arc::new(AtomicU64::new(1_000)));
    let log = open(&server, &now_ms).await;
    Store::other(log, now_ms, Box::new(server))
}

async fn open(server: &Single, now_ms: &Arc<AtomicU64>) -> Arc<dyn Log> {
    let options = RedisOptions { clock: Some(clock(now_ms)), ..RedisOptions::default() };
    Arc::new(server.try_log(options).await.unwrap())
}

#[async_trait(?Send)]
impl Keeper for Single {
    async fn reopen(&mut self, now_ms: &Arc<AtomicU64>) -> Arc<dyn Log> {
        open(self, now_ms).await
    }

    async fn rewrite(&mut self, room: &RoomName, seq: u64, change: Change<'_>) {
        rewrite_entry(self, &log_key(room), seq, change);
    }
}

/// The key of a room whose name needs no encoding.
pub fn log_key(room: &RoomName) -> String {
    assert!(room.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    format!("retro:room:{{{}}}:log", room.as_str())
}

pub type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

/// All entries of a stream.
pub fn entries(server: &Single, key: &str) -> Entries {
    server.ask(&["XRANGE", key, "-", "+"])
}

/// Entries of a stream cannot be changed: it is written anew with one of them changed.
fn rewrite_entry(server: &Single, key: &str, seq: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let mut entries = entries(server, key);
    let changed = entries.iter_mut().find(|(id, _)| id.ends_with(&format!("-{seq}"))).unwrap();
    change(&mut changed.1[0].1);
    write(server, key, &entries);
}

/// Replaces a stream.
pub fn write(server: &Single, key: &str, entries: &Entries) {
    let mut connection = server.connection();
    cmd("DEL").arg(key).exec(&mut connection).unwrap();
    for (id, fields) in entries {
        let mut add = cmd("XADD");
        add.arg(key).arg(id);
        for (field, value) in fields {
            add.arg(field).arg(value);
        }
        add.exec(&mut connection).unwrap();
    }
}

/// Uploads and adopts a snapshot of one chunk through a record, on a log with Redis' clock.
pub async fn adopt_at(log: &dyn Log, name: &RoomName, upload: u64, through: Position) {
    let upload = UploadId(upload);
    log.put_chunk(name, upload, 0, "x".into()).await.unwrap();
    let revision = log.open(name).await.unwrap().unwrap().revision;
    let adoption = Adoption { upload, revision, through, log_bytes: 0, chunks: 1, bytes: 1, drop: vec![] };
    assert_eq!(log.adopt(name, adoption).await, Ok(Adopted::Done(revision + 1)));
}

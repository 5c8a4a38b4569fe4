//! The stores that the contract runs on.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use redis::cmd;
use ruang::ids::{Position, RoomName};
use ruang::log::redis::{RedisLog, RedisOptions};
use ruang::log::{Adopted, Adoption, Log, UploadId};

use super::acl;
use super::cluster::ClusterRig;
use super::process::RedisProcess;
use super::sentinel::SentinelRig;
use super::single::Single;
use super::words;
use crate::log_support::{Change, Keeper, Store, clock};

/// A log on a server of its own, with a clock in the test's hands.
pub async fn single() -> Store {
    let (server, now_ms) = (Single::start(&[]), Arc::new(AtomicU64::new(1_000)));
    let log = open(&server.url(), &now_ms).await;
    Store::other(log, now_ms, Box::new(server))
}

async fn open(url: &str, now_ms: &Arc<AtomicU64>) -> Arc<dyn Log> {
    let options = RedisOptions { clock: Some(clock(now_ms)), ..RedisOptions::default() };
    Arc::new(RedisLog::open(&url.parse().unwrap(), options).await.unwrap())
}

#[async_trait(?Send)]
impl Keeper for Single {
    async fn reopen(&mut self, now_ms: &Arc<AtomicU64>) -> Arc<dyn Log> {
        open(&self.url(), now_ms).await
    }

    async fn rewrite(&mut self, room: &RoomName, seq: u64, change: Change<'_>) {
        rewrite_entry(self, &log_key(room), seq, change);
    }
}

/// Servers that several tests use one after the other, as the user that docs/OPERATIONS.md says is enough.
#[derive(Clone)]
pub enum Shared {
    Cluster(Arc<ClusterRig>),
    Sentinel(Arc<SentinelRig>),
}

impl Shared {
    pub fn cluster() -> Self {
        let user = acl::settings(&["+cluster|slots", "+asking"]);
        Self::Cluster(Arc::new(ClusterRig::start_with(0, &words(&user))))
    }

    pub fn sentinel() -> Self {
        Self::Sentinel(Arc::new(SentinelRig::start_with(1, &words(&acl::settings(&[])))))
    }

    pub fn sentinel_after_failover() -> Self {
        let redis = Self::sentinel();
        if let Self::Sentinel(rig) = &redis {
            rig.fail_over();
        }
        redis
    }

    /// A log on them, without anything in it.
    pub async fn empty_store(&self) -> Store {
        for primary in self.primaries() {
            let () = primary.ask(&["FLUSHALL"]);
        }
        let now_ms = Arc::new(AtomicU64::new(1_000));
        let log = open(&self.url(), &now_ms).await;
        Store::other(log, now_ms, Box::new(self.clone()))
    }

    fn url(&self) -> String {
        match self {
            Self::Cluster(rig) => acl::with_user(&rig.url()),
            Self::Sentinel(rig) => acl::with_user(&rig.url()),
        }
    }

    fn primaries(&self) -> Vec<&RedisProcess> {
        match self {
            Self::Cluster(rig) => rig.nodes.iter().collect(),
            Self::Sentinel(rig) => vec![&rig.nodes[rig.primary()]],
        }
    }

    /// Who has a key.
    fn owner(&self, key: &str) -> &RedisProcess {
        match self {
            Self::Cluster(rig) => &rig.nodes[rig.owner_of(rig.slot_of(key))],
            Self::Sentinel(rig) => &rig.nodes[rig.primary()],
        }
    }
}

#[async_trait(?Send)]
impl Keeper for Shared {
    async fn reopen(&mut self, now_ms: &Arc<AtomicU64>) -> Arc<dyn Log> {
        open(&self.url(), now_ms).await
    }

    async fn rewrite(&mut self, room: &RoomName, seq: u64, change: Change<'_>) {
        let key = log_key(room);
        rewrite_entry(self.owner(&key), &key, seq, change);
    }
}

/// The key of a room whose name needs no encoding.
pub fn log_key(room: &RoomName) -> String {
    assert!(room.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    format!("retro:room:{{{}}}:log", room.as_str())
}

pub type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

/// All entries of a stream.
pub fn entries(server: &RedisProcess, key: &str) -> Entries {
    server.ask(&["XRANGE", key, "-", "+"])
}

/// Entries of a stream cannot be changed: it is written anew with one of them changed.
fn rewrite_entry(server: &RedisProcess, key: &str, seq: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let mut entries = entries(server, key);
    let changed = entries.iter_mut().find(|(id, _)| id.ends_with(&format!("-{seq}"))).unwrap();
    change(&mut changed.1[0].1);
    write(server, key, &entries);
}

/// Replaces a stream.
pub fn write(server: &RedisProcess, key: &str, entries: &Entries) {
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

//! Logs to test, and batches to put into them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use ruang::clock::Clock;
use ruang::ids::{Generation, InstanceId, Position, RoomName, SessionId};
use ruang::log::embedded::{DiskHook, EmbeddedLog, Options};
use ruang::log::memory::{Damage, Faults, MemoryLog};
use ruang::log::record::{Kind, Metadata, Record, Role, RoomKind, StoredRecord, genesis_update};
use ruang::log::{Adopted, Adoption, Appended, Batch, Head, Log, LogError, UploadId};
use tempfile::TempDir;

/// A log of some kind, empty, with a clock in our hands.
pub struct Store {
    pub log: Arc<dyn Log>,
    /// Milliseconds that the log's clock says.
    pub now_ms: Arc<AtomicU64>,
    kind: StoreKind,
}

enum StoreKind {
    Memory(Faults),
    Embedded(TempDir),
    #[allow(dead_code)] // of another test target
    Other(Box<dyn Keeper>),
}

/// What stands behind a log that another test target brings.
#[async_trait(?Send)]
pub trait Keeper {
    /// The log again, as after the end of its process.
    async fn reopen(&mut self, now_ms: &Arc<AtomicU64>) -> Arc<dyn Log>;

    /// Changes the bytes of a stored record behind the log's back.
    async fn rewrite(&mut self, room: &RoomName, seq: u64, change: Change<'_>);
}

/// What happens to the bytes of a record.
pub type Change<'a> = Box<dyn for<'bytes> FnOnce(&'bytes mut Vec<u8>) + 'a>;

impl Store {
    pub fn memory() -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_000));
        let (log, faults) = MemoryLog::with_clock(clock(&now_ms));
        Self { log: Arc::new(log), now_ms, kind: StoreKind::Memory(faults) }
    }

    pub fn embedded() -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_000));
        let dir = tempfile::tempdir().unwrap();
        let log = open_embedded(dir.path(), &now_ms);
        Self { log: Arc::new(log), now_ms, kind: StoreKind::Embedded(dir) }
    }

    #[allow(dead_code)] // of another test target
    pub fn other(log: Arc<dyn Log>, now_ms: Arc<AtomicU64>, keeper: Box<dyn Keeper>) -> Self {
        Self { log, now_ms, kind: StoreKind::Other(keeper) }
    }

    /// Ends the log and opens it again, where something outlives it.
    pub async fn reopen(&mut self) -> bool {
        if let StoreKind::Other(keeper) = &mut self.kind {
            self.log.close().await;
            self.log = keeper.reopen(&self.now_ms).await;
            return true;
        }
        let StoreKind::Embedded(dir) = &self.kind else { return false };
        self.log.close().await;
        self.log = Arc::new(MemoryLog::new()); // lets go of the directory
        self.log = Arc::new(open_embedded(dir.path(), &self.now_ms));
        true
    }

    /// Spoils a stored record behind the log's back.
    pub async fn damage(&mut self, room: &RoomName, seq: u64, damage: Damage) {
        self.rewrite(room, seq, |record| match damage {
            Damage::FlipBit(bit) => record[bit / 8] ^= 1 << (bit % 8),
            Damage::Truncate(len) => record.truncate(len),
        })
        .await;
    }

    /// Changes the bytes of a stored record behind the log's back.
    pub async fn rewrite(&mut self, room: &RoomName, seq: u64, change: impl FnOnce(&mut Vec<u8>)) {
        match &mut self.kind {
            StoreKind::Other(keeper) => keeper.rewrite(room, seq, Box::new(change)).await,
            StoreKind::Memory(faults) => assert!(faults.rewrite(room, seq, change)),
            StoreKind::Embedded(dir) => {
                self.log.close().await;
                self.log = Arc::new(MemoryLog::new()); // lets go of the directory
                rewrite_value(dir.path(), room, seq, |value| {
                    let mut record = value.split_off(12);
                    change(&mut record);
                    value.extend(record);
                });
                self.log = Arc::new(open_embedded(dir.path(), &self.now_ms));
            }
        }
    }
}

pub fn clock(now_ms: &Arc<AtomicU64>) -> Clock {
    let now_ms = Arc::clone(now_ms);
    Arc::new(move || now_ms.load(Ordering::Relaxed))
}

pub fn open_embedded(dir: &Path, now_ms: &Arc<AtomicU64>) -> EmbeddedLog {
    let options = Options { clock: clock(now_ms), disk: None, ..Options::default() };
    EmbeddedLog::open_with(dir, InstanceId(0), options).unwrap()
}

/// Changes a value of the table `log` of a closed store; docs/STORAGE.md has the layout.
pub fn rewrite_value(dir: &Path, room: &RoomName, seq: u64, change: impl FnOnce(&mut Vec<u8>)) {
    const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
    const LOG: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("log");
    let database = Database::open(dir.join("log.redb")).unwrap();
    let number = {
        let rooms = database.begin_read().unwrap().open_table(ROOMS).unwrap();
        let meta = rooms.get(room.as_str()).unwrap().unwrap();
        u64::from_le_bytes(meta.value()[1..9].try_into().unwrap())
    };
    let transaction = database.begin_write().unwrap();
    {
        let mut log = transaction.open_table(LOG).unwrap();
        let mut value = log.get((number, seq)).unwrap().unwrap().value().to_vec();
        change(&mut value);
        log.insert((number, seq), value.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

/// A disk that fails once, after as many operations as are put into the fuse; never while that is `u64::MAX`.
pub fn fuse() -> (Arc<AtomicU64>, DiskHook) {
    let fuse = Arc::new(AtomicU64::new(u64::MAX));
    let disk: DiskHook = Arc::new({
        let fuse = Arc::clone(&fuse);
        move |_| {
            let left = fuse.load(Ordering::SeqCst);
            if left == u64::MAX {
                return Ok(());
            }
            fuse.store(left.checked_sub(1).unwrap_or(u64::MAX), Ordering::SeqCst);
            if left == 0 { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) }
        }
    });
    (fuse, disk)
}

pub fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

pub fn metadata() -> Metadata {
    Metadata {
        session: Some(SessionId(1)),
        role: Role::Editor,
        ..Metadata::by_server(InstanceId(7), 1, RoomKind::Free, 5)
    }
}

pub fn record(update: &[u8]) -> Record {
    Record::new(Kind::Update, &metadata(), update).unwrap()
}

pub fn genesis(name: &RoomName, nonce: u32) -> Record {
    Record::new(Kind::Genesis, &metadata(), &genesis_update(name, Generation { nonce })).unwrap()
}

/// A batch of updates; its genesis is of a generation that tells the instance.
pub fn batch(name: &RoomName, instance: u64, number: u64, updates: &[impl AsRef<str>]) -> Batch {
    let genesis = genesis(name, u32::try_from(instance).unwrap() + 1);
    let records = updates.iter().map(|update| record(update.as_ref().as_bytes())).collect();
    Batch::new(InstanceId(instance), number, genesis, records)
}

pub async fn append(
    log: &dyn Log,
    name: &RoomName,
    instance: u64,
    number: u64,
    updates: &[impl AsRef<str>],
) -> Appended {
    log.append(name, batch(name, instance, number, updates)).await.unwrap()
}

/// A room that is there.
pub async fn head(log: &dyn Log, name: &RoomName) -> Head {
    log.open(name).await.unwrap().unwrap()
}

/// Adopts an upload; drops nothing.
pub async fn adopt(
    log: &dyn Log,
    name: &RoomName,
    upload: UploadId,
    revision: u64,
    through: u64,
    chunks: u32,
    bytes: u64,
) -> Result<Adopted, LogError> {
    let through = at(through, 1_000);
    let adoption = Adoption { upload, revision, through, log_bytes: 0, chunks, bytes, drop: Vec::new() };
    log.adopt(name, adoption).await
}

/// Uploads and adopts a snapshot of one chunk, `snapshot {upload}`, at the room's revision.
pub async fn snapshot(log: &dyn Log, name: &RoomName, upload: u64, through: u64) {
    let text = format!("snapshot {upload}");
    let (len, upload) = (text.len() as u64, UploadId(upload));
    log.put_chunk(name, upload, 0, text.into()).await.unwrap();
    let revision = log.open(name).await.unwrap().unwrap().revision;
    let adopted = adopt(log, name, upload, revision, through, 1, len).await;
    assert_eq!(adopted, Ok(Adopted::Done(revision + 1)));
}

/// The position of a room's newest record.
pub async fn last(log: &dyn Log, name: &RoomName) -> Option<Position> {
    log.open(name).await.unwrap().map(|head| head.last)
}

/// Everything in a room, read in pages of three.
pub async fn read_all(log: &dyn Log, name: &RoomName) -> Vec<StoredRecord> {
    read_from(log, name, 0).await
}

/// Everything in a room above a counter, read in pages of three.
pub async fn read_from(log: &dyn Log, name: &RoomName, after: u64) -> Vec<StoredRecord> {
    let mut all: Vec<StoredRecord> = Vec::new();
    loop {
        let after = all.last().map_or(after, |record| record.position().seq);
        let page = log.read(name, after, 3).await.unwrap();
        let end = page.len() < 3;
        all.extend(page);
        if end {
            return all;
        }
    }
}

/// The updates of a room as text, without the genesis record; damaged ones as `!`.
pub async fn texts(log: &dyn Log, name: &RoomName) -> Vec<String> {
    let all = read_all(log, name).await;
    all.iter().filter(|record| kind(record) != Some(Kind::Genesis)).map(text).collect()
}

pub fn kind(record: &StoredRecord) -> Option<Kind> {
    match record {
        StoredRecord::Intact { record, .. } => Some(record.kind()),
        StoredRecord::Damaged { .. } => None,
    }
}

pub fn text(record: &StoredRecord) -> String {
    match record {
        StoredRecord::Intact { record, .. } => String::from_utf8(record.update().to_vec()).unwrap(),
        StoredRecord::Damaged { .. } => "!".to_owned(),
    }
}

pub fn seqs(records: &[StoredRecord]) -> Vec<u64> {
    records.iter().map(|record| record.position().seq).collect()
}

pub fn at(seq: u64, ms: u64) -> Position {
    Position { seq, ms }
}

/// A file system mounted for a test; `None` where that is not allowed.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn tmpfs(dir: &Path, options: &str) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Self(dir.to_path_buf()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A random generator whose seed is printed, and taken from `RUANG_TEST_SEED` if that is set.
pub fn seeded() -> (u64, rand::rngs::StdRng) {
    let seed = std::env::var("RUANG_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("replay with RUANG_TEST_SEED={seed}");
    (seed, rand::SeedableRng::seed_from_u64(seed))
}

/// Bytes with the checksum of a record set right, as a newer ruang would have written them.
pub fn sealed(mut bytes: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Bytes::from(bytes)
}

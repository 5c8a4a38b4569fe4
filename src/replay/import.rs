//! Importing: an exported file becomes a room.
//!
//! What comes over is the document at the file's newest record, in one batch, so that the room is there whole
//! or not at all, and who owns which client id. It begins another life: a genesis record of its own. The markers
//! of the lives before are part of the document and stay: in a room of the same name they are members of its
//! set of generations, so clients that still have a copy from before come back in and merge; in a room of another
//! name they mean nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::file::{ExportedRoom, FileError};
use super::place::utc;
use crate::board::rules::{self, Reason};
use crate::gate::EMPTY_UPDATE;
use crate::history::{self, Fold, Range, WalkError};
use crate::ids::{ClientId, Generation, InstanceId, Position, RoomName};
use crate::kind::{Boards, RoomKind};
use crate::limits::BATCH_UPDATES_MAX;
use crate::log::record::{Kind, Metadata, Record, RecordError};
use crate::log::{Batch, Expects, Log, LogError};
use crate::room::genesis_record;

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The room's name; else the one in the file.
    pub name: Option<RoomName>,
    /// Look at everything, store nothing.
    pub dry_run: bool,
    /// Also under the name of a room that was deleted.
    pub force: bool,
    /// The kind of the room; `None`: that of the room that was exported, or what its name says.
    pub kind: Option<RoomKind>,
    /// Which rooms are boards by their names.
    pub boards: Boards,
    /// The room's time to live; `None`: for ever.
    pub ttl_ms: Option<u64>,
    /// The time now.
    pub now_ms: u64,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The room that there is now.
    pub room: RoomName,
    /// Its kind.
    pub kind: RoomKind,
    /// The room that was exported.
    pub from: RoomName,
    /// Its newest record in the file.
    pub last: Position,
    /// Bytes of the document.
    pub bytes: usize,
    /// Users whose claims came along.
    pub claims: usize,
    /// What the file has and the room has not, each a phrase.
    pub not_kept: Vec<String>,
}

/// Why there is no new room.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not one that can be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its records cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The store refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Rooms are never overwritten.
    #[error("there is a room of this name, at {0}; choose another with --as")]
    Exists(Position),
    /// The name has a tombstone.
    #[error("a room of this name was deleted at {0}; choose another with --as, or say --force")]
    Deleted(String),
    /// Somebody was faster, between looking and storing.
    #[error("a room of this name has come into being meanwhile; nothing of the file is in it")]
    Raced,
    /// The document does not fit into a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The room would be a board, and the document is none.
    #[error("the room would be a board, and the document is none: {0}; make it a free room with --kind free")]
    NoBoard(#[from] Reason),
}

/// Reads a file, folds it and stores the result as a new room.
///
/// # Errors
/// [`ImportError`]: there is no new room.
pub async fn import(
    file: &Path,
    into: &Arc<dyn Log>,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    let exported = ExportedRoom::open(file)?;
    let from = exported.room().clone();
    let room = options.name.clone().unwrap_or_else(|| from.clone());
    check_free(into, &room, options.force).await?;

    let file: Arc<dyn Log> = Arc::new(exported);
    let mut walk = history::walk(&file, &from, Range::TO_HEAD).await?.ok_or(WalkError::Gone)?;
    walk.to_end().await?;
    let base = walk.head().base;
    let fold = walk.into_fold()?;
    let document = fold.document().encode_full();
    let maker = Maker::new(options.boards.kind_of(&room, options.kind.or(fold.kind())));
    let records = records(&document, fold.claims(), maker, options.now_ms)?;
    let imported = Imported {
        from,
        last: fold.last(),
        bytes: document.len(),
        claims: records.len() - 1,
        not_kept: not_kept(&fold, base),
        room: room.clone(),
        kind: maker.kind,
    };
    if !options.dry_run {
        store(into, &room, records, maker, options).await?;
    }
    Ok(imported)
}

/// Makes a room of a document that nobody owns anything of: whole, or not at all. A dry run looks only.
///
/// # Errors
/// [`ImportError`]: nothing of it is stored.
pub(super) async fn make(
    into: &Arc<dyn Log>,
    room: &RoomName,
    document: &[u8],
    options: &ImportOptions,
) -> Result<(), ImportError> {
    check_free(into, room, options.force).await?;
    let maker = Maker::new(options.boards.kind_of(room, options.kind));
    let records = records(document, &BTreeMap::new(), maker, options.now_ms)?;
    if options.dry_run { Ok(()) } else { store(into, room, records, maker, options).await }
}

async fn check_free(into: &Arc<dyn Log>, room: &RoomName, force: bool) -> Result<(), ImportError> {
    if let Some(head) = into.open(room).await? {
        return Err(ImportError::Exists(head.last));
    }
    match into.tombstone(room).await? {
        Some(tombstone) if !force => Err(ImportError::Deleted(utc(tombstone.deleted_ms))),
        _ => Ok(()),
    }
}

/// Who makes a room, and of what kind.
#[derive(Clone, Copy)]
struct Maker {
    instance: InstanceId,
    kind: RoomKind,
}

impl Maker {
    fn new(kind: RoomKind) -> Self {
        Self { instance: InstanceId(rand::random()), kind }
    }
}

/// The document as one record; then, for each user, one without an update that holds their claims.
fn records(
    document: &[u8],
    claims: &BTreeMap<ClientId, Arc<str>>,
    Maker { instance, kind }: Maker,
    now_ms: u64,
) -> Result<Vec<Record>, ImportError> {
    if kind == RoomKind::Board {
        rules::fits(document)?;
    }
    let metadata = Metadata::by_server(instance, 1, kind, now_ms);
    let mut records = vec![Record::new(Kind::Import, &metadata, document)?];
    let mut by_user: BTreeMap<&str, Vec<ClientId>> = BTreeMap::new();
    for (client, user) in claims {
        by_user.entry(user).or_default().push(*client);
    }
    for (user, claims) in by_user {
        let metadata = Metadata { user: Some(user.to_owned()), claims, ..metadata.clone() };
        records.push(Record::new(Kind::Import, &metadata, &EMPTY_UPDATE)?);
    }
    Ok(records)
}

/// Stores the records: the first batch makes the room and has the document.
async fn store(
    into: &Arc<dyn Log>,
    room: &RoomName,
    records: Vec<Record>,
    Maker { instance, kind }: Maker,
    options: &ImportOptions,
) -> Result<(), ImportError> {
    let genesis = genesis_record(room, Generation::for_room(room, rand::random), instance, kind)?;
    let batch = |number, records: &[Record], expects| Batch {
        expects,
        ttl_ms: options.ttl_ms,
        ..Batch::new(instance, number, genesis.clone(), records.to_vec())
    };
    let mut numbers = 1..;
    let mut next = || numbers.next().unwrap_or(u64::MAX);
    if into.tombstone(room).await?.is_some() {
        // Nothing can be asked of a deleted name but that it be anything. So the room is made first, by a
        // record that would do no harm in somebody else's.
        let metadata = records[0].metadata()?;
        let mark = Record::new(Kind::Admin, &Metadata { claims: Vec::new(), ..metadata }, &EMPTY_UPDATE)?;
        if append(into, room, batch(next(), &[mark], Expects::Anything)).await?.created.is_none() {
            return Err(ImportError::Raced);
        }
        for records in records.chunks(BATCH_UPDATES_MAX) {
            append(into, room, batch(next(), records, Expects::Present)).await?;
        }
        return Ok(());
    }
    let mut expects = Expects::At(0);
    for records in records.chunks(BATCH_UPDATES_MAX) {
        match append(into, room, batch(next(), records, expects)).await {
            Err(LogError::Moved(_)) if expects == Expects::At(0) => return Err(ImportError::Raced),
            stored => stored?,
        };
        expects = Expects::Present;
    }
    Ok(())
}

/// Asks again while nothing is known: the same batch is never stored twice.
async fn append(
    into: &Arc<dyn Log>,
    room: &RoomName,
    batch: Batch,
) -> Result<crate::log::Appended, LogError> {
    let mut tries = 3;
    loop {
        tries -= 1;
        match into.append(room, batch.clone()).await {
            Err(LogError::Unknown(_)) if tries > 0 => {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            stored => return stored,
        }
    }
}

fn not_kept(fold: &Fold, base: u64) -> Vec<String> {
    let mut not_kept =
        vec![format!("who wrote what and when in records #{} to #{}", base + 1, fold.last().seq)];
    if !fold.set_aside().is_empty() {
        not_kept.push(format!("{} records that could not be folded", fold.set_aside().len()));
    }
    not_kept
}

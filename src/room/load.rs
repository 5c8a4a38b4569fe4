//! Recovery: a room as its log tells it. Pages of records go through the gate, page by page they
//! are folded as one merged update, on the blocking pool.
//!
//! A record that is damaged, that the gate finds incomplete, or that the document cannot take is
//! set aside and reported; the room lives on without it. Clients that still hold what was in it
//! bring it back with their next Step2.

use std::sync::Arc;
use std::time::Duration;

use crate::document::Document;
use crate::gate::{self, Gate, Source};
use crate::generation::Generations;
use crate::ids::{Generation, InstanceId, Position, RoomName};
use crate::limits::LOAD_PAGE_RECORDS;
use crate::log::record::{self, Kind, Metadata, Record, RecordError, Role, RoomKind, StoredRecord};
use crate::log::{Log, LogError};
use crate::room::state::State;

/// Why a room cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the room's genesis record cannot be made: {0}")]
    Genesis(#[from] RecordError),
    #[error("the fold was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// A room, and what had to be left out of it.
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) set_aside: Vec<SetAside>,
    pub(crate) records: u64,
}

/// A record that is in the log but not in the document.
#[derive(Debug)]
pub(crate) struct SetAside {
    pub(crate) position: Position,
    pub(crate) why: String,
}

/// Folds all records of a room.
///
/// # Errors
/// [`LoadError`]: the log cannot be read now. Damage to single records is no error.
pub(crate) async fn load(
    log: &Arc<dyn Log>,
    room: &RoomName,
    (instance, life): (InstanceId, u32),
    ttl: Option<Duration>,
) -> Result<Loaded, LoadError> {
    let mut fold = Fold::new(Vec::new());
    if let Some(head) = log.open(room).await? {
        fold = walk(fold, log, room, head.last.seq).await?;
        if fold.broken.is_some() {
            fold = refold(log, room, head.last.seq).await?;
        }
    }
    let deleted = log.tombstone(room).await?.is_some();
    let (name, lost) = (room.clone(), (deleted, !fold.set_aside.is_empty()));
    let seen = tokio::task::spawn_blocking(move || {
        let generations = Generations::new(&name, lost, &fold.gate.state_vector());
        (fold, generations)
    });
    let (fold, mut generations) = seen.await?;
    let generation = Generation::for_room(room, rand::random);
    if fold.last == Position::START {
        generations.reserve(generation);
    }
    let genesis = genesis_record(room, generation, instance)?;
    let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    let state = State::new(
        fold.gate,
        fold.document,
        fold.last,
        fold.bytes,
        (instance, life),
        (genesis, ttl_ms),
        generations,
    );
    Ok(Loaded { state, set_aside: fold.set_aside, records: fold.records })
}

/// Folds the log up to `head`, or until a fold fails. The next page is read while one is folded.
async fn walk(mut fold: Fold, log: &Arc<dyn Log>, room: &RoomName, head: u64) -> Result<Fold, LoadError> {
    let mut page = log.read(room, fold.last.seq, LOAD_PAGE_RECORDS).await?;
    while let Some(last) = page.last().map(|record| record.position().seq) {
        let folding = tokio::task::spawn_blocking(move || fold.page(&page));
        let reading = async {
            if last < head { log.read(room, last, LOAD_PAGE_RECORDS).await } else { Ok(Vec::new()) }
        };
        let (folded, read) = tokio::join!(folding, reading);
        (fold, page) = (folded?, read?);
        if fold.broken.is_some() {
            break;
        }
    }
    Ok(fold)
}

/// The slow way, after a page could not be folded: one record at a time, and from the start again
/// whenever one breaks the document.
async fn refold(log: &Arc<dyn Log>, room: &RoomName, head: u64) -> Result<Fold, LoadError> {
    let mut broken: Vec<SetAside> = Vec::new();
    loop {
        let mut fold = Fold::new(broken.iter().map(|record| record.position.seq).collect());
        fold.one_by_one = true;
        let mut fold = walk(fold, log, room, head).await?;
        match fold.broken.take() {
            Some(record) => broken.push(record),
            None => {
                fold.set_aside.append(&mut broken);
                return Ok(fold);
            }
        }
    }
}

struct Fold {
    gate: Gate,
    document: Document,
    last: Position,
    bytes: usize,
    records: u64,
    set_aside: Vec<SetAside>,
    /// The record whose fold has failed (one by one; else the last of its page). The document is
    /// of no use then.
    broken: Option<SetAside>,
    one_by_one: bool,
    /// Counters of records known to break the document.
    skip: Vec<u64>,
}

impl Fold {
    fn new(skip: Vec<u64>) -> Self {
        Self {
            gate: Gate::new(),
            document: Document::new(),
            last: Position::START,
            bytes: 0,
            records: 0,
            set_aside: Vec::new(),
            broken: None,
            one_by_one: false,
            skip,
        }
    }

    /// Folds one page. On a failure of the document `broken` is set.
    fn page(mut self, page: &[StoredRecord]) -> Self {
        let mut updates = Vec::with_capacity(page.len());
        for stored in page {
            let position = stored.position();
            let before = std::mem::replace(&mut self.last, position);
            if self.broken.is_some() {
                break;
            }
            let hole = position.seq - before.seq - 1;
            if hole > 0 {
                self.set_aside(before, format!("{hole} records after this one are missing"));
            }
            if self.skip.contains(&position.seq) {
                continue;
            }
            match self.admit(stored) {
                Ok(Some(update)) if self.one_by_one => self.fold(&[&update], position),
                Ok(Some(update)) => updates.push(update),
                Ok(None) => {} // it brings nothing that the records before it have not brought
                Err(why) => self.set_aside(position, why),
            }
        }
        if !updates.is_empty() && self.broken.is_none() {
            let slices: Vec<&[u8]> = updates.iter().map(AsRef::as_ref).collect();
            let merged = gate::merge(&slices);
            let last = self.last;
            self.fold(&[&merged], last);
        }
        self
    }

    fn admit(&mut self, stored: &StoredRecord) -> Result<Option<Vec<u8>>, String> {
        let record = match stored {
            StoredRecord::Intact { record, .. } => record,
            StoredRecord::Damaged { why, .. } => return Err(why.clone()),
        };
        let admission =
            self.gate.admit(&record.update(), Source::Record).map_err(|refusal| refusal.to_string())?;
        self.records += 1;
        if admission.dropped.is_gap() {
            // What is complete of it stays in; the rest needs a record that is not there.
            self.set_aside(stored.position(), "in part: it builds on a record that is missing".to_owned());
        }
        Ok(admission.remainder.map(|remainder| remainder.update))
    }

    fn fold(&mut self, updates: &[&[u8]], position: Position) {
        self.bytes += updates.iter().map(|update| update.len()).sum::<usize>();
        match self.document.apply(updates) {
            Ok(deletes) => self.gate.note_deleted(&deletes),
            Err(error) => {
                self.broken = Some(SetAside { position, why: format!("it cannot be folded: {error}") });
            }
        }
    }

    fn set_aside(&mut self, position: Position, why: String) {
        self.set_aside.push(SetAside { position, why });
    }
}

/// The genesis record of a new generation, for the append that finds the room absent.
fn genesis_record(
    room: &RoomName,
    generation: Generation,
    instance: InstanceId,
) -> Result<Record, RecordError> {
    let metadata = Metadata {
        user: None,
        session: None,
        instance,
        role: Role::Server,
        batch: 0,
        claims: Vec::new(),
        relayed_by: None,
        room_kind: RoomKind::Free,
        admitted_ms: crate::room::wall_clock_ms(),
    };
    Record::new(Kind::Genesis, &metadata, &record::genesis_update(room, generation))
}

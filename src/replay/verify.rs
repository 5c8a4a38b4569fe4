//! `ruang replay verify`: whether a room's log holds what it should.
//!
//! Looked at: each record's checksum; that counters have no holes and time does not go back; that each record
//! goes through the gate and can be folded; that each snapshot is what the records say, where they are still there;
//! that what is trimmed is in a snapshot; that the newest record is where the log says.

use std::sync::Arc;

use serde::Serialize;

use super::output::{Cell, Line, Output, Table};
use super::{Done, ReplayError, open_room};
use crate::document::Document;
use crate::gate;
use crate::history::{self, Fold, Folded, OnTrouble, Range, Start, Step, WalkError};
use crate::ids::{Position, RoomName};
use crate::limits::{REPLAY_PAGE_RECORDS, SNAPSHOT_SETTLE_TRIES};
use crate::log::record::StoredRecord;
use crate::log::{Head, Log, LogError, SnapshotRef};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The room.
    pub room: String,
    /// Where: an id, or a snapshot's revision.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What would help.
    pub help: &'static str,
}

impl Line for Finding {
    const TYPE: &'static str = "finding";
}

/// A room that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The room.
    pub room: String,
    /// Records read.
    pub records: u64,
    /// Snapshots read.
    pub snapshots: usize,
    /// How many of them could be compared with the records that they were made from.
    pub compared: usize,
    /// How many findings there are.
    pub findings: usize,
}

impl Line for Verified {
    const TYPE: &'static str = "verified";
}

const HELP_RECORD: &str = "the room is served without it; a client that has it brings it back when it syncs, \
                           or restore a backup";
const HELP_SNAPSHOT: &str =
    "an older one and the records behind it are used; the next compaction writes another";
const HELP_WRONG_SNAPSHOT: &str = "freeze the room and report it: `ruang replay freeze`, then export it";
const HELP_BASE: &str = "restore a backup of the store";
const HELP_HEAD: &str = "the store has lost records: restore a backup";
const HELP_NEWER: &str = "run the newest ruang that has served this store";
const HELP_READ: &str = "the store cannot be read: see its health, then restore a backup";

/// Verifies one room, or all.
///
/// # Errors
/// [`ReplayError`] if nothing can be looked at; damage is [`Done::Findings`].
pub async fn verify(
    log: &Arc<dyn Log>,
    room: Option<&RoomName>,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let mut printer = Printer { table: Table::new(&["room", "at", "what", "help"]), done: Done::Good };
    let mut table = Table::new(&["room", "records", "snapshots", "compared", "findings"]);
    if let Some(room) = room {
        let head = open_room(log, room).await?;
        printer.room(log, room, &head, &mut table, output).await?;
        return Ok(printer.done);
    }
    let mut after: Option<RoomName> = None;
    loop {
        let page = log.rooms(after.as_ref(), REPLAY_PAGE_RECORDS).await?;
        table.expect(page.iter().map(RoomName::as_str));
        for room in &page {
            match log.open(room).await {
                Ok(Some(head)) => printer.room(log, room, &head, &mut table, output).await?,
                Ok(None) => {} // removed meanwhile
                Err(error) => {
                    printer.findings(&[finding(room, "room", error.to_string(), HELP_READ)], output)?
                }
            }
        }
        match page.last() {
            Some(last) => after = Some(last.clone()),
            None => return Ok(printer.done),
        }
    }
}

struct Printer {
    table: Table,
    done: Done,
}

impl Printer {
    async fn room(
        &mut self,
        log: &Arc<dyn Log>,
        room: &RoomName,
        head: &Head,
        table: &mut Table,
        output: &mut Output<'_>,
    ) -> Result<(), ReplayError> {
        let (verified, findings) = verify_room(log, room, head).await?;
        if output.is_json() {
            self.findings(&findings, output)?;
            output.line(&verified)?;
            return Ok(());
        }
        let count = verified.findings.to_string();
        let row = vec![
            Cell::plain(&verified.room),
            Cell::plain(verified.records.to_string()),
            Cell::plain(verified.snapshots.to_string()),
            Cell::plain(verified.compared.to_string()),
            if verified.findings == 0 { Cell::plain("none") } else { Cell::alarm(count) },
        ];
        output.rows(table, &[row])?;
        self.findings(&findings, output)
    }

    fn findings(&mut self, findings: &[Finding], output: &mut Output<'_>) -> Result<(), ReplayError> {
        for finding in findings {
            self.done = Done::Findings;
            if output.is_json() {
                output.line(finding)?;
            } else {
                let cells = [Cell::dim(&finding.room), Cell::plain(&finding.at), Cell::alarm(&finding.what)];
                let mut row = cells.to_vec();
                row.push(Cell::plain(finding.help));
                output.rows(&mut self.table, &[row])?;
            }
        }
        Ok(())
    }
}

fn finding(room: &RoomName, at: impl ToString, what: impl Into<String>, help: &'static str) -> Finding {
    Finding { room: room.as_str().to_owned(), at: at.to_string(), what: what.into(), help }
}

/// Looks at one room; what is wrong comes as findings.
///
/// # Errors
/// [`ReplayError`] if the log does not answer; a room that dies meanwhile has no findings.
pub async fn verify_room(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
) -> Result<(Verified, Vec<Finding>), ReplayError> {
    let mut findings = Vec::new();
    let found = |findings: &mut Vec<Finding>, at: String, what: String, help| {
        findings.push(finding(room, at, what, help));
    };
    let oldest = head.snapshots.first().map_or(0, |snapshot| snapshot.through.seq);
    if oldest < head.base {
        let what = format!("records up to #{} are trimmed, and no snapshot holds them", head.base);
        found(&mut findings, format!("#{}", head.base), what, HELP_BASE);
    }
    let records = match look_at_records(log, room, head).await {
        Ok((records, mut of_records)) => {
            findings.append(&mut of_records);
            records
        }
        Err(LogError::Fatal(why)) => {
            found(&mut findings, head.last.to_string(), why, HELP_NEWER);
            0
        }
        Err(error) => return Err(error.into()),
    };

    let read = fold_and_compare(log, room, head, &mut findings).await?;
    let room = room.as_str().to_owned();
    let (snapshots, compared) = (read.sound, read.compared);
    let verified = Verified { room, records, snapshots, compared, findings: findings.len() };
    Ok((verified, findings))
}

/// Checksums, holes, times, the newest one.
async fn look_at_records(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
) -> Result<(u64, Vec<Finding>), LogError> {
    let mut findings = Vec::new();
    let (mut last, mut records) = (Position { seq: head.base, ms: 0 }, 0);
    while last.seq < head.last.seq {
        let page = log.read(room, last.seq, REPLAY_PAGE_RECORDS).await?;
        if page.is_empty() {
            break;
        }
        for stored in page.iter().take_while(|stored| stored.position().seq <= head.last.seq) {
            let position = stored.position();
            if position.seq != last.seq + 1 && !was_trimmed(log, room, position.seq - 1).await? {
                let what = format!("records #{} to #{} are missing", last.seq + 1, position.seq - 1);
                findings.push(finding(room, position, what, HELP_HEAD));
            }
            if position.ms < last.ms {
                let what = format!("its time is before that of record {last}");
                findings.push(finding(room, position, what, HELP_RECORD));
            }
            if let StoredRecord::Damaged { why, .. } = stored {
                findings.push(finding(room, position, why, HELP_RECORD));
            }
            last = Position { seq: position.seq, ms: last.ms.max(position.ms) };
            records += 1;
        }
    }
    if last.seq < head.last.seq {
        let what = format!("the newest record should be {}, and the last one there is {last}", head.last);
        findings.push(finding(room, head.last, what, HELP_HEAD));
    }
    Ok((records, findings))
}

/// Whether records up to a counter have been trimmed by now.
async fn was_trimmed(log: &Arc<dyn Log>, room: &RoomName, through: u64) -> Result<bool, LogError> {
    Ok(log.open(room).await?.is_none_or(|head| head.base >= through))
}

/// What became of the snapshots.
#[derive(Default)]
struct Read {
    /// Those that can be read.
    sound: usize,
    /// Those that were compared with what the records say.
    compared: usize,
}

/// Folds what is there, and compares with each snapshot on the way. One snapshot is in memory at a time.
async fn fold_and_compare(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
    findings: &mut Vec<Finding>,
) -> Result<Read, ReplayError> {
    let mut read = Read::default();
    let mut snapshots = head.snapshots.iter().copied().peekable();
    let mut start = Start::Genesis;
    while head.base > 0
        && let Some(snapshot) = snapshots.next()
    {
        // With the oldest that can be read there is nothing to compare: it is where the rest begins.
        if read_snapshot(log, room, &snapshot, findings).await?.is_some() {
            read.sound += 1;
            start = Start::Snapshot { at_most: snapshot.through.seq };
            break;
        }
    }
    let range = Range { start, until: head.last.seq, on_trouble: OnTrouble::SetAside };
    let walk = match history::walk(log, room, range).await {
        // Found before: records that need a newer version, or no snapshot that can be read.
        Err(
            WalkError::Log(LogError::Fatal(_)) | WalkError::Trimmed { .. } | WalkError::NoSnapshot { .. },
        ) => None,
        walk => walk?,
    };
    if let Some(mut walk) = walk {
        while let Some(step) = step(&mut walk).await? {
            let Step::Record(stored, folded, fold) = step else { continue };
            // What is damaged was found before.
            if let (StoredRecord::Intact { .. }, Folded::SetAside(record)) = (&stored, &folded) {
                findings.push(finding(room, record.position, record.why.clone(), HELP_RECORD));
            }
            while let Some(snapshot) = snapshots.next_if(|next| next.through.seq <= fold.last().seq) {
                let Some(found) = read_snapshot(log, room, &snapshot, findings).await? else { continue };
                read.sound += 1;
                read.compared += 1;
                if let Some(what) = difference(found, fold) {
                    findings.push(finding(room, snapshot_text(&snapshot), what, HELP_WRONG_SNAPSHOT));
                }
            }
        }
    }
    for snapshot in snapshots {
        read.sound += usize::from(read_snapshot(log, room, &snapshot, findings).await?.is_some());
    }
    Ok(read)
}

/// The next step; none at a record that needs a newer version, which was found before.
async fn step(walk: &mut history::Walk) -> Result<Option<Step<'_>>, ReplayError> {
    match walk.next().await {
        Err(WalkError::Log(LogError::Fatal(_))) => Ok(None),
        step => Ok(step?),
    }
}

fn snapshot_text(snapshot: &SnapshotRef) -> String {
    format!("snapshot {} (#{})", snapshot.revision, snapshot.through.seq)
}

/// What a snapshot holds; nothing if it cannot be read, which is a finding unless it has been replaced.
async fn read_snapshot(
    log: &Arc<dyn Log>,
    room: &RoomName,
    snapshot: &SnapshotRef,
    findings: &mut Vec<Finding>,
) -> Result<Option<Fold>, ReplayError> {
    let through = snapshot.through.seq;
    let range = Range {
        start: Start::Snapshot { at_most: through },
        until: through,
        on_trouble: OnTrouble::SetAside,
    };
    let (why, help) = match history::walk(log, room, range).await {
        Ok(None) => return Err(WalkError::Gone.into()),
        Ok(Some(walk)) => {
            if walk.started_at() == Some(snapshot) {
                return Ok(Some(walk.into_fold()?));
            }
            let damaged = walk.damaged_snapshots().iter().find(|it| it.revision == snapshot.revision);
            (damaged.map_or_else(|| "it is not used".to_owned(), |it| it.why.clone()), HELP_SNAPSHOT)
        }
        Err(WalkError::NoSnapshot { why, .. }) => (why, HELP_SNAPSHOT),
        Err(error @ WalkError::Trimmed { .. }) => (error.to_string(), HELP_BASE),
        Err(error @ WalkError::Newer(_)) => (error.to_string(), HELP_NEWER),
        Err(error) => return Err(error.into()),
    };
    let still_there = log.open(room).await?.is_some_and(|head| head.snapshots.contains(snapshot));
    if still_there {
        findings.push(finding(room, snapshot_text(snapshot), why, help));
    }
    Ok(None)
}

/// What differs between a snapshot and the records that it was made from. How the engine cuts runs of blocks depends
/// on what it folded together, until it has loaded them: encodings are compared once loads leave them as they are.
fn difference(snapshot: Fold, records: &Fold) -> Option<String> {
    let differs = |what: &str| Some(format!("its {what} is not what the records say"));
    if snapshot.gate().state_vector() != records.gate().state_vector() {
        return differs("state vector");
    }
    if snapshot.gate().deleted() != records.gate().deleted() {
        return differs("set of deletions");
    }
    if snapshot.generations() != records.generations() {
        return differs("set of generations");
    }
    if snapshot.claims() != records.claims() {
        return differs("table of claims");
    }
    let encoded = snapshot.document().encode_full();
    drop(snapshot); // a document less in memory
    match (settled(encoded), settled(records.document().encode_full())) {
        (Some(theirs), Some(ours)) if gate::same_document(&theirs, &ours) => None,
        _ => differs("document"),
    }
}

/// The encoding of a document that a load does not change any more; nothing if it cannot be loaded, or is
/// another one each time.
fn settled(mut encoded: Vec<u8>) -> Option<Vec<u8>> {
    for _ in 0..SNAPSHOT_SETTLE_TRIES {
        let mut document = Document::new();
        document.apply(&[&encoded]).ok()?;
        let again = document.encode_full();
        if gate::same_document(&again, &encoded) {
            return Some(encoded);
        }
        encoded = again;
    }
    None
}

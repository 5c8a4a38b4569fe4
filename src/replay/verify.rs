//! `ruang replay verify`: whether a room's log holds what it should.
//!
//! Looked at: each record's checksum; that counters have no holes and time does not go back; that each record
//! goes through the gate and can be folded; that each snapshot is what the records say, where they are still there;
//! that what is trimmed is in a snapshot; that the newest record is where the log says.

use std::sync::Arc;

use serde::Serialize;

use super::output::{Cell, Line, Output, Table};
use super::{Done, ReplayError, open_room};
use crate::history::{self, Fold, Folded, OnTrouble, Range, Start, Step, WalkError};
use crate::ids::{Position, RoomName};
use crate::limits::REPLAY_PAGE_RECORDS;
use crate::log::record::StoredRecord;
use crate::log::{Head, Log, LogError};

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

    let mut snapshots = Vec::new();
    for snapshot in &head.snapshots {
        match read_snapshot(log, room, snapshot.revision, snapshot.through).await? {
            Ok(fold) => snapshots.push((snapshot.through, fold)),
            Err((why, help)) => {
                found(&mut findings, format!("snapshot {}", snapshot.revision), why, help);
            }
        }
    }
    let read = snapshots.len();
    let compared = fold_and_compare(log, room, head, snapshots, &mut findings).await?;
    let room = room.as_str().to_owned();
    let verified = Verified { room, records, snapshots: read, compared, findings: findings.len() };
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
            if position.seq != last.seq + 1 {
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

/// What a snapshot holds, or what is wrong with it.
async fn read_snapshot(
    log: &Arc<dyn Log>,
    room: &RoomName,
    revision: u64,
    through: Position,
) -> Result<Result<Fold, (String, &'static str)>, ReplayError> {
    let wrong = |why: String, help| Ok(Err((why, help)));
    let range = Range {
        start: Start::Snapshot { at_most: through.seq },
        until: through.seq,
        on_trouble: OnTrouble::SetAside,
    };
    match history::walk(log, room, range).await {
        Ok(None) => Err(ReplayError::Absent),
        Ok(Some(walk)) => {
            let damaged = walk.damaged_snapshots().iter().find(|damaged| damaged.revision == revision);
            match damaged {
                Some(damaged) => wrong(damaged.why.clone(), HELP_SNAPSHOT),
                None if walk.started_at().is_some_and(|start| start.revision == revision) => {
                    Ok(Ok(walk.into_fold()?))
                }
                None => wrong("another snapshot stands at the same record".to_owned(), HELP_SNAPSHOT),
            }
        }
        Err(error @ (WalkError::NoSnapshot { .. } | WalkError::Trimmed { .. })) => {
            wrong(error.to_string(), HELP_BASE)
        }
        Err(error @ WalkError::Newer(_)) => wrong(error.to_string(), HELP_NEWER),
        Err(error) => Err(error.into()),
    }
}

/// Folds what is there, and compares with each snapshot on the way. Returns how many were compared.
async fn fold_and_compare(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
    snapshots: Vec<(Position, Fold)>,
    findings: &mut Vec<Finding>,
) -> Result<usize, ReplayError> {
    let start = if head.base == 0 {
        Start::Genesis
    } else {
        // Up to the oldest that can be read, there is nothing to compare it with.
        let Some((through, _)) = snapshots.first() else { return Ok(0) };
        Start::Snapshot { at_most: through.seq }
    };
    let range = Range { start, until: head.last.seq, on_trouble: OnTrouble::SetAside };
    let mut walk = match history::walk(log, room, range).await {
        Ok(Some(walk)) => walk,
        Ok(None) => return Ok(0),
        Err(WalkError::Log(LogError::Fatal(_))) => return Ok(0), // found before
        Err(error) => return Err(error.into()),
    };
    let mut compared = 0;
    let mut snapshots = snapshots.into_iter().peekable();
    if walk.started_at().is_some() {
        snapshots.next();
    }
    while let Some(step) = walk.next().await? {
        let Step::Record(stored, folded, fold) = step else { continue };
        // What is damaged was found before.
        if let (StoredRecord::Intact { .. }, Folded::SetAside(record)) = (&stored, &folded) {
            findings.push(finding(room, record.position, record.why.clone(), HELP_RECORD));
        }
        while let Some((through, snapshot)) = snapshots.next_if(|(through, _)| through.seq <= fold.last().seq)
        {
            compared += 1;
            if let Some(what) = difference(snapshot, fold) {
                findings.push(finding(room, format!("snapshot at {through}"), what, HELP_WRONG_SNAPSHOT));
            }
        }
    }
    Ok(compared)
}

/// What differs between a snapshot and the records that it was made from.
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
    if snapshot.document().encode_full() != records.document().encode_full() {
        return differs("document");
    }
    None
}

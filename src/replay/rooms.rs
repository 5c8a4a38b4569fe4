//! `ruang replay rooms`: every room of a store, in byte order of the names.

use serde::Serialize;

use super::output::{Cell, Line, Output, Table, size};
use super::place::utc;
use super::{Done, ReplayError};
use crate::history::kind_of;
use crate::ids::RoomName;
use crate::kind::RoomKind;
use crate::limits::REPLAY_PAGE_RECORDS;
use crate::log::{Head, Log, LogError};

/// A room as the log knows it.
#[derive(Debug, Serialize)]
struct RoomLine {
    room: String,
    /// `board` or `free`; none: it cannot be told.
    kind: Option<&'static str>,
    /// Id and time of the newest record.
    head: String,
    time: String,
    /// Records up to this counter are trimmed.
    base: u64,
    /// Records that can be replayed.
    records: u64,
    /// Bytes of all records of this life of the room.
    bytes: u64,
    snapshots: usize,
    /// What the newest snapshot covers.
    snapshot: Option<String>,
    /// Records that are in no snapshot.
    unfolded: u64,
    /// When the room may be removed; none: never.
    deadline: Option<String>,
    frozen: bool,
}

impl Line for RoomLine {
    const TYPE: &'static str = "room";
}

/// A room that the log cannot open.
#[derive(Debug, Serialize)]
struct BrokenRoomLine {
    room: String,
    error: String,
}

impl Line for BrokenRoomLine {
    const TYPE: &'static str = "broken_room";
}

/// Lists all rooms. One that cannot be opened is listed as such.
///
/// # Errors
/// [`ReplayError`]; [`Done::Findings`] if a room could not be opened.
pub async fn rooms(log: &dyn Log, output: &mut Output<'_>) -> Result<Done, ReplayError> {
    let mut table = Table::new(&[
        "room",
        "kind",
        "head",
        "newest (UTC)",
        "records",
        "bytes",
        "snapshot",
        "unfolded",
        "until (UTC)",
        "notes",
    ]);
    let mut after: Option<RoomName> = None;
    let mut done = Done::Good;
    loop {
        let page = log.rooms(after.as_ref(), REPLAY_PAGE_RECORDS).await?;
        let mut rows = Vec::with_capacity(page.len());
        for room in &page {
            match look(log, room).await {
                Ok(None) => {} // removed meanwhile
                Ok(Some((head, kind))) if output.is_json() => output.line(&line(room, &head, kind))?,
                Ok(Some((head, kind))) => rows.push(row(&line(room, &head, kind))),
                Err(error) => {
                    done = Done::Findings;
                    let (room, error) = (room.as_str().to_owned(), error.to_string());
                    if output.is_json() {
                        output.line(&BrokenRoomLine { room, error })?;
                    } else {
                        let mut row = vec![Cell::plain(room)];
                        row.extend((1..9).map(|_| Cell::dim("?")));
                        row.push(Cell::alarm(error));
                        rows.push(row);
                    }
                }
            }
        }
        if !rows.is_empty() {
            output.rows(&mut table, &rows)?;
        }
        match page.last() {
            Some(last) => after = Some(last.clone()),
            None => return Ok(done),
        }
    }
}

async fn look(log: &dyn Log, room: &RoomName) -> Result<Option<(Head, Option<RoomKind>)>, LogError> {
    let Some(head) = log.open(room).await? else { return Ok(None) };
    let kind = kind_of(log, room, &head).await?;
    Ok(Some((head, kind)))
}

fn line(room: &RoomName, head: &Head, kind: Option<RoomKind>) -> RoomLine {
    let newest = head.snapshots.last();
    let covered = newest.map_or(0, |snapshot| snapshot.through.seq);
    RoomLine {
        room: room.as_str().to_owned(),
        kind: kind.map(RoomKind::as_str),
        head: head.last.to_string(),
        time: utc(head.last.ms),
        base: head.base,
        records: head.last.seq.saturating_sub(head.base),
        bytes: head.bytes,
        snapshots: head.snapshots.len(),
        snapshot: newest.map(|snapshot| snapshot.through.to_string()),
        unfolded: head.last.seq.saturating_sub(covered),
        deadline: head.deadline_ms.map(utc),
        frozen: head.frozen,
    }
}

fn row(line: &RoomLine) -> Vec<Cell> {
    let counter = |id: &str| id.rsplit_once('-').map_or_else(String::new, |(_, seq)| format!("#{seq}"));
    vec![
        Cell::plain(&line.room),
        Cell::plain(line.kind.unwrap_or("?")),
        Cell::plain(counter(&line.head)),
        Cell::dim(&line.time),
        Cell::plain(line.records.to_string()),
        Cell::plain(size(line.bytes)),
        Cell::plain(line.snapshot.as_deref().map_or_else(|| "-".to_owned(), counter)),
        Cell::plain(line.unfolded.to_string()),
        Cell::dim(line.deadline.as_deref().unwrap_or("never")),
        Cell::plain(if line.frozen { "frozen" } else { "" }),
    ]
}

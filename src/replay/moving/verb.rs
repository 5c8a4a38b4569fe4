//! `ruang replay import --from`: one document after the other, and what became of each.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::document::{Moved, MovedError};
use super::{Foreign, From, SourceError};
use crate::gate::{Refusal, Source};
use crate::history::{self, Range, WalkError};
use crate::ids::{RoomName, RoomNameError};
use crate::log::{Log, LogError};
use crate::replay::import::{self, ImportError, ImportOptions};
use crate::replay::output::{Cell, Line, Output, Table, size};
use crate::replay::{Done, ReplayError};

/// Which documents to import, and how.
#[derive(Debug, Clone)]
pub struct MoveOptions {
    /// Only this one, by the name under which it is kept.
    pub document: Option<String>,
    /// The room's name if there is one document, and so on.
    pub import: ImportOptions,
}

/// What became of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Became {
    /// A new room.
    Made,
    /// A new room, if this were no dry run.
    WouldBeMade,
    /// The room is there, and has all of it: it was imported before.
    There,
    /// There is nothing in it.
    Empty,
    /// There is no room, or one that does not have all of it.
    Failed,
}

impl Became {
    fn words(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::WouldBeMade => "would be made",
            Self::There => "there already, with all of it",
            Self::Empty => "empty: nothing to make a room of",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Serialize)]
struct MovedLine {
    /// The document's name where it comes from.
    document: String,
    room: String,
    became: Became,
    /// Bytes of the document.
    bytes: usize,
    /// What there was of it and is not in the room.
    not_kept: Vec<String>,
    /// Why it failed.
    why: Option<String>,
}

impl Line for MovedLine {
    const TYPE: &'static str = "moved";
}

#[derive(Debug, Serialize)]
struct SummaryLine {
    made: usize,
    there: usize,
    empty: usize,
    failed: usize,
    /// Nothing was stored.
    dry_run: bool,
}

impl Line for SummaryLine {
    const TYPE: &'static str = "moved_all";
}

/// Why one document has no room of its own now.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Name(#[from] RoomNameError),
    #[error(transparent)]
    Document(#[from] MovedError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("a room of this name is there, without all of this; choose another with --as")]
    OtherRoom,
    #[error("the room of this name cannot be compared with it: {0}")]
    Walk(#[from] WalkError),
    #[error("the room of this name cannot be compared with it: {0}")]
    Compare(Refusal),
}

/// Makes a room of each document.
///
/// # Errors
/// [`ReplayError`] if nothing can be read, or the output not be written. What one document meets is in its
/// line: the others are imported all the same.
pub async fn move_in(
    path: &Path,
    from: From,
    log: &Arc<dyn Log>,
    options: &MoveOptions,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let foreign = Foreign::open(from, path)?;
    let mut names = foreign.names()?;
    if let Some(only) = &options.document {
        names.retain(|name| name == only);
        if names.is_empty() {
            return Err(SourceError::Absent.into());
        }
    }
    if names.len() > 1 && options.import.name.is_some() {
        let usage = format!(
            "--as names one room, and there are {} documents: choose one with --document",
            names.len()
        );
        return Err(ReplayError::Usage(usage));
    }
    let mut table = Table::new(&["document", "room", "bytes", "what became of it"]);
    table.expect(names.iter().map(String::as_str));
    let rooms: Vec<String> = names.iter().map(|name| room_of(&foreign, name, &options.import)).collect();
    table.expect_in(1, rooms.iter().map(String::as_str));
    table.expect_in(2, ["1023.9 KiB"].into_iter()); // the widest size
    let mut counts = SummaryLine { made: 0, there: 0, empty: 0, failed: 0, dry_run: options.import.dry_run };
    for name in names {
        let line = one(&foreign, name, log, &options.import).await?;
        match line.became {
            Became::Made | Became::WouldBeMade => counts.made += 1,
            Became::There => counts.there += 1,
            Became::Empty => counts.empty += 1,
            Became::Failed => counts.failed += 1,
        }
        if output.is_json() {
            output.line(&line)?;
        } else {
            output.rows(&mut table, &[cells(&line)])?;
        }
    }
    if output.is_json() {
        output.line(&counts)?;
    } else {
        let SummaryLine { made, there, empty, failed, dry_run } = counts;
        let would = if dry_run { "would be " } else { "" };
        output.say(&format!("{made} {would}made, {there} there already, {empty} empty, {failed} failed"))?;
    }
    Ok(if counts.failed > 0 { Done::Findings } else { Done::Good })
}

fn cells(line: &MovedLine) -> Vec<Cell> {
    let mut became = line.became.words().to_owned();
    if let Some(why) = &line.why {
        became = format!("{became}: {why}");
    }
    if !line.not_kept.is_empty() {
        became = format!("{became}; not kept: {}", line.not_kept.join(", "));
    }
    let became = if line.became == Became::Failed { Cell::alarm(became) } else { Cell::plain(became) };
    let bytes = if line.bytes == 0 { "-".to_owned() } else { size(line.bytes as u64) };
    vec![Cell::plain(&line.document), Cell::plain(&line.room), Cell::plain(bytes), became]
}

fn room_of(foreign: &Foreign, document: &str, options: &ImportOptions) -> String {
    options.name.as_ref().map_or_else(|| foreign.room_of(document), |name| name.as_str().to_owned())
}

/// One document.
///
/// # Errors
/// Only what would meet the next one too: the log.
async fn one(
    foreign: &Foreign,
    document: String,
    log: &Arc<dyn Log>,
    options: &ImportOptions,
) -> Result<MovedLine, ReplayError> {
    let room = room_of(foreign, &document, options);
    let mut line =
        MovedLine { document, room, became: Became::Failed, bytes: 0, not_kept: Vec::new(), why: None };
    match take(foreign, &mut line, log, options).await {
        Ok(became) => line.became = became,
        Err(MoveError::Import(ImportError::Log(error @ (LogError::Unavailable(_) | LogError::Full(_))))) => {
            return Err(error.into());
        }
        Err(error) => line.why = Some(error.to_string()),
    }
    Ok(line)
}

async fn take(
    foreign: &Foreign,
    line: &mut MovedLine,
    log: &Arc<dyn Log>,
    options: &ImportOptions,
) -> Result<Became, MoveError> {
    let room = RoomName::parse(&line.room)?;
    let kept = foreign.document(&line.document)?;
    let moved = Moved::new(kept.updates)?;
    line.not_kept = [moved.not_kept, kept.not_kept].concat();
    if moved.is_empty {
        return Ok(Became::Empty);
    }
    line.bytes = moved.update.len();
    match import::make(log, &room, &moved.update, options).await {
        Ok(()) if options.dry_run => Ok(Became::WouldBeMade),
        Ok(()) => Ok(Became::Made),
        Err(ImportError::Exists(_)) if has_all(log, &room, &moved.update).await? => Ok(Became::There),
        Err(ImportError::Exists(_)) => Err(MoveError::OtherRoom),
        Err(error) => Err(error.into()),
    }
}

/// Whether a room has all blocks and all deletions of an update, whatever else it has by now.
async fn has_all(log: &Arc<dyn Log>, room: &RoomName, update: &[u8]) -> Result<bool, MoveError> {
    let mut walk = history::walk(log, room, Range::TO_HEAD).await?.ok_or(WalkError::Gone)?;
    walk.to_end().await?;
    let mut gate = walk.into_fold()?.into_parts().gate;
    let admission = gate.admit(update, Source::Record).map_err(MoveError::Compare)?;
    Ok(admission.remainder.is_none())
}

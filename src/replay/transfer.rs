//! `ruang replay export` and `import`, as verbs: what they say. The work is in `export` and `import`.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::export::{self, Exported};
use super::import::{self, ImportOptions, Imported};
use super::output::{Line, Output, size};
use super::place::utc;
use super::{Done, ReplayError};
use crate::ids::RoomName;
use crate::log::Log;

#[derive(Debug, Serialize)]
struct ExportedLine {
    room: String,
    file: String,
    bytes: u64,
    records: u64,
    damaged: u64,
    snapshots: usize,
    last: String,
}

impl Line for ExportedLine {
    const TYPE: &'static str = "exported";
}

#[derive(Debug, Serialize)]
struct ImportedLine {
    room: String,
    /// `board` or `free`.
    kind: &'static str,
    /// Nothing was stored.
    dry_run: bool,
    /// The room as it was exported, and its newest record in the file.
    from: String,
    last: String,
    /// Bytes of the document.
    bytes: usize,
    /// Users whose claims of client ids came along.
    claims: usize,
    /// What the file has and the room has not.
    not_kept: Vec<String>,
}

impl Line for ImportedLine {
    const TYPE: &'static str = "imported";
}

/// Writes a room to a file.
///
/// # Errors
/// [`ReplayError`]: there is no file then.
pub async fn export(
    log: &Arc<dyn Log>,
    room: &RoomName,
    file: &Path,
    now_ms: u64,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let Exported { bytes, records, damaged, snapshots, last } =
        export::export_to_file(log, room, file, now_ms).await?;
    if damaged > 0 {
        output
            .note(&format!("{damaged} damaged records are in the file as damaged: only their place is kept"));
    }
    let line = ExportedLine {
        room: room.as_str().to_owned(),
        file: file.display().to_string(),
        bytes,
        records,
        damaged,
        snapshots,
        last: last.to_string(),
    };
    if output.is_json() {
        output.line(&line)?;
    } else {
        output.say(&format!(
            "{} up to {} ({}) is in {}: {records} records, {snapshots} snapshots, {}",
            line.room,
            line.last,
            utc(last.ms),
            line.file,
            size(bytes)
        ))?;
    }
    Ok(Done::Good)
}

/// Makes a room of an exported file.
///
/// # Errors
/// [`ReplayError`]: there is no room then, unless it says otherwise.
pub async fn import(
    file: &Path,
    log: &Arc<dyn Log>,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let Imported { room, kind, from, last, bytes, claims, not_kept } =
        import::import(file, log, options).await?;
    let line = ImportedLine {
        room: room.as_str().to_owned(),
        kind: kind.as_str(),
        dry_run: options.dry_run,
        from: from.as_str().to_owned(),
        last: last.to_string(),
        bytes,
        claims,
        not_kept,
    };
    if output.is_json() {
        output.line(&line)?;
        return Ok(Done::Good);
    }
    let done = if options.dry_run { "would be made" } else { "is made" };
    output.say(&format!(
        "{} {done} from {} at {} ({}): a document of {}; kind {kind}",
        line.room,
        line.from,
        line.last,
        utc(last.ms),
        size(bytes as u64)
    ))?;
    for part in &line.not_kept {
        output.say(&format!("  not kept: {part}"))?;
    }
    Ok(Done::Good)
}

//! The operators' verbs: `ruang replay`. Each looks at a room's history through [`history::walk`], on a store, on
//! the store of a running server, or on an exported file, and knows none of them: it sees a [`Log`].
//!
//! One verb a file: `rooms`, `show`, `state`, `verify`, `transfer` (export and import), `compact`,
//! `freeze` (and thaw). Below them:
//! `place` (positions as they are typed), `source` (what is looked at), `remote` (a server's log), `export`,
//! `import`, `file` and `part` (exported files), `moving` (what other servers keep), `view` and `effect` (documents and records for people), `output`.
//!
//! [`history::walk`]: crate::history::walk()

mod args;
pub mod compact;
pub mod effect;
pub mod export;
pub mod file;
pub mod freeze;
pub mod import;
pub mod moving;
pub mod output;
pub mod part;
pub mod place;
pub mod portable;
pub mod remote;
pub mod rooms;
pub mod show;
pub mod source;
pub mod state;
pub mod transfer;
pub mod verify;
pub mod view;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub use args::ReplayArgs;
use args::{OnArgs, Verb};
use import::ImportOptions;
use moving::{From, MoveOptions};
use output::Output;
use show::ShowOptions;
use source::{Source, SourceKind};

use crate::history::WalkError;
use crate::ids::RoomName;
use crate::kind::Boards;
use crate::log::{Head, Log, LogError};

/// How a verb has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Well.
    Good,
    /// It did its work and found that something is wrong.
    Findings,
}

/// Why a verb has failed. Each text is one line.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The command line does not say what to do.
    #[error("{0}")]
    Usage(String),
    /// There is no such room.
    #[error("there is no room of this name; see `ruang replay rooms`")]
    Absent,
    /// There is nothing to work on.
    #[error(transparent)]
    Source(#[from] source::SourceError),
    /// The room has no such position.
    #[error(transparent)]
    NotThere(#[from] place::NotThere),
    /// The room's history cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is no export.
    #[error(transparent)]
    Export(#[from] export::ExportError),
    /// There is no new room.
    #[error(transparent)]
    Import(#[from] import::ImportError),
    /// What another server keeps cannot be read.
    #[error(transparent)]
    Moving(#[from] moving::SourceError),
    /// Nobody takes what is printed.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// There is no new snapshot.
    #[error(transparent)]
    Compact(#[from] crate::history::CompactError),
    /// Ended by SIGINT.
    #[error("stopped")]
    Stopped,
}

impl ReplayError {
    /// Whether the command line has to change.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_)
            | Self::NotThere(place::NotThere::Above { .. } | place::NotThere::OtherId { .. }) => true,
            Self::Source(error) => error.is_usage(),
            _ => false,
        }
    }

    /// A reader that has seen enough is no news to anybody.
    fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
            || matches!(self, Self::Stopped)
    }
}

/// Runs a verb to its end.
#[must_use]
pub fn run(args: &ReplayArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        // As in the server: the document engine recurses over what it is given.
        .thread_stack_size(8 << 20)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let mut output = Output::new(&mut out, &mut notes, args.on.json, Output::terminal_takes_color());
    let result = runtime.block_on(perform(args, &mut output));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(Done::Good) => ExitCode::SUCCESS,
        Ok(Done::Findings) => ExitCode::FAILURE,
        Err(error) => {
            if !error.is_silent() {
                output.note(&format!("error: {error}"));
            }
            match error {
                ReplayError::Stopped => ExitCode::from(130),
                error if error.is_usage() => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Opens what is asked for, and does what is asked.
///
/// # Errors
/// [`ReplayError`].
pub async fn perform(args: &ReplayArgs, output: &mut Output<'_>) -> Result<Done, ReplayError> {
    check_form(args)?;
    let source = match &args.on.file {
        Some(file) => source::open_file(file)?,
        None => source::open_store(&args.on.store).await?,
    };
    let done = tokio::select! {
        done = verb(args, &source, output) => done,
        // The usual end of following. Stored is what the log has answered; a file comes into being at its end.
        _ = tokio::signal::ctrl_c() => Err(ReplayError::Stopped),
    };
    source.log.close().await;
    done
}

/// What the command line's parser cannot know.
fn check_form(args: &ReplayArgs) -> Result<(), ReplayError> {
    let usage = |why: &str| Err(ReplayError::Usage(why.to_owned()));
    let OnArgs { file, json, .. } = &args.on;
    let named = match &args.verb {
        Verb::Show(show) => show.room.is_some(),
        Verb::State(state) if *json && matches!(state.format, state::Format::Update | state::Format::Sv) => {
            return usage("--json has no place for bytes: leave it out with --format update or sv");
        }
        Verb::State(state) => state.room.is_some(),
        Verb::Verify(verify) => verify.room.is_some() || verify.all,
        Verb::Import(import) if import.document.is_some() && import.from == From::Export => {
            return usage("--document: an exported file holds one room");
        }
        Verb::Import(_) | Verb::Compact(_) | Verb::Freeze(_) | Verb::Thaw(_) if file.is_some() => {
            return usage("--file: an exported file can only be read");
        }
        _ => true,
    };
    if named || file.is_some() {
        return Ok(());
    }
    usage("which ROOM? `ruang replay rooms` lists them; verify takes --all")
}

async fn verb(args: &ReplayArgs, source: &Source, output: &mut Output<'_>) -> Result<Done, ReplayError> {
    let log = &source.log;
    let now_ms = crate::clock::wall_ms();
    match &args.verb {
        Verb::Rooms => rooms::rooms(&**log, output).await,
        Verb::Show(show) => {
            let follow = show.follow && source.kind == SourceKind::Server;
            if show.follow && !follow {
                output.note("nothing can come: no server holds this; showing what is there");
            }
            let options =
                ShowOptions { from: show.from, to: show.to, count: show.count, kind: show.kind, follow };
            show::show(log, &named(show.room.as_ref(), source)?, &options, now_ms, output).await
        }
        Verb::State(state) => {
            let room = named(state.room.as_ref(), source)?;
            state::state(log, &room, state.at, state.format, now_ms, output).await
        }
        Verb::Verify(verify) => {
            let room = match &verify.room {
                Some(_) => Some(named(verify.room.as_ref(), source)?),
                None => None,
            };
            verify::verify(log, room.as_ref(), output).await
        }
        Verb::Export(export) => transfer::export(log, &export.room, &export.to, now_ms, output).await,
        Verb::Import(import) => {
            let options = ImportOptions {
                name: import.name.clone(),
                dry_run: import.dry_run,
                force: import.force,
                kind: import.kind,
                boards: Boards::new(import.boards.clone()),
                ttl_ms: import.room_ttl.0.map(crate::clock::in_ms),
                now_ms,
            };
            if import.from == From::Export {
                return transfer::import(&import.path, log, &options, output).await;
            }
            let options = MoveOptions { document: import.document.clone(), import: options };
            moving::move_in(&import.path, import.from, log, &options, output).await
        }
        Verb::Compact(args) => compact::compact(log, &args.room, args.log_retention, output).await,
        Verb::Freeze(room) => freeze::freeze(log, &room.room, true, output).await,
        Verb::Thaw(room) => freeze::freeze(log, &room.room, false, output).await,
    }
}

/// The room that is asked for; in a file there is only one.
fn named(room: Option<&RoomName>, source: &Source) -> Result<RoomName, ReplayError> {
    match (room, &source.kind) {
        (Some(room), SourceKind::File(there)) if room != there => {
            Err(ReplayError::Usage(format!("the file holds room {there:?}, not {room:?}")))
        }
        (Some(room), _) | (None, SourceKind::File(room)) => Ok(room.clone()),
        (None, _) => Err(ReplayError::Usage("which ROOM?".to_owned())),
    }
}

/// A room that must be there.
///
/// # Errors
/// [`ReplayError::Absent`], or what the log says.
async fn open_room(log: &Arc<dyn Log>, room: &RoomName) -> Result<Head, ReplayError> {
    log.open(room).await?.ok_or(ReplayError::Absent)
}

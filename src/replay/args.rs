//! The command line of `ruang replay`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::moving::From;
use super::place::Place;
use super::show::parse_kind;
use super::state::Format;
use crate::config::{RoomTtl, Store, parse_retention};
use crate::history::Retention;
use crate::ids::RoomName;
use crate::kind::{BoardPrefix, RoomKind};
use crate::log::record::Kind;

/// Look at what rooms have been: any record, any moment, on a store, through its server, or in an exported file.
#[derive(Debug, Args)]
#[command(after_help = POSITIONS)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub(super) on: OnArgs,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What all verbs take.
#[derive(Debug, Args)]
pub(super) struct OnArgs {
    /// The store. While a server holds it, its admin.sock is used.
    #[arg(
        long,
        global = true,
        env = "RUANG_STORE",
        hide_env_values = true,
        value_name = "STORE",
        default_value = "file:./ruang-data"
    )]
    pub(super) store: Store,

    /// An exported file instead of a store.
    #[arg(long, global = true, value_name = "EXPORT")]
    pub(super) file: Option<PathBuf>,

    /// One JSON object a line.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

const POSITIONS: &str = "POS is an id (1795000000000-12), a counter (#12 or 12), a time (2026-11-23T10:00Z), \
                         an age (-15m), head or snapshot.\n\
                         Exit code: 0 good, 1 the work failed or verify has findings, 2 the command line is wrong.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List all rooms.
    Rooms,
    /// Show the records of a room.
    Show(ShowArgs),
    /// Print the document at a position.
    State(StateArgs),
    /// Check that a room's log holds what it should.
    Verify(VerifyArgs),
    /// Write a room to a file.
    Export(ExportArgs),
    /// Make a room of an exported file, or rooms of what another server keeps.
    Import(ImportArgs),
    /// Write a snapshot of a room now, and trim what is older than is kept.
    Compact(CompactArgs),
    /// Stop compaction of a room.
    Freeze(RoomArgs),
    /// Allow compaction of a room again.
    Thaw(RoomArgs),
}

#[derive(Debug, Args)]
pub(super) struct RoomArgs {
    /// The room.
    #[arg(value_name = "ROOM")]
    pub(super) room: RoomName,
}

#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    /// The room.
    #[arg(value_name = "ROOM")]
    pub(super) room: RoomName,
    /// How much of the past stays replayable, by age and by size.
    #[arg(long, env = "RUANG_LOG_RETENTION", value_name = "AGE,SIZE", default_value = "24h,64MiB", value_parser = parse_retention)]
    pub(super) log_retention: Retention,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The room; with --file it may be left out.
    #[arg(value_name = "ROOM")]
    pub(super) room: Option<RoomName>,
    /// Begin here.
    #[arg(long, value_name = "POS", allow_hyphen_values = true)]
    pub(super) from: Option<Place>,
    /// End here.
    #[arg(long, value_name = "POS", allow_hyphen_values = true)]
    pub(super) to: Option<Place>,
    /// At most so many: the first ones with --from, else the last ones.
    #[arg(short = 'n', long, value_name = "N")]
    pub(super) count: Option<usize>,
    /// Only records of this kind, such as update or import.
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub(super) kind: Option<Kind>,
    /// Go on with what comes.
    #[arg(short, long, conflicts_with = "to")]
    pub(super) follow: bool,
}

#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// The room; with --file it may be left out.
    #[arg(value_name = "ROOM")]
    pub(super) room: Option<RoomName>,
    /// The moment: everything up to here, and nothing after.
    #[arg(long, value_name = "POS", allow_hyphen_values = true, default_value = "head")]
    pub(super) at: Place,
    /// How to print it. `update` and `sv` are bytes.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "json")]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The room; with --file it may be left out.
    #[arg(value_name = "ROOM")]
    pub(super) room: Option<RoomName>,
    /// All rooms.
    #[arg(long, conflicts_with = "room")]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The room.
    #[arg(value_name = "ROOM")]
    pub(super) room: RoomName,
    /// The file, which must not exist.
    #[arg(value_name = "FILE")]
    pub(super) to: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file or directory. It is only read; the server that writes to it must be stopped.
    #[arg(value_name = "PATH")]
    pub(super) path: PathBuf,
    /// What it is.
    #[arg(long, value_name = "WHAT", value_enum, default_value = "export")]
    pub(super) from: From,
    /// Only this document, by its name there; else all of them.
    #[arg(long, value_name = "NAME")]
    pub(super) document: Option<String>,
    /// The name of the new room; else that of the document.
    #[arg(long = "as", value_name = "ROOM")]
    pub(super) name: Option<RoomName>,
    /// Look at everything, store nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also under the name of a room that was deleted.
    #[arg(long)]
    pub(super) force: bool,
    /// The kind of the new rooms, board or free; else that of the room that was exported, or what --boards says.
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Option<RoomKind>,
    /// Which rooms are boards by their names, as for `ruang serve`.
    #[arg(long, env = "RUANG_BOARDS", value_name = "PREFIX,…", value_delimiter = ',')]
    pub(super) boards: Vec<BoardPrefix>,
    /// How long the room lives after its last edit and its last leave, such as 24h; never keeps it.
    #[arg(long, env = "RUANG_ROOM_TTL", value_name = "DURATION|never", default_value = "24h")]
    pub(super) room_ttl: RoomTtl,
}

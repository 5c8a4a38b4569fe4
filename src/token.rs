//! `ruang token`: makes a token with the key that the server is given.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::auth::{Auth, AuthSettings, Grant, MintError, SettingsError};
use crate::caller::Role;
use crate::clock::wall_ms;
use crate::config::parse_duration;
use crate::ids::RoomName;
use crate::kind::RoomKind;

/// Make a token that lets somebody into rooms, signed with the key of --auth-key-file or RUANG_AUTH_KEY.
#[derive(Debug, Args)]
#[command(
    after_help = "The token is printed to standard output. Whoever has it may do what it says, until it expires \
                        or is revoked."
)]
pub struct TokenArgs {
    /// A room, by its name. Several times for several rooms.
    #[arg(long, value_name = "ROOM")]
    room: Vec<RoomName>,

    /// All rooms whose names begin so, such as `team/`. Several times for several.
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,

    /// Who: the name by which you know the person. It stays in the room's log.
    #[arg(long, value_name = "USER")]
    user: String,

    /// What for: viewer, editor, facilitator, or admin (of all rooms, if none is named).
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// For how long, such as `8h`.
    #[arg(long, value_name = "DURATION", default_value = "8h", value_parser = parse_duration)]
    ttl: Duration,

    /// The name that others see.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The color that others see, such as `#336699`.
    #[arg(long, value_name = "#RRGGBB")]
    color: Option<String>,

    /// Which of several keys signs.
    #[arg(long, value_name = "KID")]
    kid: Option<String>,

    /// The kind of the rooms that the holder makes: board or free. Without it the server's --boards decide.
    #[arg(long, value_name = "KIND")]
    kind: Option<RoomKind>,

    #[command(flatten)]
    auth: AuthSettings,
}

/// Why there is no token, in one line.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// Prints a token. Exit code 2: the command line or the key has to change.
#[must_use]
pub fn run(args: TokenArgs) -> ExitCode {
    match mint(args) {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn mint(args: TokenArgs) -> Result<String, TokenError> {
    let auth = Auth::from_settings(&args.auth)?;
    let grant = Grant {
        user: args.user,
        rooms: args.room,
        prefixes: args.prefix,
        role: args.role,
        ttl_s: args.ttl.as_secs(),
        name: args.name,
        color: args.color,
        kid: args.kid,
        kind: args.kind,
    };
    Ok(auth.mint(&grant, wall_ms())?)
}

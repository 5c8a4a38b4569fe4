//! Settings of `ruang serve`. Each flag has a twin in the environment (`RUANG_…`) and in the TOML
//! file; a flag wins over the environment, the environment over the file.

mod front;
mod limits;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::auth::AuthSettings;
use crate::history::Retention;
use crate::kind::BoardPrefix;
use crate::limits::ROOM_TTL_MS_MIN;
use crate::log::Durability;
use crate::log::redis::RedisAddress;
use crate::telemetry::LogFormat;
use crate::webhooks::WebhookSettings;

pub use front::FrontArgs;
pub use limits::LimitArgs;

/// Serve rooms: y-websocket at /ws/ROOM, health at /healthz, metrics at /metrics.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where to listen. Without authentication only loopback addresses are taken.
    #[arg(long, env = "RUANG_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where rooms are stored: `file:DIR` keeps them in a directory, `memory:` until the process ends; instances
    /// share rooms on Redis: `redis://`, `rediss://`, `unix:`, `redis+sentinel://` or `redis+cluster://`.
    #[arg(
        long,
        env = "RUANG_STORE",
        hide_env_values = true,
        value_name = "STORE",
        default_value = "file:./ruang-data"
    )]
    pub store: Store,

    /// What an ack must mean: `auto` takes the strongest that the store gives.
    #[arg(long, env = "RUANG_DURABILITY", value_name = "LEVEL", default_value = "auto")]
    pub durability: Wanted,

    /// Use a Redis that may throw rooms away when its memory is full (any maxmemory-policy but noeviction).
    #[arg(long, env = "RUANG_ACCEPT_EVICTION")]
    pub accept_eviction: bool,

    /// Listen beyond loopback although anyone who reaches the port can read and write every room.
    #[arg(long, env = "RUANG_INSECURE")]
    pub insecure: bool,

    /// How long a room without sessions stays in memory, such as `30s`, `500ms` or `5m`.
    #[arg(long, env = "RUANG_ROOM_IDLE", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub room_idle: Duration,

    /// How much of a room's past stays replayable record by record: a DURATION and a number of BYTES, such as
    /// `24h,64MiB`. What is older, or has more behind it, is trimmed once a verified snapshot covers it.
    #[arg(
        long,
        env = "RUANG_LOG_RETENTION",
        value_name = "DURATION,BYTES",
        default_value = "24h,64MiB",
        value_parser = parse_retention
    )]
    pub log_retention: Retention,

    /// How long a room lives after its last edit and its last leave, such as `24h`; `never`: for ever.
    #[arg(long, env = "RUANG_ROOM_TTL", value_name = "DURATION|never", default_value = "24h")]
    pub room_ttl: RoomTtl,

    /// Which rooms are boards when they are made, whose rules the server enforces: what their names begin with, such as
    /// `retro/`; `*` is every room. A token's claim `kind` wins. The same on all instances.
    #[arg(long, env = "RUANG_BOARDS", value_name = "PREFIX,…", value_delimiter = ',')]
    pub boards: Vec<BoardPrefix>,

    /// How long a room waits for a store that takes no edits, such as `90s`. People stay connected and edit on
    /// meanwhile, nothing of it is shown or confirmed; then they are asked to come back later.
    #[arg(long, env = "RUANG_STORE_PATIENCE", value_name = "DURATION", default_value = "90s", value_parser = parse_duration)]
    pub store_patience: Duration,

    /// A directory that gets an export of each room before it expires. A room that cannot be exported stays.
    #[arg(long, env = "RUANG_ARCHIVE", value_name = "DIR")]
    pub archive: Option<PathBuf>,

    /// Who is told what happens.
    #[command(flatten)]
    pub webhooks: WebhookSettings,

    /// Who may enter.
    #[command(flatten)]
    pub auth: AuthSettings,

    /// Where operators may revoke tokens from other machines. Beyond loopback only with RUANG_ADMIN_TOKEN or
    /// --admin-token-file.
    #[arg(long, env = "RUANG_ADMIN_LISTEN", value_name = "ADDRESS:PORT")]
    pub admin_listen: Option<SocketAddr>,

    /// A file with the credential that callers of --admin-listen give; RUANG_ADMIN_TOKEN may hold it instead.
    #[arg(long, env = "RUANG_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Where /metrics is: `public`, for whoever reaches the server; `admin`, on --admin-listen and admin.sock only; `auto`: on
    /// --admin-listen only if there is one, else for everybody.
    #[arg(long, env = "RUANG_METRICS", value_name = "WHERE", value_enum, default_value_t)]
    pub metrics: MetricsAt,

    /// Which log lines to write: `error`, `warn`, `info`, `debug`, or per module (`ruang::room=debug`).
    #[arg(long, env = "RUANG_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How log lines look.
    #[arg(long, env = "RUANG_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// How many, and how fast.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// How it is reached.
    #[command(flatten)]
    pub front: FrontArgs,
}

/// A store as the operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// The embedded store in a directory.
    File(PathBuf),
    /// Memory of this process.
    Memory,
    /// Redis, which other instances may share.
    Redis(Box<RedisAddress>),
}

impl Store {
    /// For error texts.
    const FORMS: &str = "file:DIR, memory:, redis://HOST[:PORT][/DB], unix:/PATH, \
         redis+sentinel://HOST[:PORT][,…]/NAME, redis+cluster://HOST[:PORT][,…], and rediss… for TLS";

    /// The kind, as in the setting, without the address.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Memory => "memory",
            Self::Redis(address) => address.kind(),
        }
    }

    /// The Redis that the environment names; see [`RedisAddress::from_variables`].
    pub(crate) fn from_variables() -> Result<Option<Self>, String> {
        let address = RedisAddress::from_variables(|name| std::env::var(name).ok())?;
        Ok(address.map(|address| Self::Redis(Box::new(address))))
    }
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", dir)) if !dir.is_empty() => Ok(Self::File(PathBuf::from(dir))),
            Some(("memory", "")) => Ok(Self::Memory),
            Some((scheme, _)) if RedisAddress::SCHEMES.contains(&scheme) => {
                Ok(Self::Redis(Box::new(text.parse()?)))
            }
            // Not repeated in full: store addresses may hold passwords.
            Some((kind, _)) if !matches!(kind, "file" | "memory") => {
                Err(format!("no store is called `{kind}:`; allowed are {}", Self::FORMS))
            }
            _ => Err(format!("allowed are {}", Self::FORMS)),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(dir) => write!(f, "file:{}", dir.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Redis(address) => write!(f, "{address}"),
        }
    }
}

/// How long rooms live; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomTtl(pub Option<Duration>);

impl FromStr for RoomTtl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let ttl = parse_duration(text).map_err(|why| format!("{why}; or `never`"))?;
        if ttl < Duration::from_millis(ROOM_TTL_MS_MIN) {
            return Err(format!("the shortest is {} s; or `never`", ROOM_TTL_MS_MIN / 1000));
        }
        Ok(Self(Some(ttl)))
    }
}

/// The durability that the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// The strongest that the store gives.
    Auto,
    /// In memory is enough.
    Memory,
    /// Synced to the disk, or no start.
    Fsync,
}

impl Wanted {
    /// Whether a store that gives `given` will do.
    #[must_use]
    pub fn is_met_by(self, given: Durability) -> bool {
        self != Self::Fsync || given == Durability::Fsync
    }
}

/// Who is shown metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MetricsAt {
    /// Operators, if they have a listener of their own; else everybody.
    #[default]
    Auto,
    /// Everybody who reaches the server.
    Public,
    /// Operators.
    Admin,
}

impl Config {
    /// Whether everybody who reaches the server is shown metrics.
    #[must_use]
    pub fn has_public_metrics(&self) -> bool {
        match self.metrics {
            MetricsAt::Auto => self.admin_listen.is_none(),
            MetricsAt::Public => true,
            MetricsAt::Admin => false,
        }
    }
}

/// A duration as settings write it, such as `30s`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| "a number and a unit are expected, such as 30s".to_owned())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("the unit is one of ms, s, m, h, not `{unit}`")),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

pub(crate) fn parse_retention(text: &str) -> Result<Retention, String> {
    let (age, bytes) = text.split_once(',').ok_or_else(|| {
        "a duration, a comma and a number of bytes are expected, such as 24h,64MiB".to_owned()
    })?;
    let age = parse_duration(age)?;
    Ok(Retention { age_ms: crate::clock::in_ms(age), bytes: parse_bytes(bytes)? })
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| "a number and a unit are expected, such as 64MiB".to_owned())?;
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1_u64 << 30,
        _ => return Err(format!("the unit is one of B, KiB, MiB, GiB, not `{unit}`")),
    };
    number.checked_mul(unit).ok_or_else(|| "that is too much".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [O1] A bad setting is refused with what is allowed, and without its secret part.
    #[test]
    fn stores_parse() {
        assert_eq!("file:./x".parse(), Ok(Store::File("./x".into())));
        assert_eq!("memory:".parse(), Ok(Store::Memory));
        let redis = "redis+cluster://:secret@a,b:2".parse::<Store>().unwrap();
        assert_eq!(
            (redis.kind(), redis.to_string().as_str()),
            ("redis+cluster", "redis+cluster://a:6379,b:2")
        );
        for bad in ["redis://:secret@host/x", "mysql://:secret@host/"] {
            let error = bad.parse::<Store>().unwrap_err();
            println!("{error}");
            assert!(error.contains("redis://") && !error.contains("secret"), "{error}");
        }
        let store: Store = "redis://:secret@host/2".parse().unwrap();
        assert_eq!((store.kind(), store.to_string().as_str()), ("redis", "redis://host:6379/2"));
        assert!(!format!("{store:?}").contains("secret"));
        for bad in ["redis://:secret@host/x", "rediss://secret@", "unix:secret", "reddis://:secret@host"] {
            let error = bad.parse::<Store>().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!("reddis://host".parse::<Store>().unwrap_err().contains("file:DIR"));
        assert!("file:".parse::<Store>().is_err() && "x".parse::<Store>().is_err());
    }

    #[test]
    fn durations_parse() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1500ms"), Ok(Duration::from_millis(1500)));
        for bad in ["", "s", "10", "10d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    /// [O1] A retention has an age and a size; each part says what is wrong with it.
    #[test]
    fn retentions_parse() {
        let good = Retention { age_ms: 24 * 3_600_000, bytes: 64 << 20 };
        assert_eq!((parse_retention("24h,64MiB"), Retention::default()), (Ok(good), good));
        assert_eq!(parse_retention("0s,0B"), Ok(Retention { age_ms: 0, bytes: 0 }));
        for (bad, word) in [
            ("24h", "comma"),
            ("24h,", "number"),
            (",1B", "number"),
            ("24h,64MB", "KiB"),
            ("24d,64MiB", "ms, s, m, h"),
            ("24h,99999999999GiB", "too much"),
        ] {
            let error = parse_retention(bad).unwrap_err();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }

    /// [H20] A room's life is a length of time, or `never`; not so short that it would go in a break.
    #[test]
    fn lives_parse() {
        assert_eq!("24h".parse(), Ok(RoomTtl(Some(Duration::from_secs(86_400)))));
        assert_eq!("60s".parse(), Ok(RoomTtl(Some(Duration::from_secs(60)))));
        assert_eq!("never".parse(), Ok(RoomTtl(None)));
        for bad in ["", "0s", "59s", "ever", "Never", "-1h", "24"] {
            let error = bad.parse::<RoomTtl>().unwrap_err();
            println!("{bad:?}: {error}");
            assert!(error.contains("never"));
        }
    }

    /// [O2] `fsync` is never met by memory.
    #[test]
    fn durability_is_never_pretended() {
        assert!(Wanted::Auto.is_met_by(Durability::Memory));
        assert!(!Wanted::Fsync.is_met_by(Durability::Memory));
        assert!(Wanted::Fsync.is_met_by(Durability::Fsync));
    }
}

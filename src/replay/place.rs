//! A place in a room's log as an operator types it, and where that is in a given room.
//!
//! | typed | means |
//! |---|---|
//! | `1795000000000-12` | the record of this id |
//! | `#12`, `12` | the record of this counter |
//! | `2026-11-23T10:00Z` | a moment, in UTC or with an offset |
//! | `-15m`, `-1h30m` | that long before now |
//! | `head` | the newest record |
//! | `snapshot` | what the newest snapshot covers |

use std::fmt;
use std::str::FromStr;

use crate::ids::{Position, RoomName};
use crate::log::{Head, Log, LogError};

/// A place as it was typed. Pure; [`resolve`] finds it in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A full id: both numbers must fit the record.
    Id(Position),
    /// A counter; 0 stands before the first record.
    Seq(u64),
    /// A moment, in ms since 1970.
    Time(u64),
    /// Milliseconds before now.
    Ago(u64),
    /// The newest record.
    Head,
    /// What the newest snapshot covers.
    Snapshot,
}

/// Why a text is not a place. One line that says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Nothing that we know begins like this.
    #[error(
        "a position is an id (1795000000000-12), a counter (#12), a time (2026-11-23T10:00Z), -15m, head or snapshot"
    )]
    Unknown,
    /// A day or a time of day that does not say where on Earth.
    #[error("a time needs its zone, such as 2026-11-23T10:00Z (Z is UTC)")]
    NoZone,
    /// The date or the time does not exist.
    #[error("no such time: {0}")]
    NoSuchTime(String),
    /// `-15x`.
    #[error("after the minus stand numbers with ms, s, m, h or d, such as -15m or -1h30m")]
    BadAgo,
    /// A number above what fits.
    #[error("the number is too large")]
    TooLarge,
}

/// Why a place is not in a room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotThere {
    /// The log cannot be asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A counter above the newest record's.
    #[error("the room has no record #{asked}: its newest is #{last}")]
    Above {
        /// What was asked for.
        asked: u64,
        /// The newest.
        last: u64,
    },
    /// The record of that counter has another id.
    #[error("the room has no record {asked}: #{} is {found}", asked.seq)]
    OtherId {
        /// What was asked for.
        asked: Position,
        /// What stands there.
        found: Position,
    },
    /// `snapshot` was asked for.
    #[error("the room has no snapshot yet")]
    NoSnapshot,
}

/// Which record a place between two records stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The last one that is not after it: where to stop.
    Before,
    /// The first one that is not before it: where to begin.
    After,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        match text {
            "head" => return Ok(Self::Head),
            "snapshot" => return Ok(Self::Snapshot),
            _ => {}
        }
        if let Some(ago) = text.strip_prefix('-') {
            return parse_ago(ago).map(Self::Ago);
        }
        let counter = text.strip_prefix('#').unwrap_or(text);
        if is_number(counter) {
            return number(counter).map(Self::Seq);
        }
        if let Some((ms, seq)) = text.split_once('-')
            && is_number(ms)
            && is_number(seq)
        {
            return Ok(Self::Id(Position { ms: number(ms)?, seq: number(seq)? }));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            parse_time(text)
        } else {
            Err(PlaceError::Unknown)
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(position) => write!(f, "{position}"),
            Self::Seq(seq) => write!(f, "#{seq}"),
            Self::Time(ms) => f.write_str(&utc(*ms)),
            Self::Ago(ms) => write!(f, "-{ms}ms"),
            Self::Head => f.write_str("head"),
            Self::Snapshot => f.write_str("snapshot"),
        }
    }
}

/// Milliseconds since 1970 as people read them: `2026-11-23T10:00:00.000Z`. Beyond the year 9999
/// it is the bare number.
#[must_use]
pub fn utc(ms: u64) -> String {
    let timestamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| format!("{ms} ms"), |timestamp| format!("{timestamp:.3}"))
}

/// Reads an id, `<ms>-<seq>`, as [`Position`] prints it.
#[must_use]
pub fn parse_id(text: &str) -> Option<Position> {
    match text.parse() {
        Ok(Place::Id(position)) => Some(position),
        _ => None,
    }
}

/// The counter of the record that a place stands for in a room; 0: before the first one. Counters of
/// trimmed records are answered too: whoever walks from there finds out.
///
/// # Errors
/// [`NotThere`] says what the room has instead.
pub async fn resolve(
    log: &dyn Log,
    (room, head): (&RoomName, &Head),
    place: Place,
    side: Side,
    now_ms: u64,
) -> Result<u64, NotThere> {
    let last = head.last.seq;
    match place {
        Place::Head => Ok(last),
        Place::Snapshot => {
            head.snapshots.last().map(|snapshot| snapshot.through.seq).ok_or(NotThere::NoSnapshot)
        }
        Place::Seq(asked) if asked > last => Err(NotThere::Above { asked, last }),
        Place::Seq(asked) => Ok(asked),
        Place::Id(asked) if asked.seq > last => Err(NotThere::Above { asked: asked.seq, last }),
        Place::Id(asked) => match position_of(log, room, asked.seq).await? {
            Some(found) if found != asked => Err(NotThere::OtherId { asked, found }),
            _ => Ok(asked.seq),
        },
        Place::Time(ms) => at_time(log, room, head, ms, side).await,
        Place::Ago(ago) => at_time(log, room, head, now_ms.saturating_sub(ago), side).await,
    }
}

/// Finds a moment by halving: the milliseconds of a room never go back.
async fn at_time(log: &dyn Log, room: &RoomName, head: &Head, ms: u64, side: Side) -> Result<u64, NotThere> {
    // Everything up to `low` is before the moment, everything from `high` on is not.
    let (mut low, mut high) = (head.base, head.last.seq + 1);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        let is_before = match position_of(log, room, middle).await? {
            Some(position) if side == Side::Before => position.ms <= ms,
            Some(position) => position.ms < ms,
            None => true, // trimmed meanwhile
        };
        if is_before { low = middle } else { high = middle }
    }
    Ok(if side == Side::Before { low } else { high })
}

async fn position_of(log: &dyn Log, room: &RoomName, seq: u64) -> Result<Option<Position>, LogError> {
    let Some(before) = seq.checked_sub(1) else { return Ok(None) };
    let read = log.read(room, before, 1).await?;
    Ok(read.first().map(|record| record.position()).filter(|position| position.seq == seq))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str) -> Result<u64, PlaceError> {
    text.parse().map_err(|_| PlaceError::TooLarge)
}

fn parse_ago(mut text: &str) -> Result<u64, PlaceError> {
    let mut sum = 0_u64;
    if text.is_empty() {
        return Err(PlaceError::BadAgo);
    }
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(PlaceError::BadAgo)?;
        let rest = &text[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let ms = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(PlaceError::BadAgo),
        };
        if digits == 0 {
            return Err(PlaceError::BadAgo);
        }
        let part = number(&text[..digits])?.checked_mul(ms).ok_or(PlaceError::TooLarge)?;
        sum = sum.checked_add(part).ok_or(PlaceError::TooLarge)?;
        text = &rest[unit..];
    }
    Ok(sum)
}

fn parse_time(text: &str) -> Result<Place, PlaceError> {
    match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => {
            let ms = u64::try_from(timestamp.as_millisecond());
            ms.map(Place::Time).map_err(|_| PlaceError::NoSuchTime("it is before 1970".to_owned()))
        }
        Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => Err(PlaceError::NoZone),
        Err(error) if text.contains('-') => Err(PlaceError::NoSuchTime(error.to_string())),
        Err(_) => Err(PlaceError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Place, PlaceError> {
        text.parse()
    }

    /// [O10] Ids, counters, times, ages and names mean the same everywhere.
    #[test]
    fn places_are_read() {
        let at = |text: &str| place(text).unwrap();
        assert_eq!(at("1795000000000-12"), Place::Id(Position { ms: 1_795_000_000_000, seq: 12 }));
        assert_eq!((at("#12"), at("12"), at("0")), (Place::Seq(12), Place::Seq(12), Place::Seq(0)));
        assert_eq!((at("head"), at("snapshot")), (Place::Head, Place::Snapshot));
        assert_eq!((at("-15m"), at("-1h30m")), (Place::Ago(900_000), Place::Ago(5_400_000)));
        assert_eq!(
            (at("-2d"), at("-500ms"), at("-1s")),
            (Place::Ago(172_800_000), Place::Ago(500), Place::Ago(1_000))
        );
        let ten = Place::Time(1_795_428_000_000);
        for text in [
            "2026-11-23T10:00Z",
            "2026-11-23T10:00:00Z",
            "2026-11-23T11:00+01:00",
            "2026-11-23T10:00:00.000Z",
        ] {
            assert_eq!(at(text), ten, "{text}");
        }
        assert_eq!(utc(1_795_428_000_000), "2026-11-23T10:00:00.000Z");
        assert_eq!(utc(u64::MAX), format!("{} ms", u64::MAX));
        for text in ["1795000000000-12", "#12", "head", "snapshot", "2026-11-23T10:00:00.000Z", "-5ms"] {
            assert_eq!(at(text).to_string(), text);
        }
    }

    /// [O10] What is no place is refused with what would be one.
    #[test]
    fn other_texts_are_refused() {
        for text in ["", "#", "Head", "yesterday", "12x", "x-1", "#-1", "1.5"] {
            assert_eq!(place(text), Err(PlaceError::Unknown), "{text:?}");
        }
        for text in ["2026-11-23T10:00", "2026-11-23"] {
            assert_eq!(place(text), Err(PlaceError::NoZone), "{text:?}");
        }
        for text in ["2026-13-23T10:00Z", "2026-11-23T25:00Z", "1969-12-31T23:59Z", "12-34-x"] {
            assert!(matches!(place(text), Err(PlaceError::NoSuchTime(_))), "{text:?}: {:?}", place(text));
        }
        for text in ["-", "-15", "-m", "-15y", "-15m3", "-1-2"] {
            assert_eq!(place(text), Err(PlaceError::BadAgo), "{text:?}");
        }
        for text in ["18446744073709551616", "-99999999999999999999s", "1-18446744073709551616"] {
            assert_eq!(place(text), Err(PlaceError::TooLarge), "{text:?}");
        }
        for error in [place("x").unwrap_err(), place("2026-13-01T00:00Z").unwrap_err()] {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

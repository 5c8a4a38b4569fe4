//! `ruang replay show`: the records of a room, one a line, with what each of them touches.

mod reader;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::effect::{Effect, effect};
use super::output::{Cell, Line, Output, Paint, Table};
use super::place::{Place, Side, resolve, utc};
use super::{Done, ReplayError, open_room};
use crate::history::{self, Folded};
use crate::ids::RoomName;
use crate::limits::{FOLLOW_MS, REPLAY_PAGE_RECORDS};
use crate::log::Log;
use crate::log::record::{Kind, StoredRecord};
use reader::Reader;

/// Which records to show.
#[derive(Debug, Clone, Default)]
pub struct ShowOptions {
    /// Begin at the first record that is not before this; else at the oldest that is there.
    pub from: Option<Place>,
    /// End at the last record that is not after this; else at the newest.
    pub to: Option<Place>,
    /// At most so many: the first ones if `from` is given, else the last ones.
    pub count: Option<usize>,
    /// Only records of this kind.
    pub kind: Option<Kind>,
    /// Go on with what comes.
    pub follow: bool,
}

/// A record.
#[derive(Debug, Serialize)]
struct RecordLine {
    id: String,
    seq: u64,
    time: String,
    kind: String,
    user: Option<String>,
    session: Option<u64>,
    role: String,
    relayed_by: Option<String>,
    /// Whose edit the record takes back: of compensations, where it is known.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    takes_back_of: Option<String>,
    /// The kind of the room, as this record repeats it; the genesis record's counts.
    room_kind: &'static str,
    /// Sixteen hex digits.
    instance: String,
    /// Of the update.
    bytes: usize,
    #[serde(flatten)]
    effect: Effect,
}

impl Line for RecordLine {
    const TYPE: &'static str = "record";
}

/// A record whose bytes do not hold.
#[derive(Debug, Serialize)]
struct DamagedLine {
    id: String,
    seq: u64,
    time: String,
    why: String,
}

impl Line for DamagedLine {
    const TYPE: &'static str = "damaged";
}

/// Records that are not shown because they are gone.
#[derive(Debug, Serialize)]
struct JumpLine {
    /// The last record before them.
    after: u64,
    /// The first record behind them.
    next: u64,
    why: &'static str,
}

impl Line for JumpLine {
    const TYPE: &'static str = "jump";
}

enum Shown {
    Record(Box<RecordLine>),
    Damaged(DamagedLine),
    Jump(JumpLine),
}

/// Shows records of a room.
///
/// # Errors
/// [`ReplayError`].
pub async fn show(
    log: &Arc<dyn Log>,
    room: &RoomName,
    options: &ShowOptions,
    now_ms: u64,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let head = open_room(log, room).await?;
    let to = match options.to {
        Some(place) => resolve(&**log, (room, &head), place, Side::Before, now_ms).await?,
        None => head.last.seq,
    };
    let from = match options.from {
        Some(place) => resolve(&**log, (room, &head), place, Side::After, now_ms).await?,
        None => match options.count {
            // With a kind, only looking at all of them finds the last ones.
            Some(count) if options.kind.is_none() => {
                to.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX)) + 1
            }
            _ => 0,
        },
    };
    let from = from.max(head.base + 1);
    let mut printer = Printer::new(options);
    let mut reader = Reader::new(log, room, &head, from, to, options.follow).await?;
    while !printer.is_full() {
        let Some(shown) = reader.next().await? else { break };
        printer.take(shown, output)?;
    }
    printer.flush(output)?;
    while options.follow && !printer.is_full() {
        match reader.more().await {
            Ok(true) => {}
            Ok(false) => {
                sleep(Duration::from_millis(FOLLOW_MS)).await;
                continue;
            }
            Err(error) => return Err(error),
        }
        while let Some(shown) = reader.next().await? {
            printer.take(shown, output)?;
            if printer.is_full() {
                break;
            }
        }
        printer.flush(output)?;
    }
    Ok(Done::Good)
}

fn shown(stored: &StoredRecord, outcome: Option<(&Folded, &history::Fold)>) -> Shown {
    let position = stored.position();
    let (id, seq, time) = (position.to_string(), position.seq, utc(position.ms));
    let damaged = |why: String| Shown::Damaged(DamagedLine { id: id.clone(), seq, time: time.clone(), why });
    let record = match stored {
        StoredRecord::Damaged { why, .. } => return damaged(why.clone()),
        StoredRecord::Intact { record, .. } => record,
    };
    match record.metadata() {
        Err(error) => damaged(error.to_string()),
        Ok(metadata) => Shown::Record(Box::new(RecordLine {
            id,
            seq,
            time,
            kind: record.kind().to_string(),
            user: metadata.user,
            session: metadata.session.map(|session| session.0),
            role: format!("{:?}", metadata.role).to_lowercase(),
            takes_back_of: metadata.relayed_by.clone().filter(|_| record.kind() == Kind::Compensation),
            relayed_by: metadata.relayed_by,
            room_kind: metadata.room_kind.as_str(),
            instance: format!("{:016x}", metadata.instance.0),
            bytes: record.update().len(),
            effect: effect(record, outcome),
        })),
    }
}

/// Chooses and prints.
struct Printer<'a> {
    options: &'a ShowOptions,
    table: Table,
    rows: Vec<Vec<Cell>>,
    printed: usize,
    /// The last ones so far, if only those are wanted.
    last: VecDeque<Shown>,
}

impl<'a> Printer<'a> {
    fn new(options: &'a ShowOptions) -> Self {
        let table = Table::new(&["id", "time (UTC)", "kind", "who", "instance", "bytes", "effect"]);
        Self { options, table, rows: Vec::new(), printed: 0, last: VecDeque::new() }
    }

    /// Whether the first so many have been printed.
    fn is_full(&self) -> bool {
        self.options.from.is_some() && self.options.count.is_some_and(|count| self.printed >= count)
    }

    fn take(&mut self, shown: Shown, output: &mut Output<'_>) -> Result<(), ReplayError> {
        let wanted = match (&shown, self.options.kind) {
            (_, None) | (Shown::Jump(_), _) => true,
            (Shown::Record(line), Some(kind)) => line.kind == kind.to_string(),
            (Shown::Damaged(_), Some(_)) => false,
        };
        if !wanted {
            return Ok(());
        }
        match self.options.count {
            Some(count) if self.options.from.is_none() && !self.is_past_last() => {
                self.last.push_back(shown);
                if self.last.len() > count {
                    self.last.pop_front();
                }
                Ok(())
            }
            _ => self.print(&shown, output),
        }
    }

    /// The last ones are out: what comes now is followed.
    fn is_past_last(&self) -> bool {
        self.printed > 0
    }

    fn print(&mut self, shown: &Shown, output: &mut Output<'_>) -> Result<(), ReplayError> {
        self.printed += 1;
        if !output.is_json() {
            self.rows.push(row(shown));
            if self.rows.len() >= REPLAY_PAGE_RECORDS {
                self.flush_rows(output)?;
            }
            return Ok(());
        }
        match shown {
            Shown::Record(line) => output.line(&**line)?,
            Shown::Damaged(line) => output.line(line)?,
            Shown::Jump(line) => output.line(line)?,
        }
        Ok(())
    }

    fn flush(&mut self, output: &mut Output<'_>) -> Result<(), ReplayError> {
        for shown in std::mem::take(&mut self.last) {
            self.print(&shown, output)?;
        }
        self.flush_rows(output)
    }

    fn flush_rows(&mut self, output: &mut Output<'_>) -> Result<(), ReplayError> {
        if !self.rows.is_empty() {
            output.rows(&mut self.table, &std::mem::take(&mut self.rows))?;
        }
        Ok(())
    }
}

fn row(shown: &Shown) -> Vec<Cell> {
    let short = |id: &str, time: &str, kind: Cell, effect: Cell| {
        let empty = || Cell::plain("");
        vec![Cell::plain(id), Cell::dim(time), kind, empty(), empty(), empty(), effect]
    };
    match shown {
        Shown::Damaged(line) => short(&line.id, &line.time, Cell::alarm("damaged"), Cell::alarm(&line.why)),
        Shown::Jump(line) => {
            let gone = format!("#{} to #{}: {}", line.after + 1, line.next - 1, line.why);
            short("...", "", Cell::alarm("jump"), Cell::alarm(gone))
        }
        Shown::Record(line) => vec![
            Cell::plain(&line.id),
            Cell::dim(&line.time),
            Cell::plain(&line.kind),
            Cell::plain(who(line)),
            Cell::dim(&line.instance[..8]),
            Cell::plain(line.bytes.to_string()),
            match line.effect.paint() {
                Paint::Alarm => Cell::alarm(line.effect.text()),
                Paint::Plain | Paint::Dim => Cell::plain(line.effect.text()),
            },
        ],
    }
}

fn who(line: &RecordLine) -> String {
    let mut who = match (&line.user, line.session) {
        (Some(user), Some(session)) => format!("{user} ({session})"),
        (Some(user), None) => user.clone(),
        (None, Some(session)) => format!("session {session}"),
        (None, None) => line.role.clone(),
    };
    if let Some(offender) = &line.takes_back_of {
        return format!("{who} for {offender}");
    }
    match &line.relayed_by {
        Some(relay) if line.user.as_ref() == Some(relay) => who.push_str(" with others"),
        Some(relay) => who.push_str(&format!(" by {relay}")),
        None => {}
    }
    who
}

/// Kinds by their names, for the command line.
///
/// # Errors
/// The kinds that there are.
pub fn parse_kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.into_iter().find(|kind| kind.to_string() == text);
    known.ok_or_else(|| {
        let names: Vec<String> = Kind::ALL.iter().map(ToString::to_string).collect();
        format!("a kind is one of {}", names.join(", "))
    })
}

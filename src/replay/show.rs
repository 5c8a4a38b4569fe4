//! `ruang replay show`: the records of a room, one a line, with what each of them touches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::effect::{Effect, effect};
use super::output::{Cell, Line, Output, Paint, Table};
use super::place::{Place, Side, resolve, utc};
use super::{Done, ReplayError, open_room};
use crate::history::{self, Folded, OnTrouble, Range, Start, Step, Walk, WalkError};
use crate::ids::RoomName;
use crate::limits::{FOLLOW_MS, REPLAY_PAGE_RECORDS};
use crate::log::record::{Kind, StoredRecord};
use crate::log::{Head, Log};

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

/// The records of a room in their order, folded where that can be begun.
struct Reader<'a> {
    log: &'a Arc<dyn Log>,
    room: &'a RoomName,
    /// The next counter to show.
    next: u64,
    /// The last one; grows when it is followed.
    to: u64,
    follow: bool,
    /// Records that are older than the oldest snapshot can be read, but not folded: no walk yet.
    raw: VecDeque<StoredRecord>,
    raw_until: u64,
    walk: Option<Walk>,
}

impl<'a> Reader<'a> {
    async fn new(
        log: &'a Arc<dyn Log>,
        room: &'a RoomName,
        head: &Head,
        from: u64,
        to: u64,
        follow: bool,
    ) -> Result<Self, ReplayError> {
        let oldest = head.snapshots.first().map_or(u64::MAX, |snapshot| snapshot.through.seq);
        let folds_from = if head.base == 0 { 0 } else { oldest };
        let raw_until = folds_from.max(from - 1);
        let mut reader =
            Self { log, room, next: from, to, follow, raw: VecDeque::new(), raw_until, walk: None };
        if raw_until < from {
            reader.begin_walk().await?;
        }
        Ok(reader)
    }

    /// Folds from here on; if no snapshot can be read either, records are shown as they are.
    async fn begin_walk(&mut self) -> Result<(), ReplayError> {
        let range = Range {
            start: Start::Snapshot { at_most: self.next - 1 },
            until: if self.follow { u64::MAX } else { self.to },
            on_trouble: OnTrouble::SetAside,
        };
        match history::walk(self.log, self.room, range).await {
            Ok(walk) => self.walk = walk,
            Err(WalkError::NoSnapshot { .. } | WalkError::Trimmed { .. }) => self.raw_until = u64::MAX,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The next line, or nothing at the end (for now).
    async fn next(&mut self) -> Result<Option<Shown>, ReplayError> {
        if self.walk.is_none() && self.next > self.raw_until && self.next <= self.to {
            self.begin_walk().await?;
        }
        if self.walk.is_some() { self.next_folded().await } else { self.next_raw().await }
    }

    async fn next_folded(&mut self) -> Result<Option<Shown>, ReplayError> {
        let Some(walk) = self.walk.as_mut() else { return Ok(None) };
        loop {
            match walk.next().await? {
                None => return Ok(None),
                Some(Step::Snapshot(snapshot, _)) => {
                    let through = snapshot.through.seq;
                    if through >= self.next {
                        let jump = JumpLine {
                            after: self.next - 1,
                            next: through + 1,
                            why: "trimmed while they were read",
                        };
                        self.next = through + 1;
                        return Ok(Some(Shown::Jump(jump)));
                    }
                }
                Some(Step::Record(stored, folded, fold)) => {
                    let seq = stored.position().seq;
                    if seq < self.next {
                        continue;
                    }
                    self.next = seq + 1;
                    let outcome = Some((&folded, fold));
                    return Ok(Some(shown(&stored, outcome)));
                }
            }
        }
    }

    async fn next_raw(&mut self) -> Result<Option<Shown>, ReplayError> {
        if self.next > self.to {
            return Ok(None);
        }
        if self.raw.is_empty() {
            self.raw = self.log.read(self.room, self.next - 1, REPLAY_PAGE_RECORDS).await?.into();
        }
        let Some(seq) = self.raw.front().map(|stored| stored.position().seq) else { return Ok(None) };
        if seq > self.next {
            let jump = JumpLine { after: self.next - 1, next: seq, why: "trimmed while they were read" };
            self.next = seq;
            return Ok(Some(Shown::Jump(jump)));
        }
        self.next = seq + 1;
        Ok(self.raw.pop_front().map(|stored| shown(&stored, None)))
    }

    /// Whether there is more by now.
    async fn more(&mut self) -> Result<bool, ReplayError> {
        if let Some(walk) = self.walk.as_mut() {
            return Ok(walk.more().await?);
        }
        self.to = open_room(self.log, self.room).await?.last.seq;
        Ok(self.to >= self.next)
    }
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
            relayed_by: metadata.relayed_by,
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
    if let Some(relay) = &line.relayed_by {
        who.push_str(&format!(" by {relay}"));
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

//! What verbs print: tables for people, one JSON object a line for programs. Data goes to standard output,
//! everything else to standard error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// The version of the NDJSON lines: grows when a field goes away or changes its meaning.
pub const LINES_VERSION: u32 = 1;

/// A line of NDJSON: `{"v":1,"type":…, …}`.
pub trait Line: Serialize {
    /// What the line is about.
    const TYPE: &'static str;
}

/// Where a verb prints to.
pub struct Output<'a> {
    out: &'a mut (dyn Write + Send),
    notes: &'a mut (dyn Write + Send),
    json: bool,
    color: bool,
}

/// One cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    paint: Paint,
}

/// The colours that are used, on terminals only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// Less important.
    Dim,
    /// Something is wrong.
    Alarm,
}

/// The columns of a table. Widths grow with what has been printed, so that a table can go on for ever.
pub struct Table {
    names: &'static [&'static str],
    widths: Vec<usize>,
    head_printed: bool,
}

impl<'a> Output<'a> {
    /// Prints to standard output, in colour if that is a terminal and `NO_COLOR` is not set.
    pub fn new(
        out: &'a mut (dyn Write + Send),
        notes: &'a mut (dyn Write + Send),
        json: bool,
        color: bool,
    ) -> Self {
        Self { out, notes, json, color }
    }

    /// Whether standard output takes colours.
    #[must_use]
    pub fn terminal_takes_color() -> bool {
        io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// Lines of JSON are asked for.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line of JSON.
    ///
    /// # Errors
    /// If nobody takes it.
    pub fn line<L: Line>(&mut self, line: &L) -> io::Result<()> {
        #[derive(Serialize)]
        struct Versioned<'l, L> {
            v: u32,
            #[serde(rename = "type")]
            kind: &'static str,
            #[serde(flatten)]
            line: &'l L,
        }
        let line = Versioned { v: LINES_VERSION, kind: L::TYPE, line };
        let mut text = serde_json::to_string(&line).map_err(io::Error::other)?;
        text.push('\n');
        self.json(&text)
    }

    /// Prints JSON that is written already, on as many lines as it has.
    ///
    /// # Errors
    /// If nobody takes it.
    pub fn json(&mut self, text: &str) -> io::Result<()> {
        self.bytes(in_json(text).as_bytes())
    }

    /// Prints rows of a table, its head first.
    ///
    /// # Errors
    /// If nobody takes them.
    pub fn rows(&mut self, table: &mut Table, rows: &[Vec<Cell>]) -> io::Result<()> {
        for row in rows {
            for (width, cell) in table.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        if !std::mem::replace(&mut table.head_printed, true) {
            let head = table.names.iter().map(|name| Cell::dim(name.to_uppercase()));
            self.row(&table.widths, &head.collect::<Vec<_>>(), &mut text);
        }
        for row in rows {
            self.row(&table.widths, row, &mut text);
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn row(&self, widths: &[usize], cells: &[Cell], text: &mut String) {
        for (index, cell) in cells.iter().enumerate() {
            let last = index + 1 == cells.len();
            let pad = if last { 0 } else { widths[index].saturating_sub(cell.text.chars().count()) + 2 };
            let code = match cell.paint {
                Paint::Dim if self.color => "2",
                Paint::Alarm if self.color => "1;31",
                _ => "",
            };
            if code.is_empty() {
                text.push_str(&cell.text);
            } else {
                text.push_str(&format!("\x1b[{code}m{}\x1b[0m", cell.text));
            }
            text.extend(std::iter::repeat_n(' ', pad));
        }
        let end = text.trim_end_matches(' ').len();
        text.truncate(end);
        text.push('\n');
    }

    /// Prints a sentence as a result; nothing if lines of JSON are asked for.
    ///
    /// # Errors
    /// If nobody takes it.
    pub fn say(&mut self, sentence: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(self.out, "{}", printable(sentence))?;
        self.out.flush()
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    /// If nobody takes them.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Says something on standard error that is no result.
    pub fn note(&mut self, sentence: &str) {
        // Nobody to tell is no failure.
        let _ = writeln!(self.notes, "{}", printable(sentence));
    }
}

impl Table {
    /// A table whose head is not printed yet.
    #[must_use]
    pub fn new(names: &'static [&'static str]) -> Self {
        Self { names, widths: names.iter().map(|name| name.len()).collect(), head_printed: false }
    }

    /// Makes the first column wide enough for texts that are to come.
    pub fn expect<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        self.expect_in(0, texts);
    }

    /// The same for another column.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn expect_in<'t>(&mut self, column: usize, texts: impl Iterator<Item = &'t str>) {
        let widest = texts.map(|text| printable(text).chars().count()).max().unwrap_or(0);
        self.widths[column] = self.widths[column].max(widest);
    }
}

impl Cell {
    /// As it is.
    #[must_use]
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self { text: printable(text.as_ref()), paint: Paint::Plain }
    }

    /// Less important.
    #[must_use]
    pub fn dim(text: impl AsRef<str>) -> Self {
        Self { text: printable(text.as_ref()), paint: Paint::Dim }
    }

    /// Something is wrong.
    #[must_use]
    pub fn alarm(text: impl AsRef<str>) -> Self {
        Self { text: printable(text.as_ref()), paint: Paint::Alarm }
    }
}

/// A text of strangers, on one line and without what a terminal would take for a command.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_command(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same for JSON, which stays the same value: but for line ends, such a character stands in a string, if anywhere.
fn in_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_command(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// What a terminal may take for a command; also the marks that turn the direction of a line around.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes as people read them: `512 B`, `1.4 KiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(color: bool) -> String {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut notes, false, color);
        let mut table = Table::new(&["room", "what"]);
        let row = |room: &str, what: &str| vec![Cell::plain(room), Cell::alarm(what)];
        output.rows(&mut table, &[row("a", "x"), row("longer", "y\x1b[2J\u{202e}")]).unwrap();
        output.rows(&mut table, &[row("b", "")]).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// [O20] Tables have colours on a terminal only, and nothing of a stranger reaches it as a command.
    #[test]
    fn tables_are_plain_text() {
        let expected = "ROOM    WHAT\na       x\nlonger  y\\u{1b}[2J\\u{202e}\nb\n";
        assert_eq!(printed(false), expected);
        let colored = printed(true);
        assert!(colored.contains("\x1b[1;31mx\x1b[0m") && !colored.contains("\x1b[2J"), "{colored:?}");
    }

    /// [O20] Nor does it in JSON, which says the same to who reads it.
    #[test]
    fn lines_are_plain_text() {
        #[derive(Serialize)]
        struct Room<'a> {
            room: &'a str,
        }
        impl Line for Room<'_> {
            const TYPE: &'static str = "room";
        }
        let room = "a\x1b[2J \u{9b}2J \u{7f} \u{202e} é😀\n";
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut notes, true, false);
        output.line(&Room { room }).unwrap();
        output.json(&serde_json::to_string_pretty(&Room { room }).unwrap()).unwrap();
        let text = String::from_utf8(out).unwrap();
        println!("{text}");
        assert!(!text.contains(|c| c != '\n' && is_command(c)), "{text:?}");
        for value in serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>() {
            assert_eq!(value.unwrap()["room"], room);
        }
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!((size(0), size(1023), size(1024)), ("0 B".into(), "1023 B".into(), "1.0 KiB".into()));
        assert_eq!((size(3 << 20), size(1 << 40)), ("3.0 MiB".into(), "1.0 TiB".into()));
    }
}

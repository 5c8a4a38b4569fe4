//! A board as a table: one row for each card.
//!
//! RFC 4180, with a byte order mark, since spreadsheets take UTF-8 for something else without one. A text that a
//! spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"): who opens the file must
//! not run what somebody wrote on a card. Where the list's separator is a semicolon this table is cut at semicolons, tabs and
//! line breaks, also within quotes, so what stands behind one may be a cell of its own: it gets the apostrophe, too.

use super::super::view::RetroRoomState;
use super::{Card, layout, visible};

/// Behind which another cell may begin.
const CUTS: [char; 4] = [';', '\t', '\r', '\n'];

const HEAD: &str = "id,column,group,text,author,created,votes,x,y";

/// The table. `time` writes a time, given in milliseconds since 1970.
#[must_use]
pub fn csv(board: &RetroRoomState, time: impl Fn(u64) -> String) -> String {
    let mut out = format!("\u{FEFF}{HEAD}\r\n");
    for stack in layout(board) {
        for card in &stack.cards {
            row(&mut out, board, (stack.title, card), &time);
        }
    }
    out
}

fn row(
    out: &mut String,
    board: &RetroRoomState,
    (column, card): (Option<&str>, &Card<'_>),
    time: &impl Fn(u64) -> String,
) {
    let Card { id, item, group, votes } = card;
    cell(out, id);
    // The id of a column that is gone says more than nothing.
    for text in [
        column.or(item.column.as_deref()).unwrap_or_default(),
        group.map(|(_, group)| group.title.as_str()).unwrap_or_default(),
        &item.text,
        item.author.as_deref().unwrap_or_default(),
        &item.created_at.map(time).unwrap_or_default(),
    ] {
        out.push(',');
        cell(out, text);
    }
    // Numbers are ours: a minus in front of one is no formula.
    let position = board.item_positions.get(id);
    let at = |at: Option<f64>| at.map_or_else(String::new, |at| at.to_string());
    let (x, y) = (at(position.map(|position| position.x)), at(position.map(|position| position.y)));
    out.push_str(&format!(",{votes},{x},{y}\r\n"));
}

fn cell(out: &mut String, text: &str) {
    let is_quoted =
        text.contains([',', '"']) || text.contains(CUTS) || text != text.trim() || is_formula(text);
    if is_quoted {
        out.push('"');
    }
    for (at, piece) in text.split_inclusive(CUTS).enumerate() {
        let is_run = if at == 0 { is_formula(text) } else { begins_formula(piece) };
        if is_run {
            out.push('\'');
        }
        quoted(out, piece);
    }
    if is_quoted {
        out.push('"');
    }
}

/// Text as it stands within quotes.
fn quoted(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(|character| character == '"' || visible(character) != character) {
        out.push_str(&rest[..at]);
        let Some(character) = rest[at..].chars().next() else { break };
        out.push(visible(character));
        if character == '"' {
            out.push('"');
        }
        rest = &rest[at + character.len_utf8()..];
    }
    out.push_str(rest);
}

/// Whether a spreadsheet may run a text: by its first character, or the first that is no space. Some take the wide forms
/// for the narrow ones.
fn is_formula(text: &str) -> bool {
    text.starts_with(['\t', '\r', '\n']) || begins_formula(text)
}

/// Behind quotes, too: where a cell is cut the ones around it do not count.
fn begins_formula(text: &str) -> bool {
    let is_passed = |character: char| character.is_whitespace() || character.is_control() || character == '"';
    text.trim_start_matches(is_passed).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [B46] Whatever stands on a card is one cell, and none that a spreadsheet runs.
    #[test]
    fn a_text_is_one_cell_and_no_formula() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("  =1+1", "\"'  =1+1\""),
            ("+49 30", "\"'+49 30\""),
            ("-2", "\"'-2\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("＝1+1", "\"'＝1+1\""),
            ("\t=x", "\"'\t'=x\""),
            ("a;b", "\"a;b\""),
            ("a\tb", "\"a\tb\""),
            ("a;=1+1", "\"a;'=1+1\""),
            ("a; =1;b;@x", "\"a;' =1;b;'@x\""),
            ("a;\"=1\"", "\"a;'\"\"=1\"\"\""),
            ("\"=1\"", "\"'\"\"=1\"\"\""),
            ("a\t-2", "\"a\t'-2\""),
            ("a\r\n＝1", "\"a\r\n'＝1\""),
            ("a\n- b", "\"a\n'- b\""),
            ("\r\nx", "\"'\r\nx\""),
            ("a=b", "a=b"),
            (" x", "\" x\""),
            ("a\u{0}b\u{1b}[0m", "a\u{FFFD}b\u{FFFD}[0m"),
            ("שלום 🎉", "שלום 🎉"),
        ] {
            let mut out = String::new();
            cell(&mut out, text);
            assert_eq!(out, expected, "{text:?}");
        }
    }
}

//! A board as Markdown (CommonMark, with GitHub's task lists): columns, in them groups, in those cards.
//!
//! What people have written stands there as text: none of it is a heading, a link, a tag or an instruction to whoever
//! renders it (but for bare addresses, which some renderers make links of). Line breaks are kept; spaces at the beginning of a line are not, since they would mean something.

use std::fmt::Write as _;

use super::super::view::{ActionItem, RetroRoomState};
use super::{Card, Stack, layout, visible, votes_of_groups};

/// The text. `time` writes a time, given in milliseconds since 1970.
#[must_use]
pub fn markdown(board: &RetroRoomState, time: impl Fn(u64) -> String) -> String {
    let mut out = String::new();
    let title = if board.meta.title.trim().is_empty() { "Board" } else { &board.meta.title };
    heading(&mut out, 1, title, None);
    let mut facts = vec![format!("phase: {}", board.meta.phase.as_str())];
    facts.push(counted(board.items.len(), "card", "cards"));
    let people = board.participants.len();
    facts.extend((people > 0).then(|| counted(people, "person", "people")));
    facts.extend(board.last_updated.map(|at| format!("as of {}", time(at))));
    let _ = writeln!(out, "{}", facts.join(", ")); // a string takes all
    let sums = votes_of_groups(board);
    let mut with_cards: Vec<&str> = Vec::new();
    for stack in layout(board) {
        write_stack(&mut out, &stack, &sums, &mut with_cards);
    }
    let bare: Vec<_> = board.groups.iter().filter(|(id, _)| !with_cards.contains(&id.as_str())).collect();
    if !bare.is_empty() {
        heading(&mut out, 2, "Groups without cards", None);
        for (id, group) in bare {
            let votes = sums.get(id.as_str()).copied().unwrap_or_default();
            entry(&mut out, &votes_said(votes), &group.title);
        }
    }
    if !board.action_items.is_empty() {
        heading(&mut out, 2, "Action items", None);
        board.action_items.iter().for_each(|item| action_item(&mut out, item));
    }
    out
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

type Sums<'a> = std::collections::BTreeMap<&'a str, u64>;

fn write_stack<'a>(out: &mut String, stack: &Stack<'a>, sums: &Sums<'_>, with_cards: &mut Vec<&'a str>) {
    match stack.title {
        None if stack.cards.is_empty() => return,
        title => heading(out, 2, title.unwrap_or("Without a column"), None),
    }
    let mut group_before = None;
    for Card { item, group, votes, .. } in &stack.cards {
        let id = group.map(|(id, _)| id);
        if id != group_before {
            match group {
                Some((id, group)) => {
                    heading(out, 3, &group.title, sums.get(id).copied());
                    with_cards.push(id);
                }
                None => heading(out, 3, "Not in a group", None),
            }
            group_before = id;
        }
        entry(out, &votes_said(*votes), &item.text);
    }
}

/// In front of a text: behind it a text from right to left, or one that turns its direction, would mingle with it.
fn votes_said(votes: u64) -> String {
    match votes {
        0 => String::new(),
        1 => "**1 vote:** ".to_owned(),
        votes => format!("**{votes} votes:** "),
    }
}

fn action_item(out: &mut String, item: &ActionItem) {
    let mut about = String::new();
    let said = [item.assignee.as_deref(), item.due.as_deref()];
    let said: Vec<String> =
        said.into_iter().flatten().filter(|said| !said.trim().is_empty()).map(line_of).collect();
    if !said.is_empty() {
        about = format!("**{}:** ", said.join(", "));
    }
    let done = if item.done { 'x' } else { ' ' };
    entry(out, &format!("[{done}] {about}"), &item.text);
}

fn heading(out: &mut String, level: usize, title: &str, votes: Option<u64>) {
    let votes = votes.map(votes_said).unwrap_or_default();
    let title = if title.trim().is_empty() { "Untitled".to_owned() } else { line_of(title) };
    let space = if out.is_empty() || out.ends_with("\n\n") { "" } else { "\n" };
    let _ = writeln!(out, "{space}{} {votes}{title}\n", "#".repeat(level));
}

/// A list's entry; lines after the first belong to it.
fn entry(out: &mut String, before: &str, text: &str) {
    let text = text.replace("\r\n", "\n");
    let mut lines: Vec<&str> = text.split(is_line_end).map(str::trim).collect();
    lines.dedup_by(|b, a| a.is_empty() && b.is_empty());
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| !line.is_empty()).map_or(first, |last| last + 1);
    let lines = &lines[first..last];
    out.push_str("- ");
    out.push_str(before);
    for (at, line) in lines.iter().enumerate() {
        if at > 0 && !line.is_empty() {
            out.push_str("  ");
        }
        // Behind bold text nothing begins, but a line begins with the list's sign alone.
        escape(out, line, at > 0 || before.is_empty());
        // A break, where a line follows and not a paragraph.
        if !line.is_empty() && lines.get(at + 1).is_some_and(|next| !next.is_empty()) {
            out.push('\\');
        }
        out.push('\n');
    }
    if lines.is_empty() {
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn line_of(text: &str) -> String {
    let mut out = String::new();
    escape(&mut out, text.trim(), true);
    out
}

/// Writes text so that it is read as text.
fn escape(out: &mut String, line: &str, begins: bool) {
    let mut rest = line;
    if begins {
        // What a list, a heading's underline or a rule begins with.
        let number = line.trim_start_matches(|character: char| character.is_ascii_digit());
        if line.starts_with(['-', '+', '=', ':']) {
            out.push('\\');
        } else if number.len() < line.len() && number.starts_with(['.', ')']) {
            out.push_str(&line[..line.len() - number.len()]);
            out.push('\\');
            rest = number;
        }
    }
    while let Some(at) = rest.find(is_special) {
        out.push_str(&rest[..at]);
        let Some(character) = rest[at..].chars().next() else { break };
        if character.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(if is_line_end(character) { ' ' } else { visible(character) });
        rest = &rest[at + character.len_utf8()..];
    }
    out.push_str(rest);
}

/// What means something wherever it stands, or is not to be seen.
fn is_special(character: char) -> bool {
    matches!(character, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '#' | '|' | '~' | '$' | '!')
        || is_line_end(character)
        || visible(character) != character
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(before: &str, text: &str) -> String {
        let mut out = String::new();
        entry(&mut out, before, text);
        out
    }

    /// [B46] What people write is read as text, in one entry of the list, whatever it looks like.
    #[test]
    fn text_stays_text() {
        for (text, expected) in [
            ("plain", "- plain\n"),
            ("", "-\n"),
            (" \n\n ", "-\n"),
            ("# no heading", "- \\# no heading\n"),
            ("[a](javascript:x)", "- \\[a\\](javascript:x)\n"),
            ("<script>&amp;", "- \\<script\\>\\&amp;\n"),
            ("- x\n+ y\n=== z", "- \\- x\\\n  \\+ y\\\n  \\=== z\n"),
            ("1. one\n12) two\n3 three", "- 1\\. one\\\n  12\\) two\\\n  3 three\n"),
            ("a\n\n\n    b\r\nc", "- a\n\n  b\\\n  c\n"),
            ("[x] done", "- \\[x\\] done\n"),
            ("```\ncode", "- \\`\\`\\`\\\n  code\n"),
            ("a\u{2028}b\u{0}", "- a\\\n  b\u{FFFD}\n"),
            ("שלום 🎉", "- שלום 🎉\n"),
            ("ends with \\", "- ends with \\\\\n"),
        ] {
            assert_eq!(written("", text), expected, "{text:?}");
        }
        assert_eq!(written(&votes_said(2), "- x"), "- **2 votes:** - x\n");
        assert_eq!(written("[x] ", ""), "- [x]\n");
    }
}

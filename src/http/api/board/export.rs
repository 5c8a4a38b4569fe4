//! A room as a file: all that its log holds, or the board that it holds, for programs, people and spreadsheets.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;

use super::people;
use super::show::{json_of, of_document};
use crate::board::export::{csv, markdown};
use crate::board::view::RetroRoomState;
use crate::caller::Role;
use crate::document::Document;
use crate::http::App;
use crate::http::api::answer::{self, JSON};
use crate::http::api::request::{Asked, Format, in_time};
use crate::http::api::{ApiError, log};
use crate::ids::{Position, RoomName};
use crate::limits::BOARD_FILE_NAME_BYTES_MAX;
use crate::replay::place::utc;

const MARKDOWN: &str = "text/markdown; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";

/// `GET …/export`: without a format all that the log holds; else the board.
pub(in crate::http::api) async fn export(
    State(app): State<Arc<App>>,
    asked: Asked,
) -> Result<Response, ApiError> {
    asked.needs(Role::Viewer)?;
    let (format, media_type, ending) = match asked.query.format {
        None => return log::export(&app, &asked).await,
        Some(Format::Update) => {
            return Err(ApiError::BadQuery("exports have the formats json, md and csv".to_owned()));
        }
        Some(format @ Format::Json) => (format, JSON, "json"),
        Some(format @ Format::Md) => (format, MARKDOWN, "md"),
        Some(format @ Format::Csv) => (format, CSV, "csv"),
    };
    let find = |position| asked.knows(position).then_some((position, None));
    let make = move |position: Position, document: &Document, wrote| {
        (position, Some(file(format, position, document, &wrote)))
    };
    let (position, file) = in_time(of_document(&app, &asked.room, find, make)).await?;
    let Some(file) = file else { return Ok(answer::not_modified(position)) };
    let mut response = answer::bytes(&app, media_type, Some(position), file).await?;
    let disposition = HeaderValue::from_str(&attachment(&asked.room, ending));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition.expect("ASCII only"));
    Ok(response)
}

/// The file's bytes. Heavy.
fn file(format: Format, position: Position, document: &Document, wrote: &people::Wrote) -> Bytes {
    let state = RetroRoomState::as_of(document.doc(), wrote, position.ms);
    match format {
        Format::Csv => csv(&state, utc).into(),
        Format::Md => markdown(&state, utc).into(),
        _ => json_of(&state).into(),
    }
}

/// A file's name that says of which room it is, and means nothing else to any system: letters and digits of the room's name,
/// behind a word.
fn attachment(room: &RoomName, ending: &str) -> String {
    let is_sign = |character| matches!(character, '-' | '.');
    let name = room.as_str();
    let plain =
        name.replace(|character: char| !character.is_ascii_alphanumeric() && !is_sign(character), "_");
    let wide = name.replace(|character: char| !character.is_alphanumeric() && !is_sign(character), "_");
    let mut encoded = String::new();
    for byte in cut(&wide).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // a string takes all
        }
    }
    let plain = cut(&plain);
    format!("attachment; filename=\"board-{plain}.{ending}\"; filename*=UTF-8''board-{encoded}.{ending}")
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(BOARD_FILE_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [B46] The name of a file is a room's, and no path, no header and no command.
    #[test]
    fn file_names_are_tame() {
        for (room, expected) in [
            ("retro", "filename=\"board-retro.md\"; filename*=UTF-8''board-retro.md"),
            ("../a\\b", "filename=\"board-.._a_b.md\"; filename*=UTF-8''board-.._a_b.md"),
            ("a\"; b", "filename=\"board-a___b.md\"; filename*=UTF-8''board-a___b.md"),
            ("é房", "filename=\"board-__.md\"; filename*=UTF-8''board-%C3%A9%E6%88%BF.md"),
            ("a\u{202e}dm", "filename=\"board-a_dm.md\"; filename*=UTF-8''board-a_dm.md"),
        ] {
            let room = RoomName::parse(room).unwrap();
            assert_eq!(attachment(&room, "md"), format!("attachment; {expected}"));
        }
        let long = RoomName::parse(&"房".repeat(42)).unwrap();
        assert!(attachment(&long, "csv").len() < 400);
    }
}

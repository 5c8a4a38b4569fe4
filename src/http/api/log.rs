//! What a room's log holds: its records, a page at a time, and all of it as a file.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::ApiError;
use super::answer::{self, JSON, LINES, OCTETS, Reader};
use super::request::{Asked, in_time};
use crate::caller::Role;
use crate::http::App;
use crate::limits::{API_LOG_RECORDS, API_LOG_RECORDS_MAX, API_PIECE_BYTES};
use crate::log::Head;
use crate::log::record::StoredRecord;
use crate::replay::export;
use crate::replay::place::{self, Place, Side, utc};

/// `GET …/log`: the records behind `after`, oldest first; as one JSON object, or one line each.
pub(super) async fn records(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Viewer)?;
    let count = asked.query.count.unwrap_or(API_LOG_RECORDS).clamp(1, API_LOG_RECORDS_MAX);
    let after: Option<Place> = asked.query.after.as_deref().map(str::parse).transpose()?;
    let (head, records) = in_time(async {
        // A record may be a whole document.
        let _share = app.api.documents.share(asked.address).await?;
        let head = app.log.open(&asked.room).await?.ok_or(ApiError::NoRoom)?;
        let after = match after {
            None => head.base,
            Some(after) => {
                let now_ms = app.rooms.now().wall_ms;
                place::resolve(&*app.log, (&asked.room, &head), after, Side::Before, now_ms).await?
            }
        };
        if after < head.base {
            return Err(ApiError::Trimmed(format!("records up to #{} are gone", head.base)));
        }
        Ok((head, app.log.read(&asked.room, after, count).await?))
    })
    .await?;
    let accepts = asked.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains(LINES)) {
        let lines: String = records.iter().map(|stored| format!("{}\n", about(stored))).collect();
        return answer::bytes(&app, asked.address, LINES, None, lines.into()).await;
    }
    let page = page(&asked, &head, &records);
    answer::bytes(&app, asked.address, JSON, None, page.to_string().into()).await
}

fn page(asked: &Asked, head: &Head, records: &[StoredRecord]) -> Value {
    let last = records.last().map(StoredRecord::position);
    let next = last.filter(|last| last.seq < head.last.seq).map(|last| last.to_string());
    json!({
        "room": asked.room.as_str(),
        "position": head.last.to_string(),
        "trimmed": head.base,
        "records": records.iter().map(about).collect::<Vec<_>>(),
        "next": next,
    })
}

fn about(stored: &StoredRecord) -> Value {
    let position = stored.position();
    let place = json!({ "position": position.to_string(), "time": utc(position.ms) });
    let (mut about, rest) = match stored {
        StoredRecord::Damaged { why, .. } => (place, json!({ "kind": "damaged", "why": why })),
        StoredRecord::Intact { record, .. } => match record.metadata() {
            Ok(metadata) => {
                let rest = json!({
                    "kind": record.kind().to_string(),
                    "user": metadata.user,
                    "role": format!("{:?}", metadata.role).to_lowercase(),
                    "session": metadata.session.map(|session| session.0),
                    "relayed_by": metadata.relayed_by,
                    "bytes": record.update().len(),
                });
                (place, rest)
            }
            Err(error) => (place, json!({ "kind": "damaged", "why": error.to_string() })),
        },
    };
    if let (Some(about), Value::Object(rest)) = (about.as_object_mut(), rest) {
        about.extend(rest);
    }
    about
}

/// `GET …/export`: all that the room's log holds, as a file that `ruang replay import` takes. A failure behind the first
/// byte cuts the connection: what came is no export then.
pub(super) async fn export(app: &Arc<App>, asked: &Asked) -> Result<Response, ApiError> {
    in_time(async { app.log.open(&asked.room).await?.ok_or(ApiError::NoRoom) }).await?;
    let share = app.api.answers.share(asked.address).await?;
    let (mut pipe, mut reader) = tokio::io::duplex(API_PIECE_BYTES);
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(1);
    let (log, room, now_ms) = (Arc::clone(&app.log), asked.room.clone(), app.rooms.now().wall_ms);
    tokio::spawn(async move {
        let _share = share;
        let exporting = async {
            let exported = export::export(&log, &room, &mut pipe, now_ms).await;
            drop(pipe);
            exported
        };
        let mut taking = Reader::new(sender);
        let piping = async {
            loop {
                let mut piece = BytesMut::with_capacity(API_PIECE_BYTES);
                match reader.read_buf(&mut piece).await {
                    Ok(0) => return true,
                    Ok(len) if taking.put(Ok(piece.freeze()), len).await => {}
                    _ => return false,
                }
            }
        };
        // Who does not read ends the export, too.
        let piping = async { if piping.await { Ok(()) } else { Err(None) } };
        let exporting = async { exporting.await.map(drop).map_err(Some) };
        let done = tokio::try_join!(exporting, piping);
        if let Err(Some(error)) = done {
            taking.put(Err(std::io::Error::other(error.to_string())), 0).await;
        }
    });
    let pieces = stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    let name = "attachment; filename=\"room.ruang\"";
    let headers = [(header::CONTENT_TYPE, OCTETS), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

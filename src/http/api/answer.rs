//! Answers: small ones at once; large ones in pieces, so that somebody who does not read keeps a piece in memory and
//! not a document, and that not for long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ApiError;
use super::request::{answer_tag, share};
use crate::http::App;
use crate::ids::Position;
use crate::limits::{API_PIECE_BYTES, API_STALL_MS_MAX};

pub(super) const OCTETS: &str = "application/octet-stream";
pub(super) const JSON: &str = "application/json";
pub(super) const LINES: &str = "application/x-ndjson";

/// Bytes of a type, as of a position if they are of one.
pub(super) async fn bytes(
    app: &Arc<App>,
    media_type: &'static str,
    position: Option<Position>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let length = bytes.len();
    let body = if length <= API_PIECE_BYTES { Body::from(bytes) } else { in_pieces(app, bytes).await? };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(tag) = position.and_then(|position| HeaderValue::from_str(&answer_tag(position)).ok()) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}

/// A small JSON value that is as of a position.
pub(super) fn json_at(position: Position, value: &Value) -> Response {
    let headers = [(ETAG, answer_tag(position)), (CACHE_CONTROL, "no-cache".to_owned())];
    (headers, axum::Json(value)).into_response()
}

/// The client has it already.
pub(super) fn not_modified(position: Position) -> Response {
    (StatusCode::NOT_MODIFIED, [(ETAG, answer_tag(position))]).into_response()
}

/// Each piece is a copy: a slice would keep all of it.
async fn in_pieces(app: &Arc<App>, bytes: Bytes) -> Result<Body, ApiError> {
    let share = share(&app.api.answers).await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _share = share;
        for piece in bytes.chunks(API_PIECE_BYTES) {
            if !put(&sender, Bytes::copy_from_slice(piece)).await {
                return;
            }
        }
    });
    let pieces = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Bytes>| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(piece), receiver))
    });
    Ok(Body::from_stream(pieces))
}

/// Gives a piece to the reader. False if there is none any more, or it takes too long: the answer ends short then, which
/// its length shows.
pub(super) async fn put<T: Send>(sender: &mpsc::Sender<T>, piece: T) -> bool {
    let sent = timeout(Duration::from_millis(API_STALL_MS_MAX), sender.send(piece)).await;
    matches!(sent, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [P11] A reader that takes nothing is given up, and what it was to get is let go.
    #[tokio::test(start_paused = true)]
    async fn readers_who_do_not_read_are_given_up() {
        let (sender, mut receiver) = mpsc::channel(1);
        assert!(put(&sender, 1).await, "there is place for a piece");
        let began = tokio::time::Instant::now();
        assert!(!put(&sender, 2).await);
        assert_eq!(began.elapsed(), Duration::from_millis(API_STALL_MS_MAX));
        assert_eq!(receiver.recv().await, Some(1));
        assert!(put(&sender, 3).await);
        drop(receiver);
        assert!(!put(&sender, 4).await, "nobody is there");
    }
}

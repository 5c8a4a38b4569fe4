//! Answers: small ones at once; large ones in pieces, so that somebody who does not read keeps a piece in memory and
//! not a document, and that not for long. Who reads slowly has as long as the length allows.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::ApiError;
use super::request::answer_tag;
use crate::http::App;
use crate::ids::Position;
use crate::limits::{API_PIECE_BYTES, API_READ_BYTES_PER_S_MIN, API_STALL_MS_MAX};
use crate::throttle::Address;

pub(super) const OCTETS: &str = "application/octet-stream";
pub(super) const JSON: &str = "application/json";
pub(super) const LINES: &str = "application/x-ndjson";

/// Bytes of a type for an address, as of a position if they are of one.
pub(super) async fn bytes(
    app: &App,
    address: Option<Address>,
    media_type: &'static str,
    position: Option<Position>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let length = bytes.len();
    let body =
        if length <= API_PIECE_BYTES { Body::from(bytes) } else { in_pieces(app, address, bytes).await? };
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
async fn in_pieces(app: &App, address: Option<Address>, bytes: Bytes) -> Result<Body, ApiError> {
    let share = app.api.answers.share(address).await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _share = share;
        let mut reader = Reader::new(sender);
        for piece in bytes.chunks(API_PIECE_BYTES) {
            if !reader.put(Bytes::copy_from_slice(piece), piece.len()).await {
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

/// Who takes a large answer, a piece at a time, and how long it has been waited for: not for one piece longer than
/// [`API_STALL_MS_MAX`], and not for all of them longer than that and what they take at [`API_READ_BYTES_PER_S_MIN`]. So
/// nobody keeps one of a few shares for long by reading as slowly as can be.
pub(super) struct Reader<T> {
    sender: mpsc::Sender<T>,
    waited: Duration,
    /// Of all pieces so far, the one that is waited for included.
    bytes: usize,
}

impl<T: Send> Reader<T> {
    pub(super) fn new(sender: mpsc::Sender<T>) -> Self {
        Self { sender, waited: Duration::ZERO, bytes: 0 }
    }

    /// Gives it a piece of so many bytes. False if there is nobody any more, or it takes too long: the answer ends short
    /// then, which its length or its end shows.
    pub(super) async fn put(&mut self, piece: T, bytes: usize) -> bool {
        self.bytes += bytes;
        let stall = Duration::from_millis(API_STALL_MS_MAX);
        let patience = reading_time(self.bytes).saturating_sub(self.waited).min(stall);
        let began = Instant::now();
        let sent = timeout(patience, self.sender.send(piece)).await;
        self.waited += began.elapsed();
        matches!(sent, Ok(Ok(())))
    }
}

/// How long so many bytes may take to be read.
fn reading_time(bytes: usize) -> Duration {
    let ms = (bytes as u64).saturating_mul(1_000) / API_READ_BYTES_PER_S_MIN;
    Duration::from_millis(API_STALL_MS_MAX + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [P11] A reader that takes nothing is given up, and what it was to get is let go.
    #[tokio::test(start_paused = true)]
    async fn readers_who_do_not_read_are_given_up() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut reader = Reader::new(sender);
        assert!(reader.put(1, 1).await, "there is place for a piece");
        let began = Instant::now();
        assert!(!reader.put(2, 1).await);
        assert_eq!(began.elapsed(), Duration::from_millis(API_STALL_MS_MAX));
        assert_eq!(receiver.recv().await, Some(1));
        drop(receiver);
        assert!(!reader.put(4, API_PIECE_BYTES).await, "nobody is there");
    }

    /// [P11] A reader that takes each piece just before it would be given up keeps its share for no longer than a slow
    /// network takes; one that is as fast as that gets everything.
    #[tokio::test(start_paused = true)]
    async fn readers_as_slow_as_can_be_are_given_up() {
        let pieces = 64;
        let slowest = Duration::from_millis(API_STALL_MS_MAX - 1_000);
        let floor = Duration::from_millis(API_PIECE_BYTES as u64 * 1_000 / API_READ_BYTES_PER_S_MIN);
        for (pause, whole) in [(slowest, false), (floor, true)] {
            let (sender, mut receiver) = mpsc::channel(1);
            let taking = tokio::spawn(async move {
                let mut taken = 0;
                loop {
                    tokio::time::sleep(pause).await;
                    if receiver.recv().await.is_none() {
                        return taken;
                    }
                    taken += 1;
                }
            });
            let (mut reader, began) = (Reader::new(sender), Instant::now());
            let mut given = 0;
            while given < pieces && reader.put(given, API_PIECE_BYTES).await {
                given += 1;
            }
            let (took, bound) = (began.elapsed(), reading_time(pieces * API_PIECE_BYTES));
            drop(reader);
            println!("a piece each {pause:?}: {given} of {pieces} in {took:?}, at most {bound:?}");
            assert!(took <= bound, "{took:?}");
            assert_eq!(given == pieces, whole);
            assert!(taking.await.expect("it reads") <= pieces);
        }
    }
}

//! One request to a receiver: a connection of its own, an answer's head within a bounded time, and nothing else of it.
//! No redirect is followed.

use std::pin::pin;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::notice::Notice;
use super::queue::Outcome;
use super::secret::{Secret, signatures};
use super::settings::Target;
use crate::clock::wall_ms;
use crate::limits::REQUEST_HEAD_BYTES_MAX;

/// Sends notices, signed.
pub(super) struct Sender {
    secrets: Vec<Secret>,
    patience: Duration,
}

/// Why a try has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the connection has ended")]
    Ended,
    #[error("no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    #[error("the request cannot be made: {0}")]
    Request(#[from] axum::http::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("the try has panicked")]
    Panicked,
}

impl Sender {
    pub(super) fn new(secrets: Vec<Secret>, patience: Duration) -> Self {
        Self { secrets, patience }
    }

    /// Tells a receiver something once.
    pub(super) async fn send(&self, target: &Target, notice: &Notice) -> (Outcome, Option<SendError>) {
        let answered = timeout(self.patience, self.exchange(target, notice)).await;
        let failed = |error, after_ms| (Outcome::Failed { after_ms }, Some(error));
        match answered.unwrap_or(Err(SendError::Late(self.patience))) {
            Ok((status, _)) if status.is_success() => (Outcome::Taken, None),
            Ok((StatusCode::GONE, _)) => (Outcome::Unwanted, Some(SendError::Status(StatusCode::GONE))),
            Ok((status, headers)) => failed(SendError::Status(status), retry_after_ms(&headers)),
            Err(error) => failed(error, None),
        }
    }

    async fn exchange(&self, target: &Target, notice: &Notice) -> Result<(StatusCode, HeaderMap), SendError> {
        let request = self.request(target, notice)?;
        let stream =
            TcpStream::connect((target.host.as_str(), target.port)).await.map_err(SendError::Connect)?;
        match &target.tls {
            None => converse(stream, request).await,
            Some((connector, server)) => {
                let stream = connector.connect(server.clone(), stream).await.map_err(SendError::Connect)?;
                converse(stream, request).await
            }
        }
    }

    fn request(&self, target: &Target, notice: &Notice) -> Result<Request<Full<Bytes>>, axum::http::Error> {
        let (id, body) = (notice.id(), notice.body());
        let timestamp = (wall_ms() / 1_000).to_string();
        let signatures = signatures(&self.secrets, &id, &timestamp, &body);
        let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = target.uri.authority().map_or("", |authority| authority.as_str());
        Request::post(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("ruang/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures)
            .body(Full::new(Bytes::from(body)))
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, HeaderMap), SendError> {
    let handshake = http1::Builder::new()
        .max_buf_size(REQUEST_HEAD_BYTES_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    let mut connection = pin!(connection);
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It may end with the answer.
        ended = &mut connection => {
            ended?;
            timeout(Duration::ZERO, answer).await.map_err(|_| SendError::Ended)?
        }
    }?;
    let (head, _) = answer.into_parts();
    Ok((head.status, head.headers))
}

/// What a receiver asks for, in seconds; a date is not read.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1000))
}

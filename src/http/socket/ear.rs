//! The reading end of a WebSocket: whole messages, no faster than the server takes them.
//!
//! What is read goes through the stack into a [`Reader`], which holds nothing while nothing is under way. So a quiet
//! connection has no buffer at all, whatever it has carried before. Who sends too fast is not read for a while: then
//! its own network holds it back.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::sleep;

use super::io::{Gone, Source, Unreadable};
use crate::limits::{FRAMES_PER_CHARGE, HOCUSPOCUS_NAME_BYTES_MAX, READ_SCRATCH_BYTES};
use crate::throttle::{Forgiven, Pace, Throttle, Verdict};
use crate::wire::websocket::{Incoming, Reader};

/// See the module.
pub(super) struct Ear {
    source: Source,
    reader: Reader,
    throttle: Arc<Throttle>,
    pace: Pace,
    /// Until when it was slowed last: each time counts once.
    slowed_until_ms: u64,
}

impl Ear {
    /// `read` is what has come already.
    pub(super) fn new(source: Source, read: &[u8], throttle: Arc<Throttle>) -> Self {
        let mut reader = Reader::new(message_bytes_max(throttle.limits().document_bytes));
        reader.feed(read);
        Self { source, reader, throttle, pace: Pace::default(), slowed_until_ms: 0 }
    }

    /// Takes messages that hold up to `bytes`, and no more than a document may have, from now on: with a name in front,
    /// as on a socket of many documents.
    pub(super) fn take_up_to(&mut self, bytes: usize) {
        let bytes = message_bytes_max(bytes.min(self.throttle.limits().document_bytes));
        self.reader.take_up_to(bytes.saturating_add(HOCUSPOCUS_NAME_BYTES_MAX));
    }

    /// Waits until more bytes have come, or until it may be read again. Cancel-safe.
    ///
    /// # Errors
    /// [`Gone`] if none will.
    pub(super) async fn more(&mut self) -> Result<(), Gone> {
        if let Verdict::Pause(ms) = self.verdict() {
            let now_ms = self.throttle.steady_ms();
            if now_ms >= self.slowed_until_ms {
                self.throttle.metrics().sockets_slowed.inc();
            }
            self.slowed_until_ms = now_ms.saturating_add(ms);
            // What has come already is looked at then.
            Box::pin(sleep(Duration::from_millis(ms))).await;
            return Ok(());
        }
        let Self { source, reader, .. } = self;
        match poll_fn(|cx| poll_fill(source, reader, cx)).await {
            Ok(0) => Err(Gone::Left),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The next message, if it has come already.
    pub(super) fn next_now(&mut self) -> Option<Result<Incoming, Unreadable>> {
        loop {
            if let Some(next) = self.next_read() {
                return Some(next);
            }
            if self.is_held_back() {
                return None;
            }
            if let Err(gone) = self.more().now_or_never()? {
                return Some(Err(gone.into()));
            }
        }
    }

    /// The next of the messages that have been read already.
    pub(super) fn next_read(&mut self) -> Option<Result<Incoming, Unreadable>> {
        match self.verdict() {
            Verdict::Go => {}
            Verdict::Pause(_) => return None,
            Verdict::TooFast => return Some(Err(self.too_fast())),
        }
        let next = self.reader.next().map_err(Unreadable::from).transpose();
        if let Some(Ok(incoming)) = &next {
            self.count(incoming);
        }
        next
    }

    /// What was taken last had been asked for.
    pub(super) fn forgive(&mut self, forgiven: Forgiven) {
        self.pace.forgive(forgiven);
    }

    /// Whether nothing is read for a while because too much came.
    pub(super) fn is_held_back(&self) -> bool {
        matches!(self.verdict(), Verdict::Pause(_))
    }

    /// Throws away what the client still sends, to its end.
    pub(super) async fn drain(&mut self) {
        let mut rest = vec![0; READ_SCRATCH_BYTES];
        while self.source.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    }

    /// What has come whole is counted; only then is it known what it was.
    fn count(&mut self, incoming: &Incoming) {
        let bytes = match incoming {
            Incoming::Binary(bytes) | Incoming::Ping(bytes) => bytes.len(),
            Incoming::Text | Incoming::Pong | Incoming::Close(_) => 0,
        };
        let messages = 1 + u64::from(self.reader.take_frames() / FRAMES_PER_CHARGE);
        let now_ms = self.throttle.steady_ms();
        self.pace.charge(self.throttle.pace(), messages, bytes as u64, now_ms);
    }

    fn verdict(&self) -> Verdict {
        self.pace.verdict(|| self.throttle.steady_ms())
    }

    fn too_fast(&self) -> Unreadable {
        let limits = self.throttle.limits();
        let rate = |per_s: u32, what: &str| match per_s {
            0 => format!("any number of {what}"),
            per_s => format!("{per_s} {what}"),
        };
        let (messages, bytes) =
            (rate(limits.socket_messages, "messages"), rate(limits.socket_bytes, "bytes"));
        Unreadable::TooFast(format!("a connection may send {messages} and {bytes} a second; come back later"))
    }
}

/// A Step2 may be as large as a document; the message around it adds a few bytes.
fn message_bytes_max(document_bytes: usize) -> usize {
    document_bytes.saturating_add(MESSAGE_HEAD_BYTES_MAX)
}

/// Bytes of a message around a document: types and lengths.
const MESSAGE_HEAD_BYTES_MAX: usize = 64;

/// Reads once. Nothing is lost if nobody asks again.
fn poll_fill(source: &mut Source, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let read = reader.fill(|space| {
        let mut buf = ReadBuf::new(space);
        match Pin::new(&mut *source).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) => Ok(buf.filled().len()),
            Poll::Ready(Err(error)) => Err(Some(error)),
            Poll::Pending => Err(None),
        }
    });
    match read {
        Ok(len) => Poll::Ready(Ok(len)),
        Err(Some(error)) => Poll::Ready(Err(error)),
        Err(None) => Poll::Pending,
    }
}

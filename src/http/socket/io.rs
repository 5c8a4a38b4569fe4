//! The two ends of a WebSocket: whole messages in, shared frames out.
//!
//! A server's frames are not masked, so a frame is the same bytes for every recipient. They go
//! straight to the TCP stream: no copy per connection. What is read goes through the stack into a
//! [`Reader`], which holds nothing while nothing is under way. So a quiet connection has no buffer at
//! all, whatever it has carried before.
//!
//! Invariants: reading never writes, so a session may read while the room writes to its socket; a
//! pong, a close and all else that is written goes the way of every frame.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::channel::Channel;
use crate::limits::{DOCUMENT_BYTES_MAX, READ_SCRATCH_BYTES, WRITE_COPY_BYTES_MAX, WRITE_STALL_MS_MAX};
use crate::room::Outlet;
use crate::wire::close::Close;
use crate::wire::websocket::{self, FrameError, Incoming, Reader};

/// What bytes come from: almost always TCP itself.
pub(super) enum Source {
    Tcp(OwnedReadHalf),
    /// Whatever another server has put under this router.
    Other(Box<ReadHalf<TokioIo<Upgraded>>>),
}

/// Where bytes go.
pub(super) enum Sink {
    /// Shared with the room, which writes to it while the session is parked.
    Tcp(Arc<OwnedWriteHalf>),
    Other(Box<WriteHalf<TokioIo<Upgraded>>>),
}

impl Sink {
    /// Writes the front of `bytes`, as much as is taken, as soon as anything is. Cancel-safe.
    pub(super) async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self {
            Self::Tcp(stream) => loop {
                stream.writable().await?;
                match stream.try_write(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    taken => break taken?,
                }
            },
            Self::Other(stream) => {
                let taken = stream.write(bytes).await?;
                stream.flush().await?;
                taken
            }
        };
        if taken == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(taken) }
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.write_some(bytes).await?..];
        }
        Ok(())
    }
}

/// One WebSocket.
pub(super) struct Socket {
    source: Source,
    sink: Sink,
    reader: Reader,
}

/// Why a socket is of no more use.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum Gone {
    #[error("nobody has read for {} s", WRITE_STALL_MS_MAX / 1000)]
    Stalled,
    #[error("the client has gone")]
    Left,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum Unreadable {
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Socket {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        // A Step2 may be as large as a document; the message around it adds a few bytes.
        let mut reader = Reader::new(DOCUMENT_BYTES_MAX + 64);
        let (source, sink) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => {
                reader.feed(&parts.read_buf);
                let (source, sink) = parts.io.into_inner().into_split();
                (Source::Tcp(source), Sink::Tcp(Arc::new(sink)))
            }
            Err(upgraded) => {
                let (source, sink) = tokio::io::split(TokioIo::new(upgraded));
                (Source::Other(Box::new(source)), Sink::Other(Box::new(sink)))
            }
        };
        Self { source, sink, reader }
    }

    /// What takes bytes without waiting.
    pub(super) fn tcp_outlet(&self) -> Arc<dyn Outlet> {
        match &self.sink {
            Sink::Tcp(stream) => Arc::clone(stream) as Arc<dyn Outlet>,
            Sink::Other(_) => Arc::new(Nowhere),
        }
    }

    /// The two ends apart, for a socket that several sessions share.
    pub(super) fn into_ends(self) -> (Source, Reader, Sink) {
        (self.source, self.reader, self.sink)
    }

    /// What is taken at once costs no more than the system call; the rest is waited for elsewhere,
    /// so that the future of a session that writes stays small.
    async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        if let Sink::Tcp(stream) = &self.sink {
            rest = &rest[stream.offer(rest)..];
        }
        if rest.is_empty() { Ok(()) } else { Box::pin(self.write_patiently(rest)).await }
    }

    async fn write_patiently(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        for chunk in bytes.chunks(WRITE_CHUNK_BYTES) {
            let written =
                timeout(Duration::from_millis(WRITE_STALL_MS_MAX), self.sink.write_all(chunk)).await;
            written.map_err(|_| Gone::Stalled)??;
        }
        Ok(())
    }
}

impl Channel for Socket {
    /// Waits until more bytes have come. Cancel-safe.
    async fn more(&mut self) -> Result<(), Gone> {
        let Self { source, reader, .. } = self;
        match poll_fn(|cx| poll_fill(source, reader, cx)).await {
            Ok(0) => Err(Gone::Left),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The next message, if it has come already.
    fn next_now(&mut self) -> Option<Result<Incoming, Unreadable>> {
        loop {
            match self.reader.next() {
                Ok(None) => {}
                Ok(Some(incoming)) => return Some(Ok(incoming)),
                Err(error) => return Some(Err(error.into())),
            }
            if let Err(gone) = self.more().now_or_never()? {
                return Some(Err(gone.into()));
            }
        }
    }

    /// The next of the messages that have been read already.
    fn next_read(&mut self) -> Option<Result<Incoming, Unreadable>> {
        self.reader.next().map_err(Unreadable::from).transpose()
    }

    /// The writing end for the room, which uses it while the session does not.
    fn outlet(&self) -> Arc<dyn Outlet> {
        self.tcp_outlet()
    }

    /// Writes whole frames (or the rest of one), in one system call if they are small.
    async fn write(&mut self, frames: &[Bytes]) -> Result<(), Gone> {
        if let [only] = frames {
            return self.write_bytes(only).await;
        }
        let mut together = Vec::new();
        for frame in frames {
            if frame.len() > WRITE_COPY_BYTES_MAX {
                self.write_bytes(&std::mem::take(&mut together)).await?;
                self.write_bytes(frame).await?;
                continue;
            }
            together.extend_from_slice(frame);
            if together.len() > 4 * WRITE_COPY_BYTES_MAX {
                self.write_bytes(&std::mem::take(&mut together)).await?;
            }
        }
        self.write_bytes(&together).await
    }

    /// Asks whether anyone is there.
    async fn ping(&mut self) -> Result<(), Gone> {
        self.write_bytes(websocket::PING).await
    }

    /// Says why, then lets the client read it: a reset right after the close frame could overtake
    /// it. Takes what the client still sends, for at most [`LINGER`].
    async fn close(mut self, close: Close) {
        let goodbye = async {
            if self.write(&[websocket::close(&close)]).await.is_err() {
                return;
            }
            let mut rest = vec![0; READ_SCRATCH_BYTES];
            while self.source.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        };
        // Whether the client heard it or not, this socket ends here.
        let _ = timeout(LINGER, goodbye).await;
    }
}

/// Reads once. Nothing is lost if nobody asks again.
pub(super) fn poll_fill(
    source: &mut Source,
    reader: &mut Reader,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
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

/// Bytes of a large message that one system call is given, and that must be taken within one stall
/// time.
pub(super) const WRITE_CHUNK_BYTES: usize = 256 << 10;

/// How long a closed socket listens for the client's own close.
pub(super) const LINGER: Duration = Duration::from_secs(3);

impl Outlet for OwnedWriteHalf {
    fn offer(&self, bytes: &[u8]) -> usize {
        self.try_write(&bytes[..bytes.len().min(WRITE_CHUNK_BYTES)]).unwrap_or(0)
    }
}

/// For streams that can only be written by their own session.
struct Nowhere;

impl Outlet for Nowhere {
    fn offer(&self, _: &[u8]) -> usize {
        0
    }
}

impl AsyncRead for Source {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

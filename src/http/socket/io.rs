//! The two ends of a WebSocket: whole messages in, shared frames out.
//!
//! A server's frames are not masked, so a frame is the same bytes for every recipient. They go
//! straight to the TCP stream: no copy per connection. Reading is [`Ear`].
//!
//! Invariants: reading never writes, so a session may read while the room writes to its socket; a
//! pong, a close and all else that is written goes the way of every frame.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::channel::Channel;
use super::ear::Ear;
use crate::limits::{WRITE_COPY_BYTES_MAX, WRITE_STALL_MS_MAX};
use crate::room::Outlet;
use crate::throttle::{Forgiven, Throttle};
use crate::wire::close::Close;
use crate::wire::websocket::{self, FrameError, Incoming};

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
    Other(Patient),
}

/// A stream that may buffer what it takes.
pub(super) struct Patient {
    stream: Box<dyn AsyncWrite + Send + Unpin>,
    /// Bytes that it has taken and that nobody has been told of: the call was given up while they were flushed.
    untold: usize,
}

impl Patient {
    fn new(stream: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: Box::new(stream), untold: 0 }
    }

    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.untold == 0 {
            self.untold = self.stream.write(bytes).await?;
        }
        self.stream.flush().await?;
        Ok(std::mem::take(&mut self.untold))
    }
}

impl Sink {
    /// Writes the front of `bytes`, as much as is taken, as soon as anything is. Cancel-safe for who calls it again with
    /// the same bytes, or more behind them.
    pub(super) async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self {
            Self::Tcp(stream) => loop {
                stream.writable().await?;
                match stream.try_write(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    taken => break taken?,
                }
            },
            Self::Other(stream) => stream.write_some(bytes).await?,
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
    ear: Ear,
    sink: Sink,
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
    #[error("{0}")]
    TooFast(String),
}

impl Socket {
    /// A WebSocket that is read no faster than `throttle` allows.
    pub(super) fn new(upgraded: Upgraded, throttle: Arc<Throttle>) -> Self {
        let (source, sink, read) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => {
                let (source, sink) = parts.io.into_inner().into_split();
                (Source::Tcp(source), Sink::Tcp(Arc::new(sink)), parts.read_buf)
            }
            Err(upgraded) => {
                let (source, sink) = tokio::io::split(TokioIo::new(upgraded));
                (Source::Other(Box::new(source)), Sink::Other(Patient::new(sink)), Bytes::new())
            }
        };
        Self { ear: Ear::new(source, &read, throttle), sink }
    }

    /// What takes bytes without waiting.
    pub(super) fn tcp_outlet(&self) -> Arc<dyn Outlet> {
        match &self.sink {
            Sink::Tcp(stream) => Arc::clone(stream) as Arc<dyn Outlet>,
            Sink::Other(_) => Arc::new(Nowhere),
        }
    }

    /// The two ends apart, for a socket that several sessions share.
    pub(super) fn into_ends(self) -> (Ear, Sink) {
        (self.ear, self.sink)
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
    async fn more(&mut self) -> Result<(), Gone> {
        self.ear.more().await
    }

    fn next_now(&mut self) -> Option<Result<Incoming, Unreadable>> {
        self.ear.next_now()
    }

    fn next_read(&mut self) -> Option<Result<Incoming, Unreadable>> {
        self.ear.next_read()
    }

    fn forgive(&mut self, forgiven: Forgiven) {
        self.ear.forgive(forgiven);
    }

    fn is_held_back(&self) -> bool {
        self.ear.is_held_back()
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
            self.ear.drain().await;
        };
        // Whether the client heard it or not, this socket ends here.
        let _ = timeout(LINGER, goodbye).await;
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, BufWriter, duplex};

    use super::*;

    /// [W28] A stream with a buffer of its own gets each byte once, also if the write is given up while the buffer is flushed.
    #[tokio::test]
    async fn writes_that_are_given_up_are_not_repeated() {
        let (near, mut far) = duplex(4);
        let mut sink = Sink::Other(Patient::new(BufWriter::with_capacity(64, near)));
        let bytes = b"each of these once";
        assert!(sink.write_some(bytes).now_or_never().is_none(), "it was taken, and waits to be flushed");
        assert!(sink.write_some(bytes).now_or_never().is_none());
        let writing = async {
            sink.write_all(bytes).await.expect("it is read");
            drop(sink);
        };
        let mut read = Vec::new();
        let (_, all) = tokio::join!(writing, far.read_to_end(&mut read));
        all.expect("it ends");
        assert_eq!(read, bytes);
    }
}

//! The two ends of a WebSocket: reading by the library, writing shared frames past it.
//!
//! A server's frames are not masked, so a frame is the same bytes for every recipient. They go
//! straight to the TCP stream: no copy per connection, no buffer that stays as large as the
//! largest document ever sent. Control frames go through the library, and its buffer is flushed
//! before ours are written, so the two never mix within a frame.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits::{DOCUMENT_BYTES_MAX, READ_BUFFER_BYTES, WRITE_COPY_BYTES_MAX, WRITE_STALL_MS_MAX};
use crate::room::Outlet;
use crate::wire::close::Close;

/// The stream under a WebSocket: almost always TCP itself.
enum Io {
    /// Shared with the room, which writes to it while the session is parked.
    Tcp(Arc<TcpStream>),
    /// Whatever another server has put under this router.
    Other(TokioIo<Upgraded>),
}

/// One WebSocket.
pub(super) struct Socket {
    /// Boxed, so that the futures it moves through stay small.
    inner: Box<WebSocketStream<Io>>,
    scratch: Vec<u8>,
    /// The library may hold a whole frame that it has read already.
    may_hold_frame: bool,
    /// What was read while waiting, from a stream that cannot be waited for otherwise.
    peeked: Option<Option<Result<Message, Error>>>,
}

/// Why a socket is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error("nobody has read for {} s", WRITE_STALL_MS_MAX / 1000)]
    Stalled,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    WebSocket(#[from] Box<Error>),
}

impl Socket {
    pub(super) async fn new(upgraded: Upgraded) -> Self {
        let (io, read) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (Io::Tcp(Arc::new(parts.io.into_inner())), parts.read_buf),
            Err(upgraded) => (Io::Other(TokioIo::new(upgraded)), Bytes::new()),
        };
        // A Step2 may be as large as a document; the message around it adds a few bytes.
        let message_max = DOCUMENT_BYTES_MAX + 64;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(message_max))
            .max_frame_size(Some(message_max));
        let inner = if read.is_empty() {
            WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
        } else {
            WebSocketStream::from_partially_read(io, read.into(), Role::Server, Some(config)).await
        };
        Self { inner: Box::new(inner), scratch: Vec::new(), may_hold_frame: true, peeked: None }
    }

    /// Resolves when [`Socket::next_now`] is worth calling. Cancel-safe; a TCP stream is not
    /// touched. The library is asked only then: it clears its whole buffer at each try, and a
    /// session is woken far more often to write.
    pub(super) async fn readable(&mut self) {
        if self.may_hold_frame || self.peeked.is_some() {
            return;
        }
        let tcp = match self.inner.get_ref() {
            Io::Tcp(stream) => Some(Arc::clone(stream)),
            Io::Other(_) => None,
        };
        match tcp {
            // An error is found again by reading.
            Some(stream) => drop(stream.readable().await),
            None => {
                let frame = self.inner.next().await;
                self.peeked = Some(frame);
            }
        }
    }

    /// The next message if it has come already.
    pub(super) fn next_now(&mut self) -> Option<Option<Result<Message, Error>>> {
        if let Some(frame) = self.peeked.take() {
            return Some(frame);
        }
        let frame = self.inner.next().now_or_never();
        self.may_hold_frame = frame.is_some();
        frame
    }

    /// The writing end for the room, which uses it while the session does not.
    pub(super) fn outlet(&self) -> Arc<dyn Outlet> {
        match self.inner.get_ref() {
            Io::Tcp(stream) => Arc::new(Direct(Arc::clone(stream))),
            Io::Other(_) => Arc::new(Nowhere),
        }
    }

    /// Writes whole frames (or the rest of one), in one system call if they are small.
    ///
    /// # Errors
    /// [`Gone::Stalled`] if nothing was taken for [`WRITE_STALL_MS_MAX`].
    pub(super) async fn write(&mut self, frames: &[Bytes]) -> Result<(), Gone> {
        self.flush().await?;
        if let [only] = frames {
            return self.write_chunks(only).await;
        }
        for frame in frames {
            if frame.len() <= WRITE_COPY_BYTES_MAX {
                self.scratch.extend_from_slice(frame);
                if self.scratch.len() > 4 * WRITE_COPY_BYTES_MAX {
                    self.write_scratch().await?;
                }
            } else {
                self.write_scratch().await?;
                self.write_chunks(frame).await?;
            }
        }
        self.write_scratch().await
    }

    async fn write_chunks(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        for chunk in bytes.chunks(WRITE_CHUNK_BYTES) {
            stalling(self.inner.get_mut().write_all(chunk)).await??;
        }
        Ok(())
    }

    async fn write_scratch(&mut self) -> Result<(), Gone> {
        if !self.scratch.is_empty() {
            // Idle connections should cost nothing: small buffers are cheap to make again.
            let scratch = std::mem::take(&mut self.scratch);
            self.write_chunks(&scratch).await?;
        }
        Ok(())
    }

    /// Writes out what the library holds, such as the answer to a ping.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        Ok(stalling(self.inner.flush()).await?.map_err(Box::new)?)
    }

    /// Asks whether anyone is there.
    pub(super) async fn ping(&mut self) -> Result<(), Gone> {
        Ok(stalling(self.inner.send(Message::Ping(Bytes::new()))).await?.map_err(Box::new)?)
    }

    /// Says why, then lets the client read it: a reset right after the close frame could overtake
    /// it. Takes what the client still sends, for at most [`LINGER`].
    pub(super) async fn close(mut self, close: Close) {
        let frame = CloseFrame { code: close.code.into(), reason: close.reason_bytes().into() };
        let goodbye = async {
            if self.inner.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            let stream = self.inner.get_mut();
            let mut rest = vec![0; READ_BUFFER_BYTES];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        };
        // Whether the client heard it or not, this socket ends here.
        let _ = timeout(LINGER, goodbye).await;
    }
}

/// Waits for a write to make progress, but not for ever.
async fn stalling<T>(write: impl Future<Output = T>) -> Result<T, Gone> {
    timeout(Duration::from_millis(WRITE_STALL_MS_MAX), write).await.map_err(|_| Gone::Stalled)
}

/// Bytes of a large message that must be taken within one stall time.
const WRITE_CHUNK_BYTES: usize = 256 << 10;

/// How long a closed socket listens for the client's own close.
const LINGER: Duration = Duration::from_secs(3);

/// A TCP stream that is written to without waiting.
struct Direct(Arc<TcpStream>);

impl Outlet for Direct {
    fn offer(&self, bytes: &[u8]) -> usize {
        self.0.try_write(bytes).unwrap_or(0)
    }
}

/// For streams that can only be written by their own session.
struct Nowhere;

impl Outlet for Nowhere {
    fn offer(&self, _: &[u8]) -> usize {
        0
    }
}

fn tcp_ready<T>(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    poll_ready: impl Fn(&TcpStream, &mut Context<'_>) -> Poll<io::Result<()>>,
    mut work: impl FnMut(&TcpStream) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        ready!(poll_ready(stream, cx))?;
        match work(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => tcp_ready(io, cx, TcpStream::poll_read_ready, |io| {
                let read = io.try_read(buf.initialize_unfilled())?;
                buf.advance(read);
                Ok(())
            }),
            Self::Other(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => tcp_ready(io, cx, TcpStream::poll_write_ready, |io| io.try_write(bytes)),
            Self::Other(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) => Poll::Ready(Ok(())), // TCP keeps nothing back
            Self::Other(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // The close frame is the goodbye; the stream is closed when it is dropped.
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

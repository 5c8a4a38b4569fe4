//! The two ends of a WebSocket: reading by the library, writing shared frames past it.
//!
//! A server's frames are not masked, so a frame is the same bytes for every recipient. They go
//! straight to the TCP stream: no copy per connection, no buffer that stays as large as the
//! largest document ever sent. Control frames go through the library, and its buffer is flushed
//! before ours are written, so the two never mix within a frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits::{DOCUMENT_BYTES_MAX, READ_BUFFER_BYTES, WRITE_COPY_BYTES_MAX, WRITE_STALL_MS_MAX};
use crate::wire::close::Close;

/// The stream under a WebSocket: almost always TCP itself.
enum Io {
    Tcp(TcpStream),
    /// Whatever another server has put under this router.
    Other(TokioIo<Upgraded>),
}

/// One WebSocket.
pub(super) struct Socket {
    inner: WebSocketStream<Io>,
    scratch: Vec<u8>,
    /// The library may hold a whole frame that it has read already.
    may_hold_frame: bool,
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
            Ok(parts) => (Io::Tcp(parts.io.into_inner()), parts.read_buf),
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
        Self { inner, scratch: Vec::new(), may_hold_frame: true }
    }

    /// The next message. Cancel-safe. Asks the library only when there is something to read: it
    /// clears its whole buffer at each try, and a session is woken far more often to write.
    pub(super) async fn next(&mut self) -> Option<Result<Message, Error>> {
        loop {
            match self.inner.get_ref() {
                Io::Other(_) => return self.inner.next().await,
                Io::Tcp(stream) if !self.may_hold_frame => {
                    if let Err(error) = stream.readable().await {
                        return Some(Err(error.into()));
                    }
                }
                Io::Tcp(_) => {}
            }
            if let Some(frame) = self.next_now() {
                return frame;
            }
        }
    }

    /// The next message if it has come already.
    pub(super) fn next_now(&mut self) -> Option<Option<Result<Message, Error>>> {
        let frame = self.inner.next().now_or_never();
        self.may_hold_frame = frame.is_some();
        frame
    }

    /// Writes messages, one frame each; in one system call if they are small.
    ///
    /// # Errors
    /// [`Gone::Stalled`] if nothing was taken for [`WRITE_STALL_MS_MAX`].
    pub(super) async fn write(&mut self, messages: &[Bytes]) -> Result<(), Gone> {
        stalling(self.inner.flush()).await?.map_err(Box::new)?;
        for message in messages {
            format_header(message.len(), &mut self.scratch);
            if message.len() <= WRITE_COPY_BYTES_MAX {
                self.scratch.extend_from_slice(message);
                if self.scratch.len() > 4 * WRITE_COPY_BYTES_MAX {
                    self.write_scratch().await?;
                }
            } else {
                self.write_scratch().await?;
                for chunk in message.chunks(WRITE_CHUNK_BYTES) {
                    stalling(self.inner.get_mut().write_all(chunk)).await??;
                }
            }
        }
        self.write_scratch().await
    }

    async fn write_scratch(&mut self) -> Result<(), Gone> {
        if !self.scratch.is_empty() {
            // Idle connections should cost nothing: small buffers are cheap to make again.
            let scratch = std::mem::take(&mut self.scratch);
            stalling(self.inner.get_mut().write_all(&scratch)).await??;
        }
        Ok(())
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
            if self.inner.close(Some(frame)).await.is_err() {
                return;
            }
            let stream = self.inner.get_mut();
            if stream.shutdown().await.is_err() {
                return;
            }
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

fn format_header(len: usize, out: &mut Vec<u8>) {
    let header = FrameHeader { is_final: true, opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
    // Writing into a Vec cannot fail.
    let _ = header.format(len as u64, out);
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::Other(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Self::Other(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Other(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Other(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Other(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Other(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

//! The two ends of a WebSocket that several sessions share.
//!
//! Invariants:
//! - Frames never interleave: who begins one, leaves what was not taken of it here, and until that is written nobody
//!   else writes.
//! - A room that offers a frame never waits. What it was told is taken goes out before anything newer.
//! - A write that is given up half-way is finished by the next one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, Notify};
use tokio::time::timeout;

use super::ear::Ear;
use super::io::{Gone, LINGER, Sink, Socket, WRITE_CHUNK_BYTES};
use crate::limits::{SHARED_OFFER_BYTES_MAX, WRITE_COPY_BYTES_MAX, WRITE_STALL_MS_MAX};
use crate::room::Outlet;
use crate::wire::close::Close;
use crate::wire::websocket;

/// The writing end: all sessions have it.
pub(super) struct Mouth {
    /// What takes bytes without waiting.
    outlet: Arc<dyn Outlet>,
    /// What has begun to go out.
    begun: Mutex<Begun>,
    /// Whoever waits for the socket to take something.
    turn: Turn<Sink>,
    /// A room has begun a frame that nobody waits for.
    left_over: Notify,
}

#[derive(Default)]
struct Begun {
    /// The rest of a frame.
    rest: Bytes,
    /// The socket is of no more use.
    broken: bool,
}

/// Takes a socket apart. One task has the reading end, all sessions the other.
pub(super) fn share(socket: Socket) -> (Ear, Arc<Mouth>) {
    let outlet = socket.tcp_outlet();
    let (ear, sink) = socket.into_ends();
    (ear, Arc::new(Mouth::new(outlet, sink)))
}

impl Mouth {
    fn new(outlet: Arc<dyn Outlet>, sink: Sink) -> Self {
        Self { outlet, begun: Mutex::default(), turn: Turn::new(sink), left_over: Notify::new() }
    }

    /// Writes whole frames; small ones together.
    ///
    /// # Errors
    /// [`Gone`] if they are not taken in time, or somebody else's were not.
    pub(super) async fn write(&self, frames: &[Bytes]) -> Result<(), Gone> {
        if let [only] = frames {
            return self.write_whole(only.clone()).await;
        }
        let mut together = Vec::new();
        for frame in frames {
            if frame.len() > WRITE_COPY_BYTES_MAX {
                self.write_whole(std::mem::take(&mut together).into()).await?;
                self.write_whole(frame.clone()).await?;
                continue;
            }
            together.extend_from_slice(frame);
            if together.len() > 4 * WRITE_COPY_BYTES_MAX {
                self.write_whole(std::mem::take(&mut together).into()).await?;
            }
        }
        self.write_whole(together.into()).await
    }

    /// Writes whole frames that go out in one piece.
    async fn write_whole(&self, bytes: Bytes) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        while !self.begin(&bytes)? {
            // Somebody else's frame is under way.
            Box::pin(self.finish()).await?;
        }
        if self.begun.lock().rest.is_empty() { Ok(()) } else { Box::pin(self.finish()).await }
    }

    /// Begins to write, if nothing is under way. Returns whether it has.
    fn begin(&self, bytes: &Bytes) -> Result<bool, Gone> {
        let mut begun = self.begun.lock();
        if begun.broken {
            return Err(Gone::Left);
        }
        if !begun.rest.is_empty() {
            return Ok(false);
        }
        let taken = self.outlet.offer(bytes).min(bytes.len());
        begun.rest = bytes.slice(taken..);
        Ok(true)
    }

    /// Waits until what has begun is written. Cancel-safe.
    async fn finish(&self) -> Result<(), Gone> {
        let mut sink = self.turn.lock().await;
        loop {
            if self.begun.lock().broken {
                return Err(Gone::Left);
            }
            if self.begun.lock().rest.is_empty() {
                return Ok(());
            }
            let chunk = timeout(Duration::from_millis(WRITE_STALL_MS_MAX), self.finish_chunk(&mut sink));
            if let Err(gone) = chunk.await.unwrap_or(Err(Gone::Stalled)) {
                let mut begun = self.begun.lock();
                (begun.broken, begun.rest) = (true, Bytes::new());
                drop(begun);
                self.left_over.notify_one();
                return Err(gone);
            }
        }
    }

    /// Writes at most a chunk of what has begun.
    async fn finish_chunk(&self, sink: &mut Sink) -> Result<(), Gone> {
        let mut left = WRITE_CHUNK_BYTES;
        while left > 0 {
            let rest = self.begun.lock().rest.clone();
            if rest.is_empty() {
                break;
            }
            let taken = sink.write_some(&rest[..rest.len().min(left)]).await?;
            self.begun.lock().rest = rest.slice(taken..);
            left -= taken;
        }
        Ok(())
    }

    /// Finishes what rooms begin, until the socket is of no more use.
    pub(super) async fn keep_finishing(&self) -> Gone {
        loop {
            self.left_over.notified().await;
            if let Err(gone) = self.finish().await {
                return gone;
            }
        }
    }

    /// Says why the socket ends, then lets the client read it, as with any socket.
    pub(super) async fn close(&self, mut ear: Ear, close: Close) {
        let goodbye = async {
            if self.write(&[websocket::close(&close)]).await.is_err() {
                return;
            }
            ear.drain().await;
        };
        // Whether the client heard it or not, this socket ends here.
        let _ = timeout(LINGER, goodbye).await;
    }
}

impl Outlet for Mouth {
    fn offer(&self, bytes: &[u8]) -> usize {
        let mut begun = self.begun.lock();
        if begun.broken || !begun.rest.is_empty() || bytes.len() > SHARED_OFFER_BYTES_MAX {
            return 0; // its session will wait
        }
        let taken = self.outlet.offer(bytes).min(bytes.len());
        if taken == 0 || taken == bytes.len() {
            return taken;
        }
        begun.rest = Bytes::copy_from_slice(&bytes[taken..]);
        drop(begun);
        self.left_over.notify_one();
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection whose other end reads only when told to.
    async fn connection() -> (Arc<Mouth>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (server, _) = listener.accept().await.expect("accepts");
        let (_, sink) = server.into_split();
        let sink = Arc::new(sink);
        (Arc::new(Mouth::new(Arc::clone(&sink) as Arc<dyn Outlet>, Sink::Tcp(sink))), client)
    }

    fn frame_of(kind: u8, len: usize) -> Bytes {
        websocket::frame(&vec![kind; len])
    }

    /// Whole frames, each of one kind, until `count` have come.
    async fn read_frames(client: &mut TcpStream, count: usize) -> Vec<(u8, usize)> {
        let mut frames = Vec::new();
        for _ in 0..count {
            let mut head = [0; 2];
            client.read_exact(&mut head).await.expect("a frame");
            assert_eq!(head[0], 0x82, "a frame begins here");
            let len = match head[1] {
                126 => usize::from(client.read_u16().await.expect("a length")),
                127 => usize::try_from(client.read_u64().await.expect("a length")).expect("it fits"),
                len => usize::from(len),
            };
            let mut body = vec![0; len];
            client.read_exact(&mut body).await.expect("a body");
            assert!(body.iter().all(|byte| *byte == body[0]), "one frame, of one kind");
            frames.push((body[0], len));
        }
        frames
    }

    /// [W28] Many sessions and rooms write to one socket that is slow: each frame arrives in one piece, and those of
    /// one writer in their order.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frames_of_many_writers_never_interleave() {
        const EACH: usize = 60;
        let (mouth, mut client) = connection().await;
        let finisher = tokio::spawn({
            let mouth = Arc::clone(&mouth);
            async move { mouth.keep_finishing().await }
        });
        let sessions = (1..=4u8).map(|kind| {
            let mouth = Arc::clone(&mouth);
            tokio::spawn(async move {
                for n in 0..EACH {
                    let frames = [frame_of(kind, 10 + n), frame_of(kind, 1_000 * (n % 7) + 200 + n)];
                    mouth.write(&frames).await.expect("it is read");
                }
            })
        });
        let sessions: Vec<_> = sessions.collect();
        // A room offers, and leaves to a session what is not taken.
        let room = tokio::spawn({
            let mouth = Arc::clone(&mouth);
            async move {
                for n in 0..EACH {
                    let frame = frame_of(9, 5_000 + n);
                    match mouth.offer(&frame) {
                        0 => mouth.write(&[frame]).await.expect("it is read"),
                        taken => assert_eq!(taken, frame.len(), "all or nothing"),
                    }
                }
            }
        });
        let frames = read_frames(&mut client, 4 * 2 * EACH + EACH).await;
        for session in sessions {
            session.await.expect("all is written");
        }
        room.await.expect("all is written");
        let offered: Vec<usize> = frames.iter().filter(|(kind, _)| *kind == 9).map(|(_, len)| *len).collect();
        assert_eq!(offered, (0..EACH).map(|n| 5_000 + n).collect::<Vec<_>>());
        for kind in 1..=4 {
            let lens = frames.iter().filter(|(of, _)| *of == kind).map(|(_, len)| *len);
            let expected = (0..EACH).flat_map(|n| [10 + n, 1_000 * (n % 7) + 200 + n]);
            assert!(lens.eq(expected), "in the order of writing");
        }
        finisher.abort();
    }

    /// [W28] A socket that takes no more says so to rooms at once; what it has begun to take comes whole, and first.
    #[tokio::test]
    async fn a_full_socket_takes_no_offers() {
        let (mouth, mut client) = connection().await;
        let frame = frame_of(1, 50_000);
        let taken = (0..).find(|_| mouth.offer(&frame) == 0).expect("it is full some time");
        println!("full after {taken} frames");
        assert!(!mouth.begun.lock().rest.is_empty(), "the last one was taken in part");
        assert_eq!(mouth.offer(&frame_of(2, 1)), 0, "nothing gets in between");
        let writer = tokio::spawn({
            let mouth = Arc::clone(&mouth);
            async move { mouth.write(&[frame_of(3, 10)]).await }
        });
        let frames = read_frames(&mut client, taken + 1).await;
        assert_eq!(frames.last(), Some(&(3, 10)));
        writer.await.expect("no panic").expect("it is written");
        assert_eq!(mouth.offer(&frame_of(2, 1)), 3, "it takes offers again");
        assert_eq!(mouth.offer(&frame_of(2, SHARED_OFFER_BYTES_MAX + 1)), 0, "too large to be copied");
    }

    /// [W28] When the client has gone, all who write are told.
    #[tokio::test]
    async fn a_broken_socket_is_broken_for_all() {
        let (mouth, client) = connection().await;
        drop(client);
        let frame = frame_of(1, 50_000);
        while mouth.write(std::slice::from_ref(&frame)).await.is_ok() {}
        assert_eq!(mouth.offer(&frame), 0);
        assert!(mouth.write(&[frame]).await.is_err());
        assert!(timeout(Duration::from_secs(5), mouth.keep_finishing()).await.is_ok(), "its task notices");
    }
}

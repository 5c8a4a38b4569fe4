//! A connection without a socket: the two buffers between a client and the shell that serves it, and that shell.
//!
//! The shell does what `src/http/socket` does, with the same [`Session`] and the same [`Member`]; only the bytes go
//! nowhere. The room writes to parked sessions itself, and a buffer that is full leaves it with the rest of a frame.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use ruang::ids::RoomName;
use ruang::room::{Entry, Member, News, Outlet, Rooms};
use ruang::session::{Intent, Session};
use ruang::wire::close::Close;
use ruang::wire::{websocket, y_websocket};
use tokio::sync::Notify;

/// What the client has not read of what was written to it, before writing has to wait.
const BUFFER_BYTES: usize = 16 << 10;

/// See the module.
#[derive(Default)]
pub struct Link {
    ends: Mutex<Ends>,
    /// Something came from the client, it has read, or it is gone.
    moved: Notify,
}

#[derive(Default)]
struct Ends {
    down: Vec<u8>,
    /// Bytes that the client has taken off the buffer and not read.
    unread: usize,
    up: VecDeque<Bytes>,
    closed: Option<Close>,
    gone: bool,
}

impl Link {
    /// The client sends a message.
    pub fn send(&self, message: Bytes) {
        self.ends.lock().up.push_back(message);
        self.moved.notify_one();
    }

    /// Takes whole messages off the buffer; they count as unread until [`Link::note_read`].
    pub fn take(&self) -> Vec<Bytes> {
        let mut ends = self.ends.lock();
        let mut messages = Vec::new();
        while let Some((head, len)) = frame_at(&ends.down) {
            let frame: Vec<u8> = ends.down.drain(..head + len).collect();
            ends.unread += len;
            messages.push(Bytes::from(frame).slice(head..));
        }
        messages
    }

    /// The client has read so many bytes.
    pub fn note_read(&self, bytes: usize) {
        self.ends.lock().unread -= bytes;
        self.moved.notify_one();
    }

    /// How the server has ended it, once everything before is taken.
    pub fn closed(&self) -> Option<Close> {
        self.ends.lock().closed.clone()
    }

    /// The client is gone, without a word.
    pub fn leave(&self) {
        self.ends.lock().gone = true;
        self.moved.notify_one();
    }

    fn close(&self, close: Close) {
        self.ends.lock().closed.get_or_insert(close);
    }

    fn is_full(&self) -> bool {
        let ends = self.ends.lock();
        ends.unread + ends.down.len() >= BUFFER_BYTES && !ends.gone
    }

    /// The next message of the client; an error if it is gone.
    fn next(&self) -> Result<Option<Bytes>, Close> {
        let mut ends = self.ends.lock();
        if ends.gone { Err(Close::new(GONE, "")) } else { Ok(ends.up.pop_front()) }
    }
}

impl Outlet for Link {
    fn offer(&self, bytes: &[u8]) -> usize {
        let mut ends = self.ends.lock();
        let room = BUFFER_BYTES.saturating_sub(ends.unread + ends.down.len());
        let taken = bytes.len().min(room);
        ends.down.extend_from_slice(&bytes[..taken]);
        taken
    }
}

/// Bytes of the head, and of the body, of the whole frame at the front.
fn frame_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let (head, len) = match bytes {
        [_, 127, len @ ..] => (10, u64::from_be_bytes(len.get(..8)?.try_into().ok()?) as usize),
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, len, ..] if *len < 126 => (2, usize::from(*len)),
        _ => return None,
    };
    (bytes.len() >= head + len).then_some((head, len))
}

/// Stands for a close code where the client has gone first.
const GONE: u16 = 0;

/// Serves a link to its end.
pub async fn serve(rooms: Arc<Rooms>, room: RoomName, link: Arc<Link>) {
    let outlet = Arc::clone(&link) as Arc<dyn Outlet>;
    let close = match rooms.join(&room, Entry::anonymous(outlet)).await {
        Ok(member) => {
            let session = Session::new(member.voice().clone(), member.caller().role);
            let mut shell = Shell { link: Arc::clone(&link), member, session, ack: None, greeted: false };
            shell.run().await
        }
        Err(close) => close,
    };
    link.close(close);
}

struct Shell {
    link: Arc<Link>,
    member: Member,
    session: Session,
    ack: Option<Bytes>,
    greeted: bool,
}

impl Shell {
    async fn run(&mut self) -> Close {
        loop {
            if let Err(close) = self.turn().await {
                return close;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Close> {
        if self.write_news().await? {
            return Ok(());
        }
        if let Some(message) = self.link.next()? {
            return self.on_message(message).await;
        }
        if !self.member.park() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = self.member.woken() => return Ok(()),
            () = self.link.moved.notified() => {}
        }
        let rest = self.member.unpark();
        self.write(rest).await
    }

    async fn write_news(&mut self) -> Result<bool, Close> {
        let News { rest, fell_off, frames, post, beat, .. } = self.member.news();
        self.write(rest).await?;
        if post.left_out {
            self.session.on_left_out();
        }
        if post.gap && self.session.ask_again() {
            let state_vector = self.member.state_vector().await?;
            self.write(websocket::frame(&y_websocket::sync_step1(&state_vector))).await?;
        }
        if fell_off {
            let frame = self.member.catch_up().await?;
            self.write(frame).await?;
        }
        let anything = !frames.is_empty() || beat;
        for frame in frames {
            self.write(frame).await?;
        }
        self.ack =
            post.ack.map(|(count, at)| websocket::frame(&y_websocket::ack(count, at))).or(self.ack.take());
        if self.greeted
            && let Some(ack) = self.ack.take()
        {
            self.write(ack).await?;
        }
        match post.close {
            Some(close) => Err(close),
            None => Ok(anything),
        }
    }

    /// Writes as soon as there is room for the beginning.
    async fn write(&self, bytes: Bytes) -> Result<(), Close> {
        if bytes.is_empty() {
            return Ok(());
        }
        while self.link.is_full() {
            self.link.moved.notified().await;
        }
        let mut ends = self.link.ends.lock();
        ends.down.extend_from_slice(&bytes);
        if ends.gone { Err(Close::new(GONE, "")) } else { Ok(()) }
    }

    async fn on_message(&mut self, message: Bytes) -> Result<(), Close> {
        let (message, _) = y_websocket::decode(&message).expect("clients send messages");
        match self.session.handle(message) {
            Intent::Sync { state_vector, first, .. } => {
                let step2 = self.member.sync(state_vector, first).await?;
                self.write(step2).await?;
                if first {
                    self.greeted = true;
                    let ours = self.member.state_vector().await?;
                    self.write(websocket::frame(&y_websocket::sync_step1(&ours))).await?;
                    if let Some(everyone) = self.member.everyone() {
                        self.write(everyone).await?;
                    }
                }
                Ok(())
            }
            Intent::Submit { update, source, permit } => {
                let ordinal = self.session.submitted();
                self.member.submit(update, source, permit, ordinal).await
            }
            Intent::Announce(update) => {
                self.member.announce(&update).map_err(|refusal| Close::new(4400, refusal.to_string()))
            }
            Intent::Close(close) => Err(close),
            Intent::SharePresence | Intent::Answer | Intent::Relay(_) | Intent::Ignore => Ok(()),
        }
    }
}

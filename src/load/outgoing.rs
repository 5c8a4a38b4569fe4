//! What a client still has to write to its socket.

use std::io;
use std::sync::Arc;

use tokio::net::tcp::OwnedWriteHalf;

use super::client::Client;
use super::frame::{self, Kind};
use super::world::World;

/// The writing half of a client. Frames are put here and leave at the next flush, as far as the
/// socket takes them; the rest follows when it is writable again.
#[derive(Default)]
pub(super) struct Outgoing {
    half: Option<Arc<OwnedWriteHalf>>,
    pending: Vec<u8>,
    /// Somebody waits for the socket to be writable.
    waiting: bool,
    mask: u32,
    /// What stands before each message (a document's name, in the Hocuspocus family).
    prefix: Vec<u8>,
    /// For each Step2 and Update of this connection, in order, how many of the author's blocks the
    /// server has once it has this message. Only kept for `ruang.v1`.
    pub(super) messages: Option<Vec<u32>>,
}

impl Outgoing {
    /// Starts a connection; `keep` says that acks will count its messages, `prefix` what stands before each.
    pub(super) fn open(&mut self, half: OwnedWriteHalf, keep: bool, prefix: &[u8]) {
        *self = Self { half: Some(Arc::new(half)), mask: self.mask, ..Self::default() };
        self.messages = keep.then(Vec::new);
        self.prefix = prefix.to_vec();
    }

    /// Not connected (yet, or any more).
    pub(super) fn is_closed(&self) -> bool {
        self.half.is_none()
    }

    /// Ends the connection; with `politely`, says so first.
    pub(super) fn close(&mut self, politely: bool) {
        if politely {
            self.control(Kind::Close, &1000u16.to_be_bytes());
            self.write_now();
        }
        self.half = None;
        self.pending = Vec::new();
    }

    /// Appends a Step2 or Update message after which the server has `through` blocks of the author.
    pub(super) fn message(&mut self, through: u32, put: impl FnOnce(&mut Vec<u8>)) {
        let mut payload = Vec::with_capacity(64);
        put(&mut payload);
        self.control(Kind::Binary, &payload);
        if let Some(messages) = &mut self.messages {
            messages.push(through);
        }
    }

    /// Appends any other frame.
    pub(super) fn control(&mut self, kind: Kind, payload: &[u8]) {
        if self.half.is_some() {
            // A linear congruence: masks only have to differ, nothing hostile stands between.
            self.mask = self.mask.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mask = self.mask.to_be_bytes();
            if kind == Kind::Binary && !self.prefix.is_empty() {
                frame::put(&mut self.pending, kind, &[&self.prefix, payload].concat(), mask);
            } else {
                frame::put(&mut self.pending, kind, payload, mask);
            }
        }
    }

    /// Bytes that the socket has not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Writes what the socket takes now and arranges for the rest. Errors are left to the reader,
    /// who meets them too and tells them.
    pub(super) fn flush(client: &Arc<Client>, world: &World) {
        let mut outgoing = client.outgoing.lock();
        outgoing.write_now();
        if outgoing.pending.is_empty() || outgoing.waiting {
            return;
        }
        let Some(half) = outgoing.half.clone() else { return };
        outgoing.waiting = true;
        drop(outgoing);
        let client = Arc::clone(client);
        world.runtime.spawn(async move {
            while half.writable().await.is_ok() {
                let mut outgoing = client.outgoing.lock();
                outgoing.write_now();
                if outgoing.pending.is_empty() {
                    outgoing.waiting = false;
                    return;
                }
            }
        });
    }

    fn write_now(&mut self) {
        let Some(half) = &self.half else { return };
        let mut written = 0;
        while written < self.pending.len() {
            match half.try_write(&self.pending[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => written = self.pending.len(),
            }
        }
        self.pending.drain(..written);
    }
}

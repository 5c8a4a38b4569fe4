//! One document's part of a socket.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::Letter;
use crate::http::socket::channel::Channel;
use crate::http::socket::io::{Gone, Unreadable};
use crate::http::socket::shared::Mouth;
use crate::room::Outlet;
use crate::wire::close::Close;
use crate::wire::hocuspocus;
use crate::wire::voice::{Named, Voice};
use crate::wire::websocket::Incoming;

/// How a document's session has ended.
#[derive(Debug)]
pub(super) enum How {
    /// Nobody is to be told.
    Left,
    /// The client was told that it is not let in, or no longer.
    Denied,
    /// For a reason that ends its socket.
    WithSocket(Close),
}

/// What a session leaves behind.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: Bytes,
    pub(super) number: u64,
    pub(super) how: How,
}

/// The two ends of one document's session.
pub(super) struct DocumentChannel {
    named: Arc<Named>,
    /// What was said before the session began, and what was taken from the inbox.
    read: VecDeque<Bytes>,
    inbox: Receiver<Letter>,
    mouth: Arc<Mouth>,
    farewell: Farewell,
}

/// Tells the socket's task when the session ends, however that is.
struct Farewell {
    name: Bytes,
    number: u64,
    how: How,
    ended: UnboundedSender<Ended>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let how = std::mem::replace(&mut self.how, How::Left);
        // The socket's task may have ended before.
        let _ = self.ended.send(Ended { name: self.name.clone(), number: self.number, how });
    }
}

impl DocumentChannel {
    pub(super) fn new(
        (name, number): (Bytes, u64),
        named: Arc<Named>,
        (queue, inbox): (Vec<Bytes>, Receiver<Letter>),
        mouth: Arc<Mouth>,
        ended: UnboundedSender<Ended>,
    ) -> Self {
        let farewell = Farewell { name, number, how: How::Left, ended };
        Self { named, read: queue.into(), inbox, mouth, farewell }
    }
}

impl Channel for DocumentChannel {
    async fn more(&mut self) -> Result<(), Gone> {
        if self.read.is_empty() {
            // The space that it took is free now: at most one such message is here.
            let (body, _) = self.inbox.recv().await.ok_or(Gone::Left)?;
            self.read.push_back(body);
        }
        Ok(())
    }

    fn next_read(&mut self) -> Option<Result<Incoming, Unreadable>> {
        self.read.pop_front().map(|body| Ok(Incoming::Binary(body)))
    }

    fn next_now(&mut self) -> Option<Result<Incoming, Unreadable>> {
        if let Some(read) = self.next_read() {
            return Some(read);
        }
        let (body, _) = self.inbox.try_recv().ok()?;
        Some(Ok(Incoming::Binary(body)))
    }

    fn outlet(&self) -> Arc<dyn Outlet> {
        Arc::clone(&self.mouth) as Arc<dyn Outlet>
    }

    async fn write(&mut self, frames: &[Bytes]) -> Result<(), Gone> {
        self.mouth.write(frames).await
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    /// What is final is said of the document alone, in words that every version knows. All else ends the socket: a
    /// provider comes back with a new one by itself.
    async fn close(mut self, close: Close) {
        if !(4400..4500).contains(&close.code) {
            self.farewell.how = How::WithSocket(close);
            return;
        }
        self.farewell.how = How::Denied;
        // Before the client hears it: it may answer with another token.
        drop(self.farewell);
        let voice = Voice::Hocuspocus(Arc::clone(&self.named));
        let mut frames = vec![voice.frame(&hocuspocus::denied(&close.reason))];
        if self.named.tells_version {
            frames.push(voice.frame(&hocuspocus::closed(&close.reason)));
        }
        // If nobody hears it, the socket's task notices by itself.
        let _ = self.mouth.write(&frames).await;
    }
}

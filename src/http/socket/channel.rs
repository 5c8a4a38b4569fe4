//! Where a session's frames come from and go to: a socket of its own, or its part of one that many share.

use std::sync::Arc;

use bytes::Bytes;

use super::io::{Gone, Unreadable};
use crate::room::Outlet;
use crate::throttle::Forgiven;
use crate::wire::close::Close;
use crate::wire::websocket::Incoming;

/// The two ends of one session's connection. What comes in is a frame's content, without the document's name if
/// the family writes one there; what goes out are whole frames.
pub(in crate::http) trait Channel: Send + 'static {
    /// Waits until more has come. Cancel-safe.
    ///
    /// # Errors
    /// [`Gone`] if nothing will.
    fn more(&mut self) -> impl Future<Output = Result<(), Gone>> + Send;

    /// The next of the messages that have been read already.
    fn next_read(&mut self) -> Option<Result<Incoming, Unreadable>>;

    /// The next message, if it has come already.
    fn next_now(&mut self) -> Option<Result<Incoming, Unreadable>>;

    /// The frame that was taken last was asked for: it is not held against the client.
    fn forgive(&mut self, _: Forgiven) {}

    /// Whether nothing is read for a while because too much came.
    fn is_held_back(&self) -> bool {
        false
    }

    /// The writing end for the room, which uses it while the session does not.
    fn outlet(&self) -> Arc<dyn Outlet>;

    /// Writes whole frames, or the rest of one.
    ///
    /// # Errors
    /// [`Gone`] if they are not taken in time.
    fn write(&mut self, frames: &[Bytes]) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Asks whether anyone is there.
    ///
    /// # Errors
    /// As [`Channel::write`].
    fn ping(&mut self) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Whether the socket belongs to several sessions. It has a task of its own then, which notices when nobody is there
    /// any more.
    fn is_shared(&self) -> bool {
        false
    }

    /// Says why the session ends, and lets the client hear it.
    fn close(self, close: Close) -> impl Future<Output = ()> + Send;
}

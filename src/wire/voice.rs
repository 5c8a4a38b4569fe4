//! How a session speaks: the family of its client, and what every message to it looks like.
//!
//! A room makes each frame once, as y-websocket clients read it. Hocuspocus clients read the same
//! messages with a name in front, since one of their sockets carries many documents: their frames are made
//! from the others, large ones once for all who share the name.
//! Source of the formats: y-websocket, `@hocuspocus/provider`, `@y-sweet/client`.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::lib0::write_buffer;
use super::{Message, WireError, hocuspocus, websocket, y_sweet, y_websocket};
use crate::limits::WRITE_COPY_BYTES_MAX;

/// The family of a client, as far as messages to it differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voice {
    /// y-websocket and all that speak as it does.
    YWebsocket {
        /// The client asked for `ruang.v1`: it is told what is stored.
        ruang: bool,
    },
    /// y-sweet: y-websocket with message 102, which is sent back when everything before it is stored.
    YSweet,
    /// Hocuspocus: every message begins with the document's name.
    Hocuspocus(Arc<Named>),
}

/// A document's name as a Hocuspocus client writes it: `room`, or `room\0session`.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// The name as a string of lib0: what stands before each message.
    pub prefix: Bytes,
    /// The client has told its version, as those from 4 on do: it takes what version 2 would choke on.
    pub tells_version: bool,
}

impl Named {
    /// Takes the full name, as it stands on the wire.
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        let mut prefix = Vec::with_capacity(name.len() + 2);
        write_buffer(&mut prefix, name);
        Self { prefix: prefix.into(), tells_version: false }
    }

    /// The same, of a client that has told its version.
    #[must_use]
    pub fn telling_version(self, tells_version: bool) -> Self {
        Self { tells_version, ..self }
    }
}

impl Voice {
    /// Whether the client can be told what is stored.
    #[must_use]
    pub fn hears_acks(&self) -> bool {
        !matches!(self, Self::YWebsocket { ruang: false })
    }

    /// Whether the client speaks `ruang.v1`.
    #[must_use]
    pub fn is_ruang(&self) -> bool {
        matches!(self, Self::YWebsocket { ruang: true })
    }

    /// Reads the next message of what stands in a frame behind the name, if the family has one there, and how many
    /// bytes it took.
    ///
    /// # Errors
    /// [`WireError`] if the front is no message.
    pub fn decode(&self, body: &Bytes) -> Result<(Message, usize), WireError> {
        match self {
            Self::YWebsocket { .. } => y_websocket::decode(body),
            Self::YSweet => y_sweet::decode(body),
            Self::Hocuspocus(_) => hocuspocus::decode_body(body),
        }
    }

    /// A message to this client alone, as a whole frame.
    #[must_use]
    pub fn frame(&self, message: &[u8]) -> Bytes {
        websocket::frame_of(self.prefix(), message)
    }

    /// Whether messages may be relayed to this client that are not part of the document.
    #[must_use]
    pub fn hears_stateless(&self) -> bool {
        matches!(self, Self::Hocuspocus(_))
    }

    /// A frame that was made for y-websocket clients, as this client reads it.
    #[must_use]
    pub fn reframe(&self, frame: Bytes) -> Bytes {
        match self {
            Self::YWebsocket { .. } | Self::YSweet => frame,
            Self::Hocuspocus(named) => websocket::frame_of(&named.prefix, websocket::body_of(&frame)),
        }
    }

    fn prefix(&self) -> &[u8] {
        if let Self::Hocuspocus(named) = self { &named.prefix } else { &[] }
    }
}

/// A frame that many sessions are shown.
#[derive(Debug, Clone)]
pub struct SharedFrame {
    /// As y-websocket clients read it.
    bytes: Bytes,
    /// If it is large: the same with a name in front, for the first name that was asked for. Nearly all of a
    /// room's Hocuspocus sessions have the same one.
    named: Option<Arc<OnceLock<(Bytes, Bytes)>>>,
}

impl SharedFrame {
    /// Takes a whole frame as y-websocket clients read it.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let named = (bytes.len() > WRITE_COPY_BYTES_MAX).then(Arc::default);
        Self { bytes, named }
    }

    /// The frame as a client of this voice reads it.
    #[must_use]
    pub fn for_voice(&self, voice: &Voice) -> Bytes {
        if let (Voice::Hocuspocus(named), Some(shared)) = (voice, &self.named) {
            let make = || (named.prefix.clone(), voice.reframe(self.bytes.clone()));
            let (prefix, frame) = shared.get_or_init(make);
            if *prefix == named.prefix {
                return frame.clone();
            }
        }
        voice.reframe(self.bytes.clone())
    }

    /// Bytes of the frame as y-websocket clients read it.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame has a header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl<T: AsRef<[u8]>> PartialEq<T> for SharedFrame {
    fn eq(&self, other: &T) -> bool {
        self.bytes == other.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hocuspocus(name: &str) -> Voice {
        Voice::Hocuspocus(Arc::new(Named::new(name.as_bytes())))
    }

    /// [W10] The captures of both families differ by the name in front and by nothing else.
    #[test]
    fn a_name_stands_before_each_message() {
        let shared = SharedFrame::new(y_websocket::update_frame(&[0, 0]));
        assert_eq!(shared.for_voice(&Voice::YSweet)[..], [0x82, 5, 0, 2, 2, 0, 0]);
        assert_eq!(shared.for_voice(&hocuspocus("room"))[..], *b"\x82\x0a\x04room\x00\x02\x02\x00\x00");
        assert_eq!(
            hocuspocus("room\0x").frame(y_websocket::KEEPALIVE)[..],
            *b"\x82\x0a\x06room\0x\x01\x01\x00"
        );
    }

    /// [W10] A large frame is made once for all who share a name, and rightly for those who do not.
    #[test]
    fn large_frames_are_shared_by_name() {
        for len in [200, WRITE_COPY_BYTES_MAX, 100_000] {
            let shared = SharedFrame::new(websocket::frame(&vec![7; len]));
            let [one, again, other] = ["a", "a", "b"].map(|name| shared.for_voice(&hocuspocus(name)));
            assert_eq!(one, again);
            assert_eq!(one.as_ptr() == again.as_ptr(), shared.len() > WRITE_COPY_BYTES_MAX, "{len}");
            assert_eq!(websocket::body_of(&one)[..2], *b"\x01a");
            assert_eq!(websocket::body_of(&other)[..2], *b"\x01b");
            assert_eq!(websocket::body_of(&other).len(), len + 2);
        }
    }
}

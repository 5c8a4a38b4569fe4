//! What the server says: bytes of the y-websocket family with the messages of `ruang.v1`. Source of the formats:
//! `docs/PROTOCOL.md`.

use bytes::Bytes;
use ruang::wire::lib0::Reader;
use ruang::wire::y_websocket::{self, MESSAGES_PER_FRAME_MAX};
use ruang::wire::{Message, WireError};

const AUTH: u64 = 2;
const ACK: u64 = 110;
const EXPIRY: u64 = 111;
const REFUSED: u64 = 112;
const BROKEN_RULE: u64 = 113;

/// Bytes of a position; it is opaque and kept.
const POSITION_BYTES_MAX: usize = 128;

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// "This is what I have": an encoded state vector.
    Step1(Bytes),
    /// Something of the document: an update, not judged yet. `true`: the answer to our Step1.
    Update(Bytes, bool),
    /// Presence states of others.
    Presence(Bytes),
    /// "Who are you?"
    Query,
    /// So many messages of this connection are decided; the newest stored position.
    Ack(u64, String),
    /// The room may go in so many milliseconds.
    Expiry(u64),
    /// A message of this connection was decided against, or something in it: that is stored without its content, and what was
    /// there before comes back as an update.
    Refused {
        /// Which one, counted from 1; 0: it does not say.
        message: u64,
        /// For programs; empty if the server has no word for it.
        code: String,
        /// For people.
        reason: String,
    },
    /// Something of a newer server.
    Unknown,
}

/// Reads all messages of a frame.
///
/// # Errors
/// [`WireError`]: nothing of the frame is to be taken.
pub fn hear(frame: &Bytes) -> Result<Vec<Heard>, WireError> {
    let mut heard = Vec::new();
    let mut at = 0;
    while at < frame.len() {
        if heard.len() == MESSAGES_PER_FRAME_MAX {
            return Err(WireError::TooManyMessages);
        }
        let rest = frame.slice(at..);
        let (message, used) = y_websocket::decode(&rest)?;
        heard.push(match message {
            Message::SyncStep1(state_vector) => Heard::Step1(state_vector),
            Message::SyncStep2(update) => Heard::Update(update, true),
            Message::Update(update) => Heard::Update(update, false),
            Message::Presence(update) => Heard::Presence(update),
            Message::QueryPresence => Heard::Query,
            Message::Unknown(kind) => servers_own(kind, &rest)?,
            Message::Echo(_) | Message::Stateless(_) => Heard::Unknown,
        });
        at += used;
    }
    Ok(heard)
}

/// A message that only servers send. It is the last of its frame.
fn servers_own(kind: u64, message: &Bytes) -> Result<Heard, WireError> {
    let mut reader = Reader::new(message);
    reader.var_uint()?; // the kind
    Ok(match kind {
        ACK => {
            let (count, position) = (reader.var_uint()?, reader.string()?);
            if position.len() > POSITION_BYTES_MAX {
                return Err(WireError::Truncated);
            }
            Heard::Ack(count, position.to_owned())
        }
        EXPIRY => Heard::Expiry(reader.var_uint()?),
        REFUSED => {
            let (message, reason) = (reader.var_uint()?, reader.string()?.to_owned());
            Heard::Refused { message, code: String::new(), reason }
        }
        BROKEN_RULE => {
            let (message, code) = (reader.var_uint()?, reader.string()?.to_owned());
            Heard::Refused { message, code, reason: reader.string()?.to_owned() }
        }
        AUTH => {
            reader.var_uint()?; // "permission denied", the only one
            Heard::Refused { message: 0, code: String::new(), reason: reader.string()?.to_owned() }
        }
        _ => Heard::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use ruang::ids::Position;

    use super::*;

    /// [C1] Each message of the server is heard as what it is; what a newer one may say is passed over.
    #[test]
    fn the_servers_messages_are_heard() {
        let one = |bytes: Bytes| hear(&bytes).unwrap().pop().unwrap();
        assert_eq!(
            one(y_websocket::ack(300, Position { ms: 12, seq: 4 })),
            Heard::Ack(300, "12-4".to_owned())
        );
        assert_eq!(one(y_websocket::expiry(300)), Heard::Expiry(300));
        let refused = |message, code: &str, reason: &str| Heard::Refused {
            message,
            code: code.to_owned(),
            reason: reason.to_owned(),
        };
        assert_eq!(one(Bytes::from_static(b"\x70\x03\x02no")), refused(3, "", "no"));
        assert_eq!(one(Bytes::from_static(b"\x71\x03\x01c\x02no")), refused(3, "c", "no"));
        assert_eq!(one(y_websocket::permission_denied("no")), refused(0, "", "no"));
        assert_eq!(one(y_websocket::sync_step2(&[0, 0])), Heard::Update(Bytes::from_static(&[0, 0]), true));
        assert_eq!(one(Bytes::from_static(&[99, 1, 2])), Heard::Unknown);
        let two = [&y_websocket::sync_step1(&[0])[..], y_websocket::KEEPALIVE].concat();
        assert_eq!(hear(&two.into()).unwrap().len(), 2);
        for bad in
            [&[110][..], &[110, 1], &[110, 1, 9, 1], &[111], &[112, 1], &[112, 1, 1, 0xff], &[2, 0], &[0]]
        {
            assert!(hear(&Bytes::copy_from_slice(bad)).is_err(), "{bad:?}");
        }
    }
}

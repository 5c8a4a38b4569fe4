//! The y-websocket family: `y-websocket`, `@y/websocket`, pycrdt, yrs.
//!
//! A frame begins with a message type: 0 sync, 1 awareness, 2 auth, 3 query awareness; `ruang.v1`
//! adds 110, the ack, 111, the warning that the room may go, 112, the refusal, and 113, the broken rule, which only the
//! server sends. We write one message per frame, since the JavaScript client reads one and forgets the rest; we read several, since
//! yrs clients pack them.
//! Source: y-websocket `src/y-websocket.js`, y-protocols.

use bytes::Bytes;

use super::lib0::{Reader, var_uint_len, write_buffer, write_var_uint};
use super::{Message, WireError, websocket};
use crate::ids::Position;

/// Messages that one frame may carry. yrs packs two; 64 is generous.
pub const MESSAGES_PER_FRAME_MAX: usize = 64;

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const QUERY_AWARENESS: u64 = 3;
const ACK: u64 = 110;
const EXPIRY: u64 = 111;
const REFUSED: u64 = 112;
const BROKEN_RULE: u64 = 113;
const AUTH: u64 = 2;
const PERMISSION_DENIED: u64 = 0;
const STEP1: u64 = 0;
const STEP2: u64 = 1;
const UPDATE: u64 = 2;

/// An awareness update that says nothing. It keeps the clients' 30 s watchdog quiet.
pub const KEEPALIVE: &[u8] = &[1, 1, 0];

/// Reads the next message of a frame, and how many bytes of `frame` it took.
///
/// # Errors
/// [`WireError`] if the front of `frame` is no message.
pub fn decode(frame: &Bytes) -> Result<(Message, usize), WireError> {
    let mut reader = Reader::new(frame);
    let message = match reader.var_uint()? {
        SYNC => {
            let step = reader.var_uint()?;
            let body = frame.slice_ref(reader.buffer()?);
            match step {
                STEP1 => Message::SyncStep1(body),
                STEP2 => Message::SyncStep2(body),
                UPDATE => Message::Update(body),
                other => return Err(WireError::UnknownSync(other)),
            }
        }
        AWARENESS => Message::Presence(frame.slice_ref(reader.buffer()?)),
        // y-sweet's client sends a body here; it may be anything, and nothing can follow it.
        QUERY_AWARENESS => return Ok((Message::QueryPresence, frame.len())),
        // The length of an unknown message is unknown too: the rest of the frame belongs to it.
        other => return Ok((Message::Unknown(other), frame.len())),
    };
    Ok((message, reader.position()))
}

/// Our SyncStep1: "send me what is missing here".
#[must_use]
pub fn sync_step1(state_vector: &[u8]) -> Bytes {
    sync(STEP1, state_vector)
}

/// Our SyncStep2: the answer to a client's SyncStep1.
#[must_use]
pub fn sync_step2(update: &[u8]) -> Bytes {
    sync(STEP2, update)
}

/// An update relayed to a client.
#[must_use]
pub fn update(update: &[u8]) -> Bytes {
    sync(UPDATE, update)
}

/// [`update`] as a whole frame, with one copy of its bytes.
#[must_use]
pub fn update_frame(update: &[u8]) -> Bytes {
    websocket::frame_of(&sync_head(UPDATE, update.len()), update)
}

/// [`sync_step2`] as a whole frame, with one copy of its bytes.
#[must_use]
pub fn sync_step2_frame(update: &[u8]) -> Bytes {
    websocket::frame_of(&sync_head(STEP2, update.len()), update)
}

/// Presence states relayed to a client: an encoded awareness update.
#[must_use]
pub fn presence(awareness_update: &[u8]) -> Bytes {
    let mut out =
        Vec::with_capacity(1 + var_uint_len(awareness_update.len() as u64) + awareness_update.len());
    write_var_uint(&mut out, AWARENESS);
    write_buffer(&mut out, awareness_update);
    out.into()
}

/// The ack of `ruang.v1`: how many of the session's Step2 and Update messages are decided, in
/// order, and the newest stored position then.
#[must_use]
pub fn ack(decided: u64, position: Position) -> Bytes {
    let mut out = Vec::with_capacity(40);
    write_var_uint(&mut out, ACK);
    write_var_uint(&mut out, decided);
    write_buffer(&mut out, position.to_string().as_bytes());
    out.into()
}

/// The refusal of `ruang.v1`: one of the session's Step2 and Update messages, counted from 1, was not stored
/// and will not be. The ack that counts it comes behind.
#[must_use]
pub fn refused(ordinal: u64, reason: &str) -> Bytes {
    let mut out = Vec::with_capacity(reason.len() + 12);
    write_var_uint(&mut out, REFUSED);
    write_var_uint(&mut out, ordinal);
    write_buffer(&mut out, reason.as_bytes());
    out.into()
}

/// The broken rule of `ruang.v1`: something in one of the session's Step2 and Update messages, counted from 1, breaks a
/// rule of the board, and is stored without its content. The ack that counts it comes behind.
#[must_use]
pub fn broken_rule(ordinal: u64, code: &str, why: &str) -> Bytes {
    let mut out = Vec::with_capacity(code.len() + why.len() + 16);
    write_var_uint(&mut out, BROKEN_RULE);
    write_var_uint(&mut out, ordinal);
    write_buffer(&mut out, code.as_bytes());
    write_buffer(&mut out, why.as_bytes());
    out.into()
}

/// "Permission denied", the one word on rights that the family has. Clients write it to their console.
#[must_use]
pub fn permission_denied(reason: &str) -> Bytes {
    let mut out = Vec::with_capacity(reason.len() + 12);
    write_var_uint(&mut out, AUTH);
    write_var_uint(&mut out, PERMISSION_DENIED);
    write_buffer(&mut out, reason.as_bytes());
    out.into()
}

/// The warning of `ruang.v1`: the room may go in so many milliseconds, unless someone stays or edits.
#[must_use]
pub fn expiry(in_ms: u64) -> Bytes {
    let mut out = Vec::with_capacity(10);
    write_var_uint(&mut out, EXPIRY);
    write_var_uint(&mut out, in_ms);
    out.into()
}

fn sync(step: u64, body: &[u8]) -> Bytes {
    [&sync_head(step, body.len()), body].concat().into()
}

/// What stands before a body of `len` bytes.
fn sync_head(step: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(12);
    write_var_uint(&mut out, SYNC);
    write_var_uint(&mut out, step);
    write_var_uint(&mut out, len as u64);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from y-websocket 3.1 (client id 7, one offline edit).
    #[test]
    fn captured_frames_decode() {
        let frame = |bytes: &'static [u8]| Bytes::from_static(bytes);
        let step1 = frame(&[0, 0, 3, 1, 7, 1]);
        assert_eq!(decode(&step1), Ok((Message::SyncStep1(frame(&[1, 7, 1])), 6)));
        let awareness = frame(&[1, 6, 1, 7, 0, 2, 0x7b, 0x7d]);
        assert_eq!(decode(&awareness), Ok((Message::Presence(frame(&[1, 7, 0, 2, 0x7b, 0x7d])), 8)));
        assert_eq!(decode(&frame(&[3])), Ok((Message::QueryPresence, 1)));
        assert_eq!(decode(&frame(&[0x66, 1, 0])), Ok((Message::Unknown(0x66), 3)));
    }

    #[test]
    fn a_frame_may_carry_several_messages() {
        let mut both = sync_step1(&[0]).to_vec();
        both.extend_from_slice(KEEPALIVE);
        let both = Bytes::from(both);
        let (first, used) = decode(&both).unwrap();
        assert_eq!(first, Message::SyncStep1(Bytes::from_static(&[0])));
        assert_eq!(decode(&both.slice(used..)).unwrap().0, Message::Presence(Bytes::from_static(&[0])));
    }

    #[test]
    fn what_we_write_is_what_clients_read() {
        assert_eq!(sync_step2(&[0, 0])[..], [0, 1, 2, 0, 0]);
        assert_eq!(sync_step1(&[0])[..], [0, 0, 1, 0]);
        assert_eq!(update(&[0, 0])[..], [0, 2, 2, 0, 0]);
        assert_eq!(permission_denied("no")[..], *b"\x02\x00\x02no");
        assert_eq!(refused(3, "no")[..], *b"\x70\x03\x02no");
        assert_eq!(broken_rule(300, "meta", "no")[..], *b"\x71\xac\x02\x04meta\x02no");
        assert_eq!(update_frame(&[0, 0]), websocket::frame(&update(&[0, 0])));
        assert_eq!(sync_step2_frame(&[7; 70_000]), websocket::frame(&sync_step2(&[7; 70_000])));
        assert_eq!(ack(3, Position { ms: 12, seq: 4 })[..], *b"\x6e\x03\x0412-4");
        assert_eq!(expiry(300)[..], [0x6f, 0xac, 0x02]);
    }

    #[test]
    fn broken_frames_are_refused() {
        for bytes in [&[][..], &[0], &[0, 0], &[0, 3, 0], &[0, 2, 9, 1], &[1, 5], &[0x80]] {
            assert!(decode(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}

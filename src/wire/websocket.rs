//! WebSocket frames: a server's around a message, and what clients send (`reader`). Frames from a
//! server are not masked, so they are the same bytes for every recipient: made once, shared by all.
//! Source: RFC 6455, section 5.2.

mod reader;

use bytes::Bytes;

use super::close::Close;

pub use reader::{FrameError, Incoming, Reader};

const FINAL_BINARY: u8 = 0x82;
const FINAL_CLOSE: u8 = 0x88;
const FINAL_PONG: u8 = 0x8A;

/// A ping without content.
pub const PING: &[u8] = &[0x89, 0];

/// One unfragmented binary frame with `message` in it.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    frame_of(message, &[])
}

/// The same for a message of two parts: one copy of each.
#[must_use]
pub fn frame_of(head: &[u8], body: &[u8]) -> Bytes {
    let len = head.len() + body.len();
    let mut out = Vec::with_capacity(len + header_bytes(len));
    out.push(FINAL_BINARY);
    match len {
        0..=125 => out.push(len as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(head);
    out.extend_from_slice(body);
    out.into()
}

/// The message in a frame that [`frame`] or [`frame_of`] has made.
///
/// # Panics
/// If it is no such frame.
#[must_use]
pub fn body_of(frame: &[u8]) -> &[u8] {
    match frame[1] {
        126 => &frame[4..],
        127 => &frame[10..],
        _ => &frame[2..],
    }
}

fn header_bytes(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The answer to a ping, which has at most 125 bytes.
///
/// # Panics
/// If it has more.
#[must_use]
pub fn pong(ping: &[u8]) -> Bytes {
    control(FINAL_PONG, ping)
}

/// A close frame that tells why.
#[must_use]
pub fn close(close: &Close) -> Bytes {
    let mut payload = close.code.to_be_bytes().to_vec();
    payload.extend_from_slice(close.reason_bytes().as_bytes());
    control(FINAL_CLOSE, &payload)
}

/// The answer to a client's close frame: its code, if it gave one.
#[must_use]
pub fn close_reply(code: u16) -> Bytes {
    // 1005 stands for "no code" and is never written.
    if code == 1005 { control(FINAL_CLOSE, &[]) } else { control(FINAL_CLOSE, &code.to_be_bytes()) }
}

fn control(first: u8, payload: &[u8]) -> Bytes {
    assert!(payload.len() <= 125, "control frames are short");
    let mut out = Vec::with_capacity(payload.len() + 2);
    out.extend_from_slice(&[first, payload.len() as u8]);
    out.extend_from_slice(payload);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [W7] Lengths are written in the shortest of the three forms.
    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(frame(b"ab")[..], [0x82, 2, b'a', b'b']);
        assert_eq!(frame(&[0; 125])[..2], [0x82, 125]);
        assert_eq!(frame(&[0; 126])[..4], [0x82, 126, 0, 126]);
        assert_eq!(frame(&[0; 65_535])[..4], [0x82, 126, 0xff, 0xff]);
        assert_eq!(frame(&[0; 65_536])[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(frame(&[7; 65_536]).len(), 65_546);
        for len in [0, 125, 126, 65_535, 65_536] {
            assert_eq!(body_of(&frame(&vec![7; len])), vec![7; len]);
        }
    }
}

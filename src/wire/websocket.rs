//! A server's WebSocket frame around a message. Frames from a server are not masked, so they are
//! the same bytes for every recipient: made once, shared by all. Source: RFC 6455, section 5.2.

use bytes::Bytes;

const FINAL_BINARY: u8 = 0x82;

/// One unfragmented binary frame with `message` in it.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 10);
    out.push(FINAL_BINARY);
    match message.len() {
        len @ 0..=125 => out.push(len as u8),
        len @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(message);
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
    }
}

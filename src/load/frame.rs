//! WebSocket frames (RFC 6455), as little as a client under measurement needs: it writes masked
//! frames and cuts unmasked ones out of what a read brought. Pure.
//!
//! Not the library's codec: a client that holds no buffer of its own while idle, and looks at ten
//! frames of one read in place, is what lets one process play a thousand people on half a core.

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// The largest frame that is taken: the server's own bound of a document, and some.
const PAYLOAD_BYTES_MAX: u64 = 128 << 20;

/// Why the stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the server sent a frame with reserved bits or an unknown kind")]
    Unknown,
    #[error("the server sent a masked frame")]
    Masked,
    #[error("the server sent a message in several frames, which this client does not read")]
    Fragmented,
    #[error("the server sent a frame of {0} bytes")]
    TooLarge(u64),
}

/// Where a frame lies in the bytes that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Bytes before the payload.
    pub(super) head: usize,
    /// Bytes of the whole frame.
    pub(super) total: usize,
}

/// The header of the frame that `bytes` start with; `None` if there are too few to tell. The
/// payload may still be incomplete.
#[inline]
pub(super) fn header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let kind = match first & 0x7f {
        0 => Kind::Continuation,
        1 => Kind::Text,
        2 => Kind::Binary,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Pong,
        _ => return Err(FrameError::Unknown),
    };
    if first & 0x80 == 0 || kind == Kind::Continuation {
        return Err(FrameError::Fragmented);
    }
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let (head, len) = match second {
        126 => match rest {
            [a, b, ..] => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(len) => (10, u64::from_be_bytes(*len)),
            None => return Ok(None),
        },
        len => (2, u64::from(*len)),
    };
    if len > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLarge(len));
    }
    Ok(Some(Header { kind, head, total: head + len as usize }))
}

/// Appends one masked frame with `payload`.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, payload: &[u8], mask: [u8; 4]) {
    let opcode = match kind {
        Kind::Continuation => 0,
        Kind::Text => 1,
        Kind::Binary => 2,
        Kind::Close => 8,
        Kind::Ping => 9,
        Kind::Pong => 10,
    };
    out.push(0x80 | opcode);
    match payload.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::{Frame, coding};
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    #[test]
    fn the_library_reads_what_we_write() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut out = Vec::new();
            put(&mut out, Kind::Binary, &payload, [1, 2, 3, 4]);
            let mut socket = WebSocket::from_raw_socket(std::io::Cursor::new(out), Role::Server, None);
            let read = socket.read().unwrap();
            println!("{len} bytes: read by the library as {} bytes", read.len());
            assert_eq!(read, Message::binary(payload));
        }
    }

    #[test]
    fn we_read_what_the_library_writes_at_any_cut() {
        for len in [0usize, 1, 125, 126, 65_535, 65_536] {
            let frame = Frame::message(vec![7; len], coding::OpCode::Data(coding::Data::Binary), true);
            let mut bytes = Vec::new();
            frame.format(&mut bytes).unwrap();
            let whole = header(&bytes).unwrap().unwrap();
            println!("{len} bytes: head {}, total {}", whole.head, whole.total);
            assert_eq!((whole.kind, whole.total), (Kind::Binary, bytes.len()));
            for cut in 0..whole.head {
                assert_eq!(header(&bytes[..cut]), Ok(None));
            }
        }
        assert_eq!(header(&[0x02, 0]), Err(FrameError::Fragmented));
        assert_eq!(header(&[0x82, 0x80]), Err(FrameError::Masked));
        assert_eq!(header(&[0xc2, 0]), Err(FrameError::Unknown));
        assert!(header(&[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}

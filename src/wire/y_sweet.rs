//! The y-sweet family: y-websocket's messages, and 102, by which a client asks whether what it has sent is
//! stored: `66 buffer`, sent back unchanged.
//! Source: `@y-sweet/client` 0.9, `provider.ts`; y-sweet-core `doc_connection.rs`.

use bytes::Bytes;

use super::lib0::Reader;
use super::{Message, WireError, y_websocket};

const SYNC_STATUS: u64 = 102;

/// Reads the next message of a frame, and how many bytes of `frame` it took.
///
/// # Errors
/// [`WireError`] if the front of `frame` is no message.
pub fn decode(frame: &Bytes) -> Result<(Message, usize), WireError> {
    let mut reader = Reader::new(frame);
    if reader.var_uint()? != SYNC_STATUS {
        return y_websocket::decode(frame);
    }
    reader.buffer()?;
    let used = reader.position();
    Ok((Message::Echo(frame.slice(..used)), used))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [W11] Captured from `@y-sweet/client` 0.9: a status goes back as it came; all else is y-websocket's.
    #[test]
    fn a_status_is_told_from_other_messages() {
        let status = Bytes::from_static(&[0x66, 1, 0]);
        assert_eq!(decode(&status), Ok((Message::Echo(status.clone()), 3)));
        assert_eq!(decode(&Bytes::from_static(&[0x66, 9, 0])), Err(WireError::Truncated));
        assert_eq!(decode(&Bytes::from_static(&[3, 1, 0])), Ok((Message::QueryPresence, 3)));
    }
}

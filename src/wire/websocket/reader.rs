//! What a client sends: bytes in, messages out. Source: RFC 6455, section 5.
//!
//! Pure: the shell says where bytes come from. The memory held is what has come of a frame or a
//! message that is not whole yet, so a connection that is quiet holds nothing, whatever it was sent
//! before; lengths that are only declared cost nothing.

use bytes::Bytes;

use crate::limits::{FRAMES_PER_MESSAGE_MAX, READ_CHUNK_BYTES, READ_SCRATCH_BYTES};

/// Continuation, text, binary, close, ping, pong: section 5.2.
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Bytes of a control frame's payload, at most.
const CONTROL_BYTES_MAX: u64 = 125;

/// One thing that a client has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole binary message.
    Binary(Bytes),
    /// A whole text message. Nothing that is spoken here is text, so its bytes are not kept.
    Text,
    /// To be answered with a pong of the same bytes.
    Ping(Bytes),
    /// An answer to a ping of ours.
    Pong,
    /// The client says goodbye; the code is to be said back. 1005 if it gave none.
    Close(u16),
}

/// Why bytes are no frames of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Section 5.1.
    #[error("a client's frames are masked, this one is not")]
    Unmasked,
    /// No extension was agreed on.
    #[error("a reserved bit is set")]
    Reserved,
    /// Section 5.2 knows six of the sixteen.
    #[error("frames of type {0} are not known")]
    UnknownType(u8),
    /// Section 5.5.
    #[error("a control frame is in pieces, or longer than {CONTROL_BYTES_MAX} bytes")]
    Control,
    /// A code of one byte, or one that nobody may send.
    #[error("a close frame without a proper code")]
    Close,
    /// A continuation of nothing, a new message within another, or very many pieces.
    #[error("the pieces of a message are out of order, or more than {FRAMES_PER_MESSAGE_MAX}")]
    Pieces,
    /// Refused before its bytes are read.
    #[error("a message has at most {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
}

/// The reading end of one connection.
#[derive(Debug)]
pub struct Reader {
    /// What has come of frames that were not taken yet. No memory while it is empty.
    buffer: Vec<u8>,
    /// How much of `buffer` was taken.
    at: usize,
    /// The pieces of a message that is not whole.
    pieces: Option<Pieces>,
    /// Frames since [`Reader::take_frames`].
    frames: u32,
    message_bytes_max: usize,
}

#[derive(Debug)]
struct Pieces {
    is_text: bool,
    bytes: Vec<u8>,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct Head {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of the head itself.
    len: usize,
    payload: usize,
}

impl Reader {
    /// Reads messages of up to `message_bytes_max` bytes, whole or in pieces.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), at: 0, pieces: None, frames: 0, message_bytes_max }
    }

    /// Takes what was read before there was a reader.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Lets `read` put bytes into a buffer that it is given; returns what it returns, which must be
    /// how many these are. Small ones come by way of the stack, so that waiting costs no memory;
    /// those of a large frame go straight to their place.
    ///
    /// # Errors
    /// Those of `read`: nothing has changed then.
    pub fn fill<E>(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        let missing = self.missing();
        if missing <= READ_SCRATCH_BYTES {
            let mut scratch = [0; READ_SCRATCH_BYTES];
            let len = read(&mut scratch)?;
            self.buffer.extend_from_slice(&scratch[..len]);
            return Ok(len);
        }
        let from = self.buffer.len();
        let chunk = missing.min(READ_CHUNK_BYTES);
        if self.buffer.capacity() - from < chunk {
            // Doubled, but never beyond the frame: memory follows what has come.
            self.buffer.reserve_exact(missing.min(from.max(chunk)));
        }
        self.buffer.resize(from + chunk, 0);
        let read = read(&mut self.buffer[from..]);
        self.buffer.truncate(from + read.as_ref().copied().unwrap_or(0).min(chunk));
        read
    }

    /// The next thing that has come whole, if one has. Not to be called again after an error.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes at hand show it.
    #[expect(clippy::should_implement_trait, reason = "there may be more after `None`")]
    pub fn next(&mut self) -> Result<Option<Incoming>, FrameError> {
        loop {
            let head = match self.head()? {
                Some(head) if self.buffer.len() - self.at >= head.len + head.payload => head,
                _ => {
                    self.tidy();
                    return Ok(None);
                }
            };
            let payload = self.take(head);
            self.frames += 1;
            if self.frames > FRAMES_PER_MESSAGE_MAX {
                return Err(FrameError::Pieces);
            }
            if let Some(incoming) = self.on_frame(head, payload)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// How many frames were taken since this was asked before: a message may be in many.
    pub fn take_frames(&mut self) -> u32 {
        std::mem::take(&mut self.frames)
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity() + self.pieces.as_ref().map_or(0, |pieces| pieces.bytes.capacity())
    }

    /// Bytes that the frame under way lacks, as far as its head tells.
    fn missing(&self) -> usize {
        match self.head() {
            Ok(Some(head)) => (head.len + head.payload).saturating_sub(self.buffer.len() - self.at),
            _ => 0,
        }
    }

    /// Reads and judges the head of the next frame, if it is there.
    fn head(&self) -> Result<Option<Head>, FrameError> {
        let bytes = &self.buffer[self.at..];
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (opcode, is_final) = (first & 0x0f, first & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(FrameError::Reserved);
        }
        if second & 0x80 == 0 {
            return Err(FrameError::Unmasked);
        }
        let (payload, rest) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
            }
            (126 | 127, _) => return Ok(None),
            (len, rest) => (u64::from(len), rest),
        };
        let under_way = match opcode {
            CONTINUATION => self.pieces.as_ref().ok_or(FrameError::Pieces)?.bytes.len(),
            TEXT | BINARY if self.pieces.is_some() => return Err(FrameError::Pieces),
            TEXT | BINARY => 0,
            CLOSE | PING | PONG if !is_final || payload > CONTROL_BYTES_MAX => {
                return Err(FrameError::Control);
            }
            CLOSE | PING | PONG => 0,
            unknown => return Err(FrameError::UnknownType(unknown)),
        };
        let max = self.message_bytes_max;
        let payload = usize::try_from(payload).ok().filter(|payload| *payload <= max - under_way.min(max));
        let payload = payload.ok_or(FrameError::TooLarge { max })?;
        let [a, b, c, d, rest @ ..] = rest else { return Ok(None) };
        let len = bytes.len() - rest.len();
        Ok(Some(Head { is_final, opcode, mask: [*a, *b, *c, *d], len, payload }))
    }

    /// Takes a frame that is there as a whole; returns its payload, unmasked.
    fn take(&mut self, head: Head) -> Bytes {
        let from = self.at + head.len;
        let to = from + head.payload;
        if to == self.buffer.len() && head.payload > READ_SCRATCH_BYTES {
            // A large one keeps the memory that it came in.
            self.at = 0;
            let mut buffer = std::mem::take(&mut self.buffer);
            unmask(&mut buffer[from..], head.mask);
            Bytes::from(buffer).slice(from..)
        } else {
            self.at = to;
            let mut payload = self.buffer[from..to].to_vec();
            unmask(&mut payload, head.mask);
            payload.into()
        }
    }

    fn on_frame(&mut self, head: Head, payload: Bytes) -> Result<Option<Incoming>, FrameError> {
        let (is_text, bytes) = match head.opcode {
            PING => return Ok(Some(Incoming::Ping(payload))),
            PONG => return Ok(Some(Incoming::Pong)),
            CLOSE => return close_code(&payload).map(|code| Some(Incoming::Close(code))),
            CONTINUATION => {
                let mut pieces = self.pieces.take().ok_or(FrameError::Pieces)?;
                pieces.bytes.extend_from_slice(&payload);
                (pieces.is_text, Bytes::from(pieces.bytes))
            }
            opcode => (opcode == TEXT, payload),
        };
        if !head.is_final {
            self.pieces = Some(Pieces { is_text, bytes: bytes.into() });
            return Ok(None);
        }
        Ok(Some(if is_text { Incoming::Text } else { Incoming::Binary(bytes) }))
    }

    /// Lets go of memory that nothing is in.
    fn tidy(&mut self) {
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        } else if self.buffer.capacity() > 2 * READ_SCRATCH_BYTES.max(self.buffer.len() + self.missing()) {
            self.buffer.shrink_to_fit();
        }
    }
}

/// The code of a close frame: one that a client may send, or 1005 for none.
fn close_code(payload: &[u8]) -> Result<u16, FrameError> {
    match payload {
        [] => Ok(1005),
        [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) if str::from_utf8(reason).is_ok() => Ok(code),
            _ => Err(FrameError::Close),
        },
        [_] => Err(FrameError::Close),
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;

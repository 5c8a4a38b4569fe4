//! Close codes: what each tells the client to do.
//!
//! 4400 to 4499 are final for y-websocket 3.1: never for something temporary. 1003 and 4408 are
//! never used. Everything else makes the provider come back by itself.

use std::borrow::Cow;

/// How a session ends: a code of this module and one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// One of the codes of this module.
    pub code: u16,
    /// At most 123 bytes, by RFC 6455; longer ones are cut when sent.
    pub reason: Cow<'static, str>,
}

/// The server restarts: come back, at a time of your own.
pub const RESTART: u16 = 1012;
/// The server is too busy, or this room cannot be served now: come back later.
pub const BUSY: u16 = 1013;
/// The bytes are no message, or no update that can be stored. Final.
pub const MALFORMED: u16 = 4400;
/// No token, or one that does not count (any more). Final: another one has to come.
pub const UNAUTHORIZED: u16 = 4401;
/// The token is good, but not for this. Final, and the same whether the room exists or not.
pub const FORBIDDEN: u16 = 4403;
/// The client's copy is of another life of this room. Final: reload without the copy, or save it
/// as a new room.
pub const OTHER_GENERATION: u16 = 4409;
/// Larger than a limit. Final. Also sent in place of the library's 1009.
pub const TOO_LARGE: u16 = 4413;
/// The token of a live session has expired. Not final: the client comes back with a new one.
pub const EXPIRED: u16 = 4501;
/// Faster than a socket may send, for too long. Not final: come back later.
pub const TOO_FAST: u16 = 4529;

impl Close {
    /// A close of `code` with `reason`.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The reason, cut to what fits into a close frame.
    #[must_use]
    pub fn reason_bytes(&self) -> &str {
        let mut end = self.reason.len().min(123);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        &self.reason[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_a_close_frame_and_stay_utf8() {
        let close = Close::new(MALFORMED, "é".repeat(100));
        assert_eq!(close.reason_bytes().len(), 122);
        assert_eq!(Close::new(BUSY, "later").reason_bytes(), "later");
    }
}

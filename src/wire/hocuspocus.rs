//! The Hocuspocus family: `@hocuspocus/provider` 2, 3 and 4.
//!
//! One socket carries many documents, so every frame begins with a document's name. Behind it stand y-websocket's
//! messages (0, 1, 3) and some more: 2 auth, 5 stateless, 7 close, 8 what became of an edit; 4 and 6 are spoken between
//! servers only. Version 4 writes `room NUL session` for a name, so that one document may be there twice; answers
//! repeat the name as it came. Frames of the one byte 9 or 10 are a ping and its answer.
//! Source: `@hocuspocus/provider`, `@hocuspocus/server`, `@hocuspocus/common` (`auth.ts`, `routingKey.ts`).

use std::fmt;

use bytes::Bytes;

use super::lib0::{Reader, write_buffer, write_var_uint};
use super::{Message, WireError, y_websocket};
use crate::limits::{HOCUSPOCUS_NAME_BYTES_MAX, HOCUSPOCUS_TOKEN_BYTES_MAX, STATELESS_BYTES_MAX};

const SYNC: u64 = 0;
const AUTH: u64 = 2;
const SYNC_REPLY: u64 = 4;
const STATELESS: u64 = 5;
const BROADCAST_STATELESS: u64 = 6;
const CLOSE: u64 = 7;
const SYNC_STATUS: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const TOKEN: u64 = 0;
const DENIED: u64 = 1;
const AUTHENTICATED: u64 = 2;

/// The answer to a client's ping.
pub const PONG_FRAME: &[u8] = &[PONG];

/// What one frame from a client is.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// "Are you there?", of the socket.
    Ping,
    /// The answer to a ping.
    Pong,
    /// Something about one document.
    About {
        /// Its name as it came: `room`, or `room NUL session`.
        name: Bytes,
        /// What is said of it.
        said: Said,
    },
}

/// What a client says of a document.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// "This is who I am."
    Token {
        /// May be empty: the provider has none.
        token: Token,
        /// The provider has told its version, as those from 4 on do.
        tells_version: bool,
    },
    /// "I leave this document."
    Close,
    /// A message for the document's session: see [`decode_body`].
    Body(Bytes),
}

/// A token as a client sent it. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Bytes);

impl Token {
    /// The token, if there is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok().filter(|token| !token.is_empty())
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token of {} bytes", self.0.len())
    }
}

/// Reads a frame as far as it has to be known whom it is for.
///
/// # Errors
/// [`WireError`] if nobody can be told to whom it belongs, or a token is none.
pub fn decode(frame: &Bytes) -> Result<Frame, WireError> {
    match frame[..] {
        [PING] => return Ok(Frame::Ping),
        [PONG] => return Ok(Frame::Pong),
        _ => {}
    }
    let mut reader = Reader::new(frame);
    let name = reader.string()?;
    if name.len() > HOCUSPOCUS_NAME_BYTES_MAX {
        return Err(WireError::LongName);
    }
    let name = frame.slice_ref(name.as_bytes());
    let body = frame.slice(reader.position()..);
    let said = match reader.var_uint()? {
        CLOSE => Said::Close,
        AUTH if reader.var_uint()? == TOKEN => {
            let token = reader.string()?;
            if token.len() > HOCUSPOCUS_TOKEN_BYTES_MAX {
                return Err(WireError::LongToken);
            }
            let token = Token(frame.slice_ref(token.as_bytes()));
            let tells_version = !reader.is_empty();
            if tells_version {
                reader.string()?;
            }
            Said::Token { token, tells_version }
        }
        _ => Said::Body(body),
    };
    Ok(Frame::About { name, said })
}

/// The room's part of a document's name.
#[must_use]
pub fn room_part(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Whether a message is a Step1: what a provider of version 2 without a token begins with.
#[must_use]
pub fn is_step1(body: &[u8]) -> bool {
    body.starts_with(&[SYNC as u8, 0])
}

/// Whether a message is a Step2.
#[must_use]
pub fn is_step2(body: &[u8]) -> bool {
    body.starts_with(&[SYNC as u8, 1])
}

/// Reads the message behind a name, and how many bytes it took.
///
/// # Errors
/// [`WireError`] if it is none, or one that clients do not send.
pub fn decode_body(body: &Bytes) -> Result<(Message, usize), WireError> {
    let mut reader = Reader::new(body);
    match reader.var_uint()? {
        STATELESS => {
            let payload = reader.string()?;
            if payload.len() > STATELESS_BYTES_MAX {
                return Err(WireError::LongStateless);
            }
            Ok((Message::Stateless(body.slice_ref(payload.as_bytes())), reader.position()))
        }
        only @ (SYNC_REPLY | BROADCAST_STATELESS) => Err(WireError::ServerOnly(only)),
        _ => y_websocket::decode(body),
    }
}

/// Tells of one Step2 or Update, in order: stored, or refused. Behind the document's name.
#[must_use]
pub fn sync_status(stored: bool) -> Bytes {
    Bytes::copy_from_slice(&[SYNC_STATUS, u8::from(stored)])
}

/// "You are in", and whether to write. Behind the document's name.
#[must_use]
pub fn authenticated(may_write: bool) -> Bytes {
    auth(AUTHENTICATED, if may_write { "read-write" } else { "readonly" })
}

/// "You are not in", or no longer. Behind the document's name; the socket stays.
#[must_use]
pub fn denied(reason: &str) -> Bytes {
    auth(DENIED, reason)
}

/// "Send your token again": versions 3 and 4 do, version 2 ignores it. Behind the document's name.
#[must_use]
pub fn ask_token() -> Bytes {
    Bytes::from_static(&[AUTH as u8, TOKEN as u8])
}

/// "This document is closed", for versions 3 and 4 only: version 2 throws. Behind the document's name.
#[must_use]
pub fn closed(reason: &str) -> Bytes {
    text(&[CLOSE], reason)
}

/// A message that is not part of the document. Behind the document's name.
#[must_use]
pub fn stateless(payload: &str) -> Bytes {
    text(&[STATELESS], payload)
}

fn auth(kind: u64, word: &str) -> Bytes {
    text(&[AUTH, kind], word)
}

fn text(head: &[u64], text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 6);
    head.iter().for_each(|number| write_var_uint(&mut out, *number));
    write_buffer(&mut out, text.as_bytes());
    out.into()
}

#[cfg(test)]
mod tests;

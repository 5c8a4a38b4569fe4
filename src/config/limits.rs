//! Settings of how many and how fast.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::limits::{DOCUMENT_BYTES_MAX, PRESENCE_STATE_BYTES_MAX};
use crate::session::desk::DeskBounds;
use crate::throttle::Limits;

use super::{parse_bytes, parse_duration};

/// How many, and how fast. `off` is no bound.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Connections of this instance.
    #[arg(long, env = "RUANG_SOCKETS", value_name = "N|off", default_value = "20000")]
    pub sockets: Count,

    /// Connections of one address; in IPv6 of one /64. Connections from this machine are not bounded by address.
    #[arg(long, env = "RUANG_SOCKETS_PER_ADDRESS", value_name = "N|off", default_value = "2000")]
    pub sockets_per_address: Count,

    /// Sessions of this instance: one for each document that a client has open.
    #[arg(long, env = "RUANG_SESSIONS", value_name = "N|off", default_value = "50000")]
    pub sessions: Count,

    /// Sessions of one user. Without identity there is no bound.
    #[arg(long, env = "RUANG_SESSIONS_PER_USER", value_name = "N|off", default_value = "256")]
    pub sessions_per_user: Count,

    /// Sessions in one room, on this instance.
    #[arg(long, env = "RUANG_SESSIONS_PER_ROOM", value_name = "N|off", default_value = "4096")]
    pub sessions_per_room: Count,

    /// New rooms a minute, of everyone together.
    #[arg(long, env = "RUANG_NEW_ROOMS", value_name = "N|off", default_value = "6000")]
    pub new_rooms: Speed,

    /// New rooms a minute of one address.
    #[arg(long, env = "RUANG_NEW_ROOMS_PER_ADDRESS", value_name = "N|off", default_value = "240")]
    pub new_rooms_per_address: Speed,

    /// Messages a second of one connection. What comes in 40 s may come at once. A connection that is faster is
    /// read no faster, and closed (4529) after ten seconds of that.
    #[arg(long, env = "RUANG_SOCKET_MESSAGES", value_name = "N|off", default_value = "500")]
    pub socket_messages: Speed,

    /// Bytes of messages a second of one connection, in the same way. The first answer with all that the server
    /// lacks is not counted.
    #[arg(long, env = "RUANG_SOCKET_BYTES", value_name = "BYTES|off", default_value = "1MiB")]
    pub socket_bytes: ByteSpeed,

    /// Connections that have not sent a whole request; above it the oldest make room.
    #[arg(long, env = "RUANG_HANDSHAKES", value_name = "N|off", default_value = "4096")]
    pub handshakes: Count,

    /// Bytes of a document, and of one message; at most 64MiB. A room that is larger already can be read.
    #[arg(long, env = "RUANG_DOCUMENT_BYTES", value_name = "BYTES", default_value = "64MiB", value_parser = parse_document_bytes)]
    pub document_bytes: usize,

    /// Bytes of what one person shows of itself (presence); at most 8KiB.
    #[arg(long, env = "RUANG_PRESENCE_BYTES", value_name = "BYTES", default_value = "8KiB", value_parser = parse_presence_bytes)]
    pub presence_bytes: usize,

    /// How long a connection has to log in, where clients do that on the connection (Hocuspocus).
    #[arg(long, env = "RUANG_PREAUTH_PATIENCE", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub preauth_patience: Duration,

    /// Bytes that it may send before.
    #[arg(long, env = "RUANG_PREAUTH_BYTES", value_name = "BYTES", default_value = "5MiB", value_parser = parse_size)]
    pub preauth_bytes: usize,

    /// Messages that it may send before.
    #[arg(long, env = "RUANG_PREAUTH_MESSAGES", value_name = "N|off", default_value = "1000")]
    pub preauth_messages: Count,

    /// Documents that it may have open.
    #[arg(long, env = "RUANG_DOCUMENTS_PER_SOCKET", value_name = "N|off", default_value = "100")]
    pub documents_per_socket: Count,
}

impl LimitArgs {
    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            sockets: self.sockets.0,
            sockets_per_address: self.sockets_per_address.0,
            sessions: self.sessions.0,
            sessions_per_user: self.sessions_per_user.0,
            sessions_per_room: self.sessions_per_room.0,
            new_rooms_per_minute: self.new_rooms.0,
            new_rooms_per_address: self.new_rooms_per_address.0,
            socket_messages: self.socket_messages.0,
            socket_bytes: self.socket_bytes.0,
            handshakes: self.handshakes.0,
            document_bytes: self.document_bytes,
            presence_bytes: self.presence_bytes,
            desk: DeskBounds {
                documents: self.documents_per_socket.0,
                queue_bytes: self.preauth_bytes,
                queue_messages: self.preauth_messages.0,
                token_ms: crate::clock::in_ms(self.preauth_patience),
            },
        }
    }
}

/// How many there may be; `off`: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(usize::MAX)),
            _ => match text.parse() {
                Ok(number) if number > 0 => Ok(Self(number)),
                _ => Err("a number above 0 is expected, or off".to_owned()),
            },
        }
    }
}

/// How many in a time; `off`: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed(u32);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(0)),
            _ => match text.parse() {
                Ok(number) if number > 0 => Ok(Self(number)),
                _ => Err("a number above 0 is expected, or off".to_owned()),
            },
        }
    }
}

/// How many bytes a second; `off`: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSpeed(u32);

impl FromStr for ByteSpeed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(0));
        }
        let bytes = parse_bytes(text).map_err(|why| format!("{why}; or off"))?;
        match u32::try_from(bytes) {
            Ok(bytes) if bytes > 0 => Ok(Self(bytes)),
            _ => Err("more than nothing and less than 4GiB is expected, or off".to_owned()),
        }
    }
}

fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = parse_bytes(text)?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "more than nothing is expected".into())
}

fn parse_within(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    if (min..=max).contains(&bytes) { Ok(bytes) } else { Err(format!("{min}B to {max}B are allowed")) }
}

fn parse_document_bytes(text: &str) -> Result<usize, String> {
    parse_within(text, 4 << 10, DOCUMENT_BYTES_MAX)
}

fn parse_presence_bytes(text: &str) -> Result<usize, String> {
    parse_within(text, 64, PRESENCE_STATE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LimitArgs,
    }

    fn read(args: &[&str]) -> Result<Limits, clap::Error> {
        Line::try_parse_from([&["ruang"], args].concat()).map(|line| line.args.limits())
    }

    /// [O48] What the flags say by themselves is what `src/limits` has; each bound can be changed or taken away.
    #[test]
    fn defaults_are_those_of_the_code() {
        assert_eq!(read(&[]).unwrap(), Limits::default());
        let limits =
            read(&["--sockets=off", "--socket-bytes=64KiB", "--new-rooms=off", "--document-bytes=1MiB"]);
        let limits = limits.unwrap();
        assert_eq!((limits.sockets, limits.socket_bytes), (usize::MAX, 65_536));
        assert_eq!((limits.new_rooms_per_minute, limits.document_bytes), (0, 1 << 20));
        for bad in [
            "--sockets=0",
            "--sockets=many",
            "--socket-messages=-1",
            "--socket-bytes=1",
            "--socket-bytes=9GiB",
            "--document-bytes=65MiB",
            "--document-bytes=1KiB",
            "--presence-bytes=9KiB",
            "--preauth-bytes=0B",
        ] {
            let error = read(&[bad]).unwrap_err();
            println!("{bad}: {}", std::error::Error::source(&error).unwrap());
        }
    }
}

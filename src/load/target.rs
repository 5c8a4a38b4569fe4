//! Where the server is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;

use super::LoadError;
use super::bytes::put_buf;

/// What the server's clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Family {
    /// y-websocket: a socket for each document
    #[default]
    YWebsocket,
    /// Hocuspocus: each message begins with the document's name
    Hocuspocus,
}

impl Family {
    /// What stands before each message about a room.
    pub(super) fn prefix(self, room: &str) -> Vec<u8> {
        let mut out = Vec::new();
        if self == Self::Hocuspocus {
            put_buf(&mut out, room.as_bytes());
        }
        out
    }
}

/// A server's WebSocket address, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// `host:port`.
    pub(super) authority: String,
    /// The path, with `{room}` where the room's name goes, and the query.
    pub(super) template: String,
    /// What is spoken there.
    pub(super) family: Family,
    /// Ask for the subprotocol `ruang.v1`.
    pub(super) acks: bool,
    /// Further instances.
    pub(super) also: Vec<String>,
    /// Connections made: they go to all instances in turn.
    pub(super) turns: Arc<AtomicUsize>,
}

impl Target {
    /// Takes `ws://host:port`, which means Ruang's `/ws/{room}`, or a longer URL: `{room}` in it is
    /// replaced, else the name is appended to the path.
    ///
    /// # Errors
    /// [`LoadError::Usage`] says what is wrong with it.
    pub(super) fn parse(url: &str) -> Result<Self, LoadError> {
        let wrong = |why: &str| LoadError::Usage(format!("the URL {url:?} {why}"));
        let rest = url.strip_prefix("ws://").ok_or_else(|| {
            wrong("does not start with ws:// (the load test speaks no TLS: point it at the server itself)")
        })?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(at);
        if authority.is_empty() || tail.contains([' ', '\r', '\n']) {
            return Err(wrong("has no host, or spaces"));
        }
        let port_at = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
        let authority = match port_at {
            Some(_) => authority.to_owned(),
            None => format!("{authority}:80"),
        };
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (tail, String::new()),
        };
        let path = match path.trim_end_matches('/') {
            "" => "/ws/{room}".to_owned(),
            path if path.contains("{room}") => path.to_owned(),
            path => format!("{path}/{{room}}"),
        };
        Ok(Self {
            authority,
            template: path + &query,
            family: Family::YWebsocket,
            acks: false,
            also: Vec::new(),
            turns: Arc::default(),
        })
    }

    /// Where the next connection goes.
    pub(super) fn next(&self) -> &str {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % (self.also.len() + 1);
        turn.checked_sub(1).and_then(|at| self.also.get(at)).unwrap_or(&self.authority)
    }

    /// The request's path for a room. Names of ours need no percent-encoding.
    pub(super) fn path(&self, room: &str) -> String {
        if self.family == Family::Hocuspocus {
            let query = self.template.find('?').map_or("", |at| &self.template[at..]);
            return format!("/hocuspocus{query}");
        }
        self.template.replace("{room}", room)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.authority, self.template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_all_instances_in_turn() {
        let mut target = Target::parse("ws://a:1").unwrap();
        assert_eq!([target.next(), target.next()], ["a:1", "a:1"]);
        target.also = vec!["b:2".to_owned(), "c:3".to_owned()];
        let turns: Vec<&str> = (0..6).map(|_| target.next()).collect();
        assert_eq!(turns, ["c:3", "a:1", "b:2", "c:3", "a:1", "b:2"]);
    }

    #[test]
    fn urls_become_paths() {
        for (url, authority, path) in [
            ("ws://a:1", "a:1", "/ws/r"),
            ("ws://a:1/", "a:1", "/ws/r"),
            ("ws://a", "a:80", "/ws/r"),
            ("ws://[::1]", "[::1]:80", "/ws/r"),
            ("ws://a:1/x/y", "a:1", "/x/y/r"),
            ("ws://a:1/d/{room}/ws/{room}?token=t", "a:1", "/d/r/ws/r?token=t"),
            ("ws://a:1?token=t", "a:1", "/ws/r?token=t"),
        ] {
            let target = Target::parse(url).unwrap();
            println!("{url} is {} at {}", target.path("r"), target.authority);
            assert_eq!((target.authority.as_str(), target.path("r").as_str()), (authority, path));
        }
        for bad in ["http://a", "wss://a", "ws://", "ws:///x", "ws://a/b c"] {
            println!("{}", Target::parse(bad).unwrap_err());
        }
    }
}

//! Where Redis is, as an operator writes it. Passwords go in and are never printed.
//!
//! ```text
//! redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]      rediss://… the same over TLS
//! unix:/PATH[?db=DB&user=USER&password=PASSWORD]
//! ```
//!
//! Pure.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What [`RedisAddress`] understands, for error texts.
pub(crate) const FORMS: &str = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss://… (TLS) and unix:/PATH";

const PORT: u16 = 6379;

/// A Redis to connect to. `Display` and `Debug` show it without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) place: Place,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: u32,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One server over TCP.
    Tcp { host: String, port: u16, tls: bool },
    /// One server on this machine.
    Unix(PathBuf),
}

impl RedisAddress {
    /// The kind of store, as in the setting, without the address.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        "redis"
    }
}

impl FromStr for RedisAddress {
    type Err = String;

    /// The text of an error never repeats what may be a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| format!("allowed are {FORMS}"))?;
        match scheme {
            "redis" => tcp(rest, false),
            "rediss" => tcp(rest, true),
            "unix" => unix(rest),
            _ => Err(format!("allowed are {FORMS}")),
        }
    }
}

fn tcp(rest: &str, tls: bool) -> Result<RedisAddress, String> {
    let rest = rest.strip_prefix("//").ok_or("two slashes are expected after the colon")?;
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials), rest),
        None => (None, rest),
    };
    if rest.contains(['?', '#']) {
        return Err(format!("nothing is expected after the database; allowed are {FORMS}"));
    }
    let (user, password) = match credentials.map(|credentials| credentials.split_once(':')) {
        None => (None, None),
        Some(None) => return Err("a password has a colon before it, as in redis://:PASSWORD@HOST".to_owned()),
        Some(Some((user, password))) => (decode_if_some(user)?, decode_if_some(password)?),
    };
    let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host_and_port(authority)?;
    Ok(RedisAddress { place: Place::Tcp { host, port, tls }, user, password, db: database(db)? })
}

fn unix(rest: &str) -> Result<RedisAddress, String> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') {
        return Err("an absolute path is expected, as in unix:/run/redis/redis.sock".to_owned());
    }
    let mut address = RedisAddress { place: Place::Unix(path.into()), user: None, password: None, db: 0 };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("db", db)) => address.db = database(db)?,
            Some(("user", user)) => address.user = decode_if_some(user)?,
            Some(("password" | "pass", password)) => address.password = decode_if_some(password)?,
            _ => return Err("after the path, db, user and password are allowed".to_owned()),
        }
    }
    Ok(address)
}

fn host_and_port(authority: &str) -> Result<(String, u16), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some("")).ok_or("a port is expected")?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if host.is_empty() {
        return Err("a host is missing".to_owned());
    }
    let port = match port {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port != 0).ok_or("a port is a number from 1 to 65535")?,
    };
    Ok((host.to_owned(), port))
}

fn database(text: &str) -> Result<u32, String> {
    match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| "a database is a number".to_owned()),
    }
}

/// Percent-decodes; an empty text is none.
fn decode_if_some(text: &str) -> Result<Option<String>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits =
                [bytes.next(), bytes.next()].map(|digit| digit.map(char::from).and_then(|c| c.to_digit(16)));
            let [Some(high), Some(low)] = digits else {
                return Err("user and password are percent-encoded: write %25 for a percent sign".to_owned());
            };
            out.push((high << 4 | low) as u8);
        } else {
            out.push(byte);
        }
    }
    let text = String::from_utf8(out).map_err(|_| "user and password are UTF-8".to_owned())?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { host, port, tls } => {
                f.write_str(if *tls { "rediss://" } else { "redis://" })?;
                if host.contains(':') {
                    write!(f, "[{host}]:{port}")?
                } else {
                    write!(f, "{host}:{port}")?
                }
                if self.db == 0 { Ok(()) } else { write!(f, "/{}", self.db) }
            }
            Place::Unix(path) => {
                write!(f, "unix:{}", path.display())?;
                if self.db == 0 { Ok(()) } else { write!(f, "?db={}", self.db) }
            }
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RedisAddress {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    fn tcp(host: &str, port: u16, tls: bool) -> Place {
        Place::Tcp { host: host.to_owned(), port, tls }
    }

    /// [O1] Every form is understood, and printed without what is secret.
    #[test]
    fn addresses_parse_and_print_without_passwords() {
        assert_eq!(parsed("redis://localhost").place, tcp("localhost", 6379, false));
        assert_eq!(parsed("rediss://h:1/2").place, tcp("h", 1, true));
        assert_eq!(parsed("redis://[::1]:7/").place, tcp("::1", 7, false));
        let address = parsed("redis://me:s%40cr%2Fet@h:1/2");
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("me"), Some("s@cr/et")));
        assert_eq!(parsed("redis://:a:b@c@h").password.as_deref(), Some("a:b@c"));
        let unix = parsed("unix:/run/redis.sock?db=3&password=secret");
        assert_eq!((unix.place.clone(), unix.db), (Place::Unix("/run/redis.sock".into()), 3));
        assert_eq!(parsed("unix:///x").place, Place::Unix("/x".into()));
        for (address, shown) in [
            (address, "redis://h:1/2"),
            (unix, "unix:/run/redis.sock?db=3"),
            (parsed("rediss://u:secret@[::1]"), "rediss://[::1]:6379"),
        ] {
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("RedisAddress({shown})"));
        }
    }

    /// [O1] What is wrong is said without repeating what may be a password.
    #[test]
    fn bad_addresses_are_refused_without_being_repeated() {
        for bad in [
            "redis:secret",
            "redis://",
            "redis://secret@host",
            "redis://:secret%zz@host",
            "redis://:secret@host:x",
            "redis://:secret@host:70000",
            "redis://:secret@host/x",
            "redis://:secret@host?x=1",
            "redis://[::1",
            "redis://:secret@[::1]x",
            "unix:secret",
            "unix:/x?secret=1",
            "unix:/x?db=secret",
            "redis",
            "http://secret",
        ] {
            let why = bad.parse::<RedisAddress>().expect_err(bad);
            println!("{bad}: {why}");
            assert!(!why.contains("secret"), "{bad}: {why}");
        }
    }
}

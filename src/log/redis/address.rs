//! Where Redis is, as an operator writes it. Passwords go in and are never printed.
//!
//! ```text
//! redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]                          one server
//! unix:/PATH[?db=DB&user=USER&password=PASSWORD]                      one server on this machine
//! redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,…]/NAME[?db=DB]     the primary that Sentinel calls NAME
//! redis+cluster://[[USER]:PASSWORD@]HOST[:PORT][,…]                   a cluster; some of its servers are enough
//! ```
//! With `rediss` for `redis` all of it goes over TLS; `?ca=FILE` names the certificates to trust in place of the
//! system's, `&cert=FILE&key=FILE` what to show to the server. Sentinels that want a login of their own:
//! `?sentinel_user=USER&sentinel_password=PASSWORD`.
//!
//! Pure.

mod parse;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A Redis to connect to. `Display` and `Debug` show it without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) place: Place,
    /// How to speak TLS; `None`: not at all.
    pub(super) tls: Option<TlsFiles>,
    pub(super) login: Login,
    pub(super) db: u32,
}

/// Host and port of a server.
pub(super) type HostPort = (String, u16);

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// One server over TCP.
    Tcp(HostPort),
    /// One server on this machine.
    Unix(PathBuf),
    /// The server that these sentinels call their primary of that name.
    Sentinel(Watched),
    /// The cluster that these servers belong to.
    Cluster(Vec<HostPort>),
}

/// See [`Place::Sentinel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) sentinels: Vec<HostPort>,
    /// What the sentinels call the primary.
    pub(super) name: String,
    /// What the sentinels themselves want to know.
    pub(super) login: Login,
}

/// Who we are. Neither `Display` nor `Debug` shows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Files in PEM format; what is not given is the system's, or not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    /// Certificates to trust.
    pub(super) ca: Option<PathBuf>,
    /// Our certificate …
    pub(super) cert: Option<PathBuf>,
    /// … and its key. Both or neither.
    pub(super) key: Option<PathBuf>,
}

impl RedisAddress {
    /// What addresses begin with, up to the colon.
    pub const SCHEMES: [&str; 7] =
        ["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

    /// The kind of store, as in the setting, without the address.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.place {
            Place::Tcp(_) | Place::Unix(_) => "redis",
            Place::Sentinel(_) => "redis+sentinel",
            Place::Cluster(_) => "redis+cluster",
        }
    }

    /// What the variables `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD` and `REDIS_DB` name: one server, if any of
    /// them is set and not empty. What is missing is `127.0.0.1`, 6379, no password, 0.
    ///
    /// # Errors
    /// One line that names the variable and what is allowed.
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let variable = |name| read(name).filter(|value| !value.is_empty());
        // Kubernetes makes one of this name for a service that is called redis.
        let port = variable("REDIS_PORT").filter(|port| !port.starts_with("tcp://"));
        let (host, password, db) = (variable("REDIS_HOST"), variable("REDIS_PASSWORD"), variable("REDIS_DB"));
        if host.is_none() && port.is_none() && password.is_none() && db.is_none() {
            return Ok(None);
        }
        let host = parse::host(host.as_deref().unwrap_or("127.0.0.1"))
            .map_err(|why| format!("REDIS_HOST {:?}: {why}", host.as_deref().unwrap_or_default()))?;
        let port = port.as_deref().map_or(Ok(parse::PORT), |port| {
            parse::port(port).map_err(|why| format!("REDIS_PORT {port:?}: {why}"))
        })?;
        let db = db
            .as_deref()
            .map_or(Ok(0), |db| parse::database(db).map_err(|why| format!("REDIS_DB {db:?}: {why}")))?;
        let login = Login { user: None, password };
        Ok(Some(Self { place: Place::Tcp((host, port)), tls: None, login, db }))
    }
}

impl FromStr for RedisAddress {
    type Err = String;

    /// The text of an error never repeats what may be a password.
    fn from_str(text: &str) -> Result<Self, String> {
        parse::address(text)
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        match &self.place {
            Place::Tcp(host) => {
                write!(f, "{scheme}://{}", shown(host))?;
                if self.db == 0 { Ok(()) } else { write!(f, "/{}", self.db) }
            }
            Place::Unix(path) => {
                write!(f, "unix:{}", path.display())?;
                if self.db == 0 { Ok(()) } else { write!(f, "?db={}", self.db) }
            }
            Place::Sentinel(watched) => {
                write!(f, "{scheme}+sentinel://{}/{}", all_shown(&watched.sentinels), watched.name)?;
                if self.db == 0 { Ok(()) } else { write!(f, "?db={}", self.db) }
            }
            Place::Cluster(servers) => write!(f, "{scheme}+cluster://{}", all_shown(servers)),
        }
    }
}

/// A host and its port, as they are written.
pub(super) fn shown((host, port): &HostPort) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn all_shown(hosts: &[HostPort]) -> String {
    hosts.iter().map(shown).collect::<Vec<_>>().join(",")
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RedisAddress {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp((host.to_owned(), port))
    }

    fn login(address: &RedisAddress) -> (Option<&str>, Option<&str>) {
        (address.login.user.as_deref(), address.login.password.as_deref())
    }

    /// [O1] Every form is understood, and printed without what is secret.
    #[test]
    fn addresses_parse_and_print_without_passwords() {
        assert_eq!(parsed("redis://localhost").place, tcp("localhost", 6379));
        let tls = parsed("rediss://h:1/2");
        assert_eq!((tls.place.clone(), tls.tls.clone()), (tcp("h", 1), Some(TlsFiles::default())));
        assert_eq!(parsed("redis://[::1]:7/").place, tcp("::1", 7));
        let address = parsed("redis://me:s%40cr%2Fet@h:1/2");
        assert_eq!(login(&address), (Some("me"), Some("s@cr/et")));
        assert_eq!(login(&parsed("redis://:a:b@c@h")), (None, Some("a:b@c")));
        let unix = parsed("unix:/run/redis.sock?db=3&password=secret");
        assert_eq!((unix.place.clone(), unix.db), (Place::Unix("/run/redis.sock".into()), 3));
        assert_eq!(parsed("unix:///x").place, Place::Unix("/x".into()));
        for (address, text) in [
            (address, "redis://h:1/2"),
            (tls, "rediss://h:1/2"),
            (unix, "unix:/run/redis.sock?db=3"),
            (parsed("rediss://u:secret@[::1]"), "rediss://[::1]:6379"),
        ] {
            assert_eq!(address.to_string(), text);
            assert_eq!(format!("{address:?}"), format!("RedisAddress({text})"));
        }
    }

    /// [O1] Several servers, for Sentinel and for a cluster; logins of both kinds; certificates.
    #[test]
    fn addresses_of_many_servers_parse() {
        let address = parsed("redis+sentinel://u:pw@a,b:2,[::1]:3/my%2Fname?db=1&sentinel_password=secret");
        let Place::Sentinel(watched) = &address.place else { panic!("{address}") };
        let hosts = [("a", 26_379), ("b", 2), ("::1", 3)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(
            (watched.sentinels.as_slice(), watched.name.as_str(), address.db),
            (&hosts[..], "my/name", 1)
        );
        assert_eq!(login(&address), (Some("u"), Some("pw")));
        assert_eq!(watched.login.password.as_deref(), Some("secret"));
        assert_eq!(address.to_string(), "redis+sentinel://a:26379,b:2,[::1]:3/my/name?db=1");
        assert!(!format!("{address:?} {:?}", address.place).contains("secret"));

        let address = parsed("rediss+cluster://:pw@a,b:7001?ca=/etc/ca.pem&cert=/c&key=/k");
        assert_eq!(address.place, Place::Cluster(vec![("a".to_owned(), 6379), ("b".to_owned(), 7001)]));
        let files =
            TlsFiles { ca: Some("/etc/ca.pem".into()), cert: Some("/c".into()), key: Some("/k".into()) };
        assert_eq!((address.tls.as_ref(), login(&address)), (Some(&files), (None, Some("pw"))));
        assert_eq!(address.to_string(), "rediss+cluster://a:6379,b:7001");
        assert_eq!(parsed("redis+cluster://a/0").place, Place::Cluster(vec![("a".to_owned(), 6379)]));
        for (text, kind) in [
            ("redis://a", "redis"),
            ("redis+sentinel://a/b", "redis+sentinel"),
            ("redis+cluster://a", "redis+cluster"),
        ] {
            assert_eq!(parsed(text).kind(), kind);
        }
    }

    /// [O1] What is wrong is said in one line, with what is allowed, without repeating what may be a password.
    #[test]
    fn bad_addresses_are_refused_without_being_repeated() {
        for (bad, word) in [
            ("redis:secret", "slashes"),
            ("redis://", "host"),
            ("redis://secret@host", "colon"),
            ("redis://:secret%zz@host", "%25"),
            ("redis://:secret@host:x", "65535"),
            ("redis://:secret@host:70000", "65535"),
            ("redis://:secret@host/x", "number"),
            ("redis://:secret@host?x=1", "`x`"),
            ("redis://:secret@host?ca=/x", "rediss"),
            ("rediss://:secret@host?cert=/x", "key"),
            ("redis://:secret@a,b", "one host"),
            ("redis://[::1", "bracket"),
            ("redis://:secret@[::1]x", "port"),
            ("unix:secret", "absolute"),
            ("unix:/x?secret=1", "password"),
            ("unix:/x?db=secret", "number"),
            ("redis+sentinel://:secret@a:1,b:2", "NAME"),
            ("redis+sentinel://:secret@a:1,b:2/", "NAME"),
            ("redis+sentinel://:secret@a:1,,b/n", "host"),
            ("redis+sentinel://:secret@a/n?sentinel=secret", "sentinel_password"),
            ("redis+cluster://:secret@a:1,b:2/3", "database 0"),
            ("redis+cluster://:secret@", "host"),
            ("redis", "allowed"),
            ("http://secret", "allowed"),
            ("redis+secret://a", "allowed"),
        ] {
            let why = bad.parse::<RedisAddress>().expect_err(bad);
            println!("{bad}: {why}");
            assert!(!why.contains("secret") && !why.contains('\n'), "{bad}: {why}");
            assert!(why.contains(word) && why.contains("allowed"), "{bad}: {why}");
        }
    }

    /// [O27] The variables REDIS_… name a server, if one of them is set; a bad one is named.
    #[test]
    fn the_variables_name_a_server() {
        let read = |set: &[(&str, &str)]| {
            let of = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            RedisAddress::from_variables(of)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("REDIS_HOST", ""), ("REDIS_PORT", "tcp://10.0.0.1:6379")]), Ok(None));
        let all =
            [("REDIS_HOST", "h"), ("REDIS_PORT", "7"), ("REDIS_PASSWORD", "s@c:ret"), ("REDIS_DB", "2")];
        let address = read(&all).expect("an address").expect("an address");
        assert_eq!(
            (address.to_string().as_str(), login(&address)),
            ("redis://h:7/2", (None, Some("s@c:ret")))
        );
        let only = |name, value| read(&[(name, value)]).map(|it| it.map(|it| it.to_string()));
        assert_eq!(only("REDIS_HOST", "::1"), Ok(Some("redis://[::1]:6379".to_owned())));
        assert_eq!(only("REDIS_DB", "3"), Ok(Some("redis://127.0.0.1:6379/3".to_owned())));
        for (name, bad) in [("REDIS_PORT", "0"), ("REDIS_DB", "x"), ("REDIS_HOST", "a/b")] {
            let why = only(name, bad).expect_err(name);
            println!("{why}");
            assert!(why.contains(name) && why.contains(bad), "{why}");
        }
    }
}

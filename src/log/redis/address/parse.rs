//! Reads the addresses of [`super::RedisAddress`].

use super::{HostPort, Login, Place, RedisAddress, TlsFiles, Watched};

pub(super) const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

const SINGLE: &str = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]";
const UNIX: &str = "unix:/PATH[?db=DB&user=USER&password=PASSWORD]";
const SENTINEL: &str = "redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,…]/NAME[?db=DB&sentinel_user=USER&sentinel_password=PASSWORD]";
const CLUSTER: &str = "redis+cluster://[[USER]:PASSWORD@]HOST[:PORT][,…]";

pub(super) fn address(text: &str) -> Result<RedisAddress, String> {
    let unknown =
        || format!("allowed are {}", RedisAddress::SCHEMES.map(|scheme| format!("{scheme}:")).join(", "));
    let (scheme, rest) = text.split_once(':').ok_or_else(unknown)?;
    let (read, form): (Reader, _) = match scheme {
        "unix" => return unix(rest).map_err(|why| format!("unix: {why}; allowed is {UNIX}")),
        "redis" | "rediss" => (single, SINGLE),
        "redis+sentinel" | "rediss+sentinel" => (sentinel, SENTINEL),
        "redis+cluster" | "rediss+cluster" => (cluster, CLUSTER),
        _ => return Err(unknown()),
    };
    let tls = scheme.starts_with("rediss");
    let read = Parts::of(rest).and_then(|parts| read(parts, tls));
    read.map_err(|why| {
        format!("{scheme}://…: {why}; allowed is {form}, for TLS rediss and ?ca=FILE&cert=FILE&key=FILE")
    })
}

/// Reads one form; true: over TLS.
type Reader = fn(Parts<'_>, bool) -> Result<RedisAddress, String>;

/// What stands after the scheme: `//[LOGIN@]AUTHORITY[/PATH][?QUERY]`.
struct Parts<'a> {
    login: Login,
    authority: &'a str,
    path: &'a str,
    query: Query<'a>,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("two slashes are expected after the colon")?;
        // Passwords are often written as they are: the last @ ends them.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let login = match login.map(|login| login.split_once(':')) {
            None => Login::default(),
            Some(None) => {
                return Err("a password has a colon before it, as in redis://:PASSWORD@HOST".to_owned());
            }
            Some(Some((user, password))) => Login { user: decoded(user)?, password: decoded(password)? },
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { login, authority, path, query: Query::of(query)? })
    }

    /// Every host of the authority.
    fn hosts(&self, port: u16) -> Result<Vec<HostPort>, String> {
        self.authority.split(',').map(|text| host_and_port(text, port)).collect()
    }
}

/// `NAME=VALUE` pairs. Whoever knows a name takes it; what is left at the end is an error.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('='))
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| "after the question mark, NAME=VALUE is expected".to_owned())
    }

    /// The value under a name, percent-decoded; none if it is empty.
    fn take(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.iter().position(|(known, _)| *known == name) {
            Some(at) => decoded(self.0.swap_remove(at).1),
            None => Ok(None),
        }
    }

    fn take_tls(&mut self, tls: bool) -> Result<Option<TlsFiles>, String> {
        let mut file = |name| self.take(name).map(|it| it.map(Into::into));
        let files = TlsFiles { ca: file("ca")?, cert: file("cert")?, key: file("key")? };
        if files.cert.is_some() != files.key.is_some() {
            return Err("cert and key go together".to_owned());
        }
        if !tls && files != TlsFiles::default() {
            return Err("ca, cert and key are for TLS, which is rediss".to_owned());
        }
        Ok(tls.then_some(files))
    }

    fn take_database(&mut self) -> Result<u32, String> {
        database(&self.take("db")?.unwrap_or_default())
    }

    /// Nothing may be left. A name is repeated only where no password can be one.
    fn end(&self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) if name.len() <= 2 => Err(format!("nothing is called `{name}`")),
            Some(_) => Err("a name after the question mark is not known".to_owned()),
        }
    }
}

fn single(mut parts: Parts<'_>, tls: bool) -> Result<RedisAddress, String> {
    let [host] = parts.hosts(PORT)?.try_into().map_err(|_| "one host is expected".to_owned())?;
    let (tls, db) = (parts.query.take_tls(tls)?, database(parts.path)?);
    parts.query.end()?;
    Ok(RedisAddress { place: Place::Tcp(host), tls, login: parts.login, db })
}

fn sentinel(mut parts: Parts<'_>, tls: bool) -> Result<RedisAddress, String> {
    let sentinels = parts.hosts(SENTINEL_PORT)?;
    let name = decoded(parts.path)?.ok_or("the NAME by which Sentinel knows the primary is missing")?;
    let query = &mut parts.query;
    let login = Login { user: query.take("sentinel_user")?, password: query.take("sentinel_password")? };
    let (tls, db) = (query.take_tls(tls)?, query.take_database()?);
    query.end()?;
    let place = Place::Sentinel(Watched { sentinels, name, login });
    Ok(RedisAddress { place, tls, login: parts.login, db })
}

fn cluster(mut parts: Parts<'_>, tls: bool) -> Result<RedisAddress, String> {
    let servers = parts.hosts(PORT)?;
    if database(parts.path)? != 0 {
        return Err("a cluster has database 0 only".to_owned());
    }
    let tls = parts.query.take_tls(tls)?;
    parts.query.end()?;
    Ok(RedisAddress { place: Place::Cluster(servers), tls, login: parts.login, db: 0 })
}

fn unix(rest: &str) -> Result<RedisAddress, String> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    if !path.starts_with('/') {
        return Err("an absolute path is expected, as in unix:/run/redis/redis.sock".to_owned());
    }
    let mut query = Query::of(query)?;
    let login =
        Login { user: query.take("user")?, password: query.take("password")?.or(query.take("pass")?) };
    let db = query.take_database()?;
    query.end()?;
    Ok(RedisAddress { place: Place::Unix(path.into()), tls: None, login, db })
}

fn host_and_port(text: &str, default: u16) -> Result<HostPort, String> {
    let (name, after) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
            (name, after.strip_prefix(':').or(after.is_empty().then_some("")).ok_or("a port is expected")?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let after = if after.is_empty() { default } else { port(after)? };
    Ok((host(name)?, after))
}

pub(super) fn host(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a host is missing".to_owned());
    }
    if text.contains(['/', '@', ',', '?', '#', '[', ']']) || text.contains(char::is_whitespace) {
        return Err("a host is a name or an address, and nothing else".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

pub(super) fn database(text: &str) -> Result<u32, String> {
    match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| "a database is a number".to_owned()),
    }
}

/// Percent-decodes; an empty text is none.
fn decoded(text: &str) -> Result<Option<String>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits =
                [bytes.next(), bytes.next()].map(|digit| digit.map(char::from).and_then(|c| c.to_digit(16)));
            let [Some(high), Some(low)] = digits else {
                return Err(
                    "names and passwords are percent-encoded: write %25 for a percent sign".to_owned()
                );
            };
            out.push((high << 4 | low) as u8);
        } else {
            out.push(byte);
        }
    }
    let text = String::from_utf8(out).map_err(|_| "names and passwords are UTF-8".to_owned())?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

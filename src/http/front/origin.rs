//! Which web pages may use this server: their origins. Pure. Source: RFC 6454, Fetch.
//!
//! A browser says in `Origin` of which page a script is, and a script cannot change that. Whoever is no browser
//! can say what it likes, or nothing, and has to show a token like everybody; so a missing origin is allowed.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An origin as browsers write it: lower case, a host in ASCII, no default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Such as `https`.
    pub scheme: String,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// The port, the default one of the scheme too if it has one.
    pub port: Option<u16>,
}

impl Origin {
    /// Reads what a browser sends; `None` for `null` and for what none would write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        let is_scheme = letters.next().is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c));
        let (host, port) = split_authority(authority)?;
        if !is_scheme || host.bytes().any(|c| c.is_ascii_uppercase()) {
            return None;
        }
        let port = match port {
            Some(port) => Some(port),
            None => default_port(scheme),
        };
        Some(Self { scheme: scheme.to_owned(), host: host.to_owned(), port })
    }

    /// Whether the page comes from this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https") && is_loopback_host(&self.host)
    }
}

/// Whether a host is this machine, by name or by address.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || address.is_some_and(|address| address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()))
}

/// Whether a `HOST[:PORT]` names this machine.
pub(in crate::http) fn is_this_machine(authority: &str) -> bool {
    split_authority(authority).is_some_and(|(host, _)| is_loopback_host(host))
}

/// Whether nobody can have registered a host's name to point it here: an address, or a name of a local network.
pub(super) fn is_local_host(host: &str) -> bool {
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    is_address || is_loopback_host(host) || !host.contains('.') || host.ends_with(".local")
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Host and port of `HOST[:PORT]`, if it is nothing more. Names in any case; no dot at the end, no user.
pub(super) fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (host, rest) = text.split_at(end);
        host[1..end - 1].parse::<Ipv6Addr>().ok()?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        };
        (host, port).0.split('.').all(is_label).then_some((host, port))?
    };
    let port = match port {
        // No sign, no spaces, no leading zero: one way to write each.
        Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0') => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
        None => None,
    };
    (host.len() <= 253).then_some((host, port))
}

/// One entry of `--allow-origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin {
    /// With subdomains: the name that they are below of.
    origin: Origin,
    /// All names below, and not the name itself.
    subdomains: bool,
}

impl AllowedOrigin {
    /// Whether a page of this origin is meant.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        let host = &self.origin.host;
        let same_host = if self.subdomains {
            origin.host.strip_suffix(host.as_str()).is_some_and(|left| left.len() > 1 && left.ends_with('.'))
        } else {
            origin.host == *host
        };
        same_host && origin.scheme == self.origin.scheme && origin.port == self.origin.port
    }
}

impl FromStr for AllowedOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form =
            "expected is SCHEME://HOST[:PORT], such as https://app.example.com or https://*.example.com";
        if !text.is_ascii() {
            return Err(format!("{form}; a name that is not ASCII is written as browsers send it, xn--…"));
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or_else(|| form.to_owned())?;
        let (subdomains, authority) = match authority.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, authority),
        };
        let origin = Origin::parse(&format!("{scheme}://{authority}")).ok_or_else(|| form.to_owned())?;
        // Whoever could allow `*.com` would allow everybody.
        if subdomains && (!origin.host.contains('.') || origin.host.parse::<Ipv4Addr>().is_ok()) {
            return Err("a wildcard stands before a name of at least two parts: https://*.example.com".into());
        }
        Ok(Self { origin, subdomains })
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.subdomains { "*." } else { "" };
        write!(f, "{}://{star}{}", self.origin.scheme, self.origin.host)?;
        match self.origin.port {
            port if port == default_port(&self.origin.scheme) => Ok(()),
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &[&str], origin: &str) -> bool {
        let list: Vec<AllowedOrigin> = list.iter().map(|entry| entry.parse().unwrap()).collect();
        Origin::parse(origin).is_some_and(|origin| list.iter().any(|entry| entry.allows(&origin)))
    }

    /// [O50] Only exactly the listed scheme, host and port are allowed.
    #[test]
    fn origins_are_exact() {
        let list = ["https://app.example.com", "http://localhost:3000", "https://xn--bcher-kva.example"];
        let table = [
            ("https://app.example.com", true),
            ("https://app.example.com:443", true),
            ("null", false),
            ("", false),
            ("https://", false),
            ("https://app.example.com.evil", false),
            ("https://app.example.com.evil.com", false),
            ("https://evil-app.example.com", false),
            ("https://evilapp.example.com", false),
            ("https://x.app.example.com", false),
            ("https://example.com", false),
            ("https://app.example.co", false),
            ("HTTPS://APP.EXAMPLE.COM", false),
            ("https://App.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com:0443", false),
            ("http://app.example.com", false),
            ("wss://app.example.com", false),
            ("https://app.example.com.", false),
            ("https://app.example.com/", false),
            ("https://app.example.com/path", false),
            ("https://app.example.com@evil.com", false),
            ("https://evil.com#app.example.com", false),
            ("https://evil.com\\app.example.com", false),
            ("https://evil.com?https://app.example.com", false),
            ("https://app.example.com, https://evil.com", false),
            (" https://app.example.com", false),
            ("app.example.com", false),
            ("http://localhost:3000", true),
            ("http://localhost", false),
            ("http://localhost:3000.evil.com", false),
            ("http://127.0.0.1:3000", false),
            ("https://xn--bcher-kva.example", true),
            ("https://bücher.example", false),
            ("https://b\u{fc}cher.example", false),
            ("file://", false),
        ];
        for (origin, allowed) in table {
            println!("{origin:?}: {}", if allowed { "allowed" } else { "refused" });
            assert_eq!(allows(&list, origin), allowed, "{origin}");
        }
    }

    /// [O50] A wildcard stands for all names below, of that scheme and port, and not for the name itself.
    #[test]
    fn wildcards_are_names_below() {
        let list = ["https://*.example.com", "https://*.example.org:8443"];
        for (origin, allowed) in [
            ("https://a.example.com", true),
            ("https://a.b.example.com", true),
            ("https://example.com", false),
            ("https://.example.com", false),
            ("https://evilexample.com", false),
            ("https://a.example.com.evil", false),
            ("http://a.example.com", false),
            ("https://a.example.com:8443", false),
            ("https://a.example.org:8443", true),
            ("https://a.example.org", false),
            ("https://*.example.com", false),
        ] {
            assert_eq!(allows(&list, origin), allowed, "{origin}");
        }
    }

    /// [O50] What cannot be an origin is refused at the start, with what would be; entries print as browsers
    /// write them.
    #[test]
    fn settings_are_origins() {
        for bad in [
            "*",
            "app.example.com",
            "https://",
            "https://*.com",
            "https://*",
            "https://a*.example.com",
            "https://app.example.com/",
            "https://b\u{fc}cher.example",
            "null",
            "https://a:b@c",
            "https://*.1.2.3.4",
        ] {
            println!("{bad}: {}", bad.parse::<AllowedOrigin>().unwrap_err());
        }
        for (given, printed) in [
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("https://*.example.com", "https://*.example.com"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(given.parse::<AllowedOrigin>().unwrap().to_string(), printed);
        }
    }

    /// [O51] What is this machine, or can only be in this network.
    #[test]
    fn loopback_is_told_by_name_and_address() {
        for (origin, own) in [
            ("http://localhost:5173", true),
            ("http://app.localhost", true),
            ("http://127.0.0.1", true),
            ("http://127.9.9.9:1", true),
            ("https://[::1]:8443", true),
            ("http://localhost.evil.com", false),
            ("http://127.0.0.1.evil.com", false),
            ("http://evil.com", false),
            ("http://128.0.0.1", false),
            ("ftp://localhost", false),
        ] {
            assert_eq!(Origin::parse(origin).is_some_and(|origin| origin.is_loopback()), own, "{origin}");
        }
        let local = ["192.168.1.5", "[fe80::1]", "printer", "server.local", "localhost"];
        assert!(local.into_iter().all(is_local_host));
        assert!(!is_local_host("rebound.example") && !is_local_host("1.2.3.4.example"));
    }
}

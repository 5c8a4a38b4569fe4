//! Who a request comes from, and what address it was sent to, when proxies stand between. Pure.
//!
//! A proxy says it in headers, and so can anybody. A header counts if the connection comes from a trusted
//! proxy; of a list of addresses, from the end on, as far as trusted proxies go. Source: RFC 7239, and what
//! nginx, Caddy and Traefik write.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::header::{HOST, HeaderMap};
use ipnet::IpNet;

use super::origin::split_authority;
use crate::limits::FORWARDED_HOPS_MAX;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// Which headers the trusted proxies write. Only these count: a proxy passes the others on as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Prefix`.
    #[default]
    XForwarded,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
}

/// One entry of `--trusted-proxies`: a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map(Self).map_err(|_| {
            "an address or a network is expected, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8".to_owned()
        })
    }
}

/// Which proxies are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// Where they are.
    pub networks: Vec<Network>,
    /// How many stand in a row, at most; `None`: as many as are in `networks`. Without `networks`: exactly so
    /// many, wherever they are.
    pub hops: Option<usize>,
    /// Which headers they write.
    pub by: ForwardedBy,
}

/// What is known of the sender of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// Where it is. `None` if a trusted proxy does not say, or nothing is known of the connection.
    pub address: Option<IpAddr>,
    /// A trusted proxy brought it.
    pub proxied: bool,
    /// It was sent over TLS, to the proxy at least.
    pub secure: bool,
    /// The host that it was sent to, with its port if that is not the default.
    pub host: Option<String>,
    /// The path under which the proxy, or this server, has what is served here: `` or `/ruang`.
    pub prefix: String,
}

impl Proxies {
    /// Whether the proxy number `hop`, counted from here, is trusted at `address`.
    fn trusts(&self, hop: usize, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_named = self.networks.iter().any(|network| network.0.contains(&address));
        match self.hops {
            Some(hops) => hop < hops && (self.networks.is_empty() || is_named),
            None => is_named,
        }
    }

    /// What a request with these headers says, on a connection from `peer`.
    #[must_use]
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Client {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(valid_host);
        let direct = Client { address: peer, host, ..Client::default() };
        if !peer.is_some_and(|peer| self.trusts(0, peer)) {
            return direct;
        }
        let direct = Client { address: None, proxied: true, ..direct };
        match self.by {
            ForwardedBy::XForwarded => self.by_x_forwarded(direct, headers),
            ForwardedBy::Forwarded => self.by_forwarded(direct, headers),
        }
    }

    fn by_x_forwarded(&self, mut client: Client, headers: &HeaderMap) -> Client {
        let hops = last_entries(headers, X_FORWARDED_FOR);
        for (hop, entry) in hops.iter().enumerate() {
            let Some(address) = parse_node(entry) else { break };
            if !self.trusts(hop + 1, address) {
                client.address = Some(address);
                break;
            }
        }
        let last = |name| last_entries(headers, name).into_iter().next();
        client.secure = last(X_FORWARDED_PROTO).is_some_and(|proto| is_secure(&proto));
        if let Some(host) = last(X_FORWARDED_HOST).and_then(|host| valid_host(&host)) {
            client.host = Some(host);
        }
        client.prefix = last(X_FORWARDED_PREFIX).and_then(|prefix| valid_prefix(&prefix)).unwrap_or_default();
        client
    }

    /// Each element is what one proxy saw; the one of the outermost trusted proxy counts.
    fn by_forwarded(&self, mut client: Client, headers: &HeaderMap) -> Client {
        for (hop, element) in last_entries(headers, "forwarded").iter().enumerate() {
            let value = |name: &str| {
                element.split(';').find_map(|pair| {
                    let (key, value) = pair.split_once('=')?;
                    key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
                })
            };
            client.secure = value("proto").is_some_and(|proto| is_secure(&proto));
            if let Some(host) = value("host").and_then(|host| valid_host(&host)) {
                client.host = Some(host);
            }
            let Some(address) = value("for").and_then(|node| parse_node(&node)) else { break };
            if !self.trusts(hop + 1, address) {
                client.address = Some(address);
                break;
            }
        }
        client
    }
}

/// The entries of a list in a header, the last one first: that is the one of the nearest proxy.
fn last_entries(headers: &HeaderMap, name: &str) -> Vec<String> {
    let mut entries: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .flat_map(|value| value.split(',').map(|entry| entry.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    entries.reverse();
    entries.truncate(FORWARDED_HOPS_MAX);
    entries
}

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`.
fn parse_node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.split_once(']').map(|(address, _)| address);
    let with_port = || text.rsplit_once(':').map(|(address, _)| address).filter(|left| !left.contains(':'));
    let plain = bracketed().or_else(with_port).unwrap_or(text);
    plain.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn is_secure(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss")
}

/// A host that may stand in an address that is shown, in lower case.
fn valid_host(text: &str) -> Option<String> {
    split_authority(text)?;
    Some(text.to_ascii_lowercase())
}

/// A path that may stand in an address that is shown, without a slash at its end; `` for none.
pub(super) fn valid_prefix(text: &str) -> Option<String> {
    let path = text.trim_end_matches('/');
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.bytes().all(|c| c == b'.')
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~".contains(&c))
    };
    if path.is_empty() {
        return Some(String::new());
    }
    path.strip_prefix('/')?.split('/').all(is_plain).then(|| path.to_owned())
}

#[cfg(test)]
mod tests;

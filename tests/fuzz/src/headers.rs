//! What a request says beside its body: who stands between changes nothing that a trusted proxy says, and what is read of
//! origins, addresses, names and positions has one way to be written.
//!
//! The first byte of the input says what the rest is: headers, one a line, of a connection that comes from anybody, from a
//! proxy that writes `X-Forwarded-…`, or from one that writes `Forwarded`; or a text.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use ruang::http::front::{AllowedOrigin, Client, ForwardedBy, Origin, Proxies, PublicUrl};
use ruang::ids::RoomName;
use ruang::limits::ROOM_NAME_BYTES_MAX;
use ruang::replay::portable::path_segment;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const BROWSER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value)
            && headers.len() < 1_000
        {
            headers.append(name, value);
        }
    }
    headers
}

fn proxies(by: ForwardedBy) -> Proxies {
    Proxies { networks: vec!["10.0.0.0/8".parse().expect("a network")], hops: None, by }
}

/// What is shown to people as an address has nothing in it that is no part of one.
fn check(client: &Client) {
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]/".contains(&byte));
    assert!(client.host.as_deref().is_none_or(|host| plain(host) && !host.contains('/')), "{client:?}");
    assert!(
        plain(&client.prefix) && !client.prefix.contains("//") && !client.prefix.ends_with('/'),
        "{client:?}"
    );
    assert!(client.prefix.is_empty() || client.prefix.starts_with('/'), "{client:?}");
    assert!(!client.prefix.split('/').any(|part| part == ".."), "{client:?}");
}

fn from_anybody(headers: &HeaderMap) {
    let only_host = HeaderMap::from_iter(headers.get(HOST).map(|host| (HOST, host.clone())));
    for by in [ForwardedBy::XForwarded, ForwardedBy::Forwarded] {
        let client = proxies(by).client(Some(BROWSER), headers);
        check(&client);
        assert_eq!(client, proxies(by).client(Some(BROWSER), &only_host), "nobody is believed");
        assert!(client.address == Some(BROWSER) && !client.proxied && !client.secure);
    }
}

/// A proxy appends what it sees to what came.
fn from_a_proxy(mut headers: HeaderMap, by: ForwardedBy) {
    let before = proxies(by).client(Some(PROXY), &headers);
    check(&before);
    let trusted = |address| matches!(address, IpAddr::V4(address) if address.octets()[0] == 10);
    assert!(!before.address.is_some_and(trusted), "a proxy is nobody's address");
    let (name, value) = match by {
        ForwardedBy::XForwarded => ("x-forwarded-for", "203.0.113.7"),
        ForwardedBy::Forwarded => ("forwarded", "for=203.0.113.7;proto=https;host=a.example"),
    };
    headers.append(name, HeaderValue::from_static(value));
    let client = proxies(by).client(Some(PROXY), &headers);
    assert_eq!(client.address, Some(BROWSER), "whatever came with it");
    if by == ForwardedBy::Forwarded {
        assert_eq!((client.secure, client.host.as_deref()), (true, Some("a.example")));
    }
}

fn text(text: &str) -> bool {
    let origin = Origin::parse(text);
    if let Some(origin) = &origin {
        let port = origin.port.map(|port| format!(":{port}")).unwrap_or_default();
        let written = format!("{}://{}{port}", origin.scheme, origin.host);
        assert_eq!(Origin::parse(&written).as_ref(), Some(origin));
    }
    let (allowed, public) = (text.parse::<AllowedOrigin>(), text.parse::<PublicUrl>());
    if let Ok(allowed) = &allowed {
        assert_eq!(allowed.to_string().parse().as_ref(), Ok(allowed));
    }
    if let Ok(public) = &public {
        assert_eq!(public.to_string().parse().as_ref(), Ok(public));
    }
    let room = RoomName::parse(text);
    if let Ok(room) = &room {
        assert!((1..=ROOM_NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control));
        let segment = path_segment(room);
        assert!(!segment.contains('/') && segment != "." && segment != "..", "{segment}");
        assert_eq!(percent_decode_str(&segment).decode_utf8().as_deref(), Ok(text));
    }
    origin.is_some() || allowed.is_ok() || public.is_ok() || room.is_ok()
}

/// See the module. Whether a header or a text was read.
pub fn run(input: &[u8]) -> bool {
    let Some((&which, rest)) = input.split_first() else { return false };
    if which % 4 == 3 {
        return std::str::from_utf8(rest).is_ok_and(text);
    }
    let headers = headers(rest);
    let is_any = !headers.is_empty();
    match which % 4 {
        0 => from_anybody(&headers),
        1 => from_a_proxy(headers, ForwardedBy::XForwarded),
        _ => from_a_proxy(headers, ForwardedBy::Forwarded),
    }
    is_any
}

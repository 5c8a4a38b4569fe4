//! Who a request comes from.

use axum::http::{HeaderName, HeaderValue};

use super::*;

fn proxies(networks: &[&str], hops: Option<usize>) -> Proxies {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Proxies { networks, hops, by: ForwardedBy::XForwarded }
}

fn seen(proxies: &Proxies, peer: &str, headers: &[(&'static str, &str)]) -> Client {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    proxies.client(Some(peer.parse().unwrap()), &map)
}

fn address(client: &Client) -> String {
    client.address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// [O52] Without trusted proxies, and from anybody who is none, every header of that kind changes nothing.
#[test]
fn spoofed_headers_change_nothing() {
    let host = ("host", "sync.example.com");
    let spoofed = [
        host,
        ("x-forwarded-for", "198.51.100.1"),
        ("x-real-ip", "198.51.100.1"),
        ("forwarded", "for=198.51.100.1;proto=https;host=evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-prefix", "/evil"),
        ("cf-connecting-ip", "198.51.100.1"),
        ("true-client-ip", "198.51.100.1"),
    ];
    for proxies in [
        proxies(&[], None),
        proxies(&["127.0.0.1", "10.0.0.0/8"], None),
        proxies(&["10.0.0.0/8"], Some(3)),
        proxies(&[], Some(0)),
        Proxies { by: ForwardedBy::Forwarded, ..proxies(&["10.0.0.0/8"], None) },
    ] {
        for peer in ["203.0.113.7", "2001:db8::7"] {
            let plain = seen(&proxies, peer, &[host]);
            assert_eq!(seen(&proxies, peer, &spoofed), plain);
            assert_eq!((address(&plain), plain.proxied, plain.secure), (peer.to_owned(), false, false));
        }
    }
}

/// [O52] The client is the last address that is no trusted proxy; what it wrote itself stands before that.
#[test]
fn the_client_is_the_last_who_is_no_proxy() {
    let two = proxies(&["127.0.0.1", "10.0.0.0/8", "fd00::/8"], None);
    for (peer, list, client) in [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("::ffff:127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("fd00::1", "2001:db8::7, 10.1.2.3", "2001:db8::7"),
        ("127.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("127.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("127.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        // Behind what cannot be read nothing is believed.
        ("127.0.0.1", "203.0.113.7, unknown", "unknown"),
        ("127.0.0.1", "203.0.113.7, ", "unknown"),
        ("127.0.0.1", "203.0.113.7, _hidden, 10.1.2.3", "unknown"),
        ("127.0.0.1", "", "unknown"),
        // All are proxies: nobody is left.
        ("127.0.0.1", "10.0.0.1, 10.0.0.2", "unknown"),
    ] {
        let found = seen(&two, peer, &[("x-forwarded-for", list)]);
        assert_eq!((address(&found).as_str(), found.proxied), (client, true), "{peer}: {list}");
    }
    let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
    assert_eq!(address(&seen(&two, "127.0.0.1", &lines)), "203.0.113.7", "several lines are one list");
    assert_eq!(address(&seen(&two, "127.0.0.1", &[])), "unknown");
    let long = vec!["10.0.0.1"; 10_000].join(",");
    assert_eq!(address(&seen(&two, "127.0.0.1", &[("x-forwarded-for", &long)])), "unknown");
}

/// [O52] A number of hops is how many proxies are believed, wherever they are, or of those that are named.
#[test]
fn hops_are_counted() {
    let list = [("x-forwarded-for", "198.51.100.1, 203.0.113.7, 192.0.2.9")];
    let client = |hops, networks: &[&str]| address(&seen(&proxies(networks, Some(hops)), "192.0.2.1", &list));
    assert_eq!(client(0, &[]), "192.0.2.1");
    assert_eq!(client(1, &[]), "192.0.2.9");
    assert_eq!(client(2, &[]), "203.0.113.7");
    assert_eq!(client(3, &[]), "198.51.100.1");
    assert_eq!(client(4, &[]), "unknown");
    assert_eq!(
        client(1, &["192.0.2.0/24"]),
        "192.0.2.9",
        "the second one is in the network, but one too far"
    );
    assert_eq!(client(2, &["192.0.2.0/24"]), "203.0.113.7");
    assert_eq!(client(9, &["192.0.2.0/24"]), "203.0.113.7");
    assert_eq!(client(2, &["10.0.0.0/8"]), "192.0.2.1");
}

/// [O52] The address that a request was sent to is what the proxy says, if it is one.
#[test]
fn the_proxy_says_where_it_was_sent_to() {
    let one = proxies(&["127.0.0.1"], None);
    let headers = |host, prefix| {
        [
            ("host", "inner:8080"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", host),
            ("x-forwarded-prefix", prefix),
        ]
    };
    let client = seen(&one, "127.0.0.1", &headers("Board.Example.com", "/ruang/"));
    assert_eq!(
        (client.secure, client.host.as_deref(), client.prefix.as_str()),
        (true, Some("board.example.com"), "/ruang")
    );
    for (host, prefix) in [
        ("<script>", "ruang"),
        ("a b", "/a//b"),
        ("evil'\"", "/<script>"),
        ("user@host", "//evil.example"),
        ("host/path", "/.."),
        ("host:port", "/a/../b"),
        ("", "/%2e"),
    ] {
        let client = seen(&one, "127.0.0.1", &headers(host, prefix));
        assert_eq!(
            (client.host.as_deref(), client.prefix.as_str()),
            (Some("inner:8080"), ""),
            "{host}{prefix}"
        );
    }
    assert_eq!(seen(&one, "127.0.0.1", &[("host", "<x>")]).host, None);
}

/// [O52] `Forwarded` counts where it is the one that proxies write, and `X-Forwarded-…` does not then.
#[test]
fn forwarded_is_read_where_it_is_written() {
    let by = Proxies { by: ForwardedBy::Forwarded, ..proxies(&["127.0.0.1", "10.0.0.0/8"], None) };
    let list = "for=198.51.100.1;proto=http, For=\"[2001:db8::7]:4711\";Proto=https;host=\"board.example.com\", \
                for=10.1.2.3;proto=http;host=inner";
    let headers =
        [("forwarded", list), ("x-forwarded-for", "192.0.2.66"), ("x-forwarded-host", "evil.example")];
    let client = seen(&by, "127.0.0.1", &headers);
    assert_eq!(
        (address(&client).as_str(), client.secure, client.host.as_deref()),
        ("2001:db8::7", true, Some("board.example.com"))
    );
    assert_eq!(address(&seen(&by, "127.0.0.1", &[("forwarded", "for=unknown")])), "unknown");
}

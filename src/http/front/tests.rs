//! Which pages may, and under which address all this is.

use super::*;

fn front(options: FrontOptions) -> Front {
    Front::new(options)
}

fn sent_to(host: &str, secure: bool) -> Client {
    Client { host: Some(host.to_owned()), secure, ..Client::default() }
}

/// [O51] Without a list, where nobody needs a token, pages of this machine are allowed, and the server's own
/// ones unless somebody elsewhere can have given it that name. With a list only what is listed, and its own.
#[test]
fn development_allows_this_machine_and_itself() {
    let open = front(FrontOptions { development: true, ..FrontOptions::default() });
    let local = sent_to("127.0.0.1:8080", false);
    for (origin, allowed) in [
        ("http://localhost:5173", true),
        ("http://127.0.0.1:8080", true),
        ("http://evil.example", false),
        ("null", false),
    ] {
        assert_eq!(open.allows(origin, &local), allowed, "{origin}");
    }
    let lan = sent_to("192.168.1.5:8080", false);
    assert!(open.allows("http://192.168.1.5:8080", &lan));
    assert!(!open.allows("https://192.168.1.5:8080", &lan) && !open.allows("http://192.168.1.5", &lan));
    let rebound = sent_to("rebound.example:8080", false);
    assert!(!open.allows("http://rebound.example:8080", &rebound), "a name that was pointed here");
    let proxied = Client { proxied: true, ..sent_to("board.example.com", true) };
    assert!(open.allows("https://board.example.com", &proxied));
    let listed = front(FrontOptions {
        allowed: vec!["https://app.example.com".parse().unwrap()],
        development: true,
        ..FrontOptions::default()
    });
    assert!(listed.allows("https://app.example.com", &local));
    assert!(!listed.allows("http://localhost:5173", &local), "with a list nothing else");
    assert!(listed.allows("http://127.0.0.1:8080", &local), "but its own page");
}

/// [O51] Where everybody needs a token, the server's own pages and those that are listed are allowed.
#[test]
fn others_are_listed() {
    let closed = front(FrontOptions {
        public: Some("https://sync.example.com/ruang".parse().unwrap()),
        ..FrontOptions::default()
    });
    let client = sent_to("sync.example.com:8080", false);
    for (origin, allowed) in [
        ("http://sync.example.com:8080", true),
        ("https://sync.example.com", true),
        ("http://localhost:5173", false),
        ("https://app.example.com", false),
    ] {
        assert_eq!(closed.allows(origin, &client), allowed, "{origin}");
    }
}

/// [O40] Who comes from this machine is not bounded by address, unless a trusted proxy says that it does.
#[test]
fn this_machine_is_no_address() {
    let from = |address: &str, proxied| {
        Client { address: Some(address.parse().unwrap()), proxied, ..Client::default() }.counted()
    };
    for own in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        assert!(from(own, false).is_none() && from(own, true).is_some(), "{own}");
    }
    assert!(from("203.0.113.7", false).is_some() && Client::default().counted().is_none());
}

/// [O54] The address that clients are told is what was set, or what their request was sent to.
#[test]
fn the_public_address_is_set_or_seen() {
    let seen = front(FrontOptions::default());
    assert_eq!(seen.public_url(&sent_to("a.example:1", false)), "http://a.example:1");
    let proxied = Client { prefix: "/ruang".into(), proxied: true, ..sent_to("a.example", true) };
    assert_eq!(seen.public_url(&proxied), "https://a.example/ruang");
    assert_eq!(seen.public_url(&Client::default()), "http://localhost");
    for (given, told) in [
        ("https://sync.example.com", "https://sync.example.com"),
        ("https://Sync.Example.com/", "https://sync.example.com"),
        ("http://example.com:8080/a/b/", "http://example.com:8080/a/b"),
    ] {
        let set = front(FrontOptions { public: Some(given.parse().unwrap()), ..FrontOptions::default() });
        assert_eq!(set.public_url(&proxied), told);
    }
    for bad in [
        "sync.example.com",
        "ws://a",
        "https://",
        "https://a?b",
        "https://a/<x>",
        "https://u@a",
        "https://a/../b",
    ] {
        println!("{bad}: {}", bad.parse::<PublicUrl>().unwrap_err());
    }
}

/// [O53] Below the base path, and without it, everything is the same; names keep their encoding.
#[test]
fn the_base_path_is_taken_off() {
    let base: BasePath = "/ruang/".parse().unwrap();
    let strip = |uri: &str| match base.strip(&uri.parse().unwrap()) {
        Stripped::No => "no".to_owned(),
        Stripped::Bare => "bare".to_owned(),
        Stripped::To(uri) => uri.to_string(),
    };
    for (uri, left) in [
        ("/ruang/ws/a%2Fb?token=x", "/ws/a%2Fb?token=x"),
        ("/ruang/", "/"),
        ("/ruang/?x", "/?x"),
        ("/ruang", "bare"),
        ("/ruang?x", "bare"),
        ("/ruangx/ws", "no"),
        ("/ws/ruang", "no"),
        ("/ruang/ruang/ws", "/ruang/ws"),
    ] {
        assert_eq!(strip(uri), left, "{uri}");
    }
    assert!(matches!(BasePath::default().strip(&"/x".parse().unwrap()), Stripped::No));
    for bad in ["ruang", "/a//b", "/a b", "/a%20", "/..", "/a/."] {
        assert!(bad.parse::<BasePath>().is_err(), "{bad}");
    }
}

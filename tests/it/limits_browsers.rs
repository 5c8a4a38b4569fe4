//! Which pages may, what browsers are told, and under which address all is.

use ruang::http::front::FrontOptions;
use ruang::throttle::Limits;

use crate::harness::{Client, Server};
use crate::limits_support::{Answer, ask, behind_loopback, server_behind};

const LISTED: &str = "https://app.example.com";

async fn listing() -> Server {
    let allowed = [LISTED, "https://*.boards.example"].map(|origin| origin.parse().unwrap());
    let front = FrontOptions { allowed: allowed.into(), ..behind_loopback() };
    server_behind(Limits::default(), front).await
}

/// [O50] A page of an origin that is not allowed gets no WebSocket, no answer and no effect: 403. One that is
/// allowed, and who is no browser, gets all of it.
#[tokio::test]
async fn origins_are_checked_everywhere() {
    let server = listing().await;
    let own = format!("http://{}", server.address);
    let table = [
        (None, true),
        (Some(LISTED), true),
        (Some("https://app.example.com:443"), true),
        (Some("https://team.boards.example"), true),
        (Some(own.as_str()), true),
        (Some("null"), false),
        (Some("https://app.example.com.evil"), false),
        (Some("https://app.example.com.evil.com"), false),
        (Some("https://evil-app.example.com"), false),
        (Some("https://evilapp.example.com"), false),
        (Some("https://sub.app.example.com"), false),
        (Some("https://boards.example"), false),
        (Some("https://evilboards.example"), false),
        (Some("HTTPS://APP.EXAMPLE.COM"), false),
        (Some("https://App.Example.Com"), false),
        (Some("https://app.example.com:8443"), false),
        (Some("http://app.example.com"), false),
        (Some("https://app.example.com/"), false),
        (Some("https://user@app.example.com"), false),
        (Some("https://xn--pp-xka.example.com"), false),
        (Some("https://\u{e4}pp.example.com"), false),
        (Some("http://localhost:3000"), false),
        (Some(""), false),
        (Some("*"), false),
    ];
    for (origin, allowed) in table {
        let headers: Vec<(&'static str, &str)> =
            origin.map(|origin| ("origin", origin)).into_iter().collect();
        let answers = [
            ask(server.address, "GET", "/api/v1/rooms/none", &headers).await,
            ask(server.address, "DELETE", "/api/v1/rooms/none", &headers).await,
            ask(server.address, "GET", "/", &headers).await,
        ];
        println!("{origin:?}: {:?}", answers.each_ref().map(|answer| answer.status));
        for answer in &answers {
            assert_eq!(answer.status != 403, allowed, "{origin:?}: {answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), origin.filter(|_| allowed));
        }
        let ascii = origin.is_none_or(str::is_ascii);
        if ascii {
            let joined = Client::connect_with(&server.url("r"), &headers).await;
            assert_eq!(joined.as_ref().err().copied(), (!allowed).then_some(403), "{origin:?}");
        }
    }
    let twice = [("origin", LISTED), ("origin", "https://evil.example")];
    assert_eq!(ask(server.address, "GET", "/", &twice).await.status, 403);
    assert!(server.app.throttle.metrics().origins_refused.get() > 50);
}

/// [O51] Without a list, where nobody needs a token: pages of this machine, and the server's own.
#[tokio::test]
async fn development_allows_pages_of_this_machine() {
    let front = FrontOptions { development: true, ..FrontOptions::default() };
    let server = server_behind(Limits::default(), front).await;
    for (origin, allowed) in [
        ("http://localhost:5173", true),
        ("http://127.0.0.1:1", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let joined = Client::connect_with(&server.url("r"), &[("origin", origin)]).await;
        assert_eq!(joined.is_ok(), allowed, "{origin}");
    }
    // A name that somebody has pointed at this machine.
    let rebound = [("origin", "http://rebound.example"), ("host", "rebound.example")];
    assert_eq!(ask(server.address, "GET", "/api/v1/rooms/r", &rebound).await.status, 403);
    // A page reads from its own host without saying so.
    for path in ["/api/v1/rooms/r", "/api/v1/rooms/r/document", "/d/r/as-update", "/metrics"] {
        for host in ["rebound.example", "rebound.example.", "rebound.example.:80"] {
            let status = ask(server.address, "GET", path, &[("host", host)]).await.status;
            println!("{path} as {host}: {status}");
            assert_eq!(status, 403, "{path} as {host}");
        }
    }
}

/// [O56] Browsers are told before they ask, and may read answers, if the page's origin is allowed.
#[tokio::test]
async fn preflights_are_answered_by_the_list() {
    let server = listing().await;
    let preflight = async |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "DELETE"),
            ("access-control-request-headers", "authorization"),
        ];
        ask(server.address, "OPTIONS", "/api/v1/rooms/some", &headers).await
    };
    let allowed = preflight(LISTED).await;
    println!("{}", allowed.head);
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (204, Some(LISTED)));
    assert!(allowed.header("access-control-allow-methods").unwrap().contains("DELETE"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(allowed.header("access-control-allow-credentials"), None, "there are no cookies");
    assert_eq!(allowed.header("vary"), Some("origin"));
    let refused = preflight("https://evil.example").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
    assert_eq!(refused.header("access-control-allow-methods"), None);
}

/// [O57] Every answer keeps browsers from guessing, framing and keeping; a page runs its own script only.
#[tokio::test]
async fn every_answer_is_guarded() {
    let server = listing().await;
    let paths =
        ["/", "/api/v1/rooms/none", "/api/none", "/healthz", "/readyz", "/metrics", "/nothing", "/ws/r"];
    for path in paths {
        let answer = ask(server.address, "GET", path, &[]).await;
        println!("{path}: {}", answer.status);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    let evil = ask(server.address, "GET", "/", &[("origin", "https://evil.example")]).await;
    assert_eq!(evil.header("x-content-type-options"), Some("nosniff"));
}

/// [O58] What is not there looks the same whatever its name is, and says nothing of it.
#[tokio::test]
async fn missing_rooms_look_alike() {
    let server = listing().await;
    let mut known = server.join("known").await;
    known.set("a", "b").await;
    let missing = async |name: &str| -> Answer {
        ask(server.address, "GET", &format!("/api/v1/rooms/{name}"), &[]).await.timeless()
    };
    let one = missing("one").await;
    assert_eq!((one.status, one.body.contains("one")), (404, false), "{one:?}");
    for name in ["two", "a-much-longer-name", "%2Fpath%2Fin", "known2", "kn"] {
        assert_eq!(missing(name).await, one, "{name}");
    }
}

/// [O53] Below the base path everything is as it is without; the path itself leads to its page.
#[tokio::test]
async fn everything_is_below_the_base_path_too() {
    let front = FrontOptions { base: "/ruang".parse().unwrap(), ..behind_loopback() };
    let server = server_behind(Limits::default(), front).await;
    for path in ["/healthz", "/ruang/healthz", "/ruang/", "/", "/ruang/readyz"] {
        assert_eq!(ask(server.address, "GET", path, &[]).await.status, 200, "{path}");
    }
    let bare = ask(server.address, "GET", "/ruang", &[]).await;
    assert_eq!((bare.status, bare.header("location")), (308, Some("/ruang/")));
    for path in ["/ruangx/healthz", "/x/ruang/healthz", "/ruang/ruang/healthz"] {
        assert_eq!(ask(server.address, "GET", path, &[]).await.status, 404, "{path}");
    }
    let mut below = Client::connect(&format!("ws://{}/ruang/ws/a%2Fb", server.address), None).await;
    below.sync().await;
    below.set("who", "below").await;
    server.join("a/b").await.until_set("who", "below").await;
    let page = ask(server.address, "GET", "/ruang/", &[]).await;
    assert!(page.body.contains(&format!("'ws://{}/ruang/ws'", server.address)), "{}", page.body);
}

/// [O54] The page tells the address at which its reader reaches the server: what a trusted proxy says, or what
/// is set; never what anybody else says.
#[tokio::test]
async fn the_page_tells_the_public_address() {
    let told = async |front: FrontOptions, headers: &[(&str, &str)]| {
        let server = server_behind(Limits::default(), front).await;
        let page = ask(server.address, "GET", "/", headers).await;
        let (_, rest) = page.body.split_once("WebsocketProvider('").expect("the snippet");
        rest.split('\'').next().unwrap().replace(&server.address.to_string(), "SELF")
    };
    let forwarded = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "board.example.com"),
        ("x-forwarded-prefix", "/ruang"),
    ];
    assert_eq!(told(behind_loopback(), &forwarded).await, "wss://board.example.com/ruang/ws");
    assert_eq!(told(behind_loopback(), &[]).await, "ws://SELF/ws");
    assert_eq!(told(FrontOptions::default(), &forwarded).await, "ws://SELF/ws", "not a trusted proxy");
    assert_eq!(
        told(FrontOptions::default(), &[("host", "<script>alert(1)</script>")]).await,
        "ws://localhost/ws"
    );
    let set =
        FrontOptions { public: Some("https://sync.example.com/x".parse().unwrap()), ..behind_loopback() };
    assert_eq!(told(set, &forwarded).await, "wss://sync.example.com/x/ws");
}

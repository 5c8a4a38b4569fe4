//! Taking tokens back: here, on other instances, across restarts and outages.

use std::sync::Arc;
use std::time::Duration;

use ruang::auth::{Auth, AuthError, Revocation, Target, keeper};
use ruang::clock::system_clock;
use ruang::http::admin::listener::{Credential, router};
use ruang::ids::InstanceId;
use ruang::limits::REVOCATIONS_LOOK_MS;
use ruang::log::embedded::EmbeddedLog;
use ruang::log::memory::MemoryLog;
use ruang::log::{Log, LogError};
use ruang::telemetry::Metrics;
use ruang::wire::y_websocket;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::auth_support::*;
use crate::harness::{Client, Server};

fn user(name: &str) -> Revocation {
    Revocation::new(Target::User(name.into()), None, None, now_ms(), 3_600_000).unwrap()
}

fn signed(change: serde_json::Value) -> String {
    token("HS256", &claims(&change))
}

async fn instance(log: &Arc<dyn Log>) -> Server {
    Server::start_for(Arc::clone(log), auth(&[public_key("HS256")])).await
}

async fn join(server: &Server, room: &str, token: &str) -> Client {
    let mut client = Client::connect(&format!("{}?token={token}", server.url(room)), Some("ruang.v1")).await;
    client.sync().await;
    client
}

/// [A18] A token is revoked by its name, a user by theirs; everywhere or in one room; tokens that are issued later count.
#[test]
fn revocations_mean_what_they_say() {
    let auth = auth(&[public_key("HS256")]);
    let log = MemoryLog::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let revoke = |revocation: Revocation| runtime.block_on(keeper::revoke(&auth, &log, revocation)).unwrap();
    let now = now_ms();
    let life = auth.token_life_ms_max();
    let admitted = |token: &str, name: &str| auth.admit(Some(token), &room(name), now_ms()).err();
    let both = json!(["a", "b"]);
    let one = signed(json!({ "jti": "one", "room": both, "iat": now / 1000 - 5 }));
    let two = signed(json!({ "jti": "two", "room": both, "iat": now / 1000 - 5 }));
    let nameless = signed(json!({ "room": both }));
    let later = signed(json!({ "jti": "later", "room": both, "iat": now / 1000 + 5 }));
    let other = signed(json!({ "sub": "bob", "room": both }));
    let everywhere = signed(json!({ "sub": "root", "room": null, "role": "admin" }));
    let all = [&one, &two, &nameless, &later, &other];
    assert!(all.iter().all(|token| admitted(token, "a").is_none()));
    revoke(Revocation::new(Target::Token("one".into()), None, None, now, life).unwrap());
    assert_eq!(admitted(&one, "a"), Some(AuthError::Revoked));
    assert_eq!(admitted(&one, "c"), Some(AuthError::Room), "as before");
    assert!([&two, &nameless, &later, &other].iter().all(|token| admitted(token, "a").is_none()));
    revoke(Revocation::new(Target::User("ada".into()), Some(room("a")), None, now, life).unwrap());
    for gone in [&two, &nameless] {
        assert_eq!(admitted(gone, "a"), Some(AuthError::Revoked));
        assert_eq!(admitted(gone, "b"), None, "in one room only");
    }
    assert_eq!(admitted(&later, "a"), None, "issued later");
    revoke(Revocation::new(Target::User("ada".into()), None, Some(now + 200_000), now, life).unwrap());
    assert_eq!(admitted(&later, "b"), Some(AuthError::Revoked));
    assert_eq!(admitted(&other, "a"), None);
    revoke(Revocation::new(Target::User("root".into()), Some(room("a")), None, now, life).unwrap());
    assert!(auth.admit_everywhere(Some(&everywhere), now_ms()).is_ok(), "revoked in one room only");
    assert_eq!(admitted(&everywhere, "a"), Some(AuthError::Revoked));
    revoke(Revocation::new(Target::User("root".into()), None, None, now, life).unwrap());
    assert_eq!(auth.admit_everywhere(Some(&everywhere), now_ms()), Err(AuthError::Revoked));
    assert_eq!(auth.revocations(now_ms()).len(), 5);
    assert!(auth.revocations(now + 3 * life).is_empty(), "they end with the tokens");
    for bad in [Target::User("".into()), Target::Token("x".repeat(129).into())] {
        assert!(Revocation::new(bad, None, None, now, life).is_err());
    }
}

/// [A19] What is revoked on one instance ends live sessions on all of them; nothing of theirs is taken after that, others
/// stay, and who comes back is refused.
#[tokio::test]
async fn revocations_reach_live_sessions_on_all_instances() {
    let (log, _) = MemoryLog::for_instances(system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let (one, two) = (instance(&log).await, instance(&log).await);
    let (ada, bob) = (signed(json!({})), signed(json!({ "sub": "bob" })));
    let mut here = join(&one, "retro", &ada).await;
    let mut there = join(&two, "retro", &ada).await;
    let mut others = [join(&one, "retro", &bob).await, join(&two, "retro", &bob).await];
    here.set("a", "1").await;
    others[1].until_set("a", "1").await;
    let began = tokio::time::Instant::now();
    keeper::revoke(&one.app.auth, &*log, user("ada")).await.unwrap();
    let late = here.set_locally("late", "x");
    let _ = here.try_send(y_websocket::update(&late)).await;
    // The pause before a final close is meant for clients that know none.
    assert_eq!(here.until_closed().await, Some(4401));
    println!("the session on the same instance: closed after {:?}", began.elapsed());
    assert_eq!(there.until_closed().await, Some(4401));
    println!(
        "the session on the other: closed after {:?}, of which 1 s is the pause before the close",
        began.elapsed()
    );
    for server in [&one, &two] {
        let mut again = Client::connect(&format!("{}?token={ada}", server.url("retro")), None).await;
        assert_eq!(again.until_closed().await, Some(4401));
    }
    let [first, second] = &mut others;
    first.set("b", "2").await;
    second.until_set("b", "2").await;
    assert_eq!(second.get("late"), None, "nothing of it is stored");
    let fresh = signed(json!({ "iat": now_s() + 5 }));
    let mut back = join(&two, "retro", &fresh).await;
    back.until_set("b", "2").await;
    one.stop().await;
    two.stop().await;
}

/// [A19] Whenever a user is revoked on one instance, and also if the store has just begun not to answer another one's
/// look: that one knows within five seconds. By the clock that waits are measured with, whatever the machine does.
#[tokio::test(start_paused = true)]
async fn others_know_within_five_seconds() {
    let (token, metrics) = (signed(json!({})), Metrics::new());
    for begins_ms in (0..4_000).step_by(250) {
        for stuck_ms in [0, 500, 1_999, 2_500] {
            let (log, faults) = MemoryLog::with_faults();
            let [one, two] = [(); 2].map(|()| auth(&[public_key("HS256")]));
            let revoking = async {
                sleep(Duration::from_millis(begins_ms)).await;
                let held = (stuck_ms > 0).then(|| faults.hold_reads());
                let began = Instant::now();
                keeper::revoke(&one, &log, user("ada")).await.unwrap();
                let letting_go = async {
                    sleep(Duration::from_millis(stuck_ms)).await;
                    drop(held);
                };
                let knowing = async {
                    while two.admit(Some(&token), &room("retro"), now_ms()).is_ok() {
                        sleep(Duration::from_millis(10)).await;
                        assert!(began.elapsed() < Duration::from_secs(60), "it does not arrive");
                    }
                    began.elapsed()
                };
                tokio::join!(letting_go, knowing).1
            };
            let took = tokio::select! {
                took = revoking => took,
                () = keeper::go_on(&two, &log, &metrics.auth) => unreachable!("it goes on"),
            };
            println!("revoked after {begins_ms} ms, no answers for {stuck_ms} ms: known after {took:?}");
            assert!(took < Duration::from_secs(5));
        }
    }
}

/// [A20] A store that does not answer revokes nothing and un-revokes nothing; what it has lost is put back.
#[tokio::test(start_paused = true)]
async fn outages_change_nothing() {
    let (log, faults) = MemoryLog::with_faults();
    let auth = auth(&[public_key("HS256")]);
    let token = signed(json!({}));
    let admitted = || auth.admit(Some(&token), &room("retro"), now_ms()).err();
    let away = || LogError::Unavailable("a test".to_owned());
    let metrics = Metrics::new();
    // Until it has looked so many times, or has failed to.
    let looking = async |log: &dyn Log, looks: u64| {
        let during = Duration::from_millis(REVOCATIONS_LOOK_MS * looks - 1);
        let _ = tokio::time::timeout(during, keeper::go_on(&auth, log, &metrics.auth)).await;
    };
    faults.fail_reads(1, away());
    looking(&log, 1).await;
    assert_eq!(metrics.auth.looks_failed.get(), 1);
    assert_eq!(admitted(), None, "an outage is no revocation");
    faults.fail_change(0, away());
    let revoked = keeper::revoke(&auth, &log, user("ada")).await;
    println!("{revoked:?}");
    assert!(revoked.is_err());
    assert_eq!(admitted(), Some(AuthError::Revoked), "it holds here all the same");
    assert_eq!(log.notes().await.unwrap().len(), 0);
    faults.fail_reads(1, away());
    looking(&log, 1).await;
    assert_eq!(metrics.auth.looks_failed.get(), 2);
    assert_eq!(admitted(), Some(AuthError::Revoked), "an outage un-revokes nothing");
    looking(&log, 1).await;
    assert_eq!(log.notes().await.unwrap().len(), 1, "stored at last");
    let emptied = MemoryLog::new();
    looking(&emptied, 1).await;
    assert_eq!(admitted(), Some(AuthError::Revoked));
    assert_eq!(
        emptied.notes().await.unwrap(),
        log.notes().await.unwrap(),
        "put back into a store that lost it"
    );
}

/// [A20] A restart on the embedded store changes nothing.
#[tokio::test]
async fn revocations_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let token = signed(json!({}));
    {
        let log = EmbeddedLog::open(dir.path(), InstanceId(1)).unwrap();
        let auth = auth(&[public_key("HS256")]);
        keeper::revoke(&auth, &log, user("ada")).await.unwrap();
        // As kill -9: nothing is closed.
        std::mem::forget(auth);
    }
    let log = EmbeddedLog::open(dir.path(), InstanceId(2)).unwrap();
    let auth = auth(&[public_key("HS256")]);
    keeper::load(&auth, &log).await.unwrap();
    assert_eq!(auth.admit(Some(&token), &room("retro"), now_ms()), Err(AuthError::Revoked));
}

/// [A21] The admin listener takes calls with its credential only, none from pages in browsers, and nothing but what it
/// is for; what it revokes is revoked.
#[tokio::test]
async fn the_admin_listener_revokes() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = instance(&log).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let secret = "an admin token that nobody guesses 0123";
    let routes = router(Arc::clone(&server.app), Some(Credential::new(secret)));
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let json_type = "Content-Type: application/json\r\n";
    let authorized = format!("Authorization: Bearer {secret}\r\n");
    let status = async |method: &str, path: &str, headers: &str, body: &str| {
        let answer = request(address, method, path, headers, body).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let path = "/v1/revocations";
    let body = r#"{"user":"ada"}"#;
    for wrong in
        ["", "Authorization: Bearer x\r\n", "Authorization: Basic x\r\n", &authorized.replace("0123", "012")]
    {
        assert_eq!(status("POST", path, &format!("{wrong}{json_type}"), body).await, "401");
        assert_eq!(status("GET", path, wrong, "").await, "401");
        assert_eq!(status("GET", "/metrics", wrong, "").await, "401");
    }
    assert_eq!(status("POST", path, &authorized, body).await, "400", "as a form of a page");
    let page = format!("{authorized}{json_type}Origin: http://evil.example\r\n");
    assert_eq!(status("POST", path, &page, body).await, "403");
    assert_eq!(status("GET", path, &page, "").await, "403", "pages read nothing here either");
    let good = format!("{authorized}{json_type}");
    for bad in [
        "",
        "{}",
        r#"{"user":"a","token":"b"}"#,
        r#"{"user":""}"#,
        r#"{"user":"a","rooom":"b"}"#,
        r#"{"user":"a","room":""}"#,
    ] {
        assert_eq!(status("POST", path, &good, bad).await, "400", "{bad}");
    }
    assert_eq!(status("POST", path, &good, &"x".repeat(20_000)).await, "413");
    for elsewhere in ["/v1/rooms", "/v1/rooms/retro/records", "/api/v1/rooms/retro", "/"] {
        assert_eq!(status("GET", elsewhere, &authorized, "").await, "404", "{elsewhere}");
    }
    let ada = signed(json!({}));
    let mut live = join(&server, "retro", &ada).await;
    let answer = request(address, "POST", path, &good, body).await;
    println!("{answer}");
    assert!(answer.starts_with("HTTP/1.1 201"));
    assert_eq!(live.until_closed().await, Some(4401));
    let list = request(address, "GET", path, &authorized, "").await;
    assert!(list.contains(r#""user":"ada""#), "{list}");
    assert_eq!(status("GET", "/metrics", &authorized, "").await, "200");
    // Without a credential it hears what was sent to this machine, and nothing that was sent to another name of it.
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = open.local_addr().unwrap();
    let routes = router(Arc::clone(&server.app), None);
    let serving_open = tokio::spawn(async move { axum::serve(open, routes).await });
    let rebound = request(at, "GET", path, "", "").await;
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let asked = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, asked.as_bytes()).await.unwrap();
    let mut heard = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut heard).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    serving_open.abort();
    serving.abort();
    server.stop().await;
}

/// [A18] An open server has nobody to revoke: its callers have no names.
#[tokio::test]
async fn nobody_is_revoked_where_nobody_has_a_name() {
    let auth = Auth::open();
    keeper::revoke(&auth, &MemoryLog::new(), user("ada")).await.unwrap();
    assert!(auth.admit(None, &room("retro"), now_ms()).is_ok());
}

//! The ways to a server: TLS, Unix sockets, databases, logins.

use ruang::log::redis::{RedisLog, RedisOptions};

use crate::log_support::{append, room, texts};
use crate::rig::cluster::ClusterRig;
use crate::rig::process::RedisProcess;
use crate::rig::proxy::{Fault, Proxy};
use crate::rig::sentinel::SentinelRig;
use crate::rig::tls::Authority;
use crate::rig::words;
use crate::traffic::open;

async fn refused(url: &str) -> String {
    let error = RedisLog::open(&url.parse().unwrap(), RedisOptions::default()).await.err().expect(url);
    let line = error.to_string();
    println!("{line}");
    assert!(!line.contains('\n') && !line.contains("secret"));
    line
}

/// Something is stored and read again.
async fn works(url: &str) {
    let (log, name) = (open(url).await, room("a"));
    let number = texts(&*log, &name).await.len() as u64 + 1;
    append(&*log, &name, 1, number, &["x"]).await;
    assert_eq!(texts(&*log, &name).await.len() as u64, number);
}

/// [L92] Over TLS with an authority of one's own; without it, or with another, nobody is trusted, and a start says so.
#[tokio::test]
async fn certificates_are_checked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = RedisProcess::alone(&words(&authority.settings("no")));
    works(&authority.url(&server)).await;
    let plain = format!("rediss://:secret@127.0.0.1:{}", server.tls_port());
    assert!(refused(&plain).await.contains("certificate"));
    assert!(refused(&format!("{plain}?ca={}", other.ca())).await.contains("certificate"));
    // The certificate is for an address, not for the name.
    let by_name = authority.url(&server).replace("127.0.0.1", "localhost");
    assert!(refused(&by_name).await.contains("certificate"));
    let missing = format!("{plain}?ca=/nowhere/ca.pem");
    assert!(refused(&missing).await.contains("/nowhere/ca.pem"));
    let no_certificate = format!("{plain}?ca={}", authority.key());
    assert!(refused(&no_certificate).await.contains("no CERTIFICATE"));
    // TLS to a server that speaks none, and the other way round, ends in time.
    refused(&format!("rediss://127.0.0.1:{}", server.port)).await;
    refused(&format!("redis://127.0.0.1:{}", server.tls_port())).await;
}

/// [L92] A server that wants to see a certificate gets the one that the address names.
#[tokio::test]
async fn clients_show_certificates() {
    let authority = Authority::new();
    let server = RedisProcess::alone(&words(&authority.settings("yes")));
    refused(&authority.url(&server)).await;
    let shown = format!("{}&cert={}&key={}", authority.url(&server), authority.cert(), authority.key());
    works(&shown).await;
}

/// [L92] The servers of a cluster, and those that Sentinel names, are reached over TLS as well.
#[tokio::test]
async fn clusters_and_sentinels_speak_tls() {
    let authority = Authority::new();
    let mut settings = authority.settings("no");
    settings.extend(["--tls-replication", "yes"].map(str::to_owned));
    let sentinel = SentinelRig::start_with(1, &words(&settings));
    works(&format!("{}?ca={}", sentinel.url(), authority.ca())).await;
    sentinel.fail_over();
    works(&format!("{}?ca={}", sentinel.url(), authority.ca())).await;

    settings.extend(["--tls-cluster", "yes"].map(str::to_owned));
    let cluster = ClusterRig::start_with(0, &words(&settings));
    let seed = cluster.nodes[0].tls_port();
    let log = open(&format!("rediss+cluster://127.0.0.1:{seed}?ca={}", authority.ca())).await;
    for number in 0..10 {
        append(&*log, &room(&format!("room{number}")), 1, 1, &["x"]).await;
    }
}

/// [L92] Databases and logins are as the address says.
#[tokio::test]
async fn databases_and_passwords_work() {
    let server = RedisProcess::alone(&[]);
    let () = server.ask(&["CONFIG", "SET", "requirepass", "s@c/ret%"]);
    let (socket, encoded) = (server.socket(), "s%40c%2Fret%25");
    works(&format!("redis://:{encoded}@{socket}/3")).await;
    assert!(refused(&format!("redis://{socket}")).await.contains("NOAUTH"));
    assert!(refused(&format!("redis://:secret@{socket}")).await.contains("WRONGPASS"));
    assert!(refused(&format!("redis://:{encoded}@{socket}/99")).await.contains("out of range"));
    let in_db = |db: u32| format!("redis://:{encoded}@{socket}/{db}");
    assert_eq!(texts(&*open(&in_db(3)).await, &room("a")).await, ["x"]);
    assert!(texts(&*open(&in_db(0)).await, &room("a")).await.is_empty());
}

/// [L92] A server that is not there, or takes connections and says nothing, is told at the start within seconds.
#[tokio::test]
async fn a_start_without_redis_ends() {
    let server = RedisProcess::alone(&[]);
    let proxy = Proxy::tcp(server.socket());
    works(&proxy.url()).await;
    proxy.set(Fault::Freeze);
    assert!(refused(&proxy.url()).await.contains("reached"));
    proxy.set(Fault::Refuse);
    assert!(refused(&proxy.url()).await.contains("reached"));
    proxy.set(Fault::Pass);
    works(&proxy.url()).await;
}

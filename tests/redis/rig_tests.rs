//! The rig does what it says: otherwise the other tests would show nothing.

use std::time::{Duration, Instant};

use redis::RedisResult;

use crate::rig::cluster::ClusterRig;
use crate::rig::process::{FSYNC, RedisProcess};
use crate::rig::proxy::{Direction, Fault, Proxy};
use crate::rig::sentinel::SentinelRig;
use crate::rig::wait_for;

fn set(server: &RedisProcess, key: &str, value: &str) {
    let () = server.ask(&["SET", key, value]);
}

fn get(server: &RedisProcess, key: &str) -> Option<String> {
    server.ask(&["GET", key])
}

/// A server that was killed comes back on its port with what it had; a paused one is silent until it goes on.
#[test]
fn a_server_dies_and_comes_back() {
    let mut server = RedisProcess::alone(FSYNC);
    set(&server, "a", "1");
    let port = server.port;
    server.kill();
    assert!(server.try_ask::<String>(&["PING"]).is_err());
    server.restart();
    assert_eq!((server.port, get(&server, "a").as_deref()), (port, Some("1")));
    server.stop();
    server.restart();
    assert_eq!(get(&server, "a").as_deref(), Some("1"));
    let mut connection = server.connection();
    connection.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    server.freeze(true);
    assert!(redis::cmd("PING").query::<String>(&mut connection).unwrap_err().is_timeout());
    server.freeze(false);
    assert_eq!(get(&server, "a").as_deref(), Some("1"));
}

/// No server outlives its rig.
#[test]
fn servers_end_with_their_owner() {
    let server = RedisProcess::alone(FSYNC);
    let (address, dir) = (server.socket(), server.dir().to_owned());
    assert!(dir.exists() && std::net::TcpStream::connect(address).is_ok());
    drop(server);
    assert!(!dir.exists() && std::net::TcpStream::connect(address).is_err());
}

/// Sentinel names another primary on request, and the old one follows it.
#[test]
fn a_failover_moves_the_primary() {
    let rig = SentinelRig::start(1);
    let old = rig.primary();
    set(&rig.nodes[old], "a", "1");
    rig.wait_for_replica();
    let new = rig.fail_over();
    assert_ne!(old, new);
    assert_eq!(get(&rig.nodes[new], "a").as_deref(), Some("1"));
    let error = rig.nodes[old].try_ask::<()>(&["SET", "a", "2"]).unwrap_err();
    assert_eq!(error.code(), Some("READONLY"), "{error}");
}

/// Three sentinels agree that a killed primary is gone; what the replica was kept from is lost; the old primary
/// comes back as a replica and loses it too.
#[test]
fn a_failover_can_lose_the_tail() {
    let mut rig = SentinelRig::start(3);
    let old = rig.primary();
    set(&rig.nodes[old], "kept", "1");
    rig.wait_for_replica();
    rig.hold_replica();
    set(&rig.nodes[old], "lost", "1");
    let new = rig.lose_primary();
    assert_eq!(get(&rig.nodes[new], "kept").as_deref(), Some("1"));
    assert_eq!(get(&rig.nodes[new], "lost"), None);
    rig.nodes[old].restart();
    wait_for("the old primary to follow", || {
        (rig.nodes[old].info("master_link_status").as_deref() == Some("up")).then_some(())
    });
    assert_eq!(get(&rig.nodes[old], "lost"), None);
    assert_eq!(rig.primary(), new);
}

/// A held replica can be let go again.
#[test]
fn a_held_replica_can_follow_again() {
    let rig = SentinelRig::start(1);
    rig.hold_replica();
    let primary = rig.primary();
    set(&rig.nodes[primary], "a", "1");
    assert_eq!(get(&rig.nodes[1 - primary], "a"), None);
    rig.let_replica_follow();
    rig.wait_for_replica();
    assert_eq!(get(&rig.nodes[1 - primary], "a").as_deref(), Some("1"));
}

/// A slot moves with its keys; while it is open, keys that are gone are asked for elsewhere.
#[test]
fn a_slot_moves() {
    let rig = ClusterRig::start();
    let slot = rig.slot_of("{room}:a");
    assert_eq!(slot, rig.slot_of("{room}:b"));
    let from = rig.owner_of(slot);
    set(&rig.nodes[from], "{room}:a", "1");
    set(&rig.nodes[from], "{room}:b", "2");
    let to = (from + 1) % 3;
    let error = rig.nodes[to].try_ask::<String>(&["GET", "{room}:a"]).unwrap_err();
    assert_eq!(error.code(), Some("MOVED"), "{error}");

    let moving = rig.begin_move(slot, to);
    assert_eq!(moving.move_keys(1), 1);
    let code = |words: &[&str]| {
        rig.nodes[from].try_ask::<redis::Value>(words).map_err(|it| it.code().map(str::to_owned))
    };
    let both = [code(&["GET", "{room}:a"]), code(&["GET", "{room}:b"])];
    assert_eq!(both.iter().filter(|it| **it == Err(Some("ASK".to_owned()))).count(), 1, "{both:?}");
    assert_eq!(code(&["MGET", "{room}:a", "{room}:b"]), Err(Some("TRYAGAIN".to_owned())));
    while moving.move_keys(1) > 0 {}
    moving.finish();
    assert_eq!(get(&rig.nodes[to], "{room}:a").as_deref(), Some("1"));

    rig.move_slot(slot, from);
    assert_eq!(get(&rig.nodes[from], "{room}:b").as_deref(), Some("2"));
}

/// A cluster with a dead owner takes nothing; a replica takes its place.
#[test]
fn a_cluster_goes_down_and_fails_over() {
    let mut rig = ClusterRig::start();
    rig.nodes[0].kill();
    rig.wait_until_down();
    let error = rig.nodes[1].try_ask::<String>(&["GET", "a"]).unwrap_err();
    assert_eq!(error.code(), Some("CLUSTERDOWN"), "{error}");
    rig.nodes[0].restart();
    rig.wait_until_ok();

    let mut rig = ClusterRig::start_with(1, &[]);
    rig.nodes[0].kill();
    assert_eq!(wait_for("a new owner", || Some(rig.owner_of(0)).filter(|it| *it != 0)), 3);
    rig.wait_until_ok();
}

/// A connection through a proxy, and what a PING over it gets.
fn through(proxy: &Proxy) -> RedisResult<redis::Connection> {
    let client = redis::Client::open(proxy.url())?;
    let connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
    connection.set_read_timeout(Some(Duration::from_millis(300)))?;
    Ok(connection)
}

fn echo(connection: &mut redis::Connection, text: &str) -> RedisResult<String> {
    redis::cmd("ECHO").arg(text).query(connection)
}

/// What passes, what is refused, frozen, dropped, delayed and cut, on connections that are there and on new ones.
#[test]
fn the_proxy_does_what_networks_do() {
    let server = RedisProcess::alone(FSYNC);
    let proxy = Proxy::tcp(server.socket());
    let mut connection = through(&proxy).unwrap();
    assert_eq!(echo(&mut connection, "hello").unwrap(), "hello");

    proxy.set(Fault::Refuse);
    assert!(echo(&mut connection, "cut").unwrap_err().is_connection_dropped());
    assert!(through(&proxy).err().unwrap().is_connection_refusal());

    proxy.set(Fault::Pass);
    let mut connection = through(&proxy).unwrap();
    proxy.set(Fault::Freeze);
    assert!(echo(&mut connection, "frozen").unwrap_err().is_timeout());
    proxy.set(Fault::Pass);

    let mut connection = through(&proxy).unwrap();
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.set(Fault::Drop(direction));
        let (key, started) = (format!("{direction:?}"), server.info("total_commands_processed"));
        println!("{key}: {started:?}");
        assert!(redis::cmd("SET").arg(&key).arg(1).query::<()>(&mut connection).unwrap_err().is_timeout());
        assert_eq!(get(&server, &key).is_some(), direction == Direction::ToClient);
        proxy.set(Fault::Pass);
        connection = through(&proxy).unwrap();
    }

    let (late, started) = (Duration::from_millis(100), Instant::now());
    proxy.set(Fault::Delay(late));
    assert_eq!(echo(&mut connection, "late").unwrap(), "late");
    assert!(started.elapsed() >= 2 * late); // there and back
    proxy.set(Fault::Pass);

    let accepted = proxy.accepted();
    proxy.cut_all();
    assert!(echo(&mut connection, "cut").unwrap_err().is_connection_dropped());
    assert_eq!(echo(&mut through(&proxy).unwrap(), "new").unwrap(), "new");
    assert_eq!(proxy.accepted(), accepted + 1);
}

/// A cut takes effect after exactly so many bytes, and only once.
#[test]
fn the_proxy_cuts_at_a_byte() {
    let server = RedisProcess::alone(FSYNC);
    let proxy = Proxy::tcp(server.socket());
    let command = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    for (bytes, applied) in [(command.len() as u64 - 1, false), (command.len() as u64, true)] {
        let () = server.ask(&["DEL", "a"]);
        let mut connection = through(&proxy).unwrap();
        proxy.set(Fault::CutAfter(Direction::ToServer, bytes));
        let first = redis::cmd("SET").arg("a").arg("1").query::<()>(&mut connection);
        assert_eq!((first.is_ok(), get(&server, "a").is_some()), (applied, applied), "{bytes}");
        proxy.set(Fault::Pass);
    }
    // A reply that never comes: the command was done.
    let mut connection = through(&proxy).unwrap();
    proxy.set(Fault::CutAfter(Direction::ToClient, 0));
    assert!(
        redis::cmd("SET").arg("b").arg("1").query::<()>(&mut connection).unwrap_err().is_connection_dropped()
    );
    assert_eq!(get(&server, "b").as_deref(), Some("1"));
    assert_eq!(echo(&mut through(&proxy).unwrap(), "well again").unwrap(), "well again");
}

/// A proxy can stand on a Unix socket.
#[test]
fn the_proxy_listens_on_unix_sockets() {
    let server = RedisProcess::alone(FSYNC);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("redis.sock");
    let proxy = Proxy::unix(&path, server.socket());
    let client = redis::Client::open(format!("unix://{}", path.display())).unwrap();
    assert_eq!(echo(&mut client.get_connection().unwrap(), "hello").unwrap(), "hello");
    proxy.set(Fault::Refuse);
    assert!(client.get_connection().is_err());
    proxy.set(Fault::Pass);
    assert_eq!(echo(&mut client.get_connection().unwrap(), "again").unwrap(), "again");
}

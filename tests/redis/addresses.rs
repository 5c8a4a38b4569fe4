//! Which Redis the real binary takes, and what it says of one that it does not take.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::binary::{Served, said};
use crate::rig::cluster::ClusterRig;
use crate::rig::process::FSYNC;
use crate::rig::sentinel::SentinelRig;
use crate::rig::single::Single;

/// The body of an answer to GET.
fn get(served: &Served, path: &str) -> String {
    let mut stream = TcpStream::connect(&served.address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: ruang\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn file_store(dir: &Path) -> String {
    format!("file:{}", dir.display())
}

/// [O27] The variables REDIS_… choose Redis when no store is given, on the command line, in the environment or in the file.
#[test]
fn the_variables_choose_redis() {
    let server = Single::start(FSYNC);
    let () = server.ask(&["CONFIG", "SET", "requirepass", "s@cret"]);
    let port = server.port.to_string();
    let variables = [
        ("REDIS_HOST", "127.0.0.1"),
        ("REDIS_PORT", &*port),
        ("REDIS_PASSWORD", "s@cret"),
        ("REDIS_DB", "2"),
    ];
    let served = Served::start(&[], &variables);
    let logged = served.logged();
    println!("{logged}");
    assert!(logged.contains(&format!("redis://127.0.0.1:{port}/2")) && !logged.contains("s@cret"));
    let health = get(&served, "/healthz");
    println!("{health}");
    assert!(health.contains(r#""store":"redis""#) && health.contains(r#""durability":"fsync""#));
    let (code, notes, rooms) = said(&["replay", "rooms"], &variables);
    assert_eq!((code, notes.as_str()), (Some(0), ""), "{rooms}");

    let dir = tempfile::tempdir().unwrap();
    let store = file_store(&dir.path().join("store"));
    let config = dir.path().join("ruang.toml");
    std::fs::write(&config, format!("store = \"{store}\"")).unwrap();
    let by_file = ["--config", config.to_str().unwrap()];
    let by_variable = [&[("RUANG_STORE", store.as_str())], &variables[..]].concat();
    for (args, variables) in
        [(&["--store", &store][..], &variables[..]), (&[], &by_variable), (&by_file, &variables)]
    {
        let served = Served::start(args, variables);
        assert!(served.logged().contains(&store), "{}", served.logged());
    }
}

/// [O1] [O27] What is wrong with the address of a Redis is one line that names the setting and what is allowed, never the
/// password; exit code 2. A Redis that is not there is code 1.
#[test]
fn bad_addresses_end_the_start_with_one_line() {
    let server = Single::start(&["--maxmemory-policy", "allkeys-lru"]);
    let evicting = server.url();
    for (args, variables, code, words) in [
        (&["--store", "redis://:secret@host:x"][..], &[][..], 2, &["--store", "65535"][..]),
        (&["--store", "redis+sentinel://:secret@a,b"], &[], 2, &["--store", "NAME"]),
        (&["--store", "redis+cluster://:secret@a,b/4"], &[], 2, &["--store", "database 0"]),
        (&["--store", "unix:secret"], &[], 2, &["--store", "absolute"]),
        (&["--store", "rediss://:secret@127.0.0.1:1?ca=/nowhere"], &[], 2, &["--store", "/nowhere"]),
        (&[], &[("RUANG_STORE", "redis://:secret@host:x")], 2, &["--store", "65535"]),
        (
            &[],
            &[("REDIS_PORT", "x"), ("REDIS_PASSWORD", "secret")],
            2,
            &["--store", "REDIS_PORT \"x\"", "65535"],
        ),
        (&["--store", "redis://:secret@127.0.0.1:1"], &[], 1, &["--store redis://127.0.0.1:1", "reached"]),
        (&["--store", &evicting], &[], 2, &["noeviction", "--accept-eviction"]),
        (
            &["--store", &evicting, "--accept-eviction", "--durability", "fsync"],
            &[],
            2,
            &["memory", "append"],
        ),
    ] {
        let (ended, line, _) = said(&[&["serve", "--listen", "127.0.0.1:0"], args].concat(), variables);
        print!("{line}");
        assert_eq!(ended, Some(code), "{line}");
        let lines: Vec<_> = line.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{line}");
        assert!(words.iter().all(|word| lines[0].contains(word)), "{words:?}: {line}");
        assert!(!line.contains("secret"), "{line}");
    }
    let served = Served::start(&["--store", &evicting, "--accept-eviction"], &[]);
    assert!(get(&served, "/healthz").contains(r#""durability":"memory""#));
}

/// [O27] A server runs on Sentinel and on a cluster, and says which.
#[test]
fn sentinels_and_clusters_are_served() {
    let sentinel = SentinelRig::start(1);
    let served = Served::start(&["--store", &sentinel.url()], &[]);
    assert!(get(&served, "/healthz").contains(r#""store":"redis+sentinel""#));
    assert!(served.logged().contains(&sentinel.url()), "{}", served.logged());
    drop(served);
    let cluster = ClusterRig::start();
    let served = Served::start(&["--store", &cluster.url()], &[]);
    let health = get(&served, "/healthz");
    assert!(health.contains(r#""store":"redis+cluster""#) && health.contains(r#""status":"ok""#), "{health}");
}

//! Which Redis the real binary takes, and what it says of one that it does not take.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;

use crate::rig::cluster::ClusterRig;
use crate::rig::process::FSYNC;
use crate::rig::sentinel::SentinelRig;
use crate::rig::single::Single;
use crate::served::ruang;

/// A server that runs. Dropping it ends it, by kill -9.
pub struct Served {
    child: Child,
    pub address: String,
    /// Up to the line that says where it listens.
    lines: String,
}

impl Served {
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let mut child = ruang(&args).envs(variables.iter().copied()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (mut lines, mut address) = (String::new(), None);
        while address.is_none() {
            let from = lines.len();
            assert_ne!(stderr.read_line(&mut lines).unwrap(), 0, "{lines}");
            address = lines[from..].split_once("listening on http://").map(|(_, rest)| rest.to_owned());
        }
        // It must not wait for somebody who reads.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let address = address.unwrap().split_whitespace().next().unwrap().to_owned();
        Self { child, address, lines }
    }

    /// The body of an answer to GET.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: ruang\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// SIGTERM, as a supervisor sends it.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// It takes connections (the kernel does) and does nothing, until it is thawed.
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { "STOP" } else { "CONT" });
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end: the exit code.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end: exit code, and what it wrote to standard error and output.
fn run(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = ruang(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stderr), text(output.stdout))
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
    println!("{}", served.lines);
    assert!(
        served.lines.contains(&format!("redis://127.0.0.1:{port}/2")) && !served.lines.contains("s@cret")
    );
    let health = served.get("/healthz");
    println!("{health}");
    assert!(health.contains(r#""store":"redis""#) && health.contains(r#""durability":"fsync""#));
    let (code, notes, rooms) = run(&["replay", "rooms"], &variables);
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
        assert!(served.lines.contains(&store), "{}", served.lines);
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
        let (ended, line, _) = run(&[&["serve", "--listen", "127.0.0.1:0"], args].concat(), variables);
        print!("{line}");
        assert_eq!(ended, Some(code), "{line}");
        let lines: Vec<_> = line.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{line}");
        assert!(words.iter().all(|word| lines[0].contains(word)), "{words:?}: {line}");
        assert!(!line.contains("secret"), "{line}");
    }
    let served = Served::start(&["--store", &evicting, "--accept-eviction"], &[]);
    assert!(served.get("/healthz").contains(r#""durability":"memory""#));
}

/// [O27] A server runs on Sentinel and on a cluster, and says which.
#[test]
fn sentinels_and_clusters_are_served() {
    let sentinel = SentinelRig::start(1);
    let served = Served::start(&["--store", &sentinel.url()], &[]);
    assert!(served.get("/healthz").contains(r#""store":"redis+sentinel""#));
    assert!(served.lines.contains(&sentinel.url()), "{}", served.lines);
    drop(served);
    let cluster = ClusterRig::start();
    let served = Served::start(&["--store", &cluster.url()], &[]);
    let health = served.get("/healthz");
    assert!(health.contains(r#""store":"redis+cluster""#) && health.contains(r#""status":"ok""#), "{health}");
}

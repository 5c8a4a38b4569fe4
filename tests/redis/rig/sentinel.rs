//! A primary, a replica, and sentinels that watch them: failover takes about a second.

use std::fs;

use tempfile::TempDir;

use super::process::{FSYNC, RedisProcess, TLS_PORT};
use super::wait_for;

/// What the sentinels call the primary.
pub const MASTER: &str = "ruang";

pub struct SentinelRig {
    /// One of them is the primary.
    pub nodes: Vec<RedisProcess>,
    pub sentinels: Vec<RedisProcess>,
    /// Everything between them, and with clients, goes over TLS.
    tls: bool,
    _dir: TempDir,
}

impl SentinelRig {
    /// One sentinel decides alone; three by majority. Waits until all of them know each other and the replica
    /// follows.
    pub fn start(sentinels: usize) -> Self {
        Self::start_with(sentinels, &[])
    }

    /// With these settings on both nodes; of those, what is about TLS holds for the sentinels too.
    pub fn start_with(sentinels: usize, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let node = |name: &str, more: &[&str]| {
            let own = dir.path().join(name);
            fs::create_dir(&own).expect("a directory");
            // Replicas begin at once, and without a file in between.
            let quick = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];
            RedisProcess::start(name, &own, &[FSYNC, &quick, settings, more].concat())
        };
        let tls = settings.contains(&"--tls-replication");
        let primary = node("node-0", &[]);
        let replica = node("node-1", &["--replicaof", &format!("127.0.0.1 {}", port(&primary, tls))]);
        let nodes = vec![primary, replica];
        wait_for("a replica that follows", || is_following(&nodes[1]).then_some(()));
        let quorum = sentinels / 2 + 1;
        let sentinels: Vec<_> = (0..sentinels)
            .map(|number| start_sentinel(&dir, number, port(&nodes[0], tls), quorum, settings))
            .collect();
        for sentinel in &sentinels {
            // How often it asks, and how long it lets an old primary be one, as a tenth of what is usual.
            let quick =
                ["INFO-PERIOD", "500", "PING-PERIOD", "100", "ASK-PERIOD", "100", "PUBLISH-PERIOD", "200"];
            let () = sentinel.ask(&[&["SENTINEL", "DEBUG"], &quick[..]].concat());
        }
        let rig = Self { nodes, sentinels, tls, _dir: dir };
        for sentinel in &rig.sentinels {
            wait_for("sentinels that know each other and the replica", || {
                let known = |words: &[&str]| sentinel.ask::<Vec<redis::Value>>(words).len();
                let replicas = known(&["SENTINEL", "REPLICAS", MASTER]);
                let others = known(&["SENTINEL", "SENTINELS", MASTER]);
                (replicas == 1 && others + 1 == rig.sentinels.len()).then_some(())
            });
        }
        rig
    }

    /// As `--store` takes it.
    pub fn url(&self) -> String {
        let host = |sentinel| format!("127.0.0.1:{}", port(sentinel, self.tls));
        let hosts: Vec<_> = self.sentinels.iter().map(host).collect();
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}+sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// Which node the sentinels name, all of them the same, and which says of itself that it is a primary.
    pub fn primary(&self) -> usize {
        wait_for("one primary", || self.agreed_primary())
    }

    fn agreed_primary(&self) -> Option<usize> {
        let mut named = self.sentinels.iter().map(|sentinel| {
            let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
            let address: Vec<String> = sentinel.try_ask(&words).ok()?;
            address.get(1)?.parse::<u16>().ok()
        });
        let first = named.next()??;
        if !named.all(|it| it == Some(first)) {
            return None;
        }
        let index = self.nodes.iter().position(|node| port(node, self.tls) == first)?;
        (self.nodes[index].info("role")? == "master").then_some(index)
    }

    /// An orderly failover: the primary lives, and becomes a replica. Returns the new primary.
    pub fn fail_over(&self) -> usize {
        let old = self.primary();
        // One that cannot begin is refused (NOGOODSLAVE, INPROG), and one that has begun may be given up.
        let new = wait_for("another primary", || match self.agreed_primary()? {
            same if same == old => {
                let _ = self.sentinels[0].try_ask::<String>(&["SENTINEL", "FAILOVER", MASTER]);
                None
            }
            new => Some(new),
        });
        wait_for("a replica that follows", || is_following(&self.nodes[old]).then_some(()));
        new
    }

    /// kill -9 of the primary; returns the new one when there is one.
    pub fn lose_primary(&mut self) -> usize {
        let old = self.primary();
        self.nodes[old].kill();
        self.primary_other_than(old)
    }

    /// Waits until another node is the primary.
    pub fn primary_other_than(&self, old: usize) -> usize {
        wait_for("another primary", || self.agreed_primary().filter(|new| *new != old))
    }

    /// Holds the replica at what it has: what the primary takes from now on is lost if it dies before
    /// [`Self::let_replica_follow`]. A replica that was held for 5 seconds is not promoted.
    pub fn hold_replica(&self) {
        let (primary, replica) = self.primary_and_replica();
        // The primary has no password, so that a replica that brings one is refused.
        let () = replica.ask(&["CONFIG", "SET", "masterauth", "held"]);
        let _: i64 = primary.ask(&["CLIENT", "KILL", "TYPE", "replica"]);
        wait_for("a replica without its primary", || (!is_following(replica)).then_some(()));
    }

    pub fn let_replica_follow(&self) {
        let (_, replica) = self.primary_and_replica();
        let () = replica.ask(&["CONFIG", "SET", "masterauth", ""]);
        wait_for("a replica that follows", || is_following(replica).then_some(()));
    }

    /// Waits until the replica has all that the primary has.
    pub fn wait_for_replica(&self) {
        let (primary, replica) = self.primary_and_replica();
        wait_for("a replica that has everything", || {
            let offset = |node: &RedisProcess, key| node.info(key)?.parse::<u64>().ok();
            let (has, wants) = (offset(replica, "slave_repl_offset"), offset(primary, "master_repl_offset"));
            (has.is_some() && has >= wants).then_some(())
        });
    }

    fn primary_and_replica(&self) -> (&RedisProcess, &RedisProcess) {
        let primary = self.primary();
        (&self.nodes[primary], &self.nodes[1 - primary])
    }
}

/// The port by which the others know a server.
fn port(server: &RedisProcess, tls: bool) -> u16 {
    if tls { server.tls_port() } else { server.port }
}

fn is_following(node: &RedisProcess) -> bool {
    node.info("master_link_status").as_deref() == Some("up")
}

fn start_sentinel(
    dir: &TempDir,
    number: usize,
    primary: u16,
    quorum: usize,
    settings: &[&str],
) -> RedisProcess {
    let name = format!("sentinel-{number}");
    let own = dir.path().join(&name);
    fs::create_dir(&own).expect("a directory");
    let config = own.join("sentinel.conf");
    RedisProcess::start_with(&name, &own, |port| {
        // Sentinels rewrite this file, so each has its own.
        let pairs = settings.chunks(2).filter(|pair| pair[0].starts_with("--tls-"));
        let tls: String = pairs.map(|pair| format!("{} {}\n", &pair[0][2..], pair[1])).collect();
        let tls = tls.replace(TLS_PORT, &(port + 1).to_string());
        let text = format!(
            "{tls}port {port}\nbind 127.0.0.1\ndir {}\n\
             sentinel monitor {MASTER} 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} 500\n\
             sentinel failover-timeout {MASTER} 1000\n",
            own.display()
        );
        fs::write(&config, text).expect("its settings");
        vec![config.display().to_string(), "--sentinel".to_owned()]
    })
}

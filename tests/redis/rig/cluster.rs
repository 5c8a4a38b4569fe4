//! A Redis Cluster of three nodes that own all slots, with replicas if wanted.

use std::fs;
use std::ops::Range;

use redis::Value;
use tempfile::TempDir;

use super::process::{FSYNC, RedisProcess, free_port};
use super::wait_for;

/// How many slots there are.
const SLOTS: u16 = 16_384;
const MASTERS: usize = 3;

pub struct ClusterRig {
    /// The first three began as owners of slots; replicas follow in the same order.
    pub nodes: Vec<RedisProcess>,
    ids: Vec<String>,
    _dir: TempDir,
}

impl ClusterRig {
    /// Three nodes, no replicas.
    pub fn start() -> Self {
        Self::start_with(0, &[])
    }

    /// `replicas` (at most 3) follow the first nodes; all nodes have these settings.
    pub fn start_with(replicas: usize, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let nodes: Vec<_> =
            (0..MASTERS + replicas).map(|number| start_node(&dir, number, settings)).collect();
        let ids = nodes.iter().map(|node| node.ask(&["CLUSTER", "MYID"])).collect();
        let rig = Self { nodes, ids, _dir: dir };
        for (number, node) in rig.nodes.iter().enumerate() {
            if let Some(Range { start, end }) = slots_at_first(number) {
                let (first, last) = (start.to_string(), (end - 1).to_string());
                let () = node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
            // Nodes that begin with epochs of their own need not find out who yields.
            let () = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        for node in &rig.nodes[1..] {
            let (port, bus) = (node.port.to_string(), bus_port(node));
            let () = rig.nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        rig.wait_until_known();
        for (master, replica) in rig.ids.iter().zip(&rig.nodes[MASTERS..]) {
            let () = replica.ask(&["CLUSTER", "REPLICATE", master]);
            wait_for("a replica that follows", || {
                (replica.info("master_link_status").as_deref() == Some("up")).then_some(())
            });
        }
        rig.wait_until_ok();
        rig
    }

    fn wait_until_known(&self) {
        for node in &self.nodes {
            wait_for("nodes that know each other", || {
                let nodes: String = node.ask(&["CLUSTER", "NODES"]);
                let connected =
                    nodes.lines().filter(|line| !line.contains("handshake") && line.contains(" connected"));
                (connected.count() == self.nodes.len()).then_some(())
            });
        }
    }

    /// Waits until every running node says that the cluster works.
    pub fn wait_until_ok(&self) {
        self.wait_for_state("cluster_state:ok");
    }

    /// Waits until every running node says that it does not.
    pub fn wait_until_down(&self) {
        self.wait_for_state("cluster_state:fail");
    }

    fn wait_for_state(&self, state: &str) {
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            wait_for(state, || {
                let info: String = node.ask(&["CLUSTER", "INFO"]);
                info.contains(state).then_some(())
            });
        }
    }

    /// Waits until every replica has all that its primary has.
    pub fn wait_for_replicas(&self) {
        for (primary, replica) in self.nodes.iter().zip(&self.nodes[MASTERS..]) {
            wait_for("a replica that has everything", || {
                let offset = |node: &RedisProcess, key| node.info(key)?.parse::<u64>().ok();
                let (has, wants) =
                    (offset(replica, "slave_repl_offset"), offset(primary, "master_repl_offset"));
                (has.is_some() && has >= wants).then_some(())
            });
        }
    }

    /// As `--store` takes it. One node more or less makes no difference to a client.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| node.socket().to_string()).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The slot of a key.
    pub fn slot_of(&self, key: &str) -> u16 {
        let running = self.nodes.iter().find(|node| node.is_running()).expect("a running node");
        running.ask(&["CLUSTER", "KEYSLOT", key])
    }

    /// Which node owns a slot, as all running ones say.
    pub fn owner_of(&self, slot: u16) -> usize {
        wait_for("one owner of the slot", || {
            let mut owners = self.nodes.iter().filter(|node| node.is_running()).map(|node| owner(node, slot));
            let first = owners.next()??;
            if !owners.all(|it| it == Some(first)) {
                return None;
            }
            self.nodes.iter().position(|node| node.port == first)
        })
    }

    /// Moves a slot and its keys to another node, as `redis-cli --cluster reshard` does.
    pub fn move_slot(&self, slot: u16, to: usize) {
        let moving = self.begin_move(slot, to);
        while moving.move_keys(10) > 0 {}
        moving.finish();
    }

    /// The slot is open on both sides from now on: the source answers `ASK` for keys that it does not have.
    pub fn begin_move(&self, slot: u16, to: usize) -> SlotMove<'_> {
        let from = self.owner_of(slot);
        assert_ne!(from, to, "slot {slot} is there already");
        let name = slot.to_string();
        let () = self.nodes[to].ask(&["CLUSTER", "SETSLOT", &name, "IMPORTING", &self.ids[from]]);
        let () = self.nodes[from].ask(&["CLUSTER", "SETSLOT", &name, "MIGRATING", &self.ids[to]]);
        SlotMove { rig: self, slot, from, to }
    }
}

/// A slot that is on its way. Dropped without [`SlotMove::finish`], it stays open on both sides.
pub struct SlotMove<'a> {
    rig: &'a ClusterRig,
    slot: u16,
    pub from: usize,
    pub to: usize,
}

impl SlotMove<'_> {
    /// Moves up to `count_max` keys; returns how many.
    pub fn move_keys(&self, count_max: usize) -> usize {
        let (slot, count) = (self.slot.to_string(), count_max.to_string());
        let source = &self.rig.nodes[self.from];
        let keys: Vec<String> = source.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]);
        if !keys.is_empty() {
            let port = self.rig.nodes[self.to].port.to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            let _: Value = source.ask(&words); // NOKEY if they are gone meanwhile
        }
        keys.len()
    }

    /// The target owns the slot from now on, and every node knows.
    pub fn finish(self) {
        let (slot, id) = (self.slot.to_string(), self.rig.ids[self.to].as_str());
        // The target first: a source that has let go would send clients to a node that refuses them.
        let rest = (0..self.rig.nodes.len()).filter(|it| ![self.to, self.from].contains(it));
        for node in [self.to, self.from].into_iter().chain(rest) {
            // A replica learns it from its primary.
            if self.rig.nodes[node].info("role").as_deref() == Some("master") {
                let () = self.rig.nodes[node].ask(&["CLUSTER", "SETSLOT", &slot, "NODE", id]);
            }
        }
        assert_eq!(self.rig.owner_of(self.slot), self.to);
    }
}

fn start_node(dir: &TempDir, number: usize, settings: &[&str]) -> RedisProcess {
    let name = format!("node-{number}");
    let own = dir.path().join(&name);
    fs::create_dir(&own).expect("a directory");
    let bus = free_port().to_string();
    let cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"];
    let quick = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];
    RedisProcess::start(&name, &own, &[FSYNC, &cluster, &quick, settings].concat())
}

fn bus_port(node: &RedisProcess) -> String {
    let settings: Vec<String> = node.ask(&["CONFIG", "GET", "cluster-port"]);
    settings[1].clone()
}

fn slots_at_first(node: usize) -> Option<Range<u16>> {
    let part = |number: usize| u16::try_from(usize::from(SLOTS) * number / MASTERS).expect("a slot");
    (node < MASTERS).then(|| part(node)..part(node + 1))
}

/// The port of the owner of a slot, as `node` has it.
fn owner(node: &RedisProcess, slot: u16) -> Option<u16> {
    let ranges: Vec<(u16, u16, Vec<Value>)> = ranges(node)?;
    let (_, _, master) = ranges.into_iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
    redis::from_redis_value(master.into_iter().nth(1)?).ok()
}

fn ranges(node: &RedisProcess) -> Option<Vec<(u16, u16, Vec<Value>)>> {
    let rows: Vec<Vec<Value>> = node.try_ask(&["CLUSTER", "SLOTS"]).ok()?;
    rows.into_iter()
        .map(|row| {
            let mut row = row.into_iter();
            let first = redis::from_redis_value(row.next()?).ok()?;
            let last = redis::from_redis_value(row.next()?).ok()?;
            let master = redis::from_redis_value(row.next()?).ok()?;
            Some((first, last, master))
        })
        .collect()
}

//! What Redis is set to do with what it is told, and what follows from that.
//!
//! Pure.

use super::RedisOpenError;
use crate::log::{Durability, LogError};

/// What one server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// Its name, for texts.
    pub(super) server: String,
    version: String,
    role: String,
    clustered: bool,
    loading: bool,
    aof: bool,
    aof_failed: bool,
    policy: String,
    memory_max: u64,
    memory_used: u64,
    /// `appendfsync`; none: it may not be asked.
    appendfsync: Option<String>,
}

/// What follows for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What an answered append is.
    pub(super) durability: Durability,
    /// Why it is not `fsync`; for the operator.
    pub(super) why: Option<String>,
    /// Why appends are, or will be, refused or lost.
    pub(super) trouble: Option<LogError>,
}

impl Facts {
    /// Reads the answer to `INFO`, and that to `CONFIG GET appendfsync` where it was given.
    pub(super) fn read(server: &str, info: &str, appendfsync: Option<String>) -> Self {
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let number = |name: &str| field(name).parse().unwrap_or(0);
        Self {
            server: server.to_owned(),
            version: field("redis_version"),
            role: field("role"),
            clustered: field("redis_mode") == "cluster",
            loading: field("loading") == "1",
            aof: field("aof_enabled") == "1",
            aof_failed: field("aof_last_write_status") == "err",
            policy: field("maxmemory_policy"),
            memory_max: number("maxmemory"),
            memory_used: number("used_memory"),
            appendfsync,
        }
    }

    /// Whether it has only begun to serve.
    pub(super) fn is_loading(&self) -> bool {
        self.loading
    }

    /// Whether it is a server of a cluster, however it is reached.
    pub(super) fn is_clustered(&self) -> bool {
        self.clustered
    }

    /// Why this server cannot be used at all.
    pub(super) fn refuses_start(&self, accept_eviction: bool) -> Option<RedisOpenError> {
        let server = self.server.clone();
        let major: u32 = self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        if major < 7 {
            return Some(RedisOpenError::TooOld { server, version: self.version.clone() });
        }
        if self.evicts() && !accept_eviction {
            return Some(RedisOpenError::Evicts { server, policy: self.policy.clone() });
        }
        None
    }

    fn evicts(&self) -> bool {
        self.policy != "noeviction"
    }

    fn trouble(&self, accept_eviction: bool) -> Option<LogError> {
        let server = &self.server;
        if self.loading {
            return Some(LogError::Unavailable(format!("{server} is loading its data")));
        }
        if self.role != "master" {
            return Some(LogError::Unavailable(format!("{server} is a replica")));
        }
        if self.aof_failed {
            return Some(LogError::Unavailable(format!("{server} cannot write its append-only file")));
        }
        if self.evicts() && !accept_eviction {
            let policy = &self.policy;
            return Some(LogError::Unavailable(format!(
                "{server} has maxmemory-policy {policy}: it may throw rooms away; set noeviction"
            )));
        }
        if self.memory_max > 0 && self.memory_used >= self.memory_max {
            return Some(LogError::Full(format!("{server} uses all of its maxmemory")));
        }
        None
    }

    /// Why an answered append may be lost with the server's machine.
    fn weakness(&self) -> Option<String> {
        if !self.aof {
            return Some("appendonly is no".to_owned());
        }
        match self.appendfsync.as_deref() {
            Some("always") => None,
            Some(other) => Some(format!("appendfsync is {other}")),
            None => Some("appendfsync may not be asked (CONFIG GET)".to_owned()),
        }
    }
}

/// What follows from what all servers say: the weakest counts.
pub(super) fn judge(servers: &[Facts], accept_eviction: bool) -> Verdict {
    let why = servers.iter().find_map(Facts::weakness);
    Verdict {
        durability: if why.is_none() && !servers.is_empty() { Durability::Fsync } else { Durability::Memory },
        why,
        trouble: servers.iter().find_map(|server| server.trouble(accept_eviction)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:100\r\nmaxmemory:200\r\n\
        maxmemory_policy:noeviction\r\n# Persistence\r\nloading:0\r\naof_enabled:1\r\n\
        aof_last_write_status:ok\r\n# Replication\r\nrole:master\r\n";

    fn facts(from: &str, to: &str, appendfsync: Option<&str>) -> Facts {
        Facts::read("s", &INFO.replace(from, to), appendfsync.map(str::to_owned))
    }

    /// [L14] [L84] `fsync` is said only where every server syncs before it answers, and that is known.
    #[test]
    fn fsync_is_never_pretended() {
        let strong = facts("", "", Some("always"));
        assert_eq!(judge(std::slice::from_ref(&strong), false).durability, Durability::Fsync);
        for weak in [
            facts("", "", Some("everysec")),
            facts("", "", Some("no")),
            facts("", "", None),
            facts("aof_enabled:1", "aof_enabled:0", Some("always")),
            facts("aof_enabled:1", "", Some("always")),
        ] {
            let verdict = judge(&[strong.clone(), weak], false);
            println!("{verdict:?}");
            assert_eq!((verdict.durability, verdict.trouble), (Durability::Memory, None));
            assert!(verdict.why.is_some());
        }
        assert_eq!(judge(&[], false).durability, Durability::Memory);
    }

    /// [L84] What would lose or refuse appends is told, and what can never work keeps the server from starting.
    #[test]
    fn trouble_is_told() {
        for (from, to) in [
            ("loading:0", "loading:1"),
            ("role:master", "role:slave"),
            ("aof_last_write_status:ok", "aof_last_write_status:err"),
            ("used_memory:100", "used_memory:200"),
            ("noeviction", "volatile-lru"),
        ] {
            let trouble = judge(&[facts(from, to, Some("always"))], false).trouble;
            println!("{to}: {trouble:?}");
            assert!(trouble.is_some_and(|trouble| trouble.is_temporary()), "{to}");
        }
        let evicts = facts("noeviction", "allkeys-lru", None);
        assert!(matches!(evicts.refuses_start(false), Some(RedisOpenError::Evicts { .. })));
        assert_eq!((evicts.refuses_start(true), judge(&[evicts], true).trouble), (None, None));
        for old in ["6.2.14", "3.0", ""] {
            let old = facts("7.0.15", old, None);
            assert!(matches!(old.refuses_start(true), Some(RedisOpenError::TooOld { .. })));
        }
        assert_eq!(facts("7.0.15", "10.1.0", None).refuses_start(false), None);
    }
}

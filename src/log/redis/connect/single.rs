//! One Redis server.

use std::sync::Arc;

use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
};

use tokio::sync::Notify;

use super::link::{Dial, Link};
use super::{Lane, Primary, Route};
use crate::limits::{REDIS_KEEPALIVE_PROBE_S, REDIS_KEEPALIVE_S};
use crate::log::redis::address::{Place, RedisAddress};
use crate::log::redis::errors::CallError;

/// See the module.
pub(in crate::log::redis) struct Single {
    write: Link,
    bulk: Link,
    primary: Primary,
    again: Arc<Notify>,
}

impl Single {
    pub(super) async fn open(address: &RedisAddress) -> Result<Self, CallError> {
        let client = Client::open(connection_info(address)?)?;
        let again = Arc::new(Notify::new());
        let open = |lane: Lane| Link::open(Dial::Client(client.clone()), lane.bound(), Arc::clone(&again));
        let (write, bulk) = tokio::try_join!(open(Lane::Write), open(Lane::Bulk))?;
        Ok(Self { write, bulk, primary: Primary { name: "Redis".to_owned() }, again })
    }

    pub(super) fn link(&self, lane: Lane, _: Route<'_>) -> &Link {
        match lane {
            Lane::Write => &self.write,
            Lane::Bulk => &self.bulk,
        }
    }

    pub(super) fn primary(&self) -> &Primary {
        &self.primary
    }

    /// Resolves when a connection was made again.
    pub(super) async fn reconnected(&self) {
        self.again.notified().await;
    }

    pub(super) fn close(&self) {
        self.write.close();
        self.bulk.close();
    }
}

/// How to reach one server, with what every connection has: RESP3, no waiting for company, keepalive.
pub(super) fn connection_info(address: &RedisAddress) -> Result<ConnectionInfo, CallError> {
    let to = match &address.place {
        Place::Tcp { host, port, tls: false } => ConnectionAddr::Tcp(host.clone(), *port),
        Place::Tcp { host, port, tls: true } => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
        Place::Unix(path) => ConnectionAddr::Unix(path.clone()),
    };
    Ok(to
        .into_connection_info()?
        .set_tcp_settings(tcp_settings())
        .set_redis_settings(redis_settings(address)))
}

/// What is said to a server first.
pub(super) fn redis_settings(address: &RedisAddress) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(i64::from(address.db))
        // One command less that an ACL has to allow.
        .set_skip_set_lib_name();
    if let Some(user) = &address.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &address.password {
        settings = settings.set_password(password);
    }
    settings
}

/// The crate leaves Nagle's algorithm on unless it is told otherwise; appends are small and must not wait.
pub(super) fn tcp_settings() -> TcpSettings {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(std::time::Duration::from_secs(REDIS_KEEPALIVE_S))
        .with_interval(std::time::Duration::from_secs(REDIS_KEEPALIVE_PROBE_S));
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

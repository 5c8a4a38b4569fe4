//! How to reach a server once its host is known: the login, TLS, and what every connection has.

use std::path::Path;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    TlsCertificates,
};

use crate::limits::{REDIS_KEEPALIVE_PROBE_S, REDIS_KEEPALIVE_S};
use crate::log::redis::address::{HostPort, Login, RedisAddress, TlsFiles};
use crate::log::redis::errors::CallError;

/// The code of a refusal that is ours: a file cannot be used.
pub(in crate::log::redis) const TLS: &str = "TLS";

/// See the module.
#[derive(Clone)]
pub(super) struct Way {
    login: Login,
    db: u32,
    tls: Option<TlsCertificates>,
}

impl Way {
    /// Reads the files that the address names.
    pub(super) async fn of(address: &RedisAddress) -> Result<Self, CallError> {
        let tls = match &address.tls {
            Some(files) => Some(certificates(files).await?),
            None => None,
        };
        Ok(Self { login: address.login.clone(), db: address.db, tls })
    }

    /// The same for servers that want another login and have no databases.
    pub(super) fn for_sentinels(&self, login: &Login) -> Self {
        Self { login: login.clone(), db: 0, tls: self.tls.clone() }
    }

    /// A server over TCP. Nothing is sent yet.
    pub(super) fn client(&self, (host, port): &HostPort) -> Result<Client, CallError> {
        let Some(certificates) = &self.tls else {
            return Ok(self.open(ConnectionAddr::Tcp(host.clone(), *port))?);
        };
        let (host, port, certificates) = (host.clone(), *port, certificates.clone());
        let client = self.open(ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None })?;
        Ok(Client::build_with_tls(client.get_connection_info().clone(), certificates)?)
    }

    /// A server on this machine.
    pub(super) fn local_client(&self, path: &Path) -> Result<Client, CallError> {
        Ok(self.open(ConnectionAddr::Unix(path.to_owned()))?)
    }

    fn open(&self, to: ConnectionAddr) -> Result<Client, redis::RedisError> {
        let info = to.into_connection_info()?;
        Client::open(info.set_tcp_settings(tcp_settings()).set_redis_settings(self.greeting()))
    }

    /// What is said to a server first.
    fn greeting(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(self.db))
            // One command less that an ACL has to allow.
            .set_skip_set_lib_name();
        if let Some(user) = &self.login.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.login.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

/// The crate leaves Nagle's algorithm on unless it is told otherwise; appends are small and must not wait.
fn tcp_settings() -> TcpSettings {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(REDIS_KEEPALIVE_S))
        .with_interval(Duration::from_secs(REDIS_KEEPALIVE_PROBE_S));
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

async fn certificates(files: &TlsFiles) -> Result<TlsCertificates, CallError> {
    let root_cert = match &files.ca {
        Some(path) => Some(read(path, "CERTIFICATE").await?),
        None => None,
    };
    let client_tls = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(cert, "CERTIFICATE").await?,
            client_key: read(key, "PRIVATE KEY").await?,
        }),
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

/// Reads a file in PEM format that has `what` in it.
async fn read(path: &Path, what: &str) -> Result<Vec<u8>, CallError> {
    let refuse =
        |why: &str| CallError::Refused { code: TLS.to_owned(), text: format!("{}: {why}", path.display()) };
    let read = tokio::fs::read(path).await.map_err(|error| refuse(&error.to_string()))?;
    if !String::from_utf8_lossy(&read).contains(&format!("{what}-----")) {
        return Err(refuse(&format!("there is no {what} in it")));
    }
    Ok(read)
}

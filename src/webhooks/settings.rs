//! Which receivers, and how they are told.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use clap::Args;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::secret::{Secret, SecretError};
use crate::config::parse_duration;
use crate::limits::{
    WEBHOOK_DEBOUNCE_MS, WEBHOOK_REQUEST_MS_MAX, WEBHOOK_REST_MS, WEBHOOK_TARGETS_MAX, WEBHOOK_WAITS_S,
};

/// Settings of `ruang serve` for webhooks.
#[derive(Debug, Clone, Args)]
pub struct WebhookSettings {
    /// Who is told what happens to rooms, such as `https://example.org/hook`; several are parted by commas.
    #[arg(
        long,
        env = "RUANG_WEBHOOK_URL",
        hide_env_values = true,
        value_name = "URL",
        value_delimiter = ','
    )]
    pub webhook_url: Vec<WebhookUrl>,

    /// A file with the secret that webhooks are signed with; or RUANG_WEBHOOK_SECRET is the secret itself.
    #[arg(long, env = "RUANG_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub webhook_secret_file: Option<PathBuf>,

    /// How long changes of a room are collected before they are told as one.
    #[arg(long, env = "RUANG_WEBHOOK_DEBOUNCE", value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub webhook_debounce: Duration,
}

/// The address of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Not repeated: addresses of receivers may hold secrets.
        let uri: Uri = text.parse().map_err(|_| "a webhook's address is http://… or https://…".to_owned())?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Err("a webhook's address has no user and password: what it is told is signed".to_owned())
            }
            (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(Self(uri)),
            _ => Err("a webhook's address is http://… or https://…".to_owned()),
        }
    }
}

/// Why webhooks cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum WebhookSettingsError {
    /// There are addresses and no secret.
    #[error("--webhook-url needs a secret: --webhook-secret-file FILE, or RUANG_WEBHOOK_SECRET")]
    NoSecret,
    /// What was read is no secret.
    #[error("{origin}: {source}")]
    Secret {
        /// Where it was read.
        origin: String,
        /// What would be one.
        source: SecretError,
    },
    /// The file cannot be read.
    #[error("--webhook-secret-file {}: {source}", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Too many receivers.
    #[error("--webhook-url: at most {WEBHOOK_TARGETS_MAX} receivers can be told")]
    TooMany,
    /// https without certificates to trust.
    #[error(
        "--webhook-url: no certificates to trust are found for https; install ca-certificates, or set SSL_CERT_FILE"
    )]
    NoRoots,
    /// The name of a receiver is none that a certificate can have.
    #[error("--webhook-url: {0} is no host that a certificate can name")]
    Host(String),
}

/// How to tell.
#[derive(Clone)]
pub struct WebhookOptions {
    pub(super) targets: Vec<Target>,
    pub(super) secrets: Vec<Secret>,
    /// How long changes of a room are collected.
    pub debounce: Duration,
    /// From one try to the next.
    pub waits: Vec<Duration>,
    /// How long a receiver is left alone after a failure, at first.
    pub rest: Duration,
    /// How long a receiver may take to answer.
    pub request: Duration,
}

/// A receiver.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) host: String,
    pub(super) port: u16,
    /// For logs: no path, which may hold a secret.
    pub(super) name: String,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl WebhookSettings {
    /// Reads the secret and prepares the receivers.
    ///
    /// # Errors
    /// [`WebhookSettingsError`].
    pub fn options(&self) -> Result<WebhookOptions, WebhookSettingsError> {
        let secrets = if self.webhook_url.is_empty() { Vec::new() } else { self.secrets()? };
        let options = WebhookOptions::new(&self.webhook_url, secrets)?;
        Ok(WebhookOptions { debounce: self.webhook_debounce, ..options })
    }

    fn secrets(&self) -> Result<Vec<Secret>, WebhookSettingsError> {
        let (origin, text) = match (&self.webhook_secret_file, std::env::var("RUANG_WEBHOOK_SECRET")) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|source| WebhookSettingsError::File { file: file.clone(), source })?;
                (format!("--webhook-secret-file {}", file.display()), text)
            }
            (None, Ok(text)) => ("RUANG_WEBHOOK_SECRET".to_owned(), text),
            (None, Err(_)) => return Err(WebhookSettingsError::NoSecret),
        };
        Secret::parse_all(&text).map_err(|source| WebhookSettingsError::Secret { origin, source })
    }
}

impl WebhookOptions {
    /// The usual pace, for these receivers.
    ///
    /// # Errors
    /// [`WebhookSettingsError`].
    pub fn new(urls: &[WebhookUrl], secrets: Vec<Secret>) -> Result<Self, WebhookSettingsError> {
        if urls.len() > WEBHOOK_TARGETS_MAX {
            return Err(WebhookSettingsError::TooMany);
        }
        let is_tls = |url: &WebhookUrl| url.0.scheme() == Some(&Scheme::HTTPS);
        let connector = if urls.iter().any(is_tls) { Some(connector()?) } else { None };
        let targets = urls.iter().map(|url| Target::new(&url.0, connector.clone().filter(|_| is_tls(url))));
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
            secrets,
            debounce: Duration::from_millis(WEBHOOK_DEBOUNCE_MS),
            waits: WEBHOOK_WAITS_S.map(Duration::from_secs).to_vec(),
            rest: Duration::from_millis(WEBHOOK_REST_MS),
            request: Duration::from_millis(WEBHOOK_REQUEST_MS_MAX),
        })
    }
}

impl Target {
    fn new(uri: &Uri, connector: Option<TlsConnector>) -> Result<Self, WebhookSettingsError> {
        let written = uri.host().unwrap_or_default();
        let host = written.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if connector.is_some() { 443 } else { 80 });
        let name = format!("{}://{written}:{port}", uri.scheme_str().unwrap_or_default());
        let tls = match connector {
            None => None,
            Some(connector) => {
                let server = ServerName::try_from(host.clone());
                Some((connector, server.map_err(|_| WebhookSettingsError::Host(host.clone()))?))
            }
        };
        Ok(Self { uri: uri.clone(), host, port, name, tls })
    }
}

/// Trusts what the system trusts.
fn connector() -> Result<TlsConnector, WebhookSettingsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(WebhookSettingsError::NoRoots);
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what the protocol needs")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [P24] An address is http or https, without a password in it; what is refused is not repeated.
    #[test]
    fn addresses_are_checked() {
        for good in ["http://127.0.0.1:9/x?y=z", "https://example.org", "http://[::1]:8080/"] {
            assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "secret",
            "ftp://secret/",
            "http://",
            "http:///secret",
            "https://user:secret@host/",
            "/secret",
        ] {
            let error = bad.parse::<WebhookUrl>().unwrap_err();
            println!("{bad:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    /// [P24] Receivers without a secret, or with too many of them, are refused; no receivers need nothing.
    #[test]
    fn receivers_need_a_secret() {
        let url: WebhookUrl = "http://127.0.0.1:9/".parse().unwrap();
        let settings = |webhook_url: Vec<WebhookUrl>, webhook_secret_file| WebhookSettings {
            webhook_url,
            webhook_secret_file,
            webhook_debounce: Duration::from_secs(1),
        };
        assert!(settings(Vec::new(), None).options().is_ok());
        assert!(matches!(settings(vec![url.clone()], None).options(), Err(WebhookSettingsError::NoSecret)));
        let file = tempfile::NamedTempFile::new().unwrap();
        let with_file = |count| settings(vec![url.clone(); count], Some(file.path().to_path_buf())).options();
        std::fs::write(file.path(), "not a key").unwrap();
        let error = with_file(1).err().unwrap().to_string();
        assert!(error.contains("whsec_") && !error.contains("not a key"), "{error}");
        std::fs::write(file.path(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(with_file(2).unwrap().targets.len(), 2);
        assert!(matches!(with_file(WEBHOOK_TARGETS_MAX + 1), Err(WebhookSettingsError::TooMany)));
    }
}

//! Where keys come from: files and environment. A secret is never the value of a flag, which others on this machine
//! can see.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use zeroize::Zeroizing;

use super::claims::Expected;
use super::keys::{self, Key, KeyError, KeySet};
use super::mint::RandomSecret;
use super::server_token::ServerToken;
use super::{Auth, DOCUMENT_KID, Keys, mint};
use crate::clock::in_ms;
use crate::config::parse_duration;
use crate::limits::{AUTH_LEEWAY_S_MAX, KEY_FILE_BYTES_MAX, TOKEN_LIFE_S_MAX};

/// The environment's keys: what a key file holds.
const KEY_VARIABLE: &str = "RUANG_AUTH_KEY";
/// The secret of the server's own tokens.
const DOCUMENT_VARIABLE: &str = "RUANG_AUTH_DOCUMENT_SECRET";
/// The server token.
const SERVER_VARIABLE: &str = "RUANG_Y_SWEET_TOKEN";

/// Settings of authentication. Without a key everybody is let in.
#[derive(Debug, Clone, Args)]
pub struct AuthSettings {
    /// Ask for tokens (JWT) that are signed with a key of this file: a secret of 32 bytes or more (HS256), a key in PEM of
    /// RSA, P-256 or Ed25519 (RS256, ES256, EdDSA), or JWKs. Several with commas between them; each needs a name then, as KID=FILE or in its JWK.
    /// RUANG_AUTH_KEY may hold a key itself. SIGHUP reads the files again.
    #[arg(long, env = "RUANG_AUTH_KEY_FILE", value_name = "[KID=]FILE", value_delimiter = ',')]
    pub auth_key_file: Vec<KeyFile>,

    /// Who may issue tokens (claim `iss`). Without it, whoever has a key. Several with commas between them.
    #[arg(long, env = "RUANG_AUTH_ISSUER", value_name = "ISSUER", value_delimiter = ',')]
    pub auth_issuer: Vec<String>,

    /// For whom tokens are meant (claim `aud`): at least one of these. Without it, that is not looked at. Several with commas between
    /// them.
    #[arg(long, env = "RUANG_AUTH_AUDIENCE", value_name = "AUDIENCE", value_delimiter = ',')]
    pub auth_audience: Vec<String>,

    /// By how much the clocks of issuers may differ from ours; at most 30s.
    #[arg(long, env = "RUANG_AUTH_LEEWAY", value_name = "DURATION", default_value = "10s", value_parser = parse_leeway)]
    pub auth_leeway: Duration,

    /// The longest life of a token that is taken: how far away its `exp` may be. Revocations are kept so long. At most 8784h.
    #[arg(long, env = "RUANG_AUTH_TOKEN_LIFE", value_name = "DURATION", default_value = "744h", value_parser = parse_life)]
    pub auth_token_life: Duration,

    /// A file with a secret for the tokens that the server makes itself, for single documents; RUANG_AUTH_DOCUMENT_SECRET may
    /// hold it instead. Only needed by several instances that have nothing but public keys.
    #[arg(long, env = "RUANG_AUTH_DOCUMENT_SECRET_FILE", value_name = "FILE")]
    pub auth_document_secret_file: Option<PathBuf>,

    /// A file with the server token of y-sweet's back ends, the TOKEN of `ys://TOKEN@HOST`: 32 bytes or more.
    /// RUANG_Y_SWEET_TOKEN may hold it instead. It opens every room, as an admin's token does; without another key, it and the
    /// tokens that are made with it are all that is let in.
    #[arg(long, env = "RUANG_Y_SWEET_TOKEN_FILE", value_name = "FILE")]
    pub y_sweet_token_file: Option<PathBuf>,
}

impl Default for AuthSettings {
    /// Nobody is asked for a token.
    fn default() -> Self {
        Self {
            auth_key_file: Vec::new(),
            auth_issuer: Vec::new(),
            auth_audience: Vec::new(),
            auth_leeway: Duration::from_secs(10),
            auth_token_life: Duration::from_secs(744 * 3_600),
            auth_document_secret_file: None,
            y_sweet_token_file: None,
        }
    }
}

impl AuthSettings {
    pub(super) fn expected(&self) -> Expected {
        Expected {
            issuers: self.auth_issuer.clone(),
            audiences: self.auth_audience.clone(),
            leeway_ms: in_ms(self.auth_leeway),
            ahead_ms: in_ms(self.auth_leeway),
            life_ms_max: in_ms(self.auth_token_life),
        }
    }
}

/// A file with keys, and what tokens call its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The name, if the file does not give one.
    pub kid: Option<String>,
    /// Where it is.
    pub path: PathBuf,
}

impl FromStr for KeyFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let (kid, path) = match text.split_once('=') {
            Some((kid, path)) if is_name(kid) => (Some(kid), path),
            _ => (None, text),
        };
        if path.is_empty() {
            return Err("a file is expected, or NAME=FILE".to_owned());
        }
        if kid == Some(DOCUMENT_KID) {
            return Err(format!("{DOCUMENT_KID} names the server's own key"));
        }
        Ok(Self { kid: kid.map(ToOwned::to_owned), path: path.into() })
    }
}

/// Why keys cannot be used, in one line without secrets.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("{setting} {}: {source}", path.display())]
    File {
        /// What names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is there is no key.
    #[error("{setting}: {source}")]
    Key {
        /// The setting, with its file.
        setting: String,
        /// What is wrong.
        source: KeyError,
    },
}

impl Auth {
    /// Reads the keys that are set. Without any, everybody is let in.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting.
    pub fn from_settings(settings: &AuthSettings) -> Result<Self, SettingsError> {
        Self::from_settings_and(settings, &variable)
    }

    /// The same with an environment of one's own.
    ///
    /// # Errors
    /// As [`Self::from_settings`].
    pub fn from_settings_and(
        settings: &AuthSettings,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let random = RandomSecret::draw();
        let keys = read_keys(settings, variable, &random)?;
        Ok(Self::with(keys, settings.expected(), Some(settings.clone()), random))
    }

    /// Reads the keys again. What cannot be read leaves things as they are. Sessions that are open stay open: who must go
    /// is revoked. The server's own key stays the same as long as what it follows from does.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting.
    pub fn reload(&self) -> Result<(), SettingsError> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let was_open = self.is_open();
        let keys = read_keys(settings, &variable, &self.random)?;
        if keys.are_none() == was_open {
            *self.keys.write() = Arc::new(keys);
        }
        Ok(())
    }

    /// Whether there are files that may be read again.
    #[must_use]
    pub fn is_reloadable(&self) -> bool {
        let has_files = |settings: &AuthSettings| {
            !settings.auth_key_file.is_empty()
                || settings.y_sweet_token_file.is_some()
                || settings.auth_document_secret_file.is_some()
        };
        self.settings.as_ref().is_some_and(has_files)
    }

    /// The longest life of a token, in ms: see [`AuthSettings::auth_token_life`].
    #[must_use]
    pub fn token_life_ms_max(&self) -> u64 {
        self.expected.life_ms_max
    }
}

fn read_keys(
    settings: &AuthSettings,
    variable: &dyn Fn(&str) -> Option<String>,
    random: &RandomSecret,
) -> Result<Keys, SettingsError> {
    let mut keys: Vec<Key> = Vec::new();
    for file in &settings.auth_key_file {
        let setting = || format!("--auth-key-file {}", file.path.display());
        let text = read_file("--auth-key-file", &file.path)?;
        keys.extend(keys::parse(file.kid.as_deref(), &text).map_err(named(setting))?);
    }
    if let Some(text) = variable(KEY_VARIABLE).map(Zeroizing::new) {
        keys.extend(keys::parse(None, &text).map_err(named(|| KEY_VARIABLE.to_owned()))?);
    }
    let issued = (!keys.is_empty()).then(|| KeySet::new(keys)).transpose();
    let issued = issued.map_err(named(|| "--auth-key-file".to_owned()))?;
    let file = settings.y_sweet_token_file.as_deref();
    let server = secret_of("--y-sweet-token-file", file, SERVER_VARIABLE, variable)?;
    let set = document_secret(settings, variable)?.map(|key| (key, "--auth-document-secret-file"));
    let derived = || issued.as_ref().and_then(mint::derived_key).map(|key| (key, "the first key that signs"));
    let of_server = || {
        let key = server.as_ref().map(|secret| mint::document_key(secret.as_bytes()));
        key.map(|key| (key, "the server token of y-sweet's back ends"))
    };
    let random = || (random.document_key(), RANDOM);
    let (document, document_from) = set.or_else(derived).or_else(of_server).unwrap_or_else(random);
    let server = server.as_ref().map(|secret| ServerToken::new(secret));
    Ok(Keys { issued, server, document, document_from })
}

/// In words, as the others there.
pub(super) const RANDOM: &str = "chance, for the life of this process";

fn document_secret(
    settings: &AuthSettings,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Key>, SettingsError> {
    let file = settings.auth_document_secret_file.as_deref();
    let secret = secret_of("--auth-document-secret-file", file, DOCUMENT_VARIABLE, variable)?;
    Ok(secret.map(|secret| mint::document_key(secret.as_bytes())))
}

/// A secret of a file or, if none is named, of the environment, without white space around it.
///
/// # Errors
/// [`SettingsError`] if the file cannot be read, or others could guess the secret.
pub fn secret(
    setting: &'static str,
    file: Option<&Path>,
    variable: &'static str,
) -> Result<Option<Zeroizing<String>>, SettingsError> {
    secret_of(setting, file, variable, &self::variable)
}

/// A variable of the environment. One that is no text is there all the same, as an empty one: it must be refused, not
/// passed over.
fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.into_string().unwrap_or_default())
}

fn secret_of(
    setting: &'static str,
    file: Option<&Path>,
    variable: &'static str,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Zeroizing<String>>, SettingsError> {
    let (setting, text) = match file {
        Some(path) => (setting, read_file(setting, path)?),
        None => match variables(variable) {
            Some(text) => (variable, Zeroizing::new(text)),
            None => return Ok(None),
        },
    };
    let secret = Zeroizing::new(text.trim().to_owned());
    Key::secret(None, secret.as_bytes()).map_err(named(|| setting.to_owned()))?;
    Ok(Some(secret))
}

fn named(setting: impl FnOnce() -> String) -> impl FnOnce(KeyError) -> SettingsError {
    |source| SettingsError::Key { setting: setting(), source }
}

/// The text of a file of some bytes.
fn read_file(setting: &'static str, path: &Path) -> Result<Zeroizing<String>, SettingsError> {
    let read = || {
        let mut text = Zeroizing::new(String::new());
        let mut file = File::open(path)?.take(KEY_FILE_BYTES_MAX + 1);
        file.read_to_string(&mut text)?;
        if text.len() as u64 > KEY_FILE_BYTES_MAX {
            let why = format!("a key file has at most {KEY_FILE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(text)
    };
    read().map_err(|source| SettingsError::File { setting, path: path.to_path_buf(), source })
}

fn parse_leeway(text: &str) -> Result<Duration, String> {
    let leeway = parse_duration(text)?;
    if leeway > Duration::from_secs(AUTH_LEEWAY_S_MAX) {
        return Err(format!("at most {AUTH_LEEWAY_S_MAX}s"));
    }
    Ok(leeway)
}

fn parse_life(text: &str) -> Result<Duration, String> {
    let life = parse_duration(text)?;
    if life < Duration::from_secs(1) || life > Duration::from_secs(TOKEN_LIFE_S_MAX) {
        return Err(format!("from 1s to {}h", TOKEN_LIFE_S_MAX / 3_600));
    }
    Ok(life)
}

//! Where operators come in: the socket beside an embedded store, and the admin listener.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connections::accept;
use super::{ServeError, listen};
use crate::admin::AdminSocket;
use crate::auth::settings;
use crate::config::{Config, Store};
use crate::http::admin::listener::Credential;
use crate::http::{self, App};

/// The admin socket beside an embedded store. Without it the server serves all the same.
pub(super) fn open_socket(store: &Store, app: &Arc<App>) -> Option<(CancellationToken, JoinHandle<()>)> {
    let Store::File(dir) = store else { return None };
    match AdminSocket::bind(dir) {
        Ok(socket) => {
            let ending = CancellationToken::new();
            let router = http::admin::router(Arc::clone(app));
            Some((ending.clone(), tokio::spawn(socket.serve(router, ending))))
        }
        Err(error) => {
            tracing::warn!(%error, "no admin.sock: `ruang replay` cannot look at this store while it is served");
            None
        }
    }
}

/// The credential of the admin listener. Looked at as any secret.
pub(super) fn credential(config: &Config) -> Result<Option<Credential>, ServeError> {
    let secret =
        settings::secret("--admin-token-file", config.admin_token_file.as_deref(), "RUANG_ADMIN_TOKEN")?;
    match (config.admin_listen, &secret) {
        (Some(address), None) if !address.ip().is_loopback() => Err(ServeError::AdminExposed(address)),
        _ => Ok(secret.map(|secret| Credential::new(&secret))),
    }
}

/// The admin listener, if there is one; it ends with `ending`.
pub(super) fn open_listener(
    config: &Config,
    app: &Arc<App>,
    credential: Option<Credential>,
    ending: &CancellationToken,
) -> Result<(), ServeError> {
    let Some(address) = config.admin_listen else { return Ok(()) };
    let listener = listen(address).map_err(|source| ServeError::AdminListen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(credential = credential.is_some(), "the admin API listens on http://{address}");
    let router = http::admin::listener::router(Arc::clone(app), credential);
    let (app, ending) = (Arc::clone(app), ending.clone());
    tokio::spawn(async move { accept(listener, &app, router, &ending).await });
    Ok(())
}

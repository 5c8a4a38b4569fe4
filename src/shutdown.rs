//! Signals: the first one asks the server to finish, the second one ends the process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process at
/// once, with exit code 130.
///
/// # Errors
/// If the signals cannot be watched.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = token.clone();
    tokio::spawn(async move {
        for count in 0.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if count > 0 {
                tracing::warn!(signal = name, "a second signal: ending now");
                std::process::exit(130);
            }
            stop.cancel();
            tracing::info!(signal = name, "draining: finishing appends, then sending clients away");
        }
    });
    Ok(token)
}

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

/// Does something whenever a SIGHUP comes, which ends the process otherwise.
///
/// # Errors
/// If the signal cannot be watched.
pub fn on_hangup(act: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            act();
        }
    });
    Ok(())
}

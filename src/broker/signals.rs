//! Signals that end the broker.

use tokio::signal::unix::{SignalKind, signal};

/// Returns the name of the first SIGTERM or SIGINT. Where signals cannot be caught it never returns.
pub async fn termination() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be caught; the broker ends without closing its logs");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

//! How long to wait before asking again, and when to give up.
//!
//! Key invariant: the waits grow to a bound and end at a deadline. What may be retried is `ClientError::is_retriable`.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::ClientError;

const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The waits of one operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
    deadline: Instant,
}

impl Backoff {
    /// Gives up `within` from now.
    pub(super) fn within(within: Duration) -> Self {
        Self { next: WAIT_MIN, deadline: Instant::now() + within }
    }

    /// Waits before the next attempt. `false`, at once, if the deadline would pass meanwhile.
    pub(super) async fn wait(&mut self) -> bool {
        if Instant::now() + self.next >= self.deadline {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(WAIT_MAX);
        true
    }
}

/// Runs `attempt` until it succeeds, fails for good, or `within` has passed; answers its last error.
pub(super) async fn retrying<T, F: Future<Output = Result<T, ClientError>>>(
    within: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let mut backoff = Backoff::within(within);
    loop {
        match attempt().await {
            Err(error) if error.is_retriable() && backoff.wait().await => {}
            result => return result,
        }
    }
}

//! Opens when every shard has come to it.
//!
//! Key invariant: whoever has passed knows that all shards arrived before. Used once at a start: a shard that listens earlier
//! would send requests to others that do not know the topics yet, and clients would be told that those do not exist.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often a shard that waits looks. Starts wait for the slowest shard anyway.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub struct Gate {
    missing: AtomicUsize,
}

impl Gate {
    /// A gate for `shards` shards.
    pub fn new(shards: u16) -> Self {
        Self { missing: AtomicUsize::new(usize::from(shards)) }
    }

    /// Arrives, and waits for all others. If one never comes, its error ends the process.
    pub async fn pass(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        while self.missing.load(Ordering::Acquire) > 0 {
            glommio::timer::sleep(LOOK_AGAIN).await;
        }
    }
}

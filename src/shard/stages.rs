//! Timing the stages of produce requests, one request in some.
//!
//! Key invariant: of a request that is not timed no clock is read, on whichever shard.

use std::time::Instant;

use super::Shard;
use crate::metrics::Stage;

/// When a stage of a request began, if that request is timed.
pub type Began = Option<Instant>;

impl Shard {
    /// The first stage of a produce request begins.
    pub fn begin_stages(&self) -> Began {
        self.metrics().stages.times_next().then(Instant::now)
    }

    /// A stage begins after something that counts for none, in a request of which an earlier one began then.
    pub fn resume_stages(&self, earlier: Began) -> Began {
        earlier.map(|_| Instant::now())
    }

    /// A stage that began then ends here, and the next begins.
    pub fn end_stage(&self, stage: Stage, began: Began) -> Began {
        let began = began?;
        let now = Instant::now();
        self.metrics().stages.record(stage, now.duration_since(began));
        Some(now)
    }
}

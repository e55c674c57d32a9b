//! The clock of a run: nanoseconds since it was made, the same for all threads, and the wall's time for records.
//!
//! Key invariant: it never goes back, also when the wall's clock is set.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds in a millisecond.
const MS_NS: u64 = 1_000_000;

/// A copyable clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall_at_origin_ms: u64,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), wall_at_origin_ms: wall.as_millis() as u64 }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Milliseconds since 1970, for the timestamps of records.
    #[inline]
    pub fn wall_ms(&self, now_ns: u64) -> i64 {
        (self.wall_at_origin_ms + now_ns / MS_NS) as i64
    }

    /// How long it is until `at_ns`.
    pub fn until(&self, at_ns: u64) -> Duration {
        Duration::from_nanos(at_ns.saturating_sub(self.now_ns()))
    }
}

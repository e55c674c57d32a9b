//! The wall clock, and a clock that a test moves by hand.
//!
//! Key invariant: a simulated clock moves only when told to. Pure rooms take the time as an argument and never see this.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::model::TimestampMs;

/// Where the time of day comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A value that a test sets.
    Simulated(Rc<Cell<TimestampMs>>),
}

impl Clock {
    /// A simulated clock that stands at `now`.
    pub fn simulated(now: TimestampMs) -> Self {
        Self::Simulated(Rc::new(Cell::new(now)))
    }

    /// Milliseconds since 1970; 0 if the machine's clock stands before that.
    pub fn now(&self) -> TimestampMs {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Simulated(now) => now.get(),
        }
    }

    /// The time of the system's last tick, a few milliseconds ago at most: for what is asked with every request and need not be exact.
    pub fn of_last_tick() -> TimestampMs {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        TimestampMs(now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000))
    }

    /// Moves a simulated clock forward; the machine's own is left alone.
    pub fn advance_ms(&self, by_ms: i64) {
        if let Self::Simulated(now) = self {
            now.set(TimestampMs(now.get().0.saturating_add(by_ms)));
        }
    }
}

/// The system's last tick, a few milliseconds ago at most, on a clock that never goes back. A fifth of the cost of an exact time.
pub fn last_tick() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

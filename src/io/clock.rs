//! The wall clock, and a clock that a test moves by hand.
//!
//! Key invariant: a simulated clock moves only when told to. Pure rooms take the time as an argument and never see this.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

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

    /// Moves a simulated clock forward; the machine's own is left alone.
    pub fn advance_ms(&self, by_ms: i64) {
        if let Self::Simulated(now) = self {
            now.set(TimestampMs(now.get().0.saturating_add(by_ms)));
        }
    }
}

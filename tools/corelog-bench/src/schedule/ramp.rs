//! Finds the highest rate whose p99 stays under a bound: doubles until one fails, then halves the distance.
//!
//! Key invariant: the rate it names was tried and held; what it tries next lies strictly between the highest that held and the
//! lowest that failed. It ends after [`STEPS_MAX`] steps or when the two are within [`FOUND_WITHIN`].

/// Tries at most.
pub const STEPS_MAX: u32 = 20;
/// Ends when the lowest failing rate is at most this share above the highest that held.
pub const FOUND_WITHIN: f64 = 0.05;
/// A rate counts as reached from this share on.
const REACHED: f64 = 0.98;

/// What a run at some rate showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// Asked for, and acknowledged, in records per second.
    pub rate: f64,
    pub reached: f64,
    pub p99_us: u64,
    /// Records that failed for good.
    pub failed: u64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Try(f64),
    /// The highest rate that held; `None` if not even the first did, however low.
    Found(Option<f64>),
}

/// The search.
#[derive(Clone, Debug)]
pub struct Ramp {
    bound_us: u64,
    held: Option<f64>,
    failed: Option<f64>,
    steps: u32,
}

impl Ramp {
    /// A search for the highest rate with a p99 of at most `bound_us`.
    pub fn new(bound_us: u64) -> Self {
        Self { bound_us, held: None, failed: None, steps: 0 }
    }

    /// The first rate to try, given what a closed loop reached: half of it.
    pub fn first(&self, closed_loop_rate: f64) -> f64 {
        (closed_loop_rate / 2.0).max(1.0)
    }

    /// Whether the rate of a probe held.
    pub fn holds(&self, probe: &Probe) -> bool {
        probe.p99_us <= self.bound_us && probe.reached >= probe.rate * REACHED && probe.failed == 0
    }

    /// Takes the result of a run and says what to do next.
    pub fn on_probe(&mut self, probe: &Probe) -> Step {
        self.steps += 1;
        if self.holds(probe) {
            self.held = Some(self.held.map_or(probe.rate, |held| held.max(probe.rate)));
        } else {
            self.failed = Some(self.failed.map_or(probe.rate, |failed| failed.min(probe.rate)));
        }
        // What is tried lies between the two, so they cannot cross.
        debug_assert!(!matches!((self.held, self.failed), (Some(held), Some(failed)) if held >= failed));
        let next = match (self.held, self.failed) {
            (Some(held), Some(failed)) if failed <= held * (1.0 + FOUND_WITHIN) => None,
            (Some(held), Some(failed)) => Some((held + failed) / 2.0),
            (Some(held), None) => Some(held * 2.0),
            (None, Some(failed)) if failed >= 2.0 => Some(failed / 2.0),
            (None, _) => None,
        };
        match next {
            Some(rate) if self.steps < STEPS_MAX => Step::Try(rate),
            _ => Step::Found(self.held),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probe(rate: f64, capacity: f64) -> Probe {
        let p99_us = if rate <= capacity { 900 } else { 50_000 };
        Probe { rate, reached: rate.min(capacity), p99_us, failed: 0 }
    }

    #[test]
    fn it_doubles_then_halves() {
        let mut ramp = Ramp::new(1_000);
        let mut rate = ramp.first(2_000.0);
        let mut tried = vec![];
        loop {
            tried.push(rate);
            match ramp.on_probe(&probe(rate, 3_000.0)) {
                Step::Try(next) => rate = next,
                Step::Found(found) => {
                    assert_eq!(tried, [1_000.0, 2_000.0, 4_000.0, 3_000.0, 3_500.0, 3_250.0, 3_125.0]);
                    assert_eq!(found, Some(3_000.0));
                    return;
                }
            }
        }
    }

    #[test]
    fn a_rate_that_is_not_reached_or_fails_does_not_hold() {
        let ramp = Ramp::new(1_000);
        assert!(ramp.holds(&Probe { rate: 100.0, reached: 99.0, p99_us: 1_000, failed: 0 }));
        assert!(!ramp.holds(&Probe { rate: 100.0, reached: 97.0, p99_us: 10, failed: 0 }));
        assert!(!ramp.holds(&Probe { rate: 100.0, reached: 100.0, p99_us: 1_001, failed: 0 }));
        assert!(!ramp.holds(&Probe { rate: 100.0, reached: 100.0, p99_us: 10, failed: 1 }));
    }

    #[test]
    fn nothing_holds_when_even_the_lowest_fails() {
        let mut ramp = Ramp::new(0);
        let mut rate = 8.0;
        while let Step::Try(next) = ramp.on_probe(&Probe { rate, reached: rate, p99_us: 1, failed: 0 }) {
            assert!(next < rate);
            rate = next;
        }
        assert!(rate < 2.0);
    }

    proptest! {
        #[test]
        fn it_comes_close_to_the_capacity(capacity in 10.0_f64..1e6, first in 10.0_f64..1e6) {
            let mut ramp = Ramp::new(1_000);
            let mut rate = first;
            let found = loop {
                match ramp.on_probe(&probe(rate, capacity)) {
                    Step::Try(next) => rate = next,
                    Step::Found(found) => break found.unwrap(),
                }
            };
            // A rate counts as reached a little above the capacity, but its p99 does not.
            prop_assert!(found <= capacity && found >= capacity / (1.0 + FOUND_WITHIN) / 1.001);
        }
    }
}

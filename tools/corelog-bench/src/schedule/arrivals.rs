//! The records of one producer: which are due, and when each was.
//!
//! Key invariant: numbers are claimed once, in order; a record's due time never changes.

/// Nanoseconds in a second.
const SECOND_NS: f64 = 1e9;

/// Even arrivals at a rate, or without one: then records are due whenever they are asked for.
#[derive(Clone, Debug)]
pub struct Arrivals {
    start_ns: u64,
    /// Between two records; `None` in a closed loop.
    interval_ns: Option<f64>,
    /// So many become due at once.
    together: u64,
    claimed: u64,
    /// No record from this number on.
    end: u64,
}

/// Records that were claimed for one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub first: u64,
    pub records: u32,
}

impl Arrivals {
    /// A closed loop: everything is due at once.
    pub fn closed() -> Self {
        Self { start_ns: 0, interval_ns: None, together: 1, claimed: 0, end: u64::MAX }
    }

    /// An open loop of `rate` records per second over `producers` producers, of which this is number `number`. Producers
    /// are offset against each other, so that all arrivals together are even. `together` records become due at once.
    pub fn open(start_ns: u64, rate: f64, together: u32, (number, producers): (u32, u32)) -> Self {
        let together = u64::from(together.max(1));
        let interval_ns = SECOND_NS * f64::from(producers) / rate;
        let phase_ns = interval_ns * together as f64 * f64::from(number) / f64::from(producers);
        Self {
            start_ns: start_ns + phase_ns as u64,
            interval_ns: Some(interval_ns),
            together,
            claimed: 0,
            end: u64::MAX,
        }
    }

    /// Ends after `records` more records than were claimed so far.
    pub fn end_after(&mut self, records: u64) {
        self.end = self.claimed.saturating_add(records);
    }

    /// With a rate, ends before the first record that is due at `end_ns` or later.
    pub fn end_at(&mut self, end_ns: u64) {
        if self.is_open() {
            self.end = self.end.min(self.claimed + self.due(end_ns.saturating_sub(1)));
        }
    }

    /// Whether every record was claimed.
    pub fn is_finished(&self) -> bool {
        self.claimed >= self.end
    }

    /// Records that are due at `now_ns` and not claimed; in a closed loop all that are left.
    pub fn due(&self, now_ns: u64) -> u64 {
        let arrived = match self.interval_ns {
            None => self.end,
            Some(_) if now_ns < self.start_ns => 0,
            Some(interval_ns) => {
                let batch_ns = interval_ns * self.together as f64;
                let mut batches = ((now_ns - self.start_ns) as f64 / batch_ns) as u64;
                // Rounding may have said one too few or too many; the due times decide.
                while self.due_ns(batches * self.together) <= now_ns {
                    batches += 1;
                }
                while batches > 0 && self.due_ns((batches - 1) * self.together) > now_ns {
                    batches -= 1;
                }
                batches * self.together
            }
        };
        arrived.min(self.end).saturating_sub(self.claimed)
    }

    /// When record `number` is due; in a closed loop 0.
    pub fn due_ns(&self, number: u64) -> u64 {
        self.interval_ns.map_or(0, |interval_ns| {
            let first = number - number % self.together;
            self.start_ns + (interval_ns * first as f64) as u64
        })
    }

    /// When a batch of `records` may next be claimed by [`Self::claim`]; `None` in a closed loop or at the end.
    pub fn next_ns(&self, records: u32, linger_ns: u64) -> Option<u64> {
        self.interval_ns?;
        if self.is_finished() {
            return None;
        }
        let last = (self.claimed + u64::from(records.max(1)) - 1).min(self.end - 1);
        Some(self.due_ns(last).min(self.due_ns(self.claimed) + linger_ns))
    }

    /// Claims a batch of up to `records`: as many as are due, if they fill it or the first has waited for `linger_ns`.
    pub fn claim(&mut self, now_ns: u64, records: u32, linger_ns: u64) -> Option<Claim> {
        let due = self.due(now_ns);
        let waited = now_ns >= self.due_ns(self.claimed).saturating_add(linger_ns);
        let rest = self.claimed + due >= self.end;
        if due == 0 || (due < u64::from(records) && !waited && !rest) {
            return None;
        }
        let claim = Claim { first: self.claimed, records: due.min(u64::from(records)) as u32 };
        self.claimed += u64::from(claim.records);
        Some(claim)
    }

    /// Gives back the end of the last claim: fewer records fit than were claimed.
    pub fn give_back(&mut self, records: u32) {
        debug_assert!(self.claimed >= u64::from(records));
        self.claimed -= u64::from(records);
    }

    /// Records claimed so far.
    pub fn claimed(&self) -> u64 {
        self.claimed
    }

    /// Whether there is a rate.
    pub fn is_open(&self) -> bool {
        self.interval_ns.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_closed_loop_always_has_a_full_batch_until_its_end() {
        let mut arrivals = Arrivals::closed();
        assert_eq!(arrivals.claim(0, 10, 0), Some(Claim { first: 0, records: 10 }));
        arrivals.end_after(13);
        assert_eq!(arrivals.claim(0, 10, 0), Some(Claim { first: 10, records: 10 }));
        assert_eq!(arrivals.claim(0, 10, 0), Some(Claim { first: 20, records: 3 }));
        assert_eq!(arrivals.claim(0, 10, 0), None);
        assert!(arrivals.is_finished());
    }

    #[test]
    fn records_are_due_at_their_own_times() {
        let mut arrivals = Arrivals::open(5 * MS, 1_000.0, 1, (0, 1));
        assert_eq!(arrivals.claim(4 * MS, 1, 0), None);
        assert_eq!(arrivals.next_ns(1, 0), Some(5 * MS));
        assert_eq!(arrivals.claim(5 * MS, 1, 0), Some(Claim { first: 0, records: 1 }));
        assert_eq!(arrivals.claim(5 * MS, 1, 0), None);
        // After a stall everything that was due meanwhile is, with its own time.
        assert_eq!(arrivals.due(1005 * MS), 1_000);
        assert_eq!(arrivals.claim(1005 * MS, 100, 0), Some(Claim { first: 1, records: 100 }));
        assert_eq!((arrivals.due_ns(1), arrivals.due_ns(100)), (6 * MS, 105 * MS));
    }

    #[test]
    fn lingering_waits_for_a_full_batch_but_not_longer() {
        let mut arrivals = Arrivals::open(0, 1_000.0, 1, (0, 1));
        assert_eq!(arrivals.next_ns(5, 10 * MS), Some(4 * MS));
        assert_eq!(arrivals.claim(3 * MS, 5, 10 * MS), None);
        assert_eq!(arrivals.claim(4 * MS, 5, 10 * MS), Some(Claim { first: 0, records: 5 }));
        assert_eq!(arrivals.next_ns(5, 2 * MS), Some(7 * MS));
        assert_eq!(arrivals.claim(6 * MS, 5, 2 * MS), None);
        assert_eq!(arrivals.claim(7 * MS, 5, 2 * MS), Some(Claim { first: 5, records: 3 }));
    }

    #[test]
    fn an_end_in_time_leaves_what_was_due_before() {
        let mut arrivals = Arrivals::open(0, 1_000.0, 1, (0, 1));
        assert_eq!(arrivals.claim(2 * MS, 2, 0), Some(Claim { first: 0, records: 2 }));
        arrivals.end_at(5 * MS);
        assert_eq!(arrivals.claim(900 * MS, 10, 0), Some(Claim { first: 2, records: 3 }));
        assert!(arrivals.is_finished() && arrivals.next_ns(1, 0).is_none());
        let mut closed = Arrivals::closed();
        closed.end_at(5 * MS);
        assert!(!closed.is_finished());
    }

    #[test]
    fn whole_batches_come_together_and_producers_take_turns() {
        let mut arrivals = Arrivals::open(0, 1_000.0, 10, (1, 2));
        assert_eq!(
            arrivals.claim(9 * MS, 10, 0),
            None,
            "the second of two producers is half a batch's time later"
        );
        assert_eq!(arrivals.claim(10 * MS, 10, 0), Some(Claim { first: 0, records: 10 }));
        assert_eq!(arrivals.due_ns(9), 10 * MS);
        assert_eq!(arrivals.due_ns(10), 30 * MS);
        assert_eq!(arrivals.next_ns(10, 0), Some(30 * MS));
    }

    proptest! {
        #[test]
        fn no_record_is_early_none_is_forgotten(
            rate in 0.5_f64..2e6, together in 1_u32..200, batch in 1_u32..300, linger_ns in 0_u64..20_000_000,
            steps in prop::collection::vec(0_u64..50_000_000, 1..60),
        ) {
            let mut arrivals = Arrivals::open(1_000, rate, together, (1, 3));
            let mut now_ns = 0;
            let mut next = 0;
            for step in steps {
                now_ns += step;
                while let Some(claim) = arrivals.claim(now_ns, batch, linger_ns) {
                    prop_assert_eq!(claim.first, next);
                    prop_assert!(claim.records >= 1 && claim.records <= batch);
                    next += u64::from(claim.records);
                    prop_assert!(arrivals.due_ns(next - 1) <= now_ns);
                }
                // What is left is not due yet, or waits for its batch to fill.
                let full = arrivals.due_ns(next + u64::from(batch) - 1) <= now_ns;
                let waited = arrivals.due_ns(next) + linger_ns <= now_ns;
                prop_assert!(!full && !waited);
                let at = arrivals.next_ns(batch, linger_ns).unwrap();
                prop_assert!(at > now_ns && arrivals.clone().claim(at, batch, linger_ns).is_some());
            }
        }
    }
}

//! The sum of all workers' intervals: the totals of the counted time, and one row per second.
//!
//! Key invariant: every interval is in exactly one row, and in the totals if and only if it began at or after the end of
//! the warm-up. Rows of seconds that have passed are kept packed, so that an hour's run stays small.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::packed::{Packed, PackedError};
use super::{Counts, Interval, Latencies, Timing, count_errors, empty_latencies};

/// Rows of a series: a week. What comes later is added to the last row.
pub const ROWS_MAX: usize = 7 * 24 * 3600;
/// So many of the newest seconds are kept unpacked, as workers report them one after the other.
const OPEN_SECONDS_MAX: u64 = 3;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// All intervals of a run.
#[derive(Debug)]
pub struct Totals {
    count_from_ns: u64,
    counted_to_ns: u64,
    ended: bool,
    /// In the order of [`Timing::ALL`].
    latencies: [Latencies; 4],
    counts: Counts,
    errors: BTreeMap<String, u64>,
    rows: Vec<SecondRow>,
    /// Rows before this one are packed.
    open_from: usize,
}

/// One second of a run, of all workers. The second in which the warm-up ends has two rows.
#[derive(Clone, Debug)]
pub struct SecondRow {
    /// Counts from 0 at the run's start.
    pub second: u64,
    /// Not in the totals.
    pub warm_up: bool,
    pub from_ns: u64,
    pub to_ns: u64,
    pub latencies: BTreeMap<Timing, RowLatencies>,
    pub counts: Counts,
    /// Of all kinds.
    pub errors: u64,
}

/// A row's latencies, as such or packed.
#[derive(Clone, Debug)]
pub enum RowLatencies {
    Open(Box<Latencies>),
    Packed(Packed),
}

impl RowLatencies {
    /// The histogram; a packed one is unpacked for it.
    pub fn get(&self) -> Cow<'_, Latencies> {
        match self {
            Self::Open(latencies) => Cow::Borrowed(latencies.as_ref()),
            Self::Packed(packed) => Cow::Owned(unpack_own(packed)),
        }
    }

    /// The packed form; fails if a count is 2^63 or more.
    pub fn packed(&self) -> Result<Cow<'_, Packed>, PackedError> {
        match self {
            Self::Open(latencies) => Packed::pack(latencies).map(Cow::Owned),
            Self::Packed(packed) => Ok(Cow::Borrowed(packed)),
        }
    }

    fn add(&mut self, more: &Latencies) {
        let mut sum = match self {
            Self::Open(latencies) => return add_own(latencies, more),
            Self::Packed(packed) => unpack_own(packed),
        };
        add_own(&mut sum, more);
        *self = Self::Open(Box::new(sum));
    }

    fn pack(&mut self) {
        // A count that cannot be packed stays unpacked; whoever writes it is told.
        if let Self::Open(latencies) = self
            && let Ok(packed) = Packed::pack(latencies)
        {
            *self = Self::Packed(packed);
        }
    }
}

impl SecondRow {
    fn new(second: u64, warm_up: bool, interval: &Interval) -> Self {
        Self {
            second,
            warm_up,
            from_ns: interval.from_ns,
            to_ns: interval.to_ns,
            latencies: BTreeMap::new(),
            counts: Counts::default(),
            errors: 0,
        }
    }

    /// The time that the row covers, in seconds.
    pub fn seconds(&self) -> f64 {
        self.to_ns.saturating_sub(self.from_ns) as f64 / NS_PER_SECOND as f64
    }

    fn add(&mut self, interval: Interval) {
        self.from_ns = self.from_ns.min(interval.from_ns);
        self.to_ns = self.to_ns.max(interval.to_ns);
        self.counts.add(&interval.counts);
        for count in interval.errors.values() {
            self.errors = self.errors.saturating_add(*count);
        }
        for (timing, latencies) in interval.latencies {
            match self.latencies.get_mut(&timing) {
                Some(mine) => mine.add(&latencies),
                None => {
                    self.latencies.insert(timing, RowLatencies::Open(Box::new(latencies)));
                }
            }
        }
    }
}

impl Totals {
    /// Totals of the intervals that begin at or after `count_from_ns` of the run.
    pub fn new(count_from_ns: u64) -> Self {
        Self {
            count_from_ns,
            counted_to_ns: count_from_ns,
            ended: false,
            latencies: std::array::from_fn(|_| empty_latencies()),
            counts: Counts::default(),
            errors: BTreeMap::new(),
            rows: Vec::new(),
            open_from: 0,
        }
    }

    /// Adds what a worker recorded. Workers end an interval where the warm-up ends: one that began earlier is not counted.
    pub fn add(&mut self, interval: Interval) {
        let warm_up = interval.from_ns < self.count_from_ns;
        if !warm_up {
            if !self.ended {
                self.counted_to_ns = self.counted_to_ns.max(interval.to_ns);
            }
            self.counts.add(&interval.counts);
            for (name, count) in &interval.errors {
                count_errors(&mut self.errors, name, *count);
            }
            for (timing, latencies) in &interval.latencies {
                add_own(&mut self.latencies[*timing as usize], latencies);
            }
        }
        self.add_to_rows(interval, warm_up);
    }

    /// The counted time ends at `at_ns`: what is added later counts, but its time does not, such as that of readers who
    /// catch up with what was sent.
    pub fn end_counting(&mut self, at_ns: u64) {
        self.counted_to_ns = at_ns.max(self.count_from_ns);
        self.ended = true;
    }

    /// Latencies of the counted time.
    pub fn latencies(&self, timing: Timing) -> &Latencies {
        &self.latencies[timing as usize]
    }

    /// Counts of the counted time.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Errors of the counted time by name.
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// All seconds in which a worker reported, those of the warm-up too, in the order of time.
    pub fn series(&self) -> &[SecondRow] {
        &self.rows
    }

    /// When the counted time began, in nanoseconds of the run.
    pub fn count_from_ns(&self) -> u64 {
        self.count_from_ns
    }

    /// The counted time, up to its end or to that of the last interval, in seconds.
    pub fn counted_seconds(&self) -> f64 {
        (self.counted_to_ns - self.count_from_ns) as f64 / NS_PER_SECOND as f64
    }

    fn add_to_rows(&mut self, interval: Interval, warm_up: bool) {
        // Workers cut a little before or after the full second: the middle tells which second is meant.
        let middle_ns = interval.from_ns + interval.to_ns.saturating_sub(interval.from_ns) / 2;
        let key = (!warm_up, middle_ns / NS_PER_SECOND);
        let at = match self.rows.binary_search_by_key(&key, |row| (!row.warm_up, row.second)) {
            Ok(at) => at,
            Err(_) if self.rows.len() >= ROWS_MAX => ROWS_MAX - 1,
            Err(at) => {
                self.rows.insert(at, SecondRow::new(key.1, warm_up, &interval));
                if at < self.open_from {
                    self.open_from += 1;
                }
                at
            }
        };
        self.rows[at].add(interval);
        if at < self.open_from {
            pack_row(&mut self.rows[at]);
        }
        self.pack_passed();
    }

    fn pack_passed(&mut self) {
        let newest = self.rows.last().map_or(0, |row| row.second);
        while let Some(row) = self.rows.get_mut(self.open_from)
            && row.second + OPEN_SECONDS_MAX <= newest
        {
            pack_row(row);
            self.open_from += 1;
        }
    }
}

fn pack_row(row: &mut SecondRow) {
    row.latencies.values_mut().for_each(RowLatencies::pack);
}

fn add_own(sum: &mut Latencies, more: &Latencies) {
    sum.add(more).expect("all latencies have the same bounds");
}

fn unpack_own(packed: &Packed) -> Latencies {
    packed.unpack().expect("a row packed these bytes itself")
}

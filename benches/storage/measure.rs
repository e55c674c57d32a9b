//! A closed loop: so many tasks, each of which begins the next operation when the last is over.
//!
//! Key invariant: an operation counts when it is over, with the time from its own beginning; the loop ends by time or by
//! bytes, whichever comes first, so that no case fills the disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The longest wait that is told from longer ones.
const WAIT_NS_MAX: u64 = 60_000_000_000;

/// What one operation did.
#[derive(Clone, Copy)]
pub struct Done {
    pub records: u64,
    pub bytes: u64,
}

/// When a loop ends.
#[derive(Clone, Copy)]
pub struct Until {
    pub elapsed: Duration,
    pub bytes: u64,
}

/// What all operations of a case did.
pub struct Measured {
    pub records: u64,
    pub bytes: u64,
    pub elapsed: Duration,
    pub waits_ns: Histogram<u64>,
}

impl Measured {
    /// Nothing yet.
    pub fn new() -> Self {
        let waits_ns = Histogram::new_with_bounds(1, WAIT_NS_MAX, 3).expect("bounds that a histogram takes");
        Self { records: 0, bytes: 0, elapsed: Duration::ZERO, waits_ns }
    }

    /// Counts one operation.
    pub fn count(&mut self, done: Done, wait: Duration) {
        self.records += done.records;
        self.bytes += done.bytes;
        self.waits_ns.saturating_record(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn records_per_second(&self) -> f64 {
        self.per_second(self.records)
    }

    /// Megabytes (10^6) per second.
    pub fn mb_per_second(&self) -> f64 {
        self.per_second(self.bytes) / 1e6
    }

    /// The wait that the given share of operations did not exceed, in microseconds; 0 if there were none.
    pub fn wait_us(&self, share: f64) -> f64 {
        if self.waits_ns.is_empty() { 0.0 } else { self.waits_ns.value_at_quantile(share) as f64 / 1e3 }
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }
}

/// Runs `each(task, round)` in `tasks` tasks at once, round after round.
pub async fn closed_loop<F>(tasks: usize, until: Until, each: F) -> Measured
where
    F: AsyncFn(usize, usize) -> Done + 'static,
{
    let each = Rc::new(each);
    let measured = Rc::new(RefCell::new(Measured::new()));
    let start = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (each, measured) = (each.clone(), measured.clone());
            glommio::spawn_local(async move {
                let mut round = 0;
                while start.elapsed() < until.elapsed && measured.borrow().bytes < until.bytes {
                    let begun = Instant::now();
                    let done = each(task, round).await;
                    measured.borrow_mut().count(done, begun.elapsed());
                    round += 1;
                }
            })
        })
        .collect();
    for task in running {
        task.await;
    }
    let mut measured = measured.replace(Measured::new());
    measured.elapsed = start.elapsed();
    measured
}

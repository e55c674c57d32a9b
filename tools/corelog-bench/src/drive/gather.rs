//! Puts together what the threads of a run tell.
//!
//! Key invariant: the counted time is judged as a whole once, when all threads are done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::DriveError;
use super::locator::Located;
use super::reader::Checked;
use super::run::{Outcome, Tick};
use super::shared::{SECOND_NS, Shared};
use super::worker::{Done, Message};
use crate::host;
use crate::measure::{Evidence, Timing, Totals};
use crate::payload::Lane;
use crate::verify::{Acknowledged, LaneFindings};

/// What has been told so far.
pub struct Gathered {
    shared: Arc<Shared>,
    brokers: Brokers,
    /// Made anew when the start is known: until then nothing counts.
    totals: Totals,
    /// Threads that told they are ready, that all is sent, that they are done.
    ready: usize,
    sent: usize,
    sent_ns: u64,
    done: Vec<Done>,
    workers: usize,
    acknowledged: Acknowledged,
    failure: Option<DriveError>,
    started_at: SystemTime,
    pub interrupted: bool,
}

/// The brokers, and the processes of those on this host.
struct Brokers {
    addresses: Vec<(i32, String)>,
    /// Process ids.
    processes: Vec<u32>,
    /// CPU seconds when the counted time began and when all was sent.
    cpu_from_s: Option<f64>,
    cpu_to_s: Option<f64>,
}

impl Brokers {
    fn new(addresses: Vec<(i32, String)>) -> Self {
        let local: Option<BTreeSet<u32>> =
            addresses.iter().map(|(_, address)| host::listening_process(address)).collect();
        // CPU time of a part of the brokers would say nothing.
        let processes = local.unwrap_or_default().into_iter().collect();
        Self { addresses, processes, cpu_from_s: None, cpu_to_s: None }
    }

    fn cpu_s(&self) -> Option<f64> {
        if self.processes.is_empty() {
            return None;
        }
        self.processes.iter().map(|pid| host::process_cpu_s(*pid).ok()).sum()
    }
}

impl Gathered {
    /// Nothing told yet.
    pub fn new(workers: usize, shared: Arc<Shared>, located: &Located) -> Self {
        Self {
            shared,
            brokers: Brokers::new(located.brokers.clone()),
            totals: Totals::new(u64::MAX),
            ready: 0,
            sent: 0,
            sent_ns: 0,
            done: vec![],
            workers,
            acknowledged: Acknowledged::default(),
            failure: None,
            started_at: SystemTime::now(),
            interrupted: false,
        }
    }

    /// A worker told something.
    pub fn on_message(&mut self, message: Message) {
        match message {
            Message::Ready => {
                self.ready += 1;
                self.started_at = SystemTime::now();
            }
            Message::Interval(interval) => {
                if let Some(start_ns) = self.shared.start_ns()
                    && self.totals.count_from_ns() == u64::MAX
                {
                    self.totals = Totals::new(self.shared.count_from_ns(start_ns));
                }
                self.totals.add(interval);
            }
            Message::Sent(at_ns, acknowledged) => {
                self.sent += 1;
                self.sent_ns = self.sent_ns.max(at_ns);
                self.acknowledged.merge(acknowledged);
                if self.all_sent() {
                    self.totals.end_counting(self.sent_ns);
                    self.brokers.cpu_to_s = self.brokers.cpu_s();
                }
            }
            Message::Done(done) => self.done.push(*done),
        }
    }

    /// Whether every worker waits for the start.
    pub fn all_ready(&self) -> bool {
        self.ready == self.workers
    }

    /// Whether nothing is sent any more.
    pub fn all_sent(&self) -> bool {
        self.sent == self.workers
    }

    /// Whether every worker has ended.
    pub fn is_done(&self) -> bool {
        self.done.len() == self.workers
    }

    /// The run failed.
    pub fn fail(&mut self, error: DriveError) {
        self.failure.get_or_insert(error);
    }

    /// Reads the brokers' CPU time when the counted time begins.
    pub fn sample_brokers(&mut self) {
        let counting = self.shared.start_ns().map(|start_ns| self.shared.count_from_ns(start_ns));
        if self.brokers.cpu_from_s.is_none()
            && counting.is_some_and(|at_ns| self.shared.clock.now_ns() >= at_ns)
        {
            self.brokers.cpu_from_s = self.brokers.cpu_s();
        }
    }

    /// How far the run has come.
    pub fn tick(&self) -> Tick<'_> {
        let start_ns = self.shared.start_ns();
        Tick {
            now_ns: self.shared.clock.now_ns(),
            start_ns,
            count_from_ns: start_ns.map_or(u64::MAX, |start_ns| self.shared.count_from_ns(start_ns)),
            end_ns: start_ns.map_or(u64::MAX, |start_ns| self.shared.end_ns(start_ns)),
            totals: &self.totals,
        }
    }

    /// Everything, judged.
    pub fn into_outcome(mut self) -> Outcome {
        let failures = self.done.iter_mut().filter_map(|done| done.failure.take());
        let failure = failures.fold(self.failure.take(), |first, next| first.or(Some(next)));
        let evidence = self.evidence();
        let client_cpu_s =
            self.done.iter().map(|done| done.cpu.map(|cpu| cpu.ran_ns as f64 / SECOND_NS)).sum();
        let broker_cpu_s = self.brokers.cpu_from_s.zip(self.brokers.cpu_to_s).map(|(from, to)| to - from);
        let whole = failure.is_none() && !self.interrupted;
        let findings = (self.shared.job.verify && whole).then(|| self.judge_checks());
        Outcome {
            started_at: self.started_at,
            brokers: self.brokers.addresses,
            client_cpu_s,
            broker_cpu_s,
            evidence,
            findings,
            failure,
            interrupted: self.interrupted,
            totals: self.totals,
        }
    }

    /// What tells whether the client was the limit.
    fn evidence(&self) -> Evidence {
        // Of the thread that had the most work, whether it computed or waited for a CPU.
        let shares = self.done.iter().filter(|done| done.counted_s > 0.0).filter_map(|done| {
            let share = |ns: u64| ns as f64 / SECOND_NS / done.counted_s;
            done.cpu.map(|cpu| (share(cpu.ran_ns), share(cpu.waited_ns)))
        });
        let busiest = shares.max_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
        let p99 = |timing| {
            let latencies = self.totals.latencies(timing);
            (!latencies.is_empty()).then(|| latencies.value_at_quantile(0.99))
        };
        let rate = self.shared.job.workload.producer.rate;
        let asked = Some(rate).filter(|rate| *rate > 0.0 && self.shared.job.produces());
        let seconds = self.totals.counted_seconds();
        let reached = self.totals.counts().produced_records as f64 / seconds;
        Evidence {
            busiest_cpu_share: busiest.map(|(ran, _)| ran),
            longest_wait_share: busiest.map(|(_, waited)| waited),
            own_delay_p99_us: p99(Timing::OwnDelay),
            latency_p99_us: p99(Timing::Produce).or(p99(Timing::Fetch)),
            asked_rate: asked,
            reached_rate: asked.filter(|_| seconds > 0.0).map(|_| reached),
        }
    }

    /// Compares what readers saw with what was acknowledged.
    fn judge_checks(&mut self) -> Vec<LaneFindings> {
        let mut by_lane: BTreeMap<(u32, Lane), Checked> = BTreeMap::new();
        for checked in self.done.iter_mut().flat_map(|done| std::mem::take(&mut done.checked)) {
            by_lane.insert((checked.reader, checked.lane), checked);
        }
        by_lane.into_values().map(|checked| checked.check.finish(checked.lane, &self.acknowledged)).collect()
    }
}

//! Runs with known contents, made by the tool's own recorders: for tests of reports.
//!
//! Key invariant: equal plans give equal records.

use corelog_bench::measure::{Recorder, Timing, Totals};
use corelog_bench::result::{
    BrokerFacts, CommandFacts, CpuSeconds, FORMAT, Measured, RunRecord, TargetFacts, ToolFacts, Verdict,
};
use corelog_bench::workload::Workload;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, LogNormal};

const SECOND_NS: u64 = 1_000_000_000;

/// What a planted run looks like.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub seconds: u64,
    pub warm_up_s: u64,
    pub records_per_second: u64,
    pub median_us: f64,
    /// A second in which the broker answers nothing.
    pub stall_at: Option<u64>,
    pub timings: Vec<Timing>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            seconds: 10,
            warm_up_s: 2,
            records_per_second: 2_000,
            median_us: 800.0,
            stall_at: None,
            timings: vec![Timing::Produce],
        }
    }
}

/// The intervals that a worker of this plan hands out.
pub fn intervals(plan: &Plan) -> Vec<corelog_bench::measure::Interval> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let body = LogNormal::new(plan.median_us.ln(), 0.45).unwrap();
    let mut recorder = Recorder::new(0);
    let mut all = Vec::new();
    for second in 0..plan.seconds + plan.warm_up_s {
        let stalled = plan.stall_at == Some(second);
        for record in 0..plan.records_per_second {
            let mut us: f64 = body.sample(&mut random);
            if random.random_bool(0.002) {
                us *= random.random_range(5.0..25.0);
            }
            if stalled {
                us += 1e6 * (1.0 - record as f64 / plan.records_per_second as f64);
            }
            for timing in &plan.timings {
                let factor = if *timing == Timing::EndToEnd { 1.7 } else { 1.0 };
                recorder.latency(*timing, (us * factor) as u64, 1);
            }
            recorder.latency(Timing::OwnDelay, random.next_u64() % 40, 1);
        }
        let records = plan.records_per_second + random.next_u64() % (plan.records_per_second / 10 + 1);
        let records = if stalled { records / 10 } else { records };
        let counts = recorder.counts();
        counts.produce_requests += records / 10;
        counts.produced_records += records;
        counts.produced_bytes += records * 1_000;
        counts.produced_wire_bytes += records * 1_020;
        if plan.timings.contains(&Timing::EndToEnd) {
            counts.fetched_records += records;
            counts.fetched_bytes += records * 1_000;
        }
        if second % 7 == 6 {
            recorder.error("NOT_LEADER_OR_FOLLOWER");
        }
        all.push(recorder.take((second + 1) * SECOND_NS));
    }
    all
}

/// The record of a planted run.
pub fn run(plan: &Plan) -> RunRecord {
    let mut totals = Totals::new(plan.warm_up_s * SECOND_NS);
    intervals(plan).into_iter().for_each(|interval| totals.add(interval));
    record(&totals)
}

/// A record of these totals.
pub fn record(totals: &Totals) -> RunRecord {
    let cpu = CpuSeconds { client_s: Some(3.5), broker_s: Some(8.25) };
    let arguments =
        ["produce", "--bootstrap", "127.0.0.1:9092", "--workload", "log lines", "--duration", "30s"];
    RunRecord {
        format: FORMAT,
        label: None,
        tool: ToolFacts { version: "0.1.0".to_owned(), revision: Some("0a1b2c3d".to_owned()) },
        command: CommandFacts {
            name: "produce".to_owned(),
            arguments: arguments.map(str::to_owned).to_vec(),
        },
        target: TargetFacts {
            bootstrap: vec!["127.0.0.1:9092".to_owned()],
            brokers: vec![BrokerFacts { id: 1, address: "127.0.0.1:9092".to_owned() }],
        },
        hosts: vec![serde_json::json!({"cpu": "Example CPU", "cores": 2, "kernel": "6.12"})],
        started_at: "2026-03-01T12:00:00.250Z".to_owned(),
        workload: Workload { name: "log-lines".to_owned(), ..Workload::default() },
        measured: Measured::of(totals, cpu).unwrap(),
        verdict: Verdict::complete(),
    }
}

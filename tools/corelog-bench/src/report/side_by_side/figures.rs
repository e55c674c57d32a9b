//! The figures of a scenario on a side: those of a run's record, and those that scripts noted beside it.
//!
//! Key invariant: a figure that was not measured is absent, not zero; latencies are in milliseconds, rates per second, MB of 10^6
//! bytes of keys and values.

use std::collections::BTreeMap;

use crate::measure::Timing;
use crate::report::compare::Spread;
use crate::result::RunRecord;

/// A side that took less of the rate that it was to take did not keep up.
const RATE_SHARE_MIN: f64 = 0.98;

/// Figures by their names, with units last.
pub type Figures = BTreeMap<String, f64>;

/// Who was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// As it ships.
    Kafka,
    /// With `log.flush.interval.messages=1`.
    Flush,
    Corelog,
    /// The server that answers at once and stores nothing.
    Ceiling,
}

/// A file of noted figures that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: a figure's name and its value are wanted")]
pub struct FactsError {
    pub line: usize,
}

/// All rounds of all scenarios.
#[derive(Clone, Debug, Default)]
pub struct Results {
    rounds: BTreeMap<(String, Side), Vec<Figures>>,
}

impl Side {
    /// In the order of the table.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Flush, Self::Corelog, Self::Ceiling];

    /// As files and bars name it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Flush => "flush",
            Self::Corelog => "corelog",
            Self::Ceiling => "ceiling",
        }
    }

    /// For readers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Flush => "Kafka, flush",
            Self::Corelog => "**Corelog**",
            Self::Ceiling => "ceiling",
        }
    }

    /// The side that is named so.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.key() == key)
    }
}

impl Results {
    /// Adds a round.
    pub fn add(&mut self, scenario: &str, side: Side, figures: Figures) {
        self.rounds.entry((scenario.to_owned(), side)).or_default().push(figures);
    }

    /// Whether a side ran a scenario.
    pub fn has(&self, scenario: &str, side: Side) -> bool {
        self.rounds.contains_key(&(scenario.to_owned(), side))
    }

    /// A figure over the rounds that have it.
    pub fn spread(&self, scenario: &str, side: Side, figure: &str) -> Option<Spread> {
        let rounds = self.rounds.get(&(scenario.to_owned(), side))?;
        let values: Vec<f64> = rounds.iter().filter_map(|round| round.get(figure).copied()).collect();
        Spread::of(&values)
    }

    /// The names of all figures that a side has in a scenario.
    pub fn names(&self, scenario: &str, side: Side) -> Vec<String> {
        let rounds = self.rounds.get(&(scenario.to_owned(), side)).map_or(&[][..], Vec::as_slice);
        let mut names: Vec<String> = rounds.iter().flat_map(|round| round.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The figures of one round: of the run, if there was one, and of the noted lines, `NAME VALUE` each, which come first where both
/// have a figure.
pub fn figures(run: Option<&RunRecord>, noted: &str) -> Result<Figures, FactsError> {
    let mut all = run.map(of_run).unwrap_or_default();
    for (at, line) in noted.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (Some(name), Some(value), None) = (words.next(), words.next(), words.next()) else {
            return Err(FactsError { line: at + 1 });
        };
        let value: f64 = value.parse().map_err(|_| FactsError { line: at + 1 })?;
        all.insert(name.to_owned(), value);
    }
    all.retain(|_, value| value.is_finite());
    Ok(all)
}

fn of_run(run: &RunRecord) -> Figures {
    let (measured, counts) = (&run.measured, &run.measured.counts);
    let mut all = Figures::new();
    let mut note = |name: &str, value: Option<f64>| {
        all.extend(value.map(|value| (name.to_owned(), value)));
    };
    // What counts is what comes out: of several readers each reads everything.
    let (records, bytes) = match run.command.name.as_str() {
        "consume" | "mixed" => (counts.fetched_records, counts.fetched_bytes),
        _ => (counts.produced_records, counts.produced_bytes),
    };
    let timing = match run.command.name.as_str() {
        "end-to-end" => Timing::EndToEnd,
        "consume" => Timing::Fetch,
        _ => Timing::Produce,
    };
    note("records_s", (records > 0).then(|| measured.per_second(records)));
    note("mb_s", (bytes > 0).then(|| measured.per_second(bytes) / 1e6));
    if let Some(latency) = measured.latencies.get(&timing) {
        for (name, us) in latency.percentiles_us.named() {
            if ["p50", "p99", "p99.9"].contains(&name) {
                note(&format!("{name}_ms"), Some(us as f64 / 1e3));
            }
        }
    }
    let requests = counts.produce_requests.saturating_add(counts.fetch_requests);
    let broker_us = measured.cpu.broker_s.map(|cpu_s| cpu_s * 1e6);
    note("cpu_gb", measured.cpu_s_per_gb(measured.cpu.broker_s));
    note("us_request", broker_us.filter(|_| requests > 0).map(|cpu_us| cpu_us / requests as f64));
    let errors = measured.errors_in_all();
    note("errors", (errors > 0).then_some(errors as f64));
    // Of an open loop, whose rate says nothing about the side.
    let paced = run.command.name != "consume" && run.workload.producer.rate > 0.0;
    note("paced_records_s", paced.then_some(run.workload.producer.rate));
    let reached = measured.per_second(counts.produced_records);
    note("rate_missed", (paced && reached < run.workload.producer.rate * RATE_SHARE_MIN).then_some(1.0));
    note("client_limit", run.verdict.client_was_limit().then_some(1.0));
    all
}

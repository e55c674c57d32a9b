//! Judges from what a run measured about itself whether the client, and not the broker, was the limit.
//!
//! Key invariant: a verdict rests on nothing but the [`Evidence`]; what is not known leads to no verdict. Gathering the
//! evidence is left to `drive`.

use serde::{Deserialize, Serialize};

/// From this share of its time on that a client thread had work, computing it or waiting for a CPU, the client was the limit.
pub const WORK_SHARE_MAX: f64 = 0.95;
/// From this share of its time on that a client thread was ready and waited for a CPU, latencies hold those waits.
pub const WAIT_SHARE_MAX: f64 = 0.05;
/// From this share of the latency's p99 on, the client's own delay spoils it.
pub const OWN_DELAY_SHARE_MAX: f64 = 0.1;
/// Own delays below this do not matter whatever their share is: half a millisecond.
pub const OWN_DELAY_US_MIN: u64 = 500;
/// Below this share of the rate that was asked for, the rate was not reached.
pub const RATE_SHARE_MIN: f64 = 0.99;

/// What a run knows about its own client. `None` is not known, or does not apply. Shares are of the counted time, 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Share that the busiest client thread spent computing.
    pub busiest_cpu_share: Option<f64>,
    /// Largest share that a client thread was ready and waited for a CPU (run-queue delay).
    pub longest_wait_share: Option<f64>,
    pub own_delay_p99_us: Option<u64>,
    /// Of the latency that the run is about.
    pub latency_p99_us: Option<u64>,
    /// Records per second of an open loop.
    pub asked_rate: Option<f64>,
    /// Records per second that were acknowledged.
    pub reached_rate: Option<f64>,
}

/// What was limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// A client thread had work all the time.
    ClientBusy,
    /// A client thread shared its CPU with others, such as a broker on the same host.
    ClientWaited,
    /// The client sent late.
    ClientLate,
    /// Fewer records per second than asked for.
    RateMissed,
}

/// One finding, with its sentence for the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limit {
    pub kind: LimitKind,
    pub sentence: String,
}

impl Limit {
    /// Whether the client was the limit, so that the run says little about the broker.
    pub fn is_client(&self) -> bool {
        matches!(self.kind, LimitKind::ClientBusy | LimitKind::ClientLate)
    }
}

/// The judge.
pub struct Limits;

impl Limits {
    /// What limited the run; empty if nothing is known to have.
    pub fn judge(evidence: &Evidence) -> Vec<Limit> {
        let worked = busy(evidence).or_else(|| waited(evidence));
        let mut limits: Vec<Limit> = [worked, late(evidence)].into_iter().flatten().collect();
        let missed = rate_missed(evidence, limits.iter().any(Limit::is_client));
        limits.extend(missed);
        limits
    }
}

fn busy(evidence: &Evidence) -> Option<Limit> {
    let computed = evidence.busiest_cpu_share?;
    let waited = evidence.longest_wait_share.unwrap_or(0.0);
    if computed + waited < WORK_SHARE_MAX {
        return None;
    }
    let sentence = format!(
        "the client was the limit: a thread of it had work all the time (it computed {:.0} % of it and waited for a CPU {:.0} %); \
         give it more CPUs (--cpus), or a host of its own",
        computed * 100.0,
        waited * 100.0
    );
    Some(Limit { kind: LimitKind::ClientBusy, sentence })
}

fn waited(evidence: &Evidence) -> Option<Limit> {
    let share = evidence.longest_wait_share.filter(|share| *share >= WAIT_SHARE_MAX)?;
    let sentence = format!(
        "the client shared its CPUs: a thread of it was ready and waited for one {:.0} % of the time, which is in the \
         latencies; where broker and client are one host, both feel it",
        share * 100.0
    );
    Some(Limit { kind: LimitKind::ClientWaited, sentence })
}

fn late(evidence: &Evidence) -> Option<Limit> {
    let own_us = evidence.own_delay_p99_us?;
    let latency_us = evidence.latency_p99_us?;
    if own_us < OWN_DELAY_US_MIN || (own_us as f64) < OWN_DELAY_SHARE_MAX * latency_us as f64 {
        return None;
    }
    let sentence = format!(
        "the client was the limit: it sent late itself, p99 {:.2} ms of the latency's p99 of {:.2} ms",
        own_us as f64 / 1e3,
        latency_us as f64 / 1e3
    );
    Some(Limit { kind: LimitKind::ClientLate, sentence })
}

fn rate_missed(evidence: &Evidence, client_limited: bool) -> Option<Limit> {
    let asked = evidence.asked_rate.filter(|rate| *rate > 0.0)?;
    let reached = evidence.reached_rate?;
    if reached >= asked * RATE_SHARE_MIN {
        return None;
    }
    let whose = if client_limited { "the client was the limit" } else { "the broker did not keep up" };
    let sentence = format!(
        "the rate was not reached: {reached:.0} of {asked:.0} records/s ({:.1} %); {whose}",
        reached / asked * 100.0
    );
    Some(Limit { kind: LimitKind::RateMissed, sentence })
}

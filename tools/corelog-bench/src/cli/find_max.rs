//! `--find-max`: the highest rate whose 99th percentile stays below a bound.
//!
//! Key invariant: the run that is shown and written is one at the rate that was found, made after the search.

use super::session::Session;
use super::{Failure, print, record};
use crate::drive::{Job, Outcome};
use crate::measure::Timing;
use crate::schedule::{Probe, Ramp, Step};

/// Searches, tells each step, then makes the run at the rate that held.
pub fn run(session: &Session, mut job: Job, bound_ms: f64) -> Result<(), Failure> {
    if !(job.produces() && bound_ms > 0.0 && bound_ms < 3.6e6) {
        return Err(Failure::Usage(
            "--find-max needs a bound in milliseconds above 0 and a command that sends".to_owned(),
        ));
    }
    job.workload.producer.rate = 0.0;
    let closed = probe(session, &job)?;
    let mut ramp = Ramp::new((bound_ms * 1_000.0) as u64);
    let mut steps = vec![format!("as fast as answers come: {:.0} records/s", closed.reached)];
    tell(session, &steps[0])?;
    let mut rate = ramp.first(closed.reached);
    let found = loop {
        job.workload.producer.rate = rate;
        let seen = probe(session, &job)?;
        let held = if ramp.holds(&seen) { "held" } else { "did not hold" };
        let p99_ms = seen.p99_us as f64 / 1e3;
        steps.push(format!("{rate:.0} records/s: reached {:.0}, p99 {p99_ms:.3} ms, {held}", seen.reached));
        tell(session, &steps[steps.len() - 1])?;
        match ramp.on_probe(&seen) {
            Step::Try(next) => rate = next,
            Step::Found(found) => break found,
        }
    };
    let Some(rate) = found else {
        return Err(Failure::RateMissed(format!("no rate has a 99th percentile below {bound_ms} ms")));
    };
    job.workload.producer.rate = rate;
    let (outcome, job) = session.drive(job)?;
    let mut record = record::of(&job, &outcome, &session.options.output, &session.words)?;
    record
        .verdict
        .notes
        .push(format!("the highest rate found with a p99 below {bound_ms} ms: {rate:.0} records/s"));
    record.verdict.notes.extend(steps);
    session.show(&record, None)?;
    ended(outcome).map(drop)
}

fn tell(session: &Session, step: &str) -> Result<(), Failure> {
    let quiet = session.options.output.quiet || session.options.output.json;
    if quiet { Ok(()) } else { print(step) }
}

/// One run of the search.
fn probe(session: &Session, job: &Job) -> Result<Probe, Failure> {
    let (outcome, job) = session.drive(job.clone())?;
    let outcome = ended(outcome)?;
    let timing = if job.stamps() { Timing::EndToEnd } else { Timing::Produce };
    let counts = outcome.totals.counts();
    Ok(Probe {
        rate: job.workload.producer.rate,
        reached: counts.produced_records as f64 / outcome.totals.counted_seconds().max(1e-9),
        p99_us: outcome.totals.latencies(timing).value_at_quantile(0.99),
        failed: outcome.totals.errors().values().sum::<u64>() + counts.unanswered_records,
    })
}

/// The outcome of a run that came to its end.
fn ended(outcome: Outcome) -> Result<Outcome, Failure> {
    match outcome.failure {
        Some(error) => Err(error.into()),
        None if outcome.interrupted => Err(Failure::Interrupted),
        None => Ok(outcome),
    }
}

//! Makes the record of a run out of its outcome and the facts around it.
//!
//! Key invariant: no secret goes into a record.

use std::time::UNIX_EPOCH;

use super::Failure;
use super::options::OutputOptions;
use crate::drive::{Job, Outcome};
use crate::host::Facts;
use crate::measure::Limits;
use crate::result::{
    BrokerFacts, CommandFacts, CpuSeconds, FORMAT, Findings, Measured, RunRecord, TargetFacts, ToolFacts,
    Verdict,
};
use crate::verify::LaneFindings;
use crate::workload::Kind;

/// Examples of findings that a record keeps.
const EXAMPLES_MAX: usize = 20;

/// The record of a run.
pub fn of(
    job: &Job,
    outcome: &Outcome,
    output: &OutputOptions,
    words: &[String],
) -> Result<RunRecord, Failure> {
    let cpu = CpuSeconds { client_s: outcome.client_cpu_s, broker_s: outcome.broker_cpu_s };
    let measured = Measured::of(&outcome.totals, cpu).map_err(|error| Failure::Other(error.to_string()))?;
    let brokers =
        outcome.brokers.iter().map(|(id, address)| BrokerFacts { id: *id, address: address.clone() });
    let facts = serde_json::to_value(Facts::gather(output.data_dir.as_deref()))
        .map_err(|error| Failure::Other(error.to_string()))?;
    Ok(RunRecord {
        format: FORMAT,
        label: output.label.clone(),
        tool: ToolFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: option_env!("CORELOG_GIT_REVISION").map(str::to_owned),
        },
        command: CommandFacts { name: name_of(job.kind).to_owned(), arguments: words.to_vec() },
        target: TargetFacts { bootstrap: job.options.bootstrap.clone(), brokers: brokers.collect() },
        hosts: vec![facts],
        started_at: rfc3339(outcome.started_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
        workload: job.workload.clone(),
        measured,
        verdict: Verdict {
            complete: outcome.failure.is_none() && !outcome.interrupted,
            reason: reason(outcome),
            limits: Limits::judge(&outcome.evidence),
            notes: vec![],
            findings: outcome.findings.as_ref().map(|lanes| findings(lanes)),
        },
    })
}

fn reason(outcome: &Outcome) -> Option<String> {
    let failure = outcome.failure.as_ref().map(ToString::to_string);
    failure.or_else(|| outcome.interrupted.then(|| "interrupted".to_owned()))
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Produce => "produce",
        Kind::Consume => "consume",
        Kind::EndToEnd => "end-to-end",
        Kind::Mixed => "mixed",
    }
}

fn findings(lanes: &[LaneFindings]) -> Findings {
    let mut all = Findings::default();
    for lane in lanes {
        all.records += lane.records;
        all.lost += lane.lost;
        all.duplicated += lane.duplicated;
        all.reordered += lane.reordered;
        all.corrupted += lane.corrupted;
        all.foreign += lane.foreign;
        all.offset_gaps += lane.offset_gaps;
        all.examples.extend(lane.first_examples.iter().cloned());
        let clean = lane.lost + lane.duplicated + lane.reordered + lane.corrupted == 0;
        all.lanes.extend((!clean).then(|| serde_json::to_value(lane).unwrap_or_default()));
    }
    all.examples.truncate(EXAMPLES_MAX);
    all
}

/// A time in UTC as RFC 3339 has it, to the second. Days to dates as in Howard Hinnant's civil_from_days.
fn rfc3339(unix_s: u64) -> String {
    let (days, second) = ((unix_s / 86_400) as i64, unix_s % 86_400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_219_200), "2026-11-21T00:00:00Z");
    }
}

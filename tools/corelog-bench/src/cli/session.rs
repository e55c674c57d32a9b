//! The runs of one command: each is shown while it goes on, judged, shown and written when it ends.
//!
//! Key invariant: whatever ends a run, what was measured until then is shown and written before the program ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::{file_failure, folder_and_name, read_run};
use super::options::LoadOptions;
use super::{Failure, print, record};
use crate::drive::{self, Job, Outcome, Tick};
use crate::measure::LimitKind;
use crate::report::live::{Live, share_done};
use crate::report::{files, summary};
use crate::result::RunRecord;

/// What all runs of one command have in common.
pub struct Session {
    pub options: LoadOptions,
    /// The arguments, as they go into the run's file.
    pub words: Vec<String>,
    pub interrupted: Arc<AtomicBool>,
}

impl Session {
    /// Makes a run, shows and writes it.
    pub fn run_once(&self, job: Job, number: Option<u32>) -> Result<RunRecord, Failure> {
        let (outcome, job) = self.drive(job)?;
        let record = record::of(&job, &outcome, &self.options.output, &self.words)?;
        self.show(&record, number)?;
        judge(outcome, &record, self.options.output.accept_missed_rate)?;
        Ok(record)
    }

    /// Makes a run, with its live line.
    pub fn drive(&self, job: Job) -> Result<(Outcome, Job), Failure> {
        let live = Live::new(!self.options.output.quiet);
        let length = job.workload.length.clone();
        let mut watch = |tick: &Tick<'_>| {
            let elapsed_s =
                tick.start_ns.map_or(0.0, |start_ns| tick.now_ns.saturating_sub(start_ns) as f64 / 1e9);
            // The last row is still being filled.
            let rows = tick.totals.series();
            if let Some(row) = rows.len().checked_sub(2).and_then(|at| rows.get(at)) {
                live.show(row, share_done(&length, elapsed_s, tick.totals.counts()));
            }
            !self.interrupted.load(Ordering::Relaxed)
        };
        let outcome = drive::run(job.clone(), &mut watch);
        live.finish();
        Ok((outcome?, job))
    }

    /// Shows a run and writes its files.
    pub fn show(&self, run: &RunRecord, number: Option<u32>) -> Result<(), Failure> {
        let output = &self.options.output;
        if output.json {
            print(&run.to_json().map_err(|error| Failure::Other(error.to_string()))?)?;
        } else {
            let ceiling = output.ceiling.as_deref().map(read_run).transpose()?;
            print(&summary::text(run, ceiling.as_ref()))?;
        }
        let Some(prefix) = &output.out else { return Ok(()) };
        let (folder, name) = folder_and_name(prefix);
        let name = number.map_or(name.clone(), |number| format!("{name}-{number}"));
        let written = files::write_run(run, &folder, &name).map_err(|error| file_failure(prefix, error))?;
        if !output.json {
            let names: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
            print(&format!("written: {}\n", names.join(" ")))?;
        }
        Ok(())
    }
}

/// What ended the run other than its length, or went wrong in it.
fn judge(outcome: Outcome, record: &RunRecord, accept_missed_rate: bool) -> Result<(), Failure> {
    if let Some(error) = outcome.failure {
        return Err(error.into());
    }
    if outcome.interrupted {
        return Err(Failure::Interrupted);
    }
    let findings = record.verdict.findings.as_ref().filter(|findings| !findings.is_clean());
    if let Some(findings) = findings {
        return Err(Failure::Verify(format!(
            "the check found {} lost, {} duplicated, {} reordered and {} corrupted records",
            findings.lost, findings.duplicated, findings.reordered, findings.corrupted
        )));
    }
    let missed = record.verdict.limits.iter().find(|limit| limit.kind == LimitKind::RateMissed);
    match missed.filter(|_| !accept_missed_rate) {
        Some(limit) => Err(Failure::RateMissed(limit.sentence.clone())),
        None => Ok(()),
    }
}

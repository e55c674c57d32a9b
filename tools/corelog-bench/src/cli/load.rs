//! `produce`, `consume`, `end-to-end` and `mixed`: one run or several, shown while it goes on, written when it ends.
//!
//! Key invariant: whatever ends a run, what was measured until then is shown and written before the program ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::find_max;
use super::options::{LoadOptions, seconds};
use super::{Failure, print, record};
use crate::drive::{self, Job, Outcome, Tick};
use crate::measure::LimitKind;
use crate::report::files;
use crate::report::live::{Live, share_done};
use crate::report::summary;
use crate::result::RunRecord;
use crate::workload::{Kind, ValuePlan};

/// A run's file of lines is read as a whole.
const LINES_BYTES_MAX: u64 = 1 << 30;

/// What all runs of one command have in common.
pub struct Session {
    pub options: LoadOptions,
    /// The arguments, as they go into the run's file.
    pub words: Vec<String>,
    pub interrupted: Arc<AtomicBool>,
}

/// Does what the command says.
pub fn run(kind: Kind, options: LoadOptions, words: Vec<String>) -> Result<(), Failure> {
    let job = job(kind, &options)?;
    if let Some(prefix) = &options.output.out {
        files::prepare(&folder_and_name(prefix).0).map_err(|error| file_failure(prefix, error))?;
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(|error| Failure::Other(format!("signals cannot be handled: {error}")))?;
    }
    let session = Session { options, words, interrupted };
    if let Some(bound_ms) = session.options.find_max {
        return find_max::run(&session, job, bound_ms);
    }
    for number in 1..=session.options.runs {
        let number = (session.options.runs > 1).then_some(number);
        session.run_once(job.clone(), number)?;
    }
    Ok(())
}

fn job(kind: Kind, options: &LoadOptions) -> Result<Job, Failure> {
    let workload = options.shape.workload()?;
    let lines = match &workload.records.values {
        ValuePlan::Lines { file } if kind != Kind::Consume => Some(read_lines(file)?),
        _ => None,
    };
    Ok(Job {
        kind,
        workload,
        options: options.target.client()?,
        cpus: cpus(options.cpus.as_deref())?,
        verify: options.verify,
        lines,
        retry_for: seconds("--retry-for", options.target.retry_for)?,
    })
}

fn read_lines(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    let failure = |reason: String| Failure::File { path: file.clone(), reason };
    let bytes = std::fs::metadata(file).map_err(|error| failure(error.to_string()))?.len();
    if bytes > LINES_BYTES_MAX {
        return Err(failure(format!(
            "the text has {bytes} bytes; at most {LINES_BYTES_MAX} are kept in memory"
        )));
    }
    std::fs::read(file).map_err(|error| failure(error.to_string()))
}

/// The CPUs of `0,2-3`, which must be allowed; without a list all that are.
pub fn cpus(list: Option<&str>) -> Result<Vec<usize>, Failure> {
    let allowed = rustix::thread::sched_getaffinity(None)
        .map_err(|error| Failure::Other(format!("the allowed CPUs cannot be found out: {error}")))?;
    let allowed: Vec<usize> =
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let Some(list) = list else { return Ok(allowed) };
    let usage =
        || Failure::Usage(format!("--cpus {list}: a list such as 0,2-3 of the allowed CPUs {allowed:?}"));
    let mut wanted = vec![];
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>()) else {
            return Err(usage());
        };
        let known = allowed.iter().copied().filter(|cpu| (first..=last).contains(cpu));
        let before = wanted.len();
        wanted.extend(known);
        if first > last || wanted.len() - before != last - first + 1 {
            return Err(usage());
        }
    }
    Ok(wanted)
}

impl Session {
    /// Makes a run, shows and writes it.
    pub fn run_once(&self, job: Job, number: Option<u32>) -> Result<RunRecord, Failure> {
        let (outcome, job) = self.drive(job)?;
        let record = record::of(&job, &outcome, self)?;
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
            let ceiling = output.ceiling.as_deref().map(record::read).transpose()?;
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

/// A prefix of files, taken apart.
pub fn folder_and_name(prefix: &std::path::Path) -> (PathBuf, String) {
    let name =
        prefix.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
    let folder = prefix.parent().filter(|folder| !folder.as_os_str().is_empty());
    (folder.map_or_else(|| PathBuf::from("."), PathBuf::from), name)
}

/// What went wrong with a file.
pub fn file_failure(path: &std::path::Path, error: impl std::fmt::Display) -> Failure {
    Failure::File { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_a_list_of_allowed_ones() {
        let allowed = cpus(None).unwrap();
        assert_eq!(cpus(Some(&allowed[0].to_string())).unwrap(), [allowed[0]]);
        for wrong in ["", "x", "99999", "1-0", "0,,1"] {
            assert!(cpus(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_a_folder_and_a_name() {
        let split = |text: &str| folder_and_name(std::path::Path::new(text));
        assert_eq!(split("runs/a"), (PathBuf::from("runs"), "a".to_owned()));
        assert_eq!(split("a"), (PathBuf::from("."), "a".to_owned()));
    }
}

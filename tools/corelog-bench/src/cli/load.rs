//! `produce`, `consume`, `end-to-end` and `mixed`: one run or several, shown while it goes on, written when it ends.
//!
//! Key invariant: what cannot be driven or written is found out before anything is sent. The runs themselves are left to
//! `session`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::files::{file_failure, folder_and_name};
use super::options::{LoadOptions, seconds};
use super::session::Session;
use super::{Failure, find_max};
use crate::drive::Job;
use crate::report::files;
use crate::workload::{Kind, ValuePlan};

/// A run's file of lines is read as a whole.
const LINES_BYTES_MAX: u64 = 1 << 30;

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
        scheduling: options.scheduling,
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
}

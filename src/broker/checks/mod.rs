//! Whether this machine can run a broker: kernel, io_uring, limits, data directory, CPUs.
//!
//! Key invariant: checks change nothing and leave no file behind, and every finding that is not well has a remedy that
//! can be typed. `cli::doctor` prints them, `cli::serve` ends if any fails.

mod limits;
mod probe;
mod storage;
mod uring;

use std::fmt;

use super::cpus;
use crate::config::BrokerSettings;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// The broker runs, but not at its best, or not for ever.
    Warn,
    /// The broker cannot run.
    Fail,
}

impl Status {
    /// For tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub name: &'static str,
    pub status: Status,
    pub found: String,
    /// What to do; `None` if all is well.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), remedy: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, ". {remedy}"),
            None => Ok(()),
        }
    }
}

/// Runs every check for a broker with these settings, in the order in which to mend.
pub fn run(settings: &BrokerSettings) -> Vec<Finding> {
    let cpus = cpus::allowed();
    let shards = settings.shards.count.map_or(cpus.len(), usize::from);
    let mut findings = vec![
        uring::kernel(),
        uring::allowed(),
        limits::locked_memory(shards),
        limits::open_files(),
        limits::overcommit(),
        shards_on(&cpus, shards),
    ];
    findings.extend(storage::check(&settings.data_dir));
    findings
}

fn shards_on(cpus: &[usize], shards: usize) -> Finding {
    const NAME: &str = "cpu affinity";
    let listed: Vec<String> = cpus.iter().map(ToString::to_string).collect();
    let found = format!("{shards} shards on {} CPUs ({})", cpus.len(), listed.join(", "));
    if shards > cpus.len() {
        let remedy = format!(
            "Several shards share a CPU, which works but gains nothing: --shards {}, or allow more CPUs (taskset, cpuset).",
            cpus.len()
        );
        return Finding::warn(NAME, found, remedy);
    }
    Finding::ok(NAME, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_run_its_own_tests() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = BrokerSettings::default();
        settings.data_dir = directory.path().join("not").join("there");
        let findings = run(&settings);
        for finding in &findings {
            assert_eq!(finding.remedy.is_some(), finding.status != Status::Ok, "{finding}");
        }
        let left = std::fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(left, 0, "checks leave nothing behind");
    }

    #[test]
    fn more_shards_than_cpus_is_a_warning() {
        assert_eq!(shards_on(&[0, 1], 2).status, Status::Ok);
        assert_eq!(shards_on(&[3], 2).status, Status::Warn);
    }
}

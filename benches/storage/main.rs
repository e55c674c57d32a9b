//! What the storage engine costs, next to what the same device does without it.
//!
//! `cargo bench --bench storage -- [FILTER]… [--seconds S] [--json FILE]`: runs the cases whose name contains one of the
//! filters, and the baselines that they are compared with. Data goes to a directory under `target/`, below 2 GB at a time,
//! and is removed after each case: the file system there is what is measured, so nothing else should use it or the CPUs.
//! The cases with 10,000 partitions take about a minute more, to create them.
//!
//! Key invariant: every engine case measures what was durable or read, never what was only accepted, and one executor
//! stands for one shard. Which figures are good enough is left to `docs/benchmarks.md`.
#![allow(clippy::print_stdout)] // A benchmark's answer is what it prints.

mod append;
mod baseline;
mod compaction;
mod engine;
mod isolation;
mod measure;
mod read;
mod recovery;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use report::Report;

/// How long one case measures unless told otherwise.
const SECONDS: f64 = 2.5;

/// What the command line asks for.
struct Options {
    filters: Vec<String>,
    measured: Duration,
    json: Option<PathBuf>,
}

impl Options {
    /// `Ok(None)` if cargo only tests that benches start.
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self { filters: vec![], measured: Duration::from_secs_f64(SECONDS), json: None };
        let mut arguments = arguments.peekable();
        let mut measuring = false;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => measuring = true,
                "--json" => {
                    options.json = Some(arguments.next().ok_or("--json needs the name of a file")?.into());
                }
                "--seconds" => {
                    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
                    let measured = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    options.measured = measured.ok_or("--seconds needs a positive number")?;
                }
                option if option.starts_with('-') => return Err(format!("there is no option {option}")),
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Ok(measuring.then_some(options))
    }
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("nothing to test; `cargo bench --bench storage` measures");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            println!("{mistake}; usage: [FILTER]… [--seconds S] [--json FILE]");
            return ExitCode::FAILURE;
        }
    };
    engine::allow_many_files();
    let mut report = Report::new(options.filters, options.measured);
    baseline::run(&mut report);
    append::run(&mut report);
    read::run(&mut report);
    isolation::run(&mut report);
    recovery::run(&mut report);
    compaction::run(&mut report);
    print!("\n{}", report.table());
    if let Some(path) = options.json
        && let Err(error) = std::fs::write(&path, report.json())
    {
        println!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

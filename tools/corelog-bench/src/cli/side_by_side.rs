//! `side-by-side`: the results of `make peers` as one table, and as a picture.

use std::path::{Path, PathBuf};

use clap::Args;

use super::files::{file_failure, read_run};
use super::{Failure, print};
use crate::report::files;
use crate::report::side_by_side::{Results, Scenario, Side, figures, markdown, parse, plot};

#[derive(Clone, Debug, Args)]
pub struct SideBySideOptions {
    /// The folder of results: SCENARIO.SIDE-ROUND.json, a run's file, and SCENARIO.SIDE-ROUND.facts, lines of a figure's name and
    /// its value; either may be missing. Sides are kafka, flush, corelog and ceiling.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The list of scenarios
    #[arg(long, value_name = "FILE")]
    pub scenarios: PathBuf,
    /// Also write the table here
    #[arg(long, value_name = "FILE.md")]
    pub markdown: Option<PathBuf>,
    /// Also write a picture of the ratios
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Reads, prints, writes.
pub fn run(options: SideBySideOptions) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&options.scenarios)
        .map_err(|error| file_failure(&options.scenarios, error))?;
    let scenarios = parse(&text).map_err(|error| file_failure(&options.scenarios, error))?;
    let results = read_results(&options.folder, &scenarios)?;
    let table = markdown(&scenarios, &results);
    print(&table)?;
    let written = [(&options.markdown, table), (&options.plot, plot(&scenarios, &results))];
    for (path, text) in &written {
        if let Some(path) = path {
            files::write(path, text).map_err(|error| file_failure(path, error))?;
        }
    }
    Ok(())
}

/// The results of all scenarios of the list; files of other names are passed over.
fn read_results(folder: &Path, scenarios: &[Scenario]) -> Result<Results, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| file_failure(folder, error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut rounds: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".json").or(name.strip_suffix(".facts"))?.to_owned()))
        .collect();
    rounds.sort();
    rounds.dedup();
    let mut results = Results::default();
    for stem in rounds {
        let Some((scenario, side)) = parts(&stem) else { continue };
        if !scenarios.iter().any(|known| known.name == scenario) {
            continue;
        }
        // A name may hold dots, which an extension must not replace.
        let (json, noted) = (folder.join(format!("{stem}.json")), folder.join(format!("{stem}.facts")));
        let run = json.is_file().then(|| read_run(&json)).transpose()?;
        let text = match noted.is_file() {
            true => std::fs::read_to_string(&noted).map_err(|error| file_failure(&noted, error))?,
            false => String::new(),
        };
        let round = figures(run.as_ref(), &text).map_err(|error| file_failure(&noted, error))?;
        results.add(scenario, side, round);
    }
    Ok(results)
}

/// Scenario and side of `SCENARIO.SIDE-ROUND`.
fn parts(stem: &str) -> Option<(&str, Side)> {
    let (scenario, rest) = stem.rsplit_once('.')?;
    let (side, round) = rest.rsplit_once('-')?;
    round.parse::<u32>().ok()?;
    Some((scenario, Side::of_key(side)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_scenario_side_and_round() {
        assert_eq!(parts("max-1-part.flush-3"), Some(("max-1-part", Side::Flush)));
        for other in ["warm", "bulk.kafka", "bulk.kafka-x", "bulk.pulsar-1", "rate-bulk"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}

//! `compare`: run files side by side, as a table and as a page for a browser.

use std::path::PathBuf;

use clap::Args;

use super::files::{file_failure, read_run};
use super::{Failure, print};
use crate::report::compare::{group, table};
use crate::report::{files, html};

#[derive(Clone, Debug, Args)]
pub struct CompareOptions {
    /// Files of runs, FILE or SIDE=FILE[,FILE...]; files without a side are sorted by their label, or by their name without
    /// its number. The first side is what the others are measured against.
    #[arg(required = true, value_name = "RUN.json")]
    pub runs: Vec<String>,
    /// Also write a page with percentile curves, throughput and latency over time
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
}

/// Reads, compares, prints.
pub fn run(options: CompareOptions) -> Result<(), Failure> {
    let mut runs = vec![];
    for argument in &options.runs {
        let (side, paths) = match argument.split_once('=') {
            Some((side, paths)) if !PathBuf::from(argument).is_file() => {
                (Some(side), paths.split(',').collect())
            }
            _ => (None, vec![argument.as_str()]),
        };
        for path in paths.into_iter().map(PathBuf::from) {
            let mut run = read_run(&path)?;
            if let Some(side) = side {
                run.label = Some(side.to_owned());
            }
            let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            runs.push((stem, run));
        }
    }
    let sides = group(runs);
    print(&table(&sides))?;
    if let Some(path) = &options.html {
        let page = html::page(&sides).map_err(|error| Failure::Other(error.to_string()))?;
        files::write(path, &page).map_err(|error| file_failure(path, error))?;
        print(&format!("written: {}", path.display()))?;
    }
    Ok(())
}

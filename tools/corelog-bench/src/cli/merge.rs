//! `merge`: the files of runs that several hosts made at the same time, as one.

use std::path::PathBuf;

use clap::Args;

use super::files::{file_failure, folder_and_name, read_run};
use super::{Failure, print};
use crate::report::{files, merge, summary};

#[derive(Clone, Debug, Args)]
pub struct MergeOptions {
    /// Files of runs
    #[arg(required = true, value_name = "RUN.json")]
    pub runs: Vec<PathBuf>,
    /// Where the merged run's files go, as with the commands that make runs
    #[arg(long, short, value_name = "FOLDER/NAME")]
    pub out: PathBuf,
}

/// Reads, merges, prints and writes.
pub fn run(options: MergeOptions) -> Result<(), Failure> {
    let runs = options.runs.iter().map(|path| read_run(path)).collect::<Result<Vec<_>, _>>()?;
    let merged = merge::merge(&runs).map_err(|error| Failure::Usage(error.to_string()))?;
    print(&summary::text(&merged, None))?;
    let (folder, name) = folder_and_name(&options.out);
    let written =
        files::write_run(&merged, &folder, &name).map_err(|error| file_failure(&options.out, error))?;
    let names: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
    print(&format!("written: {}", names.join(" ")))?;
    Ok(())
}

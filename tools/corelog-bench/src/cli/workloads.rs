//! `workloads`: the named ones, and what is in them.

use clap::Args;

use super::{Failure, print};
use crate::workload::{all, named};

#[derive(Clone, Debug, Args)]
pub struct WorkloadsOptions {
    /// Show this one as TOML: a starting point for a file of your own
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// Prints names and reasons, or one workload.
pub fn run(options: WorkloadsOptions) -> Result<(), Failure> {
    let usage = |error: crate::workload::WorkloadError| Failure::Usage(error.to_string());
    if let Some(name) = &options.name {
        print(&named(name).and_then(|workload| workload.to_toml()).map_err(usage)?)?;
        return Ok(());
    }
    let all = all();
    let width = all.iter().map(|workload| workload.name.len()).max().unwrap_or(0);
    for workload in &all {
        print(&format!("{:width$}  {}", workload.name, workload.reason))?;
    }
    Ok(())
}

//! `corelog doctor`: says whether this machine can run a broker, and how to mend what stands in the way.
//!
//! Key invariant: it changes nothing and leaves nothing behind. The checks are `broker::checks`, as `serve` runs them.

use std::io::IsTerminal;

use serde_json::json;

use super::failure::Failure;
use super::output;
use super::serve::SettingSources;
use crate::broker::checks::{self, Finding, Status};

/// Arguments of `corelog doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The exit code is 1 if anything stands in the way of a broker, 0 otherwise.")]
pub struct Doctor {
    #[command(flatten)]
    sources: SettingSources,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(self) -> Result<(), Failure> {
        let settings = self.sources.load(self.sources.flags())?;
        let findings = checks::run(&settings);
        if self.json {
            let listed = findings.iter().map(|finding| {
                json!({
                    "name": finding.name, "status": finding.status.name(), "found": finding.found,
                    "remedy": finding.remedy,
                })
            });
            output::print_json(&listed.collect())?;
        } else {
            output::print(&text(&findings, std::io::stdout().is_terminal()))?;
        }
        let failed = findings.iter().any(|finding| finding.status == Status::Fail);
        if failed { Err(Failure::Told) } else { Ok(()) }
    }
}

fn text(findings: &[Finding], coloured: bool) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let status = match (finding.status, coloured) {
            (status, false) => format!("{:4}", status.name()),
            (Status::Ok, true) => "\x1b[32mok  \x1b[0m".to_owned(),
            (Status::Warn, true) => "\x1b[33mwarn\x1b[0m".to_owned(),
            (Status::Fail, true) => "\x1b[31mfail\x1b[0m".to_owned(),
        };
        text.push_str(&format!("{status}  {:width$}  {}\n", finding.name, finding.found));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("      {:width$}  -> {remedy}\n", ""));
        }
    }
    text
}

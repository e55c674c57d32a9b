//! The record of a run: what was asked for, on what, and what was measured. Its JSON is a run's file.
//!
//! Key invariant: a record holds everything to repeat its run, and everything that reports show; [`RunRecord::from_json`]
//! of [`RunRecord::to_json`] gives an equal record. Gathering the facts is left to `host` and `drive`, files to `report`.

mod differences;
mod measured;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::measure::{Limit, PackedError};
use crate::workload::Workload;

pub use differences::{Difference, differences, flatten};
pub use measured::{CpuSeconds, LatencyRecord, Measured, Percentiles, SecondLatency, SecondRecord};

/// The format of run files that this version writes and reads.
pub const FORMAT: u32 = 1;

/// Why a run's file or its histograms could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    #[error("this is not the file of a run: {0}")]
    NotARun(serde_json::Error),
    #[error(
        "the file has format {found}, this version reads format {FORMAT}; a newer corelog-bench may read it"
    )]
    UnknownFormat { found: u64 },
    #[error("the file of the run cannot be understood: {0}")]
    Malformed(serde_json::Error),
    #[error("the record cannot be written as JSON: {0}")]
    Unwritable(serde_json::Error),
    #[error(transparent)]
    Histogram(#[from] PackedError),
}

/// A run and its results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunRecord {
    pub format: u32,
    /// The name of the side to which the run belongs when runs are compared.
    #[serde(default)]
    pub label: Option<String>,
    pub tool: ToolFacts,
    pub command: CommandFacts,
    pub target: TargetFacts,
    /// Facts of the client's host as `host` gathers them; of each host in a merged record.
    pub hosts: Vec<serde_json::Value>,
    /// RFC 3339.
    pub started_at: String,
    pub workload: Workload,
    pub measured: Measured,
    pub verdict: Verdict,
}

/// Which program ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ToolFacts {
    pub version: String,
    /// The git revision from which the tool was built, if that was known (`CORELOG_GIT_REVISION` at build time).
    #[serde(default)]
    pub revision: Option<String>,
}

/// What it was asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandFacts {
    /// `produce`, `consume`, `end-to-end` or `mixed`.
    pub name: String,
    /// All arguments after the program's name, without secrets.
    pub arguments: Vec<String>,
}

/// The brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetFacts {
    /// `host:port`, as given.
    pub bootstrap: Vec<String>,
    /// As the metadata named them.
    #[serde(default)]
    pub brokers: Vec<BrokerFacts>,
}

/// A broker of the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BrokerFacts {
    pub id: i32,
    /// `host:port`.
    pub address: String,
}

/// How far the run's numbers can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// The run went on to the end of its length.
    pub complete: bool,
    /// Why it did not, in a sentence.
    #[serde(default)]
    pub reason: Option<String>,
    /// What limited the run.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// What a reader should know besides, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// With `--verify`.
    #[serde(default)]
    pub findings: Option<Findings>,
}

/// What `--verify` found, over all partitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Findings {
    pub records: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    /// Records without a stamp: others wrote them.
    pub foreign: u64,
    pub offset_gaps: u64,
    /// The first cases, a sentence each.
    pub examples: Vec<String>,
    /// Of each partition with findings, as `verify` tells them.
    pub lanes: Vec<serde_json::Value>,
}

impl Findings {
    /// Whether nothing was lost, duplicated, reordered or corrupted.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0 && self.corrupted == 0
    }
}

impl Verdict {
    /// A run to its end, with nothing to say about it.
    pub fn complete() -> Self {
        Self { complete: true, reason: None, limits: Vec::new(), notes: Vec::new(), findings: None }
    }

    /// Whether the client was the limit.
    pub fn client_was_limit(&self) -> bool {
        self.limits.iter().any(Limit::is_client)
    }
}

impl ToolFacts {
    /// This program.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: option_env!("CORELOG_GIT_REVISION").filter(|text| !text.is_empty()).map(str::to_owned),
        }
    }
}

impl RunRecord {
    /// The text of the run's file.
    pub fn to_json(&self) -> Result<String, ResultError> {
        let mut text = serde_json::to_string_pretty(self).map_err(ResultError::Unwritable)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads the text of a run's file, of [`FORMAT`] only.
    pub fn from_json(text: &str) -> Result<Self, ResultError> {
        #[derive(Deserialize)]
        struct Head {
            format: u64,
        }
        let head: Head = serde_json::from_str(text).map_err(ResultError::NotARun)?;
        if head.format != u64::from(FORMAT) {
            return Err(ResultError::UnknownFormat { found: head.format });
        }
        serde_json::from_str(text).map_err(ResultError::Malformed)
    }

    /// Everything that may differ between two runs before they start, by dotted name.
    pub fn settings(&self) -> std::collections::BTreeMap<String, String> {
        let value = serde_json::json!({
            "command": self.command.name,
            "host": match self.hosts.as_slice() {
                [host] => host.clone(),
                hosts => serde_json::Value::from(hosts),
            },
            "target": self.target,
            "tool": self.tool,
            "workload": self.workload,
        });
        flatten(&value)
    }
}

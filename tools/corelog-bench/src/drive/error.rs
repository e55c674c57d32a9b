//! Why a run could not be made or did not finish.

use crate::client::ClientError;
use crate::payload::SupplyError;
use crate::workload::WorkloadError;

/// Each ends the program with an exit code of its own; what was measured until then is kept.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    #[error(transparent)]
    Supply(#[from] SupplyError),
    #[error("a driving thread could not start: {0}")]
    Thread(String),
    #[error(
        "the topic {topic} has {found} partitions, not the {wanted} of the workload: set topic.partitions={found}, or create it anew with --create"
    )]
    Partitions { topic: String, found: usize, wanted: i32 },
    #[error("what the broker costs cannot be told: {0}")]
    Unmeasured(String),
    #[error("the broker refuses every record: {name} ({code})")]
    Refused { name: String, code: i16 },
    #[error("no way back to the brokers within {seconds} s: {last}")]
    Lost { seconds: u64, last: String },
}

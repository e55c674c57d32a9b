//! What ends the program other than success, with an exit code for each kind.
//!
//! Key invariant: a kind keeps its code; scripts rely on them.

use std::path::PathBuf;

use crate::client::ClientError;
use crate::drive::DriveError;

/// Shown below the help.
pub const HELP: &str = "Exit codes: 0 done, 1 other failures, 2 wrong arguments or workload, 3 no broker can be reached, 4 unknown topic, \
5 authentication refused, 6 the rate was not reached, 7 a file cannot be read or written, 8 --verify found lost, duplicated, \
reordered or corrupted records, 9 the broker refused the requests, 130 interrupted (what was measured until then is written).";

/// See the head of this file.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Drive(#[from] DriveError),
    #[error("{0}")]
    RateMissed(String),
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{0}")]
    Verify(String),
    #[error("interrupted")]
    Interrupted,
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The program's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Drive(error) => code_of(error),
            Self::RateMissed(_) => 6,
            Self::File { .. } => 7,
            Self::Verify(_) => 8,
            Self::Interrupted => 130,
        }
    }
}

fn code_of(error: &DriveError) -> u8 {
    match error {
        DriveError::Client(error) => match error {
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } | ClientError::Closed { .. } => 3,
            ClientError::UnknownTopic { .. } => 4,
            ClientError::Authentication { .. } => 5,
            ClientError::Refused { .. } => 9,
            _ => 1,
        },
        DriveError::Workload(_) | DriveError::Supply(_) | DriveError::Partitions { .. } => 2,
        DriveError::Lost { .. } => 3,
        DriveError::Refused { .. } => 9,
        DriveError::Thread(_) | DriveError::Unmeasured(_) => 1,
    }
}

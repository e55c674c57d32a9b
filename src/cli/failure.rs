//! How a command fails: its words on standard error and its exit code.
//!
//! Key invariant: scripts can tell the kinds of failure apart by the exit code alone. The words come from where the
//! failure happened.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use super::client::ClientError;
use crate::protocol::ErrorCode;

/// Wrong arguments; clap's own.
pub const USAGE: u8 = 2;

/// Shown below `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 done · 1 failed · 2 wrong arguments or settings · 3 no broker can be reached · \
4 not found (topic, partition, offset, group) · 5 refused by the broker · 6 not all records were delivered · 7 a file or the \
terminal failed";

/// Why a command ends without having done what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Whatever has no kind of its own.
    #[error("{0}")]
    Failed(String),
    /// Settings or arguments that clap cannot judge.
    #[error("{0}")]
    Usage(String),
    /// Between here and the broker.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Some records were not acknowledged.
    #[error("{delivered} records were delivered before the failure: {cause}")]
    Undelivered { delivered: u64, cause: ClientError },
    /// A file or the terminal.
    #[error("{place}: {source}")]
    Local {
        place: String,
        #[source]
        source: io::Error,
    },
    /// Whoever read our output went away; nothing is wrong.
    #[error("the reader of the output is gone")]
    OutputClosed,
    /// Everything was said already.
    #[error("")]
    Told,
}

impl Failure {
    /// A failure to write to standard output.
    pub fn output(source: io::Error) -> Self {
        if source.kind() == ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Local { place: "standard output".to_owned(), source }
    }

    /// Says it on standard error and answers the exit code.
    pub fn report(&self) -> ExitCode {
        let text = self.to_string();
        if !matches!(self, Self::OutputClosed | Self::Told) {
            eprintln!("corelog: {text}");
            if let Some(remedy) = self.remedy() {
                eprintln!("  {remedy}");
            }
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed(_) | Self::Told => 1,
            Self::Usage(_) => USAGE,
            Self::Client(error) => client_code(error),
            Self::Undelivered { .. } => 6,
            Self::Local { .. } => 7,
        }
    }

    /// What the reader may do about it.
    fn remedy(&self) -> Option<&'static str> {
        let (Self::Client(error) | Self::Undelivered { cause: error, .. }) = self else { return None };
        match error {
            ClientError::Connect { .. } => {
                Some("Is the broker running? `corelog serve` starts one; --bootstrap-server names another.")
            }
            ClientError::Timeout { .. } => Some("--timeout-ms allows it more time."),
            ClientError::Garbled { .. } | ClientError::Closed { .. } => {
                Some("Is it a Kafka broker, and is this its plaintext listener?")
            }
            ClientError::Refused { code, .. } => refusal_remedy(*code),
            _ => None,
        }
    }
}

fn client_code(error: &ClientError) -> u8 {
    use ErrorCode as E;
    match error {
        ClientError::Address(_) => USAGE,
        ClientError::Connect { .. } | ClientError::Timeout { .. } | ClientError::Closed { .. } => 3,
        ClientError::Refused {
            code: E::UnknownTopicOrPartition | E::UnknownTopicId | E::OffsetOutOfRange | E::GroupIdNotFound,
            ..
        } => 4,
        ClientError::Refused { .. } => 5,
        _ => 1,
    }
}

fn refusal_remedy(code: ErrorCode) -> Option<&'static str> {
    use ErrorCode as E;
    Some(match code {
        E::UnknownTopicOrPartition => {
            "`corelog topic list` shows the topics that exist, `corelog topic create` makes one."
        }
        E::TopicAlreadyExists => "`corelog topic create --if-not-exists` accepts a topic that exists.",
        E::InvalidReplicationFactor => {
            "A topic cannot have more replicas than the cluster has brokers; leave --replication-factor out."
        }
        E::MessageTooLarge => "The topic's max.message.bytes bounds a batch: `corelog topic alter --config`.",
        E::InvalidRecord => "A compacted topic takes only records with a key: --key-separator.",
        E::OffsetOutOfRange => {
            "--from-beginning starts at the first record that is left; `corelog group reset-offsets` moves a group."
        }
        E::GroupIdNotFound => "`corelog group list` shows the groups that exist.",
        E::NonEmptyGroup => "End its members first; `corelog group describe --members` shows them.",
        E::GroupSubscribedToTopic => {
            "End the members that read it first; `corelog group describe --members` shows them."
        }
        E::InconsistentGroupProtocol => {
            "The members of this group share partitions in another way than `range`; another --group stands alone."
        }
        E::GroupMaxSizeReached => "The broker's group.max.size bounds a group; another --group stands alone.",
        E::InvalidSessionTimeout => {
            "The broker's group.min.session.timeout.ms must be at most 10000 for this command."
        }
        E::CoordinatorNotAvailable | E::CoordinatorLoadInProgress => {
            "The broker that looks after the group is still starting; --timeout-ms allows it more time."
        }
        E::UnknownMemberId => {
            "A member may have joined meanwhile; `corelog group describe --members` shows the members."
        }
        _ => return None,
    })
}

//! What can go wrong between the command line and a broker.
//!
//! Key invariant: each text names the broker or the topic and says what to do if there is something to do. Exit codes
//! are chosen in `cli::failure`.

use std::time::Duration;

use crate::protocol::ErrorCode;

/// Why a request was not answered, or not as hoped.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody accepts connections there.
    #[error("no broker can be reached at {address}: {reason}")]
    Connect { address: String, reason: String },
    /// The address is not `host:port`.
    #[error("{0:?} is not of the form HOST:PORT")]
    Address(String),
    /// The broker went away in the middle.
    #[error("the broker at {address} closed the connection{detail}")]
    Closed { address: String, detail: String },
    /// The broker took too long.
    #[error("the broker at {address} did not answer {request} within {} ms", after.as_millis())]
    Timeout { address: String, request: String, after: Duration },
    /// The broker's bytes are not what the protocol says.
    #[error("the broker at {address} sent what cannot be understood: {reason}")]
    Garbled { address: String, reason: String },
    /// The broker and this client share no version of an API.
    #[error("the broker at {address} does not offer {api} in a version that this client knows")]
    Version { address: String, api: String },
    /// The broker answered with an error code.
    #[error("{subject}: {}", explained(*code, message.as_deref()))]
    Refused { subject: String, code: ErrorCode, message: Option<String> },
    /// A partition has no leader that could be asked.
    #[error("partition {partition} of topic {topic} has no leader")]
    Leaderless { topic: String, partition: i32 },
    /// The request cannot be written, such as a name that is too long.
    #[error("the request cannot be sent: {0}")]
    Request(String),
}

impl ClientError {
    /// An answer with an error code; a code that Kafka does not define is an unknown server error.
    pub fn refused(subject: impl Into<String>, code: i16, message: Option<String>) -> Self {
        let message = message.filter(|text| !text.is_empty());
        let known = ErrorCode::from_code(code);
        let message = if known.is_none() { Some(format!("unknown error code {code}")) } else { message };
        Self::Refused {
            subject: subject.into(),
            code: known.unwrap_or(ErrorCode::UnknownServerError),
            message,
        }
    }

    /// The code that the broker answered with, if it did.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Closed { .. } | Self::Timeout { .. } | Self::Leaderless { .. } => {
                true
            }
            Self::Refused { code, .. } => code.is_retriable(),
            _ => false,
        }
    }
}

/// `NAME: the broker's words`, or our own if it sent none.
fn explained(code: ErrorCode, message: Option<&str>) -> String {
    format!("{} ({})", message.unwrap_or(code.message()).trim_end_matches('.'), code.name())
}

//! What can go wrong between the load generator and a broker.
//!
//! Key invariant: each text is one sentence that names the broker or the topic, and says what to do if there is
//! something to do. Exit codes and retries are left to `cli` and `drive`.

use corelog::protocol::ErrorCode;
use kafka_protocol::messages::ApiKey;

/// Why a request was not answered, or not as hoped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody accepts connections there.
    #[error("no broker can be reached at {address}: {reason}")]
    Unreachable { address: String, reason: String },
    /// The broker does not let this user in, or demands or offers another way to log in.
    #[error("the broker at {address} refused the authentication: {reason}")]
    Authentication { address: String, reason: String },
    #[error("the topic {topic} does not exist; create it, or let this tool do it with --create")]
    UnknownTopic { topic: String },
    /// The broker answered with an error code.
    #[error("{what}: {} ({})", message.trim_end_matches('.'), error_name(*code))]
    Refused { what: String, code: i16, message: String },
    /// The broker and this client share no version of an API.
    #[error("the broker at {address} does not offer {api} in a version that this client knows")]
    NoCommonVersion { address: String, api: String },
    /// The connection ended in the middle.
    #[error("the broker at {address} closed the connection{reason}")]
    Closed { address: String, reason: String },
    /// The broker's bytes are not what the protocol says.
    #[error("the broker at {address} sent what cannot be understood: {reason}")]
    Malformed { address: String, reason: String },
    #[error("the broker at {address} did not {what} within {within_ms} ms")]
    TimedOut { address: String, what: String, within_ms: u64 },
    /// The request cannot be written, such as a name that is too long.
    #[error("the request cannot be sent: {reason}")]
    Unsendable { reason: String },
}

impl ClientError {
    /// An answer with an error code; without words of the broker, Kafka's own text.
    pub(super) fn refused(what: impl Into<String>, code: i16, message: Option<&str>) -> Self {
        let known =
            || ErrorCode::from_code(code).map_or("an error that Kafka does not define", ErrorCode::message);
        let message = message.filter(|text| !text.is_empty()).unwrap_or_else(known).to_owned();
        Self::Refused { what: what.into(), code, message }
    }

    /// Whether the connection is of no use any more.
    pub fn is_disconnect(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Closed { .. } | Self::Malformed { .. } | Self::TimedOut { .. }
        )
    }

    /// Whether the same request may succeed a little later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Closed { .. } | Self::TimedOut { .. } => true,
            Self::Refused { code, .. } => ErrorCode::from_code(*code).is_some_and(ErrorCode::is_retriable),
            _ => false,
        }
    }
}

/// Kafka's name of an error code, such as `NOT_LEADER_OR_FOLLOWER`.
pub fn error_name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| format!("error {code}"), |known| known.name().to_owned())
}

/// An API's name for messages.
pub(super) fn api_name(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|_| format!("API {key}"), |api| format!("{api:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_error_in_the_brokers_words_or_kafkas() {
        let own = ClientError::refused("topic t", 36, Some("It is there already."));
        assert_eq!(own.to_string(), "topic t: It is there already (TOPIC_ALREADY_EXISTS)");
        let kafkas = ClientError::refused("topic t", 6, None);
        assert!(kafkas.to_string().ends_with("(NOT_LEADER_OR_FOLLOWER)"), "{kafkas}");
        assert!(kafkas.is_retriable() && !own.is_retriable());
        let unknown = ClientError::refused("topic t", 9_999, None);
        assert_eq!(unknown.to_string(), "topic t: an error that Kafka does not define (error 9999)");
    }
}

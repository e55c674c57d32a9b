//! The lean Kafka client that the load is driven with, for glommio: connections, metadata, and the hot path of produce
//! and fetch requests, encoded and parsed by hand.
//!
//! Key invariants: nothing here starts a task, so the caller alone decides what runs when; every wait but
//! [`Pipe::receive`] ends after [`ClientOptions::timeout`]; bytes of a broker never panic. Which requests are sent when,
//! and what is retried, is left to `drive`.

mod admin;
mod cluster;
mod connection;
mod error;
mod fetch;
mod incoming;
mod offsets;
mod outgoing;
mod pipe;
mod produce;
mod transport;
mod versions;
pub(crate) mod wire;

use std::time::Duration;

pub use admin::topic_names;
pub use cluster::{Broker, Cluster, PartitionFacts, TopicFacts};
pub use connection::Connection;
pub use error::{ClientError, error_name};
pub use fetch::{FetchAnswer, FetchFrom, FetchTerms, FetchedPartition, TopicRef};
pub use incoming::Frame;
pub use offsets::OffsetAt;
pub use pipe::Pipe;
pub use produce::{ProduceAnswer, ProduceTemplate, ProduceTerms};
pub use versions::Versions;
pub use wire::Malformed;

/// What requests carry as their client id.
pub const CLIENT_ID: &str = "corelog-bench";

/// How brokers are reached.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `host:port` of one broker at least; tried in their order.
    pub bootstrap: Vec<String>,
    pub security: Security,
    /// The longest wait for a connection or for an answer.
    pub timeout: Duration,
}

/// What a broker demands before it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    Plaintext,
    /// SASL with the mechanism PLAIN over an unencrypted connection.
    SaslPlain {
        user: String,
        password: String,
    },
}

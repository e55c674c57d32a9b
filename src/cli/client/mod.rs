//! A small Kafka client for the command line, on one tokio thread: connections, metadata, producing, fetching, admin.
//!
//! Key invariant: it relies on the protocol alone, so it works with Apache Kafka as it does with Corelog. Every wait has
//! an end, and every error says which broker and which topic it is about. Printing is left to the subcommands.

pub mod admin;
mod cluster;
mod connection;
mod error;
pub mod groups;
pub mod member;
pub mod offsets;
pub mod producer;
pub mod reader;
mod retry;

pub use cluster::{Cluster, ClusterOptions, PartitionFacts, TopicFacts};
pub use error::ClientError;

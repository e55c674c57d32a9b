//! Corelog: a broker that speaks Apache Kafka's wire protocol, one thread per core, durable before it answers.
//!
//! The rooms below are listed lowest first. A room imports only rooms that stand above it in this list;
//! `tests/tidy.rs` holds the list and checks it. `docs/architecture.md` walks a request through them.

pub mod model;

pub mod config;
pub mod metrics;
pub mod record;

pub mod protocol;

pub mod metadata;

pub mod coordinator;

pub mod io;

pub mod storage;

pub mod partition;

pub mod shard;

pub mod cluster;

pub mod handlers;

pub mod network;

pub mod control;

pub mod broker;

pub mod cli;

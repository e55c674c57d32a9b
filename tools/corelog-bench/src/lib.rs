//! Corelog's load generator: it drives any broker that speaks Kafka's protocol, and is honest about what it saw.
//!
//! The rooms below are listed lowest first; a room imports only rooms that stand above it in this list. The rooms up to
//! and with `result` are pure: no runtime, file, socket, clock or random source; time and seeds are arguments.

pub mod workload;

pub mod payload;

pub mod verify;

pub mod schedule;

pub mod measure;

pub mod result;

pub mod report;

pub mod host;

pub mod client;

pub mod ceiling;

pub mod drive;

pub mod cli;

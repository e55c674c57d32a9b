//! One file per Kafka API, and the dispatch to them.

mod fetch;

//! One replica's Kafka semantics: append, read, producer state, high watermark, waiters.

mod producers;

pub use producers::{ProducerTable, SequenceError, Verdict};

//! One replica's Kafka semantics: append, read, producer state, high watermark, waiters.

//! Per-shard counters and histograms, and their exposition.

//! Tests of whole logs; one file for each behaviour.

mod bounds;
mod busy_retention;
mod bypass;
mod crash;
mod damaged_journal;
mod damaged_segments;
mod deleted_readers;
mod failures;
mod full_disk;
mod identity;
mod invariants;
mod journal_failures;
mod log_files;
mod lookup;
mod lookup_model;
mod overlap;
mod reading;
mod recovery;
mod refill;
mod removal;
mod retention_model;
mod spares;
mod stale_bytes;
mod starts;
mod timestamps;
mod truncation;

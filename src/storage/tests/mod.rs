//! Tests of whole logs; one file for each behaviour.

mod bounds;
mod bypass;
mod crash;
mod damaged_journal;
mod damaged_segments;
mod failures;
mod full_disk;
mod identity;
mod invariants;
mod journal_failures;
mod log_files;
mod lookup;
mod reading;
mod recovery;
mod removal;
mod stale_bytes;
mod starts;
mod truncation;

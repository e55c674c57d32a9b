//! Tests of whole logs; one file for each behaviour.

mod bounds;
mod crash;
mod failures;
mod full_disk;
mod invariants;
mod journal_failures;
mod log_files;
mod lookup;
mod reading;
mod recovery;
mod removal;
mod truncation;

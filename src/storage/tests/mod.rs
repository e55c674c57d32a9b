//! Tests of whole logs; one file for each behaviour.

mod bounds;
mod busy_retention;
mod crash;
mod deleted_readers;
mod failures;
mod invariants;
mod log_files;
mod lookup;
mod lookup_model;
mod reading;
mod recovery;
mod removal;
mod retention_model;
mod timestamps;

//! Tests of whole logs; one file for each behaviour.

mod crash;
mod invariants;
mod log_files;
mod reading;

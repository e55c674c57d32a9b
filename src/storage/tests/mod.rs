//! Tests of whole logs; one file for each behaviour.

mod log_files;
mod reading;

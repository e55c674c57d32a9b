//! Compaction: bytes of a compacted log that are cleaned per second.
//!
//! Key invariant: nothing is measured yet, and the table says so: the storage engine does not compact. The case belongs in
//! [`run`]: fill a log whose keys repeat, compact it, and compare the bytes read per second with the raw read.

use crate::measure::Measured;
use crate::report::{Report, Row};

const CASE: &str = "compaction/256MB";

pub fn run(report: &mut Report) {
    if report.wants(CASE) {
        report.add(Row::new(CASE, Measured::new()).note("not measured: the engine does not compact yet"));
    }
}

//! What must hold after any crash, one file for each.
//!
//! Key invariant: a check compares what a recovered log serves with what the test knows it was told; it never asks the log
//! whether it is right.

mod acknowledged;
mod continuity;
mod log_start;
mod offsets;
mod prefix;
mod replay;

use super::crash::Known;
use crate::record::BatchHeader;
use crate::storage::testing::Opened;

/// A batch as the test appended it: no two have the same serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub base: i64,
    pub next: i64,
    pub serial: i64,
}

impl Written {
    pub(super) fn of(header: &BatchHeader) -> Self {
        Self { base: header.base_offset.0, next: header.next_offset().0, serial: header.max_timestamp.0 }
    }
}

/// Checks all of them on a log that was just opened.
pub(super) async fn check(known: &Known, opened: &Opened) {
    let served: Vec<Written> = opened.headers().await.iter().map(Written::of).collect();
    log_start::check(known, opened);
    acknowledged::check(known, opened, &served);
    prefix::check(known, opened, &served);
    continuity::check(opened, &served);
    offsets::check(known, &served);
    replay::check(known, opened);
}

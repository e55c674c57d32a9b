//! Prefix consistency: what is served is what was appended, up to some batch, in the order it was appended.

use super::{Opened, Written};
use crate::storage::tests::crash::Known;

pub(super) fn check(known: &Known, opened: &Opened, served: &[Written]) {
    let start = opened.log.log_start_offset().0;
    let batches = known.batches.borrow();
    let appended: Vec<&Written> = batches.iter().filter(|batch| batch.next > start).collect();
    assert!(served.len() <= appended.len(), "more is served than was appended");
    for (served, appended) in served.iter().zip(appended) {
        assert_eq!(served, appended, "served as appended");
    }
}

//! No acknowledged loss: every batch that was called durable, and not deleted since, is served.

use super::{Opened, Written};
use crate::storage::tests::crash::Known;

pub(super) fn check(known: &Known, opened: &Opened, served: &[Written]) {
    let acknowledged = known.acknowledged.get();
    let end = opened.log.durable_end_offset().0;
    assert!(end >= acknowledged, "the log ends at {end}, but {acknowledged} was acknowledged");
    let start = opened.log.log_start_offset().0;
    for batch in
        known.batches.borrow().iter().filter(|batch| batch.next <= acknowledged && batch.next > start)
    {
        assert!(served.contains(batch), "{batch:?} was acknowledged");
    }
}

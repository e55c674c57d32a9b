//! No gaps: from the log start to the log end each batch begins where the one before ended.

use super::{Opened, Written};

pub(super) fn check(opened: &Opened, served: &[Written]) {
    let (start, end) = (opened.log.log_start_offset().0, opened.log.log_end_offset().0);
    let Some((first, last)) = served.first().zip(served.last()) else {
        assert_eq!(start, end, "nothing is served, so nothing is there");
        return;
    };
    assert!(first.base <= start && start < first.next, "the first batch holds the log start {start}");
    assert_eq!(last.next, end, "the last batch ends where the log does");
    for pair in served.windows(2) {
        assert_eq!(pair[0].next, pair[1].base, "no gap");
    }
}

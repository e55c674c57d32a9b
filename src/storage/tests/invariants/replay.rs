//! The producer state that a start rebuilds covers every batch exactly once: a snapshot, then all that follow it.

use super::Opened;
use crate::storage::tests::crash::Known;

pub(super) fn check(known: &Known, opened: &Opened) {
    let batches = known.batches.borrow();
    let end = opened.log.log_end_offset().0;
    let replayed = &opened.replayed;
    // The tests' snapshots say how many batches there were, ever.
    let there = batches.iter().take_while(|batch| batch.next <= end).count() as u64;
    let covered = replayed.snapshot.unwrap_or(0);
    let first = replayed.batches.first().copied();
    if let Some(first) = first {
        let before = batches.iter().take_while(|batch| batch.base < first).count() as u64;
        assert!(
            replayed.snapshot.is_none() || before == covered,
            "the snapshot covers {covered} batches, the replay goes on after {before}"
        );
        assert_eq!(
            before + replayed.batches.len() as u64,
            there,
            "all batches after the snapshot are replayed"
        );
    } else {
        let forgotten = known.producers_forgotten.get() && replayed.snapshot.is_none();
        assert!(
            covered == there || there == 0 || forgotten,
            "the snapshot covers {covered} of {there} batches"
        );
    }
}

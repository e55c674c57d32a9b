//! What a test knows of one log, to compare it with what a start finds.
//!
//! Key invariant: only what the test itself asked for, or was told, is in here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::storage::testing::Opened;
use crate::storage::tests::invariants::Written;

/// What the test knows of the log, because it asked for it or was told.
#[derive(Default)]
pub(in crate::storage::tests) struct Known {
    /// All batches appended, less those that a crash or truncation took, oldest first.
    pub batches: RefCell<Vec<Written>>,
    /// Everything below was called durable.
    pub acknowledged: Cell<i64>,
    /// Acknowledged base offsets and the serial that stands there.
    pub pinned: RefCell<BTreeMap<i64, i64>>,
    pub start_confirmed: Cell<i64>,
    pub start_asked: Cell<i64>,
    /// A cut below the log start leaves nothing, also no producers.
    pub producers_forgotten: Cell<bool>,
    /// Retention ran in this life: it may take whatever is durable by then.
    pub retaining: Cell<bool>,
    /// Tasks under way that change or report what is known.
    pub busy: Cell<u32>,
    pub serials: Cell<i64>,
}

impl Known {
    pub fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    pub fn end(&self) {
        self.busy.set(self.busy.get() - 1);
    }

    pub fn acknowledge(&self, end: i64) {
        self.acknowledged.set(self.acknowledged.get().max(end));
        let mut pinned = self.pinned.borrow_mut();
        for batch in self.batches.borrow().iter().rev().filter(|batch| batch.next <= end) {
            if pinned.insert(batch.base, batch.serial) == Some(batch.serial) {
                break;
            }
        }
    }

    /// What lies at or above `end` is given up on purpose.
    pub fn give_up(&self, end: i64) {
        self.acknowledged.set(self.acknowledged.get().min(end));
        self.pinned.borrow_mut().retain(|base, _| *base < end);
    }

    /// What was not acknowledged may be gone: the log's end says how much of it is.
    pub fn settle(&self, opened: &Opened) {
        let end = opened.log.log_end_offset().0;
        self.batches.borrow_mut().retain(|batch| batch.next <= end);
        self.acknowledge(end);
        self.start_confirmed.set(opened.log.log_start_offset().0);
        if self.producers_forgotten.replace(false) {
            let start = opened.log.log_start_offset().0;
            if start == end && opened.replayed.snapshot.is_none() {
                self.batches.borrow_mut().clear();
            }
        }
    }
}

//! What the tasks of one thread share.
//!
//! Key invariant: borrows of its cells end before anything is awaited.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::DriveError;
use super::locator::Locator;
use super::shared::Shared;
use crate::measure::{Recorder, Timing};

/// One thread of a run.
pub struct Local {
    pub shared: Arc<Shared>,
    pub recorder: RefCell<Recorder>,
    /// Whether what is recorded counts: the warm-up is over, and what was recorded in it is cut off.
    pub counting: Cell<bool>,
    pub locator: Locator,
    failure: RefCell<Option<DriveError>>,
}

impl Local {
    /// Nothing recorded yet.
    pub fn new(shared: Arc<Shared>) -> Rc<Self> {
        let recorder = RefCell::new(Recorder::new(shared.clock.now_ns()));
        let locator = Locator::new(Arc::clone(&shared));
        Rc::new(Self { shared, recorder, counting: Cell::new(false), locator, failure: RefCell::default() })
    }

    /// Nanoseconds on the run's clock.
    pub fn now_ns(&self) -> u64 {
        self.shared.clock.now_ns()
    }

    /// Ends the run with this error, unless another was first.
    pub fn fail(&self, error: DriveError) {
        self.failure.borrow_mut().get_or_insert(error);
        self.shared.stop();
    }

    /// Takes the error that ended the run, if it came from this thread.
    pub fn take_failure(&self) -> Option<DriveError> {
        self.failure.borrow_mut().take()
    }

    /// Records a latency in nanoseconds.
    pub fn latency(&self, timing: Timing, elapsed_ns: u64, times: u64) {
        self.recorder.borrow_mut().latency(timing, elapsed_ns / 1_000, times);
    }
}

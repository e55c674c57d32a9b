//! The answers that a connection owes, in the order of its requests.
//!
//! Key invariants: answers leave in request order, whatever order they become ready in. At most `REQUESTS_OPEN_MAX`
//! requests are open; then the connection is not read until one is answered. A request that changes the control plane
//! is answered before any later request begins.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::handlers::Begun;
use crate::shard::{Grant, Signal};

/// Requests of one connection that are read but not answered.
pub const REQUESTS_OPEN_MAX: usize = 256;

/// A request that is not answered yet, and the memory that it occupies.
pub struct Owed {
    pub begun: Begun,
    pub barrier: bool,
    /// Given back when the answer has left.
    pub _grant: Grant,
}

/// The queue between the two halves of a connection.
#[derive(Default)]
pub struct ResponseQueue {
    waiting: RefCell<VecDeque<Owed>>,
    /// Requests that are open, those that the sender holds included.
    open: Cell<usize>,
    barriers: Cell<usize>,
    filled: Signal,
    answered: Signal,
}

impl ResponseQueue {
    /// Adds the answer to the request that was read last.
    pub fn push(&self, owed: Owed) {
        self.open.set(self.open.get() + 1);
        if owed.barrier {
            self.barriers.set(self.barriers.get() + 1);
        }
        self.waiting.borrow_mut().push_back(owed);
        self.filled.raise();
    }

    /// Returns when another request may begin.
    pub async fn ready_for_more(&self) {
        while self.open.get() >= REQUESTS_OPEN_MAX || self.barriers.get() > 0 {
            self.answered.wait().await;
        }
    }

    /// Returns when everything is answered that was asked.
    pub async fn drained(&self) {
        while self.open.get() > 0 {
            self.answered.wait().await;
        }
    }

    /// The next answer that is owed; waits for one.
    pub async fn next(&self) -> Owed {
        loop {
            if let Some(owed) = self.try_next() {
                return owed;
            }
            self.filled.wait().await;
        }
    }

    /// The next answer that is owed, if there is one.
    pub fn try_next(&self) -> Option<Owed> {
        self.waiting.borrow_mut().pop_front()
    }

    /// An answer that [`Self::next`] gave has left.
    pub fn answered(&self, barrier: bool) {
        self.open.set(self.open.get() - 1);
        if barrier {
            self.barriers.set(self.barriers.get() - 1);
        }
        self.answered.raise();
    }
}

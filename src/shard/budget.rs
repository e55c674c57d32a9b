//! A shard's memory for requests in hand.
//!
//! One half is for requests that are here whole: who waits for it waits for the broker's work, or for clients that do not read their
//! answers, and those are closed ([`Budget::is_short`]). The other is for large requests that are still arriving, which end when
//! their client likes: half-received requests may hold what others of their kind wait for, but never what whole ones do. Who
//! cannot get memory in time is turned away instead of waiting for ever.
//!
//! Key invariant: the bytes of requests that are received but not answered never exceed the budget, except for one request
//! larger than its half, which has all of that to itself.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use glommio::GlommioError;
use glommio::sync::{Semaphore, StaticPermit};

use super::answers::Answers;

/// How long a request may wait for memory before its connection is closed.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Records on their way to consumers may take this part of what requests in hand may take, as a divisor.
const ANSWERS_SHARE: u64 = 2;

/// Bytes that requests may occupy, and beside them answers.
pub struct Budget {
    answers: Rc<Answers>,
    whole: Half,
    arriving: Half,
}

struct Half {
    total: u64,
    free: Rc<Semaphore>,
    waiting: Cell<usize>,
}

/// Memory that is given back when this is dropped.
pub type Grant = StaticPermit;

/// The memory of one request that is still arriving; given back when this is dropped.
#[derive(Default)]
pub struct Arriving {
    grants: Vec<Grant>,
    granted: u64,
    bytes: usize,
}

/// The shard had no memory for a request in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the request within {} s; the broker is overloaded", WAIT_MAX.as_secs())]
pub struct Exhausted;

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        let half = |bytes: u64| Half {
            total: bytes.max(1),
            free: Rc::new(Semaphore::new(bytes.max(1))),
            waiting: Cell::new(0),
        };
        let answers = Answers::new(total / ANSWERS_SHARE);
        Self { answers, whole: half(total - total / 2), arriving: half(total / 2) }
    }

    /// Takes memory for a request of `bytes` that is here; waits while others hold it.
    pub async fn take(&self, bytes: usize) -> Result<Grant, Exhausted> {
        self.whole.take((bytes as u64).min(self.whole.total)).await
    }

    /// Whether somebody waits for memory of whole requests. Who holds some and lets the broker wait is to be closed then.
    pub fn is_short(&self) -> bool {
        self.whole.waiting.get() > 0
    }

    /// Takes memory so that `request`, which is arriving, may occupy `bytes`; waits while others hold it, but not for ever.
    pub async fn take_arriving(&self, request: &mut Arriving, bytes: usize) -> Result<(), Exhausted> {
        // A request that is larger than all of it must not wait for itself.
        let units = (bytes as u64).min(self.arriving.total).saturating_sub(request.granted);
        request.grants.push(self.arriving.take(units).await?);
        request.granted += units;
        request.bytes = request.bytes.max(bytes);
        Ok(())
    }

    /// Memory for records on their way to consumers.
    pub fn answers(&self) -> &Rc<Answers> {
        &self.answers
    }

    /// Bytes that requests have taken.
    pub fn used_bytes(&self) -> u64 {
        self.whole.used_bytes() + self.arriving.used_bytes()
    }
}

impl Half {
    async fn take(&self, units: u64) -> Result<Grant, Exhausted> {
        if let Ok(grant) = self.free.try_acquire_static_permit(units) {
            return Ok(grant);
        }
        let _waiting = Waiting::new(&self.waiting);
        let wait = async {
            let grant = self.free.acquire_static_permit(units).await;
            grant.map_err(|_| GlommioError::IoError(std::io::ErrorKind::Other.into()))
        };
        glommio::timer::timeout(WAIT_MAX, wait).await.map_err(|_: GlommioError<()>| Exhausted)
    }

    fn used_bytes(&self) -> u64 {
        self.total - self.free.available().min(self.total)
    }
}

/// One who waits, until this is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Arriving {
    /// What the request may occupy.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::poll_once;
    use glommio::LocalExecutor;

    use super::*;

    #[test]
    fn requests_that_are_still_arriving_keep_nothing_from_whole_ones() {
        LocalExecutor::default().run(async {
            let budget = Budget::new(1000);
            let mut stalled = Arriving::default();
            budget.take_arriving(&mut stalled, 100).await.unwrap();
            budget.take_arriving(&mut stalled, 500).await.unwrap();
            assert_eq!((budget.used_bytes(), stalled.bytes()), (500, 500));
            let mut next = Arriving::default();
            assert!(poll_once(budget.take_arriving(&mut next, 1)).await.is_none());
            let whole = poll_once(budget.take(500)).await.expect("nobody is waited for").unwrap();
            {
                let mut waiting = Box::pin(budget.take(1));
                assert!(!budget.is_short());
                assert!(poll_once(&mut waiting).await.is_none());
                assert!(budget.is_short());
            }
            assert!(!budget.is_short());
            drop((whole, stalled));
            assert_eq!(budget.used_bytes(), 0);
        });
    }

    #[test]
    fn a_request_larger_than_the_budget_does_not_wait_for_itself() {
        LocalExecutor::default().run(async {
            let budget = Budget::new(1000);
            let mut huge = Arriving::default();
            for bytes in [300, 600, 5_000] {
                let taken = poll_once(budget.take_arriving(&mut huge, bytes)).await;
                assert_eq!(taken, Some(Ok(())));
                assert_eq!((budget.used_bytes(), huge.bytes()), ((bytes as u64).min(500), bytes));
            }
            drop(huge);
            assert!(poll_once(budget.take(5_000)).await.is_some_and(|taken| taken.is_ok()));
        });
    }
}

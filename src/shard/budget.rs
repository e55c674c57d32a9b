//! A shard's memory for requests in hand.
//!
//! Key invariant: the bytes of requests that are received but not answered never exceed the budget, except for one
//! request larger than all of it. Who cannot get memory in time is turned away instead of waiting for ever, since
//! half-received requests may hold what the others wait for.

use std::rc::Rc;
use std::time::Duration;

use glommio::GlommioError;
use glommio::sync::{Semaphore, StaticPermit};

use super::answers::Answers;

/// How long a connection may wait for memory before it is closed.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Records on their way to consumers may take this part of what requests in hand may take, as a divisor.
const ANSWERS_SHARE: u64 = 2;

/// Bytes that requests may occupy, and beside them answers.
pub struct Budget {
    answers: Rc<Answers>,
    total: u64,
    free: Rc<Semaphore>,
}

/// Memory that is given back when this is dropped.
pub type Grant = StaticPermit;

/// The shard had no memory for a request in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the request within {} s; the broker is overloaded", WAIT_MAX.as_secs())]
pub struct Exhausted;

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        let answers = Answers::new(total / ANSWERS_SHARE);
        Self { answers, total: total.max(1), free: Rc::new(Semaphore::new(total.max(1))) }
    }

    /// Takes `bytes`, at most the whole budget; waits while others hold them.
    pub async fn take(&self, bytes: usize) -> Result<Grant, Exhausted> {
        let units = (bytes as u64).min(self.total);
        if let Ok(grant) = self.free.try_acquire_static_permit(units) {
            return Ok(grant);
        }
        let wait = async {
            self.free
                .acquire_static_permit(units)
                .await
                .map_err(|_| GlommioError::IoError(std::io::ErrorKind::Other.into()))
        };
        glommio::timer::timeout(WAIT_MAX, wait).await.map_err(|_: GlommioError<()>| Exhausted)
    }

    /// Memory for records on their way to consumers.
    pub fn answers(&self) -> &Rc<Answers> {
        &self.answers
    }

    /// Bytes that requests have taken.
    pub fn used_bytes(&self) -> u64 {
        self.total - self.free.available().min(self.total)
    }
}

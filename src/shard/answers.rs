//! A shard's memory for records on their way to consumers.
//!
//! Records in an answer are the log's own memory, or what was read from the device for it; both stay as long as the consumer
//! takes to read its socket. Nobody waits here, or slow consumers would stop the others: what an answer may hold gets smaller
//! the more of the bound is held.
//!
//! Key invariant: what is held never exceeds the bound. An answer that may hold nothing has one batch all the same, or a consumer
//! could never go on; so memory is bounded by the bound and one batch for each connection.

use std::cell::Cell;
use std::rc::Rc;

/// One answer gets at most this part of what is free, as a divisor: many slow consumers leave something to the next.
const FREE_SHARE: u64 = 4;

/// Bytes that answers may hold.
#[derive(Debug)]
pub struct Answers {
    bytes_max: u64,
    held_bytes: Cell<u64>,
}

/// What one answer holds; given back when this is dropped.
#[derive(Debug)]
pub struct AnswerGrant {
    answers: Rc<Answers>,
    bytes: u64,
}

impl Answers {
    /// A bound of `bytes_max`.
    pub fn new(bytes_max: u64) -> Rc<Self> {
        Rc::new(Self { bytes_max, held_bytes: Cell::new(0) })
    }

    /// Reserves memory for an answer that wants `bytes`: as many, or the share of what is free.
    pub fn reserve(self: &Rc<Self>, bytes: usize) -> AnswerGrant {
        let bytes = (bytes as u64).min((self.bytes_max - self.held_bytes.get()) / FREE_SHARE);
        self.held_bytes.set(self.held_bytes.get() + bytes);
        AnswerGrant { answers: self.clone(), bytes }
    }

    /// Bytes that answers hold.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.get()
    }
}

impl AnswerGrant {
    /// What the answer may hold.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Gives back what the answer does not need.
    pub fn shrink_to(&mut self, bytes: usize) {
        let kept = self.bytes.min(bytes as u64);
        self.answers.held_bytes.set(self.answers.held_bytes.get() - (self.bytes - kept));
        self.bytes = kept;
    }
}

impl Drop for AnswerGrant {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn consumers_that_do_not_read_leave_something_to_the_next() {
        let answers = Answers::new(1000);
        let slow: Vec<_> = (0..4).map(|_| answers.reserve(usize::MAX)).collect();
        assert_eq!(slow.iter().map(AnswerGrant::bytes).collect::<Vec<_>>(), [250, 187, 140, 105]);
        assert_eq!(answers.reserve(50).bytes(), 50);
        drop(slow);
        assert_eq!((answers.held_bytes(), answers.reserve(200).bytes()), (0, 200));
    }

    proptest! {
        #[test]
        fn never_more_than_the_bound_is_held(
            bound in 0..10_000_u64,
            steps in prop::collection::vec((0..20_000_usize, 0..20_000_usize, any::<bool>()), 0..100),
        ) {
            let answers = Answers::new(bound);
            let mut held = vec![];
            for (wanted, kept, leaves) in steps {
                let mut grant = answers.reserve(wanted);
                prop_assert!(grant.bytes() <= wanted);
                prop_assert!(answers.held_bytes() <= bound);
                grant.shrink_to(kept);
                held.push(grant);
                if leaves {
                    held.remove(0);
                }
                prop_assert_eq!(answers.held_bytes(), held.iter().map(|grant| grant.bytes() as u64).sum::<u64>());
            }
        }
    }
}

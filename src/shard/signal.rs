//! A wake-up between two tasks of one shard: one raises, one waits.
//!
//! Key invariant: a raise is never lost; raises before the wait are one. There is one waiter at a time, so a shard's
//! task never holds more than one waker of another (the executor bounds wakers per task).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// An edge-triggered flag with one waiter.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Signal {
    /// Wakes the waiter, now or when it comes to wait.
    pub fn raise(&self) {
        if !self.raised.replace(true)
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
    }

    /// Waits until the signal is raised, and lowers it.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.raised.replace(false) {
                return Poll::Ready(());
            }
            let mut waiter = self.waiter.borrow_mut();
            if !waiter.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                *waiter = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_raise_before_the_wait_is_kept_and_counts_once() {
        glommio::LocalExecutor::default().run(async {
            let signal = Rc::new(Signal::default());
            signal.raise();
            signal.raise();
            signal.wait().await;
            let raiser = glommio::spawn_local({
                let signal = signal.clone();
                async move { signal.raise() }
            });
            signal.wait().await;
            raiser.await;
            assert!(!signal.raised.get());
        });
    }
}

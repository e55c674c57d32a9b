//! The scheduler of a shard's direct I/O: a place among those in flight, waited for and given back.
//!
//! Key invariant: every place that was given is given back exactly once, when its [`Place`] is dropped; a waiter that is
//! dropped leaves the queue, or hands on the place that it was just given. Who gets a place when is left to `admission`.
//!
//! Whoever holds a place must not wait for another one: two that did could wait for each other. A caller that drops a read
//! or write half-way gives its place back although the device may still be at work on it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::admission::{Admission, Admitted, Ticket};
use super::classes::{IoClass, IoCounts, IoLimits};

/// What the scheduler goes by: the machine's clock, or none, so that a simulation depends on nothing but its seed. There
/// the quiet time after something urgent never ends, which only makes more operations wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ticks {
    Since(Instant),
    Never,
}

impl Ticks {
    fn now(self) -> Duration {
        match self {
            Self::Since(start) => start.elapsed(),
            Self::Never => Duration::ZERO,
        }
    }
}

/// All places of one shard.
pub(super) struct Scheduler {
    admission: RefCell<Admission>,
    /// Those who wait, with whom to wake; who is admitted leaves this table.
    waiting: RefCell<BTreeMap<Ticket, Option<Waker>>>,
    ticks: Ticks,
}

impl Scheduler {
    /// A scheduler with these caps for each class.
    pub(super) fn new(ticks: Ticks, limits: IoLimits) -> Rc<Self> {
        let admission = RefCell::new(Admission::new(|class| limits.of(class)));
        Rc::new(Self { admission, waiting: RefCell::default(), ticks })
    }

    /// Waits for a place for an operation of `bytes`. The order is that of the first polls.
    pub(super) async fn admit(self: &Rc<Self>, class: IoClass, bytes: u64) -> Place {
        let mut admitted = Admitted::new();
        let ticket = self.admission.borrow_mut().on_ask(self.ticks.now(), class, bytes, &mut admitted);
        // Earlier ones may get theirs too, if the quiet time ended since the last event.
        let others = admitted.len();
        admitted.retain(|other| *other != ticket);
        let waits = admitted.len() == others;
        if waits {
            self.waiting.borrow_mut().insert(ticket, None);
        }
        let waiting = Waiting { scheduler: self, class, bytes, ticket: Some(ticket) };
        self.wake(admitted);
        waiting.await
    }

    /// Whether patient classes have to hold back.
    pub(super) fn is_contended(&self) -> bool {
        self.admission.borrow().is_contended(self.ticks.now())
    }

    /// See [`Admission::hasten`].
    pub(super) fn hasten(&self, hastened: bool) {
        self.admission.borrow_mut().hasten(hastened);
    }

    /// What a class did and does.
    pub(super) fn counts(&self, class: IoClass) -> IoCounts {
        self.admission.borrow().counts(class)
    }

    fn wake(&self, admitted: Admitted) {
        for ticket in admitted {
            // Taken out before it is woken: whatever waking does finds the table free.
            let waker = self.waiting.borrow_mut().remove(&ticket).flatten();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn done(&self, class: IoClass, bytes: u64) {
        let mut admitted = Admitted::new();
        self.admission.borrow_mut().on_done(self.ticks.now(), class, bytes, &mut admitted);
        self.wake(admitted);
    }
}

/// A place among the operations in flight.
pub(super) struct Place {
    scheduler: Rc<Scheduler>,
    class: IoClass,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.scheduler.done(self.class, self.bytes);
    }
}

struct Waiting<'a> {
    scheduler: &'a Rc<Scheduler>,
    class: IoClass,
    bytes: u64,
    /// `None` once it has become a place.
    ticket: Option<Ticket>,
}

impl Future for Waiting<'_> {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Place> {
        let Some(ticket) = self.ticket else { return Poll::Pending };
        let mine = || task.waker().clone();
        let replaced =
            self.scheduler.waiting.borrow_mut().get_mut(&ticket).map(|waker| waker.replace(mine()));
        match replaced {
            Some(_old) => Poll::Pending,
            None => {
                self.ticket = None;
                let place = Place { scheduler: self.scheduler.clone(), class: self.class, bytes: self.bytes };
                Poll::Ready(place)
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let left = self.scheduler.waiting.borrow_mut().remove(&ticket);
        if left.is_none() {
            // It was admitted and did not come for it.
            self.scheduler.done(self.class, self.bytes);
            return;
        }
        let mut admitted = Admitted::new();
        let now = self.scheduler.ticks.now();
        self.scheduler.admission.borrow_mut().on_leave(now, self.class, ticket, &mut admitted);
        self.scheduler.wake(admitted);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    type Asking = Pin<Box<dyn Future<Output = Place>>>;

    /// Compaction: four at a time when nothing is urgent, the smallest caps there are.
    fn ask(scheduler: &Rc<Scheduler>) -> Asking {
        let scheduler = scheduler.clone();
        Box::pin(async move { scheduler.admit(IoClass::Compaction, 4096).await })
    }

    fn poll(asking: &mut Asking, woken: &Arc<Woken>) -> Option<Place> {
        match asking.as_mut().poll(&mut Context::from_waker(&woken.clone().into())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    fn filled() -> (Rc<Scheduler>, Vec<Place>, Arc<Woken>) {
        let scheduler = Scheduler::new(Ticks::Never, IoLimits::default());
        let woken = Arc::new(Woken::default());
        let all = IoClass::Compaction.caps().full.operations;
        let places = (0..all).map(|_| poll(&mut ask(&scheduler), &woken).expect("a free place")).collect();
        (scheduler, places, woken)
    }

    fn counts(scheduler: &Scheduler) -> (u32, usize, u64) {
        let counts = scheduler.counts(IoClass::Compaction);
        (counts.in_flight, counts.waiting, counts.operations)
    }

    #[test]
    fn a_place_given_back_wakes_the_first_waiter_alone() {
        let (scheduler, mut places, woken) = filled();
        let (mut first, mut second) = (ask(&scheduler), ask(&scheduler));
        assert!(poll(&mut first, &woken).is_none() && poll(&mut second, &woken).is_none());
        assert_eq!(counts(&scheduler), (4, 2, 4));
        places.pop();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut second, &woken).is_none(), "not its turn");
        assert!(poll(&mut first, &woken).is_some());
        assert_eq!(counts(&scheduler), (4, 0, 6), "the first one's place went on to the second");
        assert!(poll(&mut second, &woken).is_some());
        drop(places);
        assert_eq!(counts(&scheduler), (0, 0, 6));
    }

    #[test]
    fn a_waiter_that_is_dropped_leaves_nothing_behind() {
        let (scheduler, mut places, woken) = filled();
        let (mut first, mut second, never) = (ask(&scheduler), ask(&scheduler), ask(&scheduler));
        assert!(poll(&mut first, &woken).is_none() && poll(&mut second, &woken).is_none());
        drop(never);
        drop(first);
        assert_eq!(counts(&scheduler), (4, 1, 4));
        places.pop();
        assert!(poll(&mut second, &woken).is_some(), "the first one's turn passed to it");
        assert!(scheduler.waiting.borrow().is_empty());
    }

    #[test]
    fn a_waiter_that_is_dropped_after_it_was_admitted_hands_its_place_on() {
        let (scheduler, mut places, woken) = filled();
        let (mut first, mut second) = (ask(&scheduler), ask(&scheduler));
        assert!(poll(&mut first, &woken).is_none() && poll(&mut second, &woken).is_none());
        places.pop();
        drop(first);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(poll(&mut second, &woken).is_some());
        drop(places);
        assert_eq!(counts(&scheduler), (0, 0, 6));
    }

    #[test]
    fn many_tasks_under_the_executor_all_get_their_turn() {
        const TASKS: u32 = 500;
        let executor = glommio::LocalExecutorBuilder::default().io_memory(1 << 20).make();
        executor.expect("io_uring works here").run(async {
            let scheduler = Scheduler::new(Ticks::Since(Instant::now()), IoLimits::default());
            let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let tasks: Vec<_> = (0..TASKS)
                .map(|number| {
                    let (scheduler, running, most) = (scheduler.clone(), running.clone(), most.clone());
                    let class = IoClass::ALL[number as usize % IoClass::ALL.len()];
                    glommio::spawn_local(async move {
                        let _place = scheduler.admit(class, 64 << 10).await;
                        running.set(running.get() + 1);
                        most.set(most.get().max(running.get()));
                        futures_lite::future::yield_now().await;
                        running.set(running.get() - 1);
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
            let all = IoClass::ALL.map(|class| scheduler.counts(class));
            assert_eq!(all.iter().map(|counts| counts.operations).sum::<u64>(), u64::from(TASKS));
            assert!(all.iter().all(|counts| counts.in_flight == 0 && counts.waiting == 0));
            assert!(most.get() > 1 && most.get() <= 120, "{} at once", most.get());
        });
    }
}

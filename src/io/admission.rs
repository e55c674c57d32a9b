//! Who may do I/O now: the rules of the scheduler, as a state machine without I/O or clock.
//!
//! Key invariants: no class has more in flight than its full cap (an operation larger than the cap in bytes goes alone).
//! Within a class, places are given in the order in which they were asked for. Whoever waits does so behind at least one
//! operation of its own class, so the end of that one is always an occasion to look again, and no waiter needs a timer.
//! Who waits is bounded by the tasks that ask; each has one place in the queue.

use std::collections::VecDeque;
use std::time::Duration;

use super::classes::{IoCap, IoCaps, IoClass, IoCounts};

/// How long patient classes hold back after the last urgent operation. A journal that commits a group every millisecond is
/// idle for most of it; without this, the gap would be filled to the full cap, right before the next group.
pub(super) const QUIET_AFTER_URGENT: Duration = Duration::from_millis(10);

/// One request for a place; later ones are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// Tickets that have a place as of now, in the order in which they got it.
pub(super) type Admitted = Vec<Ticket>;

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    bytes: u64,
}

#[derive(Debug)]
struct Class {
    caps: IoCaps,
    waiting: VecDeque<Waiting>,
    in_flight: u32,
    in_flight_bytes: u64,
    operations: u64,
    bytes: u64,
}

impl Class {
    fn fits(&self, bytes: u64, cap: IoCap) -> bool {
        self.in_flight == 0
            || (self.in_flight < cap.operations && self.in_flight_bytes.saturating_add(bytes) <= cap.bytes)
    }
}

/// The state of all classes of one shard.
#[derive(Debug)]
pub(super) struct Admission {
    classes: [Class; IoClass::ALL.len()],
    tickets: u64,
    /// When the last urgent operation ended, if there was one.
    urgent_ended: Option<Duration>,
    /// Whether the checkpoint is late.
    hastened: bool,
}

impl Admission {
    /// Nothing in flight, nobody waiting.
    pub(super) fn new(caps: impl Fn(IoClass) -> IoCaps) -> Self {
        let class = |class| Class {
            caps: caps(class),
            waiting: VecDeque::new(),
            in_flight: 0,
            in_flight_bytes: 0,
            operations: 0,
            bytes: 0,
        };
        Self { classes: IoClass::ALL.map(class), tickets: 0, urgent_ended: None, hastened: false }
    }

    /// Somebody asks for a place for an operation of `bytes`. The ticket is admitted at once or waits.
    pub(super) fn on_ask(
        &mut self,
        now: Duration,
        class: IoClass,
        bytes: u64,
        admitted: &mut Admitted,
    ) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.classes[class.index()].waiting.push_back(Waiting { ticket, bytes });
        self.admit(now, class, admitted);
        self.check_invariants();
        ticket
    }

    /// An operation of `bytes` that had a place is over, however it ended.
    pub(super) fn on_done(&mut self, now: Duration, class: IoClass, bytes: u64, admitted: &mut Admitted) {
        let state = &mut self.classes[class.index()];
        debug_assert!(state.in_flight > 0, "only what was admitted ends");
        state.in_flight = state.in_flight.saturating_sub(1);
        state.in_flight_bytes = state.in_flight_bytes.saturating_sub(bytes);
        if class.is_urgent() {
            self.urgent_ended = Some(now);
        }
        self.admit_all(now, admitted);
        self.check_invariants();
    }

    /// A waiter gives up; nothing happens if it has a place already.
    pub(super) fn on_leave(
        &mut self,
        now: Duration,
        class: IoClass,
        ticket: Ticket,
        admitted: &mut Admitted,
    ) {
        let waiting = &mut self.classes[class.index()].waiting;
        if let Ok(at) = waiting.binary_search_by_key(&ticket, |waiting| waiting.ticket) {
            waiting.remove(at);
            // Those behind it may be smaller, or it was the last urgent one.
            self.admit_all(now, admitted);
        }
        self.check_invariants();
    }

    /// From now on the checkpoint is late, or is not: late, it gets more beside what is urgent. Who waits has an operation of
    /// its class in flight, whose end is soon enough to look again.
    pub(super) fn hasten(&mut self, hastened: bool) {
        self.hastened = hastened;
    }

    /// What a class did and does.
    pub(super) fn counts(&self, class: IoClass) -> IoCounts {
        let state = &self.classes[class.index()];
        IoCounts {
            in_flight: state.in_flight,
            in_flight_bytes: state.in_flight_bytes,
            waiting: state.waiting.len(),
            operations: state.operations,
            bytes: state.bytes,
        }
    }

    /// Whether patient classes have to hold back.
    pub(super) fn is_contended(&self, now: Duration) -> bool {
        let busy = |class: &IoClass| {
            let state = &self.classes[class.index()];
            state.in_flight > 0 || !state.waiting.is_empty()
        };
        IoClass::ALL.iter().filter(|class| class.is_urgent()).any(busy)
            || self.urgent_ended.is_some_and(|ended| now.saturating_sub(ended) < QUIET_AFTER_URGENT)
    }

    fn admit_all(&mut self, now: Duration, admitted: &mut Admitted) {
        for class in IoClass::ALL {
            self.admit(now, class, admitted);
        }
    }

    fn admit(&mut self, now: Duration, class: IoClass, admitted: &mut Admitted) {
        let contended = !class.is_urgent() && self.is_contended(now);
        let hastened = self.hastened && class == IoClass::Checkpoint;
        let state = &mut self.classes[class.index()];
        let cap = match contended {
            false => state.caps.full,
            true if hastened => state.caps.hastened(),
            true => state.caps.contended,
        };
        while let Some(first) = state.waiting.front().copied() {
            if !state.fits(first.bytes, cap) {
                break;
            }
            state.waiting.pop_front();
            state.in_flight += 1;
            state.in_flight_bytes = state.in_flight_bytes.saturating_add(first.bytes);
            state.operations += 1;
            state.bytes = state.bytes.saturating_add(first.bytes);
            admitted.push(first.ticket);
        }
    }

    /// What must hold between any two events.
    fn check_invariants(&self) {
        for state in &self.classes {
            let full = state.caps.full;
            debug_assert!(state.in_flight <= full.operations.max(1), "more operations than the cap");
            debug_assert!(
                state.in_flight <= 1 || state.in_flight_bytes <= full.bytes,
                "more bytes than the cap"
            );
            debug_assert!(state.waiting.is_empty() || state.in_flight > 0, "a waiter that nothing will wake");
            debug_assert!(state.waiting.iter().is_sorted_by_key(|waiting| waiting.ticket), "out of order");
        }
    }
}

#[cfg(test)]
#[path = "admission/tests.rs"]
mod tests;

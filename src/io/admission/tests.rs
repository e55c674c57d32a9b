//! Admission: exact answers for single rules, and random events against what must hold after each.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Caps small enough to be reached: urgent 3 operations or 100 bytes, patient the same, contended 2 or 40.
fn small(class: IoClass) -> IoCaps {
    let full = IoCap { operations: 3, bytes: 100 };
    IoCaps { full, contended: if class.is_urgent() { full } else { IoCap { operations: 2, bytes: 40 } } }
}

struct Test {
    admission: Admission,
    now: Duration,
}

impl Test {
    fn new() -> Self {
        Self { admission: Admission::new(small), now: MS }
    }

    fn ask(&mut self, class: IoClass, bytes: u64) -> (Ticket, Admitted) {
        let mut admitted = Admitted::new();
        let ticket = self.admission.on_ask(self.now, class, bytes, &mut admitted);
        (ticket, admitted)
    }

    /// Asks, and expects a place at once or not.
    fn asks(&mut self, class: IoClass, bytes: u64, at_once: bool) -> Ticket {
        let (ticket, admitted) = self.ask(class, bytes);
        assert_eq!(admitted, if at_once { vec![ticket] } else { vec![] });
        ticket
    }

    fn done(&mut self, class: IoClass, bytes: u64) -> Admitted {
        let mut admitted = Admitted::new();
        self.admission.on_done(self.now, class, bytes, &mut admitted);
        admitted
    }

    fn leave(&mut self, class: IoClass, ticket: Ticket) -> Admitted {
        let mut admitted = Admitted::new();
        self.admission.on_leave(self.now, class, ticket, &mut admitted);
        admitted
    }
}

#[test]
fn operations_are_bounded_and_served_in_order() {
    let mut test = Test::new();
    for _ in 0..3 {
        test.asks(IoClass::Journal, 1, true);
    }
    let fourth = test.asks(IoClass::Journal, 1, false);
    let fifth = test.asks(IoClass::Journal, 1, false);
    test.asks(IoClass::Bypass, 1, true);
    assert_eq!(test.done(IoClass::Journal, 1), [fourth]);
    assert_eq!(test.done(IoClass::Bypass, 1), []);
    assert_eq!(test.done(IoClass::Journal, 1), [fifth]);
    let counts = test.admission.counts(IoClass::Journal);
    let expected = IoCounts { in_flight: 3, in_flight_bytes: 3, waiting: 0, operations: 5, bytes: 5 };
    assert_eq!(counts, expected);
}

#[test]
fn bytes_are_bounded_and_a_small_one_does_not_overtake() {
    let mut test = Test::new();
    test.asks(IoClass::ColdRead, 60, true);
    let large = test.asks(IoClass::ColdRead, 50, false);
    let small = test.asks(IoClass::ColdRead, 1, false);
    assert_eq!(test.done(IoClass::ColdRead, 60), [large, small]);
}

#[test]
fn a_late_checkpoint_gets_more_beside_the_urgent_and_nobody_else_does() {
    let mut test = Test::new();
    test.asks(IoClass::Journal, 1, true);
    test.admission.hasten(true);
    test.asks(IoClass::Checkpoint, 40, true);
    test.asks(IoClass::Checkpoint, 60, true);
    let third = test.asks(IoClass::Checkpoint, 1, false);
    test.asks(IoClass::ColdRead, 40, true);
    test.asks(IoClass::ColdRead, 1, false);
    test.admission.hasten(false);
    assert_eq!(test.done(IoClass::Checkpoint, 40), [], "60 are in flight, and 40 are what it has again");
    assert_eq!(test.done(IoClass::Checkpoint, 60), [third]);
}

#[test]
fn what_is_larger_than_the_cap_goes_alone() {
    let mut test = Test::new();
    test.asks(IoClass::ColdRead, 1, true);
    let huge = test.asks(IoClass::ColdRead, 1_000, false);
    let after = test.asks(IoClass::ColdRead, 1, false);
    assert_eq!(test.done(IoClass::ColdRead, 1), [huge]);
    assert_eq!(test.done(IoClass::ColdRead, 1_000), [after]);
}

#[test]
fn patient_classes_hold_back_while_something_urgent_is_in_flight_and_a_moment_longer() {
    for urgent in [IoClass::Journal, IoClass::Bypass, IoClass::TailRead] {
        for patient in [IoClass::ColdRead, IoClass::Checkpoint, IoClass::Compaction] {
            let mut test = Test::new();
            test.asks(urgent, 1, true);
            test.asks(patient, 20, true);
            test.asks(patient, 20, true);
            let third = test.asks(patient, 20, false);
            let fourth = test.asks(patient, 20, false);
            assert_eq!(test.done(urgent, 1), [], "the quiet time has begun");
            test.now += QUIET_AFTER_URGENT - MS;
            assert_eq!(test.done(patient, 20), [third]);
            test.now += MS;
            let (fifth, admitted) = test.ask(patient, 20);
            assert_eq!(admitted, [fourth], "the quiet time is over");
            assert_eq!(test.done(patient, 20), [fifth]);
        }
    }
}

#[test]
fn patient_classes_go_on_one_by_one_however_large() {
    let mut test = Test::new();
    test.asks(IoClass::Journal, 1, true);
    test.asks(IoClass::Compaction, 100, true);
    let second = test.asks(IoClass::Compaction, 100, false);
    assert_eq!(test.done(IoClass::Compaction, 100), [second]);
}

#[test]
fn patient_classes_do_not_hold_back_each_other() {
    let mut test = Test::new();
    for class in [IoClass::ColdRead, IoClass::Checkpoint, IoClass::Compaction] {
        for _ in 0..3 {
            test.asks(class, 33, true);
        }
    }
}

#[test]
fn a_waiter_that_leaves_makes_way() {
    let mut test = Test::new();
    test.asks(IoClass::ColdRead, 60, true);
    let large = test.asks(IoClass::ColdRead, 90, false);
    let small = test.asks(IoClass::ColdRead, 10, false);
    assert_eq!(test.leave(IoClass::ColdRead, large), [small]);
    assert_eq!(test.leave(IoClass::ColdRead, large), [], "it is gone already");
    assert_eq!(test.leave(IoClass::ColdRead, small), [], "it has a place, which it gives back by being done");
    assert_eq!(test.admission.counts(IoClass::ColdRead).in_flight, 2);
}

#[derive(Clone, Debug)]
enum Event {
    Ask(IoClass, u64),
    /// Ends the n-th of those in flight.
    Done(usize),
    /// The n-th of those waiting leaves.
    Leave(usize),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let class = prop::sample::select(IoClass::ALL.to_vec());
    let bytes = prop_oneof![8 => 1..45u64, 1 => 90..300u64];
    let event = prop_oneof![
        5 => (class, bytes).prop_map(|(class, bytes)| Event::Ask(class, bytes)),
        4 => any::<usize>().prop_map(Event::Done),
        1 => any::<usize>().prop_map(Event::Leave),
        1 => (1..15u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..200)
}

/// What the outside knows: every ticket with its class and size, those in flight and those waiting.
#[derive(Default)]
struct Outside {
    flying: BTreeMap<Ticket, (IoClass, u64)>,
    waiting: BTreeMap<Ticket, (IoClass, u64)>,
    urgent_ended: Option<Duration>,
}

impl Outside {
    fn load(&self, class: IoClass) -> (u32, u64) {
        let of_class = self.flying.values().filter(|(other, _)| *other == class);
        of_class.fold((0, 0), |(operations, bytes), (_, more)| (operations + 1, bytes + more))
    }

    /// Whether patient classes had to hold back, going by what is in flight now.
    fn is_contended(&self, now: Duration) -> bool {
        let mut known = self.flying.values().chain(self.waiting.values());
        known.any(|(class, _)| class.is_urgent())
            || self.urgent_ended.is_some_and(|ended| now - ended < QUIET_AFTER_URGENT)
    }

    fn take(&mut self, now: Duration, admitted: Admitted) {
        for ticket in admitted {
            let (class, bytes) = self.waiting.remove(&ticket).expect("only who waits is admitted, and once");
            let earlier = self.waiting.iter().find(|(other, (of, _))| *of == class && **other < ticket);
            assert_eq!(earlier, None, "nobody overtakes within a class");
            self.flying.insert(ticket, (class, bytes));
            let (operations, in_all) = self.load(class);
            let caps = small(class);
            let cap = if self.is_contended(now) { caps.contended } else { caps.full };
            assert!(operations <= cap.operations, "{operations} of {class:?}");
            assert!(operations == 1 || in_all <= cap.bytes, "{in_all} bytes of {class:?}");
        }
        for class in IoClass::ALL {
            let waits = self.waiting.values().any(|(other, _)| *other == class);
            assert!(!waits || self.load(class).0 > 0, "{class:?} waits for nothing");
        }
    }
}

proptest! {
    #[test]
    fn caps_order_and_progress_hold_in_any_order_of_events(events in events()) {
        let mut test = Test::new();
        let mut outside = Outside::default();
        for event in events {
            let admitted = match event {
                Event::Ask(class, bytes) => {
                    let (ticket, admitted) = test.ask(class, bytes);
                    outside.waiting.insert(ticket, (class, bytes));
                    admitted
                }
                Event::Done(which) if !outside.flying.is_empty() => {
                    let ticket = *outside.flying.keys().nth(which % outside.flying.len()).expect("one of them");
                    end(&mut test, &mut outside, ticket)
                }
                Event::Leave(which) if !outside.waiting.is_empty() => {
                    let ticket = *outside.waiting.keys().nth(which % outside.waiting.len()).expect("one of them");
                    let (class, _) = outside.waiting.remove(&ticket).expect("just found");
                    test.leave(class, ticket)
                }
                Event::Done(_) | Event::Leave(_) => Admitted::new(),
                Event::Pass(by_ms) => {
                    test.now += Duration::from_millis(by_ms);
                    Admitted::new()
                }
            };
            outside.take(test.now, admitted);
            for class in IoClass::ALL {
                let counts = test.admission.counts(class);
                prop_assert_eq!((counts.in_flight, counts.in_flight_bytes), outside.load(class));
            }
        }
        // With nobody asking any more, everyone gets a place in the end, also without any time passing.
        while let Some(ticket) = outside.flying.keys().next().copied() {
            let admitted = end(&mut test, &mut outside, ticket);
            outside.take(test.now, admitted);
        }
        prop_assert!(outside.waiting.is_empty(), "left waiting: {:?}", outside.waiting);
    }
}

fn end(test: &mut Test, outside: &mut Outside, ticket: Ticket) -> Admitted {
    let (class, bytes) = outside.flying.remove(&ticket).expect("it is in flight");
    if class.is_urgent() {
        outside.urgent_ended = Some(test.now);
    }
    test.done(class, bytes)
}

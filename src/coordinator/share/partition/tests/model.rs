//! Any order of events against a model that keeps each record by itself.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::coordinator::share::batch::overlay;

const RULES: ShareRules = ShareRules { lock_ms: 100, deliveries_max: 4, locks_max: 24 };

#[derive(Clone, Debug)]
enum Event {
    Append { hole: i64, records: i64 },
    Fetch { member: usize, records_max: u32, part_records: u32, exact: bool, batches: usize },
    Acknowledge { member: usize, from: i64, records: i64, types: Vec<AckType> },
    Time(i64),
    Release(usize),
    LogStart(i64),
    Take,
    Written(bool),
    Restart,
}

#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Available,
    Acquired(usize, i64),
    Settling(usize, i64, DeliveryState),
    Done(DeliveryState),
}

#[derive(Clone, Debug, PartialEq)]
struct Record {
    fate: Fate,
    deliveries: i16,
    /// Settled by the write under way, not by the next one.
    taken: bool,
}

struct World {
    real: SharePartition,
    log: Vec<(Offset, Offset)>,
    log_end: i64,
    log_start: i64,
    now: i64,
    /// The records from the start to the end, by offset.
    records: BTreeMap<i64, Record>,
    start: i64,
    stored: Read,
    write: Option<Write>,
    /// Accepted or rejected for good: written.
    done: BTreeSet<i64>,
}

impl World {
    fn new() -> Self {
        let stored = Read { state_epoch: 1, start: Offset(0), batches: vec![] };
        Self {
            real: SharePartition::load(&stored, Offset(0), 0),
            log: vec![],
            log_end: 0,
            log_start: 0,
            now: 0,
            records: BTreeMap::new(),
            start: 0,
            stored,
            write: None,
            done: BTreeSet::new(),
        }
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Append { hole, records } => {
                let first = self.log_end + hole;
                self.log.push((Offset(first), Offset(first + records - 1)));
                self.log_end = first + records;
            }
            Event::Fetch { member, records_max, part_records, exact, batches } => {
                self.fetch(member, AcquireLimits { records_max, part_records, exact }, batches);
            }
            Event::Acknowledge { member, from, records, types } => {
                self.acknowledge(member, from, records, types)
            }
            Event::Time(ms) => {
                self.now += ms;
                self.real.on_time(TimestampMs(self.now), &RULES);
                let now = self.now;
                self.take_back(|_, until| until <= now);
            }
            Event::Release(member) => {
                self.real.release(&name(member), &RULES);
                self.take_back(|owner, _| owner == member);
            }
            Event::LogStart(records) => self.move_log_start(records),
            Event::Take => self.take(),
            Event::Written(written) => self.written(written),
            Event::Restart => self.restart(),
        }
        self.advance();
        self.compare();
    }

    fn fetch(&mut self, member: usize, limits: AcquireLimits, count: usize) {
        let from = self.real.next_fetch().0;
        let available = self.records.iter().find(|(_, record)| record.fate == Fate::Available);
        assert_eq!(from, available.map_or(self.end(), |(offset, _)| *offset));
        let readable = self.log.iter().filter(|(_, last)| last.0 >= from && last.0 >= self.log_start);
        let batches: Vec<(Offset, Offset)> = readable.take(count).copied().collect();
        let free = (self.end() - self.start) < i64::from(RULES.locks_max);
        let fetched = Fetched { from: Offset(from), batches: &batches };
        let acquired = self.real.acquire(TimestampMs(self.now), &name(member), &fetched, limits, &RULES);
        let Some((base, _)) = batches.first() else {
            assert!(acquired.is_empty());
            return;
        };
        for offset in from..base.0.min(self.end()) {
            if let Some(record) = self.records.get_mut(&offset)
                && record.fate == Fate::Available
            {
                record.fate = Fate::Done(DeliveryState::Archived);
            }
        }
        let again = self.records.contains_key(&from);
        let moved = self.real.next_fetch().0 != from;
        assert!(moved || !(free || again), "there was something to acquire");
        if self.records.is_empty() {
            self.start = self.start.max(acquired.first().map_or(self.start, |one| one.first.0));
        }
        let count: i64 = acquired.iter().map(Acquired::records).sum();
        assert!(!limits.exact || count <= i64::from(limits.records_max));
        for one in &acquired {
            self.acquire(member, one, &batches);
        }
    }

    fn acquire(&mut self, member: usize, one: &Acquired, batches: &[(Offset, Offset)]) {
        for missing in self.end()..one.first.0 {
            assert!(!batches.iter().any(|(first, last)| first.0 <= missing && missing <= last.0));
            let archived = Fate::Done(DeliveryState::Archived);
            self.records.insert(missing, Record { fate: archived, deliveries: 0, taken: false });
        }
        for offset in one.first.0..=one.last.0 {
            assert!(!self.done.contains(&offset), "offset {offset} was done with");
            let fresh = Record { fate: Fate::Available, deliveries: 0, taken: false };
            let record = self.records.entry(offset).or_insert(fresh);
            assert_eq!(record.fate, Fate::Available, "offset {offset}");
            record.fate = Fate::Acquired(member, self.now + i64::from(RULES.lock_ms));
            record.deliveries += 1;
            assert_eq!(record.deliveries, one.deliveries);
            assert!(record.deliveries <= RULES.deliveries_max);
        }
    }

    fn acknowledge(&mut self, member: usize, from: i64, records: i64, types: Vec<AckType>) {
        let first = (self.start + from).max(0);
        let types: Vec<AckType> = match types.len() {
            1 => types,
            _ => types.iter().cycle().take(records as usize).copied().collect(),
        };
        let last = first + records - 1;
        let batch = AckBatch { first: Offset(first), last: Offset(last), types: types.clone() };
        let answer = self.real.acknowledge(TimestampMs(self.now), &name(member), &[batch], &RULES);
        let owned = |offset: i64| {
            let record = self.records.get(&offset);
            offset < self.start
                || matches!(record, Some(Record { fate: Fate::Acquired(owner, _), .. }) if *owner == member)
        };
        if !(first..=last).all(owned) {
            assert!(answer.is_err(), "{first}..={last} is not all with {member}");
            return;
        }
        let mut change = false;
        for offset in first.max(self.start)..=last {
            let kind = if types.len() == 1 { types[0] } else { types[(offset - first) as usize] };
            let record = self.records.get_mut(&offset).unwrap();
            let Fate::Acquired(owner, until) = record.fate else { unreachable!() };
            record.taken = false;
            record.fate = match kind {
                AckType::Accept => Fate::Settling(owner, until, DeliveryState::Acknowledged),
                AckType::Reject | AckType::Gap => Fate::Settling(owner, until, DeliveryState::Archived),
                AckType::Release => Fate::Settling(owner, until, after_release(record.deliveries, &RULES)),
                AckType::Renew => Fate::Acquired(owner, self.now + i64::from(RULES.lock_ms)),
            };
            change |= kind != AckType::Renew;
        }
        assert_eq!(answer.unwrap().is_some(), change);
    }

    fn take_back(&mut self, ended: impl Fn(usize, i64) -> bool) {
        for record in self.records.values_mut() {
            if let Fate::Acquired(owner, until) = record.fate
                && ended(owner, until)
            {
                record.fate = fate(after_release(record.deliveries, &RULES));
            }
        }
    }

    fn move_log_start(&mut self, records: i64) {
        self.log_start = (self.log_start + records).min(self.log_end);
        self.real.on_log_start(Offset(self.log_start));
        if self.log_start > self.start {
            self.records = self.records.split_off(&self.log_start);
            self.start = self.log_start;
        }
    }

    fn take(&mut self) {
        let write = self.real.take_write();
        if self.write.is_some() {
            assert_eq!(write, None, "one at a time");
            return;
        }
        if write.is_some() {
            for record in self.records.values_mut() {
                record.taken |= matches!(record.fate, Fate::Settling(..));
            }
        }
        self.write = write;
    }

    fn written(&mut self, written: bool) {
        let Some(write) = self.write.take() else {
            assert!(self.real.on_written(written).is_empty());
            return;
        };
        self.real.on_written(written);
        if written {
            self.stored.start = write.start;
            self.stored.batches = overlay(&self.stored.batches, &write.batches, write.start);
        }
        for (offset, record) in &mut self.records {
            let Fate::Settling(owner, until, to) = record.fate else { continue };
            if !record.taken {
                continue;
            }
            if written && to.is_terminal() {
                self.done.insert(*offset);
            }
            record.fate = if written { fate(to) } else { Fate::Acquired(owner, until) };
        }
    }

    fn restart(&mut self) {
        self.write = None;
        self.real = SharePartition::load(&self.stored, Offset(0), 1);
        self.real.on_log_start(Offset(self.log_start));
        self.start = self.stored.start.0.max(self.log_start);
        self.records.clear();
        for batch in self.stored.batches.iter().filter(|batch| batch.last.0 >= self.start) {
            for offset in self.end()..=batch.last.0 {
                let known = offset >= batch.first.0;
                let (fate, deliveries) =
                    if known { (fate(batch.state), batch.deliveries) } else { (Fate::Available, 0) };
                self.records.insert(offset, Record { fate, deliveries, taken: false });
            }
        }
        for offset in &self.done {
            let gone = *offset < self.start;
            let terminal =
                self.records.get(offset).is_some_and(|record| matches!(record.fate, Fate::Done(_)));
            assert!(gone || terminal, "offset {offset} was done with before the restart");
        }
    }

    fn end(&self) -> i64 {
        self.records.last_key_value().map_or(self.start, |(offset, _)| offset + 1)
    }

    fn advance(&mut self) {
        while let Some(front) = self.records.first_entry() {
            if !matches!(front.get().fate, Fate::Done(_)) {
                break;
            }
            self.start = front.key() + 1;
            front.remove();
        }
    }

    fn compare(&mut self) {
        self.real.check_invariants();
        assert_eq!((self.real.start().0, self.real.end().0), (self.start, self.end()));
        let spans = self.real.spans.iter().flat_map(|(first, span)| {
            (first.0..=span.last.0).map(move |offset| (offset, span.state.clone(), span.deliveries))
        });
        for (offset, state, deliveries) in spans {
            let record = &self.records[&offset];
            assert_eq!(record.deliveries, deliveries, "offset {offset}");
            let wanted = match &record.fate {
                Fate::Available => matches!(state, State::Available),
                Fate::Acquired(owner, until) => {
                    matches!(state, State::Acquired(lock) if lock.member == name(*owner) && lock.until.0 == *until)
                }
                Fate::Settling(_, _, to) => matches!(state, State::Settling { to: real, .. } if real == *to),
                Fate::Done(done) => state == State::from(*done),
            };
            assert!(wanted, "offset {offset} is {:?}", record.fate);
        }
    }
}

fn fate(state: DeliveryState) -> Fate {
    if state.is_terminal() { Fate::Done(state) } else { Fate::Available }
}

fn name(member: usize) -> MemberId {
    MemberId::from(["a", "b", "c"][member])
}

fn events() -> impl Strategy<Value = Event> {
    use AckType::{Accept, Gap, Reject, Release, Renew};
    let types = prop::sample::select(vec![Accept, Accept, Accept, Release, Reject, Gap, Renew]);
    let fetch = (0usize..3, 1u32..12, 1u32..6, any::<bool>(), 1usize..4).prop_map(
        |(member, records_max, part_records, exact, batches)| Event::Fetch {
            member,
            records_max,
            part_records,
            exact,
            batches,
        },
    );
    let acknowledge = (0usize..3, -2i64..12, 1i64..8, prop::collection::vec(types, 1..4))
        .prop_map(|(member, from, records, types)| Event::Acknowledge { member, from, records, types });
    prop_oneof![
        3 => (0i64..3, 1i64..7).prop_map(|(hole, records)| Event::Append { hole: hole / 2, records }),
        6 => fetch,
        10 => acknowledge,
        2 => (1i64..80).prop_map(Event::Time),
        1 => (0usize..3).prop_map(Event::Release),
        1 => (1i64..5).prop_map(Event::LogStart),
        4 => Just(Event::Take),
        4 => prop::bool::weighted(0.8).prop_map(Event::Written),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_order_of_events_agrees_with_records_kept_one_by_one(events in prop::collection::vec(events(), 1..120)) {
        let mut world = World::new();
        for event in events {
            world.run(event);
        }
    }
}

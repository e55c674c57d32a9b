//! A producer that works until the broker is gone, and goes on after it came back.
//!
//! Key invariant: an idempotent producer sends what was not answered again, and the last batches that were, first and in
//! the same order, so each of its numbers is in the log once. A plain one never sends anything again: what was not answered may be there or not.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;

use crate::admin::{self, NONE};
use crate::chance::Chance;
use crate::ledger::Told;
use crate::requests::{PRODUCE, produce, produced};
use crate::support::Connection;
use crate::values::{Shape, Tag, batch};

/// Batches on their way at once; brokers remember five of each producer and partition.
const IN_FLIGHT_MAX: usize = 4;

/// How a producer works.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// The name in its tags.
    pub writer: u16,
    pub idempotent: bool,
    pub acks: i16,
    /// Of a hundred batches this many are large.
    pub large_percent: u64,
    /// Rests this long after each large batch, so that the test's data stay small.
    pub rest: Duration,
}

/// A batch that was sent.
#[derive(Clone, Debug)]
struct Sent {
    partition: usize,
    first: u64,
    records: u32,
    bytes: Bytes,
}

/// One producer with what it knows.
pub struct Producer {
    pub habit: Habit,
    producer_id: Option<i64>,
    chance: Chance,
    /// The next number of each partition.
    next: Vec<u64>,
    /// The first numbers of each connection, by partition: before them numbers may be missing.
    pub cuts: Vec<BTreeSet<u64>>,
    unanswered: VecDeque<Sent>,
    /// The last batch that was acknowledged in each partition.
    answered: Vec<Option<Sent>>,
}

/// What a broker may do while producers work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is killed: until then nothing is refused.
    Kill,
    /// It is stopped: it may refuse what comes meanwhile.
    Stop,
}

impl Producer {
    pub fn new(connection: &mut Connection, habit: Habit, partitions: usize, chance: Chance) -> Self {
        let producer_id = habit.idempotent.then(|| admin::producer_id(connection));
        let cuts = vec![BTreeSet::new(); partitions];
        let next = vec![0; partitions];
        let (unanswered, answered) = (VecDeque::new(), vec![None; partitions]);
        Self { habit, producer_id, chance, next, cuts, unanswered, answered }
    }

    /// Produces until the broker is gone or `done`; returns what was acknowledged.
    pub fn work(&mut self, address: SocketAddr, topic: &str, ending: Ending, done: &AtomicBool) -> Vec<Told> {
        let mut told = Vec::new();
        if self.habit.idempotent {
            // As if the last answers had been lost on the way: they must come again, with the same offsets.
            for sent in self.answered.iter_mut().filter_map(Option::take) {
                self.unanswered.push_front(sent);
            }
        } else {
            self.unanswered.clear();
        }
        for (cuts, next) in self.cuts.iter_mut().zip(&self.next) {
            cuts.insert(*next);
        }
        let Ok(mut connection) = Connection::try_to(address) else { return told };
        let repeated: Vec<Sent> = self.unanswered.iter().cloned().collect();
        if !repeated.iter().all(|sent| self.send(&mut connection, topic, sent)) {
            return told;
        }
        loop {
            while self.unanswered.len() < IN_FLIGHT_MAX && !done.load(Ordering::Relaxed) {
                let sent = self.another();
                self.unanswered.push_back(sent.clone());
                if !self.send(&mut connection, topic, &sent) {
                    return told;
                }
            }
            let Some(oldest) = self.unanswered.front().cloned() else { return told };
            let Some((_, response)) = connection.try_receive::<ProduceRequest>(PRODUCE) else { return told };
            let answer = produced(&response);
            if answer.error_code != NONE {
                let (code, message) = (answer.error_code, &answer.error_message);
                assert!(ending == Ending::Stop, "a producer was refused with error {code}: {message:?}");
                return told;
            }
            self.unanswered.pop_front();
            self.answered[oldest.partition] = Some(oldest.clone());
            let tags = (oldest.first..).map(|number| Tag::new(self.habit.writer, number));
            let offsets = answer.base_offset..answer.base_offset + i64::from(oldest.records);
            told.extend(offsets.zip(tags).map(|(offset, tag)| (oldest.partition as i32, offset, tag)));
            if oldest.records > 1 {
                std::thread::sleep(self.habit.rest);
            }
        }
    }

    fn send(&self, connection: &mut Connection, topic: &str, sent: &Sent) -> bool {
        let request = produce(topic, sent.partition as i32, sent.bytes.clone(), self.habit.acks);
        connection.try_send(&request, PRODUCE).is_ok()
    }

    /// A new batch for some partition.
    fn another(&mut self) -> Sent {
        let partition = self.chance.between(0, self.next.len() as u64) as usize;
        let large = self.chance.percent(self.habit.large_percent);
        let shape = if large { Shape::LARGE } else { Shape::SINGLE };
        let first = self.next[partition];
        self.next[partition] += u64::from(shape.records);
        let bytes = batch(Tag::new(self.habit.writer, first), shape, self.producer_id);
        Sent { partition, first, records: shape.records, bytes }
    }
}

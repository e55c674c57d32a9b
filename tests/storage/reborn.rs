//! A topic that is deleted and created again under the same name, again and again, while the broker dies.
//!
//! Key invariant: what was answered holds: a deleted topic stays away, and nothing of one incarnation is in the next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, ProduceRequest};
use uuid::Uuid;

use crate::admin::{self, NONE, UNKNOWN_TOPIC_OR_PARTITION, is_passing};
use crate::chance::Chance;
use crate::ledger::Partition;
use crate::producer::Ending;
use crate::requests::{PRODUCE, produce, produced};
use crate::support::Connection;
use crate::values::{Shape, Tag, batch};

const TOPIC: &str = "reborn";
const PARTITIONS: i32 = 2;
/// Writers of its records: the first incarnation is the first after this one.
const WRITER_BASE: u16 = 1_000;
/// Batches that an incarnation gets at most.
const BATCHES_MAX: u64 = 12;

/// What is known of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Being {
    Absent,
    /// It was asked for, and nothing was answered.
    Conceived,
    There(Uuid),
    /// Its deletion was asked for, and nothing was answered.
    Going(Uuid),
}

/// The topic with its one client.
pub struct Reborn {
    chance: Chance,
    being: Being,
    incarnation: u16,
    partitions: Vec<Partition>,
    next: u64,
    past: Vec<Uuid>,
    /// Topics that came to be.
    pub lives: u32,
}

impl Reborn {
    pub fn new(chance: Chance) -> Self {
        let partitions = vec![Partition::default(); PARTITIONS as usize];
        Self { chance, being: Being::Absent, incarnation: 0, partitions, next: 0, past: vec![], lives: 0 }
    }

    /// Finds out what became of it and holds it against what was answered. Nobody may be at work.
    pub fn verify(&mut self, connection: &mut Connection) {
        let described = admin::describe(connection, TOPIC);
        let found = (described.error_code == NONE).then_some(described.topic_id);
        assert!(found.is_some() || described.error_code == UNKNOWN_TOPIC_OR_PARTITION);
        match (self.being, found) {
            (Being::Absent | Being::Conceived, None) => self.being = Being::Absent,
            (Being::Conceived, Some(id)) => self.born(id),
            (Being::Absent, Some(id)) => panic!("the deleted topic is back, with id {id}"),
            (Being::There(id) | Being::Going(id), Some(other)) => {
                assert_eq!(id, other, "the topic's id");
                self.being = Being::There(id);
            }
            (Being::Going(id), None) => self.gone(id),
            (Being::There(id), None) => panic!("the topic {id} is not there"),
        }
        if found.is_some() {
            for (index, partition) in self.partitions.iter_mut().enumerate() {
                let read = partition.verify(connection, TOPIC, index as i32);
                let own = WRITER_BASE + self.incarnation;
                let foreign = read.iter().find(|(_, tag)| tag.writer() != own);
                assert_eq!(foreign, None, "a record of another topic of that name");
            }
        }
    }

    fn born(&mut self, id: Uuid) {
        assert!(!self.past.contains(&id), "a new topic has the id of a deleted one");
        self.being = Being::There(id);
        self.lives += 1;
        self.incarnation += 1;
        self.next = 0;
        self.partitions = vec![Partition::default(); PARTITIONS as usize];
    }

    fn gone(&mut self, id: Uuid) {
        self.being = Being::Absent;
        self.past.push(id);
    }

    /// Creates, fills and deletes it until the broker is gone or `done`.
    pub fn work(&mut self, address: SocketAddr, ending: Ending, done: &AtomicBool) {
        let Ok(mut connection) = Connection::try_to(address) else { return };
        while !done.load(Ordering::Relaxed) {
            let goes_on = match self.being {
                Being::There(id) => {
                    let batches = self.chance.between(0, BATCHES_MAX);
                    (0..batches).all(|_| self.fill(&mut connection, ending).is_some())
                        && self.delete(&mut connection, id, ending).is_some()
                }
                _ => self.create(&mut connection, ending).is_some(),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// `None` when the broker is gone.
    fn create(&mut self, connection: &mut Connection, ending: Ending) -> Option<()> {
        self.being = Being::Conceived;
        connection.try_send(&admin::creation(TOPIC, PARTITIONS, &[]), 7).ok()?;
        let (_, response) = connection.try_receive::<CreateTopicsRequest>(7)?;
        let answer = &response.topics[0];
        accept(answer.error_code, ending)?;
        self.born(answer.topic_id);
        Some(())
    }

    fn delete(&mut self, connection: &mut Connection, id: Uuid, ending: Ending) -> Option<()> {
        self.being = Being::Going(id);
        connection.try_send(&admin::deletion(TOPIC), 6).ok()?;
        let (_, response) = connection.try_receive::<DeleteTopicsRequest>(6)?;
        accept(response.responses[0].error_code, ending)?;
        self.gone(id);
        Some(())
    }

    /// One batch, acknowledged. A partition that is still being opened is asked again.
    fn fill(&mut self, connection: &mut Connection, ending: Ending) -> Option<()> {
        let partition = self.chance.between(0, PARTITIONS as u64) as i32;
        let shape = if self.chance.percent(10) { Shape::LARGE } else { Shape::SINGLE };
        let first = Tag::new(WRITER_BASE + self.incarnation, self.next);
        self.next += u64::from(shape.records);
        let request = produce(TOPIC, partition, batch(first, shape, None), -1);
        let base = loop {
            connection.try_send(&request, PRODUCE).ok()?;
            let (_, response) = connection.try_receive::<ProduceRequest>(PRODUCE)?;
            let answer = produced(&response);
            if answer.error_code == NONE {
                break answer.base_offset;
            }
            if !is_passing(answer.error_code) || ending == Ending::Stop {
                accept(answer.error_code, ending)?;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        for n in 0..u64::from(shape.records) {
            let tag = Tag::new(first.writer(), first.number() + n);
            self.partitions[partition as usize].tell(base + n as i64, tag);
        }
        Some(())
    }
}

/// Whether it was done. A broker that stops may refuse, and then nobody knows.
fn accept(code: i16, ending: Ending) -> Option<()> {
    assert!(code == NONE || ending == Ending::Stop, "refused with error {code}");
    (code == NONE).then_some(())
}

//! The committed offsets of one group in memory.
//!
//! Key invariant: topics are in the order of their names and partitions in that of their numbers, each once; no topic is
//! without partitions. There may be millions of offsets, so a common one (no metadata, no expiry of its own) is 32 bytes: what
//! few have is behind a pointer, what a topic's partitions share stands with the topic.

use std::sync::Arc;

use crate::coordinator::records::offsets::OffsetValue;
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

/// Up to this many entries a list grows one by one: most groups have few topics, and most topics few partitions.
const EXACT_GROWTH_MAX: usize = 8;

/// The committed offsets of a group.
#[derive(Debug, Default)]
pub struct CommittedOffsets {
    topics: Vec<TopicOffsets>,
}

#[derive(Debug)]
struct TopicOffsets {
    name: Arc<str>,
    /// Of the first commit; an offset with another one has it in its `rest`.
    id: TopicId,
    partitions: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    committed_at: TimestampMs,
    rest: Option<Box<Rest>>,
    partition: PartitionIndex,
    leader_epoch: LeaderEpoch,
}

/// What few offsets have.
#[derive(Debug)]
struct Rest {
    metadata: Option<Arc<str>>,
    expires_at: Option<TimestampMs>,
    topic_id: TopicId,
}

const _: () = assert!(size_of::<Entry>() == 32, "an offset is 32 bytes");

/// One committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedOffset<'a> {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// `None` is the empty text.
    pub metadata: Option<&'a Arc<str>>,
    pub committed_at: TimestampMs,
    pub expires_at: Option<TimestampMs>,
    pub topic_id: TopicId,
}

impl CommittedOffset<'_> {
    /// As its record holds it; `empty` stands for metadata that there is none of.
    pub fn value(&self, empty: &Arc<str>) -> OffsetValue {
        OffsetValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.unwrap_or(empty).clone(),
            committed_at: self.committed_at,
            expires_at: self.expires_at,
            topic_id: self.topic_id,
        }
    }
}

impl TopicOffsets {
    fn view<'a>(&self, entry: &'a Entry) -> CommittedOffset<'a> {
        let rest = entry.rest.as_deref();
        CommittedOffset {
            offset: entry.offset,
            leader_epoch: entry.leader_epoch,
            metadata: rest.and_then(|rest| rest.metadata.as_ref()),
            committed_at: entry.committed_at,
            expires_at: rest.and_then(|rest| rest.expires_at),
            topic_id: rest.map_or(self.id, |rest| rest.topic_id),
        }
    }

    fn find(&self, partition: PartitionIndex) -> Result<usize, usize> {
        // Nearly always all partitions are there, each at its own number.
        let guess = usize::try_from(partition.get()).unwrap_or(usize::MAX);
        if self.partitions.get(guess).is_some_and(|entry| entry.partition == partition) {
            return Ok(guess);
        }
        self.partitions.binary_search_by_key(&partition, |entry| entry.partition)
    }
}

impl CommittedOffsets {
    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many offsets are committed.
    pub fn len(&self) -> usize {
        self.topics.iter().map(|topic| topic.partitions.len()).sum()
    }

    /// What is committed for a partition.
    pub fn get(&self, topic: &str, partition: PartitionIndex) -> Option<CommittedOffset<'_>> {
        let topic = &self.topics[self.find(topic).ok()?];
        Some(topic.view(&topic.partitions[topic.find(partition).ok()?]))
    }

    /// All of them, by the names of topics and then by partitions.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, PartitionIndex, CommittedOffset<'_>)> {
        self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |entry| (&topic.name, entry.partition, topic.view(entry)))
        })
    }

    /// The topics that offsets are committed for, by their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.iter().map(|topic| &topic.name)
    }

    /// The offsets of one topic, by partition.
    pub fn of_topic(&self, topic: &str) -> impl Iterator<Item = (PartitionIndex, CommittedOffset<'_>)> {
        let topic = self.find(topic).ok().map(|at| &self.topics[at]);
        topic
            .into_iter()
            .flat_map(|topic| topic.partitions.iter().map(move |entry| (entry.partition, topic.view(entry))))
    }

    /// Sets what is committed for a partition.
    pub fn put(&mut self, topic: &Arc<str>, partition: PartitionIndex, value: &OffsetValue) {
        let at = self.find(topic).unwrap_or_else(|at| {
            let made = TopicOffsets { name: topic.clone(), id: value.topic_id, partitions: Vec::new() };
            insert(&mut self.topics, at, made);
            at
        });
        let topic = &mut self.topics[at];
        let metadata = Some(&value.metadata).filter(|text| !text.is_empty()).cloned();
        let plain = metadata.is_none() && value.expires_at.is_none() && value.topic_id == topic.id;
        let rest = (!plain)
            .then(|| Box::new(Rest { metadata, expires_at: value.expires_at, topic_id: value.topic_id }));
        let entry = Entry {
            offset: value.offset,
            committed_at: value.committed_at,
            rest,
            partition,
            leader_epoch: value.leader_epoch,
        };
        match topic.find(partition) {
            Ok(at) => topic.partitions[at] = entry,
            Err(at) => insert(&mut topic.partitions, at, entry),
        }
    }

    /// Forgets what is committed for a partition; whether there was anything.
    pub fn remove(&mut self, topic: &str, partition: PartitionIndex) -> bool {
        let Ok(at) = self.find(topic) else { return false };
        let topic = &mut self.topics[at];
        let Ok(entry) = topic.find(partition) else { return false };
        topic.partitions.remove(entry);
        if topic.partitions.is_empty() {
            self.topics.remove(at);
        }
        true
    }

    /// What it takes from the heap, in bytes, without names, which are shared.
    pub fn heap_bytes(&self) -> usize {
        let entries = self.topics.iter().map(|topic| {
            let rest = topic.partitions.iter().filter_map(|entry| entry.rest.as_ref());
            let rest =
                rest.map(|rest| size_of::<Rest>() + rest.metadata.as_ref().map_or(0, |text| text.len()));
            topic.partitions.capacity() * size_of::<Entry>() + rest.sum::<usize>()
        });
        self.topics.capacity() * size_of::<TopicOffsets>() + entries.sum::<usize>()
    }

    /// Panics where the order is broken or a topic is empty; run after every event in debug builds.
    pub fn check_invariants(&self) {
        assert!(self.topics.is_sorted_by(|a, b| a.name < b.name), "topics are in order, each once");
        for topic in &self.topics {
            assert!(!topic.partitions.is_empty(), "no topic is without partitions");
            let partitions = &topic.partitions;
            assert!(partitions.is_sorted_by(|a, b| a.partition < b.partition), "partitions are in order");
        }
    }

    fn find(&self, topic: &str) -> Result<usize, usize> {
        self.topics.binary_search_by(|held| (*held.name).cmp(topic))
    }
}

/// Inserts, without the room for four that the first entry of a vector makes.
fn insert<T>(list: &mut Vec<T>, at: usize, item: T) {
    if list.len() < EXACT_GROWTH_MAX {
        list.reserve_exact(1);
    }
    list.insert(at, item);
}

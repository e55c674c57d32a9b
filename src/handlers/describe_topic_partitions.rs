//! DescribeTopicPartitions (KIP-966): topics and their partitions in pages, by name.
//!
//! Key invariant: an answer holds at most as many partitions as the client and the broker allow, and its cursor is
//! where the next answer begins, so that no partition is left out or told twice.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId as WireBroker, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};

use super::Server;
use super::topics::text;
use crate::metadata::{Presentation, TopicImage, topic_name_fault};
use crate::model::{BrokerId, PartitionIndex, TopicPartition};
use crate::protocol::ErrorCode;

/// Partitions in one answer: Kafka's default of `max.request.partition.size.limit`.
const PARTITIONS_MAX: usize = 2_000;
/// Everything that can be done to a topic, as a set of operation codes: read, write, create, delete, alter, describe,
/// describe and alter configs. Without an authorizer everyone may do it.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The set that says nothing.
const NO_OPERATIONS: i32 = i32::MIN;

/// Answers the first page at or after the request's cursor.
pub async fn handle(
    server: &Rc<Server>,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = server.shard().image();
    let wanted = request.response_partition_limit.max(1).unsigned_abs() as usize;
    let mut page = Page::new(wanted.min(PARTITIONS_MAX), *server.presentation());
    let (from, first) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
        None => ("", 0),
    };
    let all = request.topics.is_empty();
    // Kafka's order is that of names, whatever the order of the request.
    let named: BTreeSet<&str> =
        request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= from).collect();
    let lost = !all && request.cursor.is_some() && !named.contains(from);
    if lost || first < 0 {
        return invalid(&request);
    }
    let start = |name: &str| if name == from { first.unsigned_abs() as usize } else { 0 };
    if all {
        for topic in image.topics_from(from) {
            if page.add(&topic.name, Some(topic), start(&topic.name)).is_full() {
                break;
            }
        }
    } else {
        for name in named {
            if page.add(name, image.topic(name).map(|topic| &**topic), start(name)).is_full() {
                break;
            }
        }
    }
    DescribeTopicPartitionsResponse::default().with_topics(page.topics).with_next_cursor(page.next)
}

/// An answer as it fills.
struct Page {
    presentation: Presentation,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Partitions that still fit.
    room: usize,
    next: Option<Cursor>,
}

impl Page {
    fn new(room: usize, presentation: Presentation) -> Self {
        Self { presentation, topics: Vec::new(), room, next: None }
    }

    fn is_full(&self) -> bool {
        self.next.is_some()
    }

    /// Adds what fits of a topic's partitions from `start` on, or that it does not exist.
    fn add(&mut self, name: &str, topic: Option<&TopicImage>, start: usize) -> &mut Self {
        if self.room == 0 {
            self.stop_at(name, 0);
            return self;
        }
        let Some(topic) = topic else {
            self.topics.push(unknown(name));
            return self;
        };
        let presentation = &self.presentation;
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .enumerate()
            .skip(start)
            .take(self.room)
            .map(|(index, partition)| {
                let id = TopicPartition { topic_id: topic.id, partition: PartitionIndex(index as i32) };
                let nodes = |brokers: &[BrokerId]| wire(presentation.replicas(brokers, id));
                DescribeTopicPartitionsResponsePartition::default()
                    .with_partition_index(index as i32)
                    .with_leader_id(WireBroker(presentation.replica(partition.leader, id).0))
                    .with_leader_epoch(partition.leader_epoch.0)
                    .with_replica_nodes(nodes(&partition.replicas))
                    .with_isr_nodes(nodes(&partition.in_sync))
                    .with_eligible_leader_replicas(Some(Vec::new()))
                    .with_last_known_elr(Some(Vec::new()))
            })
            .collect();
        let told = start.saturating_add(partitions.len());
        self.room -= partitions.len();
        if told < topic.partitions.len() {
            self.stop_at(name, told);
        }
        self.topics.push(
            answer(name, ErrorCode::None)
                .with_topic_id(topic.id.0)
                .with_is_internal(topic.is_internal())
                .with_partitions(partitions)
                .with_topic_authorized_operations(TOPIC_OPERATIONS),
        );
        self
    }

    fn stop_at(&mut self, name: &str, partition: usize) {
        let cursor = Cursor::default().with_topic_name(TopicName(text(name)));
        self.next = Some(cursor.with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX)));
    }
}

fn wire(nodes: Vec<BrokerId>) -> Vec<WireBroker> {
    nodes.iter().map(|node| WireBroker(node.0)).collect()
}

fn answer(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_name(Some(TopicName(text(name))))
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let code = match topic_name_fault(name) {
        Some(_) => ErrorCode::InvalidTopicException,
        None => ErrorCode::UnknownTopicOrPartition,
    };
    answer(name, code).with_topic_authorized_operations(TOPIC_OPERATIONS)
}

/// A cursor that points nowhere: every topic of the request gets the error.
fn invalid(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = |topic: &kafka_protocol::messages::describe_topic_partitions_request::TopicRequest| {
        answer(&topic.name, ErrorCode::InvalidRequest).with_topic_authorized_operations(NO_OPERATIONS)
    };
    DescribeTopicPartitionsResponse::default().with_topics(request.topics.iter().map(refused).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Command, Image, LogId, Settings};
    use crate::model::TopicId;

    fn image(topics: &[(&str, usize)]) -> Image {
        let broker = BrokerId(1);
        let start = Command::StartBroker {
            broker,
            incarnation: uuid::Uuid::nil(),
            endpoints: Vec::new(),
            rack: None,
        };
        let created = topics.iter().zip(1..).map(|((name, partitions), id)| Command::CreateTopic {
            id: TopicId(uuid::Uuid::from_u128(id)),
            name: (*name).to_owned(),
            overrides: Settings::new(),
            replicas: vec![vec![broker]; *partitions],
        });
        let mut image = Image::default();
        for (command, index) in std::iter::once(start).chain(created).zip(1..) {
            image.apply(LogId { term: 1, index }, &command).expect("the command fits");
        }
        image
    }

    /// Pages of `room` partitions until there is no cursor: (topic, partition).
    fn walk(image: &Image, room: usize) -> Vec<(String, i32)> {
        let (mut from, mut start, mut told) = (String::new(), 0, Vec::new());
        for _ in 0..100 {
            let mut page = Page::new(room, Presentation::whole(BrokerId(1)));
            for topic in image.topics_from(&from) {
                let first = if topic.name == from { start } else { 0 };
                if page.add(&topic.name, Some(topic), first).is_full() {
                    break;
                }
            }
            for topic in &page.topics {
                let name = topic.name.clone().unwrap_or_default().to_string();
                told.extend(
                    topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)),
                );
            }
            let Some(next) = page.next else { return told };
            (from, start) = (next.topic_name.to_string(), next.partition_index as usize);
        }
        panic!("the pages do not end");
    }

    #[test]
    fn pages_tell_every_partition_once() {
        let image = image(&[("a", 3), ("b", 1), ("c", 4)]);
        let all: Vec<(String, i32)> = [("a", 3), ("b", 1), ("c", 4)]
            .into_iter()
            .flat_map(|(name, partitions)| (0..partitions).map(move |index| (name.to_owned(), index)))
            .collect();
        for room in 1..10 {
            assert_eq!(walk(&image, room), all, "{room} partitions in a page");
        }
    }

    #[test]
    fn a_full_page_points_at_the_next_topic_even_if_it_does_not_exist() {
        let image = image(&[("a", 2)]);
        let mut page = Page::new(2, Presentation::whole(BrokerId(1)));
        assert!(!page.add("a", image.topic("a").map(|topic| &**topic), 0).is_full());
        assert!(page.add("b", None, 0).is_full());
        assert_eq!(
            page.next.map(|next| (next.topic_name.to_string(), next.partition_index)),
            Some(("b".to_owned(), 0))
        );
    }

    #[test]
    fn the_operations_are_those_of_a_topic() {
        // Kafka's AclOperation codes: read, write, create, delete, alter, describe, describe configs, alter configs.
        let codes = [3, 4, 5, 6, 7, 8, 10, 11];
        assert_eq!(codes.iter().fold(0, |set, code| set | 1 << code), TOPIC_OPERATIONS);
        assert_eq!(TOPIC_OPERATIONS, 3_576);
    }
}

//! Finds the topic that a request names, by name or by id (KIP-516).

use std::rc::Rc;

use kafka_protocol::protocol::StrBytes;

use super::Server;
use crate::model::{PartitionIndex, TopicId, TopicPartition};
use crate::protocol::ErrorCode;
use crate::shard::Topic;

/// The topic of this name.
pub fn by_name(server: &Server, name: &str) -> Result<Rc<Topic>, ErrorCode> {
    server.shard().topic_named(name).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// The topic of this id.
pub fn by_id(server: &Server, id: TopicId) -> Result<Rc<Topic>, ErrorCode> {
    server.shard().table().topic(id).ok_or(ErrorCode::UnknownTopicId)
}

/// The partition of a topic, if the topic has it.
pub fn partition(topic: &Topic, index: i32) -> Result<TopicPartition, ErrorCode> {
    let partition = PartitionIndex(index);
    match topic.image.partition(partition) {
        Some(_) => Ok(TopicPartition { topic_id: topic.image.id, partition }),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

/// A text of our own as the protocol carries it.
pub fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

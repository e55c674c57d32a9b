//! Share groups (KIP-932): members and assignments, and which share partitions have state.
//!
//! Key invariant: a share group's target records have the layout of a consumer group's; the others have their own.

use bytes::Bytes;

use super::consumer::{MemberState, TopicPartitions};
use super::wire::{Reader, RecordError, Writer};
use crate::model::{PartitionIndex, TopicId};

/// `ShareGroupMemberMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topics: Vec<String>,
}

/// `ShareGroupCurrentMemberAssignmentValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentValue {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Vec<TopicPartitions>,
}

/// Partitions of a topic, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPartitions {
    pub topic_id: TopicId,
    pub topic: String,
    pub partitions: Vec<PartitionIndex>,
}

/// `ShareGroupStatePartitionMetadataValue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePartitionsValue {
    pub initializing: Vec<NamedPartitions>,
    pub initialized: Vec<NamedPartitions>,
    /// Topic ids with their names, whose state is on its way out.
    pub deleting: Vec<(TopicId, String)>,
}

impl MemberValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.optional_text(self.rack_id.as_deref());
        writer.text(&self.client_id);
        writer.text(&self.client_host);
        writer.texts(&self.subscribed_topics);
        writer.end();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let value = Self {
            rack_id: reader.optional_text()?.map(str::to_owned),
            client_id: reader.text()?.to_owned(),
            client_host: reader.text()?.to_owned(),
            subscribed_topics: reader.texts()?,
        };
        reader.end()?;
        Ok(value)
    }
}

impl CurrentValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.i32(self.epoch);
        writer.i32(self.previous_epoch);
        writer.i8(self.state.number());
        TopicPartitions::write_all(&mut writer, &self.assigned);
        writer.end();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let value = Self {
            epoch: reader.i32()?,
            previous_epoch: reader.i32()?,
            state: MemberState::from_number(reader.i8()?),
            assigned: TopicPartitions::read_all(&mut reader)?,
        };
        reader.end()?;
        Ok(value)
    }
}

impl NamedPartitions {
    fn write_all(writer: &mut Writer, topics: &[Self]) {
        writer.list(topics, |writer, topic| {
            writer.topic_id(topic.topic_id);
            writer.text(&topic.topic);
            writer.partitions(&topic.partitions);
            writer.end();
        });
    }

    fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, RecordError> {
        reader.list(|reader| {
            let topic = Self {
                topic_id: reader.topic_id()?,
                topic: reader.text()?.to_owned(),
                partitions: reader.partitions()?,
            };
            reader.end()?;
            Ok(topic)
        })
    }
}

impl StatePartitionsValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        NamedPartitions::write_all(&mut writer, &self.initializing);
        NamedPartitions::write_all(&mut writer, &self.initialized);
        writer.list(&self.deleting, |writer, (id, topic)| {
            writer.topic_id(*id);
            writer.text(topic);
            writer.end();
        });
        writer.end();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let value = Self {
            initializing: NamedPartitions::read_all(&mut reader)?,
            initialized: NamedPartitions::read_all(&mut reader)?,
            deleting: reader.list(|reader| {
                let topic = (reader.topic_id()?, reader.text()?.to_owned());
                reader.end()?;
                Ok(topic)
            })?,
        };
        reader.end()?;
        Ok(value)
    }
}

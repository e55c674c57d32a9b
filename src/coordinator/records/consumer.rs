//! Consumer groups (KIP-848): group, members, target and current assignments, patterns.
//!
//! Key invariant: topics are named by id in assignments and by name in subscriptions.

use bytes::Bytes;

use super::wire::{Reader, RecordError, Writer};
use crate::coordinator::InstanceId;
use crate::model::{PartitionIndex, TimestampMs, TopicId};

/// `ConsumerGroupMetadataValue`, and the same of share groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupValue {
    pub epoch: i32,
    /// Of the subscribed topics: another hash means other topics or partitions; 0 if not known.
    pub metadata_hash: i64,
}

/// `ConsumerGroupPartitionMetadataValue`, of older brokers: that it is there is all that still matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldPartitionMetadata;

/// `ConsumerGroupMemberMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    pub instance_id: Option<InstanceId>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topics: Vec<String>,
    pub subscribed_regex: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<String>,
    /// Of a member that speaks the classic protocol within the group.
    pub classic: Option<ClassicMember>,
}

/// What a member on the classic protocol said when it joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMember {
    pub session_timeout_ms: i32,
    /// Names with the member's own bytes, in its order of preference.
    pub protocols: Vec<(String, Bytes)>,
}

/// `ConsumerGroupTargetAssignmentMetadataValue`, and the same of share groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetValue {
    pub assignment_epoch: i32,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    pub topic_id: TopicId,
    pub partitions: Vec<PartitionIndex>,
}

/// `ConsumerGroupTargetAssignmentMemberValue`, and the same of share groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetMemberValue {
    pub partitions: Vec<TopicPartitions>,
}

/// Where a member is on its way to its target; the numbers are the records'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// 0: it has what it is to have, or all of it that is free.
    Stable,
    /// 1: it is to give partitions up and has not said yet that it did.
    UnrevokedPartitions,
    /// 2: partitions of its target are still with others.
    UnreleasedPartitions,
    /// 127, and every number that is not known: written by a newer broker.
    Unknown,
}

/// `ConsumerGroupCurrentMemberAssignmentValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentValue {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Vec<TopicPartitions>,
    pub pending_revocation: Vec<TopicPartitions>,
}

/// `ConsumerGroupRegularExpressionValue`: the topics that a pattern matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexValue {
    pub topics: Vec<String>,
    /// The version of the metadata that was matched against.
    pub version: i64,
    pub at: TimestampMs,
}

impl GroupValue {
    /// With the hash as a tagged field, as consumer groups have it.
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.i32(self.epoch);
        writer.end_with_field_0(self.metadata_hash != 0, |writer| writer.i64(self.metadata_hash));
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let epoch = reader.i32()?;
        let mut metadata_hash = 0;
        reader.tagged_fields(|tag, field| {
            if tag == 0 {
                metadata_hash = field.i64()?;
            }
            Ok(())
        })?;
        Ok(Self { epoch, metadata_hash })
    }

    /// With the hash as a plain field, as share groups have it.
    pub(super) fn encode_share(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.i32(self.epoch);
        writer.i64(self.metadata_hash);
        writer.end();
        writer.finish()
    }

    pub(super) fn decode_share(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let value = Self { epoch: reader.i32()?, metadata_hash: reader.i64()? };
        reader.end()?;
        Ok(value)
    }
}

impl OldPartitionMetadata {
    /// Of no topics; the broker itself never writes one.
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.list::<()>(&[], |_, _| ());
        writer.end();
        writer.finish()
    }
}

impl MemberValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.optional_text(self.instance_id.as_ref().map(InstanceId::as_str));
        writer.optional_text(self.rack_id.as_deref());
        writer.text(&self.client_id);
        writer.text(&self.client_host);
        writer.texts(&self.subscribed_topics);
        writer.optional_text(self.subscribed_regex.as_deref());
        writer.i32(self.rebalance_timeout_ms);
        writer.optional_text(self.server_assignor.as_deref());
        let left_out = self.classic.as_ref().is_some_and(ClassicMember::is_default);
        writer.end_with_field_0(!left_out, |writer| match &self.classic {
            Some(classic) => classic.write(writer),
            None => writer.i8(0),
        });
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let mut value = Self {
            instance_id: reader.optional_text()?.map(InstanceId::from),
            rack_id: reader.optional_text()?.map(str::to_owned),
            client_id: reader.text()?.to_owned(),
            client_host: reader.text()?.to_owned(),
            subscribed_topics: reader.texts()?,
            subscribed_regex: reader.optional_text()?.map(str::to_owned),
            rebalance_timeout_ms: reader.i32()?,
            server_assignor: reader.optional_text()?.map(str::to_owned),
            classic: Some(ClassicMember::default()),
        };
        reader.tagged_fields(|tag, field| {
            if tag == 0 {
                value.classic = ClassicMember::read(field)?;
            }
            Ok(())
        })?;
        Ok(value)
    }
}

impl ClassicMember {
    /// Kafka leaves this one out and writes that there is none: the other way round from what one would think.
    fn is_default(&self) -> bool {
        self.session_timeout_ms == 0 && self.protocols.is_empty()
    }

    /// A structure in a tagged field stands behind a byte: 1, or 0 for none.
    fn write(&self, writer: &mut Writer) {
        writer.i8(1);
        writer.i32(self.session_timeout_ms);
        writer.list(&self.protocols, |writer, (name, metadata)| {
            writer.text(name);
            writer.blob(metadata);
            writer.end();
        });
        writer.end();
    }

    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, RecordError> {
        if reader.i8()? == 0 {
            return Ok(None);
        }
        let session_timeout_ms = reader.i32()?;
        let protocols = reader.list(|reader| {
            let protocol = (reader.text()?.to_owned(), reader.blob()?);
            reader.end()?;
            Ok(protocol)
        })?;
        reader.end()?;
        Ok(Some(Self { session_timeout_ms, protocols }))
    }
}

impl TargetValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.i32(self.assignment_epoch);
        writer.end();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let value = Self { assignment_epoch: reader.i32()? };
        reader.end()?;
        Ok(value)
    }
}

impl TopicPartitions {
    pub(super) fn write_all(writer: &mut Writer, topics: &[Self]) {
        writer.list(topics, |writer, topic| {
            writer.topic_id(topic.topic_id);
            writer.partitions(&topic.partitions);
            writer.end();
        });
    }

    pub(super) fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, RecordError> {
        reader.list(|reader| {
            let topic = Self { topic_id: reader.topic_id()?, partitions: reader.partitions()? };
            reader.end()?;
            Ok(topic)
        })
    }
}

impl TargetMemberValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        TopicPartitions::write_all(&mut writer, &self.partitions);
        writer.end();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let value = Self { partitions: TopicPartitions::read_all(&mut reader)? };
        reader.end()?;
        Ok(value)
    }
}

impl MemberState {
    pub(super) const fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    pub(super) const fn from_number(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

impl CurrentValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.i32(self.epoch);
        writer.i32(self.previous_epoch);
        writer.i8(self.state.number());
        TopicPartitions::write_all(&mut writer, &self.assigned);
        TopicPartitions::write_all(&mut writer, &self.pending_revocation);
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
            pending_revocation: TopicPartitions::read_all(&mut reader)?,
        };
        reader.end()?;
        Ok(value)
    }
}

impl RegexValue {
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.texts(&self.topics);
        writer.i64(self.version);
        writer.i64(self.at.get());
        writer.end();
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, kind, 0, 0)?;
        let value = Self { topics: reader.texts()?, version: reader.i64()?, at: TimestampMs(reader.i64()?) };
        reader.end()?;
        Ok(value)
    }
}

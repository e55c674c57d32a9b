//! Committed offsets: `OffsetCommitKey` (versions 0 and 1) and `OffsetCommitValue`.
//!
//! Key invariant: a value keeps everything that the client sent, so that it gets it back.

use std::sync::Arc;

use bytes::Bytes;

use super::wire::{Reader, RecordError, Writer};
use crate::coordinator::GroupId;
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

/// Whose offset of which partition. Topics are named, as Kafka's records have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OffsetKey {
    pub group: GroupId,
    pub topic: Arc<str>,
    pub partition: PartitionIndex,
}

/// What was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetValue {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// The client's own text, up to `offset.metadata.max.bytes`.
    pub metadata: Arc<str>,
    pub committed_at: TimestampMs,
    /// Only of clients that set their own retention (OffsetCommit 2 to 4).
    pub expires_at: Option<TimestampMs>,
    /// The topic's id if it was known; zero in records of older brokers.
    pub topic_id: TopicId,
}

/// Versions 0 and 2 are alike, 1 adds a time of expiry, 3 the leader epoch, 4 tagged fields.
const VERSION_MAX: i16 = 4;
const FLEXIBLE_FROM: i16 = 4;

impl OffsetKey {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text(self.group.as_str());
        writer.text(&self.topic);
        writer.i32(self.partition.get());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            group: reader.text()?.into(),
            topic: reader.text()?.into(),
            partition: PartitionIndex(reader.i32()?),
        })
    }
}

impl OffsetValue {
    /// Version 4, or version 1 if the offset has its own time of expiry: that one cannot say leader epoch and topic id, so
    /// they are lost, as they are with Kafka.
    pub(super) fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = match self.expires_at {
            Some(_) => Writer::value(1),
            None => Writer::flexible_value(VERSION_MAX),
        };
        writer.i64(self.offset.get());
        if self.expires_at.is_none() {
            writer.i32(self.leader_epoch.get());
        }
        writer.text(&self.metadata);
        writer.i64(self.committed_at.get());
        match self.expires_at {
            Some(at) => writer.i64(at.get()),
            None => writer
                .end_with_field_0(self.topic_id != TopicId::ZERO, |writer| writer.topic_id(self.topic_id)),
        }
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8], kind: i16) -> Result<Self, RecordError> {
        let (mut reader, version) = Reader::value(bytes, kind, VERSION_MAX, FLEXIBLE_FROM)?;
        let offset = Offset(reader.i64()?);
        let leader_epoch = if version >= 3 { LeaderEpoch(reader.i32()?) } else { LeaderEpoch::UNKNOWN };
        let metadata = reader.text()?.into();
        let committed_at = TimestampMs(reader.i64()?);
        let expires_at = if version == 1 { TimestampMs(reader.i64()?) } else { TimestampMs::NONE };
        let mut topic_id = TopicId::ZERO;
        reader.tagged_fields(|tag, field| {
            if tag == 0 {
                topic_id = field.topic_id()?;
            }
            Ok(())
        })?;
        let expires_at = Some(expires_at).filter(|at| *at != TimestampMs::NONE);
        Ok(Self { offset, leader_epoch, metadata, committed_at, expires_at, topic_id })
    }
}

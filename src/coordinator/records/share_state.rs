//! The records of `__share_group_state` (KIP-932): snapshots of a share partition's state, and what changed since.
//!
//! Key invariant: an update holds for the snapshot of its epoch; a later snapshot replaces both. A tombstone of the snapshot
//! ends the state. Merging batches is left to the share coordinator.

use bytes::Bytes;

use super::wire::{Reader, RecordError, Writer};
use crate::coordinator::GroupId;
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

/// `ShareSnapshotKey` and `ShareUpdateKey`: whose state of which partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharePartitionKey {
    pub group: GroupId,
    pub topic_id: TopicId,
    pub partition: PartitionIndex,
}

/// Offsets that are in one state of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBatch {
    pub first_offset: Offset,
    /// The last one, itself included.
    pub last_offset: Offset,
    /// 0 available, 2 acknowledged, 4 archived. Others are kept as they are; what reads the state refuses them.
    pub delivery_state: i8,
    pub delivery_count: i16,
}

/// `ShareSnapshotValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotValue {
    pub snapshot_epoch: i32,
    pub state_epoch: i32,
    pub leader_epoch: LeaderEpoch,
    pub start_offset: Offset,
    /// Offsets from the start on whose delivery is complete (KIP-1226); -1 if not known.
    pub delivery_complete_count: i32,
    pub created_at: TimestampMs,
    pub written_at: TimestampMs,
    pub batches: Vec<StateBatch>,
}

/// `ShareUpdateValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateValue {
    /// Of the snapshot that this changes.
    pub snapshot_epoch: i32,
    pub leader_epoch: LeaderEpoch,
    /// -1 if it did not change.
    pub start_offset: Offset,
    /// As in [`SnapshotValue`].
    pub delivery_complete_count: i32,
    pub batches: Vec<StateBatch>,
}

/// One record of `__share_group_state`; `None` is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareRecord {
    Snapshot(SharePartitionKey, Option<SnapshotValue>),
    Update(SharePartitionKey, Option<UpdateValue>),
}

const SNAPSHOT: i16 = 0;
const UPDATE: i16 = 1;
/// What the tagged field of the count says if it is left out.
const COUNT_NOT_KNOWN: i32 = -1;

impl ShareRecord {
    /// The key and the value, as Kafka 4.2 writes them. Fails if a name is longer than
    /// [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX).
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordError> {
        let (kind, key, value) = match self {
            Self::Snapshot(key, value) => (SNAPSHOT, key, value.as_ref().map(SnapshotValue::encode)),
            Self::Update(key, value) => (UPDATE, key, value.as_ref().map(UpdateValue::encode)),
        };
        let mut writer = Writer::key(kind);
        writer.text(key.group.as_str());
        writer.topic_id(key.topic_id);
        writer.i32(key.partition.get());
        Ok((writer.finish()?, value.transpose()?))
    }

    /// Reads a record; `None` if its key is of a type that is not known.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, RecordError> {
        let (mut reader, kind) = Reader::key(key)?;
        if !matches!(kind, SNAPSHOT | UPDATE) {
            return Ok(None);
        }
        let key = SharePartitionKey {
            group: reader.text()?.into(),
            topic_id: reader.topic_id()?,
            partition: PartitionIndex(reader.i32()?),
        };
        Ok(Some(if kind == SNAPSHOT {
            Self::Snapshot(key, value.map(SnapshotValue::decode).transpose()?)
        } else {
            Self::Update(key, value.map(UpdateValue::decode).transpose()?)
        }))
    }
}

impl SnapshotValue {
    fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.i32(self.snapshot_epoch);
        writer.i32(self.state_epoch);
        writer.i32(self.leader_epoch.get());
        writer.i64(self.start_offset.get());
        writer.i64(self.created_at.get());
        writer.i64(self.written_at.get());
        StateBatch::write_all(&mut writer, &self.batches);
        write_count(&mut writer, self.delivery_complete_count);
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, SNAPSHOT, 0, 0)?;
        Ok(Self {
            snapshot_epoch: reader.i32()?,
            state_epoch: reader.i32()?,
            leader_epoch: LeaderEpoch(reader.i32()?),
            start_offset: Offset(reader.i64()?),
            created_at: TimestampMs(reader.i64()?),
            written_at: TimestampMs(reader.i64()?),
            batches: StateBatch::read_all(&mut reader)?,
            delivery_complete_count: read_count(&mut reader)?,
        })
    }
}

impl UpdateValue {
    fn encode(&self) -> Result<Bytes, RecordError> {
        let mut writer = Writer::flexible_value(0);
        writer.i32(self.snapshot_epoch);
        writer.i32(self.leader_epoch.get());
        writer.i64(self.start_offset.get());
        StateBatch::write_all(&mut writer, &self.batches);
        write_count(&mut writer, self.delivery_complete_count);
        writer.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (mut reader, _) = Reader::value(bytes, UPDATE, 0, 0)?;
        Ok(Self {
            snapshot_epoch: reader.i32()?,
            leader_epoch: LeaderEpoch(reader.i32()?),
            start_offset: Offset(reader.i64()?),
            batches: StateBatch::read_all(&mut reader)?,
            delivery_complete_count: read_count(&mut reader)?,
        })
    }
}

impl StateBatch {
    fn write_all(writer: &mut Writer, batches: &[Self]) {
        writer.list(batches, |writer, batch| {
            writer.i64(batch.first_offset.get());
            writer.i64(batch.last_offset.get());
            writer.i8(batch.delivery_state);
            writer.i16(batch.delivery_count);
            writer.end();
        });
    }

    fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, RecordError> {
        reader.list(|reader| {
            let batch = Self {
                first_offset: Offset(reader.i64()?),
                last_offset: Offset(reader.i64()?),
                delivery_state: reader.i8()?,
                delivery_count: reader.i16()?,
            };
            reader.end()?;
            Ok(batch)
        })
    }
}

/// Ends a value with its tagged field, the count of complete deliveries.
fn write_count(writer: &mut Writer, count: i32) {
    writer.end_with_field_0(count != COUNT_NOT_KNOWN, |writer| writer.i32(count));
}

fn read_count(reader: &mut Reader<'_>) -> Result<i32, RecordError> {
    let mut count = COUNT_NOT_KNOWN;
    reader.tagged_fields(|tag, field| {
        if tag == 0 {
            count = field.i32()?;
        }
        Ok(())
    })?;
    Ok(count)
}

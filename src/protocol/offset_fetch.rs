//! OffsetFetch, versions 1 to 10: the crate's end at 9; version 10 names topics by id (KIP-848).
//!
//! Key invariant: a request has groups and a response answers each, in every version; versions before 8 have exactly one.
//! Version 10 has a topic's id and no name, earlier ones its name and no id. Version 1 has no error but those of partitions:
//! there the handler lists each partition that was asked for with the group's error.

use anyhow::{Result, bail};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::protocol::buf::ByteBuf;

use super::message::{Field, Format, Sink, api, skip_tagged_fields, structure, write_no_tagged_fields};
use crate::model::TopicId;

/// The first version with several groups.
const GROUPS_FROM: i16 = 8;
/// The first version in which no topics at all means all of them, and in which a group can have an error.
const ALL_TOPICS_FROM: i16 = 2;

/// Asks for committed offsets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OffsetFetchRequest {
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether to refuse offsets that a transaction may still change (version 7 and later).
    pub require_stable: bool,
}

structure! {
    OffsetFetchRequestGroup {
        group_id: StrBytes [0..];
        /// Of the consumer who asks, with its epoch: fenced if they are old.
        member_id: Option<StrBytes> [9..];
        member_epoch: i32 [9..] = -1;
        /// `None` for all of them.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0..];
    }
}

structure! {
    OffsetFetchRequestTopic {
        name: StrBytes [..=9];
        topic_id: TopicId [10..];
        partition_indexes: Vec<i32> [0..];
    }
}

/// Answers with committed offsets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OffsetFetchResponse {
    /// In milliseconds (version 3 and later).
    pub throttle_time_ms: i32,
    pub groups: Vec<OffsetFetchResponseGroup>,
}

structure! {
    OffsetFetchResponseGroup {
        group_id: StrBytes [0..];
        topics: Vec<OffsetFetchResponseTopic> [0..];
        error_code: i16 [0..];
    }
}

structure! {
    OffsetFetchResponseTopic {
        name: StrBytes [..=9];
        topic_id: TopicId [10..];
        partitions: Vec<OffsetFetchResponsePartition> [0..];
    }
}

structure! {
    OffsetFetchResponsePartition {
        partition_index: i32 [0..];
        /// -1 if none was committed.
        committed_offset: i64 [0..];
        committed_leader_epoch: i32 [5..] = -1;
        metadata: Option<StrBytes> [0..];
        error_code: i16 [0..];
    }
}

api!(ApiKey::OffsetFetch, 1..=10, 6, OffsetFetchRequest, OffsetFetchResponse);

impl Field for OffsetFetchRequest {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        let groups = if format.version >= GROUPS_FROM {
            Field::read(bytes, format)?
        } else {
            let group_id = Field::read(bytes, format)?;
            let topics: Option<_> = Field::read(bytes, format)?;
            if topics.is_none() && format.version < ALL_TOPICS_FROM {
                bail!("an array is null");
            }
            vec![OffsetFetchRequestGroup { group_id, topics, ..OffsetFetchRequestGroup::default() }]
        };
        let require_stable = if format.version >= 7 { Field::read(bytes, format)? } else { false };
        skip_tagged_fields(bytes, format)?;
        Ok(Self { groups, require_stable })
    }

    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()> {
        if format.version >= GROUPS_FROM {
            self.groups.write(sink, format)?;
        } else {
            let group = single(&self.groups)?;
            group.group_id.write(sink, format)?;
            if group.topics.is_none() && format.version < ALL_TOPICS_FROM {
                bail!("the version cannot ask for all topics");
            }
            group.topics.write(sink, format)?;
        }
        if format.version >= 7 {
            self.require_stable.write(sink, format)?;
        }
        write_no_tagged_fields(sink, format);
        Ok(())
    }
}

impl Field for OffsetFetchResponse {
    fn read<B: ByteBuf>(bytes: &mut B, format: Format) -> Result<Self> {
        let throttle_time_ms = if format.version >= 3 { Field::read(bytes, format)? } else { 0 };
        let groups = if format.version >= GROUPS_FROM {
            Field::read(bytes, format)?
        } else {
            let topics = Field::read(bytes, format)?;
            let error_code = if format.version >= ALL_TOPICS_FROM { Field::read(bytes, format)? } else { 0 };
            vec![OffsetFetchResponseGroup { topics, error_code, ..OffsetFetchResponseGroup::default() }]
        };
        skip_tagged_fields(bytes, format)?;
        Ok(Self { throttle_time_ms, groups })
    }

    fn write<S: Sink>(&self, sink: &mut S, format: Format) -> Result<()> {
        if format.version >= 3 {
            self.throttle_time_ms.write(sink, format)?;
        }
        if format.version >= GROUPS_FROM {
            self.groups.write(sink, format)?;
        } else {
            let group = single(&self.groups)?;
            group.topics.write(sink, format)?;
            if format.version >= ALL_TOPICS_FROM {
                group.error_code.write(sink, format)?;
            }
        }
        write_no_tagged_fields(sink, format);
        Ok(())
    }
}

fn single<T>(groups: &[T]) -> Result<&T> {
    match groups {
        [group] => Ok(group),
        _ => bail!("the version has one group, not {}", groups.len()),
    }
}

//! OffsetForLeaderEpoch (KIP-101, KIP-320): where a leader epoch ended, so that clients notice truncation.

use std::rc::Rc;

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Server, errors, topics};
use crate::model::{LeaderEpoch, Offset};
use crate::partition::PartitionError;
use crate::protocol::ErrorCode;

/// Answers every partition; an unknown epoch is -1 and -1, which is no error.
pub async fn handle(
    server: &Rc<Server>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut answered = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let (code, (epoch, end)) = match find(server, &topic.topic.0, partition).await {
                Ok(end) => (ErrorCode::None, end),
                Err(code) => (code, (LeaderEpoch::UNKNOWN, Offset::NONE)),
            };
            partitions.push(
                EpochEndOffset::default()
                    .with_partition(partition.partition)
                    .with_error_code(code.code())
                    .with_leader_epoch(epoch.0)
                    .with_end_offset(end.0),
            );
        }
        answered.push(
            OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions),
        );
    }
    OffsetForLeaderEpochResponse::default().with_topics(answered)
}

async fn find(
    server: &Rc<Server>,
    topic: &str,
    partition: &OffsetForLeaderPartition,
) -> Result<(LeaderEpoch, Offset), ErrorCode> {
    let known = topics::by_name(server, topic)?;
    let id = topics::partition(&known, partition.partition)?;
    let (current, asked) = (LeaderEpoch(partition.current_leader_epoch), LeaderEpoch(partition.leader_epoch));
    let shard = server.shard();
    let end = shard.on(shard.owner_of(id), move |owner| async move {
        let partition = owner.table().partition(id)?;
        partition.check_epoch(current)?;
        Ok::<_, PartitionError>(partition.epoch_end(asked))
    });
    end.await.map_err(errors::of_shard_gone)?.map_err(|error| errors::of_partition(&error))
}

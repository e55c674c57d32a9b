//! OffsetDelete (KIP-496): forgets offsets of topics that a group does not read.
//!
//! Key invariant: an offset that is answered without an error is durably gone, or never was.

use std::rc::Rc;

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Server, errors};
use crate::coordinator::group::offsets::{DeleteOffsets, DeletedOffsets};
use crate::coordinator::{GroupError, GroupId};
use crate::model::PartitionIndex;

/// Deletes and answers each partition.
pub async fn handle(server: &Rc<Server>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let deleted = match request.group_id.is_empty() {
        true => Err(GroupError::InvalidGroupId),
        false => delete(server, &request).await,
    };
    match deleted {
        Ok(answers) => answer(&request, &answers),
        Err(refusal) => OffsetDeleteResponse::default().with_error_code(errors::of_group(&refusal).code()),
    }
}

async fn delete(server: &Rc<Server>, request: &OffsetDeleteRequest) -> Result<DeletedOffsets, GroupError> {
    let wanted = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| PartitionIndex(partition.partition_index));
        (topic.name.to_string(), partitions.collect())
    });
    let (id, wanted) = (GroupId::from(&*request.group_id.0), wanted.collect::<DeleteOffsets>());
    let event = server.shard().groups(&request.group_id, move |groups, turn, actions| {
        groups.delete_offsets(&id, &wanted, turn, actions)
    });
    event.await.and_then(|answer| answer)
}

fn answer(request: &OffsetDeleteRequest, answers: &DeletedOffsets) -> OffsetDeleteResponse {
    let topics = request.topics.iter().zip(answers).map(|(topic, answers)| {
        let partitions = topic.partitions.iter().zip(answers).map(|(partition, answer)| {
            let code = answer.as_ref().err().map_or(0, |error| errors::of_group(error).code());
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

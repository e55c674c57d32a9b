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
    // As Kafka does, nothing is said of a topic without partitions.
    let asked = request.topics.iter().zip(answers).filter(|(topic, _)| !topic.partitions.is_empty());
    let topics = asked.map(|(topic, answers)| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::topics::text;
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::offset_delete_request::{
        OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    };

    #[test]
    fn each_partition_has_its_answer_and_a_topic_without_any_has_none() {
        let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
        let topic = |name, partitions| {
            OffsetDeleteRequestTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
        };
        let topics = vec![topic("none", vec![]), topic("a", vec![partition(4), partition(7)])];
        let request = OffsetDeleteRequest::default().with_topics(topics);
        let answers = vec![vec![], vec![Ok(()), Err(GroupError::GroupSubscribedToTopic)]];
        let response = answer(&request, &answers);
        let told = |topic: &OffsetDeleteResponseTopic| -> (String, Vec<(i32, i16)>) {
            let partitions = topic.partitions.iter().map(|at| (at.partition_index, at.error_code));
            (topic.name.to_string(), partitions.collect())
        };
        let told: Vec<_> = response.topics.iter().map(told).collect();
        assert_eq!(told, [("a".to_owned(), vec![(4, 0), (7, 86)])]);
    }
}

//! ConsumerGroupHeartbeat (KIP-848, KIP-1082): a member of a consumer group joins, says that it is there, or leaves.
//!
//! Key invariant: what is taken from the request is copied, since it outlives the request by far.

use std::rc::Rc;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as OwnedPartitions;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions as Assigned};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::join_group::host_of;
use super::topics::text;
use super::{Client, Server, errors};
use crate::coordinator::group::consumer::{Caller, HeartbeatAnswer, HeartbeatRequest};
use crate::coordinator::records::consumer::TopicPartitions;
use crate::coordinator::{GroupError, GroupId};
use crate::model::{PartitionIndex, TopicId};

/// The first version whose clients make up their own ids (KIP-1082).
const OWN_ID_FROM: i16 = 1;

/// Answers when what changed is durable.
pub async fn handle(
    server: &Rc<Server>,
    client: &Client,
    request: ConsumerGroupHeartbeatRequest,
    version: i16,
    client_id: String,
) -> ConsumerGroupHeartbeatResponse {
    let group = request.group_id.0.to_string();
    let id = GroupId::from(group.as_str());
    let from = Caller { client_id, client_host: host_of(client.peer().ip()) };
    let heartbeat = heartbeat_of(&request, version, from);
    let heard = server.shard().groups(&group, move |groups, turn, actions| {
        groups.consumer_heartbeat(turn, &id, &heartbeat, actions)
    });
    told(heard.await.flatten())
}

fn heartbeat_of(request: &ConsumerGroupHeartbeatRequest, version: i16, from: Caller) -> HeartbeatRequest {
    let copied = |text: &Option<StrBytes>| text.as_deref().map(str::to_owned);
    let topics = request.subscribed_topic_names.as_ref();
    let owned = request.topic_partitions.as_ref();
    HeartbeatRequest {
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: copied(&request.instance_id),
        rack_id: copied(&request.rack_id),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        subscribed_topics: topics.map(|names| names.iter().map(|name| name.0.to_string()).collect()),
        subscribed_regex: copied(&request.subscribed_topic_regex),
        server_assignor: copied(&request.server_assignor),
        owned: owned.map(|owned| owned.iter().map(owned_of).collect()),
        from,
        brings_id: version >= OWN_ID_FROM,
        fresh: uuid::Uuid::new_v4(),
    }
}

fn owned_of(owned: &OwnedPartitions) -> TopicPartitions {
    TopicPartitions {
        topic_id: TopicId(owned.topic_id),
        partitions: owned.partitions.iter().copied().map(PartitionIndex).collect(),
    }
}

fn told(heard: Result<HeartbeatAnswer, GroupError>) -> ConsumerGroupHeartbeatResponse {
    let answer = match heard {
        Ok(answer) => answer,
        Err(error) => {
            return ConsumerGroupHeartbeatResponse::default()
                .with_error_code(errors::of_group(&error).code())
                .with_error_message(Some(text(error.to_string())));
        }
    };
    let assigned = |of: TopicPartitions| {
        let partitions = of.partitions.into_iter().map(PartitionIndex::get).collect();
        Assigned::default().with_topic_id(of.topic_id.0).with_partitions(partitions)
    };
    let assignment = answer.assignment.map(|partitions| {
        Assignment::default().with_topic_partitions(partitions.into_iter().map(assigned).collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(answer.member_id.as_str())))
        .with_member_epoch(answer.member_epoch)
        .with_heartbeat_interval_ms(answer.heartbeat_interval_ms)
        .with_assignment(assignment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::protocol::Encodable;

    fn topic() -> uuid::Uuid {
        uuid::Uuid::from_u128(7)
    }

    #[test]
    fn what_is_not_said_is_told_from_what_is_empty() {
        let from = Caller { client_id: "c".to_owned(), client_host: "/127.0.0.1".to_owned() };
        let silent = ConsumerGroupHeartbeatRequest::default().with_member_id(text("m")).with_member_epoch(3);
        let said = heartbeat_of(&silent, 0, from.clone());
        assert_eq!((said.member_id.as_str(), said.member_epoch, said.brings_id), ("m", 3, false));
        assert_eq!((said.subscribed_topics, said.owned, said.rebalance_timeout_ms), (None, None, -1));
        let owned = OwnedPartitions::default().with_topic_id(topic()).with_partitions(vec![1]);
        let full = silent
            .with_subscribed_topic_names(Some(vec![TopicName(text("a"))]))
            .with_subscribed_topic_regex(Some(text("a.*")))
            .with_rebalance_timeout_ms(5)
            .with_topic_partitions(Some(vec![owned]));
        let said = heartbeat_of(&full, 1, from);
        assert_eq!((said.subscribed_topics, said.brings_id), (Some(vec!["a".to_owned()]), true));
        assert_eq!(said.subscribed_regex.as_deref(), Some("a.*"));
        let owned = TopicPartitions { topic_id: TopicId(topic()), partitions: vec![PartitionIndex(1)] };
        assert_eq!(said.owned, Some(vec![owned]));
    }

    #[test]
    fn answers_and_refusals_fit_every_version() {
        let partitions = TopicPartitions { topic_id: TopicId(topic()), partitions: vec![PartitionIndex(4)] };
        let answer = HeartbeatAnswer {
            member_id: "m".into(),
            member_epoch: 2,
            heartbeat_interval_ms: 5_000,
            assignment: Some(vec![partitions]),
        };
        let told_it = told(Ok(answer));
        assert_eq!((told_it.error_code, told_it.member_epoch, told_it.heartbeat_interval_ms), (0, 2, 5_000));
        assert_eq!(
            told_it.assignment.as_ref().map(|all| all.topic_partitions[0].partitions.clone()),
            Some(vec![4])
        );
        let refused = told(Err(GroupError::FencedMemberEpoch("too old".to_owned())));
        assert_eq!((refused.error_code, refused.error_message.as_deref()), (110, Some("too old")));
        for version in 0..=1 {
            for response in [&told_it, &refused] {
                response.encode(&mut bytes::BytesMut::new(), version).unwrap();
            }
        }
    }
}

//! ConsumerGroupDescribe (KIP-848, KIP-1099): consumer groups with their members, and what these have and are to have.
//!
//! Key invariant: a group that cannot be described has an error of its own; the others are told whole.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup as WireGroup, Member as WireMember, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId as WireId, TopicName,
};

use super::describe_groups::GROUP_OPERATIONS;
use super::topics::text;
use super::{Server, errors};
use crate::coordinator::GroupError;
use crate::coordinator::group::consumer::{DescribedConsumerGroup, DescribedMember};
use crate::coordinator::records::share::NamedPartitions;
use crate::model::PartitionIndex;

/// `MemberType` of a member on the classic protocol.
const CLASSIC: i8 = 0;
/// `MemberType` of a member on the new protocol.
const CONSUMER: i8 = 1;

/// Describes each group once, in the order of the request.
pub async fn handle(
    server: &Rc<Server>,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let mut told = BTreeSet::new();
    let mut groups = Vec::with_capacity(request.group_ids.len());
    // What is asked for twice is told once: an answer can be much larger than its request.
    for id in request.group_ids.iter().filter(|id| told.insert(id.as_str())) {
        let group = id.0.to_string();
        let described =
            server.shard().groups(id.as_str(), move |groups, turn, _| groups.describe_consumer(turn, &group));
        let described = described.await.flatten();
        groups.push(answer(id, described, request.include_authorized_operations));
    }
    ConsumerGroupDescribeResponse::default().with_groups(groups)
}

fn answer(id: &WireId, described: Result<DescribedConsumerGroup, GroupError>, asked: bool) -> WireGroup {
    // A name of its own: the answer is not to hold on to the request's frame.
    let group = WireGroup::default().with_group_id(WireId(text(id.as_str())));
    let described = match described {
        Ok(described) => described,
        Err(error) => {
            // An id that no group can have goes without words, as in Kafka.
            let words = (error != GroupError::InvalidGroupId).then(|| text(error.to_string()));
            return group.with_error_code(errors::of_group(&error).code()).with_error_message(words);
        }
    };
    let group = match asked {
        true => group.with_authorized_operations(GROUP_OPERATIONS),
        false => group,
    };
    group
        .with_group_state(text(described.state.name()))
        .with_group_epoch(described.epoch)
        .with_assignment_epoch(described.target_epoch)
        .with_assignor_name(text(described.assignor))
        .with_members(described.members.into_iter().map(member).collect())
}

fn member(member: DescribedMember) -> WireMember {
    let value = member.value;
    let topics = value.subscribed_topics.into_iter().map(|name| TopicName(text(name)));
    WireMember::default()
        .with_member_id(text(member.id.as_str()))
        .with_instance_id(value.instance_id.map(|id| text(id.as_str())))
        .with_rack_id(value.rack_id.map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(value.client_id))
        .with_client_host(text(value.client_host))
        .with_subscribed_topic_names(topics.collect())
        // Kafka tells a member without a pattern by an empty one.
        .with_subscribed_topic_regex(Some(text(value.subscribed_regex.unwrap_or_default())))
        .with_assignment(assignment(member.assigned))
        .with_target_assignment(assignment(member.target))
        .with_member_type(if value.classic.is_some() { CLASSIC } else { CONSUMER })
}

fn assignment(partitions: Vec<NamedPartitions>) -> Assignment {
    let topic = |of: NamedPartitions| {
        TopicPartitions::default()
            .with_topic_id(of.topic_id.0)
            .with_topic_name(TopicName(text(of.topic)))
            .with_partitions(of.partitions.into_iter().map(PartitionIndex::get).collect())
    };
    Assignment::default().with_topic_partitions(partitions.into_iter().map(topic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::group::consumer::ConsumerGroupState;
    use crate::coordinator::records::consumer::{ClassicMember, MemberValue};
    use crate::model::TopicId;
    use kafka_protocol::protocol::Encodable;

    fn described() -> DescribedConsumerGroup {
        let value = MemberValue {
            instance_id: Some("i".into()),
            rack_id: Some("r".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            subscribed_topics: vec!["a".to_owned()],
            subscribed_regex: None,
            rebalance_timeout_ms: 1,
            server_assignor: None,
            classic: None,
        };
        let old = ClassicMember { session_timeout_ms: 1, protocols: vec![] };
        let partitions = NamedPartitions {
            topic_id: TopicId(uuid::Uuid::from_u128(7)),
            topic: "a".to_owned(),
            partitions: vec![PartitionIndex(0)],
        };
        let member = |id: &str, classic| DescribedMember {
            id: id.into(),
            epoch: 3,
            value: MemberValue { classic, ..value.clone() },
            assigned: vec![],
            target: vec![partitions.clone()],
        };
        DescribedConsumerGroup {
            id: "g".into(),
            state: ConsumerGroupState::Reconciling,
            epoch: 4,
            target_epoch: 4,
            assignor: "uniform",
            members: vec![member("m1", None), member("m2", Some(old))],
        }
    }

    #[test]
    fn a_group_is_told_whole() {
        let group = answer(&WireId(text("g")), Ok(described()), true);
        assert_eq!((&*group.group_state, group.group_epoch, group.assignment_epoch), ("Reconciling", 4, 4));
        assert_eq!((&*group.assignor_name, group.authorized_operations), ("uniform", GROUP_OPERATIONS));
        let types: Vec<i8> = group.members.iter().map(|member| member.member_type).collect();
        assert_eq!(types, [CONSUMER, CLASSIC]);
        let member = &group.members[0];
        assert_eq!(
            (&*member.client_id, member.member_epoch, member.assignment.topic_partitions.len()),
            ("c", 3, 0)
        );
        let target = &member.target_assignment.topic_partitions[0];
        assert_eq!((target.topic_name.as_str(), &target.partitions[..]), ("a", &[0][..]));
        for version in 0..=1 {
            let response = ConsumerGroupDescribeResponse::default().with_groups(vec![group.clone()]);
            response.encode(&mut bytes::BytesMut::new(), version).unwrap();
        }
    }

    #[test]
    fn an_error_is_that_of_its_group() {
        let missing = GroupError::GroupIdNotFound("Group g not found.".to_owned());
        let group = answer(&WireId(text("g")), Err(missing), true);
        assert_eq!((group.error_code, group.error_message.as_deref()), (69, Some("Group g not found.")));
        assert_eq!(group.authorized_operations, i32::MIN);
        let group = answer(&WireId(text("")), Err(GroupError::InvalidGroupId), true);
        assert_eq!((group.error_code, group.error_message), (24, None));
    }
}

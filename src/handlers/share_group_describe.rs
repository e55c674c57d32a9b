//! ShareGroupDescribe (KIP-932): share groups with their members and what these are assigned.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::messages::share_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    GroupId as WireId, ShareGroupDescribeRequest, ShareGroupDescribeResponse, TopicName,
};

use super::topics::text;
use super::{Server, errors};
use crate::coordinator::GroupError;
use crate::coordinator::group::share::{ShareGroupDescription, ShareMemberDescription};
use crate::coordinator::records::share::NamedPartitions;
use crate::protocol::ErrorCode;

/// Everything that can be done to a group, as a set of operation codes; without an authorizer everyone may do it.
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

/// Describes each group once, in the order of the request.
pub async fn handle(server: &Rc<Server>, request: ShareGroupDescribeRequest) -> ShareGroupDescribeResponse {
    let asked = request.include_authorized_operations;
    let mut told = BTreeSet::new();
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for id in request.group_ids.iter().filter(|id| told.insert(id.as_str())) {
        if id.is_empty() {
            groups.push(DescribedGroup::default().with_error_code(ErrorCode::InvalidGroupId.code()));
            continue;
        }
        let group = id.0.to_string();
        let described = server
            .shard()
            .groups(id.as_str(), move |groups, turn, _| groups.describe_share(&group, turn.image));
        groups.push(answer(id, described.await.flatten(), asked));
    }
    ShareGroupDescribeResponse::default().with_groups(groups)
}

fn answer(id: &WireId, described: Result<ShareGroupDescription, GroupError>, asked: bool) -> DescribedGroup {
    let group = DescribedGroup::default().with_group_id(WireId(text(id.as_str())));
    match described {
        Ok(described) => {
            let group = group
                .with_group_state(text(described.state.name()))
                .with_group_epoch(described.epoch)
                .with_assignment_epoch(described.assignment_epoch)
                .with_assignor_name(text(described.assignor))
                .with_members(described.members.into_iter().map(member).collect());
            if asked { group.with_authorized_operations(GROUP_OPERATIONS) } else { group }
        }
        Err(error) => group
            .with_error_code(errors::of_group(&error).code())
            .with_error_message(Some(text(error.to_string()))),
    }
}

fn member(member: ShareMemberDescription) -> Member {
    let name = |name: String| TopicName(text(name));
    let topic = |topic: NamedPartitions| {
        TopicPartitions::default()
            .with_topic_id(topic.topic_id.0)
            .with_topic_name(name(topic.topic))
            .with_partitions(topic.partitions.into_iter().map(|partition| partition.get()).collect())
    };
    let assignment = member.assignment.into_iter().map(topic).collect();
    Member::default()
        .with_member_id(text(member.id.as_str()))
        .with_rack_id(member.rack_id.map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(member.subscribed_topics.into_iter().map(name).collect())
        .with_assignment(Assignment::default().with_topic_partitions(assignment))
}

//! One group with its members, whichever protocol they speak.
//!
//! Key invariant: a group is asked for as a consumer group first, then as a share group, then as a classic one; a broker
//! answers GROUP_ID_NOT_FOUND for a type that is not the group's. What members wrote is parsed without trust.

use std::collections::BTreeMap;

use kafka_protocol::messages::consumer_group_describe_response as consumer;
use kafka_protocol::messages::describe_groups_response as classic;
use kafka_protocol::messages::share_group_describe_response as share;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, ShareGroupDescribeRequest,
};

use super::{Coordinator, GroupType, at_coordinator, group_id, not_found, refuse, unanswered};
use crate::cli::client::connection::Connection;
use crate::cli::client::member::wire::{self, TopicPartitions};
use crate::cli::client::{ClientError, Cluster};
use crate::protocol::ErrorCode;

/// The protocol type of classic groups whose assignments name partitions.
const CONSUMER_PROTOCOL: &str = "consumer";

/// A group and its members.
#[derive(Clone, Debug)]
pub struct GroupFacts {
    pub group: String,
    pub kind: GroupType,
    /// In Kafka's words, such as `Stable` or `Empty`.
    pub state: String,
    /// Who decides which member gets what; empty if nobody does.
    pub assignor: String,
    /// The group's epoch and that of its assignment; classic groups do not tell.
    pub epochs: Option<(i32, i32)>,
    pub coordinator: Coordinator,
    pub members: Vec<MemberFacts>,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct MemberFacts {
    pub id: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub host: String,
    /// Classic members have none.
    pub epoch: Option<i32>,
    /// What it reads.
    pub assigned: TopicPartitions,
    /// What it is to read; only of consumer groups.
    pub target: Option<TopicPartitions>,
}

impl GroupFacts {
    /// Whether nobody is in it, so that its offsets may be moved.
    pub fn is_inactive(&self) -> bool {
        self.members.is_empty() && matches!(self.state.as_str(), "Empty" | "Dead")
    }
}

/// Describes `group`; GROUP_ID_NOT_FOUND if there is none.
pub async fn describe(cluster: &Cluster, group: &str) -> Result<GroupFacts, ClientError> {
    at_coordinator(cluster, group, async |coordinator, connection| {
        if let Some(found) = found(as_consumer(&connection, &coordinator, group).await)? {
            return Ok(found);
        }
        if let Some(found) = found(as_share(&connection, &coordinator, group).await)? {
            return Ok(found);
        }
        found(as_classic(&connection, &coordinator, group).await)?.ok_or_else(|| not_found(group))
    })
    .await
}

/// `None` for a group that is not of the type asked for, and for a type that the broker does not know.
fn found(answer: Result<GroupFacts, ClientError>) -> Result<Option<GroupFacts>, ClientError> {
    match answer {
        Ok(group) => Ok(Some(group)),
        Err(ClientError::Version { .. }) => Ok(None),
        Err(error) => match error.code() {
            Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion) => Ok(None),
            _ => Err(error),
        },
    }
}

async fn as_consumer(
    connection: &Connection,
    coordinator: &Coordinator,
    group: &str,
) -> Result<GroupFacts, ClientError> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    let answer = connection.call(&request).await?;
    let described = answer.groups.into_iter().next().ok_or_else(|| unanswered(group))?;
    refuse(group, described.error_code, described.error_message)?;
    Ok(GroupFacts {
        group: group.to_owned(),
        kind: GroupType::Consumer,
        state: described.group_state.to_string(),
        assignor: described.assignor_name.to_string(),
        epochs: Some((described.group_epoch, described.assignment_epoch)),
        coordinator: coordinator.clone(),
        members: described.members.into_iter().map(consumer_member).collect(),
    })
}

fn consumer_member(member: consumer::Member) -> MemberFacts {
    let partitions = |assignment: consumer::Assignment| {
        let topics = assignment.topic_partitions.into_iter();
        topics.map(|topic| (topic.topic_name.to_string(), topic.partitions)).collect::<BTreeMap<_, _>>()
    };
    MemberFacts {
        id: member.member_id.to_string(),
        instance: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: Some(member.member_epoch),
        assigned: partitions(member.assignment),
        target: Some(partitions(member.target_assignment)),
    }
}

async fn as_share(
    connection: &Connection,
    coordinator: &Coordinator,
    group: &str,
) -> Result<GroupFacts, ClientError> {
    let request = ShareGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    let answer = connection.call(&request).await?;
    let described = answer.groups.into_iter().next().ok_or_else(|| unanswered(group))?;
    refuse(group, described.error_code, described.error_message)?;
    Ok(GroupFacts {
        group: group.to_owned(),
        kind: GroupType::Share,
        state: described.group_state.to_string(),
        assignor: described.assignor_name.to_string(),
        epochs: Some((described.group_epoch, described.assignment_epoch)),
        coordinator: coordinator.clone(),
        members: described.members.into_iter().map(share_member).collect(),
    })
}

fn share_member(member: share::Member) -> MemberFacts {
    let topics = member.assignment.topic_partitions.into_iter();
    MemberFacts {
        id: member.member_id.to_string(),
        instance: None,
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: Some(member.member_epoch),
        assigned: topics.map(|topic| (topic.topic_name.to_string(), topic.partitions)).collect(),
        target: None,
    }
}

async fn as_classic(
    connection: &Connection,
    coordinator: &Coordinator,
    group: &str,
) -> Result<GroupFacts, ClientError> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let answer = connection.call(&request).await?;
    let described = answer.groups.into_iter().next().ok_or_else(|| unanswered(group))?;
    refuse(group, described.error_code, described.error_message)?;
    // Before KIP-1043 that is how a broker says that there is no such group.
    if described.group_state.as_str() == "Dead" {
        return Err(not_found(group));
    }
    let names_partitions = described.protocol_type.as_str() == CONSUMER_PROTOCOL;
    let members = described.members.into_iter().map(|member| classic_member(member, names_partitions));
    Ok(GroupFacts {
        group: group.to_owned(),
        kind: GroupType::Classic,
        state: described.group_state.to_string(),
        assignor: described.protocol_data.to_string(),
        epochs: None,
        coordinator: coordinator.clone(),
        members: members.collect(),
    })
}

fn classic_member(member: classic::DescribedGroupMember, names_partitions: bool) -> MemberFacts {
    // Nothing is assigned while the group rebalances, and what is no assignment counts as none.
    let assigned = if names_partitions { wire::read_assignment(&member.member_assignment) } else { None };
    MemberFacts {
        id: member.member_id.to_string(),
        instance: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: None,
        assigned: assigned.unwrap_or_default(),
        target: None,
    }
}

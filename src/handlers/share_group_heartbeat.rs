//! ShareGroupHeartbeat (KIP-932): a member of a share group joins, stays or leaves, and hears what to fetch.
//!
//! Key invariant: a partition is assigned only when its state is initialized; a heartbeat that finds some that are not has them
//! initialized, and is answered after that.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kafka_protocol::messages::share_group_heartbeat_response::{
    Assignment, TopicPartitions as WirePartitions,
};
use kafka_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};

use super::topics::text;
use super::{Client, Server, errors, join_group, share_states};
use crate::coordinator::group::share::{Initialize, ShareHeartbeat, ShareHeartbeatAnswer};
use crate::coordinator::records::consumer::TopicPartitions;
use crate::coordinator::{GroupError, GroupId};
use crate::model::{Offset, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::api_versions::SHARE_VERSION;

/// Answers one heartbeat.
pub async fn handle(
    server: &Rc<Server>,
    client: &Rc<Client>,
    request: ShareGroupHeartbeatRequest,
    client_id: String,
) -> ShareGroupHeartbeatResponse {
    if request.member_id.is_empty() {
        // Kafka refuses it before a coordinator, which would say why, has heard of it.
        return ShareGroupHeartbeatResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
    }
    let group = GroupId::from(request.group_id.0.as_str());
    let topics = request.subscribed_topic_names;
    let heartbeat = ShareHeartbeat {
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        rack_id: request.rack_id.map(|rack| rack.to_string()),
        client_id,
        client_host: join_group::host_of(client.peer().ip()),
        subscribed_topics: topics.map(|names| names.iter().map(|name| name.0.to_string()).collect()),
    };
    match answer(server, &group, heartbeat).await {
        Ok(answer) => respond(answer),
        Err(error) => ShareGroupHeartbeatResponse::default()
            .with_error_code(errors::of_group(&error).code())
            .with_error_message(Some(text(error.to_string()))),
    }
}

async fn answer(
    server: &Rc<Server>,
    group: &GroupId,
    heartbeat: ShareHeartbeat,
) -> Result<ShareHeartbeatAnswer, GroupError> {
    if server.feature_level(&SHARE_VERSION) == 0 {
        return Err(GroupError::UnsupportedVersion("Share groups are not enabled.".to_owned()));
    }
    let again = ShareHeartbeat { subscribed_topics: None, rack_id: None, ..heartbeat.clone() };
    let first = beat(server, group, heartbeat).await?;
    let Some(asked) = first.initialize.clone() else { return Ok(first) };
    if !initialize(server, group, asked).await? {
        return Ok(first);
    }
    // The member need not wait for its next heartbeat to have what is there now.
    let again = ShareHeartbeat { member_epoch: first.member_epoch, ..again };
    let second = beat(server, group, again).await?;
    Ok(ShareHeartbeatAnswer { assignment: second.assignment.or(first.assignment), ..second })
}

async fn beat(
    server: &Rc<Server>,
    group: &GroupId,
    heartbeat: ShareHeartbeat,
) -> Result<ShareHeartbeatAnswer, GroupError> {
    let id = group.clone();
    let event = move |groups: &mut crate::coordinator::group::Groups,
                      turn: &crate::coordinator::group::Turn<'_>,
                      actions: &mut crate::coordinator::Actions| {
        groups.share_heartbeat(&id, heartbeat, turn, actions)
    };
    server.shard().groups(group.as_str(), event).await.flatten()
}

/// Initializes states, and tells the group of those that are; tells whether there are any.
async fn initialize(server: &Rc<Server>, group: &GroupId, asked: Initialize) -> Result<bool, GroupError> {
    let of = |topic_id, partition| TopicPartition { topic_id, partition };
    let starts: BTreeMap<TopicPartition, Offset> = asked
        .partitions
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (of(topic.topic_id, *index), Offset::NONE)))
        .collect();
    let initialized = share_states::initialize(server, group, asked.state_epoch, starts).await;
    let mut done = BTreeSet::new();
    for (id, outcome) in initialized {
        match outcome {
            // A state with a later epoch is initialized, too.
            Ok(()) | Err(GroupError::FencedStateEpoch) => _ = done.insert(id),
            Err(error) => tracing::warn!("share group {group} has no state for {id:?} yet: {error}"),
        }
    }
    if done.is_empty() {
        return Ok(false);
    }
    let id = group.clone();
    let told = server.shard().groups(group.as_str(), move |groups, turn, actions| {
        groups.share_initialized(&id, &done, turn, actions)
    });
    told.await.flatten().map(|()| true)
}

fn respond(answer: ShareHeartbeatAnswer) -> ShareGroupHeartbeatResponse {
    let wire = |TopicPartitions { topic_id, partitions }: TopicPartitions| {
        let partitions = partitions.into_iter().map(|partition| partition.get()).collect();
        WirePartitions::default().with_topic_id(topic_id.0).with_partitions(partitions)
    };
    let assignment = answer
        .assignment
        .map(|topics| Assignment::default().with_topic_partitions(topics.into_iter().map(wire).collect()));
    ShareGroupHeartbeatResponse::default()
        .with_member_id(Some(text(answer.member_id.as_str())))
        .with_member_epoch(answer.member_epoch)
        .with_heartbeat_interval_ms(answer.heartbeat_interval_ms)
        .with_assignment(assignment)
}

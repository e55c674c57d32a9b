//! Groups as an administrator sees them: which there are, what is in them, where they stand, and moving or deleting them.
//!
//! Key invariant: what concerns one group is asked of its coordinator, which is looked up again for every attempt. The
//! offsets of classic and consumer groups are in `committed`, those of share groups in `share`. Being a member is left
//! to `client::member`.

pub mod committed;
mod describe;
pub mod share;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use kafka_protocol::messages::find_coordinator_response::{Coordinator as Found, FindCoordinatorResponse};
use kafka_protocol::messages::{DeleteGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest};
use kafka_protocol::protocol::StrBytes;

use super::cluster::joined;
use super::connection::Connection;
use super::retry::retrying;
use super::{ClientError, Cluster};
use crate::model::PartitionIndex;
use crate::protocol::ErrorCode;

pub use describe::{GroupFacts, MemberFacts, describe};

/// Something for each of some partitions of some topics.
pub type ByPartition<T> = BTreeMap<String, BTreeMap<PartitionIndex, T>>;

/// FindCoordinator has carried a list of keys since this version (KIP-699).
const FIND_MANY: i16 = 4;

/// Which protocol a group's members speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupType {
    /// JoinGroup and SyncGroup; also groups that only commit offsets.
    Classic,
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071; listed, not described.
    Streams,
}

impl GroupType {
    /// Every type there is.
    pub const ALL: [Self; 4] = [Self::Classic, Self::Consumer, Self::Share, Self::Streams];

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
        }
    }

    /// The type of this name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of a list of groups.
#[derive(Clone, Debug)]
pub struct ListedGroup {
    pub group: String,
    /// `None` if the broker names one that is unknown here.
    pub kind: Option<GroupType>,
    /// What the members agree about, such as `consumer` or `connect`; empty where only offsets were committed.
    pub protocol: String,
    /// Empty if the broker is too old to tell (before Kafka 2.6).
    pub state: String,
}

/// The broker that looks after a group.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub id: i32,
    pub host: String,
    pub port: i32,
}

impl Coordinator {
    /// `host:port`.
    pub fn address(&self) -> String {
        joined(&self.host, self.port)
    }
}

/// Every group of the cluster, by name.
pub async fn list(cluster: &Cluster) -> Result<Vec<ListedGroup>, ClientError> {
    let mut groups = retrying(cluster.timeout(), || async {
        let mut groups = Vec::new();
        for broker in cluster.every_broker().await? {
            groups.extend(list_of(&broker).await?);
        }
        Ok(groups)
    })
    .await?;
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    // A group whose coordinator moves meanwhile may be listed twice.
    groups.dedup_by(|a, b| a.group == b.group);
    Ok(groups)
}

async fn list_of(broker: &Connection) -> Result<Vec<ListedGroup>, ClientError> {
    let answer = broker.call(&ListGroupsRequest::default()).await?;
    if answer.error_code != 0 {
        return Err(ClientError::refused("the list of groups", answer.error_code, None));
    }
    let groups = answer.groups.into_iter().map(|group| {
        // Brokers that do not tell have no other type.
        let kind = match group.group_type.as_str() {
            "" => Some(GroupType::Classic),
            name => GroupType::of_name(name),
        };
        ListedGroup {
            group: group.group_id.to_string(),
            kind,
            protocol: group.protocol_type.to_string(),
            state: group.group_state.to_string(),
        }
    });
    Ok(groups.collect())
}

/// Deletes a group with its offsets; it must have no members.
pub async fn delete(cluster: &Cluster, group: &str) -> Result<(), ClientError> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
    at_coordinator(cluster, group, async |_, connection| {
        let answer = connection.call(&request).await?;
        let result = answer.results.first().ok_or_else(|| unanswered(group))?;
        refuse(group, result.error_code, None)
    })
    .await
}

/// Who coordinates `group`. Creates the topic of offsets on a cluster that has had no groups, which takes a moment.
pub(super) async fn coordinator(cluster: &Cluster, group: &str) -> Result<Coordinator, ClientError> {
    let connection = cluster.any().await?;
    let request = match connection.version_of::<FindCoordinatorRequest>()? {
        FIND_MANY.. => FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]),
        _ => FindCoordinatorRequest::default().with_key(text(group)),
    };
    let found = found_of(group, connection.call(&request).await?)?;
    refuse(group, found.error_code, found.error_message)?;
    Ok(Coordinator { id: found.node_id.0, host: found.host.to_string(), port: found.port })
}

fn found_of(group: &str, answer: FindCoordinatorResponse) -> Result<Found, ClientError> {
    if let Some(found) = answer.coordinators.into_iter().next() {
        return Ok(found);
    }
    // Before version 4 the one answer stands where the list is now.
    if answer.error_code == 0 && answer.host.is_empty() {
        return Err(unanswered(group));
    }
    Ok(Found::default()
        .with_node_id(answer.node_id)
        .with_host(answer.host)
        .with_port(answer.port)
        .with_error_code(answer.error_code)
        .with_error_message(answer.error_message))
}

/// Runs `attempt` at the coordinator of `group`; looks for it again where a retry may help.
async fn at_coordinator<T>(
    cluster: &Cluster,
    group: &str,
    attempt: impl AsyncFn(Coordinator, Rc<Connection>) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let attempt = &attempt;
    retrying(cluster.timeout(), || async move {
        let coordinator = coordinator(cluster, group).await?;
        let connection = cluster.at(&coordinator.address()).await?;
        attempt(coordinator, connection).await
    })
    .await
}

/// An error code of an answer about `group`.
pub(super) fn refuse(group: &str, code: i16, message: Option<StrBytes>) -> Result<(), ClientError> {
    if code == 0 {
        return Ok(());
    }
    Err(ClientError::refused(format!("group {group}"), code, message.map(|text| text.to_string())))
}

/// An error code of an answer about one partition of `topic`.
fn refuse_partition(group: &str, topic: &str, partition: i32, code: i16) -> Result<(), ClientError> {
    if code == 0 {
        return Ok(());
    }
    let subject = format!("group {group}, partition {partition} of topic {topic}");
    Err(ClientError::refused(subject, code, None))
}

fn unanswered(group: &str) -> ClientError {
    ClientError::refused(format!("group {group}"), -1, Some("the broker's answer leaves it out".to_owned()))
}

/// That there is no such group, in our own words.
fn not_found(group: &str) -> ClientError {
    let message = Some("there is no such group".to_owned());
    ClientError::refused(format!("group {group}"), ErrorCode::GroupIdNotFound.code(), message)
}

pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

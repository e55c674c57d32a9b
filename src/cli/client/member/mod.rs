//! A member of a classic group that reads one topic: joining, its share of the partitions, heartbeats, commits, leaving.
//!
//! Key invariant: offsets are committed only under the id and generation that the partitions were assigned under, so a
//! member that lost its place cannot move the group. It has a connection of its own to the coordinator: a join that is
//! held back holds back nothing else. Which records were dealt with is left to the caller.

mod range;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::groups::committed::{check_commit, commit_topics};
use super::groups::{ByPartition, coordinator, group_id, refuse, text};
use super::offsets::Offsets;
use super::retry::Backoff;
use super::{ClientError, Cluster};
use crate::model::PartitionIndex;
use crate::protocol::ErrorCode;

/// After so long without a heartbeat the coordinator gives the partitions to others; Kafka's least is 6 s.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the coordinator waits for members to join again.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// How long joining may meet with trouble before that is the answer.
const PATIENCE: Duration = Duration::from_secs(30);
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";
/// LeaveGroup has carried a list of members since this version (KIP-345).
const LEAVE_MANY: i16 = 3;

/// A member, or one that is about to be.
pub struct Member {
    cluster: Rc<Cluster>,
    group: String,
    topic: String,
    /// Empty until the coordinator gave one.
    id: String,
    /// Of the last assignment; `None` when the place in it is lost.
    generation: Option<i32>,
    connection: Option<Rc<Connection>>,
    /// As the leader, how many partitions of the topic were shared out.
    shared_out: Option<usize>,
}

/// Heartbeats in the background, until this is dropped.
pub struct Heartbeats(JoinSet<ClientError>);

impl Heartbeats {
    /// Why no more can be sent: the group rebalances, or the member's place is lost. May be dropped at any point.
    pub async fn ended(&mut self) -> ClientError {
        match self.0.join_next().await {
            Some(ended) => ended.expect("heartbeats neither panic nor are aborted"),
            None => std::future::pending().await,
        }
    }
}

impl Member {
    /// One that has not joined yet.
    pub fn new(cluster: Rc<Cluster>, group: &str, topic: &str) -> Self {
        Self {
            cluster,
            group: group.to_owned(),
            topic: topic.to_owned(),
            id: String::new(),
            generation: None,
            connection: None,
            shared_out: None,
        }
    }

    /// Joins, or joins again, and answers the partitions that are this member's. Waits for the other members as long as
    /// the coordinator does. If it is dropped half-way, [`Self::leave`] still takes back what was begun.
    pub async fn join(&mut self) -> Result<Vec<PartitionIndex>, ClientError> {
        let mut backoff = Backoff::within(PATIENCE);
        loop {
            // Taken out meanwhile: a connection whose answer nobody awaited any more would hold back what comes next.
            let tried = match self.connection.take().filter(|connection| connection.is_open()) {
                Some(connection) => Ok(connection),
                None => self.connect().await,
            };
            let tried = match tried {
                Ok(connection) => {
                    let assigned = self.join_and_sync(&connection, &mut backoff).await;
                    self.connection = Some(connection);
                    assigned
                }
                Err(error) => Err(error),
            };
            match tried {
                Ok(assigned) => return Ok(assigned),
                Err(error) => {
                    self.lose_place(&error)?;
                    if !backoff.wait().await {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Result<Rc<Connection>, ClientError> {
        let coordinator = coordinator(&self.cluster, &self.group).await?;
        Connection::open(&coordinator.address(), self.cluster.timeout()).await
    }

    async fn join_and_sync(
        &mut self,
        connection: &Connection,
        backoff: &mut Backoff,
    ) -> Result<Vec<PartitionIndex>, ClientError> {
        let mut joined = self.join_once(connection).await?;
        if joined.error_code == ErrorCode::MemberIdRequired.code() && self.id.is_empty() {
            self.id = joined.member_id.to_string();
            joined = self.join_once(connection).await?;
        }
        refuse(&self.group, joined.error_code, None)?;
        // Others that come and go are no trouble of ours.
        *backoff = Backoff::within(PATIENCE);
        self.id = joined.member_id.to_string();
        let assignments = if joined.leader == joined.member_id && !joined.skip_assignment {
            self.share_out(&joined).await?
        } else {
            self.shared_out = None;
            Vec::new()
        };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(joined.generation_id)
            .with_member_id(text(&self.id))
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(joined.protocol_name.clone())
            .with_assignments(assignments);
        let answer = connection.call_held(&request, REBALANCE_TIMEOUT).await?;
        refuse(&self.group, answer.error_code, None)?;
        self.generation = Some(joined.generation_id);
        let assigned = wire::read_assignment(&answer.assignment).unwrap_or_default();
        let mine = assigned.get(&self.topic).cloned().unwrap_or_default();
        Ok(mine.into_iter().map(PartitionIndex).collect())
    }

    async fn join_once(&self, connection: &Connection) -> Result<JoinGroupResponse, ClientError> {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text(PROTOCOL))
            .with_metadata(wire::write_subscription(std::slice::from_ref(&self.topic)));
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(SESSION_TIMEOUT.as_millis() as i32)
            .with_rebalance_timeout_ms(REBALANCE_TIMEOUT.as_millis() as i32)
            .with_member_id(text(&self.id))
            .with_protocol_type(text(PROTOCOL_TYPE))
            .with_protocols(vec![protocol]);
        connection.call_held(&request, REBALANCE_TIMEOUT).await
    }

    /// As the leader: every member's share of what the members wish to read.
    async fn share_out(
        &mut self,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let wishes: BTreeMap<String, Vec<String>> = joined
            .members
            .iter()
            .map(|m| (m.member_id.to_string(), wire::read_subscription(&m.metadata).unwrap_or_default()))
            .collect();
        let wanted: BTreeSet<&String> = wishes.values().flatten().collect();
        let topics = if wanted.iter().all(|topic| **topic == self.topic) {
            vec![self.cluster.topic(&self.topic, false).await?]
        } else {
            self.cluster.all_topics().await?
        };
        let counted = topics.iter().filter(|topic| wanted.contains(&topic.name)).map(|topic| {
            let count = i32::try_from(topic.partitions.len()).expect("partitions are counted by i32");
            (topic.name.clone(), count)
        });
        let shares = range::assign(&wishes, &counted.collect());
        self.shared_out =
            topics.iter().find(|topic| topic.name == self.topic).map(|topic| topic.partitions.len());
        let assignments = shares.iter().map(|(member, share)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(wire::write_assignment(share))
        });
        Ok(assignments.collect())
    }

    /// Whether the topic has another number of partitions than this member, as the leader, has shared out.
    pub async fn must_share_out_anew(&self) -> bool {
        let Some(shared_out) = self.shared_out else { return false };
        let topic = self.cluster.topic(&self.topic, false).await;
        topic.is_ok_and(|topic| topic.partitions.len() != shared_out)
    }

    /// Starts to send heartbeats.
    pub fn heartbeats(&self) -> Heartbeats {
        let mut beating = JoinSet::new();
        if let (Some(connection), Some(generation)) = (self.connection.clone(), self.generation) {
            let request = HeartbeatRequest::default()
                .with_group_id(group_id(&self.group))
                .with_generation_id(generation)
                .with_member_id(text(&self.id));
            beating.spawn_local(beat(connection, self.group.clone(), request));
        }
        Heartbeats(beating)
    }

    /// Takes note of what `error` says of this member's place. Answers the error if joining again cannot help.
    pub fn lose_place(&mut self, error: &ClientError) -> Result<(), ClientError> {
        use ErrorCode as E;
        match error.code() {
            Some(E::RebalanceInProgress) => {}
            Some(E::UnknownMemberId) => {
                self.id.clear();
                self.generation = None;
            }
            Some(E::IllegalGeneration) => self.generation = None,
            _ if error.is_retriable() => self.connection = None,
            _ => return Err(error.clone()),
        }
        Ok(())
    }

    /// Commits offsets of the topic. Does nothing once the place is lost: then they are another member's to commit.
    pub async fn commit(&self, offsets: &Offsets) -> Result<(), ClientError> {
        let (Some(generation), Some(connection)) = (self.generation, &self.connection) else { return Ok(()) };
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(&self.id))
            .with_topics(commit_topics(&ByPartition::from([(self.topic.clone(), offsets.clone())])));
        check_commit(&self.group, &connection.call(&request).await?)
    }

    /// Leaves, so that others get the partitions at once.
    pub async fn leave(mut self) -> Result<(), ClientError> {
        if self.id.is_empty() {
            return Ok(());
        }
        let connection = match self.connection.take().filter(|connection| connection.is_open()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = LeaveGroupRequest::default().with_group_id(group_id(&self.group));
        let request = match connection.version_of::<LeaveGroupRequest>()? {
            LEAVE_MANY.. => {
                let identity = MemberIdentity::default().with_member_id(text(&self.id));
                request.with_members(vec![identity])
            }
            _ => request.with_member_id(text(&self.id)),
        };
        let answer = connection.call(&request).await?;
        refuse(&self.group, answer.error_code, None)
    }
}

/// Sends heartbeats until one is refused.
async fn beat(connection: Rc<Connection>, group: String, request: HeartbeatRequest) -> ClientError {
    loop {
        tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        let answer = connection.call_held(&request, Duration::ZERO).await;
        if let Err(error) = answer.and_then(|answer| refuse(&group, answer.error_code, None)) {
            return error;
        }
    }
}

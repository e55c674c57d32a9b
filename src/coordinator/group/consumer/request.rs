//! What a member says in ConsumerGroupHeartbeat, and what it is told.
//!
//! Key invariant: a request that passed [`HeartbeatRequest::check`] has what its epoch requires; what depends on the group is
//! left to `heartbeat` and `leave`.

use super::member::{JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH, normal};
use crate::config::GroupSettings;
use crate::coordinator::group::space::names_bytes;
use crate::coordinator::records::consumer::{MemberValue, TopicPartitions};
use crate::coordinator::{GroupError, MemberId};

/// Bytes of what is kept of one member, so that its record stays below Kafka's default of `max.message.bytes`, 1 MiB.
pub const MEMBER_BYTES_MAX: usize = 1_000_000;
/// What a name takes in a record besides its bytes, at the most.
const NAME_FIXED_BYTES: usize = 5;

/// ConsumerGroupHeartbeat, versions 0 and 1 (KIP-848, KIP-1082).
#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatRequest {
    /// Up to version 0 empty of a member that has no id yet.
    pub member_id: String,
    /// 0 to join, -1 to leave, -2 to leave as a static member that comes back.
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// -1 if it is as it was.
    pub rebalance_timeout_ms: i32,
    /// `None` if they are as they were.
    pub subscribed_topics: Option<Vec<String>>,
    /// `None` if it is as it was, empty for none; from version 1 on.
    pub subscribed_regex: Option<String>,
    pub server_assignor: Option<String>,
    /// What the member has; `None` if it is as it was.
    pub owned: Option<Vec<TopicPartitions>>,
    pub from: Caller,
    /// Whether the client makes up its own id (from version 1 on).
    pub brings_id: bool,
    /// For the id of a new member: chance is the caller's.
    pub fresh: uuid::Uuid,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub client_id: String,
    /// The address as Kafka writes it: `/127.0.0.1`.
    pub client_host: String,
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    pub member_id: MemberId,
    pub member_epoch: i32,
    /// 0 for one that left.
    pub heartbeat_interval_ms: i32,
    /// What it is to work on, if it changed or the member asked for all.
    pub assignment: Option<Vec<TopicPartitions>>,
}

impl HeartbeatRequest {
    /// Refuses what no group can answer, with Kafka's messages.
    pub(super) fn check(&self, group_id: &str, settings: &GroupSettings) -> Result<(), GroupError> {
        if self.brings_id || self.member_epoch > 0 || self.member_epoch == LEAVE_EPOCH {
            not_blank(Some(&self.member_id), "MemberId")?;
        }
        not_blank(Some(group_id), "GroupId")?;
        not_blank(self.instance_id.as_deref(), "InstanceId")?;
        not_blank(self.rack_id.as_deref(), "RackId")?;
        match self.member_epoch {
            JOIN_EPOCH => self.check_join()?,
            STATIC_LEAVE_EPOCH if self.instance_id.is_none() => {
                return Err(invalid("InstanceId can't be null."));
            }
            epoch if epoch < STATIC_LEAVE_EPOCH => return Err(invalid("MemberEpoch is invalid.")),
            _ => {}
        }
        let supported = &settings.consumer.assignors;
        self.check_size(group_id)?;
        match &self.server_assignor {
            Some(name) if !supported.contains(name) => Err(GroupError::UnsupportedAssignor(format!(
                "ServerAssignor {name} is not supported. Supported assignors: {}.",
                supported.join(", ")
            ))),
            _ => Ok(()),
        }
    }

    fn check_size(&self, group_id: &str) -> Result<(), GroupError> {
        let names = self.subscribed_topics.iter().flatten().map(|name| name.len() + NAME_FIXED_BYTES);
        let texts = [&self.instance_id, &self.rack_id, &self.subscribed_regex, &self.server_assignor];
        let texts = texts.into_iter().flatten().map(String::len);
        let caller = self.from.client_id.len() + self.from.client_host.len();
        let ids = group_id.len() + self.member_id.len() + caller;
        if ids + texts.sum::<usize>() + names.sum::<usize>() <= MEMBER_BYTES_MAX {
            return Ok(());
        }
        Err(GroupError::GroupTooLarge(format!("A member may take {MEMBER_BYTES_MAX} bytes.")))
    }

    /// Whether a member joins, or says what it did not say before.
    pub(super) fn says_more(&self) -> bool {
        self.member_epoch == JOIN_EPOCH || self.subscribed_topics.is_some() || self.subscribed_regex.is_some()
    }

    /// What of the member has to be kept in memory, as far as the request says it.
    pub(super) fn brings_bytes(&self) -> usize {
        let names = names_bytes(self.subscribed_topics.as_deref().unwrap_or_default());
        let texts = [&self.instance_id, &self.rack_id, &self.subscribed_regex, &self.server_assignor];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        self.from.client_id.len() + self.from.client_host.len() + texts + names
    }

    fn check_join(&self) -> Result<(), GroupError> {
        if self.rebalance_timeout_ms == -1 {
            return Err(invalid("RebalanceTimeoutMs must be provided in first request."));
        }
        if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return Err(invalid("TopicPartitions must be empty when (re-)joining."));
        }
        if self.subscribed_topics.is_none() && self.subscribed_regex.is_none() {
            let text =
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
            return Err(invalid(text));
        }
        Ok(())
    }

    /// Whether it says everything, as a member does that joins or lost track: it is answered with everything.
    pub(super) fn is_full(&self) -> bool {
        let subscribed = self.subscribed_topics.is_some() || self.subscribed_regex.is_some();
        self.rebalance_timeout_ms != -1 && subscribed && self.owned.is_some()
    }

    /// Whether it says nothing new of a member, so that [`Self::applied_to`] would change nothing.
    pub(super) fn is_old_news(&self, value: &MemberValue) -> bool {
        let nothing_new = |said: Option<&str>, known: Option<&str>| said.is_none() || said == known;
        value.classic.is_none()
            && value.client_id == self.from.client_id
            && value.client_host == self.from.client_host
            && nothing_new(self.instance_id.as_deref(), value.instance_id.as_ref().map(|id| id.as_str()))
            && nothing_new(self.rack_id.as_deref(), value.rack_id.as_deref())
            && nothing_new(self.server_assignor.as_deref(), value.server_assignor.as_deref())
            && (self.rebalance_timeout_ms == -1 || self.rebalance_timeout_ms == value.rebalance_timeout_ms)
            && self.subscribed_topics.is_none()
            && self.subscribed_regex.is_none()
    }

    /// What is known of a member after this request.
    pub(super) fn applied_to(&self, before: &MemberValue) -> MemberValue {
        let mut value = before.clone();
        if let Some(id) = &self.instance_id {
            value.instance_id = Some(id.as_str().into());
        }
        if let Some(rack) = &self.rack_id {
            value.rack_id = Some(rack.clone());
        }
        if self.rebalance_timeout_ms != -1 {
            value.rebalance_timeout_ms = self.rebalance_timeout_ms;
        }
        if let Some(assignor) = &self.server_assignor {
            value.server_assignor = Some(assignor.clone());
        }
        if let Some(topics) = &self.subscribed_topics {
            value.subscribed_topics.clone_from(topics);
        }
        if let Some(regex) = &self.subscribed_regex {
            value.subscribed_regex = Some(regex.clone());
        }
        value.client_id.clone_from(&self.from.client_id);
        value.client_host.clone_from(&self.from.client_host);
        value.classic = None;
        normal(value)
    }
}

fn invalid(text: &str) -> GroupError {
    GroupError::InvalidRequest(text.to_owned())
}

fn not_blank(value: Option<&str>, name: &str) -> Result<(), GroupError> {
    // Java's trim takes control characters and spaces off.
    let blank = value.is_some_and(|text| text.chars().all(|c| c <= ' '));
    if blank { Err(invalid(&format!("{name} can't be empty."))) } else { Ok(()) }
}

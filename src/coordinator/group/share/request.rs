//! What members of a share group say, and what they and operators are told.
//!
//! Key invariant: texts are copies of their own, never slices of the request that brought them.

use crate::coordinator::MemberId;
use crate::coordinator::group::space::names_bytes;
use crate::coordinator::records::consumer::TopicPartitions;
use crate::coordinator::records::share::NamedPartitions;

/// ShareGroupHeartbeat (KIP-932).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareHeartbeat {
    /// Made up by the member.
    pub member_id: String,
    /// 0 to join, -1 to leave.
    pub member_epoch: i32,
    pub rack_id: Option<String>,
    pub client_id: String,
    /// The address as Kafka writes it: `/127.0.0.1`.
    pub client_host: String,
    /// `None` if they have not changed.
    pub subscribed_topics: Option<Vec<String>>,
}

impl ShareHeartbeat {
    /// Whether a member that stays says something of itself.
    pub(super) fn says_more(&self) -> bool {
        self.member_epoch == 0 || (self.member_epoch > 0 && self.subscribed_topics.is_some())
    }

    /// What of the member has to be kept in memory, as far as the request says it.
    pub(super) fn brings_bytes(&self) -> usize {
        let names = names_bytes(self.subscribed_topics.as_deref().unwrap_or_default());
        let rack = self.rack_id.as_ref().map_or(0, String::len);
        self.client_id.len() + self.client_host.len() + rack + names
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareHeartbeatAnswer {
    pub member_id: MemberId,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// `None` if the member knows it.
    pub assignment: Option<Vec<TopicPartitions>>,
    /// Share partitions whose state is to be initialized now; they are assigned when [`super::Groups::share_initialized`] has
    /// said that they are.
    pub initialize: Option<Initialize>,
}

/// State to be initialized at the share coordinator, without a start offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialize {
    pub state_epoch: i32,
    pub partitions: Vec<NamedPartitions>,
}

/// Where a share group stands, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareGroupState {
    Empty,
    Stable,
}

impl ShareGroupState {
    /// As requests and answers have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Stable => "Stable",
        }
    }
}

/// ShareGroupDescribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGroupDescription {
    pub state: ShareGroupState,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<ShareMemberDescription>,
}

/// A member as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareMemberDescription {
    pub id: MemberId,
    pub rack_id: Option<String>,
    pub epoch: i32,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topics: Vec<String>,
    /// With the names of those topics that there are.
    pub assignment: Vec<NamedPartitions>,
}

//! A group as DescribeGroups and ListGroups show it.
//!
//! Key invariant: what members sent when they joined is shown only of a generation that is complete.

use bytes::Bytes;

use super::{ClassicGroup, State};
use crate::coordinator::{InstanceId, MemberId};

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedGroup {
    pub state: &'static str,
    /// Empty of a group that nobody has joined.
    pub protocol_type: String,
    /// Empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub id: MemberId,
    pub instance_id: Option<InstanceId>,
    pub client_id: String,
    pub client_host: String,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl ClassicGroup {
    /// The group as it is now.
    pub fn describe(&self) -> DescribedGroup {
        let protocol = if self.state == State::Stable { self.protocol.as_deref() } else { None };
        let describe = |member: &super::Member| DescribedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: protocol.and_then(|name| member.metadata(name)).cloned().unwrap_or_default(),
            assignment: member.assignment.clone(),
        };
        DescribedGroup {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: self.members().map(describe).collect(),
        }
    }
}

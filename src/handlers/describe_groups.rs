//! DescribeGroups (KIP-430, KIP-1043): classic groups with their members and what these were given.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::messages::describe_groups_response::{
    DescribedGroup as WireGroup, DescribedGroupMember as WireMember,
};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId as WireId};

use super::topics::text;
use super::{Server, errors};
use crate::coordinator::GroupError;
use crate::coordinator::group::classic::{DescribedGroup, DescribedMember};

/// The first version that can ask for operations.
const OPERATIONS_FROM: i16 = 3;
/// The first version that tells an unknown group by an error; before, it is a dead one (KIP-1043).
const NOT_FOUND_FROM: i16 = 6;
/// Everything that can be done to a group, as a set of operation codes: read, delete, describe, describe and alter configs.
/// Without an authorizer everyone may do it.
pub const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;
/// The state of a group that is not there.
const DEAD: &str = "Dead";

/// Describes each group once, in the order of the request.
pub async fn handle(
    server: &Rc<Server>,
    request: DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    let asked = version >= OPERATIONS_FROM && request.include_authorized_operations;
    let mut told = BTreeSet::new();
    let mut groups = Vec::with_capacity(request.groups.len());
    // What is asked for twice is told once: an answer can be much larger than its request.
    for id in request.groups.iter().filter(|id| told.insert(id.as_str())) {
        let group = id.0.to_string();
        let described =
            server.shard().groups(id.as_str(), move |groups, _, _| groups.describe_classic(&group));
        groups.push(answer(id, described.await.flatten(), version, asked));
    }
    DescribeGroupsResponse::default().with_groups(groups)
}

fn answer(
    id: &WireId,
    described: Result<DescribedGroup, GroupError>,
    version: i16,
    asked: bool,
) -> WireGroup {
    // A name of its own: the answer is not to hold on to the request's frame.
    let group = WireGroup::default().with_group_id(WireId(text(id.as_str())));
    let group = match described {
        Ok(described) => whole(group, described),
        Err(GroupError::GroupIdNotFound(_)) if version < NOT_FOUND_FROM => group.with_group_state(text(DEAD)),
        Err(GroupError::GroupIdNotFound(message)) => {
            let code = errors::of_group(&GroupError::GroupIdNotFound(String::new()));
            group
                .with_group_state(text(DEAD))
                .with_error_code(code.code())
                .with_error_message(Some(text(message)))
        }
        Err(error) => group.with_error_code(errors::of_group(&error).code()),
    };
    match asked && group.error_code == 0 {
        true => group.with_authorized_operations(GROUP_OPERATIONS),
        false => group,
    }
}

fn whole(group: WireGroup, described: DescribedGroup) -> WireGroup {
    let member = |member: DescribedMember| {
        WireMember::default()
            .with_member_id(text(member.id.as_str()))
            .with_group_instance_id(member.instance_id.map(|id| text(id.as_str())))
            .with_client_id(text(member.client_id))
            .with_client_host(text(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    };
    group
        .with_group_state(text(described.state))
        .with_protocol_type(text(described.protocol_type))
        .with_protocol_data(text(described.protocol))
        .with_members(described.members.into_iter().map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::{InstanceId, MemberId};
    use bytes::Bytes;
    use kafka_protocol::protocol::Encodable;

    /// What is answered to a request of this version that asks for operations.
    fn told(described: Result<DescribedGroup, GroupError>, version: i16) -> WireGroup {
        let group = answer(&WireId(text("g")), described, version, version >= OPERATIONS_FROM);
        let response = DescribeGroupsResponse::default().with_groups(vec![group.clone()]);
        response.encode(&mut bytes::BytesMut::new(), version).unwrap();
        group
    }

    #[test]
    fn a_group_that_is_not_there_is_dead_or_not_found() {
        let not_found = || Err(GroupError::GroupIdNotFound("Group g not found.".to_owned()));
        for version in 0..=6 {
            let group = told(not_found(), version);
            assert_eq!(&*group.group_state, "Dead");
            assert_eq!(group.error_code, if version < 6 { 0 } else { 69 });
            assert_eq!(group.error_message.as_deref(), (version == 6).then_some("Group g not found."));
            let operations = if (3..6).contains(&version) { 3_400 } else { i32::MIN };
            assert_eq!(group.authorized_operations, operations);
        }
    }

    #[test]
    fn a_group_is_told_whole_in_every_version() {
        let member = DescribedMember {
            id: MemberId::from("m"),
            instance_id: Some(InstanceId::from("i")),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            metadata: Bytes::from_static(b"subscription"),
            assignment: Bytes::from_static(b"assignment"),
        };
        let described = DescribedGroup {
            state: "Stable",
            protocol_type: "consumer".to_owned(),
            protocol: "range".to_owned(),
            members: vec![member],
        };
        for version in 0..=6 {
            let group = told(Ok(described.clone()), version);
            assert_eq!(
                (&*group.group_state, &*group.protocol_type, &*group.protocol_data),
                ("Stable", "consumer", "range")
            );
            let member = &group.members[0];
            assert_eq!((&*member.client_id, &*member.client_host), ("c", "/127.0.0.1"));
            assert_eq!(
                (&member.member_metadata[..], &member.member_assignment[..]),
                (&b"subscription"[..], &b"assignment"[..])
            );
        }
    }

    #[test]
    fn a_coordinator_that_is_not_there_is_an_error_of_its_group() {
        for version in 0..=6 {
            let group = told(Err(GroupError::LoadInProgress), version);
            assert_eq!(
                (group.error_code, &*group.group_state, group.authorized_operations),
                (14, "", i32::MIN)
            );
        }
    }

    #[test]
    fn the_operations_are_those_of_a_group() {
        // Kafka's AclOperation codes.
        let (read, delete, describe, describe_configs, alter_configs) = (3, 6, 8, 10, 11);
        let all = [read, delete, describe, describe_configs, alter_configs];
        assert_eq!(all.iter().fold(0, |set, code| set | 1 << code), GROUP_OPERATIONS);
    }
}

//! LeaveGroup (KIP-345, KIP-800): members of a classic group go, one in old versions, several in newer ones.

use std::rc::Rc;

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::topics::text;
use super::{Server, errors};
use crate::coordinator::group::classic::{Leaving, Left};
use crate::coordinator::{GroupError, GroupId};
use crate::protocol::ErrorCode;

/// The first version with several members in one request.
const BATCHED_FROM: i16 = 3;

/// Answers when the members are gone.
pub async fn handle(server: &Rc<Server>, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let group = request.group_id.0.to_string();
    let id = GroupId::from(group.as_str());
    let leaving = leaving_of(request, version);
    let left =
        server.shard().groups(&group, move |groups, turn, actions| groups.leave(turn, &id, leaving, actions));
    answer(left.await.flatten(), version)
}

fn leaving_of(request: LeaveGroupRequest, version: i16) -> Vec<Leaving> {
    let of = |member: MemberIdentity| Leaving {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_deref().map(str::to_owned),
        reason: member.reason.as_deref().map(str::to_owned),
    };
    match version {
        ..BATCHED_FROM => vec![of(MemberIdentity::default().with_member_id(request.member_id))],
        _ => request.members.into_iter().map(of).collect(),
    }
}

fn answer(left: Result<Vec<Left>, GroupError>, version: i16) -> LeaveGroupResponse {
    let left = match left {
        Ok(left) => left,
        Err(error) => {
            return LeaveGroupResponse::default().with_error_code(errors::of_group(&error).code());
        }
    };
    let code = |left: &Left| left.outcome.as_ref().err().map_or(ErrorCode::None, errors::of_group).code();
    if version < BATCHED_FROM {
        let only = left.first().map_or(ErrorCode::None.code(), code);
        return LeaveGroupResponse::default().with_error_code(only);
    }
    let members = left.iter().map(|left| {
        MemberResponse::default()
            .with_member_id(text(left.member_id.as_str()))
            .with_group_instance_id(left.instance_id.as_deref().map(text))
            .with_error_code(code(left))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::protocol::Encodable;

    #[test]
    fn old_versions_have_one_member_and_newer_ones_several() {
        let several = vec![
            MemberIdentity::default().with_member_id(text("a")).with_reason(Some(text("because"))),
            MemberIdentity::default().with_group_instance_id(Some(text("i"))),
        ];
        for version in 0..=5 {
            let request = match version {
                ..3 => LeaveGroupRequest::default().with_member_id(text("a")),
                _ => LeaveGroupRequest::default().with_members(several.clone()),
            };
            let leaving = leaving_of(request, version);
            assert_eq!(leaving[0].member_id, "a");
            assert_eq!(leaving.len(), if version < 3 { 1 } else { 2 });
        }
    }

    #[test]
    fn answers_fit_every_version() {
        let left = |outcome| Left { member_id: "a".to_owned(), instance_id: None, outcome };
        for version in 0..=5 {
            let gone = answer(Ok(vec![left(Ok(()))]), version);
            assert_eq!((gone.error_code, gone.members.len()), (0, usize::from(version >= 3)));
            let unknown = answer(Ok(vec![left(Err(GroupError::UnknownMemberId(String::new())))]), version);
            if version < 3 {
                assert_eq!((unknown.error_code, unknown.members.len()), (25, 0));
            } else {
                assert_eq!((unknown.error_code, unknown.members[0].error_code), (0, 25));
            }
            let moved = answer(Err(GroupError::NotCoordinator), version);
            assert_eq!((moved.error_code, moved.members.len()), (16, 0));
            for answer in [gone, unknown, moved] {
                answer.encode(&mut bytes::BytesMut::new(), version).unwrap();
            }
        }
    }
}

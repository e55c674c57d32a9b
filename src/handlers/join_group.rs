//! JoinGroup (KIP-345, KIP-394, KIP-559, KIP-800, KIP-814): a member of a classic group asks to be in its next generation.
//!
//! Key invariant: what is taken from the request is copied, since it outlives the request by far.

use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::topics::text;
use super::{Client, Server, errors};
use crate::coordinator::group::classic::{JoinRequest, Joined, JoinedMember};
use crate::coordinator::{GroupError, GroupId, InstanceId};

/// The first version that has a rebalance timeout; before, the session timeout stood for both.
const REBALANCE_TIMEOUT_FROM: i16 = 1;
/// The first version whose clients join again with the id that they are told (KIP-394).
const KNOWN_MEMBER_FROM: i16 = 4;
/// The first version in which the protocol's name may be missing (KIP-559).
const NULLABLE_PROTOCOL_FROM: i16 = 7;
/// The first version whose clients can be told to skip their assignment (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;

/// Answers when the group has gathered.
pub async fn handle(
    server: &Rc<Server>,
    client: &Client,
    request: JoinGroupRequest,
    version: i16,
    client_id: String,
) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    let group = request.group_id.0.to_string();
    let id = GroupId::from(group.as_str());
    let host = host_of(client.peer().ip());
    let join = join_of(request, version, client_id, host);
    let joined = server.shard().join_group(&group, move |groups, turn, ticket, actions| {
        groups.join(turn, &id, join, ticket, actions);
    });
    match joined.await {
        Ok(joined) => accepted(joined, version),
        Err(error) => refused(&error, member_id, version),
    }
}

fn join_of(request: JoinGroupRequest, version: i16, client_id: String, client_host: String) -> JoinRequest {
    let session_timeout_ms = request.session_timeout_ms;
    let copied = |(name, metadata): (StrBytes, Bytes)| (name.to_string(), Bytes::copy_from_slice(&metadata));
    let protocols = request.protocols.into_iter().map(|protocol| copied((protocol.name, protocol.metadata)));
    JoinRequest {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_deref().map(InstanceId::from),
        client_id,
        client_host,
        session_timeout_ms,
        rebalance_timeout_ms: match version {
            ..REBALANCE_TIMEOUT_FROM => session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
        reason: request.reason.as_deref().map(str::to_owned),
        requires_known_member: version >= KNOWN_MEMBER_FROM,
        supports_skipping_assignment: version >= SKIP_ASSIGNMENT_FROM,
        fresh: uuid::Uuid::new_v4(),
    }
}

fn accepted(joined: Joined, version: i16) -> JoinGroupResponse {
    let member = |member: JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.id.as_str()))
            .with_group_instance_id(member.instance_id.map(|id| text(id.as_str())))
            .with_metadata(member.metadata)
    };
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(text))
        .with_protocol_name(protocol_name(joined.protocol, version))
        .with_leader(text(joined.leader.as_str()))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(joined.member_id.as_str()))
        .with_members(joined.members.into_iter().map(member).collect())
}

/// A refusal names the member that asked, the one that is to ask again under its new id, or nobody.
fn refused(error: &GroupError, asked: StrBytes, version: i16) -> JoinGroupResponse {
    let member_id = match error {
        GroupError::MemberIdRequired(id) => text(id.as_str()),
        GroupError::GroupMaxSizeReached(_) => StrBytes::default(),
        _ => asked,
    };
    JoinGroupResponse::default()
        .with_error_code(errors::of_group(error).code())
        .with_protocol_name(protocol_name(None, version))
        .with_member_id(member_id)
}

/// Older versions have an empty name where newer ones have none.
fn protocol_name(name: Option<String>, version: i16) -> Option<StrBytes> {
    let name = name.filter(|name| !name.is_empty()).map(text);
    if version < NULLABLE_PROTOCOL_FROM { Some(name.unwrap_or_default()) } else { name }
}

/// An address as Java prints it, which is what Kafka's tools show: `/127.0.0.1`, `/0:0:0:0:0:0:0:1`.
pub fn host_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let segments: Vec<String> = address.segments().iter().map(|part| format!("{part:x}")).collect();
            format!("/{}", segments.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::MemberId;
    use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
    use kafka_protocol::protocol::Encodable;

    fn request() -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"metadata"));
        JoinGroupRequest::default()
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(text("m"))
            .with_group_instance_id(Some(text("i")))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    #[test]
    fn what_a_version_means_is_told_to_the_group() {
        for version in 0..=9 {
            let join = join_of(request(), version, "c".to_owned(), "/127.0.0.1".to_owned());
            let rebalance_timeout_ms = if version == 0 { 10_000 } else { 60_000 };
            assert_eq!(join.rebalance_timeout_ms, rebalance_timeout_ms);
            assert_eq!(join.requires_known_member, version >= 4);
            assert_eq!(join.supports_skipping_assignment, version == 9);
            assert_eq!(join.instance_id, Some(InstanceId::from("i")));
            assert_eq!(join.protocols, [("range".to_owned(), Bytes::from_static(b"metadata"))]);
        }
        let fresh = || join_of(request(), 9, String::new(), String::new()).fresh;
        assert_ne!(fresh(), fresh());
    }

    #[test]
    fn answers_fit_every_version() {
        for version in 0..=9 {
            let member = JoinedMember {
                id: MemberId::from("m"),
                instance_id: Some(InstanceId::from("i")),
                metadata: Bytes::from_static(b"metadata"),
            };
            let joined = Joined {
                member_id: MemberId::from("m"),
                generation: 3,
                protocol_type: Some("consumer".to_owned()),
                protocol: Some("range".to_owned()),
                leader: MemberId::from("m"),
                skip_assignment: version == 9,
                members: vec![member],
            };
            let answer = accepted(joined, version);
            assert_eq!((answer.error_code, answer.generation_id), (0, 3));
            assert_eq!(answer.protocol_name.as_deref(), Some("range"));
            answer.encode(&mut bytes::BytesMut::new(), version).unwrap();
            let answer = refused(&GroupError::MemberIdRequired(MemberId::from("new")), text(""), version);
            assert_eq!((answer.error_code, answer.generation_id, &*answer.member_id), (79, -1, "new"));
            assert_eq!(answer.protocol_name.as_deref(), if version < 7 { Some("") } else { None });
            answer.encode(&mut bytes::BytesMut::new(), version).unwrap();
        }
        let unknown = refused(&GroupError::UnknownMemberId(String::new()), text("m"), 9);
        assert_eq!((unknown.error_code, &*unknown.member_id), (25, "m"));
        let full = refused(&GroupError::GroupMaxSizeReached(String::new()), text("m"), 9);
        assert_eq!((full.error_code, &*full.member_id), (81, ""));
    }

    #[test]
    fn addresses_are_written_as_kafka_does() {
        let cases = [
            ("127.0.0.1", "/127.0.0.1"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("::ffff:10.0.0.1", "/10.0.0.1"),
            ("2001:db8::a", "/2001:db8:0:0:0:0:0:a"),
        ];
        for (address, written) in cases {
            assert_eq!(host_of(address.parse().unwrap()), written);
        }
    }
}

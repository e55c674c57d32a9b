//! ListGroups (KIP-518, KIP-848): the groups that this node coordinates.
//!
//! Key invariant: while any coordinator partition loads, the answer is that and no list: one that lacked groups could not be
//! told from a whole one.

use std::rc::Rc;

use kafka_protocol::messages::list_groups_response::ListedGroup as WireGroup;
use kafka_protocol::messages::{GroupId as WireId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::topics::text;
use super::{Client, Server};
use crate::coordinator::group::offsets::{GroupFilter, ListedGroup};
use crate::protocol::ErrorCode;

/// Lists what passes the filters.
pub async fn handle(server: &Rc<Server>, client: &Client, request: ListGroupsRequest) -> ListGroupsResponse {
    let own = |names: Vec<StrBytes>| names.iter().map(ToString::to_string).collect();
    let filter = GroupFilter { states: own(request.states_filter), types: own(request.types_filter) };
    let all =
        server.shard().all_groups(server.shards_seen_by(client), move |groups, _| groups.list(&filter)).await;
    if all.loading {
        return ListGroupsResponse::default().with_error_code(ErrorCode::CoordinatorLoadInProgress.code());
    }
    answer(all.answers.into_iter().flatten().collect())
}

fn answer(mut groups: Vec<ListedGroup>) -> ListGroupsResponse {
    groups.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let listed = groups.into_iter().map(|group| {
        WireGroup::default()
            .with_group_id(WireId(text(group.id.as_str())))
            .with_protocol_type(text(group.protocol_type))
            .with_group_state(StrBytes::from_static_str(group.state))
            .with_group_type(StrBytes::from_static_str(group.kind))
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

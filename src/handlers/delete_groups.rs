//! DeleteGroups (KIP-229): forgets groups that have no members, with their offsets.
//!
//! Key invariant: a group that is answered without an error is durably gone, with all its offsets.

use std::rc::Rc;

use indexmap::IndexSet;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Server, errors, share_states};
use crate::coordinator::group::offsets::Deletion;
use crate::coordinator::{GroupError, GroupId};

/// Deletes and answers each group; one that is named twice, once.
pub async fn handle(server: &Rc<Server>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let names: IndexSet<_> = request.groups_names.into_iter().collect();
    let mut results = Vec::with_capacity(names.len());
    for name in names {
        let deleted = delete(server, &name).await;
        let code = deleted.err().map_or(0, |error| errors::of_group(&error).code());
        results.push(DeletableGroupResult::default().with_group_id(name).with_error_code(code));
    }
    DeleteGroupsResponse::default().with_results(results)
}

/// A group with very many offsets takes several events. If it gets a member between them it stays, without those offsets.
async fn delete(server: &Rc<Server>, group: &str) -> Result<(), GroupError> {
    share_states::delete_of_group(server, group).await?;
    loop {
        let id = GroupId::from(group);
        let event = server.shard().groups(group, move |groups, _, actions| groups.delete_group(&id, actions));
        if event.await.and_then(|answer| answer)? == Deletion::Done {
            return Ok(());
        }
    }
}

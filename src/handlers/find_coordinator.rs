//! FindCoordinator (KIP-699, KIP-932): which broker looks after a group or a share partition.
//!
//! Key invariant: a node that is named serves the key's coordinator partition. Transactions are not served yet: they are
//! refused with INVALID_REQUEST, which clients report; COORDINATOR_NOT_AVAILABLE would make them ask for ever.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId as WireBroker, FindCoordinatorRequest, FindCoordinatorResponse};

use super::topics::text;
use super::{Server, internal_topics};
use crate::coordinator::partition_of;
use crate::metadata::{CONSUMER_OFFSETS_TOPIC, ClusterId, Node, SHARE_GROUP_STATE_TOPIC, TopicImage};
use crate::model::{BrokerId, PartitionIndex, TopicId, TopicPartition};
use crate::protocol::ErrorCode;

/// The first version with several keys in one request.
const BATCHED_FROM: i16 = 4;
/// The first version that asks for share partitions.
const SHARE_FROM: i16 = 6;

/// Where a coordinator is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    node: BrokerId,
    host: String,
    port: u16,
}

/// Why there is none, with words where an error code alone would puzzle.
type Refusal = (ErrorCode, Option<&'static str>);

/// What was found for partitions of one internal topic: keys of one request share many.
#[derive(Default)]
struct Found(BTreeMap<(&'static str, PartitionIndex), Result<Place, Refusal>>);

/// Answers each key.
pub async fn handle(
    server: &Rc<Server>,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let mut found = Found::default();
    if version < BATCHED_FROM {
        let place = find(server, request.key_type, &request.key, (version, &mut found)).await;
        return single(place);
    }
    let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
    for key in request.coordinator_keys {
        let place = find(server, request.key_type, &key, (version, &mut found)).await;
        coordinators.push(batched(place).with_key(key));
    }
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}

fn single(place: Result<Place, Refusal>) -> FindCoordinatorResponse {
    match place {
        Ok(place) => FindCoordinatorResponse::default()
            .with_error_message(Some(text("NONE")))
            .with_node_id(WireBroker(place.node.0))
            .with_host(text(place.host))
            .with_port(i32::from(place.port)),
        Err((code, message)) => FindCoordinatorResponse::default()
            .with_error_code(code.code())
            .with_error_message(Some(text(message.unwrap_or(code.message()))))
            .with_node_id(WireBroker(-1))
            .with_port(-1),
    }
}

fn batched(place: Result<Place, Refusal>) -> Coordinator {
    match place {
        Ok(place) => Coordinator::default()
            .with_node_id(WireBroker(place.node.0))
            .with_host(text(place.host))
            .with_port(i32::from(place.port)),
        Err((code, message)) => Coordinator::default()
            .with_error_code(code.code())
            .with_error_message(Some(text(message.unwrap_or_default())))
            .with_node_id(WireBroker(-1))
            .with_port(-1),
    }
}

async fn find(
    server: &Rc<Server>,
    key_type: i8,
    key: &str,
    (version, found): (i16, &mut Found),
) -> Result<Place, Refusal> {
    let (name, key) = state_of(key_type, key, version)?;
    let topic = internal_topics::ensure(server, name).await.map_err(|code| (code, None))?;
    let partition = partition_of(&key, topic.partitions.len());
    if let Some(known) = found.0.get(&(name, partition)) {
        return known.clone();
    }
    let place = place(server, &topic, partition).await;
    found.0.insert((name, partition), place.clone());
    place
}

/// The topic that has the state of a key, and what is hashed to find its partition.
fn state_of(key_type: i8, key: &str, version: i16) -> Result<(&'static str, String), Refusal> {
    let refuse = |message| Err((ErrorCode::InvalidRequest, Some(message)));
    match key_type {
        0 => Ok((CONSUMER_OFFSETS_TOPIC, key.to_owned())),
        1 => refuse("This broker does not serve transactions; produce without a transactional id."),
        2 if version < SHARE_FROM => refuse("Share partitions are asked for from version 6 on."),
        2 => match share_key(key) {
            Some(key) => Ok((SHARE_GROUP_STATE_TOPIC, key)),
            None => refuse("The key of a share partition is groupId:topicId:partition."),
        },
        _ => refuse("The coordinator type is unknown."),
    }
}

/// A share partition's key in the form that is hashed, if it is one: a number may be written in several ways.
fn share_key(key: &str) -> Option<String> {
    let mut parts = key.split(':');
    let (group, topic, partition) = (parts.next()?.trim(), parts.next()?, parts.next()?);
    // Java's `split` passes over what is empty at the end.
    if group.is_empty() || parts.any(|part| !part.is_empty()) {
        return None;
    }
    // The ids of clusters and of topics are written alike.
    let topic = TopicId(topic.parse::<ClusterId>().ok()?.0);
    let partition: i32 = partition.parse().ok()?;
    Some(format!("{group}:{topic}:{partition}"))
}

async fn place(
    server: &Rc<Server>,
    topic: &Arc<TopicImage>,
    partition: PartitionIndex,
) -> Result<Place, Refusal> {
    const UNAVAILABLE: Refusal = (ErrorCode::CoordinatorNotAvailable, None);
    let node = topic.partition(partition).ok_or(UNAVAILABLE)?.leader;
    if node == server.broker_id() && !internal_topics::is_open(server, topic, partition).await {
        return Err(UNAVAILABLE);
    }
    let image = server.shard().image();
    let presentation = server.presentation();
    let node = presentation.replica(node, TopicPartition { topic_id: topic.id, partition });
    let Node { id: node, host, port, .. } = presentation.node(&image, node).ok_or(UNAVAILABLE)?;
    Ok(Place { node, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_share_partitions_are_checked_and_hashed_as_kafka_does() {
        let id = "AAAAAAAAAAAAAAAAAAAAAQ";
        assert_eq!(share_key(&format!("g:{id}:3")), Some(format!("g:{id}:3")));
        assert_eq!(share_key(&format!(" g :{id}:+03")), Some(format!("g:{id}:3")));
        for key in ["", "g", &format!("g:{id}"), &format!("g:{id}:x"), &format!(" :{id}:1"), "g:short:1"] {
            assert_eq!(share_key(key), None, "{key}");
        }
        assert_eq!(share_key(&format!("g:{id}:1:2")), None);
    }

    #[test]
    fn what_is_not_served_is_refused_in_words() {
        let refused = |key_type, version| state_of(key_type, "k", version).unwrap_err();
        for (key_type, version) in [(1, 6), (2, 5), (2, 6), (3, 6), (-1, 0)] {
            let (code, message) = refused(key_type, version);
            assert_eq!(code, ErrorCode::InvalidRequest);
            let response = single(Err((code, message)));
            assert_eq!(response.error_message.as_deref(), message);
            assert_eq!((response.node_id.0, response.port), (-1, -1));
        }
        assert_eq!(state_of(0, "", 0), Ok((CONSUMER_OFFSETS_TOPIC, String::new())));
    }

    #[test]
    fn a_place_is_told_in_both_layouts() {
        let place = || Ok(Place { node: BrokerId(1), host: "127.0.0.1".to_owned(), port: 9092 });
        let old = single(place());
        assert_eq!((old.error_code, &*old.host, old.port), (0, "127.0.0.1", 9092));
        assert_eq!(old.error_message.as_deref(), Some("NONE"), "as Kafka has it");
        let new = batched(place());
        assert_eq!((new.error_code, &*new.host, new.port), (0, "127.0.0.1", 9092));
        assert_eq!(new.error_message.as_deref(), Some(""));
    }
}

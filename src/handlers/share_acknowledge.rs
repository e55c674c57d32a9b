//! ShareAcknowledge (KIP-932, KIP-1222): what a member says of the records that it acquired.
//!
//! Key invariant: an acknowledgement is answered when it is durable; those of one partition are taken all or none.

use std::rc::Rc;

use crate::coordinator::share::{AckBatch, AckType};
use crate::coordinator::{GroupError, GroupId, MemberId};
use crate::model::{Offset, PartitionIndex, ShardId, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::api_versions::SHARE_VERSION;
use crate::protocol::share_acknowledge::{
    AcknowledgedPartition, ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareAcknowledgeTopicResponse,
};
use crate::protocol::share_fetch::{AcknowledgementBatch, FetchTopic};
use crate::shard::{Acknowledgements, ShareError, Sharer};

use super::share_fetch::ShareSessionError;
use super::topics::text;
use super::{Client, Server, errors};

/// Kafka's members name themselves with at most so many characters.
const MEMBER_ID_BYTES_MAX: usize = 36;
/// From this version on records can be renewed.
const RENEWALS_FROM: i16 = 2;

/// Why nothing comes of the acknowledgements of a partition: the code, and what the client shows beside it. A request that is
/// refused as a whole, or that is malformed, has only the code, as in Kafka.
type Refused = (ErrorCode, Option<String>);

/// What a request acknowledges of one partition.
pub struct Asked {
    id: TopicPartition,
    batches: Result<Vec<AckBatch>, Refused>,
}

/// What came of it.
pub struct Acknowledged {
    pub id: TopicPartition,
    pub outcome: Result<(), Refused>,
}

/// Answers one request.
pub async fn handle(
    server: &Rc<Server>,
    request: ShareAcknowledgeRequest,
    version: i16,
) -> ShareAcknowledgeResponse {
    answer(server, request, version).await.unwrap_or_else(|code| ShareAcknowledgeResponse {
        error_code: code.code(),
        ..ShareAcknowledgeResponse::default()
    })
}

async fn answer(
    server: &Rc<Server>,
    request: ShareAcknowledgeRequest,
    version: i16,
) -> Result<ShareAcknowledgeResponse, ErrorCode> {
    let sharer = sharer(server, request.group_id.as_deref(), request.member_id.as_deref())?;
    let (epoch, now) = (request.share_session_epoch, server.shard().now());
    let last = server.share_sessions.borrow_mut().acknowledge(&sharer, epoch, now).map_err(of_session)?;
    let asked = Asked::of(&request.topics, (version >= RENEWALS_FROM, request.is_renew_ack));
    let acknowledged = acknowledge(server, &sharer, asked).await;
    if last {
        close_session(server, &sharer).await;
    }
    let mut topics: Vec<ShareAcknowledgeTopicResponse> = vec![];
    for Acknowledged { id, outcome } in acknowledged {
        let mut answer =
            AcknowledgedPartition { partition_index: id.partition.get(), ..AcknowledgedPartition::default() };
        if let Err((code, message)) = outcome {
            answer.error_code = code.code();
            answer.error_message = message.map(text);
        }
        match topics.iter_mut().find(|topic| topic.topic_id == id.topic_id) {
            Some(topic) => topic.partitions.push(answer),
            None => {
                topics.push(ShareAcknowledgeTopicResponse { topic_id: id.topic_id, partitions: vec![answer] })
            }
        }
    }
    Ok(ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: server.shard().share_lock_ms(sharer.0.as_str()),
        responses: topics,
        ..ShareAcknowledgeResponse::default()
    })
}

/// Who asks, if share groups are on and the names are such. An empty group is one that is not there.
pub fn sharer(server: &Server, group: Option<&str>, member: Option<&str>) -> Result<Sharer, ErrorCode> {
    if server.feature_level(&SHARE_VERSION) == 0 {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let member = member.filter(|member| !member.is_empty() && member.len() <= MEMBER_ID_BYTES_MAX);
    let (group, member) = group.zip(member).ok_or(ErrorCode::InvalidRequest)?;
    Ok((GroupId::from(group), MemberId::from(member)))
}

impl Asked {
    /// What `topics` acknowledge; `renewals` says whether types of 4 are known, and whether they are announced.
    pub fn of(topics: &[FetchTopic], renewals: (bool, bool)) -> Vec<Self> {
        let asked = topics.iter().flat_map(|topic| {
            let acknowledging = topic.partitions.iter().filter(|one| !one.acknowledgement_batches.is_empty());
            acknowledging.map(move |one| Self {
                id: TopicPartition {
                    topic_id: topic.topic_id,
                    partition: PartitionIndex(one.partition_index),
                },
                batches: batches(&one.acknowledgement_batches, renewals),
            })
        });
        asked.collect()
    }
}

/// Checks the form of acknowledgements: in order, one type for all records or one for each, and only types that are.
fn batches(
    asked: &[AcknowledgementBatch],
    (renewals_known, renewals_announced): (bool, bool),
) -> Result<Vec<AckBatch>, Refused> {
    let invalid = || (ErrorCode::InvalidRequest, None);
    let mut read = Vec::with_capacity(asked.len());
    let mut before = -1;
    for batch in asked {
        let (first, last) = (batch.first_offset, batch.last_offset);
        let records = last.checked_sub(first).and_then(|more| more.checked_add(1));
        let types = batch.acknowledge_types.len();
        let counted = types == 1 || (types > 1 && records == i64::try_from(types).ok());
        if first > last || first < before || !counted {
            return Err(invalid());
        }
        let kind = |id: &i8| match AckType::of(*id) {
            Some(AckType::Renew) if !(renewals_known && renewals_announced) => Err(invalid()),
            Some(kind) => Ok(kind),
            None => Err(invalid()),
        };
        let types = batch.acknowledge_types.iter().map(kind).collect::<Result<_, _>>()?;
        read.push(AckBatch { first: Offset(first), last: Offset(last), types });
        before = last;
    }
    Ok(read)
}

/// Acknowledgements for one shard, with their places in the answer.
type OfOwner = (ShardId, Vec<usize>, Acknowledgements);

/// Acknowledges on all shards concerned at the same time.
pub async fn acknowledge(server: &Rc<Server>, sharer: &Sharer, asked: Vec<Asked>) -> Vec<Acknowledged> {
    let shard = server.shard();
    let mut answers: Vec<Acknowledged> = Vec::with_capacity(asked.len());
    let mut owners: Vec<OfOwner> = vec![];
    for Asked { id, batches } in asked {
        let outcome = check(server, id, batches).map(|batches| {
            let (owner, place) = (shard.owner_of(id), answers.len());
            match owners.iter_mut().find(|(known, ..)| *known == owner) {
                Some((_, places, list)) => {
                    places.push(place);
                    list.push((id, batches));
                }
                None => owners.push((owner, vec![place], vec![(id, batches)])),
            }
        });
        answers.push(Acknowledged { id, outcome });
    }
    let mut pending = Vec::with_capacity(owners.len());
    for (owner, places, list) in owners {
        pending.push((places, shard.share_acknowledge(owner, sharer.clone(), list).await));
    }
    for (places, begun) in pending {
        let outcomes = match begun {
            Ok(acknowledging) => acknowledging.await,
            Err(gone) => Err(gone),
        };
        match outcomes {
            Ok(outcomes) => {
                for (place, outcome) in places.into_iter().zip(outcomes) {
                    answers[place].outcome = outcome.map_err(|error| of_share(&error));
                }
            }
            Err(gone) => {
                for place in places {
                    answers[place].outcome = Err((errors::of_shard_gone(gone), Some(gone.to_string())));
                }
            }
        }
    }
    answers
}

/// What can be refused before the partition is asked, in Kafka's order.
fn check(
    server: &Server,
    id: TopicPartition,
    batches: Result<Vec<AckBatch>, Refused>,
) -> Result<Vec<AckBatch>, Refused> {
    let image = server.shard().image();
    let topic = image.topic_by_id(id.topic_id).ok_or((ErrorCode::UnknownTopicId, None))?;
    let batches = batches?;
    match topic.partition(id.partition) {
        Some(_) => Ok(batches),
        None => Err((ErrorCode::UnknownTopicOrPartition, None)),
    }
}

/// Closes a member's session and gives back all that it has.
pub async fn close_session(server: &Rc<Server>, sharer: &Sharer) {
    let partitions = server.share_sessions.borrow_mut().close(sharer);
    give_back(server, sharer, partitions).await;
}

/// The client is gone: what its members have is for others now.
pub fn on_disconnect(server: &Rc<Server>, client: &Client) {
    let sessions = client.share_sessions.take();
    for (sharer, number) in sessions {
        let partitions = server.share_sessions.borrow_mut().close_gone(&sharer, number);
        if !partitions.is_empty() {
            let server = server.clone();
            glommio::spawn_local(async move { give_back(&server, &sharer, partitions).await }).detach();
        }
    }
}

async fn give_back(server: &Rc<Server>, sharer: &Sharer, partitions: Vec<TopicPartition>) {
    let shard = server.shard();
    for number in 0..shard.shards() {
        let owner = ShardId(number);
        let owned: Vec<TopicPartition> =
            partitions.iter().filter(|id| shard.owner_of(**id) == owner).copied().collect();
        if !owned.is_empty() {
            // A shard that has stopped keeps nothing from anybody.
            let _ = shard.share_release(owner, sharer.clone(), owned).await;
        }
    }
}

/// The code for a request that does not fit its session.
pub fn of_session(error: ShareSessionError) -> ErrorCode {
    match error {
        ShareSessionError::NotFound => ErrorCode::ShareSessionNotFound,
        ShareSessionError::Epoch => ErrorCode::InvalidShareSessionEpoch,
        ShareSessionError::LimitReached => ErrorCode::ShareSessionLimitReached,
        ShareSessionError::AcknowledgesNothing => ErrorCode::InvalidRequest,
    }
}

/// The code for a share partition's refusal, as Kafka's leader answers those of its share coordinator.
pub fn of_share(error: &ShareError) -> Refused {
    let code = match error {
        ShareError::Partition(error) => errors::of_partition(error),
        ShareError::Group(error) if error.may_pass() => ErrorCode::CoordinatorNotAvailable,
        ShareError::Group(GroupError::FencedLeaderEpoch) => ErrorCode::NotLeaderOrFollower,
        ShareError::Group(error) => errors::of_group(error),
    };
    (code, Some(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound(asked: &[(i64, i64, &[i8])], renewals: (bool, bool)) -> bool {
        let asked: Vec<AcknowledgementBatch> = asked
            .iter()
            .map(|(first, last, types)| AcknowledgementBatch {
                first_offset: *first,
                last_offset: *last,
                acknowledge_types: types.to_vec(),
            })
            .collect();
        batches(&asked, renewals).is_ok()
    }

    #[test]
    fn the_form_of_acknowledgements_is_checked() {
        let none = (true, false);
        assert!(is_sound(&[(0, 9, &[1]), (10, 11, &[2, 3])], none));
        assert!(is_sound(&[(5, i64::MAX, &[1])], none));
        for wrong in [
            &[(9, 0, &[1][..])][..],
            &[(0, 9, &[])],
            &[(0, 9, &[1, 1])],
            &[(0, 0, &[5])],
            &[(0, 0, &[-1])],
            &[(10, 11, &[1]), (0, 5, &[1])],
            &[(i64::MIN, i64::MAX, &[1, 1])],
            &[(0, 0, &[4])],
        ] {
            assert!(!is_sound(wrong, none), "{wrong:?}");
        }
        assert!(is_sound(&[(0, 0, &[4])], (true, true)));
        assert!(!is_sound(&[(0, 0, &[4])], (false, true)), "not before version 2");
    }
}

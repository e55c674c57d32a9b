//! ShareFetch (KIP-932, KIP-1206, KIP-1222): acknowledges records and acquires others, straight out of the log's memory.
//!
//! Key invariants: an answer leaves when records were acquired, at the latest after `max_wait`, and when the acknowledgements
//! that came along are durable. All partitions together hand out no more than the request asks for, but for whole batches, and no
//! more than the shard's answers may hold.

mod session;

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::future::zip;

use session::{ShareFetching, ShareSessionRequest};
pub use session::{ShareSessionError, ShareSessions};

use super::share_acknowledge::{
    Acknowledged, Asked, acknowledge, close_session, of_session, of_share, sharer,
};
use super::topics::text;
use super::{Client, Outcome, Response, Server, malformed};
use crate::coordinator::share::AcquireLimits;
use crate::model::{Offset, PartitionIndex, ShardId, TopicPartition};
use crate::protocol::share_fetch::{
    AcquiredRecords, PartitionData, Records, ShareFetchRequest, ShareFetchResponse,
    ShareFetchableTopicResponse, encode,
};
use crate::protocol::{ErrorCode, RequestHeader, decode};
use crate::shard::{AnswerGrant, ShareError, Sharer, TakeLimits, Taken, Wait, Watched};

/// From this version on records can be renewed and limits can be exact.
const RENEWALS_FROM: i16 = 2;
/// `share_acquire_mode` of a member that wants no more records than it says.
const RECORD_LIMIT: i8 = 1;

/// Beyond so many sessions a connection forgets those that are closed.
const SESSIONS_REMEMBERED_MAX: usize = 64;

/// A partition of the fetch, and what came of it.
struct Target {
    id: TopicPartition,
    /// Whether there is such a partition. One that does not exist is no reason to hurry.
    exists: bool,
    outcome: Result<Option<Taken>, ErrorCode>,
}

/// Answers one fetch.
pub async fn handle(server: &Rc<Server>, client: &Client, header: RequestHeader, mut body: Bytes) -> Outcome {
    let request = match decode::<ShareFetchRequest>(&mut body, header.version) {
        Ok(request) => request,
        Err(error) => return malformed(&header, &error),
    };
    let answer = answer(server, client, header.version, request).await;
    let (response, held) = answer.unwrap_or_else(|code| {
        server.shard().metrics().traffic.error(code.code());
        (ShareFetchResponse { error_code: code.code(), ..ShareFetchResponse::default() }, None)
    });
    match encode(&header, &response) {
        Ok(slices) => Outcome::Respond(Response { slices: slices.into(), held }),
        Err(error) => Outcome::Close(format!("the answer to ShareFetch cannot be encoded: {error}")),
    }
}

async fn answer(
    server: &Rc<Server>,
    client: &Client,
    version: i16,
    request: ShareFetchRequest,
) -> Result<(ShareFetchResponse, Option<AnswerGrant>), ErrorCode> {
    let sharer = sharer(server, request.group_id.as_deref(), request.member_id.as_deref())?;
    check_renewal(&request)?;
    let renewals = (version >= RENEWALS_FROM, request.is_renew_ack);
    let asked = Asked::of(&request.topics, renewals);
    let session = ShareSessionRequest {
        epoch: request.share_session_epoch,
        listed: partitions(request.topics.iter().map(|topic| {
            (topic.topic_id, topic.partitions.iter().map(|partition| partition.partition_index).collect())
        })),
        forgotten: partitions(
            request.forgotten_topics_data.iter().map(|topic| (topic.topic_id, topic.partitions.clone())),
        ),
        acknowledges: !asked.is_empty(),
    };
    let now = server.shard().now();
    let begun = server.share_sessions.borrow_mut().begin(&sharer, session, now);
    let (ids, full) = match begun.map_err(of_session)? {
        ShareFetching::Full(ids) => {
            remember(server, client, &sharer);
            (ids, true)
        }
        ShareFetching::Incremental(ids) => (ids, false),
        ShareFetching::Final => (vec![], false),
    };
    let limits = limits(server, &request);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    // The acknowledgements begin first, so that what they free can be fetched.
    let (acknowledged, (targets, held)) =
        zip(acknowledge(server, &sharer, asked), fetch(server, &sharer, ids, (limits, wait))).await;
    if request.share_session_epoch == -1 {
        close_session(server, &sharer).await;
    }
    let lock_ms = server.shard().share_lock_ms(sharer.0.as_str());
    Ok((respond(server, targets, acknowledged, (full, lock_ms)), held))
}

/// The session that was opened ends with its client.
fn remember(server: &Server, client: &Client, sharer: &Sharer) {
    let (sessions, mut opened) = (server.share_sessions.borrow(), client.share_sessions.borrow_mut());
    if opened.len() >= SESSIONS_REMEMBERED_MAX {
        opened.retain(|sharer, number| sessions.number(sharer) == Some(*number));
    }
    opened.extend(sessions.number(sharer).map(|number| (sharer.clone(), number)));
}

/// A request that renews locks fetches nothing (KIP-1222).
fn check_renewal(request: &ShareFetchRequest) -> Result<(), ErrorCode> {
    let fetches = [request.max_bytes, request.min_bytes, request.max_records, request.max_wait_ms];
    let wrong = request.is_renew_ack && fetches.iter().any(|limit| *limit != 0);
    if wrong { Err(ErrorCode::InvalidRequest) } else { Ok(()) }
}

fn limits(server: &Server, request: &ShareFetchRequest) -> TakeLimits {
    let positive = |value: i32| usize::try_from(value).unwrap_or(0);
    let bytes_max =
        positive(request.max_bytes).min(server.shard().settings().fetch.response_bytes_max as usize);
    TakeLimits {
        acquire: AcquireLimits {
            records_max: u32::try_from(request.max_records).unwrap_or(0),
            part_records: u32::try_from(request.batch_size).unwrap_or(0).max(1),
            exact: request.share_acquire_mode == RECORD_LIMIT,
        },
        bytes_max,
        bytes_min: positive(request.min_bytes).min(bytes_max),
    }
}

/// What is left of `limits` where the answer may hold so many bytes. The first batch comes whole even if that is none.
fn within(limits: TakeLimits, bytes: usize) -> TakeLimits {
    let bytes_max = limits.bytes_max.min(bytes.max(1));
    TakeLimits { bytes_max, bytes_min: limits.bytes_min.min(bytes_max), ..limits }
}

fn partitions(topics: impl Iterator<Item = (crate::model::TopicId, Vec<i32>)>) -> Vec<TopicPartition> {
    let all = topics.flat_map(|(topic_id, partitions)| {
        let partitions = partitions.into_iter().map(PartitionIndex);
        partitions.map(move |partition| TopicPartition { topic_id, partition })
    });
    all.collect()
}

/// Takes records, and tries again when there is news, until there are some or the time is over. While it waits it holds none.
async fn fetch(
    server: &Rc<Server>,
    sharer: &Sharer,
    ids: Vec<TopicPartition>,
    (mut limits, max_wait): (TakeLimits, Duration),
) -> (Vec<Target>, Option<AnswerGrant>) {
    let deadline = Instant::now() + max_wait;
    let mut targets: Vec<Target> = ids.into_iter().map(|id| Target::new(server, id)).collect();
    if !targets.iter().any(|target| target.exists) || limits.acquire.records_max == 0 {
        return (targets, None);
    }
    let mut begun: Option<(Wait, Vec<Offset>)> = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            limits.bytes_min = 0;
        }
        let mut held = server.shard().answers().reserve(limits.bytes_max);
        take(server, sharer, &mut targets, within(limits, held.bytes())).await;
        held.shrink_to(targets.iter().map(Target::bytes).sum());
        if left.is_zero() || targets.iter().any(Target::must_answer) {
            return (targets, Some(held));
        }
        drop(held);
        // What happens between looking and beginning to wait would be missed: a wait counts once a look after it has found
        // nothing and wants no other news. One that began while a partition was loading hears of that only.
        let from: Vec<Offset> = targets.iter().map(Target::wait_from).collect();
        if let Some((wait, _)) = begun.take().filter(|(_, begun_from)| *begun_from == from) {
            let in_time = async {
                wait.news().await;
                Ok::<(), glommio::GlommioError<()>>(())
            };
            // Late or not, the next look tells.
            let _ = glommio::timer::timeout(left, in_time).await;
        }
        begun = Some((watch(server, &targets), from));
        // Looks that find nothing again and again are not to keep the shard from its other work.
        glommio::yield_if_needed().await;
    }
}

impl Target {
    fn new(server: &Server, id: TopicPartition) -> Self {
        let image = server.shard().image();
        let topic = image.topic_by_id(id.topic_id).ok_or(ErrorCode::UnknownTopicId);
        let found = topic.and_then(|topic| {
            topic.partition(id.partition).map(|_| None).ok_or(ErrorCode::UnknownTopicOrPartition)
        });
        Self { id, exists: found.is_ok(), outcome: found }
    }

    /// Whether the answer must not wait.
    fn must_answer(&self) -> bool {
        match &self.outcome {
            Ok(Some(taken)) => !taken.acquired.is_empty(),
            Ok(None) => false,
            Err(_) => self.exists,
        }
    }

    /// How many bytes of records it has.
    fn bytes(&self) -> usize {
        self.outcome.as_ref().ok().and_then(Option::as_ref).map_or(0, Taken::bytes)
    }

    /// It is news when the high watermark passes this, or the partition's waiters are disturbed.
    fn wait_from(&self) -> Offset {
        match &self.outcome {
            Ok(Some(taken)) => taken.wait_from,
            _ => Offset(i64::MAX),
        }
    }
}

/// Targets that can be fetched, by owner, in the order of the first of each.
fn by_owner(server: &Server, targets: &[Target]) -> Vec<(ShardId, Vec<usize>)> {
    let mut owners: Vec<(ShardId, Vec<usize>)> = vec![];
    for (place, target) in targets.iter().enumerate().filter(|(_, target)| target.exists) {
        let owner = server.shard().owner_of(target.id);
        match owners.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, places)) => places.push(place),
            None => owners.push((owner, vec![place])),
        }
    }
    owners
}

/// One look at all partitions.
async fn take(server: &Rc<Server>, sharer: &Sharer, targets: &mut [Target], mut limits: TakeLimits) {
    for (owner, places) in by_owner(server, targets) {
        let ids = places.iter().map(|place| targets[*place].id).collect();
        let taken = server.shard().share_take(owner, sharer.clone(), ids, limits).await;
        let Ok(taken) = taken else {
            for place in places {
                targets[place].outcome = Err(ErrorCode::NotLeaderOrFollower);
            }
            continue;
        };
        for (place, taken) in places.into_iter().zip(taken) {
            if let Ok(taken) = &taken {
                let records = u32::try_from(taken.records()).unwrap_or(u32::MAX);
                limits.acquire.records_max = limits.acquire.records_max.saturating_sub(records);
                limits.bytes_max = limits.bytes_max.saturating_sub(taken.bytes());
                limits.bytes_min = limits.bytes_min.saturating_sub(taken.found_bytes);
            }
            targets[place].outcome = taken.map(Some).map_err(|error: ShareError| of_share(&error).0);
        }
    }
}

/// Waits for news of any partition.
fn watch(server: &Rc<Server>, targets: &[Target]) -> Wait {
    let watched = by_owner(server, targets).into_iter().map(|(owner, places)| {
        let partitions = places.into_iter().map(|place| (targets[place].id, targets[place].wait_from()));
        Watched { owner, partitions: partitions.collect(), wanted: None }
    });
    Wait::begin(server.shard(), watched.collect())
}

/// Builds the answer: each partition that has something to say, or all of a new session.
fn respond(
    server: &Server,
    targets: Vec<Target>,
    acknowledged: Vec<Acknowledged>,
    (full, lock_ms): (bool, i32),
) -> ShareFetchResponse {
    let mut answers: indexmap::IndexMap<TopicPartition, PartitionData> = indexmap::IndexMap::new();
    let (mut bytes, metrics) = (0, server.shard().metrics());
    for Target { id, outcome, .. } in targets {
        let data = PartitionData { partition_index: id.partition.get(), ..PartitionData::default() };
        match outcome {
            Ok(Some(taken)) if !taken.acquired.is_empty() => {
                bytes += taken.bytes();
                answers.insert(id, with_records(data, taken));
            }
            Ok(_) if full => _ = answers.insert(id, data),
            Ok(_) => {}
            Err(code) => {
                metrics.traffic.error(code.code());
                answers.insert(id, PartitionData { error_code: code.code(), ..data });
            }
        }
    }
    for Acknowledged { id, outcome } in acknowledged {
        let data = answers.entry(id).or_insert_with(|| PartitionData {
            partition_index: id.partition.get(),
            ..PartitionData::default()
        });
        if let Err((code, message)) = outcome {
            metrics.traffic.error(code.code());
            data.acknowledge_error_code = code.code();
            data.acknowledge_error_message = message.map(text);
        }
    }
    metrics.logs.fetched_bytes.add(bytes as u64);
    let mut topics: Vec<ShareFetchableTopicResponse> = vec![];
    for (id, data) in answers {
        match topics.iter_mut().find(|topic| topic.topic_id == id.topic_id) {
            Some(topic) => topic.partitions.push(data),
            None => {
                topics.push(ShareFetchableTopicResponse { topic_id: id.topic_id, partitions: vec![data] });
            }
        }
    }
    ShareFetchResponse {
        acquisition_lock_timeout_ms: lock_ms,
        responses: topics,
        ..ShareFetchResponse::default()
    }
}

fn with_records(data: PartitionData, taken: Taken) -> PartitionData {
    let acquired = taken.acquired.into_iter().map(|acquired| AcquiredRecords {
        first_offset: acquired.first.get(),
        last_offset: acquired.last.get(),
        delivery_count: acquired.deliveries,
    });
    PartitionData { acquired_records: acquired.collect(), records: Records(taken.batches), ..data }
}

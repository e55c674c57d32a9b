//! Fetch (KIP-227, KIP-320, KIP-516): records from logs, straight out of the log's memory.
//!
//! Key invariants: an answer leaves when enough bytes are there, at the latest after `max_wait`; a waiting fetch is woken
//! by the high watermark moving, never by polling. The connection's shard hands out the bytes of the request among the
//! shards that own its partitions; each returns at least one whole batch if it has one.

mod read;
mod session;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::FetchPartition;

pub use session::SessionCache;
use session::{Answered, FetchKey, Fetching, PartitionFetch, SessionError, SessionRequest, TopicRef};

use super::topics::text;
use super::{Outcome, Response, Server, malformed};
use crate::metadata::Node;
use crate::metrics::Stage;
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use crate::protocol::fetch_response::{FetchAnswer, NodeEndpoint, TopicAnswer, encode};
use crate::protocol::{ErrorCode, RequestHeader, decode};
use crate::shard::{AnswerGrant, News};
use read::{Limits, Target};

/// From this version on topics are named by id (KIP-516).
const TOPIC_IDS_FROM: i16 = 13;
/// From this version on there are sessions (KIP-227).
const SESSIONS_FROM: i16 = 7;
/// From this version on the leader is named beside errors that mean another one (KIP-951).
const LEADERS_FROM: i16 = 16;
/// A fetch that was woken but has too few bytes looks again at most this often.
const RECHECK_PERIOD: Duration = Duration::from_millis(5);

/// Answers one fetch.
pub async fn handle(server: &Rc<Server>, header: RequestHeader, mut body: Bytes) -> Outcome {
    let received = Instant::now();
    let request = match decode::<FetchRequest>(&mut body, header.version) {
        Ok(request) => request,
        Err(error) => return malformed(&header, &error),
    };
    let (answer, held) = answer(server, &header, request, received).await;
    let responding = Instant::now();
    let encoded = encode(&header, &answer);
    server.shard().metrics().stages.record(Stage::FetchRespond, responding.elapsed());
    match encoded {
        Ok(slices) => Outcome::Respond(Response { slices: slices.into(), held }),
        Err(error) => Outcome::Close(format!("the answer to Fetch cannot be encoded: {error}")),
    }
}

async fn answer(
    server: &Rc<Server>,
    header: &RequestHeader,
    request: FetchRequest,
    received: Instant,
) -> (FetchAnswer, Option<AnswerGrant>) {
    let by_id = header.version >= TOPIC_IDS_FROM;
    // Without sessions every request is a full one that asks for none.
    let (session_id, session_epoch) =
        if header.version < SESSIONS_FROM { (0, -1) } else { (request.session_id, request.session_epoch) };
    let limits = Limits::of(&request, header.version, server.shard().settings().fetch.response_bytes_max);
    let asked = SessionRequest {
        session_id,
        session_epoch,
        uses_topic_ids: by_id,
        forgotten: forgotten(&request, by_id),
        listed: listed(request, by_id, header.version),
    };
    let now = server.shard().now();
    let begun = server.sessions.borrow_mut().begin(asked, now);
    let fetching = match begun {
        Ok(fetching) => fetching,
        Err(error) => return (refused(error, 0), None),
    };
    server.shard().metrics().stages.record(Stage::FetchReceive, received.elapsed());
    let targets = read::resolve(server, &fetching, limits.reader);
    let (targets, held) = wait_for_enough(server, targets, limits).await;
    let mut answer = finish(server, &fetching, targets);
    if header.version >= LEADERS_FROM {
        name_leaders(server, &mut answer);
    }
    (answer, Some(held))
}

/// Tells a client that asked as a replica, or with an old epoch, who leads (KIP-951). If that is this broker, the client has
/// its address; where shards are nodes, it may be another one, whose address it may not have yet.
fn name_leaders(server: &Server, answer: &mut FetchAnswer) {
    let (image, presentation) = (server.shard().image(), server.presentation());
    let mut leaders = BTreeSet::new();
    for topic in &mut answer.topics {
        let Some(known) = image.topic_by_id(topic.id) else { continue };
        let moved = |code| matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        for partition in topic.partitions.iter_mut().filter(|partition| moved(partition.error)) {
            if let Some(placed) = known.partition(partition.partition) {
                let id = TopicPartition { topic_id: topic.id, partition: partition.partition };
                let leader = presentation.replica(placed.leader, id);
                partition.current_leader = Some((leader, placed.leader_epoch));
                leaders.insert(leader);
            }
        }
    }
    if presentation.shard_ports().is_some() {
        let nodes = leaders.into_iter().filter_map(|leader| presentation.node(&image, leader));
        answer.node_endpoints = nodes.map(endpoint).collect();
    }
}

fn endpoint(node: Node) -> NodeEndpoint {
    NodeEndpoint {
        node: node.id,
        host: text(node.host),
        port: i32::from(node.port),
        rack: node.rack.map(text),
    }
}

/// Reads, and takes what news brings, until there is enough to answer with or the time is over. While it waits it holds no
/// records.
async fn wait_for_enough(
    server: &Rc<Server>,
    mut targets: Vec<Target>,
    limits: Limits,
) -> (Vec<Target>, AnswerGrant) {
    let deadline = Instant::now() + limits.max_wait;
    let mut heard: Option<(read::Watch, Vec<News>)> = None;
    loop {
        let mut held = server.shard().answers().reserve(limits.bytes_max);
        let allowed = limits.within(held.bytes());
        let brought = match heard.take() {
            Some((watch, news)) => watch.settle(&mut targets, news, allowed),
            None => false,
        };
        if !brought {
            let reading = Instant::now();
            read::all(server, &mut targets, allowed).await;
            server.shard().metrics().stages.record(Stage::FetchRead, reading.elapsed());
        }
        held.shrink_to(read::bytes(&targets));
        let enough = read::must_answer(&targets) || read::bytes(&targets) >= allowed.min_bytes;
        let left = deadline.saturating_duration_since(Instant::now());
        if enough || left.is_zero() || targets.is_empty() {
            return (targets, held);
        }
        read::let_go(&mut targets);
        drop(held);
        let watch = read::watch(server, &targets, limits);
        let news =
            glommio::timer::timeout(left, async { Ok::<_, glommio::GlommioError<()>>(watch.news().await) })
                .await;
        if news.is_ok() && limits.min_bytes > 1 {
            // Every append would wake a fetch that waits for many bytes; let some gather.
            let left = deadline.saturating_duration_since(Instant::now());
            glommio::timer::sleep(RECHECK_PERIOD.min(left)).await;
        }
        heard = news.ok().map(|news| (watch, news));
    }
}

/// Ends the session's turn and builds the answer from what was read.
fn finish(server: &Server, fetching: &Fetching, targets: Vec<Target>) -> FetchAnswer {
    let answered: Vec<Answered> = targets.iter().map(Target::answered).collect();
    let now = server.shard().now();
    let ending = match server.sessions.borrow_mut().finish(fetching, &answered, now) {
        Ok(ending) => ending,
        Err(error) => return refused(error, 0),
    };
    let mut topics: Vec<TopicAnswer> = vec![];
    let mut fetched = 0;
    for (target, included) in targets.into_iter().zip(ending.included) {
        if !included {
            continue;
        }
        if target.answer.error != ErrorCode::None {
            server.shard().metrics().traffic.error(target.answer.error.code());
        }
        fetched += target.answer.records_bytes();
        match topics.last_mut() {
            Some(last) if last.id == target.topic_id && last.name == target.name => {
                last.partitions.push(target.answer);
            }
            _ => topics.push(TopicAnswer {
                name: target.name,
                id: target.topic_id,
                partitions: vec![target.answer],
            }),
        }
    }
    server.shard().metrics().logs.fetched_bytes.add(fetched as u64);
    FetchAnswer { session_id: ending.session_id, topics, ..FetchAnswer::default() }
}

fn refused(error: SessionError, session_id: i32) -> FetchAnswer {
    let code = match error {
        SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::Epoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicIds => ErrorCode::FetchSessionTopicIdError,
    };
    FetchAnswer { error: Some(code), session_id, ..FetchAnswer::default() }
}

fn listed(request: FetchRequest, by_id: bool, version: i16) -> Vec<(FetchKey, PartitionFetch)> {
    let mut listed = vec![];
    for topic in request.topics {
        let reference = topic_ref(by_id, topic.topic_id, &topic.topic.0);
        for partition in topic.partitions {
            let key = FetchKey { topic: reference.clone(), partition: PartitionIndex(partition.partition) };
            listed.push((key, wanted(&partition, version)));
        }
    }
    listed
}

fn forgotten(request: &FetchRequest, by_id: bool) -> Vec<FetchKey> {
    let topics = request.forgotten_topics_data.iter();
    let keys = topics.flat_map(|topic| {
        let reference = topic_ref(by_id, topic.topic_id, &topic.topic.0);
        topic
            .partitions
            .iter()
            .map(move |index| FetchKey { topic: reference.clone(), partition: PartitionIndex(*index) })
    });
    keys.collect()
}

fn topic_ref(by_id: bool, id: uuid::Uuid, name: &kafka_protocol::protocol::StrBytes) -> TopicRef {
    if by_id { TopicRef::Id(TopicId(id)) } else { TopicRef::Name(name.clone()) }
}

/// What a request says of one partition; fields that its version lacks are unknown, not 0.
fn wanted(partition: &FetchPartition, version: i16) -> PartitionFetch {
    // Fetch alone takes every negative epoch as an unknown one.
    let since = |first: i16, epoch: i32| LeaderEpoch(if version >= first { epoch.max(-1) } else { -1 });
    PartitionFetch {
        offset: Offset(partition.fetch_offset),
        max_bytes: partition.partition_max_bytes,
        current_epoch: since(9, partition.current_leader_epoch),
        last_fetched_epoch: since(12, partition.last_fetched_epoch),
        answered_before: false,
    }
}

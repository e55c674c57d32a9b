//! Produce (KIP-98, KIP-467, KIP-516): record batches into logs, durable before they are acknowledged.
//!
//! Key invariants: everything that can be refused without a log is refused here, on the connection's shard, checksum
//! included; the batches of one request travel to each owning shard as one message. Batches are in their logs, in the
//! order of the connection's requests, when [`begin`] returns; the answer waits until they are durable. A request with one
//! partition of this shard, as most have, takes two allocations: the future of its answer, and the answer's bytes.

mod answer;
mod check;
mod merge;

use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;

use answer::{Answer, Part, Refused};
use check::Checked;
pub use check::may_write;

use super::{Begun, Client, Outcome, Server, errors, malformed};
use crate::metrics::Stage;
use crate::model::{ShardId, TimestampMs};
use crate::protocol::produce::{ProduceRequest, TOPIC_IDS_FROM, TopicData};
use crate::protocol::{ErrorCode, RequestHeader};
use crate::shard::{AppendAnswers, AppendEntries, AppendEntry, Appending, Reply, Sent, Shard, ShardGone};

/// Batches for one owner, and which part of the answer each belongs to.
struct Group {
    owner: ShardId,
    entries: AppendEntries,
    parts: SmallVec<[Part; 1]>,
}

type Groups = SmallVec<[Group; 1]>;

/// Parts of the answer that wait for their owner.
struct Started {
    parts: SmallVec<[Part; 1]>,
    progress: Progress,
}

/// How far the appends of one owner are.
enum Progress {
    /// In the logs of this shard.
    Here(Appending),
    /// On their way to another shard, or in its logs.
    There(Reply<AppendAnswers>),
    Gone(ShardGone),
}

/// Begins a produce request: its batches are appended, in order, when this returns.
pub async fn begin(server: &Rc<Server>, client: &Client, header: RequestHeader, body: Bytes) -> Begun {
    let received = server.shard().begin_stages();
    let request = match ProduceRequest::decode(&mut &body[..], header.version) {
        Ok(request) => request,
        Err(error) => return Begun::Ready(Some(malformed(&header, &error))),
    };
    let acks = request.acks;
    let time = server.shard().now();
    let (mut answer, groups) = check_all(server, &header, &body, request, time);
    let checked = server.shard().end_stage(Stage::ProduceReceive, received);
    match &groups[..] {
        [] => {}
        [one] => client.affinity().served_by(one.owner),
        _ => client.affinity().served_by_many(),
    }
    let sent = Sent { at: checked, time };
    let mut started = append(server, groups, sent).await;
    let server = server.clone();
    // Without the client's id the frame is no longer held.
    let header = RequestHeader { client_id: None, ..header };
    Begun::pending(async move {
        for Started { parts, progress } in &mut started {
            match progress.ended(server.shard()).await {
                Ok(answers) => {
                    parts.iter().zip(answers).for_each(|(part, result)| answer.settle(*part, result))
                }
                Err(gone) => {
                    let refused = || Refused::from(errors::of_shard_gone(gone));
                    parts.iter().for_each(|part| answer.refuse(part.place, refused()));
                }
            }
        }
        find_log_starts(&server, &mut answer).await;
        let responding = server.shard().resume_stages(checked);
        let outcome = finish(&server, &header, acks, &answer);
        server.shard().end_stage(Stage::ProduceRespond, responding);
        outcome
    })
}

/// Checks every partition of the request, and sorts what may be appended by owner; what fails is settled in the answer at
/// once.
fn check_all(
    server: &Server,
    header: &RequestHeader,
    body: &Bytes,
    request: ProduceRequest<'_>,
    time: TimestampMs,
) -> (Answer, Groups) {
    let by_id = header.version >= TOPIC_IDS_FROM;
    let whole = whole_request_refusal(server, &request);
    let all_replicas = request.acks == -1;
    let (mut answer, mut groups) = (Answer::default(), Groups::new());
    for TopicData { name, id, partitions } in merge::once_each(request.topics) {
        let known = match whole {
            None => check::topic(server, name, Some(id).filter(|_| by_id), header.client_id()),
            Some(code) => Err(code),
        };
        answer.begin_topic(if by_id { Bytes::new() } else { body.slice_ref(name.as_bytes()) }, id);
        for data in partitions {
            let place = answer.add(data.partition);
            let records = data.records.map(|records| body.slice_ref(records)).unwrap_or_default();
            let checked = known
                .as_ref()
                .map_err(|code| Refused::from(*code))
                .and_then(|known| check::partition(known, data.partition, &records, (header.version, time)));
            match checked {
                Ok(Checked { partition, batch, header, append_time }) => {
                    answer.stamp(place, append_time);
                    let entry = AppendEntry { partition, batch, header, all_replicas };
                    add(
                        &mut groups,
                        server.shard().owner_of(partition),
                        entry,
                        Part { place, id: partition },
                    );
                }
                Err(refused) => answer.refuse(place, refused),
            }
        }
    }
    (answer, groups)
}

/// What refuses the request as a whole.
fn whole_request_refusal(server: &Server, request: &ProduceRequest<'_>) -> Option<ErrorCode> {
    if !matches!(request.acks, -1..=1) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    if request.transactional_id.is_some() {
        return Some(ErrorCode::InvalidRequest);
    }
    server.is_stopping().then_some(ErrorCode::NotLeaderOrFollower)
}

/// Adds a batch to those of its owner.
fn add(groups: &mut Groups, owner: ShardId, entry: AppendEntry, part: Part) {
    // There are as many groups as shards at most.
    match groups.iter_mut().find(|group| group.owner == owner) {
        Some(group) => {
            group.entries.push(entry);
            group.parts.push(part);
        }
        None => groups.push(Group {
            owner,
            entries: SmallVec::from_buf([entry]),
            parts: SmallVec::from_buf([part]),
        }),
    }
}

/// Hands every group to its owner. Credits are taken first, so that nothing is awaited between the appends.
async fn append(server: &Rc<Server>, groups: Groups, sent: Sent) -> SmallVec<[Started; 1]> {
    let shard = server.shard();
    let mut credits: SmallVec<[_; 1]> = SmallVec::new();
    for group in &groups {
        let elsewhere = group.owner != shard.id();
        credits.push(if elsewhere { Some(shard.router().credit(group.owner).await) } else { None });
    }
    let waited = credits.iter().any(Option::is_some);
    let sent = if waited { Sent { at: shard.resume_stages(sent.at), ..sent } } else { sent };
    let start = |(Group { entries, parts, .. }, credit)| {
        let progress = match credit {
            None => Progress::Here(shard.append(&entries, sent)),
            Some(Ok(credit)) => {
                shard.metrics().traffic.routed.increment();
                Progress::There(shard.router().start(credit, move |owner: Rc<Shard>| {
                    let appending = owner.append(&entries, sent);
                    // The log has a copy.
                    drop(entries);
                    async move { owner.durable(&appending).await }
                }))
            }
            Some(Err(gone)) => Progress::Gone(gone),
        };
        Started { parts, progress }
    };
    groups.into_iter().zip(credits).map(start).collect()
}

impl Progress {
    /// Waits until what was appended is durable, or has failed.
    async fn ended(&mut self, shard: &Shard) -> Result<AppendAnswers, ShardGone> {
        match self {
            Self::Here(appending) => Ok(shard.durable(appending).await),
            Self::There(reply) => reply.await,
            Self::Gone(gone) => Err(*gone),
        }
    }
}

/// Fills in the log start of partitions that refused a batch for what is in it, where Kafka tells it too.
async fn find_log_starts(server: &Rc<Server>, answer: &mut Answer) {
    for Part { place, id } in answer.take_wanted_log_starts() {
        let owner = server.shard().owner_of(id);
        let bounds = server.shard().on(owner, move |shard| async move { shard.bounds(id) }).await;
        if let Ok(Some(bounds)) = bounds {
            answer.log_start(place, bounds.log_start);
        }
    }
}

/// The end of the request: nothing with `acks=0`, unless it failed, which only a closed connection can tell.
fn finish(server: &Server, header: &RequestHeader, acks: i16, answer: &Answer) -> Outcome {
    for code in answer.failures() {
        server.shard().metrics().traffic.error(code.code());
    }
    if acks == 0 {
        return match answer.failures().next() {
            None => Outcome::Silent,
            Some(code) => Outcome::Close(format!("a produce request with acks=0 failed: {}", code.name())),
        };
    }
    match answer.encode(header) {
        Ok(bytes) => Outcome::Respond(bytes.into()),
        Err(error) => Outcome::Close(format!("the answer to Produce cannot be encoded: {error}")),
    }
}

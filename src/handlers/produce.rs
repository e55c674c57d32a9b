//! Produce (KIP-98, KIP-467, KIP-516): record batches into logs, durable before they are acknowledged.
//!
//! Key invariants: everything that can be refused without a log is refused here, on the connection's shard, checksum
//! included; the batches of one request travel to each owning shard as one message. Batches are in their logs, in the
//! order of the connection's requests, when [`begin`] returns; the answer waits until they are durable.

mod answer;
mod check;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;

use answer::{Answer, Part};
use check::Checked;
pub use check::may_write;

use super::{Begun, Client, Outcome, Server, errors, malformed};
use crate::metrics::Stage;
use crate::model::{ShardId, TopicPartition};
use crate::protocol::{ErrorCode, RequestHeader, decode, encode_response};
use crate::shard::{AppendAnswers, AppendEntry, ShardGone};

/// From this version on topics are named by id (KIP-516).
const TOPIC_IDS_FROM: i16 = 13;

/// Batches for one owner, and which part of the answer each belongs to.
struct Group {
    owner: ShardId,
    entries: Vec<AppendEntry>,
    parts: Vec<(usize, TopicPartition)>,
}

/// Parts of the answer, and what their owner will say of them.
type Appending = (Vec<(usize, TopicPartition)>, PendingAnswers);
type PendingAnswers = Pin<Box<dyn Future<Output = Result<AppendAnswers, ShardGone>>>>;

/// Begins a produce request: its batches are appended, in order, when this returns.
pub async fn begin(server: &Rc<Server>, client: &Client, header: RequestHeader, mut body: Bytes) -> Begun {
    let received = Instant::now();
    let request = match decode::<ProduceRequest>(&mut body, header.version) {
        Ok(request) => request,
        Err(error) => return Begun::Ready(Some(malformed(&header, &error))),
    };
    let acks = request.acks;
    let (mut answer, checked) = check_all(server, &header, request);
    server.shard().metrics().stages.record(Stage::ProduceReceive, received.elapsed());
    let groups = group(server, checked, acks);
    match &groups[..] {
        [] => {}
        [one] => client.affinity().served_by(one.owner),
        _ => client.affinity().served_by_many(),
    }
    let appended = append(server, groups).await;
    let server = server.clone();
    Begun::pending(async move {
        for (parts, answers) in appended {
            match answers.await {
                Ok(answers) => {
                    for ((part, partition), result) in parts.into_iter().zip(answers) {
                        answer.settle(part, partition, result);
                    }
                }
                Err(gone) => {
                    for (part, _) in parts {
                        answer.refuse(part, errors::of_shard_gone(gone));
                    }
                }
            }
        }
        find_log_starts(&server, &mut answer).await;
        let responding = Instant::now();
        let outcome = finish(&server, &header, acks, &answer);
        server.shard().metrics().stages.record(Stage::ProduceRespond, responding.elapsed());
        outcome
    })
}

/// Checks every partition of the request; what fails is settled in the answer at once. Of a partition that is named
/// twice the last batch counts, as in Kafka.
fn check_all(
    server: &Server,
    header: &RequestHeader,
    request: ProduceRequest,
) -> (Answer, Vec<Option<Checked>>) {
    let by_id = header.version >= TOPIC_IDS_FROM;
    let whole = whole_request_refusal(server, &request);
    let mut answer = Answer::new(request.topic_data.len());
    let mut checked: Vec<Option<Checked>> = vec![];
    for topic in request.topic_data {
        let known = check::topic(server, &topic, by_id, header.client_id());
        for partition in topic.partition_data {
            let part = answer.part((topic.name.clone(), topic.topic_id), partition.index);
            checked.resize_with(checked.len().max(part + 1), || None);
            let result = match (whole, &known) {
                (Some(code), _) => Err(Part::refused(code)),
                (None, Err(code)) => Err(Part::refused(*code)),
                (None, Ok(known)) => check::partition(server, known, &partition, header.version),
            };
            match result {
                Ok(batch) => {
                    answer.stamp(part, batch.append_time);
                    checked[part] = Some(batch);
                }
                Err(refused) => {
                    answer.fail(part, refused);
                    checked[part] = None;
                }
            }
        }
    }
    (answer, checked)
}

/// What refuses the request as a whole.
fn whole_request_refusal(server: &Server, request: &ProduceRequest) -> Option<ErrorCode> {
    if !matches!(request.acks, -1..=1) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    if request.transactional_id.is_some() {
        return Some(ErrorCode::InvalidRequest);
    }
    server.is_stopping().then_some(ErrorCode::NotLeaderOrFollower)
}

fn group(server: &Server, checked: Vec<Option<Checked>>, acks: i16) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    let present = checked.into_iter().enumerate().filter_map(|(part, batch)| Some((part, batch?)));
    for (part, Checked { partition, batch, header, .. }) in present {
        let owner = server.shard().owner_of(partition);
        let entry = AppendEntry { partition, batch, header, all_replicas: acks == -1 };
        match groups.iter_mut().find(|group| group.owner == owner) {
            Some(group) => {
                group.entries.push(entry);
                group.parts.push((part, partition));
            }
            None => groups.push(Group { owner, entries: vec![entry], parts: vec![(part, partition)] }),
        }
    }
    groups
}

/// Hands every group to its owner. Credits are taken first, so that nothing is awaited between the appends.
async fn append(server: &Rc<Server>, groups: Vec<Group>) -> Vec<Appending> {
    let shard = server.shard();
    let mut ready = Vec::with_capacity(groups.len());
    for group in groups {
        let credit =
            if group.owner == shard.id() { None } else { Some(shard.router().credit(group.owner).await) };
        ready.push((group, credit));
    }
    let sent = Instant::now();
    let start = |(group, credit): (Group, Option<_>)| {
        let Group { entries, parts, .. } = group;
        let pending: PendingAnswers = match credit {
            None => {
                let answers = shard.append(entries, sent);
                Box::pin(async move { Ok(answers.await) })
            }
            Some(Ok(credit)) => {
                shard.metrics().traffic.routed.increment();
                let job = move |owner: Rc<crate::shard::Shard>| owner.append(entries, sent);
                Box::pin(shard.router().start(credit, job))
            }
            Some(Err(gone)) => Box::pin(async move { Err(gone) }),
        };
        (parts, pending)
    };
    ready.into_iter().map(start).collect()
}

/// Fills in the log start of partitions that refused a batch for what is in it, where Kafka tells it too.
async fn find_log_starts(server: &Rc<Server>, answer: &mut Answer) {
    for (part, partition) in answer.wanted_log_starts() {
        let owner = server.shard().owner_of(partition);
        let bounds = server.shard().on(owner, move |shard| async move { shard.bounds(partition) }).await;
        if let Ok(Some(bounds)) = bounds {
            answer.log_start(part, bounds.log_start);
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
    match encode_response(header, &answer.response(header.version)) {
        Ok(bytes) => Outcome::Respond(bytes.into()),
        Err(error) => Outcome::Close(format!("the answer to Produce cannot be encoded: {error}")),
    }
}

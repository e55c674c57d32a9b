//! The reading half of a fetch: which partitions, how many bytes, on which shards.
//!
//! Key invariant: targets keep the order of the fetch, whatever order their shards answer in.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::StrBytes;
use smallvec::SmallVec;

use super::session::{Answered, Fetching, PartitionFetch, TopicRef};
use crate::config::Compression;
use crate::handlers::{Server, errors, topics};
use crate::model::{Offset, ShardId, TopicId, TopicPartition};
use crate::partition::{PartitionError, Read, ReadRequest};
use crate::protocol::ErrorCode;
use crate::protocol::fetch_response::PartitionAnswer;
use crate::record::BatchHeader;
use crate::shard::{News, ReadAnswers, ReadEntry, Shard, ShardGone, Topic, Wait, Wanted, Watched};

/// zstd is allowed from this version of Fetch on (KIP-110).
const ZSTD_FROM: i16 = 10;

/// What a fetch may return and how long it may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes_max: usize,
    pub min_bytes: usize,
    pub max_wait: Duration,
    /// Transactional readers see aborted transactions listed (none here yet); others see no list.
    pub read_committed: bool,
    /// Fetches of followers are refused: no broker follows this one.
    pub reader: Reader,
}

impl Limits {
    /// The limits of a request, within the broker's own (`fetch.max.bytes`).
    pub fn of(request: &FetchRequest, version: i16, response_bytes_max: u32) -> Self {
        let positive = |value: i32| usize::try_from(value).unwrap_or(0);
        let bytes_max = positive(request.max_bytes).min(response_bytes_max as usize);
        Self {
            bytes_max,
            // Kafka caps what a fetch waits for at what it may return.
            min_bytes: positive(request.min_bytes).min(bytes_max),
            max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
            read_committed: request.isolation_level == 1,
            reader: Reader { replica: replica(request, version), version, bytes_max: request.max_bytes },
        }
    }

    /// These limits for an answer of at most `bytes_max`. As little is enough to answer with then.
    pub fn within(self, bytes_max: usize) -> Self {
        let bytes_max = self.bytes_max.min(bytes_max);
        // One batch comes all the same, and is waited for.
        Self { bytes_max, min_bytes: self.min_bytes.min(bytes_max.max(1)), ..self }
    }
}

/// The replica id moved into a structure of its own with version 15 (KIP-903).
fn replica(request: &FetchRequest, version: i16) -> i32 {
    if version >= 15 { request.replica_state.replica_id.0 } else { request.replica_id.0 }
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// A broker that claims to follow; -1 for a consumer.
    replica: i32,
    version: i16,
    /// The whole request's limit as given; a negative one fails every partition, as in Kafka.
    bytes_max: i32,
}

impl Reader {
    /// The partition, if this reader may read it.
    fn admit(self, topic: &Topic, index: i32, bytes_max: i32) -> Result<TopicPartition, ErrorCode> {
        if self.replica >= 0 {
            // No other broker is a replica of anything here.
            return topics::partition(topic, index).and(Err(ErrorCode::NotLeaderOrFollower));
        }
        if bytes_max < 0 || self.bytes_max < 0 {
            return topics::partition(topic, index).and(Err(ErrorCode::UnknownServerError));
        }
        let zstd = matches!(topic.settings.compression, Some(Compression::Zstd { .. }));
        if zstd && self.version < ZSTD_FROM {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        topics::partition(topic, index)
    }
}

/// One partition of a fetch, and what is known of it so far.
pub struct Target {
    pub name: StrBytes,
    pub topic_id: TopicId,
    id: Option<TopicPartition>,
    fetch: PartitionFetch,
    pub answer: PartitionAnswer,
}

impl Target {
    /// What the session remembers of the answer.
    pub fn answered(&self) -> Answered {
        Answered {
            high_watermark: self.answer.high_watermark,
            log_start: self.answer.log_start_offset,
            has_records: !self.answer.records.is_empty() || self.answer.diverging_epoch.is_some(),
            is_error: self.answer.error != ErrorCode::None,
        }
    }
}

/// Finds the partitions of a fetch; those that cannot be read are answered with an error.
pub fn resolve(server: &Server, fetching: &Fetching, reader: Reader) -> Vec<Target> {
    let resolve = |(key, fetch): &(super::FetchKey, PartitionFetch)| {
        let found = match &key.topic {
            TopicRef::Id(id) if fetch.answered_before => {
                topics::by_id(server, *id).map_err(|_| ErrorCode::UnknownTopicOrPartition)
            }
            TopicRef::Id(id) => topics::by_id(server, *id),
            TopicRef::Name(name) => topics::by_name(server, name),
        };
        let id = found.and_then(|topic| reader.admit(&topic, key.partition.0, fetch.max_bytes));
        let error = id.as_ref().err().copied().unwrap_or(ErrorCode::None);
        let (name, topic_id) = match &key.topic {
            TopicRef::Id(id) => (StrBytes::default(), *id),
            TopicRef::Name(name) => (name.clone(), TopicId::ZERO),
        };
        let mut answer = PartitionAnswer::failed(key.partition, error);
        if error == ErrorCode::NotLeaderOrFollower {
            answer.aborted_transactions = None;
        }
        Target { name, topic_id, id: id.ok(), fetch: *fetch, answer }
    };
    fetching.partitions.iter().map(resolve).collect()
}

/// Bytes that were read.
pub fn bytes(targets: &[Target]) -> usize {
    targets.iter().map(|target| target.answer.records_bytes()).sum()
}

/// Drops the records that were read.
pub fn let_go(targets: &mut [Target]) {
    for target in targets {
        target.answer.records.clear();
    }
}

/// Whether the answer must not wait: a read failed, the reader's log departs from ours, or nothing can be waited for.
/// A partition that does not exist is no reason to hurry, as in Kafka.
pub fn must_answer(targets: &[Target]) -> bool {
    let urgent =
        |target: &Target| target.answer.error != ErrorCode::None || target.answer.diverging_epoch.is_some();
    let mut readable = targets.iter().filter(|target| target.id.is_some()).peekable();
    readable.peek().is_none() || readable.any(urgent)
}

/// The targets that each shard owns, by their place.
fn by_owner(shard: &Shard, targets: &[Target]) -> Vec<(ShardId, Vec<usize>)> {
    let mut owners: Vec<(ShardId, Vec<usize>)> = vec![];
    for (place, target) in targets.iter().enumerate() {
        let Some(id) = target.id else { continue };
        let owner = shard.owner_of(id);
        match owners.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, places)) => places.push(place),
            None => owners.push((owner, vec![place])),
        }
    }
    owners
}

/// Reads every partition, all shards at the same time, each up to the whole request's bytes; what is too much together is
/// cut off afterwards, which costs nothing where it comes from the cache.
pub async fn all(server: &Rc<Server>, targets: &mut [Target], limits: Limits) {
    type Pending = Pin<Box<dyn Future<Output = Result<ReadAnswers, ShardGone>>>>;
    let shard = server.shard();
    let owners = by_owner(shard, targets);
    let (bytes_max, sent) = (limits.bytes_max, Instant::now());
    let mut pending: Vec<(Vec<usize>, Pending)> = Vec::with_capacity(owners.len());
    for (owner, places) in owners {
        let entries: Vec<ReadEntry> = places.iter().filter_map(|place| entry(&targets[*place])).collect();
        let answers: Pending = if owner == shard.id() {
            let local = shard.clone();
            Box::pin(async move { Ok(local.read(entries, bytes_max, sent).await) })
        } else {
            shard.metrics().traffic.routed.increment();
            match shard.router().credit(owner).await {
                Ok(credit) => Box::pin(
                    shard
                        .router()
                        .start(credit, move |owner: Rc<Shard>| owner.read(entries, bytes_max, sent)),
                ),
                Err(gone) => Box::pin(async move { Err(gone) }),
            }
        };
        pending.push((places, answers));
    }
    for (places, answers) in pending {
        match answers.await {
            Ok(answers) => {
                for (place, answer) in places.into_iter().zip(answers) {
                    settle(&mut targets[place], answer, limits);
                }
            }
            Err(gone) => {
                for place in places {
                    targets[place].answer.error = errors::of_shard_gone(gone);
                }
            }
        }
    }
    trim(targets, limits.bytes_max);
}

/// Cuts the records off that lie beyond `bytes_max` over all partitions. Only the first batch of all may be larger than
/// what was asked for.
fn trim(targets: &mut [Target], bytes_max: usize) {
    let mut left = bytes_max;
    let mut found = false;
    for target in targets {
        let records = &mut target.answer.records;
        let size: usize = records.iter().map(Bytes::len).sum();
        let allowed = left.min(usize::try_from(target.fetch.max_bytes).unwrap_or(0));
        if size > allowed {
            *records = whole_batches(records, allowed, !found);
        }
        found |= !records.is_empty();
        left = left.saturating_sub(records.iter().map(Bytes::len).sum());
    }
}

/// The whole batches at the start of `records` that fit into `bytes_max`, or the first one if `at_least_one`.
fn whole_batches(records: &[Bytes], bytes_max: usize, at_least_one: bool) -> SmallVec<[Bytes; 4]> {
    let mut kept = SmallVec::new();
    let mut used = 0;
    for slice in records {
        let mut end = 0;
        while let Ok(header) = BatchHeader::parse(&slice[end..]) {
            let size = header.size_bytes as usize;
            let first = used == 0 && at_least_one;
            if used + size > bytes_max && !first {
                break;
            }
            (end, used) = ((end + size).min(slice.len()), used + size);
        }
        if end > 0 {
            kept.push(slice.slice(..end));
        }
        if end < slice.len() {
            break;
        }
    }
    kept
}

fn entry(target: &Target) -> Option<ReadEntry> {
    let request = ReadRequest {
        offset: target.fetch.offset,
        bytes_max: usize::try_from(target.fetch.max_bytes).unwrap_or(0),
        at_least_one: true,
        current_epoch: target.fetch.current_epoch,
        last_fetched_epoch: target.fetch.last_fetched_epoch,
    };
    Some(ReadEntry { partition: target.id?, request })
}

fn settle(target: &mut Target, result: Result<Read, PartitionError>, limits: Limits) {
    let answer = &mut target.answer;
    let aborted = limits.read_committed.then(Vec::new);
    match result {
        Ok(read) => {
            answer.error = ErrorCode::None;
            answer.high_watermark = read.bounds.high_watermark;
            // Without transactions nothing is unstable.
            answer.last_stable_offset = read.bounds.high_watermark;
            answer.log_start_offset = read.bounds.log_start;
            answer.diverging_epoch = read.diverging;
            answer.aborted_transactions = aborted;
            answer.records = read.slices.bytes;
        }
        Err(error) => {
            *answer = PartitionAnswer::failed(answer.partition, errors::of_partition(&error));
            answer.aborted_transactions = aborted;
        }
    }
}

/// A fetch that waits, and the places of its targets at each owner as they were when it began to: partitions may move.
pub struct Watch {
    wait: Wait,
    owners: Vec<(ShardId, Vec<usize>)>,
}

/// Waits for news of any partition beyond what was fetched. Where anything is enough, the shard that has news sends what it
/// read.
pub fn watch(server: &Rc<Server>, targets: &[Target], limits: Limits) -> Watch {
    let shard = server.shard();
    let owners = by_owner(shard, targets);
    let watched = owners.iter().map(|(owner, places)| {
        let offset = |place: &usize| {
            let target = &targets[*place];
            let seen = target.answer.high_watermark.max(Offset::ZERO);
            target.id.map(|id| (id, target.fetch.offset.max(seen)))
        };
        let wanted = (limits.min_bytes <= 1).then(|| Wanted {
            entries: places.iter().filter_map(|place| entry(&targets[*place])).collect(),
            bytes_max: limits.bytes_max,
        });
        Watched { owner: *owner, partitions: places.iter().filter_map(offset).collect(), wanted }
    });
    let wait = Wait::begin(shard, watched.collect());
    Watch { wait, owners }
}

impl Watch {
    /// Returns when there is news of a partition.
    pub async fn news(&self) -> Vec<News> {
        self.wait.news().await
    }

    /// Ends the wait and puts what came into the targets; false if all have to be read again, because nothing came or a read
    /// failed: the partition may have moved to another shard.
    pub fn settle(self, targets: &mut [Target], news: Vec<News>, limits: Limits) -> bool {
        if news.is_empty() || news.iter().any(|news| news.answers.iter().any(Result::is_err)) {
            return false;
        }
        for News { owner, answers } in news {
            let places =
                self.owners.iter().filter(|(known, _)| *known == owner).flat_map(|(_, places)| places);
            for (place, answer) in places.zip(answers) {
                settle(&mut targets[*place], answer, limits);
            }
        }
        trim(targets, limits.bytes_max);
        true
    }
}

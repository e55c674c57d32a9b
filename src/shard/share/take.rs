//! Takes records of share partitions for a member: reads the log where records are available, and acquires them.
//!
//! Key invariant: what is handed out is acquired; records beside it come along only because batches are whole.

use std::rc::Rc;

use bytes::Bytes;

use super::{Place, ShareError};
use crate::coordinator::share::{AcquireLimits, Acquired, Fetched, SharePartitionKey, ShareRules};
use crate::coordinator::{GroupId, MemberId};
use crate::model::{LeaderEpoch, Offset, TopicPartition};
use crate::partition::{PartitionError, ReadRequest};
use crate::record::BatchHeader;
use crate::shard::Shard;

/// Reads of one partition in a row that may come to nothing, because what they found is gone or taken.
const FRUITLESS_READS_MAX: u32 = 16;

/// How much a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct TakeLimits {
    pub acquire: AcquireLimits,
    /// Bytes of batches, of which the first comes whole.
    pub bytes_max: usize,
    /// Take nothing if fewer bytes than this are there.
    pub bytes_min: usize,
}

/// What a fetch got of one partition.
#[derive(Clone, Debug)]
pub struct Taken {
    pub acquired: Vec<Acquired>,
    /// The batches that the acquired records are in.
    pub batches: Vec<Bytes>,
    /// With nothing acquired: news when the high watermark passes this.
    pub wait_from: Offset,
    /// Bytes that were there, taken or not.
    pub found_bytes: usize,
}

impl Taken {
    fn nothing(wait_from: Offset) -> Self {
        Self { acquired: vec![], batches: vec![], wait_from, found_bytes: 0 }
    }

    /// How many records were acquired.
    pub fn records(&self) -> i64 {
        self.acquired.iter().map(Acquired::records).sum()
    }

    /// How many bytes go out.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(Bytes::len).sum()
    }
}

/// The right to read for a share partition.
struct Reading<'a>(&'a Place);

impl<'a> Reading<'a> {
    fn begin(place: &'a Place) -> Option<Self> {
        if place.reading.replace(true) {
            place.contended.set(true);
            return None;
        }
        Some(Self(place))
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.reading.set(false);
        if self.0.contended.replace(false) {
            self.0.partition.disturb();
        }
    }
}

/// One member's fetch on this shard.
struct Taking {
    member: MemberId,
    rules: ShareRules,
    limits: TakeLimits,
}

impl Shard {
    /// Takes records of partitions of this shard, one after the other until it is enough.
    pub(super) async fn take(
        self: Rc<Self>,
        (group, member): (GroupId, MemberId),
        partitions: Vec<TopicPartition>,
        limits: TakeLimits,
    ) -> Vec<Result<Taken, ShareError>> {
        let rules = self.share_rules(&group);
        let mut taking = Taking { member, rules, limits };
        let mut answers = Vec::with_capacity(partitions.len());
        for TopicPartition { topic_id, partition } in partitions {
            let key = SharePartitionKey { group: group.clone(), topic_id, partition };
            let taken = self.take_one(&key, &taking).await;
            if let Ok(taken) = &taken {
                let limits = &mut taking.limits;
                let records = u32::try_from(taken.records()).unwrap_or(u32::MAX);
                limits.acquire.records_max = limits.acquire.records_max.saturating_sub(records);
                limits.bytes_max = limits.bytes_max.saturating_sub(taken.bytes());
                limits.bytes_min = limits.bytes_min.saturating_sub(taken.found_bytes);
            }
            answers.push(taken);
        }
        answers
    }

    async fn take_one(
        self: &Rc<Self>,
        key: &SharePartitionKey,
        taking: &Taking,
    ) -> Result<Taken, ShareError> {
        // News comes when the partition's waiters are disturbed.
        let later = Taken::nothing(Offset(i64::MAX));
        let Some(place) = self.find_share(key)? else { return Ok(later) };
        if taking.limits.acquire.records_max == 0 || taking.limits.bytes_max == 0 {
            return Ok(later);
        }
        let Some(reading) = Reading::begin(&place) else { return Ok(later) };
        let taken = self.read_and_acquire(&place, taking).await;
        drop(reading);
        if let Ok(taken) = &taken
            && taken.acquired.is_empty()
        {
            place.starved.set(true);
        }
        self.watch_locks(&place);
        self.write_share(&place);
        taken
    }

    async fn read_and_acquire(self: &Rc<Self>, place: &Place, taking: &Taking) -> Result<Taken, ShareError> {
        for _ in 0..FRUITLESS_READS_MAX {
            let bounds = place.partition.bounds();
            let from = {
                let mut state = place.state.borrow_mut();
                state.on_log_start(bounds.log_start);
                if !state.can_acquire(&taking.rules) {
                    return Ok(Taken::nothing(Offset(i64::MAX)));
                }
                state.next_fetch()
            };
            if from >= bounds.high_watermark {
                return Ok(Taken::nothing(from));
            }
            let request = ReadRequest {
                offset: from,
                bytes_max: taking.limits.bytes_max,
                at_least_one: true,
                current_epoch: LeaderEpoch::UNKNOWN,
                last_fetched_epoch: LeaderEpoch::UNKNOWN,
            };
            let read = match place.partition.read(request).await {
                Ok(read) => read,
                // The log has moved on; so does the share partition.
                Err(PartitionError::OffsetOutOfRange { start, .. }) if start > from => continue,
                Err(error) => return Err(error.into()),
            };
            let found_bytes = read.slices.bytes.iter().map(Bytes::len).sum();
            if found_bytes < taking.limits.bytes_min {
                return Ok(Taken { found_bytes, ..Taken::nothing(bounds.high_watermark) });
            }
            let batches = offsets(&read.slices.bytes);
            let fetched = Fetched { from, batches: &batches };
            let mut state = place.state.borrow_mut();
            let acquired =
                state.acquire(self.now(), &taking.member, &fetched, taking.limits.acquire, &taking.rules);
            if let (Some(first), Some(last)) = (acquired.first(), acquired.last()) {
                let batches = between(&read.slices.bytes, first.first, last.last);
                return Ok(Taken { acquired, batches, wait_from: from, found_bytes });
            }
            if state.next_fetch() == from {
                break;
            }
        }
        Ok(Taken::nothing(Offset(i64::MAX)))
    }
}

/// First and last offset of the batches in `slices`.
fn offsets(slices: &[Bytes]) -> Vec<(Offset, Offset)> {
    let mut offsets = vec![];
    for slice in slices {
        let mut at = 0;
        while let Ok(header) = BatchHeader::parse(&slice[at..]) {
            offsets.push((header.base_offset, Offset(header.next_offset().get() - 1)));
            at = (at + header.size_bytes as usize).min(slice.len());
        }
    }
    offsets
}

/// The batches with an offset from `first` to `last`.
fn between(slices: &[Bytes], first: Offset, last: Offset) -> Vec<Bytes> {
    let mut kept = vec![];
    for slice in slices {
        let (mut from, mut at) = (None, 0);
        while let Ok(header) = BatchHeader::parse(&slice[at..]) {
            let end = (at + header.size_bytes as usize).min(slice.len());
            if header.base_offset > last {
                break;
            }
            if header.next_offset() > first {
                from.get_or_insert(at);
            }
            at = end;
        }
        if let Some(from) = from.filter(|from| *from < at) {
            kept.push(slice.slice(from..at));
        }
    }
    kept
}

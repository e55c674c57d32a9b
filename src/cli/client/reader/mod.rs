//! Reads partitions of one topic from given offsets on: a fetch in flight per leader, the next one sent before the last
//! one's records are looked at.
//!
//! Key invariant: each partition's records come in offset order, none twice and none skipped, except those that
//! retention removed before they were read, which is said. Printing is left to the subcommand.

mod request;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::offsets::{self, Offsets, Place};
use super::{ClientError, Cluster, TopicFacts};
use crate::model::{Offset, PartitionIndex};
use crate::protocol::ErrorCode;
use crate::record::{BatchHeader, Record, records};
use request::{Answer, Load};

/// How long one trouble may last before reading ends with it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Waits before asking a partition again after an error.
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// Where to begin and where to end, by partition.
#[derive(Clone, Debug)]
pub struct Plan {
    pub from: Offsets,
    /// Offsets to end before; `None` follows for ever.
    pub until: Option<Offsets>,
}

/// What came of one partition.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// Whole batches that hold the offsets from `from` on.
    Batches { partition: PartitionIndex, from: Offset, batches: Bytes },
    /// Retention removed the offsets between.
    Gone { partition: PartitionIndex, from: Offset, until: Offset },
}

impl Fetched {
    /// The partition that it is of.
    pub fn partition(&self) -> PartitionIndex {
        match self {
            Self::Batches { partition, .. } | Self::Gone { partition, .. } => *partition,
        }
    }
}

/// A partition being read.
struct Position {
    next: Offset,
    until: Option<Offset>,
    in_flight: bool,
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy)]
struct Trouble {
    since: Instant,
    retry_at: Instant,
}

impl Position {
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.in_flight && !self.is_done() && self.trouble.is_none_or(|trouble| trouble.retry_at <= now)
    }
}

/// Reads one topic.
pub struct Reader {
    cluster: Rc<Cluster>,
    topic: Rc<TopicFacts>,
    positions: BTreeMap<PartitionIndex, Position>,
    loads: JoinSet<Answer>,
}

impl Reader {
    /// Reads the partitions that `plan` names.
    pub fn new(cluster: Rc<Cluster>, topic: TopicFacts, plan: &Plan) -> Self {
        let positions = plan.from.iter().map(|(partition, next)| {
            let until = plan.until.as_ref().and_then(|until| until.get(partition)).copied();
            (*partition, Position { next: *next, until, in_flight: false, trouble: None })
        });
        Self { cluster, topic: Rc::new(topic), positions: positions.collect(), loads: JoinSet::new() }
    }

    /// The topic's name.
    pub fn topic_name(&self) -> &str {
        &self.topic.name
    }

    /// Whether the plan ends before `offset`: a batch may reach beyond it.
    pub fn is_beyond_end(&self, partition: PartitionIndex, offset: Offset) -> bool {
        let until = self.positions.get(&partition).and_then(|position| position.until);
        until.is_some_and(|until| offset >= until)
    }

    /// The offset after what [`Self::next`] has answered of each partition, and not beyond where the plan ends.
    pub fn positions(&self) -> Offsets {
        let reached =
            |position: &Position| position.until.map_or(position.next, |end| end.min(position.next));
        self.positions.iter().map(|(partition, position)| (*partition, reached(position))).collect()
    }

    /// What came next, or `None` once every partition is read to where the plan ends. May be dropped at any point.
    pub async fn next(&mut self) -> Result<Option<Vec<Fetched>>, ClientError> {
        loop {
            if self.positions.values().all(Position::is_done) {
                return Ok(None);
            }
            self.depart();
            let retry =
                self.positions.values().filter_map(|p| p.trouble.map(|trouble| trouble.retry_at)).min();
            let fetched = tokio::select! {
                Some(answer) = self.loads.join_next(), if !self.loads.is_empty() => {
                    self.arrive(answer.expect("a fetch neither panics nor is aborted")).await?
                }
                () = tokio::time::sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => Vec::new(),
            };
            if !fetched.is_empty() {
                self.depart();
                return Ok(Some(fetched));
            }
        }
    }

    /// Starts a fetch at every leader that has none in flight and partitions that are due.
    fn depart(&mut self) {
        let now = Instant::now();
        let mut due: BTreeMap<Option<i32>, Vec<(PartitionIndex, Offset)>> = BTreeMap::new();
        let mut busy = Vec::new();
        for partition in &self.topic.partitions {
            let Some(position) = self.positions.get(&partition.index) else { continue };
            if position.in_flight {
                busy.push(partition.leader);
            } else if position.is_due(now) {
                due.entry(partition.leader).or_default().push((partition.index, position.next));
            }
        }
        due.retain(|leader, _| !busy.contains(leader));
        for (leader, partitions) in due {
            for (partition, _) in &partitions {
                if let Some(position) = self.positions.get_mut(partition) {
                    position.in_flight = true;
                }
            }
            let (cluster, topic) = (Rc::clone(&self.cluster), Rc::clone(&self.topic));
            self.loads.spawn_local(Load { cluster, topic, leader, partitions }.run());
        }
    }

    async fn arrive(&mut self, answer: Answer) -> Result<Vec<Fetched>, ClientError> {
        let mut fetched = Vec::new();
        let mut stale = false;
        for (partition, result) in answer {
            let Some(position) = self.positions.get_mut(&partition) else { continue };
            position.in_flight = false;
            match result {
                Ok(batches) => {
                    position.trouble = None;
                    let from = position.next;
                    let (batches, next) = whole_batches(batches, from);
                    position.next = next;
                    if next > from {
                        fetched.push(Fetched::Batches { partition, from, batches });
                    }
                }
                Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                    fetched.push(self.skip_gone(partition, error).await?);
                }
                Err(error) if error.is_retriable() && position.may_wait() => stale = true,
                Err(error) => return Err(error),
            }
        }
        if stale && let Ok(topic) = self.cluster.topic(&self.topic.name, false).await {
            self.topic = Rc::new(topic);
        }
        Ok(fetched)
    }

    /// Goes on at the first offset that is left; an offset beyond the end stays an error, with the range.
    async fn skip_gone(
        &mut self,
        partition: PartitionIndex,
        error: ClientError,
    ) -> Result<Fetched, ClientError> {
        let only = |facts: &super::PartitionFacts| facts.index == partition;
        let earliest = offsets::of_partitions(&self.cluster, &self.topic, only, Place::Earliest).await?;
        let latest = offsets::of_partitions(&self.cluster, &self.topic, only, Place::Latest).await?;
        let bounds = earliest.get(&partition).zip(latest.get(&partition));
        let (Some((start, end)), Some(position)) = (bounds, self.positions.get_mut(&partition)) else {
            return Err(error);
        };
        if position.next >= *start {
            let message =
                format!("offset {} is not there; the partition holds {start} to {end}", position.next);
            let subject = format!("partition {partition} of topic {}", self.topic.name);
            return Err(ClientError::refused(subject, ErrorCode::OffsetOutOfRange.code(), Some(message)));
        }
        let from = std::mem::replace(&mut position.next, *start);
        Ok(Fetched::Gone { partition, from, until: *start })
    }
}

impl Position {
    /// Notes trouble. `false` once it has lasted too long.
    fn may_wait(&mut self) -> bool {
        let now = Instant::now();
        let since = self.trouble.map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { since, retry_at: now + RETRY_WAIT });
        now.duration_since(since) < PATIENCE
    }
}

/// Cuts off a batch that is not whole, and answers where the next fetch begins.
fn whole_batches(batches: Bytes, from: Offset) -> (Bytes, Offset) {
    let mut next = from;
    let mut end = 0;
    while let Ok(header) = BatchHeader::parse_whole(&batches[end..]) {
        end += header.size_bytes as usize;
        next = next.max(header.next_offset());
    }
    (batches.slice(..end), next)
}

/// The records from `from` on in `batches`, in order; transaction markers and the like left out.
pub fn each_record(
    batches: &Bytes,
    from: Offset,
    mut visit: impl FnMut(&BatchHeader, Record) -> std::io::Result<bool>,
) -> Result<std::io::Result<bool>, ClientError> {
    let damaged = |error: crate::record::BatchError| {
        ClientError::refused("a record batch", ErrorCode::CorruptMessage.code(), Some(error.to_string()))
    };
    let mut at = 0;
    while let Ok(header) = BatchHeader::parse_whole(&batches[at..]) {
        let batch = batches.slice(at..at + header.size_bytes as usize);
        at += batch.len();
        if header.is_control() {
            continue;
        }
        header.check_crc(&batch).map_err(damaged)?;
        for record in records(&batch).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            if record.offset < from {
                continue;
            }
            match visit(&header, record) {
                Ok(true) => {}
                ended => return Ok(ended),
            }
        }
    }
    Ok(Ok(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Codec;
    use crate::record::builder::{BatchBuilder, NewRecord};

    fn batch(base: i64, records: usize) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::None);
        for _ in 0..records {
            builder.append(&NewRecord { value: Some(b"v"), ..NewRecord::default() });
        }
        builder.build(Offset(base)).expect("it has records")
    }

    #[test]
    fn a_torn_batch_at_the_end_is_fetched_again() {
        let (first, second) = (batch(10, 3), batch(13, 2));
        let torn = [&first[..], &second[..second.len() - 1]].concat();
        let (whole, next) = whole_batches(Bytes::from(torn), Offset(11));
        assert_eq!((whole.len(), next), (first.len(), Offset(13)));
        assert_eq!(whole_batches(Bytes::new(), Offset(7)).1, Offset(7));
    }

    #[test]
    fn records_before_the_wanted_offset_are_left_out() {
        let mut seen = Vec::new();
        let batches = Bytes::from([&batch(10, 3)[..], &batch(13, 2)[..]].concat());
        let ended = each_record(&batches, Offset(12), |_, record| {
            seen.push(record.offset.get());
            Ok(seen.len() < 2)
        });
        assert!(matches!(ended, Ok(Ok(false))));
        assert_eq!(seen, [12, 13]);
    }
}

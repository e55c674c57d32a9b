//! Produces records to one topic: batching, partitioning, idempotence (KIP-98), several requests in flight.
//!
//! Key invariant: with idempotence every record is appended once and in order within its partition. A batch keeps the
//! sequence number that it was sealed with, whatever happens to the requests it travels in; after a failure, a lane
//! sends nothing new until all it has in flight is answered. Reading input is left to the subcommand.

mod lane;
mod request;

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::retry::retrying;
use super::{ClientError, Cluster, TopicFacts};
use crate::model::{ProducerEpoch, ProducerId, TimestampMs, partition_of_key};
use crate::protocol::ErrorCode;
use crate::record::Codec;
use crate::record::builder::NewRecord;
use kafka_protocol::messages::InitProducerIdRequest;
use lane::Lane;
use request::{Outcome, Trip};

/// Bytes of a batch before it is sealed, uncompressed. A single larger record makes a batch of its own.
pub const BATCH_BYTES: usize = 1_000_000;
/// Bytes of sealed batches that one request carries; Kafka's `message.max.bytes` bounds each batch, not the request.
const REQUEST_BYTES: usize = 4 << 20;
/// Requests in flight per producer.
const TRIPS_MAX: usize = 8;
/// Batches of one partition in flight: Kafka remembers the last five of each producer.
const BATCHES_IN_FLIGHT_MAX: usize = 5;
/// Bytes that wait to be sent or answered; reading input pauses above.
const BUFFERED_BYTES_MAX: usize = 32 << 20;
/// Waits between attempts to send failed batches.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// Who must have a record before the broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody; the broker does not answer.
    None,
    /// The leader.
    Leader,
    /// Every in-sync replica.
    All,
}

/// How to produce.
#[derive(Clone, Copy, Debug)]
pub struct ProducerOptions {
    pub acks: Acks,
    pub codec: Codec,
    /// How long a batch waits for more records.
    pub linger: Duration,
    /// How long a batch may take from being sealed to being acknowledged.
    pub delivery_timeout: Duration,
}

/// What was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    pub records: u64,
    /// Bytes of batches as sent.
    pub batch_bytes: u64,
    pub batches: u64,
}

/// An idempotent producer's identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    id: ProducerId,
    epoch: ProducerEpoch,
}

/// Produces to one topic.
pub struct Producer {
    cluster: Rc<Cluster>,
    topic: Rc<TopicFacts>,
    options: ProducerOptions,
    identity: Option<Identity>,
    lanes: Vec<Lane>,
    /// The lane of records without key, until its batch is sealed (KIP-480).
    sticky: usize,
    trips: JoinSet<Vec<Outcome>>,
    buffered_bytes: usize,
    delivered: Delivered,
    /// No trips begin before this after a failure.
    paused_until: Option<Instant>,
}

impl Producer {
    /// Gets a producer id if the options call for one.
    pub async fn open(
        cluster: Rc<Cluster>,
        topic: TopicFacts,
        options: ProducerOptions,
    ) -> Result<Self, ClientError> {
        let identity = match options.acks {
            // Kafka ties idempotence to acks=all.
            Acks::All => Some(retrying(cluster.timeout(), || new_identity(&cluster)).await?),
            Acks::None | Acks::Leader => None,
        };
        let lanes: Vec<Lane> = topic.partitions.iter().map(|partition| Lane::new(partition.index)).collect();
        if lanes.is_empty() {
            return Err(ClientError::Leaderless { topic: topic.name, partition: 0 });
        }
        let sticky = std::process::id() as usize % lanes.len();
        Ok(Self {
            cluster,
            topic: Rc::new(topic),
            options,
            identity,
            lanes,
            sticky,
            trips: JoinSet::new(),
            buffered_bytes: 0,
            delivered: Delivered::default(),
            paused_until: None,
        })
    }

    /// What was acknowledged so far.
    pub fn delivered(&self) -> Delivered {
        self.delivered
    }

    /// Adds a record, to `partition` or to the one that its key or the batching chooses. Never waits.
    pub fn append(&mut self, record: &NewRecord<'_>, partition: Option<i32>) -> Result<(), ClientError> {
        let count = self.lanes.len();
        let at = match (partition, record.key) {
            (Some(index), _) => super::offsets::partition_of(&self.topic, index).map(|_| index as usize)?,
            (None, Some(key)) => partition_of_key(key, count as u32) as usize,
            (None, None) => self.sticky,
        };
        let lane = &mut self.lanes[at];
        let sealed = lane.append(record, self.options.codec, self.identity).map_err(unbuildable)?;
        self.buffered_bytes += sealed;
        if sealed > 0 && at == self.sticky {
            self.sticky = (at + 1) % count;
        }
        Ok(())
    }

    /// Whether more records should wait until some were answered.
    pub fn is_full(&self) -> bool {
        self.buffered_bytes >= BUFFERED_BYTES_MAX
    }

    /// Sends what is due and handles one event: an answer, or a batch whose time to linger is over. Pending while there
    /// is nothing to wait for. May be dropped at any point.
    pub async fn progress(&mut self) -> Result<(), ClientError> {
        self.seal_due(Instant::now())?;
        self.depart();
        let lingering = self.lanes.iter().filter_map(|lane| lane.lingers_until(self.options.linger)).min();
        let retry = self.paused_until;
        let next = lingering.into_iter().chain(retry).min();
        tokio::select! {
            Some(trip) = self.trips.join_next(), if !self.trips.is_empty() => {
                self.arrive(trip.expect("a trip neither panics nor is aborted")).await
            }
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => Ok(()),
            else => std::future::pending().await,
        }
    }

    /// Sends all that was appended and awaits every answer.
    pub async fn flush(&mut self) -> Result<Delivered, ClientError> {
        for at in 0..self.lanes.len() {
            self.seal(at)?;
        }
        while self.lanes.iter().any(Lane::is_busy) || !self.trips.is_empty() {
            self.progress().await?;
        }
        if self.options.acks == Acks::None {
            // Answers come in order: once this one is here, the broker has read what it does not answer.
            self.cluster.await_answers().await?;
        }
        Ok(self.delivered)
    }

    fn seal(&mut self, at: usize) -> Result<(), ClientError> {
        self.buffered_bytes += self.lanes[at].seal(self.identity).map_err(unbuildable)?;
        if at == self.sticky {
            self.sticky = (at + 1) % self.lanes.len();
        }
        Ok(())
    }

    fn seal_due(&mut self, now: Instant) -> Result<(), ClientError> {
        for at in 0..self.lanes.len() {
            if self.lanes[at].lingers_until(self.options.linger).is_some_and(|until| until <= now) {
                self.seal(at)?;
            }
        }
        Ok(())
    }

    /// Starts requests, each to one leader with at most one batch of each of its partitions.
    fn depart(&mut self) {
        if self.paused_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        self.paused_until = None;
        let depth = if self.identity.is_some() { BATCHES_IN_FLIGHT_MAX } else { 1 };
        while self.trips.len() < TRIPS_MAX {
            let Some((leader, batches)) = self.next_load(depth) else { return };
            let trip = Trip {
                cluster: Rc::clone(&self.cluster),
                topic: Rc::clone(&self.topic),
                leader,
                acks: self.options.acks,
                batches,
            };
            self.trips.spawn_local(trip.run());
        }
    }

    /// Takes batches for one leader: the first that any waits for.
    fn next_load(&mut self, depth: usize) -> Option<(Option<i32>, Vec<lane::Sealed>)> {
        let mut leader = None;
        let mut batches: Vec<lane::Sealed> = Vec::new();
        let mut bytes = 0;
        for (lane, partition) in self.lanes.iter_mut().zip(&self.topic.partitions) {
            if bytes >= REQUEST_BYTES
                || !lane.can_depart(depth)
                || leader.is_some_and(|l| l != partition.leader)
            {
                continue;
            }
            if let Some(sealed) = lane.depart() {
                bytes += sealed.batch.len();
                leader = Some(partition.leader);
                batches.push(sealed);
            }
        }
        leader.map(|leader| (leader, batches))
    }

    async fn arrive(&mut self, outcomes: Vec<Outcome>) -> Result<(), ClientError> {
        let mut failed = false;
        for outcome in outcomes {
            let place = self.lanes.iter().position(|lane| lane.partition() == outcome.sealed.partition);
            let at = place.expect("a batch departed from a lane");
            match outcome.result {
                Ok(()) => {
                    self.delivered.records += u64::from(outcome.sealed.records);
                    self.delivered.batch_bytes += outcome.sealed.batch.len() as u64;
                    self.delivered.batches += 1;
                    self.buffered_bytes -= outcome.sealed.batch.len();
                    self.lanes[at].acknowledged();
                }
                Err(error) if self.may_retry(&error, &outcome.sealed) => {
                    failed = true;
                    self.lanes[at].failed(outcome.sealed);
                }
                Err(error) => return Err(error),
            }
        }
        if failed {
            self.paused_until = Some(Instant::now() + RETRY_WAIT);
            self.refresh().await;
        }
        Ok(())
    }

    fn may_retry(&self, error: &ClientError, sealed: &lane::Sealed) -> bool {
        let in_time = sealed.sealed_at.elapsed() < self.options.delivery_timeout;
        // An earlier batch of the lane failed: this one goes again after it.
        let overtook = error.code() == Some(ErrorCode::OutOfOrderSequenceNumber) && self.identity.is_some();
        in_time && (error.is_retriable() || overtook)
    }

    /// Asks who leads now. A failure is left to the next attempt, which meets it again.
    async fn refresh(&mut self) {
        if let Ok(topic) = self.cluster.topic(&self.topic.name, false).await
            && topic.partitions.len() >= self.lanes.len()
        {
            self.topic = Rc::new(topic);
        }
    }
}

async fn new_identity(cluster: &Cluster) -> Result<Identity, ClientError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let answer = cluster.any().await?.call(&request).await?;
    if answer.error_code != 0 {
        return Err(ClientError::refused("a producer id", answer.error_code, None));
    }
    Ok(Identity { id: ProducerId(answer.producer_id.0), epoch: ProducerEpoch(answer.producer_epoch) })
}

fn unbuildable(error: crate::record::BatchError) -> ClientError {
    ClientError::Request(error.to_string())
}

/// Now, as producers stamp records.
pub fn now() -> TimestampMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

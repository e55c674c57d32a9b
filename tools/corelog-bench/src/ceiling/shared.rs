//! What the executors of a server have in common.
//!
//! Key invariant: without faults the hot path touches nothing here that another executor writes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog::protocol::ErrorCode;
use uuid::Uuid;

use super::CeilingOptions;
use super::hot::HotBatch;

/// Reasons for closed connections that are kept.
const COMPLAINTS_MAX: usize = 16;

/// What is to be done with a Produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer with this error code, 0 for none.
    Answer(i16),
    Close,
}

/// A server's options and state.
#[derive(Debug)]
pub(super) struct Shared {
    pub options: CeilingOptions,
    pub hot: HotBatch,
    addresses: Vec<SocketAddr>,
    has_faults: bool,
    /// Partitions of topics that were created, by name.
    topics: Mutex<BTreeMap<String, i32>>,
    complaints: Mutex<Vec<String>>,
    next_producer_id: AtomicI64,
    produce_requests: AtomicU64,
    first_request: OnceLock<Instant>,
}

impl Shared {
    pub(super) fn new(options: CeilingOptions, addresses: Vec<SocketAddr>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            hot: HotBatch::new(options.batch_bytes, now.as_millis() as i64),
            has_faults: !options.faults.is_none(),
            options,
            addresses,
            topics: Mutex::default(),
            complaints: Mutex::default(),
            next_producer_id: AtomicI64::new(1),
            produce_requests: AtomicU64::new(0),
            first_request: OnceLock::new(),
        }
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address that clients are told, broker by broker.
    pub(super) fn advertised(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
            IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
            _ => *address,
        })
    }

    pub(super) fn has_faults(&self) -> bool {
        self.has_faults
    }

    /// How many partitions a topic has, if it exists.
    pub(super) fn partitions(&self, name: &str) -> Option<i32> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).copied().or(self.options.partitions)
    }

    /// Creates a topic unless it was created before.
    pub(super) fn create(&self, name: &str, partitions: i32) -> Result<(), ErrorCode> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.contains_key(name) {
            return Err(ErrorCode::TopicAlreadyExists);
        }
        topics.insert(name.to_owned(), partitions.max(1));
        Ok(())
    }

    /// Forgets a topic that was created.
    pub(super) fn remove(&self, name: &str) -> Result<(), ErrorCode> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.remove(name).map(drop).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    pub(super) fn next_producer_id(&self) -> i64 {
        self.next_producer_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The broker that leads a partition now, and the leader's epoch.
    pub(super) fn leader(&self, partition: i32) -> (i32, i32) {
        let brokers = self.addresses.len() as i32;
        let moved =
            self.options.faults.move_leaders_after.is_some_and(|after| self.since_first() >= Some(after));
        let epoch = i32::from(moved);
        (partition.wrapping_add(epoch).rem_euclid(brokers), epoch)
    }

    /// What comes of a request for `partition` at `broker`, apart from the faults of Produce.
    pub(super) fn leadership(&self, broker: i32, partition: i32) -> i16 {
        let at_home = !self.has_faults && self.addresses.len() == 1 || self.leader(partition).0 == broker;
        if at_home { 0 } else { ErrorCode::NotLeaderOrFollower.code() }
    }

    /// Decides about a Produce request to `partition` at `broker`.
    pub(super) fn judge_produce(&self, broker: i32, partition: i32) -> Verdict {
        if self.has_faults {
            self.note_request();
            let number = self.produce_requests.fetch_add(1, Ordering::Relaxed) + 1;
            let faults = &self.options.faults;
            if faults.close_every.is_some_and(|every| number.is_multiple_of(every)) {
                return Verdict::Close;
            }
            if let Some((every, code)) = faults.error_every
                && number.is_multiple_of(every)
            {
                return Verdict::Answer(code);
            }
        }
        Verdict::Answer(self.leadership(broker, partition))
    }

    /// Starts the clock of the faults.
    pub(super) fn note_request(&self) {
        self.first_request.get_or_init(Instant::now);
    }

    /// How long answers that are ready now must wait.
    pub(super) fn held_back(&self) -> Option<Duration> {
        if self.has_faults { self.options.faults.held_back(self.since_first()?) } else { None }
    }

    /// `None` before the first request.
    fn since_first(&self) -> Option<Duration> {
        self.first_request.get().map(Instant::elapsed)
    }

    pub(super) fn produce_requests(&self) -> u64 {
        self.produce_requests.load(Ordering::Relaxed)
    }

    pub(super) fn complain(&self, reason: String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < COMPLAINTS_MAX {
            complaints.push(reason);
        }
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The id of a topic: the FNV-1a hash of its name, so that every executor and every run agree.
pub(super) fn topic_id(name: &str) -> Uuid {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = name.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    Uuid::from_u128(hash)
}

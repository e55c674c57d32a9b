//! Incremental fetch sessions (KIP-227): the broker remembers what a client fetches, the client sends only changes,
//! and the answer leaves out partitions without news.
//!
//! Key invariants: a session's epoch moves by one per answered request, so a repeated or lost request is noticed. The
//! cache is bounded in sessions and in partitions per session; a client that gets no session (id 0) sends full
//! requests, which always work. Ids are unique across shards: a shard hands out those that are its number modulo the
//! count of shards.

use hashbrown::HashMap;
use indexmap::IndexMap;

use crate::model::{LeaderEpoch, Offset, PartitionIndex, ShardId, TimestampMs, TopicId};
use kafka_protocol::protocol::StrBytes;

/// The epoch that asks for a full answer and a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch that asks for a full answer and no session.
const FINAL_EPOCH: i32 = -1;
/// A session that was not used for this long makes room for any other.
const STALE_AFTER_MS: i64 = 120_000;
/// Partitions that one session may remember; a larger fetch gets no session.
const PARTITIONS_PER_SESSION_MAX: usize = 20_000;

/// How a request names a topic: by id from Fetch 13 on (KIP-516), by name before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    Id(TopicId),
    Name(StrBytes),
}

/// One partition of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchKey {
    pub topic: TopicRef,
    pub partition: PartitionIndex,
}

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFetch {
    pub offset: Offset,
    pub max_bytes: i32,
    pub current_epoch: LeaderEpoch,
    pub last_fetched_epoch: LeaderEpoch,
    /// The session has answered this partition before, so that an id that is unknown now is a topic deleted meanwhile.
    pub answered_before: bool,
}

/// The session part of a request, and what it lists.
#[derive(Debug)]
pub struct SessionRequest {
    pub session_id: i32,
    pub session_epoch: i32,
    pub uses_topic_ids: bool,
    pub listed: Vec<(FetchKey, PartitionFetch)>,
    pub forgotten: Vec<FetchKey>,
}

/// What an answer says of one partition, as far as sessions care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub high_watermark: Offset,
    pub log_start: Offset,
    pub has_records: bool,
    pub is_error: bool,
}

/// Why a request does not fit its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("the fetch session is not known")]
    NotFound,
    #[error("the fetch session epoch is not the expected one")]
    Epoch,
    #[error("the fetch session mixes topic names and topic ids")]
    TopicIds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Sessionless,
    Full,
    Incremental { id: i32, epoch: i32 },
}

/// A fetch under way: which partitions to read, and how to end it.
#[derive(Debug)]
pub struct Fetching {
    mode: Mode,
    uses_topic_ids: bool,
    pub partitions: Vec<(FetchKey, PartitionFetch)>,
}

/// How an answer must look.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    pub session_id: i32,
    /// For each partition of the fetch: whether the answer includes it.
    pub included: Vec<bool>,
}

#[derive(Debug)]
struct Remembered {
    fetch: PartitionFetch,
    high_watermark: Offset,
    log_start: Offset,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    uses_topic_ids: bool,
    partitions: IndexMap<FetchKey, Remembered>,
    /// Where the next fetch begins, so that partitions with much data do not starve those after them.
    cursor: usize,
    created: TimestampMs,
    last_used: TimestampMs,
}

/// The sessions of one shard.
#[derive(Debug)]
pub struct SessionCache {
    sessions: HashMap<i32, Session>,
    slots: usize,
    shard: ShardId,
    shards: u16,
    next: i32,
}

impl SessionCache {
    /// A cache of at most `slots` sessions for `shard` of `shards`; `seed` makes ids of different runs differ, so that
    /// a client's old id is not mistaken for a new session's.
    pub fn new(slots: usize, shard: ShardId, shards: u16, seed: u32) -> Self {
        let next = (seed & 0x00ff_ffff) as i32;
        Self { sessions: HashMap::new(), slots, shard, shards: shards.max(1), next }
    }

    /// Finds out which partitions a request fetches, and moves its session on.
    pub fn begin(&mut self, request: SessionRequest, now: TimestampMs) -> Result<Fetching, SessionError> {
        let SessionRequest { session_id, session_epoch, uses_topic_ids, listed, forgotten } = request;
        if session_epoch == INITIAL_EPOCH || session_epoch == FINAL_EPOCH {
            // A full request closes the session it names; one that is unknown here is no error.
            self.sessions.remove(&session_id);
            let mode = if session_epoch == FINAL_EPOCH { Mode::Sessionless } else { Mode::Full };
            let distinct: IndexMap<FetchKey, PartitionFetch> = listed.into_iter().collect();
            return Ok(Fetching { mode, uses_topic_ids, partitions: distinct.into_iter().collect() });
        }
        let session = self.sessions.get_mut(&session_id).ok_or(SessionError::NotFound)?;
        if session.epoch != session_epoch {
            return Err(SessionError::Epoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(SessionError::TopicIds);
        }
        session.update(listed, &forgotten);
        if session.partitions.is_empty() || session.partitions.len() > PARTITIONS_PER_SESSION_MAX {
            let partitions = session.in_turn();
            self.sessions.remove(&session_id);
            return Ok(Fetching { mode: Mode::Sessionless, uses_topic_ids, partitions });
        }
        session.last_used = now;
        session.epoch = next_epoch(session_epoch);
        let mode = Mode::Incremental { id: session_id, epoch: session.epoch };
        Ok(Fetching { mode, uses_topic_ids, partitions: session.in_turn() })
    }

    /// Ends a fetch with what was found, one entry per partition of the fetch and in its order.
    pub fn finish(
        &mut self,
        fetching: &Fetching,
        answered: &[Answered],
        now: TimestampMs,
    ) -> Result<Ending, SessionError> {
        debug_assert_eq!(fetching.partitions.len(), answered.len());
        match fetching.mode {
            Mode::Sessionless => Ok(Ending { session_id: 0, included: vec![true; answered.len()] }),
            Mode::Full => {
                let session_id = self.create(fetching, answered, now);
                Ok(Ending { session_id, included: vec![true; answered.len()] })
            }
            Mode::Incremental { id, epoch } => {
                // Gone if it was closed or evicted meanwhile; moved on if the client sent the request twice.
                let session = self.sessions.get_mut(&id).ok_or(SessionError::NotFound)?;
                if session.epoch != epoch {
                    return Err(SessionError::Epoch);
                }
                let included = session.answer(fetching, answered);
                Ok(Ending { session_id: id, included })
            }
        }
    }

    /// Remembers a full fetch; 0 if there is no room for it.
    fn create(&mut self, fetching: &Fetching, answered: &[Answered], now: TimestampMs) -> i32 {
        let count = fetching.partitions.len();
        if count > PARTITIONS_PER_SESSION_MAX || !self.make_room(count, now) {
            return 0;
        }
        let remembered = fetching.partitions.iter().zip(answered).map(|((key, fetch), seen)| {
            let high_watermark = if seen.is_error { Offset::NONE } else { seen.high_watermark };
            (key.clone(), Remembered { fetch: *fetch, high_watermark, log_start: seen.log_start })
        });
        let session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            uses_topic_ids: fetching.uses_topic_ids,
            partitions: remembered.collect(),
            cursor: 0,
            created: now,
            last_used: now,
        };
        let id = self.new_id();
        self.sessions.insert(id, session);
        id
    }

    /// Whether a session of `partitions` may be added, evicting a stale one, or an old one with fewer partitions.
    fn make_room(&mut self, partitions: usize, now: TimestampMs) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let stale = self.sessions.iter().min_by_key(|(id, session)| (session.last_used, **id));
        let victim = match stale {
            Some((id, session)) if now.since(session.last_used) > STALE_AFTER_MS => Some(*id),
            _ => self
                .sessions
                .iter()
                .filter(|(_, session)| now.since(session.created) > STALE_AFTER_MS)
                .min_by_key(|(id, session)| (session.partitions.len(), **id))
                .filter(|(_, session)| session.partitions.len() < partitions)
                .map(|(id, _)| *id),
        };
        victim.is_some_and(|id| self.sessions.remove(&id).is_some())
    }

    fn new_id(&mut self) -> i32 {
        let stride = i32::from(self.shards);
        loop {
            self.next = (self.next + 1) % (i32::MAX / stride);
            let id = self.next * stride + i32::from(self.shard.0);
            if id > 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Session {
    fn update(&mut self, listed: Vec<(FetchKey, PartitionFetch)>, forgotten: &[FetchKey]) {
        for (key, fetch) in listed {
            match self.partitions.get_mut(&key) {
                Some(known) => known.fetch = fetch,
                None => {
                    let unseen = Remembered { fetch, high_watermark: Offset::NONE, log_start: Offset::NONE };
                    self.partitions.insert(key, unseen);
                }
            }
        }
        for key in forgotten {
            self.partitions.shift_remove(key);
        }
    }

    /// The partitions, beginning after the one that was answered with records last.
    fn in_turn(&self) -> Vec<(FetchKey, PartitionFetch)> {
        let count = self.partitions.len();
        let first = if count == 0 { 0 } else { self.cursor % count };
        let turn = self.partitions.iter().skip(first).chain(self.partitions.iter().take(first));
        let fetch = |known: &Remembered| PartitionFetch {
            answered_before: known.log_start != Offset::NONE,
            ..known.fetch
        };
        turn.map(|(key, known)| (key.clone(), fetch(known))).collect()
    }

    fn answer(&mut self, fetching: &Fetching, answered: &[Answered]) -> Vec<bool> {
        let mut included = Vec::with_capacity(answered.len());
        for ((key, _), seen) in fetching.partitions.iter().zip(answered) {
            let Some((index, _, known)) = self.partitions.get_full_mut(key) else {
                included.push(true);
                continue;
            };
            let moved = known.high_watermark != seen.high_watermark || known.log_start != seen.log_start;
            included.push(seen.has_records || seen.is_error || moved);
            // After an error the partition is sent again when the error is over.
            known.high_watermark = if seen.is_error { Offset::NONE } else { seen.high_watermark };
            if !seen.is_error {
                known.log_start = seen.log_start;
            }
            if seen.has_records {
                self.cursor = index + 1;
            }
        }
        included
    }
}

/// The epoch after `epoch`; it wraps to 1, as 0 and -1 have meanings of their own.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests;

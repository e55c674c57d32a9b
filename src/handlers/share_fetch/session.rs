//! Share sessions (KIP-932): which partitions a member fetches from this broker, sent once and then only changed.
//!
//! Key invariants: a member has one session, whose epoch moves by one per request, so a repeated or lost request is noticed.
//! Sessions live on the shard of the member's connection and end with it: a member that connects anew begins anew. Their number and size
//! are bounded; a session that is idle for long makes room when they are too many.

use hashbrown::HashMap;
use indexmap::IndexSet;

use crate::model::{TimestampMs, TopicPartition};
use crate::shard::Sharer;

/// The epoch that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch that closes it.
const FINAL_EPOCH: i32 = -1;
/// A session that was not used for this long makes room for another.
const STALE_AFTER_MS: i64 = 120_000;
/// Partitions that one session may have.
const PARTITIONS_PER_SESSION_MAX: usize = 20_000;

/// Why a request does not fit its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareSessionError {
    #[error("the share session is not known")]
    NotFound,
    #[error("the share session epoch is not the expected one")]
    Epoch,
    #[error("there are too many share sessions")]
    LimitReached,
    #[error("a request that opens a session cannot acknowledge anything")]
    AcknowledgesNothing,
}

/// What a fetch asks of its session.
#[derive(Debug)]
pub struct ShareSessionRequest {
    pub epoch: i32,
    pub listed: Vec<TopicPartition>,
    pub forgotten: Vec<TopicPartition>,
    /// Whether it acknowledges records.
    pub acknowledges: bool,
}

/// What a fetch is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum ShareFetching {
    /// Fetch these, and answer for each of them.
    Full(Vec<TopicPartition>),
    /// Fetch these, and answer for those with news; the first one is another one each time.
    Incremental(Vec<TopicPartition>),
    /// Fetch nothing and close the session.
    Final,
}

#[derive(Debug)]
struct Session {
    /// Tells one session of a member from the next.
    number: u64,
    epoch: i32,
    partitions: IndexSet<TopicPartition>,
    last_used: TimestampMs,
}

/// The sessions of one shard.
#[derive(Debug)]
pub struct ShareSessions {
    sessions: HashMap<Sharer, Session>,
    slots: usize,
    opened: u64,
}

impl ShareSessions {
    /// At most `slots` sessions.
    pub fn new(slots: usize) -> Self {
        Self { sessions: HashMap::new(), slots, opened: 0 }
    }

    /// Finds out what a fetch fetches, and moves its session on.
    pub fn begin(
        &mut self,
        sharer: &Sharer,
        request: ShareSessionRequest,
        now: TimestampMs,
    ) -> Result<ShareFetching, ShareSessionError> {
        match request.epoch {
            FINAL_EPOCH if self.sessions.contains_key(sharer) => Ok(ShareFetching::Final),
            FINAL_EPOCH => Err(ShareSessionError::NotFound),
            INITIAL_EPOCH if request.acknowledges => Err(ShareSessionError::AcknowledgesNothing),
            INITIAL_EPOCH => self.open(sharer, request.listed, now),
            epoch => {
                let session = self.next(sharer, epoch, now)?;
                session.partitions.extend(request.listed);
                for forgotten in &request.forgotten {
                    session.partitions.shift_remove(forgotten);
                }
                session.partitions.truncate(PARTITIONS_PER_SESSION_MAX);
                let (count, first) = (session.partitions.len(), session.epoch.unsigned_abs() as usize);
                let turn = session.partitions.iter().cycle().skip(first.checked_rem(count).unwrap_or(0));
                Ok(ShareFetching::Incremental(turn.take(count).copied().collect()))
            }
        }
    }

    /// Moves the session of a ShareAcknowledge on; tells whether it is to be closed.
    pub fn acknowledge(
        &mut self,
        sharer: &Sharer,
        epoch: i32,
        now: TimestampMs,
    ) -> Result<bool, ShareSessionError> {
        match epoch {
            INITIAL_EPOCH => Err(ShareSessionError::Epoch),
            FINAL_EPOCH if self.sessions.contains_key(sharer) => Ok(true),
            FINAL_EPOCH => Err(ShareSessionError::NotFound),
            epoch => self.next(sharer, epoch, now).map(|_| false),
        }
    }

    /// Closes a session; returns the partitions that it had.
    pub fn close(&mut self, sharer: &Sharer) -> Vec<TopicPartition> {
        let session = self.sessions.remove(sharer);
        session.map_or_else(Vec::new, |session| session.partitions.into_iter().collect())
    }

    /// Which session of the member this is.
    pub fn number(&self, sharer: &Sharer) -> Option<u64> {
        self.sessions.get(sharer).map(|session| session.number)
    }

    /// Closes a session whose connection is gone, unless the member has opened another since.
    pub fn close_gone(&mut self, sharer: &Sharer, number: u64) -> Vec<TopicPartition> {
        if self.number(sharer) == Some(number) { self.close(sharer) } else { vec![] }
    }

    fn open(
        &mut self,
        sharer: &Sharer,
        listed: Vec<TopicPartition>,
        now: TimestampMs,
    ) -> Result<ShareFetching, ShareSessionError> {
        self.sessions.remove(sharer);
        if listed.len() > PARTITIONS_PER_SESSION_MAX || !self.make_room(now) {
            return Err(ShareSessionError::LimitReached);
        }
        let partitions: IndexSet<TopicPartition> = listed.into_iter().collect();
        let fetched = partitions.iter().copied().collect();
        self.opened += 1;
        let session =
            Session { number: self.opened, epoch: next_epoch(INITIAL_EPOCH), partitions, last_used: now };
        self.sessions.insert(sharer.clone(), session);
        Ok(ShareFetching::Full(fetched))
    }

    fn next(
        &mut self,
        sharer: &Sharer,
        epoch: i32,
        now: TimestampMs,
    ) -> Result<&mut Session, ShareSessionError> {
        let session = self.sessions.get_mut(sharer).ok_or(ShareSessionError::NotFound)?;
        if session.epoch != epoch {
            return Err(ShareSessionError::Epoch);
        }
        session.epoch = next_epoch(epoch);
        session.last_used = now;
        Ok(session)
    }

    fn make_room(&mut self, now: TimestampMs) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let oldest = self.sessions.iter().min_by_key(|(sharer, session)| (session.last_used, *sharer));
        let stale = oldest.filter(|(_, session)| now.since(session.last_used) > STALE_AFTER_MS);
        let stale = stale.map(|(sharer, _)| sharer.clone());
        stale.is_some_and(|sharer| self.sessions.remove(&sharer).is_some())
    }
}

/// The epoch after `epoch`; it wraps to 1, as 0 and -1 have meanings of their own.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::{GroupId, MemberId};
    use crate::model::{PartitionIndex, TopicId};

    fn partition(index: i32) -> TopicPartition {
        TopicPartition { topic_id: TopicId(uuid::Uuid::from_u128(1)), partition: PartitionIndex(index) }
    }

    fn sharer(member: &str) -> Sharer {
        (GroupId::from("queue"), MemberId::from(member))
    }

    fn request(epoch: i32, listed: &[i32], forgotten: &[i32]) -> ShareSessionRequest {
        let all = |indexes: &[i32]| indexes.iter().map(|index| partition(*index)).collect();
        ShareSessionRequest { epoch, listed: all(listed), forgotten: all(forgotten), acknowledges: false }
    }

    const NOW: TimestampMs = TimestampMs(1_000);

    #[test]
    fn a_session_remembers_partitions_and_takes_turns() {
        let mut sessions = ShareSessions::new(1);
        let a = sharer("a");
        let opened = sessions.begin(&a, request(0, &[0, 1, 1], &[]), NOW).unwrap();
        assert_eq!(opened, ShareFetching::Full(vec![partition(0), partition(1)]));
        let next = sessions.begin(&a, request(1, &[2], &[0]), NOW).unwrap();
        assert_eq!(next, ShareFetching::Incremental(vec![partition(1), partition(2)]));
        let next = sessions.begin(&a, request(2, &[], &[]), NOW).unwrap();
        assert_eq!(next, ShareFetching::Incremental(vec![partition(2), partition(1)]));
        assert_eq!(sessions.acknowledge(&a, 3, NOW), Ok(false));
        assert_eq!(sessions.acknowledge(&a, 3, NOW), Err(ShareSessionError::Epoch));
        assert_eq!(sessions.begin(&a, request(-1, &[], &[]), NOW).unwrap(), ShareFetching::Final);
        assert_eq!(sessions.acknowledge(&a, -1, NOW), Ok(true));
        assert_eq!(sessions.close(&a).len(), 2);
        assert_eq!(sessions.acknowledge(&a, -1, NOW), Err(ShareSessionError::NotFound));
        assert_eq!(sessions.begin(&a, request(4, &[], &[]), NOW), Err(ShareSessionError::NotFound));
        assert_eq!(sessions.acknowledge(&a, 0, NOW), Err(ShareSessionError::Epoch));
    }

    #[test]
    fn sessions_are_bounded_and_idle_ones_make_room() {
        let mut sessions = ShareSessions::new(1);
        sessions.begin(&sharer("a"), request(0, &[0], &[]), NOW).unwrap();
        let full = sessions.begin(&sharer("b"), request(0, &[0], &[]), NOW);
        assert_eq!(full, Err(ShareSessionError::LimitReached));
        sessions.begin(&sharer("a"), request(0, &[0], &[]), NOW).unwrap();
        let later = TimestampMs(NOW.0 + STALE_AFTER_MS + 1);
        sessions.begin(&sharer("b"), request(0, &[], &[]), later).unwrap();
        assert_eq!(sessions.acknowledge(&sharer("a"), 1, later), Err(ShareSessionError::NotFound));
        let old = sessions.number(&sharer("b")).unwrap();
        sessions.begin(&sharer("b"), request(0, &[1], &[]), later).unwrap();
        assert!(sessions.close_gone(&sharer("b"), old).is_empty(), "it has another one by now");
        let new = sessions.number(&sharer("b")).unwrap();
        assert_eq!(sessions.close_gone(&sharer("b"), new), [partition(1)]);
        let mut acknowledging = request(0, &[0], &[]);
        acknowledging.acknowledges = true;
        let refused = sessions.begin(&sharer("b"), acknowledging, later);
        assert_eq!(refused, Err(ShareSessionError::AcknowledgesNothing));
    }
}

//! What a coordinator partition's state machine offers the runtime that hosts it.
//!
//! Key invariant: an event changes the state at once and says in its actions what is to be appended; replaying all records of
//! the partition in order gives that state again.

use bytes::Bytes;

use super::group::{Groups, Turn};
use super::records::{GroupRecord, RecordError};
use super::{Actions, GroupError, Ticket};
use crate::coordinator::group::classic::{Joined, Synced};
use crate::model::TimestampMs;

/// A record as it is appended; without a value it is a tombstone.
pub type RawRecord = (Bytes, Option<Bytes>);

/// Actions without their types.
pub struct Carried<A> {
    pub records: Vec<RawRecord>,
    pub answers: Vec<(Ticket, A)>,
}

/// The state machine of one partition of an internal topic.
pub trait Hosted: Default + 'static {
    /// What an event wants done.
    type Actions: Default + 'static;
    /// The answer to a request that waits.
    type Answer: Send + 'static;

    /// Takes over a record of the log. What cannot be read is named in the log file and passed over.
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>);

    /// All records are replayed; requests are served from now on.
    fn on_loaded(&mut self, turn: &Turn<'_>, actions: &mut Self::Actions);

    /// The topics have changed.
    fn on_metadata(&mut self, turn: &Turn<'_>, actions: &mut Self::Actions);

    /// Does what is due, or some of it; then [`Self::next_deadline`] remains in the past.
    fn on_time(&mut self, turn: &Turn<'_>, actions: &mut Self::Actions);

    /// When [`Self::on_time`] is to be called at the latest.
    fn next_deadline(&self) -> Option<TimestampMs>;

    /// Encodes what is to be appended, and hands out the answers. Fails where a name is longer than a record can hold.
    fn carry(actions: Self::Actions) -> Result<Carried<Self::Answer>, RecordError>;
}

/// The answer to a request of a classic group that waits.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupAnswer {
    Joined(Result<Joined, GroupError>),
    Synced(Result<Synced, GroupError>),
}

impl Hosted for Groups {
    type Actions = Actions;
    type Answer = GroupAnswer;

    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) {
        match GroupRecord::decode(key, value) {
            Ok(Some(record)) => Self::replay(self, record),
            // Records of kinds that this broker has no use for.
            Ok(None) => {}
            Err(error) => tracing::warn!("a record of __consumer_offsets is passed over: {error}"),
        }
    }

    fn on_loaded(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        Self::on_loaded(self, turn, actions);
    }

    fn on_metadata(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        Self::on_metadata(self, turn, actions);
    }

    fn on_time(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        Self::on_time(self, turn, actions);
    }

    fn next_deadline(&self) -> Option<TimestampMs> {
        Self::next_deadline(self)
    }

    fn carry(actions: Actions) -> Result<Carried<GroupAnswer>, RecordError> {
        let joined = actions.joined.into_iter().map(|(ticket, answer)| (ticket, GroupAnswer::Joined(answer)));
        let synced = actions.synced.into_iter().map(|(ticket, answer)| (ticket, GroupAnswer::Synced(answer)));
        let records = actions.records.iter().map(GroupRecord::encode).collect::<Result<_, _>>()?;
        Ok(Carried { records, answers: joined.chain(synced).collect() })
    }
}

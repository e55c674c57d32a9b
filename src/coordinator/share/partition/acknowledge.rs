//! Acknowledging: a member says what is with the records that it acquired.
//!
//! Key invariants: the acknowledgements of one request for a partition are taken all or none; a member speaks only for records
//! that it has. A renewal changes nothing but the lock, so it is not written.

use super::{ChangeId, Lock, SharePartition, ShareRules, State, after_release, not_acquired};
use crate::coordinator::share::{DeliveryState, StateBatch};
use crate::coordinator::{GroupError, MemberId};
use crate::model::{Offset, TimestampMs};

/// What a member says of a record; the numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckType {
    /// 0: there is no record at this offset.
    Gap,
    /// 1: dealt with.
    Accept,
    /// 2: it may be delivered again.
    Release,
    /// 3: it is not to be delivered again.
    Reject,
    /// 4: the member needs more time (KIP-1222).
    Renew,
}

impl AckType {
    /// The type of this number.
    pub const fn of(id: i8) -> Option<Self> {
        match id {
            0 => Some(Self::Gap),
            1 => Some(Self::Accept),
            2 => Some(Self::Release),
            3 => Some(Self::Reject),
            4 => Some(Self::Renew),
            _ => None,
        }
    }
}

/// Acknowledgements of records next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckBatch {
    pub first: Offset,
    /// Inclusive.
    pub last: Offset,
    /// One for all records, or one for each.
    pub types: Vec<AckType>,
}

impl AckBatch {
    /// Runs of equal types from `start` on.
    fn runs(&self, start: Offset) -> Vec<(Offset, Offset, AckType)> {
        let mut runs: Vec<(Offset, Offset, AckType)> = vec![];
        if let [only] = self.types[..] {
            return vec![(self.first.max(start), self.last, only)];
        }
        for (index, kind) in self.types.iter().enumerate() {
            let offset = self.first.plus(index as i64);
            if offset < start {
                continue;
            }
            match runs.last_mut() {
                Some((_, last, before)) if before == kind => *last = offset,
                _ => runs.push((offset, offset, *kind)),
            }
        }
        runs
    }
}

impl SharePartition {
    /// Takes acknowledgements. They hold when the change is written; `None` means that nothing has to be.
    pub fn acknowledge(
        &mut self,
        now: TimestampMs,
        member: &MemberId,
        batches: &[AckBatch],
        rules: &ShareRules,
    ) -> Result<Option<ChangeId>, GroupError> {
        let mut before: Option<Offset> = None;
        for batch in batches {
            if before.is_some_and(|before| batch.first <= before) {
                // Whoever speaks twice of a record has let go of it with the first word.
                return Err(not_acquired());
            }
            self.check_acknowledgement(member, batch)?;
            before = Some(batch.last);
        }
        let change = self.writes.new_change();
        let until = TimestampMs(now.get().saturating_add(i64::from(rules.lock_ms)));
        let mut settled = vec![];
        for batch in batches.iter().filter(|batch| batch.last >= self.start) {
            for (first, last, kind) in batch.runs(self.start) {
                self.spans.update(first, last, |span| {
                    let State::Acquired(lock) = &span.state else { return };
                    let lock = lock.clone();
                    span.state = match settles_to(kind, span.deliveries, rules) {
                        None => State::Acquired(Lock { until, ..lock }),
                        Some(to) => State::Settling { lock, to, change },
                    };
                });
                self.collect_settling(first, last, change, &mut settled);
            }
        }
        self.set_deadline();
        let any = !settled.is_empty();
        if any {
            self.writes.add(settled);
            self.writes.wait_for(change);
        }
        self.check_invariants();
        Ok(any.then_some(change))
    }

    fn collect_settling(&self, first: Offset, last: Offset, change: ChangeId, settled: &mut Vec<StateBatch>) {
        for (at, span) in self.spans.within(first, last) {
            if let State::Settling { to, change: of, .. } = &span.state
                && *of == change
            {
                settled.push(StateBatch {
                    first: at.max(first),
                    last: span.last.min(last),
                    state: *to,
                    deliveries: span.deliveries,
                });
            }
        }
    }

    /// Whether all records of a batch that are not yet done with are the member's.
    fn check_acknowledgement(&self, member: &MemberId, batch: &AckBatch) -> Result<(), GroupError> {
        if batch.types.is_empty() || batch.first > batch.last {
            return Err(GroupError::InvalidRequest("The acknowledgement batch is empty.".to_owned()));
        }
        if batch.last < self.start {
            return Ok(());
        }
        let Some((_, end)) = self.spans.bounds() else { return Err(not_acquired()) };
        if batch.first > end || batch.last > end {
            let text = "The acknowledgement batch reaches past the acquired records.";
            return Err(GroupError::InvalidRequest(text.to_owned()));
        }
        let owned = |state: &State| matches!(state, State::Acquired(lock) if lock.member == *member);
        let mut spans = self.spans.within(batch.first.max(self.start), batch.last);
        if spans.all(|(_, span)| owned(&span.state)) { Ok(()) } else { Err(not_acquired()) }
    }
}

/// What becomes of an acquired record; `None` if it stays acquired.
fn settles_to(kind: AckType, deliveries: i16, rules: &ShareRules) -> Option<DeliveryState> {
    match kind {
        AckType::Accept => Some(DeliveryState::Acknowledged),
        AckType::Reject | AckType::Gap => Some(DeliveryState::Archived),
        AckType::Release => Some(after_release(deliveries, rules)),
        AckType::Renew => None,
    }
}

//! What is kept of records whose fate is not the same as that of all before them.
//!
//! Key invariant: batches of one list are in the order of their offsets and do not overlap.

use crate::model::Offset;

/// What has become of a record; the numbers are those of Kafka's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// 0: it may be delivered.
    Available,
    /// 2: a member has dealt with it.
    Acknowledged,
    /// 4: it is delivered no more: rejected, delivered too often, or not there.
    Archived,
}

impl DeliveryState {
    /// As Kafka's records have it.
    pub const fn id(self) -> i8 {
        match self {
            Self::Available => 0,
            Self::Acknowledged => 2,
            Self::Archived => 4,
        }
    }

    /// The state of this number. What is under way when a record is written (acquired, archiving) is available after a restart.
    pub const fn of(id: i8) -> Self {
        match id {
            2 => Self::Acknowledged,
            4 => Self::Archived,
            _ => Self::Available,
        }
    }

    /// Whether the record is never delivered again.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Available)
    }
}

/// Records next to each other with the same fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBatch {
    pub first: Offset,
    /// Inclusive.
    pub last: Offset,
    pub state: DeliveryState,
    /// How often they have been delivered.
    pub deliveries: i16,
}

impl StateBatch {
    fn with_range(self, first: Offset, last: Offset) -> Self {
        Self { first, last, ..self }
    }

    fn continues(&self, before: &Self) -> bool {
        before.last.plus(1) == self.first
            && before.state == self.state
            && before.deliveries == self.deliveries
    }
}

/// Lays `newer`, in the order in which it came about, over `older`; leaves out what lies before `start`.
pub(super) fn overlay(older: &[StateBatch], newer: &[StateBatch], start: Offset) -> Vec<StateBatch> {
    let mut laid: std::collections::BTreeMap<Offset, StateBatch> = std::collections::BTreeMap::new();
    for batch in older.iter().chain(newer).filter(|batch| batch.first <= batch.last) {
        cut(&mut laid, batch.first, batch.last);
        laid.insert(batch.first, *batch);
    }
    let mut combined: Vec<StateBatch> = Vec::with_capacity(laid.len());
    for batch in laid.into_values().filter(|batch| batch.last >= start) {
        let batch = batch.with_range(batch.first.max(start), batch.last);
        match combined.last_mut() {
            Some(last) if batch.continues(last) => last.last = batch.last,
            _ => combined.push(batch),
        }
    }
    combined
}

/// Takes the offsets from `first` to `last` out of batches that do not overlap.
fn cut(laid: &mut std::collections::BTreeMap<Offset, StateBatch>, first: Offset, last: Offset) {
    if let Some((_, before)) = laid.range(..first).next_back()
        && before.last >= first
    {
        let before = *before;
        laid.insert(before.first, before.with_range(before.first, Offset(first.get() - 1)));
        if before.last > last {
            laid.insert(last.plus(1), before.with_range(last.plus(1), before.last));
        }
    }
    while let Some((key, within)) = laid.range(first..=last).next_back().map(|(key, batch)| (*key, *batch)) {
        laid.remove(&key);
        if within.last > last {
            laid.insert(last.plus(1), within.with_range(last.plus(1), within.last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(first: i64, last: i64, state: DeliveryState, deliveries: i16) -> StateBatch {
        StateBatch { first: Offset(first), last: Offset(last), state, deliveries }
    }

    fn batches() -> impl Strategy<Value = Vec<StateBatch>> {
        let state = prop_oneof![
            Just(DeliveryState::Available),
            Just(DeliveryState::Acknowledged),
            Just(DeliveryState::Archived)
        ];
        let one = (0i64..40, 0i64..12, state, 1i16..3);
        prop::collection::vec(
            one.prop_map(|(first, more, state, count)| batch(first, first + more, state, count)),
            0..12,
        )
    }

    proptest! {
        #[test]
        fn what_came_last_holds(newer in batches(), start in 0i64..30) {
            let combined = overlay(&[], &newer, Offset(start));
            for pair in combined.windows(2) {
                prop_assert!(pair[0].last < pair[1].first);
                prop_assert!(!pair[1].continues(&pair[0]), "neighbours with one fate are one batch");
            }
            let holds = |list: &[StateBatch], offset: i64| {
                let found = list.iter().rev().find(|b| b.first.0 <= offset && offset <= b.last.0);
                found.map(|found| (found.state, found.deliveries))
            };
            for offset in 0..60 {
                let wanted = if offset < start { None } else { holds(&newer, offset) };
                prop_assert_eq!(holds(&combined, offset), wanted, "offset {}", offset);
            }
            prop_assert_eq!(overlay(&combined, &[], Offset(start)), combined);
        }
    }

    #[test]
    fn batches_at_the_end_of_all_offsets_do_not_overflow() {
        let end = batch(5, i64::MAX, DeliveryState::Available, 1);
        let within = batch(i64::MAX, i64::MAX, DeliveryState::Archived, 2);
        assert_eq!(overlay(&[end], &[within], Offset(0)).len(), 2);
        assert_eq!(overlay(&[within], &[end], Offset(0)), [end]);
    }
}

//! What must be in a partition, because a client was told so: acknowledged, or seen by a consumer.
//!
//! Key invariant: an offset once told holds the same record for as long as it is not deleted. Nothing is struck out but
//! by DeleteRecords.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin;
use crate::consumer::fetch_all;
use crate::support::Connection;
use crate::values::Tag;

/// One record that a client was told of.
pub type Told = (i32, i64, Tag);

/// What is known of a partition.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    known: BTreeMap<i64, Tag>,
    /// The log start that was answered.
    start: i64,
    /// The furthest log start that was asked for.
    start_asked: i64,
}

impl Partition {
    /// One more than the last offset that a client knows.
    pub fn end(&self) -> i64 {
        self.known.last_key_value().map_or(self.start, |(offset, _)| offset + 1)
    }

    pub fn start(&self) -> i64 {
        self.start
    }

    /// Somebody was told that `tag` is at `offset`.
    pub fn tell(&mut self, offset: i64, tag: Tag) {
        let before = *self.known.entry(offset).or_insert(tag);
        assert_eq!(before, tag, "two records were told to be at offset {offset}");
    }

    /// The records before `start` were asked to go, and perhaps it was answered that they did.
    pub fn deleted(&mut self, asked: i64, answered: Option<i64>) {
        self.start_asked = self.start_asked.max(asked);
        if let Some(start) = answered {
            assert_eq!(start, asked.max(self.start), "the log start that was answered");
            self.start = start;
            self.known = self.known.split_off(&start);
        }
    }

    /// Reads all that is there and holds it against what is known. Nobody may be writing. Returns what was read.
    pub fn verify(&mut self, connection: &mut Connection, topic: &str, partition: i32) -> Vec<(i64, Tag)> {
        let place = format!("{topic}-{partition}");
        let (start, end) = admin::bounds(connection, topic, partition);
        assert!(
            (self.start..=self.start.max(self.start_asked)).contains(&start),
            "{place} starts at {start}; {} was answered and {} asked for",
            self.start,
            self.start_asked
        );
        self.start = start;
        self.known = self.known.split_off(&start);
        assert!(end >= self.end(), "{place} ends at {end}; records up to {} were told", self.end());
        let found = fetch_all(connection, topic, partition, (start, end));
        for ((offset, _), expected) in found.iter().zip(start..) {
            assert_eq!(*offset, expected, "{place} has a gap or goes back");
        }
        assert_eq!(found.len() as i64, end - start, "{place} ends before its high watermark {end}");
        for (offset, tag) in &found {
            let known = *self.known.entry(*offset).or_insert(*tag);
            assert_eq!(known, *tag, "offset {offset} of {place} holds another record than was told");
        }
        found
    }
}

/// Checks the numbers of one writer in a partition, in the order of the log.
///
/// Without `cuts` every number comes once, from 0 on or from whatever the log starts with. With them, numbers may be
/// missing that were under way in a crash: only directly before the first number of a later connection.
pub fn check_numbers(found: &[(i64, Tag)], writer: u16, whole_log: bool, cuts: Option<&BTreeSet<u64>>) {
    let mut before = None;
    for (offset, tag) in found.iter().filter(|(_, tag)| tag.writer() == writer) {
        let number = tag.number();
        let follows = match before {
            None => !whole_log || number == 0 || cuts.is_some_and(|cuts| cuts.contains(&number)),
            Some(before) => {
                number == before + 1 || (number > before && cuts.is_some_and(|cuts| cuts.contains(&number)))
            }
        };
        assert!(follows, "at offset {offset} number {number} of writer {writer} follows {before:?}");
        before = Some(number);
    }
}

//! Finds the groups of a journal's file after a crash.
//!
//! The file is a ring that is written again and again, so groups of earlier rounds and of earlier starts lie behind the newest.
//! Only groups of the wanted incarnation count, from the first that no checkpoint covers.
//!
//! Key invariant (the torn-tail rule): the groups found are contiguous and chained by their checksums. Where the chain ends, the
//! group that should follow was torn and answered to nobody, *unless* a later group of the same incarnation reads: groups are
//! written one after another, so then something durable was damaged, and cutting it off would lose acknowledged records.

use std::collections::BTreeMap;

use super::group::{Group, GroupId};
use super::layout::GROUP_ALIGN_BYTES;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    pub journal: u64,
    pub incarnation: u64,
    /// Groups before this one are in the segments.
    pub from_sequence: u64,
}

/// Groups, in order of their sequence, and what follows them.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    pub groups: Vec<Group<'a>>,
    pub end: ScanEnd,
}

/// How the chain of groups ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// Nothing later was ever durable: the next group has this sequence.
    Tail { next_sequence: u64 },
    /// The group of this sequence is damaged or absent though the later one reads.
    Damaged { missing: u64, later: u64 },
}

/// Looks at every block of `file`, the content of the journal's file or of its files in the order of the ring.
pub fn scan<'a>(file: &'a [u8], wanted: &Scan) -> Found<'a> {
    let mut by_sequence: BTreeMap<u64, Group<'a>> = BTreeMap::new();
    let mut at = 0;
    while let Some(rest) = file.get(at..).filter(|rest| !rest.is_empty()) {
        // What lies inside a group that reads is its body, whatever it looks like.
        at += match Group::read(rest) {
            Ok(group) if group.id.journal == wanted.journal => {
                if is_wanted(&group.id, wanted) {
                    by_sequence.insert(group.id.sequence, group);
                }
                group.size_bytes
            }
            _ => GROUP_ALIGN_BYTES,
        };
    }
    chain(by_sequence, wanted.from_sequence)
}

fn is_wanted(id: &GroupId, wanted: &Scan) -> bool {
    id.incarnation == wanted.incarnation && id.sequence >= wanted.from_sequence
}

fn chain(by_sequence: BTreeMap<u64, Group<'_>>, from_sequence: u64) -> Found<'_> {
    let mut groups: Vec<Group<'_>> = vec![];
    let mut next = from_sequence;
    for (sequence, group) in by_sequence {
        let follows = groups.last().is_none_or(|last| last.crc == group.id.previous_crc);
        if sequence != next || !follows {
            // A break of the chain means that the group before is not the one that was written.
            let missing = if sequence == next { next - 1 } else { next };
            return Found { groups, end: ScanEnd::Damaged { missing, later: sequence } };
        }
        groups.push(group);
        next = sequence + 1;
    }
    Found { groups, end: ScanEnd::Tail { next_sequence: next } }
}

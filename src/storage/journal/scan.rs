//! Finds the groups of a journal in its files after a crash.
//!
//! The files are a ring that is written again and again, so groups of earlier rounds lie behind the newest and within the
//! bytes of torn ones. Only groups of the wanted journal count, from the first that no checkpoint covers.
//!
//! Key invariants. The torn-tail rule: the groups found are contiguous and chained by their checksums. Where the chain ends, the
//! group that should follow was torn and answered to nobody, *unless* a later group of the journal reads: then something durable
//! was damaged, and cutting it off would lose acknowledged records. One later group is no such sign, the very next if it is the
//! last and says that it left before the torn one was durable: groups are answered in their order, so it was answered to nobody
//! either, and goes with it. No third is in flight with two.
//! Cost: a block is read as a group only if it names the journal, whose number no client knows; so records that look like
//! groups cost nothing.

use std::collections::BTreeMap;

use super::group::{Group, GroupId};
use super::layout::{FILE_HEADER_BLOCK_BYTES, GROUP_ALIGN_BYTES, GROUP_HEADER_BYTES, GROUP_MAGIC, group};

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    pub journal: u64,
    pub incarnation: u64,
    /// Groups before this one are in the segments.
    pub from_sequence: u64,
}

/// A group, and in which of the files it lies.
#[derive(Clone, Copy, Debug)]
pub struct FoundGroup<'a> {
    pub file: usize,
    pub group: Group<'a>,
}

/// Groups, in order of their sequence, and what follows them.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    pub groups: Vec<FoundGroup<'a>>,
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

/// Looks at every block of every file's content but the first, which holds the file's header.
pub fn scan<'a>(files: impl IntoIterator<Item = &'a [u8]>, wanted: &Scan) -> Found<'a> {
    let mut by_sequence = BTreeMap::new();
    for (file, content) in files.into_iter().enumerate() {
        let mut at = FILE_HEADER_BLOCK_BYTES;
        while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
            // What lies inside a group that reads is its body, whatever it looks like.
            at += match wanted_group(rest, wanted) {
                Some(group) => {
                    by_sequence.insert(group.id.sequence, FoundGroup { file, group });
                    group.size_bytes
                }
                None => GROUP_ALIGN_BYTES,
            };
        }
    }
    chain(by_sequence, wanted.from_sequence)
}

fn wanted_group<'a>(bytes: &'a [u8], wanted: &Scan) -> Option<Group<'a>> {
    let header = bytes.get(..GROUP_HEADER_BYTES).filter(|header| header.starts_with(&GROUP_MAGIC))?;
    let is_wanted = u64::from_le_bytes(group::JOURNAL.read(header)) == wanted.journal
        && u64::from_le_bytes(group::INCARNATION.read(header)) == wanted.incarnation
        && u64::from_le_bytes(group::SEQUENCE.read(header)) >= wanted.from_sequence;
    if is_wanted { Group::read(bytes).ok() } else { None }
}

fn follows(group: &GroupId, before: &Group<'_>) -> bool {
    Some(group.sequence) == before.id.sequence.checked_add(1) && group.previous_crc == before.crc
}

fn chain(by_sequence: BTreeMap<u64, FoundGroup<'_>>, from_sequence: u64) -> Found<'_> {
    let mut groups: Vec<FoundGroup<'_>> = vec![];
    let mut next = from_sequence;
    let newest = by_sequence.last_key_value().map(|(sequence, _)| *sequence);
    for (sequence, found) in by_sequence {
        let is_next = match groups.last() {
            Some(last) => follows(&found.group.id, &last.group),
            None => sequence == next,
        };
        if Some(sequence) == next.checked_add(1) && Some(sequence) == newest && found.group.id.overlaps {
            break;
        }
        if !is_next {
            // A break of the chain means that the group before is not the one that was written.
            let missing = if sequence == next { next - 1 } else { next };
            return Found { groups, end: ScanEnd::Damaged { missing, later: sequence } };
        }
        groups.push(found);
        next = sequence.saturating_add(1);
    }
    Found { groups, end: ScanEnd::Tail { next_sequence: next } }
}

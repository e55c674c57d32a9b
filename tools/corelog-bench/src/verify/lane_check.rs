//! The check of one lane as one reader sees it.
//!
//! Key invariant: every record that is read is counted in `records`, and in at most one of `duplicated`, `reordered`,
//! `corrupted` and `foreign`. A record that arrived corrupted is not counted as lost too, if its stamp can still be told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::acknowledged::Acknowledged;
use super::sequences::Sequences;
use crate::payload::{Lane, Stamp, StampError};

/// Findings that are told one by one.
pub const EXAMPLES_MAX: usize = 10;
/// Corrupted records that are remembered, so that they are not taken for lost.
const CORRUPTED_REMEMBERED_MAX: usize = 10_000;

/// What was found in a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LaneFindings {
    pub lane: Lane,
    /// Records that were read, of every kind.
    pub records: u64,
    /// Acknowledged records that were not read.
    pub lost: u64,
    /// Records that were read before.
    pub duplicated: u64,
    /// Records that were read after a later one of their producer.
    pub reordered: u64,
    /// Records with a stamp whose checksum does not match.
    pub corrupted: u64,
    /// Records without a stamp: not of a run. No finding by itself.
    pub foreign: u64,
    /// Offsets that do not follow the one before. Compaction and aborted transactions leave gaps too, so they are no finding by
    /// themselves.
    pub offset_gaps: u64,
    /// At most [`EXAMPLES_MAX`] sentences.
    pub first_examples: Vec<String>,
}

impl LaneFindings {
    /// Whether nothing is lost, duplicated, reordered or corrupted.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0 && self.corrupted == 0
    }

    fn example(&mut self, tell: impl FnOnce() -> String) {
        if self.first_examples.len() < EXAMPLES_MAX {
            self.first_examples.push(tell());
        }
    }
}

/// Checks what one reader reads of one lane, in offset order.
#[derive(Clone, Debug)]
pub struct LaneCheck {
    producers: BTreeMap<u32, Seen>,
    last_offset: Option<i64>,
    /// Producer and sequence number as corrupted stamps tell them.
    corrupted: BTreeSet<(u32, u64)>,
    findings: LaneFindings,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    sequences: Sequences,
    highest: u64,
}

impl Default for LaneCheck {
    fn default() -> Self {
        let findings = LaneFindings {
            lane: Lane(0),
            records: 0,
            lost: 0,
            duplicated: 0,
            reordered: 0,
            corrupted: 0,
            foreign: 0,
            offset_gaps: 0,
            first_examples: Vec::new(),
        };
        Self { producers: BTreeMap::new(), last_offset: None, corrupted: BTreeSet::new(), findings }
    }
}

impl LaneCheck {
    /// Takes the next record that was read; gives its stamp, of duplicates too, if the record is whole.
    pub fn on_record(&mut self, offset: i64, value: Option<&[u8]>) -> Option<Stamp> {
        let findings = &mut self.findings;
        findings.records += 1;
        if let Some(last) = self.last_offset.replace(offset)
            && last.checked_add(1) != Some(offset)
        {
            findings.offset_gaps += 1;
        }
        let stamp = match value.map(Stamp::read) {
            Some(Ok(stamp)) => stamp,
            Some(Err(StampError::Corrupt(told))) => {
                findings.corrupted += 1;
                findings.example(|| format!("the record at offset {offset} is corrupted"));
                if self.corrupted.len() < CORRUPTED_REMEMBERED_MAX {
                    self.corrupted.insert((told.producer, told.sequence));
                }
                return None;
            }
            Some(Err(StampError::TooShort | StampError::NoStamp)) | None => {
                findings.foreign += 1;
                return None;
            }
        };
        let Stamp { producer, sequence, .. } = stamp;
        let seen = self.producers.entry(producer).or_default();
        if seen.sequences.add(sequence, 1) == 0 {
            findings.duplicated += 1;
            findings.example(|| {
                format!("record {sequence} of producer {producer} was read again at offset {offset}")
            });
        } else if sequence < seen.highest {
            findings.reordered += 1;
            let highest = seen.highest;
            findings.example(|| {
                format!(
                    "record {sequence} of producer {producer} was read at offset {offset}, after {highest}"
                )
            });
        }
        seen.highest = seen.highest.max(sequence);
        Some(stamp)
    }

    /// Compares what was read with what was acknowledged.
    pub fn finish(self, lane: Lane, acknowledged: &Acknowledged) -> LaneFindings {
        let mut findings = LaneFindings { lane, ..self.findings };
        let nothing = Sequences::default();
        for (producer, sequences) in acknowledged.of_lane(lane) {
            let read = self.producers.get(&producer).map_or(&nothing, |seen| &seen.sequences);
            for missing in sequences.without(read) {
                let told = (producer, missing.start)..(producer, missing.end);
                let arrived_corrupted = self.corrupted.range(told).count() as u64;
                let lost = missing.end - missing.start - arrived_corrupted;
                if lost == 0 {
                    continue;
                }
                findings.lost += lost;
                let (first, last) = (missing.start, missing.end - 1);
                findings.example(|| {
                    format!(
                        "{lost} acknowledged records of producer {producer} were not read: {first} to {last}"
                    )
                });
            }
        }
        findings
    }
}

//! Plans what each partition replays at a start, from the files of all earlier starts. Pure: files in, plan out.
//!
//! A partition's *record* is the one of the newest manifest that lists it. Its *entries* are those of the same journal from the
//! manifest's `from_sequence` on, and those of newer starts, in the order in which they were written. Older ones are in its
//! segments, as the record says.
//!
//! Key invariant: nothing acknowledged vanishes silently. A partition gets everything, or is *suspect* and says why.
//!
//! Each journal's chain of groups is checked from its manifest's `from_sequence`; without a manifest from 0, since files are
//! written anew only after a checkpoint. A chain that ends without a later group was torn there, which is no damage. Three things
//! are damage: a *gap*, where a later group reads; a *manifest* that does not read, which is rot, since it is replaced
//! atomically; a *file that nothing identifies*. A damage of shard S of start I may hide something of every partition, except of
//! those for which one of these holds:
//!
//! - Its record is of a start after I, or of another shard of I: what I did to it is in its segments, or it was not S's.
//! - It has an entry in the journal of another shard of I: a partition has one shard for as long as a start lasts.
//! - Its entries begin with an append at offset 0 in a start after I: it was empty until then. (Epochs that began before that
//!   have no records, and nothing is lost with them.)
//!
//! That a partition has an entry or a record in the damaged journal is thus not needed: what is missing might be its first one.
//! A suspect partition gets the entries before the damage. Of a journal whose manifest does not read nothing is used: which of
//! its groups are in the segments is not known, and an older record of a partition says nothing of what that start did to it.
//!
//! One loss cannot be seen: damage to the very last group that a journal wrote looks like a write that was torn; so does damage to
//! the last but one, if the last left before that was durable.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::damage::{Damage, Fault};
use super::group::{EntryKind, Place};
use super::load::JournalFiles;
use super::manifest::LogRecord;
use super::scan::{Scan, ScanEnd, scan};
use super::source::{self, Home, Journal, Sources};
use crate::model::{LeaderEpoch, Offset};

/// Why a start must not go on. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error(
        "the journal's file {file} has format {found}, which this version cannot read: go on with the version that wrote it"
    )]
    UnknownFormat { file: String, found: u16 },
}

/// What the files of earlier starts say of every partition. Shared by all shards.
#[derive(Debug)]
pub struct Recovered {
    incarnation: u64,
    known: HashMap<Place, Known>,
    /// Places with entries, in the order of their first one.
    places: Vec<Place>,
    damages: Vec<Damage>,
    /// The text of each damage that makes partitions suspect.
    reasons: Vec<(Damage, Arc<str>)>,
    old_files: Vec<String>,
}

/// What is to be done to a partition before it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionReplay {
    pub record: Option<LogRecord>,
    pub entries: Vec<ReplayEntry>,
    /// Why acknowledged records may be missing: the partition must not serve, and nothing of it may be cut.
    pub suspect: Option<Arc<str>>,
}

/// An entry of a group; the body is a slice of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    pub kind: EntryKind,
    pub epoch: LeaderEpoch,
    pub offset: Offset,
    /// Of an append the next offset after its records; else `offset`.
    pub end: Offset,
    /// Record batches; empty but for an append.
    pub body: Bytes,
}

/// What is known of a partition.
#[derive(Debug, Default)]
struct Known {
    record: Option<(Home, LogRecord)>,
    /// Oldest first; none is empty.
    runs: Vec<Run>,
}

/// A partition's entries in one journal.
#[derive(Debug)]
struct Run {
    home: Home,
    entries: Vec<ReplayEntry>,
}

/// Plans the replay of everything that was found.
pub fn plan(files: JournalFiles) -> Result<Recovered, ReplayError> {
    let Sources { journals, damages, others, incarnation_max } = source::sort(files)?;
    // No broker starts often enough to come to the last number.
    let incarnation = incarnation_max.saturating_add(1);
    let mut recovered = Recovered { incarnation, damages, old_files: others, ..Recovered::none() };
    for journal in &journals {
        recovered.note_records(journal);
    }
    for journal in &journals {
        let newest_in = recovered.note_entries(journal);
        recovered.note_old_files(journal, newest_in);
    }
    recovered.damages.sort_by_key(|damage| (damage.incarnation, damage.shard));
    let suspect = recovered.damages.iter().filter(|damage| damage.is_suspect());
    recovered.reasons = suspect.map(|damage| (damage.clone(), Arc::from(damage.to_string()))).collect();
    Ok(recovered)
}

impl Recovered {
    /// Of a data directory without a journal.
    pub fn none() -> Self {
        Self {
            incarnation: 1,
            known: HashMap::new(),
            places: vec![],
            damages: vec![],
            reasons: vec![],
            old_files: vec![],
        }
    }

    /// Nothing, for what begins in this start.
    pub fn none_at(incarnation: u64) -> Self {
        Self { incarnation, ..Self::none() }
    }

    /// The number of this start: above that of every earlier one.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// What a partition replays. To be asked only of partitions that existed before this start: after some damages, one that no
    /// file names is suspect.
    pub fn replay_of(&self, place: Place) -> PartitionReplay {
        let nothing = Known::default();
        let known = self.known.get(&place).unwrap_or(&nothing);
        let mut hits = self.reasons.iter().filter(|(damage, _)| known.may_lack(damage)).peekable();
        let suspect = hits.peek().map(|(_, reason)| reason.clone());
        let usable = |run: &&Run| hits.clone().all(|(damage, _)| run.is_before(damage));
        let runs: Vec<&Run> = known.runs.iter().take_while(usable).collect();
        PartitionReplay {
            record: known.record.as_ref().map(|(_, record)| record.clone()),
            entries: runs.iter().flat_map(|run| run.entries.iter().cloned()).collect(),
            suspect,
        }
    }

    /// The files of earlier starts, to be deleted once every partition that they name is in a manifest of this start and none
    /// is suspect; in this order, so that a crash between two of them leaves nothing that looks damaged. That holds if a file is
    /// begun anew only when a checkpoint covers all of it: then each holds one stretch of what is needed.
    pub fn old_files(&self) -> &[String] {
        &self.old_files
    }

    /// What could not be read, oldest first; for the log.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// Partitions with entries, suspect ones included. Some may be of deleted topics.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.places.iter().copied()
    }

    fn note_records(&mut self, journal: &Journal) {
        let Some(manifest) = &journal.manifest else { return };
        for log in &manifest.logs {
            let known = self.known.entry(log.place).or_default();
            // Journals come oldest first; within a start a partition has one shard, so the first keeps it.
            if known.record.as_ref().is_none_or(|((incarnation, _), _)| *incarnation < journal.home.0) {
                known.record = Some((journal.home, log.clone()));
            }
        }
    }

    /// Reads the journal's groups; returns the newest sequence in each of its files.
    fn note_entries(&mut self, journal: &Journal) -> Vec<Option<u64>> {
        let mut newest_in = vec![None; journal.files.len()];
        if journal.is_manifest_lost {
            return newest_in;
        }
        let from_sequence = journal.manifest.as_ref().map_or(0, |manifest| manifest.from_sequence);
        let wanted = Scan { journal: journal.id, incarnation: journal.home.0, from_sequence };
        let found = scan(journal.files.iter().map(|file| &*file.content), &wanted);
        for found in &found.groups {
            newest_in[found.file] = newest_in[found.file].max(Some(found.group.id.sequence));
            let content = &journal.files[found.file].content;
            for entry in found.group.entries() {
                let replayed = ReplayEntry {
                    kind: entry.kind,
                    epoch: entry.epoch,
                    offset: entry.offset,
                    end: entry.end,
                    body: content.slice_ref(entry.body),
                };
                self.note_entry(journal.home, entry.place, replayed);
            }
        }
        if let ScanEnd::Damaged { missing, later } = found.end {
            let fault = Fault::Gap { missing, later };
            self.damages.push(source::damage(journal.home, fault, journal.file_names()));
        }
        if journal.files.is_empty() && self.is_record_of(journal) {
            let names = journal.manifest_names.clone();
            self.damages.push(source::damage(journal.home, Fault::NoFiles, names));
        }
        newest_in
    }

    fn note_entry(&mut self, home: Home, place: Place, entry: ReplayEntry) {
        let known = self.known.entry(place).or_default();
        if !known.is_after_record(home) {
            return;
        }
        if known.runs.is_empty() {
            self.places.push(place);
        }
        match known.runs.last_mut() {
            Some(run) if run.home == home => run.entries.push(entry),
            _ => known.runs.push(Run { home, entries: vec![entry] }),
        }
    }

    /// Whether some partition's record is the one of this journal's manifest.
    fn is_record_of(&self, journal: &Journal) -> bool {
        let logs = journal.manifest.iter().flat_map(|manifest| &manifest.logs);
        logs.into_iter().any(|log| {
            let record = self.known.get(&log.place).and_then(|known| known.record.as_ref());
            record.is_some_and(|(home, _)| *home == journal.home)
        })
    }

    /// A journal that lost its newest groups looks torn; one that lost others looks damaged. So the file with the newest groups
    /// goes first, and the manifest, without which old rounds would count, last.
    fn note_old_files(&mut self, journal: &Journal, newest_in: Vec<Option<u64>>) {
        let mut files: Vec<(Option<u64>, String)> = newest_in.into_iter().zip(journal.file_names()).collect();
        files.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        let names = files.into_iter().map(|(_, name)| name).chain(journal.manifest_names.iter().cloned());
        for name in names {
            // A file that does not say whose it is may have been read for two journals.
            if !self.old_files.contains(&name) {
                self.old_files.push(name);
            }
        }
    }
}

impl Known {
    /// Whether the record does not hold what a journal's groups say.
    fn is_after_record(&self, home: Home) -> bool {
        self.record.as_ref().is_none_or(|(record, _)| record.0 < home.0 || *record == home)
    }

    /// Whether the damage may hide something of this partition; the rules are in the file's opening words.
    fn may_lack(&self, damage: &Damage) -> bool {
        let damaged: Home = (damage.incarnation, damage.shard);
        let is_elsewhere = |home: &Home| home.0 == damaged.0 && home.1 != damaged.1;
        let is_past = self.record.as_ref().is_some_and(|(home, _)| home.0 > damaged.0 || is_elsewhere(home));
        let was_empty = self.start().is_some_and(|begun| begun > damaged.0);
        !(is_past || was_empty || self.runs.iter().any(|run| is_elsewhere(&run.home)))
    }

    /// In which start the first record was appended, if that is among the entries.
    fn start(&self) -> Option<u64> {
        let entries = self.runs.iter().flat_map(|run| run.entries.iter().map(|entry| (run.home.0, entry)));
        // That an epoch began says nothing of what was there.
        let (incarnation, first) =
            entries.into_iter().find(|(_, entry)| entry.kind != EntryKind::EpochStart)?;
        (first.kind == EntryKind::Append && first.offset == Offset::ZERO).then_some(incarnation)
    }
}

impl Run {
    /// Whether nothing that the damage hides can lie before the end of this run.
    fn is_before(&self, damage: &Damage) -> bool {
        self.home.0 < damage.incarnation
            // Of a journal with a gap only what lies before the gap was noted.
            || (self.home.0 == damage.incarnation && matches!(damage.fault, Fault::Gap { .. }))
    }
}

//! A broker that starts, writes, checkpoints and crashes, again and again; the plan of each start against what the model
//! knows. One seed is one history: `history(SEED)` replays it.
//!
//! Key invariant: a crash costs nothing that was durable; a flipped bit costs nothing silently.

use bytes::Bytes;

use super::super::{
    Entry, EntryKind, FileName, Group, JournalFiles, LogRecord, PartitionReplay, Recovered, ReplayEntry,
    Written, plan,
};
use super::place;
use super::ring::{Extent, Ring, replayed};
use crate::model::{LeaderEpoch, Offset, TimestampMs};

const HISTORIES: u64 = 300;
const PARTITIONS: usize = 6;
const STARTS_MAX: u64 = 4;
static BODIES: [u8; 3_000] = [0xa7; 3_000];

/// xorshift64*
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Which group of which journal: start, shard, sequence.
type GroupAt = (u64, u16, u64);

/// What a partition's replay must be.
#[derive(Clone, Default)]
struct Expected {
    record: Option<LogRecord>,
    entries: Vec<(GroupAt, ReplayEntry)>,
    next: i64,
    /// The start that opened it last.
    opened_in: u64,
}

impl Expected {
    fn replay(&self) -> PartitionReplay {
        let entries = self.entries.iter().map(|(_, entry)| entry.clone()).collect();
        PartitionReplay { record: self.record.clone(), entries, suspect: None }
    }
}

struct Broker {
    chance: Chance,
    /// Of this start and of those before it whose files are still there.
    rings: Vec<Ring>,
    /// Files that were deleted though others of their journal are there.
    deleted: Vec<String>,
    old_files: Vec<String>,
    partitions: Vec<Expected>,
    incarnation: u64,
    shards: usize,
    records: i64,
}

impl Broker {
    fn new(seed: u64) -> Self {
        let chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let partitions = vec![Expected::default(); PARTITIONS];
        let (rings, deleted, old_files) = (vec![], vec![], vec![]);
        Self { chance, rings, deleted, old_files, partitions, incarnation: 0, shards: 0, records: 0 }
    }

    fn files(&self) -> JournalFiles {
        let files = self.rings.iter().flat_map(Ring::named);
        JournalFiles::of(files.filter(|(name, _)| !self.deleted.contains(name)))
    }

    fn start(&mut self, incarnation: u64) {
        (self.incarnation, self.shards) = (incarnation, 1 + self.chance.below(3));
        for shard in 0..self.shards {
            let files = 1 + self.chance.below(3) as u16;
            let blocks = 4 + self.chance.below(6);
            self.rings.push(Ring::new((incarnation, shard as u16), files, blocks));
        }
    }

    /// Where the journal of a shard of this start is.
    fn ring_of(&self, shard: usize) -> usize {
        self.rings.len() - self.shards + shard
    }

    fn entry(&mut self, partition: usize) -> Entry<'static> {
        let next = self.partitions[partition].next;
        let epoch = LeaderEpoch(self.incarnation as i32);
        let place = place(partition as i32);
        let control = |kind, at| {
            let at = Offset(at);
            Entry { kind, place, epoch, offset: at, end: at, body: &[] }
        };
        match self.chance.below(12) {
            0 => control(EntryKind::EpochStart, next),
            1 if next > 1 => control(EntryKind::LogStart, self.chance.below(next as usize) as i64),
            2 if next > 1 => control(EntryKind::Truncate, 1 + self.chance.below(next as usize - 1) as i64),
            _ => {
                let (offset, end) = (Offset(next), Offset(next + 1 + self.chance.below(9) as i64));
                let body = &BODIES[..1 + self.chance.below(BODIES.len() - 1)];
                Entry { kind: EntryKind::Append, place, epoch, offset, end, body }
            }
        }
    }

    /// Entries for one group of a shard, and how its partitions stand once it is durable.
    fn group(&mut self, shard: usize) -> Option<(Vec<Entry<'static>>, Vec<Expected>)> {
        let before = self.partitions.clone();
        let ring = &self.rings[self.ring_of(shard)];
        let at = (self.incarnation, shard as u16, ring.next_sequence());
        let mut entries = vec![];
        for _ in 0..1 + self.chance.below(3) {
            let partition = self.chance.below(PARTITIONS);
            if partition % self.shards == shard {
                let entry = self.entry(partition);
                let expected = &mut self.partitions[partition];
                expected.opened_in = self.incarnation;
                expected.next = match entry.kind {
                    EntryKind::LogStart => expected.next,
                    _ => entry.end.0,
                };
                expected.entries.push((at, replayed(&entry)));
                entries.push(entry);
            }
        }
        let after = std::mem::replace(&mut self.partitions, before);
        (!entries.is_empty()).then_some((entries, after))
    }

    /// Takes partitions of a shard over and writes their records.
    fn checkpoint(&mut self, shard: usize) {
        let mut logs = vec![];
        for partition in (0..PARTITIONS).filter(|partition| partition % self.shards == shard) {
            if self.partitions[partition].opened_in != self.incarnation && !self.chance.one_in(3) {
                continue;
            }
            self.records += 1;
            let expected = &mut self.partitions[partition];
            let written = Written {
                base: Offset(0),
                next_offset: Offset(expected.next),
                size_bytes: 7,
                largest_timestamp: 8,
                largest_at: Offset(0),
                first_batch: TimestampMs(4),
                first_append: TimestampMs(9),
                last_append: TimestampMs(10),
                epochs: vec![(LeaderEpoch(0), Offset(0))],
                producers: Bytes::from_static(b"state"),
            };
            let written = (expected.next > 0).then_some(written);
            let log_start = Offset(self.records);
            let record = LogRecord { place: place(partition as i32), log_start, written };
            logs.push(record.clone());
            expected.entries.clear();
            (expected.record, expected.opened_in) = (Some(record), self.incarnation);
        }
        let ring = self.ring_of(shard);
        self.rings[ring].checkpoint(logs);
    }

    fn write(&mut self, shard: usize) {
        let Some((entries, mut after)) = self.group(shard) else { return };
        let ring = self.ring_of(shard);
        if !self.rings[ring].write_torn(&entries, || true) {
            // The ring is full: the group is given up, so that the checkpoint is of what was before it.
            self.checkpoint(shard);
            return;
        }
        std::mem::swap(&mut self.partitions, &mut after);
    }

    fn run(&mut self) {
        for _ in 0..self.chance.below(60) {
            let shard = self.chance.below(self.shards);
            match self.chance.below(10) {
                0 => self.checkpoint(shard),
                1 => self.delete_some(),
                _ => self.write(shard),
            }
        }
    }

    /// Deletes some of the old files if everything was taken over.
    fn delete_some(&mut self) {
        let is_taken_over = |expected: &Expected| {
            let newest = self.rings.iter().rev().find(|ring| {
                let manifest = ring.manifest.iter().flat_map(|manifest| &manifest.logs);
                manifest.into_iter().any(|log| Some(log) == expected.record.as_ref())
            });
            let is_untouched = expected.record.is_none() && expected.entries.is_empty();
            is_untouched || newest.is_some_and(|ring| ring.incarnation == self.incarnation)
        };
        if self.partitions.iter().all(is_taken_over) {
            let count = self.chance.below(self.old_files.len() + 1);
            self.deleted.extend(self.old_files.drain(..count));
        }
    }

    /// Every shard's group in flight is left as any subset of its sectors.
    fn crash(&mut self) {
        for shard in 0..self.shards {
            let Some((entries, after)) = self.group(shard) else { continue };
            let ring = self.ring_of(shard);
            let chance = &mut self.chance;
            let most = chance.one_in(2);
            let kept = || if most { !chance.one_in(30) } else { chance.one_in(2) };
            if !self.rings[ring].write_torn(&entries, kept) {
                continue;
            }
            let sequence = self.rings[ring].next_sequence() - 1;
            if Group::read(self.rings[ring].group_mut(sequence))
                .is_ok_and(|group| group.id.sequence == sequence)
            {
                // Nobody was told, but it is all there.
                self.partitions = after;
            } else {
                self.rings[ring].extents.pop();
            }
        }
    }

    fn check(&self, recovered: &Recovered) {
        assert_eq!(recovered.incarnation(), self.incarnation + 1);
        assert_eq!(recovered.damages(), []);
        let mut with_entries = vec![];
        for (partition, expected) in self.partitions.iter().enumerate() {
            let place = place(partition as i32);
            assert_eq!(recovered.replay_of(place), expected.replay(), "partition {partition}");
            with_entries.extend((!expected.entries.is_empty()).then_some(place));
        }
        let mut places: Vec<_> = recovered.places().collect();
        places.sort_by_key(|place| place.partition);
        assert_eq!(places, with_entries);
    }

    /// Whether a group is the newest of its journal, so that its damage cannot be told from a torn write.
    fn is_last(&self, at: GroupAt) -> bool {
        let ring = self.rings.iter().find(|ring| (ring.incarnation, ring.shard) == (at.0, at.1));
        ring.is_some_and(|ring| ring.next_sequence() == at.2 + 1)
    }

    /// Flips a bit of what is there; returns whether some partition was suspect.
    fn flip(&mut self) -> bool {
        let mut files = self.files();
        let (journals, manifests) = (files.journals.len(), files.manifests.len());
        let number = self.chance.below(journals + manifests);
        let live: Vec<(String, Extent)> = self
            .rings
            .iter()
            .flat_map(|ring| ring.live().map(|live| (ring.file_name(live.file), *live)))
            .collect();
        let file = match files.journals.get_mut(number) {
            Some(file) => file,
            None => &mut files.manifests[number - journals],
        };
        let mut content = file.content.to_vec();
        let is_header = number < journals && self.chance.one_in(4);
        let mut at = self.chance.below(if is_header { 40 } else { content.len() });
        let in_file: Vec<&Extent> =
            live.iter().filter(|(name, _)| *name == file.name).map(|(_, live)| live).collect();
        if !in_file.is_empty() && !self.chance.one_in(3) {
            let group = in_file[self.chance.below(in_file.len())];
            at = group.at + self.chance.below(group.bytes);
        }
        content[at] ^= 1 << self.chance.below(8);
        let flipped = (file.name.clone(), at);
        file.content = content.into();
        let hit = in_file.iter().find(|group| (group.at..group.at + group.bytes).contains(&at));
        let hit = hit.and_then(|group| {
            let name = FileName::parse(&flipped.0)?;
            Some((name.incarnation(), name.shard(), group.sequence))
        });
        let recovered = plan(files).expect("a flipped bit is no other format");
        let mut suspects = 0;
        for (partition, expected) in self.partitions.iter().enumerate() {
            let mut replay = recovered.replay_of(place(partition as i32));
            if replay.suspect.is_some() {
                suspects += 1;
                continue;
            }
            if replay.record != expected.record {
                // The record of an empty log, to which all entries were appended in a later start.
                let lost = expected.record.as_ref().expect("a record comes from a manifest");
                assert!(
                    lost.written.is_none() && replay.record.is_none(),
                    "partition {partition}, {flipped:?}"
                );
                assert!(
                    replay.entries.iter().any(|entry| entry.kind == EntryKind::Append && entry.offset.0 == 0)
                );
            }
            let mut entries = expected.entries.clone();
            entries.retain(|(_, entry)| !is_epoch_of_an_empty_log(entry));
            replay.entries.retain(|entry| !is_epoch_of_an_empty_log(entry));
            if replay.entries.len() < entries.len() {
                // All of one group is missing: the one with the flipped bit, the last of its journal.
                let lost = hit.filter(|lost| self.is_last(*lost));
                let lost =
                    lost.unwrap_or_else(|| panic!("a silent loss, partition {partition}, {flipped:?}"));
                entries.retain(|(at, _)| *at != lost);
            }
            let entries: Vec<ReplayEntry> = entries.into_iter().map(|(_, entry)| entry).collect();
            assert_eq!(replay.entries, entries, "partition {partition}, {flipped:?}");
        }
        assert!(suspects == 0 || !recovered.damages().is_empty());
        suspects > 0
    }
}

/// Whether an entry says nothing, because the epoch that began has no records. Here no log is cut back to nothing.
fn is_epoch_of_an_empty_log(entry: &ReplayEntry) -> bool {
    entry.kind == EntryKind::EpochStart && entry.offset == Offset::ZERO
}

/// One broker's life; returns how many flips were tried, and how many made some partition suspect.
fn history(seed: u64) -> (usize, usize) {
    let mut broker = Broker::new(seed);
    let (mut flips, mut suspect) = (0, 0);
    for start in 1..=1 + seed % STARTS_MAX {
        broker.start(start);
        broker.run();
        broker.crash();
        let recovered = plan(broker.files()).expect("there is one format");
        broker.check(&recovered);
        let left = |name: &&String| !broker.deleted.contains(name);
        broker.old_files = recovered.old_files().iter().filter(left).cloned().collect();
        for _ in 0..6 {
            flips += 1;
            suspect += usize::from(broker.flip());
        }
    }
    (flips, suspect)
}

#[test]
fn the_plan_of_every_start_is_what_was_written_and_no_flipped_bit_costs_anything_silently() {
    let (mut flips, mut suspect) = (0, 0);
    for seed in 0..HISTORIES {
        let (tried, seen) =
            std::panic::catch_unwind(|| history(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        (flips, suspect) = (flips + tried, suspect + seen);
    }
    assert!(suspect > 0 && suspect < flips, "{suspect} of {flips} flips were seen");
}

//! The plan of a replay: each rule with its exact result.

use bytes::Bytes;

use super::super::layout::{FILE_HEADER_BYTES, file, manifest};
use super::super::{
    Damage, Entry, EntryKind, Fault, JournalFiles, LogRecord, PartitionReplay, Recovered, ReplayError, plan,
};
use super::ring::{Ring, replayed};
use super::{append, mark, place};
use crate::model::Offset;
use crate::record::crc32c;

/// A ring of two files with room for four small groups each.
fn ring(incarnation: u64, shard: u16) -> Ring {
    Ring::new((incarnation, shard), 2, 4)
}

/// A record that can be told from others by its log start.
fn record(partition: i32, log_start: i64) -> LogRecord {
    LogRecord { place: place(partition), log_start: Offset(log_start), written: None }
}

/// An append of three records whose body says which it is.
fn at(partition: i32, offset: i64) -> Entry<'static> {
    append(partition, offset, if offset == 0 { b"the first" } else { b"a later one" })
}

fn recover(files: Vec<(String, Bytes)>) -> Recovered {
    plan(JournalFiles::of(files.into_iter())).unwrap()
}

fn recover_rings(rings: &[&Ring]) -> Recovered {
    recover(rings.iter().flat_map(|ring| ring.named()).collect())
}

/// What is replayed when nothing is wrong.
fn replay(record: Option<LogRecord>, entries: &[Entry<'_>]) -> PartitionReplay {
    PartitionReplay { record, entries: entries.iter().map(replayed).collect(), suspect: None }
}

fn is_suspect(recovered: &Recovered, partition: i32) -> bool {
    recovered.replay_of(place(partition)).suspect.is_some()
}

fn offsets(recovered: &Recovered, partition: i32) -> Vec<i64> {
    recovered.replay_of(place(partition)).entries.iter().map(|entry| entry.offset.0).collect()
}

fn gap(ring: &Ring, missing: u64, later: u64) -> Damage {
    let files = (0..ring.files.len()).map(|number| ring.file_name(number)).collect();
    Damage { incarnation: ring.incarnation, shard: ring.shard, fault: Fault::Gap { missing, later }, files }
}

#[test]
fn a_new_directory_has_nothing_to_replay() {
    fn shared<T: Send + Sync>(_: &T) {}
    for recovered in [Recovered::none(), recover(vec![])] {
        shared(&recovered);
        assert_eq!(recovered.incarnation(), 1);
        assert_eq!(recovered.replay_of(place(0)), PartitionReplay::default());
        assert_eq!(
            (recovered.old_files().len(), recovered.damages(), recovered.places().count()),
            (0, &[][..], 0)
        );
    }
}

#[test]
fn without_a_manifest_all_entries_count_in_order() {
    let mut ring = ring(7, 1);
    let controls =
        [mark(EntryKind::EpochStart, 0), mark(EntryKind::LogStart, 2), mark(EntryKind::Truncate, 3)];
    ring.write(&[at(0, 0), controls[0], at(0, 3)]);
    ring.write(&[controls[1], at(0, 6), controls[2]]);
    let recovered = recover_rings(&[&ring]);
    assert_eq!(recovered.replay_of(place(0)), replay(None, &[at(0, 0), at(0, 3), at(0, 6)]));
    assert_eq!(recovered.replay_of(place(1)), replay(None, &controls));
    assert_eq!(recovered.replay_of(place(2)), PartitionReplay::default());
    assert_eq!(recovered.places().collect::<Vec<_>>(), [place(0), place(1)]);
    assert_eq!((recovered.incarnation(), recovered.damages()), (8, &[][..]));
}

#[test]
fn bodies_are_slices_of_the_file() {
    let mut ring = ring(1, 0);
    ring.write(&[at(0, 0)]);
    let files = ring.named();
    let content = files[0].1.clone();
    let body = recover(files).replay_of(place(0)).entries[0].body.clone();
    assert!(content.as_ptr_range().contains(&body.as_ptr()));
}

#[test]
fn what_a_manifest_covers_is_not_replayed_though_it_still_lies_there() {
    let mut ring = ring(1, 0);
    for number in 0..6 {
        ring.write(&[at(0, number * 3), at(1, number * 3)]);
    }
    ring.checkpoint(vec![record(0, 5), record(1, 6)]);
    // Written over the first ones; the others of the earlier round are still there.
    ring.write(&[at(0, 18)]);
    ring.write(&[at(0, 21), at(2, 0)]);
    ring.write(&[at(0, 24)]);
    let recovered = recover_rings(&[&ring]);
    assert_eq!(recovered.replay_of(place(0)), replay(Some(record(0, 5)), &[at(0, 18), at(0, 21), at(0, 24)]));
    assert_eq!(recovered.replay_of(place(1)), replay(Some(record(1, 6)), &[]));
    assert_eq!(recovered.replay_of(place(2)), replay(None, &[at(2, 0)]));
    assert_eq!(recovered.places().collect::<Vec<_>>(), [place(0), place(2)]);
    assert!(recovered.damages().is_empty());
}

#[test]
fn the_newest_manifest_that_lists_a_partition_counts_and_all_that_follows_it() {
    let mut first = [ring(1, 0), ring(1, 1)];
    first[0].write(&[at(0, 0), at(2, 0)]);
    first[0].checkpoint(vec![record(0, 10), record(2, 10)]);
    first[0].write(&[at(0, 3), at(2, 3)]);
    first[1].write(&[at(1, 0), at(3, 0)]);
    // One shard less: shard 0 has them all; it has taken over partitions 0 and 1 when it is stopped.
    let mut second = ring(2, 0);
    second.write(&[at(0, 6), at(1, 3)]);
    second.checkpoint(vec![record(0, 20), record(1, 20)]);
    second.write(&[at(1, 6)]);
    // Again two, and no manifest yet.
    let mut third = ring(3, 1);
    third.write(&[at(1, 9), at(3, 3)]);
    let recovered = recover_rings(&[&first[0], &first[1], &second, &third]);
    assert_eq!(recovered.replay_of(place(0)), replay(Some(record(0, 20)), &[]));
    assert_eq!(recovered.replay_of(place(1)), replay(Some(record(1, 20)), &[at(1, 6), at(1, 9)]));
    assert_eq!(recovered.replay_of(place(2)), replay(Some(record(2, 10)), &[at(2, 3)]));
    assert_eq!(recovered.replay_of(place(3)), replay(None, &[at(3, 0), at(3, 3)]));
    assert_eq!((recovered.incarnation(), recovered.damages()), (4, &[][..]));
}

#[test]
fn entries_in_another_shards_journal_of_the_records_own_start_are_not_its_own() {
    let mut rings = [ring(2, 0), ring(2, 1)];
    rings[0].checkpoint(vec![record(0, 1)]);
    rings[0].write(&[at(0, 3)]);
    rings[1].write(&[at(0, 6)]);
    let recovered = recover_rings(&[&rings[0], &rings[1]]);
    assert_eq!(recovered.replay_of(place(0)), replay(Some(record(0, 1)), &[at(0, 3)]));
}

#[test]
fn a_torn_tail_is_no_damage() {
    let mut ring = ring(1, 0);
    ring.write(&[at(0, 0)]);
    ring.checkpoint(vec![record(0, 1)]);
    ring.write(&[at(0, 3)]);
    ring.write_torn(&[at(0, 6), append(1, 0, &[1; 600])], || false);
    let recovered = recover_rings(&[&ring]);
    assert_eq!(recovered.replay_of(place(0)), replay(Some(record(0, 1)), &[at(0, 3)]));
    assert_eq!(recovered.replay_of(place(1)), PartitionReplay::default());
    assert!(recovered.damages().is_empty());
}

#[test]
fn a_gap_makes_every_partition_suspect_that_may_have_lost_something() {
    let mut old = ring(1, 0);
    old.checkpoint(vec![record(5, 1), record(6, 1)]);
    let mut damaged = ring(2, 0);
    damaged.checkpoint(vec![record(0, 2)]);
    damaged.write(&[at(0, 3), at(1, 0)]);
    damaged.write(&[at(7, 0)]);
    damaged.write(&[at(0, 6), at(2, 0)]);
    damaged.group_mut(1)[100] ^= 1;
    let mut beside = ring(2, 1);
    beside.checkpoint(vec![record(3, 2)]);
    beside.write(&[at(4, 0), at(6, 3), at(3, 9)]);
    let mut newer = ring(3, 0);
    newer.checkpoint(vec![record(8, 3)]);
    newer.write(&[at(0, 9), at(8, 3), at(9, 0), at(10, 3)]);
    let recovered = recover_rings(&[&old, &damaged, &beside, &newer]);
    assert_eq!(recovered.damages(), [gap(&damaged, 1, 2)]);
    let reason = "the journal of shard 0 of start 2 is damaged: its group 1 cannot be read, though group 2 can \
                  (0000000000000002-0000-0000.journal, 0000000000000002-0000-0001.journal)";
    // In its manifest; what follows the gap is not given, in this start or a later one.
    let replay_of_0 =
        PartitionReplay { suspect: Some(reason.into()), ..replay(Some(record(0, 2)), &[at(0, 3)]) };
    assert_eq!(recovered.replay_of(place(0)), replay_of_0);
    // Known by an entry, before and after the gap; by an older manifest; by nothing; by a later entry that is not its first.
    for (partition, before_the_gap) in
        [(1, vec![0]), (2, vec![]), (5, vec![]), (7, vec![]), (99, vec![]), (10, vec![])]
    {
        assert!(is_suspect(&recovered, partition), "partition {partition}");
        assert_eq!(offsets(&recovered, partition), before_the_gap, "partition {partition}");
    }
    // In another shard's manifest or journal; in a newer manifest; empty until after it.
    for (partition, all) in [(3, vec![9]), (4, vec![0]), (6, vec![3]), (8, vec![3]), (9, vec![0])] {
        assert!(!is_suspect(&recovered, partition), "partition {partition}");
        assert_eq!(offsets(&recovered, partition), all, "partition {partition}");
    }
}

#[test]
fn a_broken_chain_is_damage_too() {
    let (mut ring, mut other) = (ring(1, 0), ring(1, 0));
    for number in 0..3 {
        ring.write(&[at(0, number * 3)]);
        other.write(&[at(1, number * 3)]);
    }
    let foreign = other.group_mut(1).to_vec();
    ring.group_mut(1).copy_from_slice(&foreign);
    let recovered = recover_rings(&[&ring]);
    assert_eq!(recovered.damages(), [gap(&ring, 0, 1)]);
    assert!(is_suspect(&recovered, 0));
}

#[test]
fn without_a_manifest_a_journal_begins_with_its_first_group() {
    let mut ring = ring(1, 0);
    ring.write(&[at(0, 0)]);
    ring.write(&[at(0, 3)]);
    ring.group_mut(0).fill(0);
    let recovered = recover_rings(&[&ring]);
    assert_eq!(recovered.damages(), [gap(&ring, 0, 1)]);
    assert!(is_suspect(&recovered, 0) && offsets(&recovered, 0).is_empty());
}

#[test]
fn without_its_manifest_nothing_of_a_journal_is_used() {
    let mut old = ring(1, 0);
    old.checkpoint(vec![record(0, 1), record(4, 1)]);
    old.write(&[at(0, 3), at(4, 0)]);
    let mut damaged = ring(2, 0);
    for number in 0..8 {
        damaged.write(&[at(0, 6 + 3 * number)]);
    }
    damaged.checkpoint(vec![record(0, 2), record(1, 2)]);
    // Over the first group: that it is not there is no gap.
    damaged.write(&[at(2, 0)]);
    let mut beside = ring(2, 1);
    beside.checkpoint(vec![record(5, 2)]);
    let mut newer = ring(3, 0);
    newer.checkpoint(vec![record(6, 3)]);
    newer.write(&[at(0, 30), at(2, 3), at(7, 0)]);
    let mut files: Vec<_> = [&old, &damaged, &beside, &newer].iter().flat_map(|ring| ring.named()).collect();
    assert!(recover(files.clone()).damages().is_empty());
    let manifest = files.iter_mut().find(|(name, _)| *name == damaged.manifest_name()).unwrap();
    manifest.1 = manifest.1.slice(..manifest.1.len() - 1);
    let recovered = recover(files);
    let names = vec![damaged.manifest_name(), damaged.file_name(0), damaged.file_name(1)];
    assert_eq!(
        recovered.damages(),
        [Damage { incarnation: 2, shard: 0, fault: Fault::Manifest, files: names }]
    );
    // By an older record, by none, by entries alone; partition 4 was not empty in start 2.
    for (partition, before) in [(0, vec![3]), (1, vec![]), (2, vec![]), (4, vec![0])] {
        assert!(is_suspect(&recovered, partition), "partition {partition}");
        assert_eq!(offsets(&recovered, partition), before, "partition {partition}");
    }
    for (partition, all) in [(5, vec![]), (6, vec![]), (7, vec![0])] {
        assert!(!is_suspect(&recovered, partition), "partition {partition}");
        assert_eq!(offsets(&recovered, partition), all, "partition {partition}");
    }
}

#[test]
fn a_file_without_its_header_is_read_if_anything_else_names_the_journal() {
    let mut alone = Ring::new((1, 0), 1, 4);
    alone.write(&[at(0, 0)]);
    let mut named = alone.clone();
    named.checkpoint(vec![]);
    named.manifest.as_mut().unwrap().from_sequence = 0;
    let mut beside = Ring::new((1, 0), 2, 4);
    beside.write(&[at(0, 0)]);
    for ring in [&mut alone, &mut named, &mut beside] {
        ring.files[0][9] ^= 1;
    }
    let damage = |fault| Damage { incarnation: 1, shard: 0, fault, files: vec![alone.file_name(0)] };
    for ring in [&named, &beside] {
        let recovered = recover_rings(&[ring]);
        assert_eq!(recovered.damages(), [damage(Fault::Header)]);
        assert_eq!(recovered.replay_of(place(0)), replay(None, &[at(0, 0)]));
        assert_eq!(recovered.old_files(), ring.named().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    let recovered = recover_rings(&[&alone]);
    assert_eq!(recovered.damages(), [damage(Fault::Unidentified)]);
    assert!(is_suspect(&recovered, 0) && is_suspect(&recovered, 1));
}

#[test]
fn a_file_that_a_crash_left_unfinished_is_no_damage() {
    let mut ring = ring(4, 0);
    ring.write(&[at(0, 0)]);
    let unfinished =
        |number| super::super::FileName::Journal { incarnation: 5, shard: 0, number }.to_string();
    let mut files = ring.named();
    files.push((unfinished(0), Bytes::new()));
    files.push((unfinished(1), vec![0; 3 * 4096].into()));
    files.push((ring.file_name(2), vec![0; 100].into()));
    let recovered = recover(files);
    assert_eq!((recovered.incarnation(), recovered.damages()), (6, &[][..]));
    assert_eq!(recovered.replay_of(place(0)), replay(None, &[at(0, 0)]));
    assert_eq!(recovered.old_files().len(), 5);
}

#[test]
fn a_manifest_whose_files_were_taken_away_is_told_and_counts() {
    let mut ring = ring(1, 0);
    ring.checkpoint(vec![record(0, 3)]);
    let manifest = ring.named().pop().unwrap();
    let recovered = recover(vec![manifest.clone()]);
    let files = vec![ring.manifest_name()];
    assert_eq!(recovered.damages(), [Damage { incarnation: 1, shard: 0, fault: Fault::NoFiles, files }]);
    assert_eq!(recovered.replay_of(place(0)), replay(Some(record(0, 3)), &[]));
    // Once another start has taken over, it is only a deletion that was not finished.
    let mut newer = self::ring(2, 0);
    newer.checkpoint(vec![record(0, 4)]);
    let files = [newer.named(), vec![manifest]].concat();
    assert!(recover(files).damages().is_empty());
}

#[test]
fn a_file_of_another_format_stops_the_start_and_is_named() {
    let mut ring = ring(1, 0);
    ring.checkpoint(vec![]);
    let mut journal = ring.clone();
    let header = &mut journal.files[1][..FILE_HEADER_BYTES];
    file::FORMAT.put(header, &2_u16.to_le_bytes());
    let crc = crc32c(&header[..file::CRC.at]);
    file::CRC.put(header, &crc.to_le_bytes());
    let refused = |files: Vec<(String, Bytes)>| plan(JournalFiles::of(files.into_iter())).unwrap_err();
    let error = ReplayError::UnknownFormat { file: ring.file_name(1), found: 2 };
    assert_eq!(refused(journal.named()), error);
    let (name, manifest) = ring.named().pop().unwrap();
    let mut manifest = manifest.to_vec();
    manifest::FORMAT.put(&mut manifest, &3_u16.to_le_bytes());
    let crc = crc32c(&manifest[..manifest::CRC.at]);
    manifest::CRC.put(&mut manifest, &crc.to_le_bytes());
    let error = ReplayError::UnknownFormat { file: name.clone(), found: 3 };
    assert_eq!(refused(vec![(name, manifest.into())]), error);
}

#[test]
fn what_a_file_says_of_itself_counts_more_than_its_name() {
    let mut ring = ring(3, 0);
    ring.write(&[at(0, 0)]);
    let elsewhere = super::super::FileName::Journal { incarnation: 9, shard: 4, number: 8 }.to_string();
    let files = vec![(elsewhere, ring.named().swap_remove(0).1)];
    let recovered = recover(files);
    assert_eq!((recovered.incarnation(), recovered.damages()), (10, &[][..]));
    assert_eq!(recovered.replay_of(place(0)), replay(None, &[at(0, 0)]));
}

#[test]
fn deleting_old_files_in_their_order_never_looks_like_damage() {
    let mut old = [Ring::new((1, 0), 3, 2), Ring::new((1, 1), 3, 2)];
    for number in 0..4 {
        old[0].write(&[at(0, number * 3)]);
    }
    old[0].checkpoint(vec![record(0, 1)]);
    for number in 4..9 {
        old[0].write(&[at(0, number * 3)]);
    }
    for number in 0..5 {
        old[1].write(&[at(1, number * 3)]);
    }
    let names = recover_rings(&[&old[0], &old[1]]).old_files().to_vec();
    assert_eq!(names.len(), 7);
    let mut newer = ring(2, 0);
    newer.checkpoint(vec![record(0, 2), record(1, 2)]);
    for deleted in 0..=names.len() {
        let old = old.iter().flat_map(Ring::named).filter(|(name, _)| !names[..deleted].contains(name));
        let recovered = recover(old.chain(newer.named()).collect());
        assert_eq!(recovered.damages(), [], "after {:?}", &names[..deleted]);
        assert_eq!(recovered.replay_of(place(0)), replay(Some(record(0, 2)), &[]));
        assert_eq!(recovered.replay_of(place(7)), PartitionReplay::default());
    }
}

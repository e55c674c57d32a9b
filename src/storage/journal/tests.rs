//! Groups read back as they were written; what was torn is told from what was damaged, whatever sectors are lost.

use proptest::prelude::*;
use uuid::Uuid;

mod load;
mod manifest;
mod model;
mod replay;
mod ring;

use super::layout::{FILE_HEADER_BLOCK_BYTES, GROUP_ALIGN_BYTES, GROUP_HEADER_BYTES};
use super::{
    Entry, EntryHeader, EntryKind, Group, GroupBuilder, GroupError, GroupId, Place, Scan, ScanEnd,
    entry_size_bytes, group_size_bytes, scan,
};
use crate::model::{LeaderEpoch, Offset};

const JOURNAL: u64 = 0x1234_5678_9abc_def0;
const SECTOR_BYTES: usize = 512;

/// A group's bytes with their padding, and its checksum for the next one.
fn written(id: GroupId, entries: &[Entry<'_>]) -> (Vec<u8>, u32) {
    let sizes = entries.iter().map(|entry| entry_size_bytes(entry.body.len()));
    // What was in the memory before does not show.
    let mut bytes = vec![0xa5; group_size_bytes(sizes.sum())];
    let mut builder = GroupBuilder::new(&mut bytes, id);
    for entry in entries {
        let Entry { kind, place, epoch, offset, end, body } = *entry;
        let parts: Vec<&[u8]> = body.chunks(7_000).collect();
        builder.add(&EntryHeader { kind, place, epoch, offset, end }, &parts);
    }
    let crc = builder.seal();
    (bytes, crc)
}

fn place(partition: i32) -> Place {
    Place { topic: Uuid::from_u128(7), partition }
}

fn append(partition: i32, offset: i64, body: &[u8]) -> Entry<'_> {
    let (offset, end) = (Offset(offset), Offset(offset + 3));
    Entry { kind: EntryKind::Append, place: place(partition), epoch: LeaderEpoch(5), offset, end, body }
}

fn mark(kind: EntryKind, offset: i64) -> Entry<'static> {
    let offset = Offset(offset);
    Entry { kind, place: place(1), epoch: LeaderEpoch(6), offset, end: offset, body: &[] }
}

/// Chained groups from `first` on, with bodies of these sizes; each group's bytes.
fn chained(incarnation: u64, first: u64, bodies: &[usize]) -> Vec<Vec<u8>> {
    overlapping(incarnation, first, bodies, u64::MAX)
}

/// The same; groups from `overlaps_from` on left before the one before them was durable.
fn overlapping(incarnation: u64, first: u64, bodies: &[usize], overlaps_from: u64) -> Vec<Vec<u8>> {
    let mut previous_crc = 0;
    let mut groups = vec![];
    for (at, bytes) in bodies.iter().enumerate() {
        let sequence = first + at as u64;
        let body = vec![sequence as u8 + 1; *bytes];
        let overlaps = sequence >= overlaps_from;
        let id = GroupId { journal: JOURNAL, incarnation, sequence, previous_crc, overlaps };
        let (sealed, crc) = written(id, &[append(0, sequence as i64 * 3, &body)]);
        previous_crc = crc;
        groups.push(sealed);
    }
    groups
}

fn find(groups: &[u8], from_sequence: u64) -> (Vec<u64>, ScanEnd) {
    find_in(&[groups], from_sequence)
}

/// The groups found in files with these groups behind their headers, which a scan does not look at.
fn find_in(files: &[&[u8]], from_sequence: u64) -> (Vec<u64>, ScanEnd) {
    let header = vec![0xff; FILE_HEADER_BLOCK_BYTES];
    let files: Vec<Vec<u8>> = files.iter().map(|groups| [&header, *groups].concat()).collect();
    let wanted = Scan { journal: JOURNAL, incarnation: 2, from_sequence };
    let found = scan(files.iter().map(Vec::as_slice), &wanted);
    (found.groups.iter().map(|found| found.group.id.sequence).collect(), found.end)
}

#[test]
fn a_group_reads_back_as_it_was_written() {
    let id = GroupId { journal: JOURNAL, incarnation: 3, sequence: 9, previous_crc: 77, overlaps: true };
    let entries = [
        append(4, 100, b"records of a batch"),
        mark(EntryKind::Truncate, 50),
        mark(EntryKind::LogStart, 10),
        mark(EntryKind::EpochStart, 103),
        append(0, 0, &[9; 5_000]),
    ];
    let (mut bytes, crc) = written(id, &entries);
    let size = bytes.len();
    assert_eq!(size % GROUP_ALIGN_BYTES, 0);
    bytes.extend([0xff; 100]);
    let group = Group::read(&bytes).expect("it was just written");
    assert_eq!((group.id, group.crc, group.size_bytes), (id, crc, size));
    assert_eq!(group.entries().collect::<Vec<_>>(), entries);
}

#[test]
fn other_formats_and_damage_are_told_apart() {
    let group = chained(2, 0, &[100]).remove(0);
    assert_eq!(Group::read(&[]).err(), Some(GroupError::NotAGroup));
    assert_eq!(Group::read(&[0; 4096]).err(), Some(GroupError::NotAGroup));
    let mut newer = group.clone();
    newer[4] = 2;
    assert_eq!(Group::read(&newer).err(), Some(GroupError::UnknownFormat { found: 2 }));
    assert_eq!(Group::read(&group[..GROUP_HEADER_BYTES + 20]).err(), Some(GroupError::CutOff));
    let mut damaged = group;
    damaged[GROUP_HEADER_BYTES + 60] ^= 1;
    assert!(matches!(Group::read(&damaged), Err(GroupError::Checksum { .. })));
}

#[test]
fn a_torn_tail_ends_the_chain_and_a_hole_in_it_is_damage() {
    let groups = chained(2, 5, &[100, 9_000, 10, 5_000]);
    let whole = groups.concat();
    assert_eq!(find(&whole, 5), (vec![5, 6, 7, 8], ScanEnd::Tail { next_sequence: 9 }));
    assert_eq!(find(&whole, 7), (vec![7, 8], ScanEnd::Tail { next_sequence: 9 }));
    let damage = |number: usize| {
        let mut groups = groups.clone();
        let last = groups[number].len() - GROUP_ALIGN_BYTES;
        groups[number][last + 80] ^= 0x10;
        find(&groups.concat(), 5)
    };
    assert_eq!(damage(3), (vec![5, 6, 7], ScanEnd::Tail { next_sequence: 8 }));
    assert_eq!(damage(1), (vec![5], ScanEnd::Damaged { missing: 6, later: 7 }));
    assert_eq!(damage(0), (vec![], ScanEnd::Damaged { missing: 5, later: 6 }));
}

#[test]
fn the_last_group_goes_with_a_torn_one_that_it_overlaps() {
    let bodies = [100, 9_000, 10, 5_000];
    let found = |overlaps_from: u64, without: &[usize]| {
        let mut groups = overlapping(2, 5, &bodies, overlaps_from);
        without.iter().for_each(|number| groups[*number].fill(0));
        find(&groups.concat(), 5)
    };
    let tail = |next_sequence| ScanEnd::Tail { next_sequence };
    assert_eq!(found(5, &[]), (vec![5, 6, 7, 8], tail(9)));
    assert_eq!(found(8, &[2]), (vec![5, 6], tail(7)), "both were in flight");
    assert_eq!(found(5, &[2, 3]), (vec![5, 6], tail(7)));
    assert_eq!(found(5, &[0, 2, 3]), (vec![], tail(5)), "from the first on");
    let damaged = |missing, later| ScanEnd::Damaged { missing, later };
    assert_eq!(found(9, &[2]), (vec![5, 6], damaged(7, 8)), "the torn one was durable when the last left");
    assert_eq!(found(5, &[1]), (vec![5], damaged(6, 7)), "no third is in flight with two");
    assert_eq!(found(5, &[1, 3]), (vec![5], tail(6)));
    assert_eq!(found(5, &[1, 2]), (vec![5], damaged(6, 8)));
}

#[test]
fn earlier_rounds_and_starts_do_not_count() {
    // The ring was overwritten up to the middle of an older round; behind it lies what an older start had written.
    let newest = chained(2, 40, &[100, 100]).concat();
    let older_round = chained(2, 20, &[10, 10, 10]).concat();
    let older_start = chained(1, 42, &[10, 10]).concat();
    let file = [newest, older_round, older_start].concat();
    assert_eq!(find(&file, 40), (vec![40, 41], ScanEnd::Tail { next_sequence: 42 }));
    assert_eq!(find(&[], 3), (vec![], ScanEnd::Tail { next_sequence: 3 }));
}

#[test]
fn the_files_of_a_journal_are_one_ring() {
    let groups = chained(2, 0, &[100, 9_000, 10, 5_000]);
    let (first, second) = (groups[2..].concat(), groups[..2].concat());
    let tail = ScanEnd::Tail { next_sequence: 4 };
    assert_eq!(find_in(&[&first, &second], 0), (vec![0, 1, 2, 3], tail));
    assert_eq!(
        find_in(&[&first, &[], &second[..GROUP_ALIGN_BYTES]], 0),
        (vec![0], ScanEnd::Damaged { missing: 1, later: 2 })
    );
    let header_only = scan([&*groups[0]], &Scan { journal: JOURNAL, incarnation: 2, from_sequence: 0 });
    assert!(header_only.groups.is_empty(), "the first block is the file's header");
}

#[test]
fn a_group_from_another_write_of_the_same_sequence_does_not_chain() {
    let mut groups = chained(2, 0, &[10, 10, 10]);
    groups[1] = chained(2, 1, &[11]).remove(0);
    let (found, end) = find(&groups.concat(), 0);
    assert_eq!((found, end), (vec![0], ScanEnd::Damaged { missing: 0, later: 1 }));
}

#[test]
fn a_client_cannot_plant_a_group() {
    // A record that holds a whole group with the journal's own number, aligned to a block: seen only if the group around it
    // does not read, and then its chain does not fit. A client does not know the number anyway.
    let planted = chained(2, 1, &[50]).remove(0);
    let mut body = vec![0; GROUP_ALIGN_BYTES - GROUP_HEADER_BYTES - super::ENTRY_HEADER_BYTES];
    body.extend(&planted);
    let id = GroupId { journal: JOURNAL, incarnation: 2, sequence: 0, previous_crc: 0, overlaps: false };
    let (group, _) = written(id, &[append(0, 0, &body)]);
    assert_eq!(find(&group, 0), (vec![0], ScanEnd::Tail { next_sequence: 1 }));
}

proptest! {
    /// The last write is kept as any subset of its sectors: it reads if all that count are there, and ends the chain if not.
    #[test]
    fn any_sectors_of_the_last_group_leave_those_before(
        bodies in prop::collection::vec(1_usize..12_000, 1..6),
        stale in prop::collection::vec(any::<u8>(), 0..64),
        kept in prop::collection::vec(any::<bool>(), 64),
    ) {
        let groups = chained(2, 0, &bodies);
        let (last, before) = groups.split_last().expect("there is one");
        let mut torn: Vec<u8> = stale.iter().copied().cycle().take(if stale.is_empty() { 0 } else { last.len() }).collect();
        torn.resize(last.len(), 0);
        for (sector, kept) in (0..last.len()).step_by(SECTOR_BYTES).zip(kept.iter().cycle()) {
            if *kept {
                torn[sector..sector + SECTOR_BYTES].copy_from_slice(&last[sector..sector + SECTOR_BYTES]);
            }
        }
        let file = [before.concat(), torn.clone()].concat();
        let (found, end) = find(&file, 0);
        let reads = Group::read(&torn).is_ok();
        let count = before.len() as u64 + u64::from(reads);
        prop_assert_eq!(found, (0..count).collect::<Vec<_>>());
        prop_assert_eq!(end, ScanEnd::Tail { next_sequence: count });
        prop_assert_eq!(reads, torn[..GROUP_HEADER_BYTES + 56 + bodies[bodies.len() - 1]] == last[..GROUP_HEADER_BYTES + 56 + bodies[bodies.len() - 1]]);
    }

    /// The last two are kept as any subsets of their sectors: the first of them ends the chain if it does not read.
    #[test]
    fn any_sectors_of_two_groups_in_flight_leave_those_before(
        bodies in prop::collection::vec(1_usize..6_000, 2..6),
        kept in prop::collection::vec(any::<bool>(), 64),
        all in any::<[bool; 2]>(),
    ) {
        let mut groups = overlapping(2, 0, &bodies, bodies.len() as u64 - 1);
        let before = groups.len() - 2;
        let mut kept = kept.iter().cycle();
        for (torn, all) in groups[before..].iter_mut().zip(all) {
            for sector in torn.chunks_mut(SECTOR_BYTES).filter(|_| !all) {
                if !kept.next().expect("it goes on") {
                    sector.fill(0);
                }
            }
        }
        let (first, second) = (Group::read(&groups[before]).is_ok(), Group::read(&groups[before + 1]).is_ok());
        let count = before as u64 + u64::from(first) + u64::from(first && second);
        let (found, end) = find(&groups.concat(), 0);
        prop_assert_eq!(found, (0..count).collect::<Vec<_>>());
        prop_assert_eq!(end, ScanEnd::Tail { next_sequence: count });
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..9_000), honest in any::<bool>(), at in 0_usize..200, value in any::<u8>()) {
        if honest {
            let mut group = chained(2, 0, &[300]).remove(0);
            group[at] = value;
            bytes.splice(0..0, group);
        }
        if let Ok(group) = Group::read(&bytes) {
            prop_assert_eq!(group.entries().count(), 1);
        }
        let _ = find(&bytes, 0);
    }
}

//! Manifests and file headers read back as they were written; nothing else does, and hostile counts take no memory.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::layout::{MANIFEST_HEAD_BYTES, file, manifest};
use super::super::{FileHeader, FileHeaderError, LogRecord, Manifest, ManifestError, Written};
use super::place;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::crc32c;

fn written() -> Written {
    Written {
        base: Offset(100),
        next_offset: Offset(120),
        size_bytes: 2_000,
        largest_timestamp: 80,
        largest_at: Offset(110),
        first_batch: TimestampMs(4),
        first_append: TimestampMs(5),
        last_append: TimestampMs(6),
        epochs: vec![(LeaderEpoch(0), Offset(0)), (LeaderEpoch(3), Offset(40))],
        producers: Bytes::from_static(b"producers"),
    }
}

fn sample() -> Manifest {
    let empty = Written { epochs: vec![], producers: Bytes::new(), ..written() };
    let log = |partition, written| LogRecord { place: place(partition), log_start: Offset(7), written };
    let logs = vec![log(0, Some(written())), log(1, None), log(2, Some(empty))];
    Manifest { journal: 0xdead_beef, incarnation: 4, shard: 1, from_sequence: 99, logs }
}

/// The file with checksums that fit what it holds now.
fn resealed(mut file: Vec<u8>) -> Bytes {
    let (head, body) = file.split_at_mut(MANIFEST_HEAD_BYTES);
    manifest::BODY_BYTES.put(head, &(body.len() as u64).to_le_bytes());
    manifest::BODY_CRC.put(head, &crc32c(body).to_le_bytes());
    let crc = crc32c(&head[..manifest::CRC.at]);
    manifest::CRC.put(head, &crc.to_le_bytes());
    Bytes::from(file)
}

#[test]
fn a_manifest_reads_back_and_its_producer_states_are_slices() {
    let file = Bytes::from(sample().encode());
    let read = Manifest::decode(&file).unwrap();
    assert_eq!(read, sample());
    let producers = &read.logs[0].written.as_ref().unwrap().producers;
    assert!(file.as_ptr_range().contains(&producers.as_ptr()));
    let none = Manifest { logs: vec![], ..sample() };
    assert_eq!(Manifest::decode(&none.encode().into()), Ok(none));
}

#[test]
fn the_bytes_of_a_manifest_are_as_documented() {
    let log = LogRecord { place: place(2), log_start: Offset(3), written: None };
    let manifest = Manifest { journal: 1, incarnation: 2, shard: 5, from_sequence: 4, logs: vec![log] };
    let file = manifest.encode();
    assert_eq!(file[..8], *b"CLJM\x01\0\0\0");
    assert_eq!(file[8..16], 64_u64.to_le_bytes());
    assert_eq!(file[24..48], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(file[48..56], [5, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(file[56..72], *place(2).topic.as_bytes());
    assert_eq!(file[72..], [2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn any_flipped_bit_or_lost_tail_shows() {
    let file = sample().encode();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let error = Manifest::decode(&damaged.into()).unwrap_err();
            assert!(!matches!(error, ManifestError::UnknownFormat { .. }), "bit {bit} of byte {at}: {error}");
        }
        assert!(Manifest::decode(&file[..at].to_vec().into()).is_err(), "cut at {at}");
    }
    assert!(Manifest::decode(&[&*file, b"x"].concat().into()).is_err());
}

#[test]
fn another_format_is_told_from_damage() {
    let mut newer = sample().encode();
    manifest::FORMAT.put(&mut newer, &9_u16.to_le_bytes());
    assert_eq!(Manifest::decode(&resealed(newer)), Err(ManifestError::UnknownFormat { found: 9 }));
    assert_eq!(
        Manifest::decode(&Bytes::from_static(b"CLOG, with more behind it")),
        Err(ManifestError::NotAManifest)
    );
}

#[test]
fn a_count_that_is_not_there_is_refused_before_memory_is_taken() {
    let (counts_at, epochs_at) = (MANIFEST_HEAD_BYTES + 28, MANIFEST_HEAD_BYTES + 32 + 32 + 64);
    for at in [counts_at, epochs_at, epochs_at + 4] {
        let mut hostile = sample().encode();
        hostile[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let refused = Manifest::decode(&resealed(hostile));
        assert_eq!(refused, Err(ManifestError::Damaged("it counts more than it holds")), "at {at}");
    }
}

#[test]
fn a_file_header_reads_back_as_it_was_written_or_not_at_all() {
    let header = FileHeader { journal: 0x0102_0304, incarnation: 9, shard: 1, number: 2 };
    let block = header.encode();
    assert_eq!(FileHeader::decode(&block), Ok(header));
    assert_eq!(block[..28], *b"CLJF\x01\0\0\0\x04\x03\x02\x01\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0\x02\0");
    for at in 0..32 {
        let mut damaged = block;
        damaged[at] ^= 4;
        assert_eq!(FileHeader::decode(&damaged), Err(FileHeaderError::Unreadable), "byte {at}");
        assert_eq!(FileHeader::decode(&block[..at]), Err(FileHeaderError::Unreadable), "cut at {at}");
    }
    let mut newer = block;
    file::FORMAT.put(&mut newer, &7_u16.to_le_bytes());
    let crc = crc32c(&newer[..file::CRC.at]);
    file::CRC.put(&mut newer, &crc.to_le_bytes());
    assert_eq!(FileHeader::decode(&newer), Err(FileHeaderError::UnknownFormat { found: 7 }));
}

proptest! {
    /// Behind checksums that fit, whatever the body: what reads is written again as it was.
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..400, value in any::<u8>(), honest in any::<bool>()) {
        let mut file = if honest { sample().encode() } else { [&sample().encode()[..MANIFEST_HEAD_BYTES], &body].concat() };
        let _ = Manifest::decode(&file.clone().into());
        if let Some(byte) = file.get_mut(MANIFEST_HEAD_BYTES + at) {
            *byte = value;
        }
        if let Ok(read) = Manifest::decode(&resealed(file)) {
            prop_assert_eq!(Manifest::decode(&read.encode().into()), Ok(read));
        }
        let _ = FileHeader::decode(&body);
    }
}

//! Every refusal that Kafka knows, every change that a topic can ask for, and damage of all kinds.

use super::*;
use crate::model::{ProducerEpoch, ProducerId, Sequence};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::header::{put_stamp, seal};
use crate::record::records;
use proptest::prelude::*;

const NOW: TimestampMs = TimestampMs(1_000_000);

const RULES: BatchRules = BatchRules {
    batch_bytes_max: 1 << 20,
    require_keys: false,
    timestamps: TimestampType::CreateTime,
    before_max_ms: i64::MAX,
    after_max_ms: 3_600_000,
    compression: None,
};

fn built(codec: Codec, timestamps: &[i64], key: Option<&[u8]>) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for timestamp in timestamps {
        let value = Some(&b"some value, some value, some value"[..]);
        builder.append(&NewRecord {
            timestamp: TimestampMs(*timestamp),
            key,
            value,
            headers: &[(b"h", None)],
        });
    }
    builder.build(Offset::ZERO).expect("it has records")
}

fn sealed(mut batch: Vec<u8>) -> Bytes {
    seal(&mut batch).expect("short");
    Bytes::from(batch)
}

/// The batch with other bytes at `at`, and a checksum that fits.
fn patched(batch: &[u8], at: usize, bytes: &[u8]) -> Bytes {
    let mut copy = batch.to_vec();
    copy[at..at + bytes.len()].copy_from_slice(bytes);
    sealed(copy)
}

fn judged(batch: &Bytes, rules: &BatchRules) -> Result<Accepted, RecordError> {
    let header = BatchHeader::parse_whole(batch).expect("the framing is whole");
    accept(batch, &header, rules, NOW)
}

fn refusal(batch: &Bytes, rules: &BatchRules) -> RefusalKind {
    judged(batch, rules).expect_err("it must be refused").kind
}

#[test]
fn good_batches_pass_untouched() {
    for codec in Codec::ALL {
        let batch = built(codec, &[5, 7, 6], None);
        let accepted = judged(&batch, &RULES).expect("valid");
        assert_eq!(accepted.batch.as_ptr(), batch.as_ptr(), "{codec:?} was copied");
        assert_eq!(accepted.batch, batch);
        assert_eq!(accepted.log_append_time, None);
        let uncompressed = built(Codec::None, &[5, 7, 6], None);
        assert_eq!(accepted.records_bytes as usize, uncompressed.len() - crate::record::HEADER_BYTES);
    }
}

#[test]
fn header_faults_are_refused() {
    let batch = built(Codec::None, &[5, 7, 6], None);
    let mut flipped = batch.to_vec();
    flipped[70] ^= 1;
    assert_eq!(refusal(&Bytes::from(flipped), &RULES), RefusalKind::Corrupt);
    let cases: &[(&str, usize, &[u8], RefusalKind)] = &[
        ("base offset", 0, &1_i64.to_be_bytes(), RefusalKind::Invalid),
        ("codec", 21, &5_i16.to_be_bytes(), RefusalKind::Undecodable),
        ("control", 21, &0x20_i16.to_be_bytes(), RefusalKind::Invalid),
        ("last offset delta", 23, &3_i32.to_be_bytes(), RefusalKind::Invalid),
        ("negative delta", 23, &(-1_i32).to_be_bytes(), RefusalKind::Invalid),
        ("greatest delta", 23, &i32::MAX.to_be_bytes(), RefusalKind::Invalid),
        ("count", 57, &2_i32.to_be_bytes(), RefusalKind::Invalid),
        ("no count", 57, &0_i32.to_be_bytes(), RefusalKind::Invalid),
        ("producer without sequence", 43, &9_i64.to_be_bytes(), RefusalKind::Invalid),
    ];
    for (name, at, bytes, kind) in cases {
        let error = judged(&patched(&batch, *at, bytes), &RULES).expect_err(name);
        assert_eq!(error.kind, *kind, "{name}: {error}");
        assert_eq!(error.error_message(), None, "{name}");
    }
    let small = BatchRules { batch_bytes_max: batch.len() as u32 - 1, ..RULES };
    assert_eq!(refusal(&batch, &small), RefusalKind::TooLarge);
    assert!(judged(&batch, &BatchRules { batch_bytes_max: batch.len() as u32, ..RULES }).is_ok());
}

#[test]
fn wrong_counts_and_sizes_are_found_in_the_records() {
    for codec in Codec::ALL {
        let batch = built(codec, &[5, 7, 6], None);
        for count in [2_i32, 4, 1_000_000] {
            let lying = patched(&batch, 57, &count.to_be_bytes());
            let lying = patched(&lying, 23, &(count - 1).to_be_bytes());
            assert_eq!(refusal(&lying, &RULES), RefusalKind::Invalid, "{codec:?} {count}");
        }
    }
    let batch = built(Codec::None, &[5, 7, 6], None);
    let cut = sealed(batch[..batch.len() - 1].to_vec());
    assert_eq!(refusal(&cut, &RULES), RefusalKind::Invalid);
    let longer = sealed([&batch[..], &[0]].concat());
    assert_eq!(refusal(&longer, &RULES), RefusalKind::Invalid);
    // The first record's own length, one too small and one too large.
    for length in [batch[61] - 2, batch[61] + 2] {
        assert_eq!(refusal(&patched(&batch, 61, &[length]), &RULES), RefusalKind::Invalid);
    }
    let garbled = built(Codec::Zstd, &[5, 7, 6], None);
    assert_eq!(refusal(&patched(&garbled, 61, &[0; 4]), &RULES), RefusalKind::Undecodable);
}

#[test]
fn compacted_topics_need_keys() {
    let rules = BatchRules { require_keys: true, ..RULES };
    for codec in Codec::ALL {
        assert!(judged(&built(codec, &[1, 2], Some(b"")), &rules).is_ok(), "an empty key is a key");
        let error = judged(&built(codec, &[1, 2], None), &rules).expect_err("no keys");
        assert_eq!(error.kind, RefusalKind::Invalid);
        assert_eq!(error.records.iter().map(|record| record.batch_index).collect::<Vec<_>>(), [0, 1]);
        assert!(error.error_message().is_some());
    }
}

#[test]
fn timestamps_out_of_range_are_refused_one_by_one() {
    let rules = BatchRules { before_max_ms: 100, after_max_ms: 50, ..RULES };
    let (low, high) = (NOW.get() - 100, NOW.get() + 50);
    assert!(judged(&built(Codec::None, &[low, high, -1], None), &rules).is_ok());
    let error = judged(&built(Codec::Lz4, &[low - 1, low, high + 1], None), &rules).expect_err("two are out");
    assert_eq!(error.kind, RefusalKind::Timestamp);
    assert_eq!(error.records.iter().map(|record| record.batch_index).collect::<Vec<_>>(), [0, 2]);
    let absurd = built(Codec::None, &[i64::MIN, i64::MAX], None);
    assert_eq!(judged(&absurd, &rules).expect_err("absurd").records.len(), 2);
    let appended = BatchRules { timestamps: TimestampType::LogAppendTime, ..rules };
    assert!(judged(&absurd, &appended).is_ok(), "the broker's time replaces them");
}

#[test]
fn a_timestamp_further_back_than_can_be_counted_is_refused_as_in_kafka() {
    let unbounded_back = BatchRules { after_max_ms: 3_600_000, ..RULES };
    for (timestamp, accepted) in
        [(i64::MIN, false), (NOW.get() - i64::MAX - 2, false), (NOW.get() - i64::MAX, true), (-5, true)]
    {
        let judged = judged(&built(Codec::None, &[timestamp], None), &unbounded_back);
        assert_eq!(judged.is_ok(), accepted, "{timestamp}");
    }
}

#[test]
fn listed_records_are_bounded() {
    let rules = BatchRules { require_keys: true, ..RULES };
    let many = vec![1; REFUSED_RECORDS_MAX + 500];
    let error = judged(&built(Codec::None, &many, None), &rules).expect_err("no keys");
    assert_eq!(error.records.len(), REFUSED_RECORDS_MAX);
    assert!(error.reason.starts_with("1500 of 1500"), "{}", error.reason);
}

#[test]
fn log_append_time_is_stamped() {
    let rules = BatchRules { timestamps: TimestampType::LogAppendTime, ..RULES };
    for codec in Codec::ALL {
        let accepted = judged(&built(codec, &[5, 7, 6], None), &rules).expect("valid");
        assert_eq!(accepted.log_append_time, Some(NOW));
        assert_eq!(accepted.header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(accepted.header.max_timestamp, NOW);
        accepted.header.check_crc(&accepted.batch).expect("sealed");
        for record in records(&accepted.batch).expect("decompresses") {
            assert_eq!(record.expect("well formed").timestamp, NOW);
        }
    }
}

#[test]
fn a_producer_may_not_set_log_append_time() {
    let mut batch = built(Codec::None, &[5, 7, 6], None).to_vec();
    put_stamp(&mut batch, TimestampType::LogAppendTime.flag(), TimestampMs(7));
    let batch = sealed(batch);
    let appended = BatchRules { timestamps: TimestampType::LogAppendTime, ..RULES };
    assert_eq!(refusal(&batch, &appended), RefusalKind::Timestamp);
    let kept = judged(&batch, &RULES).expect("in range, so it counts as the producer's time");
    assert_eq!(kept.header.timestamp_type(), TimestampType::CreateTime);
}

#[test]
fn a_wrong_greatest_timestamp_is_put_right() {
    let batch = patched(&built(Codec::Gzip, &[5, 7, 6], None), 35, &99_i64.to_be_bytes());
    let accepted = judged(&batch, &RULES).expect("valid otherwise");
    assert_eq!(accepted.header.max_timestamp, TimestampMs(7));
    accepted.header.check_crc(&accepted.batch).expect("sealed");
}

#[test]
fn wrong_offset_deltas_are_put_right() {
    for codec in Codec::ALL {
        let batch = built(Codec::None, &[5, 7], None);
        // Both records get delta 0: length, attributes, timestamp delta, offset delta.
        let second = 61 + 1 + usize::from(batch[61] / 2);
        assert_eq!(batch[second + 3], 2, "the second record's delta, in zigzag");
        let batch = patched(&batch, second + 3, &[0]);
        let header = BatchHeader::parse_whole(&batch).expect("whole");
        let rules = BatchRules { compression: Some(codec), ..RULES };
        let accepted = accept(&batch, &header, &rules, NOW).expect("valid otherwise");
        let offsets =
            records(&accepted.batch).expect("decompresses").map(|r| r.expect("well formed").offset.get());
        assert_eq!(offsets.collect::<Vec<_>>(), [0, 1]);
        assert_eq!(accepted.header.codec(), Some(codec));
    }
}

#[test]
fn another_codec_recompresses() {
    let original: Vec<_> = records(&built(Codec::None, &[5, 7, 6], Some(b"k"))).expect("valid").collect();
    for from in Codec::ALL {
        for to in Codec::ALL {
            let rules = BatchRules { compression: Some(to), ..RULES };
            let batch = built(from, &[5, 7, 6], Some(b"k"));
            let accepted = judged(&batch, &rules).expect("valid");
            assert_eq!(accepted.header.codec(), Some(to));
            accepted.header.check_crc(&accepted.batch).expect("sealed");
            assert_eq!(records(&accepted.batch).expect("decompresses").collect::<Vec<_>>(), original);
            assert_eq!(accepted.batch == batch, from == to);
        }
    }
    let inflated = BatchRules { compression: Some(Codec::None), batch_bytes_max: 300, ..RULES };
    let batch = built(Codec::Zstd, &[5; 100], None);
    assert!(batch.len() < 300);
    assert_eq!(refusal(&batch, &inflated), RefusalKind::TooLarge);
}

#[test]
fn producer_state_survives_recompression() {
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerId(4), ProducerEpoch(1), Sequence(i32::MAX))
        .transactional();
    builder.append(&NewRecord { timestamp: TimestampMs(3), ..NewRecord::default() });
    let batch = builder.build(Offset::ZERO).expect("it has records");
    let rules = BatchRules { compression: Some(Codec::Snappy), ..RULES };
    let header = judged(&batch, &rules).expect("valid").header;
    assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(4), ProducerEpoch(1)));
    assert_eq!(header.base_sequence, Sequence(i32::MAX));
    assert!(header.is_transactional());
}

#[test]
fn a_partition_of_a_request_holds_one_batch() {
    let batch = built(Codec::None, &[5], None);
    let kind =
        |records: Vec<u8>| single_batch(&Bytes::from(records), true).map(|_| ()).map_err(|error| error.kind);
    assert_eq!(kind(batch.to_vec()), Ok(()));
    assert_eq!(kind(Vec::new()), Err(RefusalKind::Invalid));
    assert_eq!(kind(batch[..batch.len() - 1].to_vec()), Err(RefusalKind::Invalid));
    assert_eq!(kind(batch.repeat(2)), Err(RefusalKind::Invalid));
    assert_eq!(kind([&batch[..], b"rest"].concat()), Ok(()), "a rest is ignored");
    for (magic, expected) in [(0, RefusalKind::Invalid), (1, RefusalKind::Invalid), (3, RefusalKind::Corrupt)]
    {
        let mut old = batch.to_vec();
        old[16] = magic;
        assert_eq!(kind(old), Err(expected), "magic {magic}");
    }
    let mut short = batch.to_vec();
    short[8..12].copy_from_slice(&20_i32.to_be_bytes());
    assert_eq!(kind(short), Err(RefusalKind::Corrupt));
    let zstd = built(Codec::Zstd, &[5], None);
    assert_eq!(single_batch(&zstd, false).map(|_| ()).map_err(|error| error.kind), Err(RefusalKind::Codec));
    assert!(single_batch(&zstd, true).is_ok());
    assert_eq!(split_batches(&Bytes::from(batch.repeat(3))).count(), 3);
}

#[test]
fn a_claimed_timestamp_type_does_not_hide_the_records_own_timestamps() {
    let mut claimed = built(Codec::None, &[5, 7, 6], None).to_vec();
    claimed[22] |= 0x8; // Log append time.
    claimed[27] = 1; // A base timestamp far in the future, which the header's greatest one hides.
    let rules = BatchRules { after_max_ms: i64::MAX, ..RULES };
    let accepted = judged(&sealed(claimed), &rules).expect("put right");
    assert_eq!(accepted.header.max_timestamp, TimestampMs(0x0100_0000_0000_0007));
}

proptest! {
    /// Damage behind a checksum that fits: refused or put right, never a panic; what is accepted reads back in full.
    #[test]
    fn what_is_accepted_is_sound(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        target in prop::option::of(prop::sample::select(Codec::ALL.to_vec())),
        damage in prop::collection::vec((17_usize..400, any::<u8>()), 0..4),
    ) {
        let mut batch = built(codec, &[5, 7, 6], Some(b"key")).to_vec();
        for (at, byte) in damage {
            let at = at % batch.len();
            if at >= 17 {
                batch[at] = byte;
            }
        }
        let batch = sealed(batch);
        let rules = BatchRules { after_max_ms: i64::MAX, compression: target, ..RULES };
        if let Ok(accepted) = judged(&batch, &rules) {
            accepted.header.check_crc(&accepted.batch).expect("sealed");
            let read: Vec<_> = records(&accepted.batch).expect("decompresses").map(|r| r.expect("well formed")).collect();
            prop_assert_eq!(read.len(), accepted.header.record_count as usize);
            for (index, record) in read.iter().enumerate() {
                prop_assert_eq!(record.offset, Offset(index as i64));
            }
            let greatest = read.iter().map(|record| record.timestamp).max().expect("not empty");
            prop_assert_eq!(accepted.header.max_timestamp, greatest.max(TimestampMs::NONE));
        }
    }
}

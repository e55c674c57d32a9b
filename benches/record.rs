//! What the data path spends on record batches: the checksum, the checks of `record::accept`, and writing a Fetch response.
//!
//! Run with `cargo bench --bench record`. Throughput is in bytes of batches.

use bytes::Bytes;
use corelog::model::{Offset, PartitionIndex, TimestampMs, TopicId};
use corelog::protocol::fetch_response::{FetchAnswer, PartitionAnswer, TopicAnswer, encode};
use corelog::protocol::{ApiKey, ErrorCode, RequestHeader};
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::record::{BatchHeader, BatchRules, Codec, TimestampType, accept};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

const RULES: BatchRules = BatchRules {
    batch_bytes_max: 1 << 20,
    require_keys: false,
    timestamps: TimestampType::CreateTime,
    before_max_ms: i64::MAX,
    after_max_ms: 3_600_000,
    compression: None,
};

/// A batch whose values compress to about half.
fn batch(codec: Codec, records: usize, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let mut seed = 1_u32;
    for _ in 0..records {
        let value: Vec<u8> = (0..value_bytes)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b'a' + (seed >> 28) as u8
            })
            .collect();
        builder.append(&NewRecord { timestamp: NOW, value: Some(&value), ..NewRecord::default() });
    }
    builder.build(Offset::ZERO).expect("it has records")
}

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc");
    for (records, value_bytes) in [(1, 100), (1, 1000), (100, 1000)] {
        let batch = batch(Codec::None, records, value_bytes);
        let header = BatchHeader::parse_whole(&batch).expect("well formed");
        group.throughput(Throughput::Bytes(batch.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{records}x{value_bytes}")), |bencher| {
            bencher.iter(|| header.check_crc(black_box(&batch)));
        });
    }
    group.finish();
}

fn validation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("accept");
    for codec in Codec::ALL {
        for (records, value_bytes) in [(1, 1000), (10, 100), (100, 1000)] {
            let batch = batch(codec, records, value_bytes);
            group.throughput(Throughput::Bytes(batch.len() as u64));
            group.bench_function(
                BenchmarkId::new(codec.name(), format!("{records}x{value_bytes}")),
                |bencher| {
                    bencher.iter(|| {
                        let header = BatchHeader::parse_whole(black_box(&batch)).expect("well formed");
                        accept(&batch, &header, &RULES, NOW).expect("valid")
                    });
                },
            );
        }
    }
    group.finish();
}

fn fetch_response(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fetch_response");
    let records = batch(Codec::None, 100, 1000);
    let header = RequestHeader { api: ApiKey::Fetch, version: 17, correlation_id: 1, client_id: None };
    for partitions in [1, 16, 1000] {
        let partition = |index| PartitionAnswer {
            high_watermark: Offset(1000),
            last_stable_offset: Offset(1000),
            log_start_offset: Offset::ZERO,
            records: [records.clone()].into_iter().collect(),
            ..PartitionAnswer::failed(PartitionIndex(index), ErrorCode::None)
        };
        let topic = TopicAnswer {
            id: TopicId(uuid::Uuid::from_u128(7)),
            partitions: (0..partitions).map(partition).collect(),
            ..TopicAnswer::default()
        };
        let answer = FetchAnswer { topics: vec![topic], ..FetchAnswer::default() };
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(BenchmarkId::from_parameter(partitions), |bencher| {
            bencher.iter(|| encode(&header, black_box(&answer)).expect("nothing is too long"));
        });
    }
    group.finish();
}

criterion_group!(benches, checksum, validation, fetch_response);
criterion_main!(benches);

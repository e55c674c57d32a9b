//! What the tests write: values that say who wrote them, as which of his records, and whether they are whole.
//!
//! ```text
//! value: tag u64 | length u32 | filler, eight bytes that follow from the tag, again and again
//! tag:   writer u16 | number u48
//! ```
//!
//! Key invariant: a value of another tag, another length or with any byte changed has no tag.

use bytes::Bytes;
use corelog::model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::record::{Codec, records, split_batches};

use crate::chance::mixed;

const HEAD_BYTES: usize = 12;
const NUMBER_BITS: u32 = 48;

/// Who wrote a record, and as which of his: numbers count from 0 in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

impl Tag {
    pub fn new(writer: u16, number: u64) -> Self {
        Self(u64::from(writer) << NUMBER_BITS | number)
    }

    pub fn writer(self) -> u16 {
        (self.0 >> NUMBER_BITS) as u16
    }

    pub fn number(self) -> u64 {
        self.0 & ((1 << NUMBER_BITS) - 1)
    }

    fn value(self, bytes: usize) -> Vec<u8> {
        let mut value = Vec::with_capacity(bytes + 8);
        value.extend_from_slice(&self.0.to_be_bytes());
        value.extend_from_slice(&(bytes as u32).to_be_bytes());
        let filler = mixed(self.0).to_be_bytes();
        while value.len() < bytes {
            value.extend_from_slice(&filler);
        }
        value.truncate(bytes);
        value
    }

    fn of(value: &[u8]) -> Option<Self> {
        let tag = Self(u64::from_be_bytes(value.get(..8)?.try_into().ok()?));
        (value.len() >= HEAD_BYTES && tag.value(value.len()) == value).then_some(tag)
    }
}

/// How a batch is made up.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub records: u32,
    pub value_bytes: usize,
}

impl Shape {
    pub const SINGLE: Self = Self { records: 1, value_bytes: 100 };
    /// 200 KB.
    pub const LARGE: Self = Self { records: 200, value_bytes: 1_000 };
    /// 800 KB in few records, for tests that fill a disk.
    pub const HUGE: Self = Self { records: 8, value_bytes: 100_000 };
}

/// A batch of consecutive numbers from `first` on; with a producer id their sequences are the numbers.
pub fn batch(first: Tag, shape: Shape, producer_id: Option<i64>) -> Bytes {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    stamped(first, shape, producer_id, now.as_millis() as i64)
}

/// The same with a timestamp of the caller's.
pub fn stamped(first: Tag, shape: Shape, producer_id: Option<i64>, timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some(id) = producer_id {
        builder = builder.producer(ProducerId(id), ProducerEpoch(0), Sequence(first.number() as i32));
    }
    for number in first.number()..first.number() + u64::from(shape.records) {
        let value = Tag::new(first.writer(), number).value(shape.value_bytes);
        let timestamp = TimestampMs(timestamp);
        builder.append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() });
    }
    builder.build(Offset::ZERO).unwrap()
}

/// Offset and tag of every record in what a fetch answered, from `from` on. Panics at anything that nobody wrote.
pub fn read(bytes: &Bytes, from: i64) -> Vec<(i64, Tag)> {
    let mut found = Vec::new();
    for whole in split_batches(bytes) {
        let (slice, header) = whole.expect("a whole batch");
        header.check_crc(&slice).expect("the checksum holds");
        for record in records(&slice).expect("records") {
            let record = record.expect("a record");
            let value = record.value.expect("a value");
            let offset = record.offset.0;
            let tag = Tag::of(&value).unwrap_or_else(|| panic!("offset {offset} holds what nobody wrote"));
            if offset >= from {
                found.push((offset, tag));
            }
        }
    }
    found
}

#[test]
fn a_value_says_whether_it_is_whole() {
    let tag = Tag::new(7, 42);
    let value = tag.value(100);
    assert_eq!((value.len(), Tag::of(&value)), (100, Some(tag)));
    assert_eq!((tag.writer(), tag.number()), (7, 42));
    for at in 0..value.len() {
        let mut damaged = value.clone();
        damaged[at] ^= 1;
        assert_eq!(Tag::of(&damaged), None, "byte {at}");
    }
    assert_eq!(Tag::of(&value[..99]), None);
}

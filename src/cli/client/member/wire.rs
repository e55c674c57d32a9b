//! What members of classic groups tell each other: which topics they want, and which partitions they get.
//!
//! Key invariant: the bytes come from other members, so no count is believed before the bytes that it promises are there;
//! what does not parse is `None`. Both are written in version 0, which every client reads; newer versions only add fields
//! behind those of version 0.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Partitions by topic.
pub type TopicPartitions = BTreeMap<String, Vec<i32>>;

const VERSION: i16 = 0;
/// The length of a text or of bytes that are not there.
const NONE: i32 = -1;
/// The least that a list's element takes: a text's length.
const TEXT_BYTES_MIN: usize = 2;

/// A member's wishes: `topics`.
pub(super) fn write_subscription(topics: &[String]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    put_count(&mut bytes, topics.len());
    for topic in topics {
        put_text(&mut bytes, topic);
    }
    bytes.put_i32(NONE);
    bytes.freeze()
}

/// The topics that a member wishes to read.
pub(super) fn read_subscription(bytes: &Bytes) -> Option<Vec<String>> {
    let mut rest = bytes.clone();
    version(&mut rest)?;
    let count = count(&mut rest, TEXT_BYTES_MIN)?;
    (0..count).map(|_| text(&mut rest)).collect()
}

/// What a member gets.
pub(super) fn write_assignment(assigned: &TopicPartitions) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    put_count(&mut bytes, assigned.len());
    for (topic, partitions) in assigned {
        put_text(&mut bytes, topic);
        put_count(&mut bytes, partitions.len());
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
    bytes.put_i32(NONE);
    bytes.freeze()
}

/// What a member got; a member without partitions may have no bytes at all.
pub(in crate::cli::client) fn read_assignment(bytes: &Bytes) -> Option<TopicPartitions> {
    if bytes.is_empty() {
        return Some(TopicPartitions::new());
    }
    let mut rest = bytes.clone();
    version(&mut rest)?;
    let topics = count(&mut rest, TEXT_BYTES_MIN)?;
    let mut assigned = TopicPartitions::new();
    for _ in 0..topics {
        let topic = text(&mut rest)?;
        let partitions = count(&mut rest, size_of::<i32>())?;
        let of_topic: &mut Vec<i32> = assigned.entry(topic).or_default();
        of_topic.extend((0..partitions).map(|_| rest.get_i32()));
    }
    Some(assigned)
}

fn version(rest: &mut Bytes) -> Option<i16> {
    rest.try_get_i16().ok().filter(|version| *version >= VERSION)
}

/// How many elements follow, if so many of `bytes_min` fit into what is left.
fn count(rest: &mut Bytes, bytes_min: usize) -> Option<usize> {
    let count = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    (count <= rest.len() / bytes_min).then_some(count)
}

fn text(rest: &mut Bytes) -> Option<String> {
    let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
    if length > rest.len() {
        return None;
    }
    String::from_utf8(rest.split_to(length).to_vec()).ok()
}

fn put_count(bytes: &mut BytesMut, count: usize) {
    bytes.put_i32(i32::try_from(count).expect("topics and partitions are counted by i32"));
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(i16::try_from(text.len()).expect("topics' names came as texts of at most i16::MAX bytes"));
    bytes.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_reads_back() {
        let topics = vec!["a".to_owned(), "bé".to_owned()];
        assert_eq!(read_subscription(&write_subscription(&topics)), Some(topics));
        let assigned = TopicPartitions::from([("a".to_owned(), vec![0, 7]), ("b".to_owned(), vec![])]);
        assert_eq!(read_assignment(&write_assignment(&assigned)), Some(assigned));
        assert_eq!(read_assignment(&Bytes::new()), Some(TopicPartitions::new()));
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let assigned = TopicPartitions::from([("t".to_owned(), vec![2])]);
        let expected = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(write_assignment(&assigned)[..], expected);
        // Version 3 of a Java client: owned partitions, generation and rack follow.
        let newer =
            [0, 3, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff];
        assert_eq!(read_subscription(&Bytes::copy_from_slice(&newer)), Some(vec!["t".to_owned()]));
    }

    #[test]
    fn counts_beyond_the_bytes_are_refused() {
        for lie in [[0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 2]] {
            let bytes = Bytes::from([&[0, 1][..], &lie, &[0, 1]].concat());
            assert_eq!(read_subscription(&bytes), None);
            assert_eq!(read_assignment(&bytes), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let named = read_subscription(&bytes).map_or(0, |topics| topics.len());
            let got: usize = read_assignment(&bytes).iter().flatten().map(|(_, p)| p.len()).sum();
            prop_assert!(named <= bytes.len() / 2 && got <= bytes.len() / 4);
        }
    }
}

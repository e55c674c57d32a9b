//! Compares the codecs with bytes that Kafka's own classes wrote, and shows that no bytes do harm.

mod any;
mod golden;

use proptest::prelude::*;

use super::share_state::ShareRecord;
use super::*;

/// What a record that was read is written as, and read as again.
fn again(record: &GroupRecord) -> GroupRecord {
    let (key, value) = record.encode().expect("nothing that was read is too long");
    GroupRecord::decode(&key, value.as_deref()).expect("it was written just now").expect("of a known kind")
}

fn share_again(record: &ShareRecord) -> ShareRecord {
    let (key, value) = record.encode().expect("nothing that was read is too long");
    ShareRecord::decode(&key, value.as_deref()).expect("it was written just now").expect("of a known kind")
}

/// Reads bytes as a record of either topic; what can be read stays the same when it is written and read again.
fn check(key: &[u8], value: Option<&[u8]>) {
    if let Ok(Some(record)) = GroupRecord::decode(key, value) {
        assert_eq!(again(&record), record);
    }
    if let Ok(Some(record)) = ShareRecord::decode(key, value) {
        assert_eq!(share_again(&record), record);
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let record = GroupRecord::ClassicGroup(long.as_str().into(), None);
    assert_eq!(record.encode(), Err(RecordError::TooLong));
    let value = share::MemberValue {
        rack_id: Some(long),
        client_id: String::new(),
        client_host: String::new(),
        subscribed_topics: vec![],
    };
    let record = GroupRecord::ShareMember("g".into(), "m".into(), Some(value));
    assert_eq!(record.encode(), Err(RecordError::TooLong));
}

#[test]
fn versions_that_are_not_known_are_refused_and_kinds_are_passed_over() {
    let (key, _) = GroupRecord::ClassicGroup("g".into(), None).encode().expect("short");
    for version in [5_i16, -1, i16::MAX] {
        let refused = GroupRecord::decode(&key, Some(&version.to_be_bytes()));
        assert_eq!(refused, Err(RecordError::UnknownVersion { kind: 2, version }));
    }
    for kind in (17..=i16::MAX).chain(i16::MIN..0).chain([9]) {
        assert_eq!(GroupRecord::decode(&kind.to_be_bytes(), None), Ok(None));
    }
    assert_eq!(GroupRecord::decode(&[0], None), Err(RecordError::Truncated));
}

#[test]
fn tagged_fields_of_newer_brokers_are_passed_over() {
    let (key, _) = GroupRecord::ConsumerTarget("g".into(), None).encode().expect("short");
    // Version, epoch, two tagged fields: 0 with one byte, 7 with two.
    let value = [0, 0, 0, 0, 0, 9, 2, 0, 1, 0xaa, 7, 2, 0xbb, 0xcc];
    let expected = GroupRecord::ConsumerTarget("g".into(), Some(TargetValue { assignment_epoch: 9 }));
    assert_eq!(GroupRecord::decode(&key, Some(&value)), Ok(Some(expected)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_read_again(record in any::group_record(), share in any::share_record()) {
        prop_assert_eq!(again(&record), record);
        prop_assert_eq!(share_again(&share), share);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        kind in prop::option::of(0..24_i16),
        key in prop::collection::vec(any::<u8>(), 0..40),
        value in prop::option::of((prop::option::of(0..5_i16), prop::collection::vec(any::<u8>(), 0..200))),
    ) {
        let prefixed = |first: Option<i16>, rest: Vec<u8>| -> Vec<u8> {
            first.into_iter().flat_map(i16::to_be_bytes).chain(rest).collect()
        };
        let key = prefixed(kind, key);
        let value = value.map(|(version, rest)| prefixed(version, rest));
        check(&key, value.as_deref());
    }

    #[test]
    fn damaged_records_do_no_harm(
        place in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let records = golden::all();
        let mut record = records[place.index(records.len())].clone();
        let key_bytes = record.key.len();
        let mut bytes = record.key;
        bytes.extend(record.value.iter().flatten());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        record.key = bytes[..key_bytes].to_vec();
        let value = &bytes[key_bytes..];
        check(&record.key, record.value.is_some().then_some(value));
        check(&record.key, Some(&value[..cut.index(value.len() + 1)]));
    }
}

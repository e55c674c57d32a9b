//! The `consumer` protocol within the classic one: subscriptions that members send, assignments that they get, as bytes
//! (`ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`, versions 0 to 3).
//!
//! Key invariant: whatever the bytes are, nothing panics, and nothing is allocated for what a count merely claims.

use bytes::Bytes;

/// The newest version known here. Later ones only add fields at the end.
const VERSION_MAX: i16 = 3;

/// Partitions of a topic by its name.
pub(super) type NamedPartitions = (String, Vec<i32>);

/// What a member sent of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    pub version: i16,
    pub topics: Vec<String>,
    /// What it has; nothing up to version 0, whose clients give everything up before they join.
    pub owned: Vec<NamedPartitions>,
    pub rack: Option<String>,
}

/// What a leader gave a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    pub partitions: Vec<NamedPartitions>,
    /// Whether the assignor added bytes of its own.
    pub has_user_data: bool,
}

/// Reads a subscription; `None` if the bytes are none.
pub(super) fn subscription(bytes: &[u8]) -> Option<Subscription> {
    let mut rest = Rest(bytes);
    let version = rest.version()?;
    let topics = rest.list(Rest::string)?;
    rest.skip_bytes()?;
    let owned = if version >= 1 { rest.list(Rest::partitions)? } else { vec![] };
    if version >= 2 {
        rest.i32()?;
    }
    let rack = if version >= 3 { rest.nullable_string()? } else { None };
    Some(Subscription { version, topics, owned, rack })
}

/// Reads an assignment; `None` if the bytes are none. Without any bytes the member was not given anything yet.
pub(super) fn assigned(bytes: &[u8]) -> Option<Assigned> {
    if bytes.is_empty() {
        return Some(Assigned::default());
    }
    let mut rest = Rest(bytes);
    rest.version()?;
    let partitions = rest.list(Rest::partitions)?;
    let has_user_data = rest.skip_bytes()? > 0;
    Some(Assigned { partitions, has_user_data })
}

/// Writes an assignment, in the version of the member's own subscription.
pub(super) fn assignment(version: i16, partitions: &[NamedPartitions]) -> Bytes {
    let mut out = vec![];
    out.extend(version.clamp(0, VERSION_MAX).to_be_bytes());
    out.extend(count(partitions.len()));
    for (topic, partitions) in partitions {
        // Names of topics have 249 characters at most.
        out.extend(i16::try_from(topic.len()).unwrap_or(i16::MAX).to_be_bytes());
        out.extend(topic.as_bytes());
        out.extend(count(partitions.len()));
        partitions.iter().for_each(|partition| out.extend(partition.to_be_bytes()));
    }
    // No user data.
    out.extend((-1_i32).to_be_bytes());
    out.into()
}

fn count(count: usize) -> [u8; 4] {
    i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes()
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn version(&mut self) -> Option<i16> {
        let version = i16::from_be_bytes(self.take()?);
        (version >= 0).then_some(version.min(VERSION_MAX))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take()?))
    }

    fn nullable_string(&mut self) -> Option<Option<String>> {
        let length = i16::from_be_bytes(self.take()?);
        if length < 0 {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(std::str::from_utf8(text).ok()?.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    /// Passes bytes over; how many they were.
    fn skip_bytes(&mut self) -> Option<usize> {
        let length = usize::try_from(self.i32()?.max(0)).ok()?;
        self.0 = self.0.get(length..)?;
        Some(length)
    }

    fn list<T>(&mut self, mut entry: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.i32()?;
        let mut list = vec![];
        for _ in 0..count {
            list.push(entry(self)?);
        }
        Some(list)
    }

    fn partitions(&mut self) -> Option<NamedPartitions> {
        let topic = self.string()?;
        Some((topic, self.list(Self::i32)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
    use proptest::prelude::*;

    fn name(name: &str) -> StrBytes {
        StrBytes::from_string(name.to_owned())
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        let owned = TopicPartition::default().with_topic(TopicName(name("b"))).with_partitions(vec![3, 4]);
        for version in 0..=3_i16 {
            let mut message = ConsumerProtocolSubscription::default()
                .with_topics(vec![name("a"), name("b")])
                .with_user_data(Some(Bytes::from_static(b"xyz")));
            if version >= 1 {
                message = message.with_owned_partitions(vec![owned.clone()]);
            }
            if version >= 2 {
                message = message.with_generation_id(7);
            }
            if version >= 3 {
                message = message.with_rack_id(Some(name("r")));
            }
            let mut bytes = version.to_be_bytes().to_vec();
            message.encode(&mut bytes, version).unwrap();
            let read = subscription(&bytes).unwrap();
            assert_eq!((read.version, &read.topics[..]), (version, &["a".to_owned(), "b".to_owned()][..]));
            let expected = if version >= 1 { vec![("b".to_owned(), vec![3, 4])] } else { vec![] };
            assert_eq!(read.owned, expected);
            assert_eq!(read.rack.as_deref(), (version >= 3).then_some("r"));
            for end in 0..bytes.len() {
                assert_eq!(subscription(&bytes[..end]), None, "{end} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn assignments_are_what_clients_read() {
        let partitions = vec![("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![1])];
        let written = assignment(2, &partitions);
        assert_eq!(assigned(&written), Some(Assigned { partitions, has_user_data: false }));
        let mut rest = written.slice(2..);
        let read = ConsumerProtocolAssignment::decode(&mut rest, 2).unwrap();
        assert_eq!((read.assigned_partitions.len(), read.user_data, rest.len()), (2, None, 0));
        assert_eq!(assigned(b""), Some(Assigned::default()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = (subscription(&bytes), assigned(&bytes));
        }
    }
}

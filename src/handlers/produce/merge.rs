//! Makes each topic and partition of a request be named once.
//!
//! Key invariant: of a partition that is named twice the last batch counts, as in Kafka; topics and partitions keep the order
//! in which they were first named, and a topic without partitions is not there. Cost is linear however large the request.

use std::hash::Hash;

use hashbrown::HashSet;
use indexmap::IndexMap;
use smallvec::SmallVec;

use crate::model::{PartitionIndex, TopicId};
use crate::protocol::produce::{PartitionData, TopicData};

/// So many keys are compared each with each.
const COMPARED_MAX: usize = 8;

type Topics<'a> = SmallVec<[TopicData<'a>; 1]>;

/// The topics and partitions of a request, each once.
pub fn once_each(topics: Topics<'_>) -> Topics<'_> {
    let is_plain = |topic: &TopicData<'_>| {
        !topic.partitions.is_empty() && are_distinct(topic.partitions.iter().map(|data| data.partition))
    };
    if topics.iter().all(is_plain) && are_distinct(topics.iter().map(|topic| (topic.name, topic.id))) {
        return topics;
    }
    let mut merged: IndexMap<(&str, TopicId), IndexMap<PartitionIndex, PartitionData<'_>>> = IndexMap::new();
    for topic in topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
        let partitions = merged.entry((topic.name, topic.id)).or_default();
        for data in topic.partitions {
            // An insert over an old entry keeps its place.
            partitions.insert(data.partition, data);
        }
    }
    let topic = |((name, id), partitions): (_, IndexMap<_, _>)| TopicData {
        name,
        id,
        partitions: partitions.into_values().collect(),
    };
    merged.into_iter().map(topic).collect()
}

fn are_distinct<K: Eq + Hash>(keys: impl ExactSizeIterator<Item = K> + Clone) -> bool {
    if keys.len() > COMPARED_MAX {
        let mut seen = HashSet::with_capacity(keys.len());
        return keys.clone().all(|key| seen.insert(key));
    }
    let mut rest = keys;
    while let Some(key) = rest.next() {
        if rest.clone().any(|other| other == key) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// (topic, [(partition, which batch)])
    type Named = Vec<(u8, Vec<(i32, usize)>)>;

    const NAMES: &str = "0123456789abcdefghij";
    const BATCHES: &[u8] = &[7; 1000];

    fn request(named: &Named) -> Topics<'static> {
        let topic = |(name, partitions): &(u8, Vec<(i32, usize)>)| TopicData {
            name: &NAMES[usize::from(*name)..=usize::from(*name)],
            id: TopicId::ZERO,
            partitions: partitions
                .iter()
                .map(|(index, batch)| PartitionData {
                    partition: PartitionIndex(*index),
                    // The length tells which one it is.
                    records: Some(&BATCHES[..*batch]),
                })
                .collect(),
        };
        named.iter().map(topic).collect()
    }

    /// The same, looked through from the beginning each time.
    fn model(named: &Named) -> Named {
        let mut once: Named = vec![];
        for (topic, partitions) in named {
            for (index, batch) in partitions {
                if !once.iter().any(|(known, _)| known == topic) {
                    once.push((*topic, vec![]));
                }
                let (_, known) = once.iter_mut().find(|(known, _)| known == topic).expect("added if new");
                match known.iter_mut().find(|(known, _)| known == index) {
                    Some(known) => known.1 = *batch,
                    None => known.push((*index, *batch)),
                }
            }
        }
        once
    }

    proptest! {
        #[test]
        fn the_last_batch_of_a_partition_counts_in_the_first_place(
            named in prop::collection::vec(
                (0..20_u8, prop::collection::vec((0..30_i32, 0..1000_usize), 0..14)), 0..14),
        ) {
            prop_assert_eq!(once_each(request(&named)), request(&model(&named)));
        }
    }

    #[test]
    fn an_ordinary_request_stays_as_it_is() {
        let request = request(&vec![(3, vec![(5, 1)])]);
        let once = once_each(request.clone());
        assert_eq!(once, request);
        assert!(!once.spilled() && !once[0].partitions.spilled());
    }

    #[test]
    fn ids_tell_topics_apart_where_names_do_not() {
        let mut request = request(&vec![(0, vec![(0, 1)]), (0, vec![(0, 2)])]);
        request[1].id = TopicId(uuid::Uuid::from_u128(1));
        assert_eq!(once_each(request.clone()), request);
    }
}

//! The APIs and versions that this broker offers.
//!
//! Key invariant: nothing stands here that has no codec and no handler, since clients choose their behaviour by this
//! table. Entries ascend by key, as Kafka lists them. What each API does is left to `handlers`.

use kafka_protocol::messages::ApiKey;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferedApi {
    pub api: ApiKey,
    /// The lowest version advertised.
    pub min: i16,
    /// The highest version advertised and served.
    pub max: i16,
    /// The lowest version served: above `min` where clients draw conclusions from the advertised range alone.
    pub served_from: i16,
}

impl OfferedApi {
    const fn new(api: ApiKey, min: i16, max: i16) -> Self {
        Self { api, min, max, served_from: min }
    }

    /// Whether requests of `version` are answered.
    pub const fn serves(&self, version: i16) -> bool {
        self.served_from <= version && version <= self.max
    }
}

/// What ApiVersions answers.
pub const TABLE: &[OfferedApi] = &[
    // Versions 0 to 2 went with message formats 0 and 1 (KIP-896), but librdkafka compresses and writes format 2 only
    // if 0 is in the range. Kafka advertises them and closes the connection of whoever uses them.
    OfferedApi { api: ApiKey::Produce, min: 0, max: 13, served_from: 3 },
    OfferedApi::new(ApiKey::Fetch, 4, 18),
    OfferedApi::new(ApiKey::ListOffsets, 1, 11),
    OfferedApi::new(ApiKey::Metadata, 0, 13),
    OfferedApi::new(ApiKey::OffsetCommit, 2, 10),
    OfferedApi::new(ApiKey::OffsetFetch, 1, 10),
    OfferedApi::new(ApiKey::FindCoordinator, 0, 6),
    OfferedApi::new(ApiKey::JoinGroup, 0, 9),
    OfferedApi::new(ApiKey::Heartbeat, 0, 4),
    OfferedApi::new(ApiKey::LeaveGroup, 0, 5),
    OfferedApi::new(ApiKey::SyncGroup, 0, 5),
    OfferedApi::new(ApiKey::DescribeGroups, 0, 6),
    OfferedApi::new(ApiKey::ListGroups, 0, 5),
    OfferedApi::new(ApiKey::ApiVersions, 0, 4),
    OfferedApi::new(ApiKey::CreateTopics, 2, 7),
    OfferedApi::new(ApiKey::DeleteTopics, 1, 6),
    OfferedApi::new(ApiKey::DeleteRecords, 0, 2),
    OfferedApi::new(ApiKey::InitProducerId, 0, 5),
    OfferedApi::new(ApiKey::OffsetForLeaderEpoch, 2, 4),
    OfferedApi::new(ApiKey::DescribeAcls, 1, 3),
    OfferedApi::new(ApiKey::CreateAcls, 1, 3),
    OfferedApi::new(ApiKey::DeleteAcls, 1, 3),
    OfferedApi::new(ApiKey::DescribeConfigs, 1, 4),
    OfferedApi::new(ApiKey::AlterConfigs, 0, 2),
    OfferedApi::new(ApiKey::AlterReplicaLogDirs, 1, 2),
    OfferedApi::new(ApiKey::DescribeLogDirs, 1, 4),
    OfferedApi::new(ApiKey::CreatePartitions, 0, 3),
    OfferedApi::new(ApiKey::DeleteGroups, 0, 2),
    OfferedApi::new(ApiKey::ElectLeaders, 0, 2),
    OfferedApi::new(ApiKey::IncrementalAlterConfigs, 0, 1),
    OfferedApi::new(ApiKey::AlterPartitionReassignments, 0, 1),
    OfferedApi::new(ApiKey::ListPartitionReassignments, 0, 0),
    OfferedApi::new(ApiKey::OffsetDelete, 0, 0),
    OfferedApi::new(ApiKey::DescribeQuorum, 0, 2),
    OfferedApi::new(ApiKey::UpdateFeatures, 0, 2),
    OfferedApi::new(ApiKey::DescribeCluster, 0, 2),
    OfferedApi::new(ApiKey::DescribeProducers, 0, 0),
    OfferedApi::new(ApiKey::ConsumerGroupHeartbeat, 0, 1),
    OfferedApi::new(ApiKey::ConsumerGroupDescribe, 0, 1),
    OfferedApi::new(ApiKey::ListConfigResources, 0, 1),
    OfferedApi::new(ApiKey::DescribeTopicPartitions, 0, 0),
    OfferedApi::new(ApiKey::ShareGroupHeartbeat, 1, 1),
    OfferedApi::new(ApiKey::ShareGroupDescribe, 1, 1),
    OfferedApi::new(ApiKey::ShareFetch, 1, 2),
    OfferedApi::new(ApiKey::ShareAcknowledge, 1, 2),
    OfferedApi::new(ApiKey::DescribeShareGroupOffsets, 0, 1),
    OfferedApi::new(ApiKey::AlterShareGroupOffsets, 0, 0),
    OfferedApi::new(ApiKey::DeleteShareGroupOffsets, 0, 0),
];

/// Where each key stands in [`TABLE`], plus one; 0 for a key that is not offered.
const PLACES: [u8; 128] = {
    let mut places = [0; 128];
    let mut place = 0;
    while place < TABLE.len() {
        assert!(place == 0 || (TABLE[place - 1].api as i16) < TABLE[place].api as i16, "keys ascend");
        places[TABLE[place].api as usize] = place as u8 + 1;
        place += 1;
    }
    places
};

/// The row of an API key as it stands on the wire, or `None` if the API is not offered.
pub fn offered(key: i16) -> Option<&'static OfferedApi> {
    let place = *PLACES.get(usize::try_from(key).ok()?)?;
    TABLE.get(usize::from(place.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codec::{codec_version, codec_versions};

    #[test]
    fn every_row_is_found_by_its_key_and_no_other_key_is() {
        for key in i16::MIN..=i16::MAX {
            let expected = TABLE.iter().find(|row| row.api as i16 == key);
            assert_eq!(offered(key), expected);
        }
    }

    #[test]
    fn every_served_version_has_a_codec() {
        for row in TABLE {
            let codec = codec_versions(row.api);
            for version in row.served_from..=row.max {
                let version = codec_version(row.api, version);
                assert!(codec.contains(&version), "{:?} {version}", row.api);
            }
        }
    }
}

//! The APIs and versions that the server offers, so that it can play old brokers too.
//!
//! Key invariant: nothing stands here that `control`, `answers` and `fetch` cannot answer.

use kafka_protocol::messages::ApiKey;

/// API, lowest and highest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered(Vec<(ApiKey, i16, i16)>);

impl Offered {
    /// What the newest brokers offer, as far as this server needs it.
    pub fn newest() -> Self {
        Self(vec![
            (ApiKey::Produce, 3, 13),
            (ApiKey::Fetch, 4, 18),
            (ApiKey::ListOffsets, 1, 10),
            (ApiKey::Metadata, 0, 13),
            (ApiKey::SaslHandshake, 0, 1),
            (ApiKey::ApiVersions, 0, 4),
            (ApiKey::CreateTopics, 2, 7),
            (ApiKey::DeleteTopics, 1, 6),
            (ApiKey::InitProducerId, 0, 5),
            (ApiKey::SaslAuthenticate, 0, 2),
        ])
    }

    /// What Kafka 1.0 offered.
    pub fn kafka_1_0() -> Self {
        [
            (ApiKey::Produce, 5),
            (ApiKey::Fetch, 6),
            (ApiKey::ListOffsets, 2),
            (ApiKey::Metadata, 5),
            (ApiKey::ApiVersions, 1),
            (ApiKey::CreateTopics, 2),
            (ApiKey::DeleteTopics, 1),
            (ApiKey::InitProducerId, 0),
            (ApiKey::SaslAuthenticate, 0),
        ]
        .into_iter()
        .fold(Self::newest(), |offered, (api, max)| offered.at_most(api, max))
    }

    /// The same, but `api` not above version `max`.
    pub fn at_most(mut self, api: ApiKey, max: i16) -> Self {
        for row in self.0.iter_mut().filter(|row| row.0 == api) {
            row.2 = row.2.min(max);
        }
        self
    }

    pub(super) fn rows(&self) -> &[(ApiKey, i16, i16)] {
        &self.0
    }

    pub(super) fn has(&self, api: ApiKey, version: i16) -> bool {
        self.0.iter().any(|row| row.0 == api && (row.1..=row.2).contains(&version))
    }
}

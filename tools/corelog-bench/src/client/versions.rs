//! The versions of APIs that a broker offers.
//!
//! Key invariant: what is chosen is known to both sides. Asking the broker is left to `connection`.

use std::collections::HashMap;

use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::protocol::Request;

/// A broker's table of versions, by API key: the lowest and the highest.
#[derive(Clone, Debug, Default)]
pub struct Versions(HashMap<i16, (i16, i16)>);

impl Versions {
    pub(super) fn new(answer: &ApiVersionsResponse) -> Self {
        Self(answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
    }

    /// The newest version of `R`, not above `max`, that both sides know.
    pub fn newest<R: Request>(&self, max: i16) -> Option<i16> {
        let (low, high) = self.0.get(&R::KEY).copied()?;
        let newest = high.min(R::VERSIONS.max).min(max);
        (newest >= low.max(R::VERSIONS.min)).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{FetchRequest, ProduceRequest};

    #[test]
    fn the_newest_common_version_is_chosen() {
        let versions = Versions([(0, (0, 9)), (1, (19, 20))].into());
        assert_eq!(versions.newest::<ProduceRequest>(i16::MAX), Some(9));
        assert_eq!(versions.newest::<ProduceRequest>(7), Some(7));
        assert_eq!(versions.newest::<ProduceRequest>(2), None, "message formats 0 and 1 are not known");
        assert_eq!(versions.newest::<FetchRequest>(i16::MAX), None);
    }
}

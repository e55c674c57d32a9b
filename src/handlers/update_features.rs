//! UpdateFeatures (KIP-584): finalized feature levels, all of a request or none.

use std::rc::Rc;

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::topics::text;
use super::{Server, errors};
use crate::metadata::plan::{FeatureChange, SupportedFeature, UpdateFeatures, Upgrade};
use crate::protocol::ErrorCode;
use crate::protocol::api_versions::{FEATURES, Feature};

/// From this version on a client says how a level may change; before, only whether it may become lower.
const UPGRADE_TYPE_FROM: i16 = 1;
/// From this version on there is one answer for all features.
const ONE_ANSWER_FROM: i16 = 2;

/// Changes the levels.
pub async fn handle(
    server: &Rc<Server>,
    request: UpdateFeaturesRequest,
    version: i16,
) -> UpdateFeaturesResponse {
    let names: Vec<_> = request.feature_updates.iter().map(|update| update.feature.clone()).collect();
    let mutation = UpdateFeatures {
        broker: server.broker_id(),
        changes: request.feature_updates.iter().map(|update| wanted(update, version)).collect(),
        supported: FEATURES.iter().map(supported).collect(),
        validate_only: request.validate_only,
    };
    match server.controller().submit(mutation).await {
        Ok(()) => {
            let results = names.into_iter().filter(|_| version < ONE_ANSWER_FROM).map(|name| {
                // Kafka puts its error's name where there is no error to tell of.
                UpdatableFeatureResult::default()
                    .with_feature(name)
                    .with_error_message(Some(text(ErrorCode::None.name())))
            });
            UpdateFeaturesResponse::default().with_error_message(None).with_results(results.collect())
        }
        Err(refusal) => {
            let (code, message) = errors::of_refusal(&refusal);
            UpdateFeaturesResponse::default()
                .with_error_code(code.code())
                .with_error_message(message.map(|message| text(message.to_owned())))
        }
    }
}

fn supported(feature: &Feature) -> SupportedFeature {
    SupportedFeature {
        name: feature.name.to_owned(),
        min: feature.min,
        max: feature.max,
        downgrade_min: feature.downgrade_min,
    }
}

fn wanted(update: &FeatureUpdateKey, version: i16) -> FeatureChange {
    let upgrade = match (version >= UPGRADE_TYPE_FROM, update.upgrade_type) {
        (false, _) if update.allow_downgrade => Upgrade::SafeDowngrade,
        (false, _) | (true, 1) => Upgrade::Upgrade,
        (true, 2) => Upgrade::SafeDowngrade,
        (true, 3) => Upgrade::UnsafeDowngrade,
        (true, _) => Upgrade::Unknown,
    };
    FeatureChange { name: update.feature.to_string(), level: update.max_version_level, upgrade }
}

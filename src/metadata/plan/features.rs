//! Finalized feature levels (KIP-584).
//!
//! Key invariant: a level lies within what this broker supports; one refused change refuses all of a request.

use super::{Mutation, PlanInputs, Planned};
use crate::metadata::{Command, Image, Reason, Refusal};
use crate::model::BrokerId;

/// Changes feature levels, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFeatures {
    /// Who answers; messages name it.
    pub broker: BrokerId,
    pub changes: Vec<FeatureChange>,
    pub supported: Vec<SupportedFeature>,
    pub validate_only: bool,
}

/// What this broker supports of a feature; all levels are inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    pub name: String,
    pub min: i16,
    pub max: i16,
    /// The lowest level that the feature may be brought down to without a loss of metadata.
    pub downgrade_min: i16,
}

/// A feature and the level that it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureChange {
    pub name: String,
    pub level: i16,
    pub upgrade: Upgrade,
}

/// How a level may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
    /// A number that none of these has.
    Unknown,
}

impl Mutation for UpdateFeatures {
    type Outcome = ();

    fn plan(self, image: &Image, _inputs: &mut PlanInputs<'_>) -> Result<Planned<()>, Refusal> {
        let mut commands = Vec::new();
        for change in &self.changes {
            let current = image.cluster().features.get(&change.name).copied().unwrap_or(0);
            self.check(change, current).map_err(|fault| {
                let message = format!(
                    "The update failed for all features since the following feature had an error: {fault}"
                );
                Refusal::new(Reason::InvalidUpdateVersion, message)
            })?;
            if change.level != current {
                commands.push(Command::SetFeature { name: change.name.clone(), level: change.level });
            }
        }
        if self.validate_only {
            commands.clear();
        }
        Ok(Planned { commands, outcome: () })
    }
}

impl UpdateFeatures {
    fn check(&self, change: &FeatureChange, current: i16) -> Result<(), String> {
        let FeatureChange { name, level, upgrade } = change;
        let broker = self.broker;
        let refuse = |why: String| Err(format!("Invalid update version {level} for feature {name}. {why}"));
        if *upgrade == Upgrade::Unknown {
            return refuse("The controller does not support the given upgrade type.".to_owned());
        }
        if *level < 0 {
            return refuse("A feature version cannot be less than 0.".to_owned());
        }
        let Some(feature) = self.supported.iter().find(|feature| feature.name == *name) else {
            return refuse(match level {
                0 => format!("Feature {name} not found."),
                _ => format!("Local controller {broker} does not support this feature."),
            });
        };
        if *level < feature.min || *level > feature.max {
            let SupportedFeature { min, max, .. } = feature;
            return refuse(format!("Local controller {broker} only supports versions {min}-{max}"));
        }
        if *level < current && *upgrade == Upgrade::Upgrade {
            let why = "Can't downgrade the version of this feature without setting the upgrade type to either safe or \
                       unsafe downgrade.";
            return refuse(why.to_owned());
        }
        if *level > current && *upgrade != Upgrade::Upgrade {
            return refuse("Can't downgrade to a newer version.".to_owned());
        }
        if *level < current && *level < feature.downgrade_min {
            let why = match upgrade {
                Upgrade::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
                _ => {
                    "Refusing to perform the requested downgrade because it might delete metadata information."
                }
            };
            return Err(format!("Unsupported {name} downgrade from {current} to {level}. {why}"));
        }
        Ok(())
    }
}

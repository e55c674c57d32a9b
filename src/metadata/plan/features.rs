//! Finalized feature levels (KIP-584).
//!
//! Key invariant: a level lies within what this broker supports; 0 takes a feature away.

use super::{Mutation, PlanInputs, Planned};
use crate::metadata::{Command, Image, Reason, Refusal};

/// Changes feature levels, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateFeatures {
    pub changes: Vec<FeatureChange>,
    /// What this broker supports: name, lowest and highest level.
    pub supported: Vec<(String, i16, i16)>,
    pub validate_only: bool,
}

/// A feature and the level that it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureChange {
    pub name: String,
    pub level: i16,
    /// Whether the level may become lower.
    pub downgrade_allowed: bool,
}

impl Mutation for UpdateFeatures {
    type Outcome = ();

    fn plan(self, image: &Image, _inputs: &mut PlanInputs<'_>) -> Result<Planned<()>, Refusal> {
        let mut commands = Vec::new();
        for change in &self.changes {
            let current = image.cluster().features.get(&change.name).copied().unwrap_or(0);
            self.check(change, current)?;
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
    fn check(&self, change: &FeatureChange, current: i16) -> Result<(), Refusal> {
        let FeatureChange { name, level, downgrade_allowed } = change;
        let refuse = |why: String| {
            let message = format!("Invalid update version {level} for feature {name}. {why}");
            Err(Refusal::new(Reason::InvalidUpdateVersion, message))
        };
        let Some((_, lowest, highest)) = self.supported.iter().find(|(supported, _, _)| supported == name)
        else {
            return refuse("Local controller does not support this feature.".to_owned());
        };
        if *level != 0 && (level < lowest || level > highest) {
            return refuse(format!("Local controller only supports versions {lowest}-{highest}"));
        }
        if *level < current && !downgrade_allowed {
            let why = "Can't downgrade the version of this feature without setting the upgrade type to either safe \
                       or unsafe downgrade.";
            return refuse(why.to_owned());
        }
        Ok(())
    }
}

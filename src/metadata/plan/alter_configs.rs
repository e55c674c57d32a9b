//! Changing settings: whole (AlterConfigs) or one by one (IncrementalAlterConfigs, KIP-339).
//!
//! Key invariant: the change is computed here, on the controller, from the settings as they stand, so two clients that
//! append to the same list both take effect. What a value means is `ConfigRules`' to judge.

use std::collections::BTreeMap;

use super::{Mutation, PlanInputs, Planned};
use crate::metadata::{
    CONFIG_RESOURCES_MAX, CONFIG_VALUE_BYTES_MAX, Command, ConfigResource, Image, Reason, Refusal,
    SETTINGS_PER_RESOURCE_MAX, Settings,
};

/// Changes settings; the outcome has one entry per resource, in the request's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    pub resources: Vec<(ConfigResource, ConfigChange)>,
    /// Checks and answers as if settings were changed, without changing them.
    pub validate_only: bool,
}

/// How the settings of one resource change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// They become exactly these.
    Replace(Settings),
    /// Each operation changes one of them.
    Incremental(Vec<ConfigOperation>),
}

/// One operation on one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigOperation {
    pub name: String,
    pub operation: Operation,
    pub value: Option<String>,
}

/// The operations of IncrementalAlterConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Set,
    Delete,
    /// Adds to a list what it does not hold yet.
    Append,
    /// Takes out of a list.
    Subtract,
}

impl Mutation for AlterConfigs {
    type Outcome = Vec<(ConfigResource, Result<(), Refusal>)>;

    fn plan(self, image: &Image, inputs: &mut PlanInputs<'_>) -> Result<Planned<Self::Outcome>, Refusal> {
        let mut commands = Vec::new();
        let mut outcome = Vec::with_capacity(self.resources.len());
        let mut configured = image.configured().count();
        for (resource, change) in self.resources {
            let answer = plan_resource(image, inputs, &resource, &change).and_then(|command| {
                configured += 1;
                if configured > CONFIG_RESOURCES_MAX {
                    let message =
                        format!("At most {CONFIG_RESOURCES_MAX} resources have settings of their own.");
                    return Err(Refusal::new(Reason::PolicyViolation, message));
                }
                commands.extend(command);
                Ok(())
            });
            outcome.push((resource, answer));
        }
        if self.validate_only {
            commands.clear();
        }
        Ok(Planned { commands, outcome })
    }
}

/// The command that changes one resource; `None` if nothing changes.
fn plan_resource(
    image: &Image,
    inputs: &PlanInputs<'_>,
    resource: &ConfigResource,
    change: &ConfigChange,
) -> Result<Option<Command>, Refusal> {
    if let ConfigResource::Topic(name) = resource
        && image.topic(name).is_none()
    {
        let message = format!("The topic '{name}' does not exist.");
        return Err(Refusal::new(Reason::UnknownTopicOrPartition, message));
    }
    let current = image.config(resource);
    let wanted = inputs.rules.alter(resource, current, change)?;
    check_sizes(&wanted, CONFIG_VALUE_BYTES_MAX)?;
    let settings = difference(current, &wanted);
    Ok((!settings.is_empty()).then(|| Command::SetConfigs { resource: resource.clone(), settings }))
}

/// What leads from `current` to `wanted`.
fn difference(current: &Settings, wanted: &Settings) -> BTreeMap<String, Option<String>> {
    let gone = current.keys().filter(|name| !wanted.contains_key(*name)).map(|name| (name.clone(), None));
    let set = wanted.iter().filter(|(name, value)| current.get(*name) != Some(*value));
    gone.chain(set.map(|(name, value)| (name.clone(), Some(value.clone())))).collect()
}

/// Refuses settings beyond the bounds of what a resource may hold.
pub(super) fn check_sizes(settings: &Settings, value_bytes_max: usize) -> Result<(), Refusal> {
    if settings.len() > SETTINGS_PER_RESOURCE_MAX {
        let message = format!("A resource has at most {SETTINGS_PER_RESOURCE_MAX} settings.");
        return Err(Refusal::new(Reason::InvalidConfig, message));
    }
    match settings.iter().find(|(name, value)| value.len() > value_bytes_max || name.len() > value_bytes_max)
    {
        None => Ok(()),
        Some((name, _)) => {
            let shown: String = name.chars().take(100).collect();
            let message = format!("The configuration {shown} is longer than {value_bytes_max} bytes.");
            Err(Refusal::new(Reason::InvalidConfig, message))
        }
    }
}

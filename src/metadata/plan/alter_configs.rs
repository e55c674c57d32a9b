//! Changing settings: whole (AlterConfigs) or one by one (IncrementalAlterConfigs, KIP-339).
//!
//! Key invariant: the change is computed here, on the controller, from the settings as they stand, so two clients that
//! append to the same list both take effect. What a value means is `config`'s to judge.

use std::collections::BTreeMap;

use super::{Mutation, PlanInputs, Planned, effective, refused};
use crate::config::{
    BrokerLevel, BrokerSettings, Change, ResourceKind, VALUE_CHARS_MAX, alter_incremental, validate_broker,
    validate_client_metrics, validate_group, validate_topic,
};
use crate::metadata::{
    CONFIG_RESOURCES_MAX, Command, ConfigResource, Image, Reason, Refusal, SETTINGS_PER_RESOURCE_MAX,
    Settings,
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
    Incremental(Vec<Change>),
}

impl Mutation for AlterConfigs {
    type Outcome = Vec<(ConfigResource, Result<(), Refusal>)>;

    fn plan(self, image: &Image, inputs: &mut PlanInputs<'_>) -> Result<Planned<Self::Outcome>, Refusal> {
        let mut commands = Vec::new();
        let mut outcome = Vec::with_capacity(self.resources.len());
        let mut configured = image.configured().count();
        let broker = effective(inputs.settings, image);
        for (resource, change) in self.resources {
            let answer = plan_resource(image, &broker, &resource, &change).and_then(|command| {
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
    broker: &BrokerSettings,
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
    let wanted = match change {
        ConfigChange::Replace(settings) => settings.clone(),
        ConfigChange::Incremental(changes) => {
            alter_incremental(kind_of(resource), current, changes).map_err(refused)?
        }
    };
    check_sizes(&wanted)?;
    validate(broker, resource, &wanted)?;
    let settings = difference(current, &wanted);
    Ok((!settings.is_empty()).then(|| Command::SetConfigs { resource: resource.clone(), settings }))
}

/// What leads from `current` to `wanted`.
fn difference(current: &Settings, wanted: &Settings) -> BTreeMap<String, Option<String>> {
    let gone = current.keys().filter(|name| !wanted.contains_key(*name)).map(|name| (name.clone(), None));
    let set = wanted.iter().filter(|(name, value)| current.get(*name) != Some(*value));
    gone.chain(set.map(|(name, value)| (name.clone(), Some(value.clone())))).collect()
}

/// Checks all settings of a resource as they would be.
fn validate(broker: &BrokerSettings, resource: &ConfigResource, wanted: &Settings) -> Result<(), Refusal> {
    let result = match resource {
        ConfigResource::Topic(_) => validate_topic(wanted, broker),
        ConfigResource::Broker(_) => validate_broker(wanted, BrokerLevel::Broker, broker),
        ConfigResource::BrokerDefault => validate_broker(wanted, BrokerLevel::Cluster, broker),
        ConfigResource::ClientMetrics(name) => validate_client_metrics(name, wanted),
        ConfigResource::Group(_) => validate_group(wanted, broker),
        // Only the broker whose loggers they are knows their names; its handler has checked them.
        ConfigResource::BrokerLogger(_) => Ok(()),
    };
    result.map_err(refused)
}

fn kind_of(resource: &ConfigResource) -> ResourceKind {
    match resource {
        ConfigResource::Topic(_) => ResourceKind::Topic,
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => ResourceKind::Broker,
        ConfigResource::BrokerLogger(_) => ResourceKind::BrokerLogger,
        ConfigResource::ClientMetrics(_) => ResourceKind::ClientMetrics,
        ConfigResource::Group(_) => ResourceKind::Group,
    }
}

/// Refuses settings beyond the bounds of what a resource may hold.
pub(super) fn check_sizes(settings: &Settings) -> Result<(), Refusal> {
    if settings.len() > SETTINGS_PER_RESOURCE_MAX {
        let message = format!("A resource has at most {SETTINGS_PER_RESOURCE_MAX} settings.");
        return Err(Refusal::new(Reason::InvalidConfig, message));
    }
    let too_long = |text: &String| text.encode_utf16().count() > VALUE_CHARS_MAX;
    if settings.iter().any(|(name, value)| too_long(name) || too_long(value)) {
        let message = format!(
            "The configuration value cannot be added because it exceeds the maximum value size of \
             {VALUE_CHARS_MAX} bytes."
        );
        return Err(Refusal::new(Reason::InvalidConfig, message));
    }
    Ok(())
}

//! The settings of groups (KIP-848, KIP-932, KIP-1071): their defaults from the broker and the bounds it puts on them.
//!
//! Key invariant: a group's settings are valid together with the broker's defaults for those it does not set.

use super::broker::BrokerSettings;
use super::definition::{Definition, group_scope};
use super::value::Value;
use super::{ConfigError, Overrides};
use std::collections::HashMap;

/// A setting, the broker setting that bounds it, and on which side.
struct Bound {
    group: &'static str,
    broker: &'static str,
    lower: bool,
}

const fn at_least(group: &'static str, broker: &'static str) -> Bound {
    Bound { group, broker, lower: true }
}

const fn at_most(group: &'static str, broker: &'static str) -> Bound {
    Bound { group, broker, lower: false }
}

/// In the order in which Kafka checks them.
const BOUNDS: [Bound; 15] = [
    at_least("consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"),
    at_most("consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
    at_least("consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms"),
    at_most("consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    at_least("share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms"),
    at_most("share.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"),
    at_least("share.session.timeout.ms", "group.share.min.session.timeout.ms"),
    at_most("share.session.timeout.ms", "group.share.max.session.timeout.ms"),
    at_least("share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms"),
    at_most("share.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"),
    at_least("streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms"),
    at_most("streams.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"),
    at_least("streams.session.timeout.ms", "group.streams.min.session.timeout.ms"),
    at_most("streams.session.timeout.ms", "group.streams.max.session.timeout.ms"),
    at_most("streams.num.standby.replicas", "group.streams.max.standby.replicas"),
];

/// A session must outlast the interval between two heartbeats.
const ORDERED: [(&str, &str); 3] = [
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

/// Settings whose default is a broker setting; Kafka 4.2 leaves those of streams groups at their own.
const FROM_BROKER: [(&str, &str); 5] = [
    ("consumer.session.timeout.ms", "group.consumer.session.timeout.ms"),
    ("consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "group.share.session.timeout.ms"),
    ("share.heartbeat.interval.ms", "group.share.heartbeat.interval.ms"),
    ("share.record.lock.duration.ms", "group.share.record.lock.duration.ms"),
];

/// What a group has if it does not set this: the broker's value, or the setting's own default.
pub(super) fn default_of(definition: &Definition, broker: &BrokerSettings) -> Option<Value> {
    match FROM_BROKER.iter().find(|(group, _)| *group == definition.name) {
        Some((_, name)) => broker.layers().value(name),
        None => definition.default_value(),
    }
}

/// Checks all of a group's overrides as they would be after a change.
pub fn validate_group(overrides: &Overrides, broker: &BrokerSettings) -> Result<(), ConfigError> {
    if let Some(name) = overrides.keys().find(|name| group_scope().get(name).is_none()) {
        return Err(ConfigError::Config(format!("Unknown group config name: {name}")));
    }
    let mut values = HashMap::new();
    for definition in group_scope().all() {
        let value = match overrides.get(definition.name) {
            Some(raw) => Some(definition.parse(raw)?),
            None => default_of(definition, broker),
        };
        if let Some(Value::Integer(value)) = value {
            values.insert(definition.name, value);
        }
    }
    for Bound { group, broker: bound, lower } in BOUNDS {
        let (value, limit) = (values.get(group).copied().unwrap_or_default(), broker.layers().integer(bound));
        if lower && value < limit {
            return Err(ConfigError::Config(format!("{group} must be greater than or equal to {bound}")));
        }
        if !lower && value > limit {
            return Err(ConfigError::Config(format!("{group} must be less than or equal to {bound}")));
        }
    }
    for (session, heartbeat) in ORDERED {
        if values.get(session) <= values.get(heartbeat) {
            return Err(ConfigError::Config(format!("{session} must be greater than {heartbeat}")));
        }
    }
    Ok(())
}

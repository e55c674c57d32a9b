//! Broker settings that change while the broker runs (KIP-226): which may, at which level, and to what.
//!
//! Key invariant: overrides that pass here give valid settings together with those given at start. All refusals are
//! INVALID_REQUEST, as Kafka's are (KAFKA-13609). Applying a change is left to who reads `BrokerSettings`.

use super::broker::BrokerSettings;
use super::definition::{Update, broker_scope, quota_scope};
use super::layers::Layers;
use super::synonyms::listener_override;
use super::value::Value;
use super::{ConfigError, Overrides, rules};

/// Settings of key and trust stores: they change per listener only.
const PER_LISTENER: [&str; 10] = [
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Settings of one listener that may be changed for the whole cluster.
const CLUSTER_LEVEL_OF_LISTENER: [&str; 3] =
    ["max.connections", "max.connection.creation.rate", "num.network.threads"];

/// Thread counts, which may at most double or halve at once.
const THREADS: [&str; 4] =
    ["num.io.threads", "num.replica.fetchers", "num.recovery.threads.per.data.dir", "background.threads"];

/// Scala prints a set of up to this many elements under another name than a larger one.
const SMALL_SET_MAX: usize = 4;

/// Which resource is altered: this broker, or the default of all brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerLevel {
    Cluster,
    Broker,
}

/// Checks all overrides of a level as they would be after a change.
pub fn validate_broker(
    overrides: &Overrides,
    level: BrokerLevel,
    broker: &BrokerSettings,
) -> Result<(), ConfigError> {
    check_names(overrides)?;
    check_values(overrides)?;
    if level == BrokerLevel::Cluster {
        refuse(
            overrides.keys().filter(|name| is_per_broker(name)),
            "Cannot update these configs at default cluster level, broker id must be specified",
        )?;
    }
    let current = broker.layers();
    let mut layers = current.clone();
    match level {
        BrokerLevel::Cluster => layers.cluster = overrides.clone(),
        BrokerLevel::Broker => layers.own = overrides.clone(),
    }
    rules::check(&layers).map_err(ConfigError::into_request)?;
    check_change(current, &layers)
}

fn check_names(overrides: &Overrides) -> Result<(), ConfigError> {
    let fixed = |name: &&String| broker_scope().get(name).is_some_and(|d| d.update == Update::Restart);
    refuse(overrides.keys().filter(fixed), "Cannot update these configs dynamically")?;
    let mut unprefixed = overrides.keys().filter(|name| PER_LISTENER.contains(&name.as_str())).peekable();
    if unprefixed.peek().is_none() {
        return Ok(());
    }
    let names: Vec<&str> = unprefixed.map(String::as_str).collect();
    Err(ConfigError::Request(format!(
        "These security configs can be dynamically updated only per-listener using the listener prefix: HashSet({})",
        names.join(", ")
    )))
}

fn refuse<'a>(names: impl Iterator<Item = &'a String>, why: &str) -> Result<(), ConfigError> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let set = match names.len() {
        0 => return Ok(()),
        1..=SMALL_SET_MAX => "Set",
        _ => "HashSet",
    };
    Err(ConfigError::Request(format!("{why}: {set}({})", names.join(", "))))
}

/// Types and ranges, in Kafka's order: throttles first, then the table's. Unknown names are not looked at.
fn check_values(overrides: &Overrides) -> Result<(), ConfigError> {
    let base = |name: &str| listener_override(name).map_or_else(|| name.to_owned(), str::to_owned);
    let given: Vec<(String, &String)> = overrides.iter().map(|(name, raw)| (base(name), raw)).collect();
    for definition in quota_scope().all().iter().chain(broker_scope().all()) {
        for (_, raw) in given.iter().filter(|(name, _)| name == definition.name) {
            definition.parse(raw).map_err(ConfigError::into_request)?;
        }
    }
    Ok(())
}

fn is_per_broker(name: &str) -> bool {
    match listener_override(name) {
        Some(base) => !CLUSTER_LEVEL_OF_LISTENER.contains(&base),
        None => broker_scope().get(name).is_some_and(|d| d.update == Update::PerBroker),
    }
}

/// Rules about the step from what holds now to what would.
fn check_change(current: &Layers, next: &Layers) -> Result<(), ConfigError> {
    let failed = |why: String| {
        Err(ConfigError::Request(format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {why} for configuration Invalid dynamic \
             configuration"
        )))
    };
    for name in THREADS {
        let (old, new) = (current.integer(name), next.integer(name));
        let prefix = format!("Dynamic thread count update validation failed for {name}={new}");
        if new != old && new < old / 2 {
            return failed(format!("{prefix}, value should be at least half the current value {old}"));
        }
        if new != old && new > old * 2 {
            return failed(format!(
                "{prefix}, value should not be greater than double the current value {old}"
            ));
        }
    }
    for name in ["listeners", "listener.security.protocol.map"] {
        if current.value(name) != next.value(name) {
            return Err(ConfigError::Request(format!("Corelog cannot change {name} while it runs")));
        }
    }
    let topics = next.topic_defaults();
    for (local, total) in
        [("local.retention.ms", "retention.ms"), ("local.retention.bytes", "retention.bytes")]
    {
        let (Some(Value::Integer(local_value)), Some(Value::Integer(total_value))) =
            (topics.get(local), topics.get(total))
        else {
            continue;
        };
        if *total_value < 0 || *local_value == -2 {
            continue;
        }
        let invalid = format!("Invalid value {local_value} for configuration log.{local}");
        if *local_value == -1 {
            return failed(format!(
                "{invalid}: Value must not be -1 as log.{total} value is set as {total_value}."
            ));
        }
        if local_value > total_value {
            return failed(format!(
                "{invalid}: Value must not be more than log.{total} property value: {total_value}"
            ));
        }
    }
    Ok(())
}

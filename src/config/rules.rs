//! The rules between broker settings, and the settings that Corelog refuses.
//!
//! Key invariant: `check` passes for Kafka's defaults and is applied to every combination before it becomes a
//! `BrokerSettings`. Single values are left to `check`.

use super::ConfigError;
use super::broker::ListenerSettings;
use super::definition::{Effect, broker_scope};
use super::endpoint::Endpoint;
use super::layers::{Layers, default_of};
use super::value::{Value, invalid};
use crate::model::BrokerId;

/// Smallest cleaner buffer that one cleaner thread can work with.
const DEDUPE_BYTES_PER_THREAD_MIN: i64 = 1024 * 1024;

/// Checks the rules between settings. Messages are Kafka's where Kafka has the rule.
pub(super) fn check(layers: &Layers) -> Result<(), ConfigError> {
    refused(layers)?;
    node_id(layers)?;
    for (holds, message) in requirements(layers) {
        if !holds {
            return Err(ConfigError::Config(message));
        }
    }
    let (lag_min, lag_max) = (
        layers.integer("log.cleaner.min.compaction.lag.ms"),
        layers.integer("log.cleaner.max.compaction.lag.ms"),
    );
    if lag_min > lag_max {
        return Err(ConfigError::Config(format!(
            "conflict topic config setting min.compaction.lag.ms ({lag_min}) > max.compaction.lag.ms ({lag_max})"
        )));
    }
    listeners(layers).and(data_dir(layers).map(|_| ()))
}

fn refused(layers: &Layers) -> Result<(), ConfigError> {
    for definition in broker_scope().all() {
        let default = default_of(definition).map(str::to_owned);
        if definition.effect == Effect::Refused && layers.text(definition.name) != default {
            let shown = if definition.sensitive() { None } else { layers.text(definition.name) };
            let why = "Corelog does not support it, and leaving it out of account would be unsafe";
            return Err(invalid(definition.name, shown.unwrap_or_else(|| "(hidden)".to_owned()), why));
        }
    }
    Ok(())
}

fn node_id(layers: &Layers) -> Result<(), ConfigError> {
    for name in ["node.id", "broker.id"] {
        let id = layers.integer(name);
        if id >= i64::from(BrokerId::PRESENTED_FIRST.get()) {
            let why =
                format!("Ids from {} on are those of shards that appear as nodes", BrokerId::PRESENTED_FIRST);
            return Err(invalid(name, id, &why));
        }
    }
    if !layers.is_set("broker.id") {
        return Ok(());
    }
    let (node, broker) = (layers.integer("node.id"), layers.integer("broker.id"));
    if broker < 0 {
        return Err(invalid("broker.id", broker, "Value must be at least 0"));
    }
    if layers.is_set("node.id") && node != broker {
        return Err(ConfigError::Config(
            "You must set `node.id` to the same value as `broker.id`.".to_owned(),
        ));
    }
    Ok(())
}

fn requirements(layers: &Layers) -> Vec<(bool, String)> {
    let number = |name| layers.integer(name);
    let optional = |name| match layers.value(name) {
        Some(Value::Integer(value)) => Some(value),
        _ => None,
    };
    let requirement = |holds: bool, message: &str| (holds, format!("requirement failed: {message}"));
    let retention = optional("log.retention.ms")
        .or_else(|| optional("log.retention.minutes").map(|minutes| minutes.saturating_mul(60_000)))
        .unwrap_or_else(|| number("log.retention.hours").saturating_mul(3_600_000));
    let wait = number("replica.fetch.wait.max.ms");
    let (idle, delay) =
        (number("connections.max.idle.ms"), number("connection.failed.authentication.delay.ms"));
    let (queued, frame) = (number("queued.max.request.bytes"), number("socket.request.max.bytes"));
    let dedupe_share = number("log.cleaner.dedupe.buffer.size")
        .checked_div(number("log.cleaner.threads"))
        .unwrap_or(i64::MAX);
    let per_ip = number("max.connections.per.ip") > 0
        || layers.text("max.connections.per.ip.overrides").is_some_and(|text| !text.is_empty());
    vec![
        requirement(
            optional("log.roll.ms").is_none_or(|ms| ms >= 1),
            "log.roll.ms must be greater than or equal to 1",
        ),
        requirement(
            optional("log.roll.jitter.ms").is_none_or(|ms| ms >= 0),
            "log.roll.jitter.ms must be greater than or equal to 0",
        ),
        requirement(retention != 0, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"),
        requirement(
            dedupe_share > DEDUPE_BYTES_PER_THREAD_MIN,
            "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
        ),
        requirement(
            wait <= number("replica.socket.timeout.ms"),
            "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary \
             socket timeouts",
        ),
        requirement(
            wait <= number("replica.lag.time.max.ms"),
            "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent \
             frequent changes in ISR",
        ),
        requirement(
            queued <= 0 || queued >= frame,
            "queued.max.request.bytes must be larger or equal to socket.request.max.bytes",
        ),
        requirement(
            per_ip,
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
        ),
        requirement(
            idle < 0 || delay < idle,
            &format!(
                "connection.failed.authentication.delay.ms={delay} should always be less than \
                 connections.max.idle.ms={idle} to prevent failed authentication responses from timing out"
            ),
        ),
    ]
}

/// The one data directory: the first of `log.dirs`, otherwise of `log.dir`.
pub(super) fn data_dir(layers: &Layers) -> Result<String, ConfigError> {
    let name = if layers.is_set("log.dirs") { "log.dirs" } else { "log.dir" };
    match layers.value(name) {
        Some(Value::List(mut directories)) if directories.len() == 1 => Ok(directories.remove(0)),
        Some(value) => Err(invalid(name, value, "Corelog keeps its data in exactly one directory")),
        None => Err(invalid(name, "null", "a data directory is needed")),
    }
}

/// Where the broker listens and what it tells its clients.
pub(super) fn listeners(layers: &Layers) -> Result<ListenerSettings, ConfigError> {
    let listen =
        endpoint(layers, "listeners")?.ok_or_else(|| invalid("listeners", "null", "a listener is needed"))?;
    let advertise = endpoint(layers, "advertised.listeners")?;
    let told = advertise.as_ref().unwrap_or(&listen);
    if told.is_any_address() {
        let message = format!(
            "advertised.listeners cannot use the nonroutable meta-address {}. Use a routable IP address.",
            if told.host.is_empty() { "0.0.0.0" } else { &told.host }
        );
        return Err(ConfigError::Config(message));
    }
    let admin = endpoint(layers, "corelog.admin.listener")?
        .ok_or_else(|| invalid("corelog.admin.listener", "null", "an address is needed"))?;
    let per_shard = layers.text("corelog.advertise").as_deref() == Some("per-shard");
    let first = u16::try_from(layers.integer("corelog.shard.port.first"));
    let shard_port_first = first.ok().filter(|port| *port > 0);
    Ok(ListenerSettings { listen, advertise, admin, per_shard, shard_port_first })
}

fn endpoint(layers: &Layers, name: &str) -> Result<Option<Endpoint>, ConfigError> {
    let Some(value) = layers.value(name) else { return Ok(None) };
    let text = value.to_string();
    if text.contains(',') {
        return Err(invalid(name, text, "Corelog has exactly one listener for clients"));
    }
    text.parse().map(Some).map_err(|why: String| invalid(name, &text, &why))
}

//! Broker settings by where they were set: at start, for the cluster, for this broker; and their effective values.
//!
//! Key invariant: every effective value has the type and satisfies the check of its definition. A dynamic value that
//! does not (a broker of another version may have stored it) is passed over, as Kafka does.

use super::Overrides;
use super::definition::{Definition, broker_scope};
use super::synonyms::{Unit, of_topic_setting};
use super::value::Value;
use std::collections::HashMap;

/// Defaults that differ from Kafka's, with the reason. `docs/configuration.md` lists them.
pub(super) const OWN_DEFAULTS: &[(&str, &str, &str)] = &[
    ("controller.listener.names", "CONTROLLER", "Kafka has no default; Corelog needs no controller listener"),
    (
        "listeners",
        "PLAINTEXT://127.0.0.1:9092",
        "a broker without authentication is not offered to the network unasked",
    ),
    ("log.dir", "data", "`/tmp` is emptied by many systems at start"),
    ("node.id", "1", "Kafka has no default; one broker needs no choice"),
    ("process.roles", "broker,controller", "Kafka has no default; Corelog always has both roles"),
];

/// The default of a broker setting in Corelog: its own where it has one, Kafka's otherwise.
pub(super) fn default_of(definition: &Definition) -> Option<&'static str> {
    match OWN_DEFAULTS.iter().find(|(name, ..)| *name == definition.name) {
        Some((_, value, _)) => Some(value),
        None => definition.default,
    }
}

/// All that was set for a broker.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    /// Given at start by flags, `--set`, environment or file.
    pub(super) fixed: Overrides,
    /// Set while running for all brokers.
    pub(super) cluster: Overrides,
    /// Set while running for this broker.
    pub(super) own: Overrides,
}

impl Layers {
    /// The raw values in order of precedence.
    fn raw<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        [&self.own, &self.cluster, &self.fixed]
            .into_iter()
            .filter_map(move |layer| layer.get(name).map(String::as_str))
    }

    /// The effective value; `None` if it is unset and has no default.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        let definition = broker_scope().get(name)?;
        let set = self.raw(name).find_map(|raw| definition.parse(raw).ok());
        set.or_else(|| {
            let default = default_of(definition)?;
            Some(definition.parse(default).expect("a test parses every default"))
        })
    }

    /// Whether somebody set it.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.raw(name).next().is_some()
    }

    /// The effective value of an INT, SHORT or LONG with a default; 0 for any other.
    pub(super) fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Integer(value)) => value,
            _ => {
                debug_assert!(false, "{name} is not a number with a default");
                0
            }
        }
    }

    /// The effective value of a DOUBLE with a default; 0 for any other.
    pub(super) fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(value)) => value,
            _ => {
                debug_assert!(false, "{name} is not a fraction with a default");
                0.0
            }
        }
    }

    /// The effective value of a BOOLEAN; false for any other.
    pub(super) fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => value,
            _ => {
                debug_assert!(false, "{name} is not a boolean with a default");
                false
            }
        }
    }

    /// The effective value as text, if there is one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_string())
    }

    /// What topics have unless they override it: the broker's value under each topic setting's name.
    pub(super) fn topic_defaults(&self) -> HashMap<&'static str, Value> {
        let mut defaults = HashMap::new();
        for definition in super::topic_scope().all() {
            let value =
                of_topic_setting(definition.name).iter().find_map(|(name, unit)| self.in_unit(name, *unit));
            if let Some(value) = value.or_else(|| definition.default_value()) {
                defaults.insert(definition.name, value);
            }
        }
        defaults
    }

    fn in_unit(&self, name: &str, unit: Unit) -> Option<Value> {
        match self.value(name)? {
            // Any negative time means no limit, which is written -1.
            Value::Integer(count) if unit != Unit::Same && count < 0 => Some(Value::Integer(-1)),
            Value::Integer(count) => Some(Value::Integer(count.saturating_mul(unit.millis()))),
            value => Some(value),
        }
    }
}

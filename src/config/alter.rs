//! IncrementalAlterConfigs (KIP-339): set, delete, append to and subtract from the overrides of a resource.
//!
//! Key invariant: the result holds what was there plus the changes, nothing else; lists keep their order. Validation of
//! the result is left to `topic`, `dynamic`, `group` and `client_metrics`.

use super::definition::{broker_scope, client_metrics_scope, group_scope, topic_scope};
use super::layers::default_of;
use super::resource::ResourceKind;
use super::value::Kind;
use super::{ConfigError, Definition, Overrides};

/// The longest value that can be stored, in UTF-16 units as Java counts them.
pub const VALUE_CHARS_MAX: usize = i16::MAX as usize;

/// What to do with a setting. The numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    /// The operation of a number from the wire.
    pub const fn from_wire(wire: i8) -> Option<Self> {
        match wire {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Delete => "DELETE",
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        }
    }
}

/// One change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    pub operation: Operation,
    /// `None` only for `Delete`.
    pub value: Option<String>,
}

/// The overrides of a resource after `changes`.
///
/// Appending and subtracting start from the default where nothing is set, are for lists only, and never make an
/// element occur twice. Subtracting removes the first occurrence.
pub fn alter_incremental(
    kind: ResourceKind,
    current: &Overrides,
    changes: &[Change],
) -> Result<Overrides, ConfigError> {
    let mut altered = current.clone();
    for change in changes {
        let value = change.value.as_deref().unwrap_or_default();
        match change.operation {
            Operation::Set => {
                altered.insert(change.name.clone(), value.to_owned());
            }
            Operation::Delete => {
                altered.remove(&change.name);
            }
            Operation::Append | Operation::Subtract => {
                let elements = edited(kind, altered.get(&change.name), change, value)?;
                altered.insert(change.name.clone(), elements.join(","));
            }
        }
    }
    check_lengths(&altered)?;
    Ok(altered)
}

/// Refuses values that are too long to be stored.
pub(super) fn check_lengths(overrides: &Overrides) -> Result<(), ConfigError> {
    if overrides.values().any(|value| value.encode_utf16().count() > VALUE_CHARS_MAX) {
        return Err(ConfigError::Config(format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {VALUE_CHARS_MAX} \
             bytes."
        )));
    }
    Ok(())
}

fn edited(
    kind: ResourceKind,
    current: Option<&String>,
    change: &Change,
    value: &str,
) -> Result<Vec<String>, ConfigError> {
    let definition = definition(kind, &change.name).filter(|definition| definition.kind == Kind::List);
    let Some(definition) = definition else {
        let (verb, name) = (change.operation.name(), &change.name);
        let message = match kind {
            ResourceKind::Broker => {
                format!("Config value {} is not allowed for config key: {name}", verb.to_lowercase())
            }
            _ => format!("Can't {verb} to key {name} because its type is not LIST."),
        };
        return Err(ConfigError::Config(message));
    };
    let default = if kind == ResourceKind::Broker { default_of(definition) } else { definition.default };
    let start = current.map(String::as_str).or(default).unwrap_or_default();
    let mut elements: Vec<String> =
        start.split(',').filter(|element| !element.is_empty()).map(str::to_owned).collect();
    for element in java_split(value) {
        let at = elements.iter().position(|known| known == element);
        match (change.operation, at) {
            (Operation::Append, None) => elements.push(element.to_owned()),
            (Operation::Subtract, Some(at)) => {
                elements.remove(at);
            }
            _ => {}
        }
    }
    Ok(elements)
}

fn definition(kind: ResourceKind, name: &str) -> Option<&'static Definition> {
    match kind {
        ResourceKind::Topic => topic_scope().get(name),
        ResourceKind::Broker => broker_scope().get(name),
        ResourceKind::Group => group_scope().get(name),
        ResourceKind::ClientMetrics => client_metrics_scope().get(name),
        ResourceKind::BrokerLogger => None,
    }
}

/// Java's `split(",")`: empty parts at the end vanish, but an empty text is one empty part.
fn java_split(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(',').collect();
    if text.is_empty() {
        return parts;
    }
    while parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    parts
}

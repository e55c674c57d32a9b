//! From what the operator gave to `BrokerSettings`: flags, `--set`, environment, file, defaults, in this order.
//!
//! Key invariant: nothing that was given is ignored: a name that is not a setting, and a value that is not valid, are
//! errors that say where they stand. Reading files and the environment is left to `cli`.

use super::broker::BrokerSettings;
use super::definition::{broker_scope, topic_scope};
use super::layers::Layers;
use super::synonyms::{listener_override, of_topic_setting};
use super::{ConfigError, Overrides};

/// What every environment variable that is a setting starts with.
const ENVIRONMENT_PREFIX: &str = "CORELOG_";

/// Variables with the prefix that mean something else than a setting of the broker.
pub(super) const ENVIRONMENT_RESERVED: [&str; 3] =
    ["CORELOG_CONFIG", "CORELOG_LOG", "CORELOG_BOOTSTRAP_SERVER"];

/// Short names, as the flags of `corelog serve` have them, and the settings that they give.
pub(super) const SHORT_NAMES: [(&str, &str); 5] = [
    ("data.dir", "log.dirs"),
    ("listen", "listeners"),
    ("advertise", "advertised.listeners"),
    ("admin", "corelog.admin.listener"),
    ("shards", "corelog.shards"),
];

/// How unlike a known name may be and still be suggested: Jaro-Winkler, 0 to 1.
const SIMILARITY_MIN: f64 = 0.8;

/// The flags of `corelog serve` that are settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub data_dir: Option<String>,
    pub listen: Option<String>,
    pub advertise: Option<String>,
    pub admin: Option<String>,
    pub shards: Option<String>,
}

/// All that was given, each source by itself. An earlier field wins over a later one.
#[derive(Clone, Debug, Default)]
pub struct Sources<'a> {
    pub flags: Flags,
    /// `--set NAME=VALUE`, in order; a later one wins.
    pub set: &'a [(String, String)],
    /// The whole environment; only `CORELOG_…` is looked at.
    pub environment: &'a [(String, String)],
    /// The text of the TOML file.
    pub file: Option<&'a str>,
}

/// Why the broker cannot start with what was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No setting has that name.
    #[error("{place}: {name} is not a setting{}", suggestion(.nearest))]
    Unknown { place: String, name: String, nearest: Option<String> },
    /// The value is not valid for the setting.
    #[error("{place}: {message}")]
    Invalid { place: String, message: String },
    /// The settings contradict each other, or Corelog does not support one.
    #[error("{0}")]
    Contradiction(String),
    /// The file is not TOML.
    #[error("the configuration file is not valid TOML: {0}")]
    File(String),
}

fn suggestion(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => "; docs/configuration.md lists all".to_owned(),
    }
}

impl BrokerSettings {
    /// Merges and checks everything that was given.
    pub fn load(sources: &Sources<'_>) -> Result<Self, LoadError> {
        let mut fixed = Overrides::new();
        for (place, name, value) in given(sources)? {
            insert(&mut fixed, &place, &name, &value)?;
        }
        // The older and the newer name of one setting: who gives either gets both described.
        for (name, other) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
            if let (Some(value), None) = (fixed.get(name).cloned(), fixed.get(other)) {
                fixed.insert(other.to_owned(), value);
            }
        }
        Self::from_layers(Layers { fixed, ..Layers::default() }).map_err(|error| {
            let message = error.to_string();
            let bare = message.strip_prefix("requirement failed: ").unwrap_or(&message);
            LoadError::Contradiction(bare.to_owned())
        })
    }
}

/// Place, name and value of all that was given, the weakest source first.
fn given(sources: &Sources<'_>) -> Result<Vec<(String, String, String)>, LoadError> {
    let mut all = Vec::new();
    if let Some(text) = sources.file {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| LoadError::File(hinted(&error)))?;
        flatten("", &table, &mut all)?;
    }
    for (variable, value) in sources.environment {
        if let Some(rest) = variable.strip_prefix(ENVIRONMENT_PREFIX)
            && !ENVIRONMENT_RESERVED.contains(&variable.as_str())
        {
            let name = rest.to_ascii_lowercase().replace('_', ".");
            all.push((format!("environment variable {variable}"), name, value.clone()));
        }
    }
    for (name, value) in sources.set {
        all.push((format!("--set {name}"), name.clone(), value.clone()));
    }
    let Flags { data_dir, listen, advertise, admin, shards } = &sources.flags;
    for (flag, name, value) in [
        ("--data-dir", "log.dirs", data_dir),
        ("--listen", "listeners", listen),
        ("--advertise", "advertised.listeners", advertise),
        ("--admin", "corelog.admin.listener", admin),
        ("--shards", "corelog.shards", shards),
    ] {
        if let Some(value) = value {
            all.push((flag.to_owned(), name.to_owned(), value.clone()));
        }
    }
    Ok(all)
}

/// A name that is also the start of another (`max.connections`) cannot be both value and table in TOML.
fn hinted(error: &toml::de::Error) -> String {
    let message = error.to_string();
    if message.contains("dotted key") || message.contains("duplicate key") {
        return format!("{message}\nwrite names in quotes, as in \"max.connections\" = 100");
    }
    message
}

fn flatten(
    prefix: &str,
    table: &toml::Table,
    all: &mut Vec<(String, String, String)>,
) -> Result<(), LoadError> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, all)?,
            value => {
                let place = "configuration file".to_owned();
                let text = scalar(value).ok_or_else(|| LoadError::Invalid {
                    place: place.clone(),
                    message: format!("{name} must be a string, a number, true or false, or a list of these"),
                })?;
                all.push((place, name, text));
            }
        }
    }
    Ok(())
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(elements) => {
            let flat =
                |element| if matches!(element, &toml::Value::Array(_)) { None } else { scalar(element) };
            elements.iter().map(flat).collect::<Option<Vec<_>>>().map(|elements| elements.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn insert(fixed: &mut Overrides, place: &str, name: &str, value: &str) -> Result<(), LoadError> {
    let Some(known) = known_name(name) else {
        return Err(LoadError::Unknown {
            place: place.to_owned(),
            name: name.to_owned(),
            nearest: nearest(name),
        });
    };
    let value = match known.as_str() {
        "listeners" | "advertised.listeners" if !value.contains("://") => {
            format!("PLAINTEXT://{}", value.trim())
        }
        _ => value.to_owned(),
    };
    let definition = broker_scope().get(listener_override(&known).unwrap_or(&known));
    let parsed = definition.map(|definition| definition.parse(&value));
    if let Some(Err(error)) = parsed {
        let (ConfigError::Config(message) | ConfigError::Request(message)) = error;
        return Err(LoadError::Invalid { place: place.to_owned(), message });
    }
    fixed.insert(known, value);
    Ok(())
}

/// The setting that `name` means: as it is, a short name, with dashes for dots, or without `corelog.`.
fn known_name(name: &str) -> Option<String> {
    let dotted = name.replace(['-', '_'], ".");
    for name in [name, &dotted] {
        let known = broker_scope().get(name).is_some()
            || listener_override(name).is_some_and(|base| broker_scope().get(base).is_some());
        if known {
            return Some(name.to_owned());
        }
        if let Some((_, setting)) = SHORT_NAMES.iter().find(|(short, _)| *short == name) {
            return Some((*setting).to_owned());
        }
        let own = format!("corelog.{name}");
        if broker_scope().get(&own).is_some() {
            return Some(own);
        }
    }
    None
}

/// The known name that `name` was probably meant to be. A topic setting's name leads to the broker setting behind it.
fn nearest(name: &str) -> Option<String> {
    if topic_scope().get(name).is_some() {
        return of_topic_setting(name).first().map(|(broker, _)| (*broker).to_owned());
    }
    let known = broker_scope().all().iter().filter(|d| !d.internal).map(|d| d.name);
    let names = known.chain(SHORT_NAMES.iter().map(|(short, _)| *short));
    names
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.to_owned())
}

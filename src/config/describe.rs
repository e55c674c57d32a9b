//! What DescribeConfigs says: each setting with its effective value, its source and its synonyms (KIP-133, KIP-226).
//!
//! Key invariant: an entry's value is the effective one in canonical form, or `None` for what must not be shown;
//! synonyms carry values as they were given, the one that holds first. Which settings a request asked for, and whether
//! it wants synonyms and documentation, is left to `handlers`.

use super::broker::BrokerSettings;
use super::definition::{
    Definition, Update, broker_scope, client_metrics_scope, group_scope, quota_scope, topic_scope,
};
use super::layers::default_of;
use super::synonyms::{of_broker_setting, of_topic_setting};
use super::value::{Kind, Value};
use super::{Overrides, TopicOverrides};

/// Where a value comes from. The numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic,
    Broker,
    Cluster,
    Static,
    Default,
    Logger,
    ClientMetrics,
    Group,
}

impl Source {
    /// The number in a DescribeConfigs response.
    pub const fn wire(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::Broker => 2,
            Self::Cluster => 3,
            Self::Static => 4,
            Self::Default => 5,
            Self::Logger => 6,
            Self::ClientMetrics => 7,
            Self::Group => 8,
        }
    }
}

/// One place where a setting, or one that it takes its default from, has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    pub value: Option<String>,
    pub source: Source,
}

/// One described setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// `None` if unset without a default, or sensitive.
    pub value: Option<String>,
    pub source: Source,
    pub sensitive: bool,
    pub read_only: bool,
    /// In order of precedence.
    pub synonyms: Vec<Synonym>,
    /// `None` for a name that is not a setting of Kafka's or Corelog's.
    pub kind: Option<Kind>,
    pub documentation: Option<&'static str>,
}

/// Every setting of a topic with these overrides.
pub fn describe_topic(overrides: &TopicOverrides, broker: &BrokerSettings) -> Vec<Entry> {
    topic_entries(overrides, broker, |definition, own| {
        let mut synonyms: Vec<Synonym> = own.into_iter().collect();
        if let Some((first, _)) = of_topic_setting(definition.name).first() {
            synonyms.extend(broker_synonyms(first, definition.sensitive(), broker));
        }
        synonyms
    })
}

/// The settings of a new topic as CreateTopics answers them (KIP-525), sorted by name.
///
/// Unlike DescribeConfigs this knows that a value given in hours or minutes is the topic's default.
pub fn describe_created_topic(overrides: &TopicOverrides, broker: &BrokerSettings) -> Vec<Entry> {
    let mut entries = topic_entries(overrides, broker, |definition, own| {
        if own.is_some() {
            return own.into_iter().collect();
        }
        let layers = broker.layers();
        let set = [
            (&layers.own, Source::Broker),
            (&layers.cluster, Source::Cluster),
            (&layers.fixed, Source::Static),
        ];
        let names = of_topic_setting(definition.name);
        let found = set.into_iter().find_map(|(layer, source)| {
            let (name, _) = names.iter().find(|(name, _)| layer.contains_key(*name))?;
            Some(Synonym { name: (*name).to_owned(), value: None, source })
        });
        found.into_iter().collect()
    });
    for entry in &mut entries {
        entry.synonyms.clear();
        // CreateTopics shows an override as it was given, DescribeConfigs in canonical form.
        if let Some(given) = overrides.get(&entry.name).filter(|_| !entry.sensitive) {
            entry.value = Some(given.clone());
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn topic_entries(
    overrides: &TopicOverrides,
    broker: &BrokerSettings,
    synonyms: impl Fn(&Definition, Option<Synonym>) -> Vec<Synonym>,
) -> Vec<Entry> {
    let shown = topic_scope().all().iter().filter(|d| !d.internal || overrides.contains_key(d.name));
    shown
        .map(|definition| {
            let own = overrides.get(definition.name).and_then(|raw| definition.parse(raw).ok());
            let value =
                own.as_ref().or_else(|| broker.topic_values().get(definition.name)).map(Value::to_string);
            let own = own.map(|own| Synonym {
                name: definition.name.to_owned(),
                value: Some(own.to_string()),
                source: Source::Topic,
            });
            entry(definition, value, synonyms(definition, own), false)
        })
        .collect()
}

/// Every setting of this broker, in a cluster of `brokers`.
pub fn describe_broker(broker: &BrokerSettings, brokers: usize) -> Vec<Entry> {
    let layers = broker.layers();
    let set = |name: &str| layers.is_set(name);
    let known = broker_scope().all().iter().filter(|d| !d.internal || set(d.name));
    let mut entries: Vec<Entry> = known
        .map(|definition| {
            let capped = broker.internal_topics.capped(definition.name, brokers);
            let value = capped.map(|value| value.to_string()).or_else(|| layers.text(definition.name));
            let synonyms = broker_synonyms(definition.name, definition.sensitive(), broker);
            entry(definition, value, synonyms, definition.update == Update::Restart)
        })
        .collect();
    let others = [&layers.own, &layers.cluster, &layers.fixed].into_iter().flat_map(Overrides::keys);
    let mut others: Vec<&String> = others.filter(|name| broker_scope().get(name).is_none()).collect();
    others.sort();
    others.dedup();
    entries.extend(others.into_iter().map(|name| other_entry(name, broker)));
    entries
}

/// What was set for all brokers of the cluster while running: nothing else.
pub fn describe_cluster(broker: &BrokerSettings) -> Vec<Entry> {
    let cluster = &broker.layers().cluster;
    cluster
        .iter()
        .map(|(name, raw)| {
            let mut entry = match broker_scope().get(name) {
                Some(definition) => {
                    let synonyms = broker_synonyms(name, definition.sensitive(), broker);
                    entry(definition, Some(raw.clone()), synonyms, definition.update == Update::Restart)
                }
                None => other_entry(name, broker),
            };
            entry.synonyms.retain(|synonym| synonym.source == Source::Cluster);
            entry.source = Source::Cluster;
            if !entry.sensitive {
                entry.value = Some(raw.clone());
            }
            entry
        })
        .collect()
}

/// Every setting of a group, whether or not the group exists.
pub fn describe_group(overrides: &Overrides, broker: &BrokerSettings) -> Vec<Entry> {
    group_scope()
        .all()
        .iter()
        .map(|definition| {
            let own = overrides.get(definition.name).and_then(|raw| definition.parse(raw).ok());
            let source = if own.is_some() { Source::Group } else { Source::Default };
            let value =
                own.or_else(|| super::group::default_of(definition, broker)).map(|value| value.to_string());
            let synonym = Synonym { name: definition.name.to_owned(), value: value.clone(), source };
            entry(definition, value, vec![synonym], false)
        })
        .collect()
}

/// Every setting of a client metrics subscription, whether or not it exists.
pub fn describe_client_metrics(overrides: &Overrides) -> Vec<Entry> {
    client_metrics_scope()
        .all()
        .iter()
        .map(|definition| {
            let own = overrides.get(definition.name).and_then(|raw| definition.parse(raw).ok());
            let synonym = own.as_ref().map(|own| Synonym {
                name: definition.name.to_owned(),
                value: Some(own.to_string()),
                source: Source::ClientMetrics,
            });
            let value = own.or_else(|| definition.default_value()).map(|value| value.to_string());
            entry(definition, value, synonym.into_iter().collect(), false)
        })
        .collect()
}

fn entry(definition: &Definition, value: Option<String>, synonyms: Vec<Synonym>, read_only: bool) -> Entry {
    Entry {
        name: definition.name.to_owned(),
        value: value.filter(|_| !definition.sensitive()),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        sensitive: definition.sensitive(),
        read_only,
        synonyms,
        kind: Some(definition.kind),
        documentation: Some(definition.doc),
    }
}

/// A name outside the table: a throttle, a setting of one listener, or one that a client made up.
///
/// What nobody knows the type of may be a secret, so its value is not shown.
fn other_entry(name: &str, broker: &BrokerSettings) -> Entry {
    let base = of_broker_setting(name).last().copied().and_then(|base| broker_scope().get(base));
    let definition = quota_scope().get(name).or(base);
    let sensitive = definition.is_none_or(Definition::sensitive);
    let synonyms = broker_synonyms(name, sensitive, broker);
    let value = synonyms.first().and_then(|synonym| synonym.value.clone());
    Entry {
        name: name.to_owned(),
        value,
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        sensitive,
        read_only: true,
        synonyms,
        kind: definition.map(|definition| definition.kind),
        documentation: None,
    }
}

/// Where a broker setting has values, from the name itself on: those of its overrides do not count.
fn broker_synonyms(name: &str, sensitive: bool, broker: &BrokerSettings) -> Vec<Synonym> {
    let layers = broker.layers();
    let names = of_broker_setting(name);
    let mut synonyms = Vec::new();
    for (layer, source) in
        [(&layers.own, Source::Broker), (&layers.cluster, Source::Cluster), (&layers.fixed, Source::Static)]
    {
        for name in &names {
            if let Some(value) = layer.get(*name) {
                synonyms.push(Synonym { name: (*name).to_owned(), value: Some(value.clone()), source });
            }
        }
    }
    for name in &names {
        if let Some(default) = broker_scope().get(name).and_then(default_of) {
            let value = Some(default.to_owned());
            synonyms.push(Synonym { name: (*name).to_owned(), value, source: Source::Default });
        }
    }
    for synonym in &mut synonyms {
        synonym.value.take_if(|_| sensitive);
    }
    let first = synonyms.iter().position(|synonym| synonym.name == name).unwrap_or(synonyms.len());
    synonyms.split_off(first)
}

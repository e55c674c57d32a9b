//! What is known about each setting: name, type, default, check, how it can change, and what it means.
//!
//! Key invariant: every line of the tables under `table/` is read by this file, and every default in them satisfies its
//! own type and check (a test walks them all). A name occurs once in a scope.

use super::ConfigError;
use super::check::Check;
use super::value::{Kind, Value, invalid, parse};
use std::collections::HashMap;
use std::sync::LazyLock;

/// When a broker setting can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only by starting the broker anew.
    Restart,
    /// While it runs, for one broker or for the whole cluster.
    Cluster,
    /// While it runs, for one broker only.
    PerBroker,
}

/// What Corelog does with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes what the broker does.
    Acts,
    /// It is validated, kept and described, and changes nothing.
    Kept,
    /// Giving it any value but its default is an error: ignoring it would be dangerous.
    Refused,
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    /// As text. `None` is Kafka's null: unset, which differs from empty.
    pub default: Option<&'static str>,
    pub check: Check,
    pub update: Update,
    pub effect: Effect,
    /// Not described unless somebody sets it.
    pub internal: bool,
    /// One or two sentences, with units.
    pub doc: &'static str,
}

impl Definition {
    /// Parses and checks a value for this setting.
    pub fn parse(&self, raw: &str) -> Result<Value, ConfigError> {
        let mut value = parse(self.name, raw, self.kind)?;
        if let (Value::List(elements), Check::List { .. }) = (&mut value, &self.check) {
            remove_duplicates(elements);
        }
        if self.kind == Kind::Class && self.default != Some(value.to_string().as_str()) {
            return Err(invalid(self.name, raw, &format!("Class {raw} could not be found.")));
        }
        self.check.apply(self.name, &value)?;
        Ok(value)
    }

    /// The default, parsed.
    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|text| parse(self.name, text, self.kind).expect("a test parses every default"))
    }

    /// Whether the value must never be shown.
    pub fn sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    fn from_line(line: &'static str) -> Option<Self> {
        let mut columns = line.split(" | ");
        let name = columns.next()?;
        let kind = Kind::from_name(columns.next()?)?;
        let default = Some(columns.next()?).filter(|text| *text != "(null)");
        let check = Check::from_table(columns.next()?)?;
        let mut definition = Self {
            name,
            kind,
            default,
            check,
            update: Update::Restart,
            effect: Effect::Kept,
            internal: false,
            doc: "",
        };
        for flag in columns.next()?.split(' ') {
            match flag {
                "-" => {}
                "acts" => definition.effect = Effect::Acts,
                "refused" => definition.effect = Effect::Refused,
                "cluster" => definition.update = Update::Cluster,
                "per-broker" => definition.update = Update::PerBroker,
                "internal" => definition.internal = true,
                _ => return None,
            }
        }
        definition.doc = columns.next()?;
        columns.next().is_none().then_some(definition)
    }
}

/// Keeps the first of equal elements, as Kafka 4.2 does before it checks a list.
fn remove_duplicates(elements: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    elements.retain(|element| seen.insert(element.clone()));
}

/// The settings of one kind of resource, in Kafka's order.
#[derive(Debug)]
pub struct Scope {
    definitions: Vec<Definition>,
    by_name: HashMap<&'static str, usize>,
}

impl Scope {
    fn from_tables(tables: &[&'static str]) -> Self {
        let lines = tables.iter().flat_map(|table| table.lines());
        let definitions: Vec<Definition> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                Definition::from_line(line).unwrap_or_else(|| panic!("a table has the line {line:?}"))
            })
            .collect();
        let by_name = definitions.iter().enumerate().map(|(at, definition)| (definition.name, at)).collect();
        Self { definitions, by_name }
    }

    /// All settings, in the order in which Kafka checks them.
    pub fn all(&self) -> &[Definition] {
        &self.definitions
    }

    /// The setting of that name.
    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name).map(|at| &self.definitions[*at])
    }
}

/// The settings of a topic.
pub fn topic_scope() -> &'static Scope {
    static SCOPE: LazyLock<Scope> =
        LazyLock::new(|| Scope::from_tables(&[include_str!("table/topic.table")]));
    &SCOPE
}

/// The settings of a broker: Kafka's, and Corelog's own under `corelog.`.
pub fn broker_scope() -> &'static Scope {
    static SCOPE: LazyLock<Scope> = LazyLock::new(|| {
        Scope::from_tables(&[include_str!("table/broker.table"), include_str!("table/corelog.table")])
    });
    &SCOPE
}

/// Broker settings that exist only while the broker runs: replication throttles.
pub fn quota_scope() -> &'static Scope {
    static SCOPE: LazyLock<Scope> =
        LazyLock::new(|| Scope::from_tables(&[include_str!("table/quota.table")]));
    &SCOPE
}

/// The settings of a group.
pub fn group_scope() -> &'static Scope {
    static SCOPE: LazyLock<Scope> =
        LazyLock::new(|| Scope::from_tables(&[include_str!("table/group.table")]));
    &SCOPE
}

/// The settings of a client metrics subscription (KIP-714).
pub fn client_metrics_scope() -> &'static Scope {
    static SCOPE: LazyLock<Scope> =
        LazyLock::new(|| Scope::from_tables(&[include_str!("table/client_metrics.table")]));
    &SCOPE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_satisfies_its_own_rules() {
        for scope in [topic_scope(), broker_scope(), quota_scope(), group_scope(), client_metrics_scope()] {
            assert_eq!(scope.by_name.len(), scope.definitions.len(), "a name occurs twice");
            for definition in scope.all() {
                if let Some(default) = definition.default {
                    let value = definition.parse(default).expect(definition.name);
                    assert_eq!(
                        value.to_string(),
                        default,
                        "{} prints its default otherwise",
                        definition.name
                    );
                }
                assert!(definition.doc.len() > 10, "{} is not documented", definition.name);
            }
        }
    }

    #[test]
    fn kafka_42_has_as_many_settings_as_the_tables() {
        let kafka = broker_scope().all().iter().filter(|d| !d.name.starts_with("corelog."));
        assert_eq!((kafka.count(), topic_scope().all().len(), group_scope().all().len()), (341, 34, 11));
    }

    #[test]
    fn lists_lose_their_duplicates_before_they_are_checked() {
        let policy = topic_scope().get("cleanup.policy").expect("a setting of Kafka's");
        assert_eq!(policy.parse("delete,delete").expect("valid").to_string(), "delete");
    }
}

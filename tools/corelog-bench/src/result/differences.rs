//! In which fields several runs differ.
//!
//! Key invariant: a field that a run lacks differs from one that it has, whatever its value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A field in which runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Dotted, as `workload.records.size.fixed`.
    pub field: String,
    /// Of each run, in their order; empty where a run lacks the field.
    pub values: Vec<String>,
}

/// All values of a JSON value by dotted name. Lists of plain values are one value.
pub fn flatten(value: &Value) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten_into(String::new(), value, &mut flat);
    flat
}

/// The fields in which these differ, in the order of their names.
pub fn differences(all: &[BTreeMap<String, String>]) -> Vec<Difference> {
    let fields: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let mut found = Vec::new();
    for field in fields {
        let values: Vec<Option<&String>> = all.iter().map(|one| one.get(field)).collect();
        if values.windows(2).any(|pair| pair[0] != pair[1]) {
            let values = values.into_iter().map(|value| value.cloned().unwrap_or_default()).collect();
            found.push(Difference { field: field.clone(), values });
        }
    }
    found
}

fn flatten_into(name: String, value: &Value, flat: &mut BTreeMap<String, String>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                flatten_into(below(key), field, flat);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten_into(below(&index.to_string()), item, flat);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            flat.insert(name, items.join(", "));
        }
        plain_value => {
            flat.insert(name, plain(plain_value));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

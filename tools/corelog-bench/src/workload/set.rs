//! Single fields set by dotted names, as the command line's `--set producer.rate=1000` does.
//!
//! Key invariant: a workload is changed whole or not at all. Ranges are left to `check`.

use toml::{Table, Value};

use super::Workload;
use super::error::WorkloadError;

/// Topic settings have dots in their own names, so what follows this is one name.
const SETTINGS: &str = "topic.settings.";
/// Fields that hold one of several choices, of which a new one replaces the old.
const CHOICES: [[&str; 2]; 3] = [["records", "size"], ["records", "keys"], ["records", "values"]];

/// Sets one field: `producer.rate=1000`, `records.keys.zipf.count=50`, `topic.settings.cleanup.policy=compact`. The value
/// is TOML; a text needs no quotes. Fails with [`WorkloadError::NoAssignment`] or [`WorkloadError::Assignment`].
pub fn set(workload: &mut Workload, assignment: &str) -> Result<(), WorkloadError> {
    let no_assignment = || WorkloadError::NoAssignment { text: assignment.to_owned() };
    let (field, value) = assignment.split_once('=').ok_or_else(no_assignment)?;
    let (field, value) = (field.trim(), value.trim());
    if let Some(name) = field.strip_prefix(SETTINGS) {
        let name = name.trim_matches('"').to_owned();
        workload.topic.settings.insert(name, value.trim_matches('"').to_owned());
        return Ok(());
    }
    let path: Vec<&str> = field.split('.').map(str::trim).collect();
    if path.iter().any(|part| part.is_empty()) {
        return Err(no_assignment());
    }
    let mut table: Table = toml::from_str(&workload.to_toml()?).map_err(|error| unwritable(&error))?;
    // A bound without a value is left out of the text, where its default would come back.
    if workload.length.duration_s.is_none() {
        put(&mut table, &["length", "duration-s"], "0");
    }
    put(&mut table, &path, value);
    let text = toml::to_string(&table).map_err(|error| unwritable(&error))?;
    *workload = Workload::from_toml(&text).map_err(|error| match error {
        WorkloadError::Unreadable { problem, .. } => {
            WorkloadError::Assignment { field: field.to_owned(), problem }
        }
        other => other,
    })?;
    Ok(())
}

fn unwritable(error: &dyn std::error::Error) -> WorkloadError {
    WorkloadError::Unwritable { problem: error.to_string() }
}

/// Puts a value at a path and makes the tables on the way to it.
fn put(table: &mut Table, path: &[&str], value: &str) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut inner = table;
    for (depth, name) in parents.iter().enumerate() {
        let entry = inner.entry((*name).to_owned()).or_insert_with(|| Value::Table(Table::new()));
        if !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        let Value::Table(next) = entry else { return };
        if CHOICES.iter().any(|choice| choice[..] == path[..=depth]) {
            next.retain(|name, _| name == path[depth + 1]);
        }
        inner = next;
    }
    let is_text = matches!(inner.get(*last), Some(Value::String(_)));
    inner.insert((*last).to_owned(), parse(value, is_text));
}

/// What is no TOML is a text, and so is a number or a truth where a text stood.
fn parse(value: &str, is_text: bool) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok();
    let parsed = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    match parsed {
        Some(parsed) if !is_text || parsed.is_str() || parsed.is_table() => parsed,
        _ => Value::String(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{CodecName, JsonShape, KeyPlan, SizePlan, ValuePlan};

    fn after(assignments: &[&str]) -> Workload {
        let mut workload = Workload::default();
        for assignment in assignments {
            set(&mut workload, assignment).unwrap_or_else(|error| panic!("{assignment}: {error}"));
        }
        workload
    }

    #[test]
    fn fields_of_every_kind_can_be_set() {
        let workload = after(&[
            "producer.rate=1000",
            "producer.idempotent = true",
            "topic.name=2024",
            "records.codec=zstd",
            "records.size={ fixed = 7 }",
            "length.records=50",
            "seed=3",
            "topic.settings.cleanup.policy=compact",
            "topic.settings.retention.ms=1000",
        ]);
        assert_eq!((workload.producer.rate, workload.producer.idempotent), (1000.0, true));
        assert_eq!((workload.topic.name.as_str(), workload.seed), ("2024", 3));
        assert_eq!((workload.records.codec, workload.records.size), (CodecName::Zstd, SizePlan::Fixed(7)));
        assert_eq!(workload.length.records, Some(50));
        assert_eq!(workload.topic.settings["cleanup.policy"], "compact");
        assert_eq!(workload.topic.settings["retention.ms"], "1000");
    }

    #[test]
    fn a_new_choice_replaces_the_old_one() {
        let workload = after(&["records.keys={ zipf = { count = 5, exponent = 1.0 } }"]);
        assert_eq!(workload.records.keys, KeyPlan::Zipf { count: 5, exponent: 1.0 });
        let workload = after(&["records.keys.uniform.count=4", "records.values.json.shape=click"]);
        assert_eq!(workload.records.keys, KeyPlan::Uniform { count: 4 });
        assert_eq!(workload.records.values, ValuePlan::Json { shape: JsonShape::Click });
        let workload = after(&["records.keys.uniform.count=4", "records.keys=none"]);
        assert_eq!(workload.records.keys, KeyPlan::None);
    }

    #[test]
    fn parts_of_a_choice_keep_the_others() {
        let workload =
            after(&["records.keys={ zipf = { count = 5, exponent = 1.0 } }", "records.keys.zipf.count=9"]);
        assert_eq!(workload.records.keys, KeyPlan::Zipf { count: 9, exponent: 1.0 });
    }

    #[test]
    fn a_bound_that_is_not_set_stays_so() {
        let mut workload = Workload::default();
        workload.length.duration_s = None;
        set(&mut workload, "seed=1").expect("it is a field");
        assert!(workload.length.duration_s.is_none_or(|duration_s| duration_s == 0.0));
    }

    #[test]
    fn refused_assignments_change_nothing_and_say_why() {
        for (assignment, told) in [
            ("producer.rat=1", "producer.rat: rat is not known here, did you mean rate?"),
            ("producer.rate=fast", "producer.rate: "),
            ("records.keys.zipf.count=3", "exponent"),
            ("records.codec=zst", "did you mean zstd?"),
            ("producer.rate", "sets nothing"),
            ("=5", "sets nothing"),
        ] {
            let mut workload = Workload::default();
            let error = set(&mut workload, assignment).expect_err(assignment).to_string();
            assert!(error.contains(told), "{assignment}: {error}");
            assert_eq!(workload, Workload::default(), "{assignment}");
        }
    }
}

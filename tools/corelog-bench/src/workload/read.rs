//! Workloads as TOML text.
//!
//! Key invariant: what is written reads back as the same workload, and an error names the line, the field and, for a
//! name that is not known, the nearest one that is. Ranges are left to `check`, files to `cli`.

use toml::de::DeTable;

use super::Workload;
use super::error::{WorkloadError, nearest};

impl Workload {
    /// Reads a workload; fields that are left out have their defaults. Fails with [`WorkloadError::Unreadable`].
    pub fn from_toml(text: &str) -> Result<Self, WorkloadError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            WorkloadError::Unreadable {
                line: line_at(text, at),
                field: field_at(text, at),
                problem: explain(error.message()),
            }
        })
    }

    /// The workload with every field that is set. Fails with [`WorkloadError::Unwritable`].
    pub fn to_toml(&self) -> Result<String, WorkloadError> {
        toml::to_string(self).map_err(|error| WorkloadError::Unwritable { problem: error.to_string() })
    }
}

/// Lines count from 1.
fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The dotted name of the field that stands at a byte of the text; empty if none does or the text is no TOML.
fn field_at(text: &str, at: usize) -> String {
    DeTable::parse(text).ok().and_then(|table| path_at(table.get_ref(), at)).unwrap_or_default().join(".")
}

/// Looks into tables first: a table's own span may be no more than its header.
fn path_at(table: &DeTable<'_>, at: usize) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let inner = value.get_ref().as_table().and_then(|table| path_at(table, at));
        let here = key.span().contains(&at) || value.span().contains(&at);
        let mut path = inner.or_else(|| here.then(Vec::new))?;
        path.insert(0, key.get_ref().to_string());
        Some(path)
    })
}

/// Serde lists the names that may stand in the place of an unknown one, in backticks; the nearest is told first.
fn explain(message: &str) -> String {
    let message = message.trim();
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return message.lines().collect::<Vec<_>>().join("; ");
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if !known.is_empty() => {
            let nearest = nearest(unknown, known);
            format!("{unknown} is not known here, did you mean {nearest}? (known: {})", known.join(", "))
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{KeyPlan, SizePlan, ValuePlan};

    fn refusal(text: &str) -> (usize, String, String) {
        match Workload::from_toml(text) {
            Err(WorkloadError::Unreadable { line, field, problem }) => (line, field, problem),
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn unknown_fields_are_told_with_line_and_nearest_name() {
        let (line, field, problem) = refusal("seed = 1\n\n[producer]\nacks = 1\nconections = 3\n");
        assert_eq!((line, field.as_str()), (5, "producer.conections"));
        assert!(problem.contains("did you mean connections?"), "{problem}");
        let (line, field, problem) = refusal("\nproducr.acks = 3\n");
        assert_eq!((line, field.as_str()), (2, "producr"));
        assert!(problem.contains("did you mean producer?"), "{problem}");
    }

    #[test]
    fn unknown_choices_are_told_with_the_nearest() {
        let (line, field, problem) = refusal("[records]\nkeys = { zipff = { count = 1, exponent = 1 } }\n");
        assert_eq!((line, field.as_str()), (2, "records.keys.zipff"));
        assert!(problem.contains("did you mean zipf?"), "{problem}");
        let (line, field, problem) = refusal("[records]\ncodec = \"zst\"\n");
        assert_eq!((line, field.as_str()), (2, "records.codec"));
        assert!(problem.contains("did you mean zstd?"), "{problem}");
    }

    #[test]
    fn values_of_the_wrong_type_name_their_field() {
        let (line, field, problem) = refusal("[topic]\npartitions = 1\n[producer]\nrate = \"fast\"\n");
        assert_eq!((line, field.as_str()), (4, "producer.rate"));
        assert!(problem.contains("fast") && problem.contains("f64"), "{problem}");
        let (line, field, _) = refusal("[producer]\nacks = 70000\n");
        assert_eq!((line, field.as_str()), (2, "producer.acks"));
    }

    #[test]
    fn a_missing_part_of_a_choice_is_told() {
        let (line, field, problem) = refusal("[records.keys.zipf]\ncount = 1\n");
        assert_eq!((line, field.as_str()), (1, "records.keys.zipf"));
        assert!(problem.contains("exponent"), "{problem}");
    }

    #[test]
    fn text_that_is_no_toml_is_told_with_its_line() {
        let (line, field, problem) = refusal("seed = 1\nproducer = [\n");
        assert!(line >= 2, "{line}: {problem}");
        assert_eq!(field, "");
        assert!(!problem.contains('\n'), "{problem}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut workload = Workload { name: "n".to_owned(), seed: 9, ..Workload::default() };
        workload.topic.settings.insert("cleanup.policy".to_owned(), "compact".to_owned());
        workload.records.size = SizePlan::LogNormal { median: 3, sigma: 0.5, max: 70 };
        workload.records.keys = KeyPlan::Zipf { count: 10, exponent: 1.1 };
        workload.records.values = ValuePlan::Lines { file: "a b.txt".into() };
        workload.length.duration_s = None;
        workload.length.bytes = Some(7);
        let text = workload.to_toml().expect("it can be expressed");
        let read = Workload::from_toml(&text).expect("it was written so");
        // A bound that is not set cannot be told from one that is left out, so the default stands in.
        assert_eq!(read.length.duration_s, Some(30.0));
        workload.length.duration_s = Some(0.0);
        let text = workload.to_toml().expect("it can be expressed");
        assert_eq!(Workload::from_toml(&text), Ok(workload), "{text}");
    }
}

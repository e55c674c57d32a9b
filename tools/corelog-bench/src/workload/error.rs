//! What can be wrong with a workload, each in one sentence that names the field.
//!
//! Key invariant: every error says what was found and what may stand there. Printing it is left to `cli`.

/// Why a workload cannot be read, changed or driven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// No workload has this name.
    #[error("there is no workload {name}; the nearest name is {nearest} (known: {known})")]
    UnknownName { name: String, nearest: String, known: String },
    /// The text is no TOML, or holds a field or a value that is not known.
    #[error("line {line}: {}", sentence(field, problem))]
    Unreadable {
        /// Counted from 1.
        line: usize,
        /// Dotted; empty if the text is no TOML.
        field: String,
        problem: String,
    },
    /// The field of an assignment is not known or cannot have the value.
    #[error("{}", sentence(field, problem))]
    Assignment { field: String, problem: String },
    /// The text of an assignment has no `=` or no field.
    #[error("{text:?} sets nothing; write field=value, such as producer.rate=1000")]
    NoAssignment { text: String },
    /// A field is out of its range, or does not go together with another.
    #[error("{field} is {is}; it may be {may_be}")]
    Unfit { field: &'static str, is: String, may_be: String },
    /// The workload holds something that TOML cannot express, such as a path that is no UTF-8.
    #[error("the workload cannot be written as TOML: {problem}")]
    Unwritable { problem: String },
}

fn sentence(field: &str, problem: &str) -> String {
    if field.is_empty() { problem.to_owned() } else { format!("{field}: {problem}") }
}

/// The known name that is most like `name`; empty if none is known.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

//! The named workloads: files in `benches/workloads/` at the repository's root, built into the tool.
//!
//! Key invariant: each passes `check` for producing and says in its reason why anyone would run it. Fields that a file
//! leaves out have their defaults.

use super::Workload;
use super::error::{WorkloadError, nearest};

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../benches/workloads/", $name, ".toml")))),+]
    };
}

/// Name and text of each.
const FILES: [(&str, &str); 9] = embedded![
    "bulk-100x1k",
    "single-1k",
    "small-10x100",
    "truck-positions",
    "log-lines",
    "click-stream",
    "market-data",
    "change-capture",
    "many-tenants",
];

/// Every named workload: the plain ones first, then those that are shaped after a use.
pub fn all() -> Vec<Workload> {
    FILES.iter().map(|(_, text)| embedded(text)).collect()
}

/// The workload of a name; an unknown name's error tells the nearest known one.
pub fn named(name: &str) -> Result<Workload, WorkloadError> {
    if let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) {
        return Ok(embedded(text));
    }
    let known = FILES.map(|(name, _)| name);
    Err(WorkloadError::UnknownName {
        name: name.to_owned(),
        nearest: nearest(name, &known).to_owned(),
        known: known.join(", "),
    })
}

fn embedded(text: &str) -> Workload {
    Workload::from_toml(text).expect("a test reads every embedded workload")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    #[test]
    fn every_file_reads_checks_and_is_named_after_itself() {
        for (name, text) in FILES {
            let workload = Workload::from_toml(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(workload.name, name);
            assert!(workload.reason.ends_with('.') && workload.reason.len() > 40, "{name} needs a reason");
            for kind in [Kind::Produce, Kind::Consume, Kind::Mixed] {
                workload.check(kind).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }

    #[test]
    fn those_that_are_not_ready_made_can_carry_stamps() {
        for workload in all().iter().filter(|workload| !workload.name.starts_with("bulk")) {
            let checked = workload.check(Kind::EndToEnd);
            checked.unwrap_or_else(|error| panic!("{}: {error}", workload.name));
        }
    }

    #[test]
    fn an_unknown_name_tells_the_nearest() {
        let error = named("truck-position").expect_err("there is none").to_string();
        assert!(error.contains("the nearest name is truck-positions"), "{error}");
        assert_eq!(named("log-lines").map(|workload| workload.name).as_deref(), Ok("log-lines"));
    }
}

//! The log levels of this process as a resource (KIP-412): one logger per room of the program, and the root.
//!
//! Key invariant: what is described is what the last change asked for, in every shard alike; levels are gone when the
//! process ends, as in Kafka. Filtering by them is left to whoever installs a filter with [`on_change`].

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::config::{Change, LEVELS as LEVELS_OF_KAFKA, Operation, ROOT};

/// The loggers: targets of `tracing` with dots, since Kafka's tools take no colons in a name.
const LOGGERS: [&str; 12] = [
    "corelog",
    "corelog.broker",
    "corelog.cluster",
    "corelog.control",
    "corelog.handlers",
    "corelog.io",
    "corelog.metadata",
    "corelog.network",
    "corelog.partition",
    "corelog.protocol",
    "corelog.shard",
    "corelog.storage",
];

/// The root's level while nobody changed it.
const ROOT_LEVEL: &str = "INFO";

/// Who is told of new levels: it gets a directive list for `tracing_subscriber`'s `EnvFilter`.
type Filter = Box<dyn Fn(&str) + Send + Sync>;

static FILTER: OnceLock<Filter> = OnceLock::new();
static LEVELS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// From now on `apply` gets the filter, such as `info,corelog::storage=debug`, each time that a level changes.
///
/// `directives` is the filter that the process started with, in the same form. The first call counts; a process has
/// one log.
pub fn on_change(directives: &str, apply: impl Fn(&str) + Send + Sync + 'static) {
    if FILTER.set(Box::new(apply)).is_ok() {
        LEVELS.lock().unwrap_or_else(PoisonError::into_inner).extend(levels_of(directives));
    }
}

/// The levels that a filter gives to loggers; what it says of other targets and of spans is passed over.
fn levels_of(directives: &str) -> impl Iterator<Item = (String, String)> {
    directives.split(',').filter_map(|directive| {
        let (name, level) = directive.trim().split_once('=').unwrap_or((ROOT, directive.trim()));
        let (name, level) = (name.replace("::", "."), level.to_ascii_uppercase());
        let known = name == ROOT || LOGGERS.contains(&name.as_str());
        (known && LEVELS_OF_KAFKA.contains(&level.as_str())).then_some((name, level))
    })
}

/// The loggers besides the root.
pub fn known() -> &'static [&'static str] {
    &LOGGERS
}

/// Every logger with its effective level.
pub fn levels() -> Vec<(&'static str, String)> {
    let set = LEVELS.lock().unwrap_or_else(PoisonError::into_inner);
    std::iter::once(ROOT).chain(LOGGERS).map(|name| (name, effective(&set, name))).collect()
}

/// Takes over changes that were checked.
pub fn change(changes: &[Change]) {
    let mut set = LEVELS.lock().unwrap_or_else(PoisonError::into_inner);
    apply(&mut set, changes);
    if let Some(filter) = FILTER.get() {
        filter(&directives(&set));
    }
}

fn apply(set: &mut BTreeMap<String, String>, changes: &[Change]) {
    for change in changes {
        match (change.operation, &change.value) {
            (Operation::Set, Some(level)) => {
                set.insert(change.name.clone(), level.clone());
            }
            _ => {
                set.remove(&change.name);
            }
        }
    }
}

/// A logger's own level, or that of the nearest one above it.
fn effective(set: &BTreeMap<String, String>, name: &str) -> String {
    let mut name = name;
    loop {
        if let Some(level) = set.get(name) {
            return level.clone();
        }
        name = match name.rsplit_once('.') {
            Some((above, _)) => above,
            None if name == ROOT => return ROOT_LEVEL.to_owned(),
            None => ROOT,
        };
    }
}

/// The levels as `EnvFilter` reads them. It has no level above error, so FATAL shows errors too.
fn directives(set: &BTreeMap<String, String>) -> String {
    let level = |level: &str| match level {
        "FATAL" => "error".to_owned(),
        level => level.to_ascii_lowercase(),
    };
    let root = level(&effective(set, ROOT));
    let others = set.iter().filter(|(name, _)| *name != ROOT);
    others.fold(root, |all, (name, own)| format!("{all},{}={}", name.replace('.', "::"), level(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change_to(name: &str, level: Option<&str>) -> Change {
        let operation = if level.is_some() { Operation::Set } else { Operation::Delete };
        Change { name: name.to_owned(), operation, value: level.map(str::to_owned) }
    }

    #[test]
    fn levels_are_inherited_and_given_back() {
        let mut set = BTreeMap::new();
        assert_eq!(effective(&set, "corelog.storage"), "INFO");
        apply(&mut set, &[change_to("corelog", Some("WARN")), change_to("corelog.io", Some("TRACE"))]);
        assert_eq!(effective(&set, "corelog.storage"), "WARN");
        assert_eq!(effective(&set, "corelog.io"), "TRACE");
        assert_eq!(effective(&set, ROOT), "INFO");
        assert_eq!(directives(&set), "info,corelog=warn,corelog::io=trace");
        apply(&mut set, &[change_to("corelog", None), change_to(ROOT, Some("FATAL"))]);
        assert_eq!(effective(&set, "corelog.storage"), "FATAL");
        assert_eq!(directives(&set), "error,corelog::io=trace");
    }

    #[test]
    fn a_filter_gives_the_levels_to_start_with() {
        let given: Vec<_> = levels_of("warn, corelog::io=trace,hyper=debug,corelog[span]=info,off").collect();
        let pair = |name: &str, level: &str| (name.to_owned(), level.to_owned());
        assert_eq!(given, [pair(ROOT, "WARN"), pair("corelog.io", "TRACE")]);
    }

    #[test]
    fn loggers_are_sorted_and_below_one_another() {
        assert!(LOGGERS.is_sorted());
        assert!(LOGGERS.iter().all(|name| name.starts_with("corelog")));
        assert_eq!(levels().len(), LOGGERS.len() + 1);
    }
}

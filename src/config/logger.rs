//! Log levels as a resource that can be described and altered while the broker runs (KIP-412).
//!
//! Key invariant: a change that passes names a logger that exists and a level that Kafka knows. Applying levels to the
//! subscriber of `tracing` is left to `broker`.

use super::ConfigError;
use super::alter::{Change, Operation};

/// The logger that all others take their level from.
pub const ROOT: &str = "root";

/// The levels that can be set, in the order in which messages list them.
pub const LEVELS: [&str; 6] = ["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"];

/// Checks changes of log levels. `known` are the loggers that exist.
pub fn validate_logger(changes: &[Change], known: &[&str]) -> Result<(), ConfigError> {
    for change in changes {
        let name = change.name.as_str();
        let exists = || match name == ROOT || known.contains(&name) {
            true => Ok(()),
            false => Err(ConfigError::Config(format!("Logger {name} does not exist!"))),
        };
        match change.operation {
            Operation::Set => {
                exists()?;
                let level = change.value.as_deref().unwrap_or_default();
                if !LEVELS.contains(&level) {
                    return Err(ConfigError::Config(format!(
                        "Cannot set the log level of {name} to {level} as it is not a supported log level. Valid log \
                         levels are {}",
                        LEVELS.join(", ")
                    )));
                }
            }
            Operation::Delete => {
                exists()?;
                if name == ROOT {
                    return Err(ConfigError::Request(
                        "Removing the log level of the root logger is not allowed".to_owned(),
                    ));
                }
            }
            Operation::Append | Operation::Subtract => {
                return Err(ConfigError::Request(format!(
                    "{} operation is not allowed for the BROKER_LOGGER resource",
                    change.operation.name()
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(name: &str, operation: Operation, value: &str) -> Result<(), String> {
        let change = Change { name: name.to_owned(), operation, value: Some(value.to_owned()) };
        validate_logger(&[change], &["corelog.storage"]).map_err(|error| error.to_string())
    }

    #[test]
    fn levels_and_loggers_are_checked() {
        assert_eq!(validate("root", Operation::Set, "DEBUG"), Ok(()));
        assert_eq!(validate("corelog.storage", Operation::Delete, ""), Ok(()));
        assert_eq!(validate("kafka", Operation::Set, "INFO"), Err("Logger kafka does not exist!".to_owned()));
        assert!(validate("root", Operation::Set, "info").is_err_and(|why| why.ends_with("TRACE, WARN")));
        assert!(validate("root", Operation::Delete, "").is_err());
        assert!(validate("root", Operation::Append, "INFO").is_err());
    }
}

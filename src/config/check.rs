//! Checks of single values: ranges, allowed words, list rules. Their messages are Kafka's.
//!
//! Key invariant: a check is applied to a value of the type that its setting declares; `Definition::parse` is the only
//! caller. Rules between settings are left to `topic`, `group` and `broker`.

use super::ConfigError;
use super::value::{Value, invalid};

/// What a value must satisfy beyond its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Anything.
    Any,
    /// A number within bounds, both inclusive. The bounds are kept as text, as messages show them.
    Range { min: &'static str, max: Option<&'static str> },
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// One of these words.
    OneOf(Vec<&'static str>),
    /// One of these words in any letter case.
    AnyCase(Vec<&'static str>),
    /// A list of distinct, non-empty elements, each one of `allowed` unless that is empty.
    List { nonempty: bool, allowed: Vec<&'static str> },
    /// Text that is not empty.
    NonEmpty,
    /// `*`, or `partition:broker` pairs.
    ThrottledReplicas,
    /// `earliest`, `latest` or `by_duration:` and an ISO 8601 duration (KIP-932).
    ShareOffsetReset,
}

impl Check {
    /// Reads a check as the tables write it.
    pub(super) fn from_table(text: &'static str) -> Option<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let words = || rest.split(", ").filter(|w| !w.is_empty()).collect();
        match word {
            "-" => Some(Self::Any),
            "gzip-level" => Some(Self::GzipLevel),
            "one-of" => Some(Self::OneOf(words())),
            "anycase" => Some(Self::AnyCase(words())),
            "list" => Some(Self::List { nonempty: false, allowed: words() }),
            "list+nonempty" => Some(Self::List { nonempty: true, allowed: words() }),
            "nonempty" => Some(Self::NonEmpty),
            "replicas" => Some(Self::ThrottledReplicas),
            "share-reset" => Some(Self::ShareOffsetReset),
            _ => {
                let bounds = text.strip_prefix('[')?.strip_suffix(']')?;
                let (min, max) = bounds.split_once(",...")?;
                Some(Self::Range { min, max: max.strip_prefix(',') })
            }
        }
    }

    /// What the check allows, for the documentation; empty if anything.
    pub fn describe(&self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Range { min, max: None } => format!("at least {min}"),
            Self::Range { min, max: Some(max) } => format!("{min} to {max}"),
            Self::GzipLevel => "1 to 9, or -1".to_owned(),
            Self::OneOf(words) | Self::AnyCase(words) => words.join(", "),
            Self::List { allowed, .. } => allowed.join(", "),
            Self::NonEmpty => "not empty".to_owned(),
            Self::ThrottledReplicas => "* or partition:broker,…".to_owned(),
            Self::ShareOffsetReset => "earliest, latest, by_duration:PnDTnHnMn.nS".to_owned(),
        }
    }

    /// Applies the check to the value of the setting `name`.
    pub(super) fn apply(&self, name: &str, value: &Value) -> Result<(), ConfigError> {
        match (self, value) {
            (Self::Range { min, max }, value) => in_range(name, value, min, *max),
            (Self::GzipLevel, Value::Integer(level)) if *level != -1 && !(1..=9).contains(level) => {
                Err(invalid(name, level, "Value must be between 1 and 9 or equal to -1"))
            }
            (Self::OneOf(words), Value::Text(text)) => one_of(name, text, words),
            (Self::AnyCase(words), Value::Text(text)) if !words.contains(&&*text.to_ascii_uppercase()) => {
                let why = format!("String must be one of (case insensitive): {}", words.join(", "));
                Err(invalid(name, text, &why))
            }
            (Self::List { nonempty, allowed }, Value::List(elements)) => {
                list(name, elements, *nonempty, allowed)
            }
            (Self::NonEmpty, Value::Text(text)) if text.is_empty() => {
                Err(invalid(name, text, "String must be non-empty"))
            }
            (Self::ThrottledReplicas, Value::List(elements)) => throttled_replicas(name, elements),
            (Self::ShareOffsetReset, Value::Text(text)) => share_offset_reset(name, text),
            _ => Ok(()),
        }
    }
}

fn in_range(name: &str, value: &Value, min: &str, max: Option<&str>) -> Result<(), ConfigError> {
    // Kafka compares as doubles too; the bounds are small enough for that to be exact.
    let number = match value {
        Value::Integer(value) => *value as f64,
        Value::Double(value) => *value,
        Value::Boolean(_) | Value::Text(_) | Value::List(_) => return Ok(()),
    };
    let bound = |text: &str| text.parse::<f64>().ok();
    if bound(min).is_some_and(|min| number < min) {
        return Err(invalid(name, value, &format!("Value must be at least {min}")));
    }
    match max {
        Some(max) if bound(max).is_some_and(|max| number > max) => {
            Err(invalid(name, value, &format!("Value must be no more than {max}")))
        }
        _ => Ok(()),
    }
}

fn one_of(name: &str, text: &str, words: &[&str]) -> Result<(), ConfigError> {
    if words.contains(&text) {
        return Ok(());
    }
    Err(invalid(name, text, &format!("String must be one of: {}", words.join(", "))))
}

fn list(name: &str, elements: &[String], nonempty: bool, allowed: &[&str]) -> Result<(), ConfigError> {
    if nonempty && elements.is_empty() {
        let valid = match allowed {
            [] => "any non-empty value".to_owned(),
            words => format!("[{}]", words.join(", ")),
        };
        let message = format!("Configuration '{name}' must not be empty. Valid values include: {valid}");
        return Err(ConfigError::Config(message));
    }
    for element in elements {
        if element.is_empty() {
            return Err(ConfigError::Config(format!("Configuration '{name}' values must not be empty.")));
        }
        if !allowed.is_empty() {
            one_of(name, element, allowed)?;
        }
    }
    Ok(())
}

fn throttled_replicas(name: &str, elements: &[String]) -> Result<(), ConfigError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let pair = |text: &str| text.split_once(':').is_some_and(|(left, right)| digits(left) && digits(right));
    let valid = elements.iter().all(|text| text.is_empty() || pair(text)) || elements.concat() == "*";
    if valid {
        return Ok(());
    }
    let why = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    Err(invalid(name, format!("[{}]", elements.join(", ")), &why))
}

fn share_offset_reset(name: &str, text: &str) -> Result<(), ConfigError> {
    let duration = text.strip_prefix("by_duration:");
    if matches!(text, "earliest" | "latest") || duration.is_some_and(is_iso_duration) {
        return Ok(());
    }
    let why = format!(
        "Invalid value `{text}` for configuration {name}. The value must be either 'earliest', 'latest' or of the \
         format 'by_duration:<PnDTnHnMn.nS>'."
    );
    Err(invalid(name, text, &why))
}

/// A non-negative ISO 8601 duration of days, hours, minutes and seconds, each at most once and in that order.
fn is_iso_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['P', 'p']) else { return false };
    let (date, time) = match rest.split_once(['T', 't']) {
        Some((_, "")) => return false,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    !rest.is_empty() && takes_units(date, &['D'], false) && takes_units(time, &['H', 'M', 'S'], true)
}

fn takes_units(text: &str, units: &[char], fraction: bool) -> bool {
    let mut rest = text;
    for &unit in units {
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let Some(found) = tail.chars().next() else { break };
        if found.to_ascii_uppercase() != unit {
            continue;
        }
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let part_allowed = part.is_empty() || (fraction && unit == 'S' && part.len() <= 9);
        if whole.is_empty() || !digits(whole) || !digits(part) || !part_allowed {
            return false;
        }
        rest = &tail[1..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_durations() {
        for text in ["P1D", "PT1H", "P2DT3H4M5.5S", "pt0s", "PT10M"] {
            assert!(is_iso_duration(text), "{text}");
        }
        for text in ["", "P", "PT", "P1", "1D", "P-1D", "PT1M1H", "P1H", "PT1.5H", "PT1S1S", "PTS"] {
            assert!(!is_iso_duration(text), "{text}");
        }
    }

    #[test]
    fn tables_write_checks_that_can_be_read() {
        assert_eq!(Check::from_table("[0,...,1]"), Some(Check::Range { min: "0", max: Some("1") }));
        assert_eq!(Check::from_table("[-1,...]"), Some(Check::Range { min: "-1", max: None }));
        assert_eq!(Check::from_table("one-of a, b"), Some(Check::OneOf(vec!["a", "b"])));
        assert_eq!(Check::from_table("sometimes"), None);
    }
}

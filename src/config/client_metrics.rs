//! Client metrics subscriptions (KIP-714): which metrics matching clients push, and how often.
//!
//! Key invariant: a valid subscription has a name, an interval within bounds and match criteria of known parameters.
//! Matching clients and compiling the patterns is left to whoever collects their metrics.

use super::definition::client_metrics_scope;
use super::value::Value;
use super::{ConfigError, Overrides};

const INTERVAL_MS_MIN: i64 = 100;
const INTERVAL_MS_MAX: i64 = 3_600_000;

/// What a subscription can match clients by.
const MATCH_PARAMETERS: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Checks all settings of the subscription `name` as they would be after a change.
pub fn validate_client_metrics(name: &str, overrides: &Overrides) -> Result<(), ConfigError> {
    if name.is_empty() {
        return Err(ConfigError::Request("Subscription name can't be empty".to_owned()));
    }
    if let Some(unknown) = overrides.keys().find(|name| client_metrics_scope().get(name).is_none()) {
        return Err(ConfigError::Request(format!("Unknown client metrics configuration: {unknown}")));
    }
    let parsed = |name: &str| match (client_metrics_scope().get(name), overrides.get(name)) {
        (Some(definition), Some(raw)) => definition.parse(raw).map(Some),
        _ => Ok(None),
    };
    parsed("metrics")?;
    let interval = parsed("interval.ms")?;
    let criteria = parsed("match")?;
    if let Some(Value::Integer(ms)) = interval
        && !(INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&ms)
    {
        return Err(ConfigError::Request(format!(
            "Invalid value {ms} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
        )));
    }
    if let Some(Value::List(criteria)) = criteria {
        for criterion in &criteria {
            if !is_criterion(criterion) {
                return Err(ConfigError::Config(format!("Illegal client matching pattern: {criterion}")));
            }
        }
    }
    Ok(())
}

/// `parameter=pattern`, with exactly one `=` and a pattern that could be a regular expression.
fn is_criterion(text: &str) -> bool {
    match text.split_once('=') {
        Some((parameter, pattern)) => {
            MATCH_PARAMETERS.contains(&parameter.trim())
                && !pattern.is_empty()
                && !pattern.contains('=')
                && is_balanced(pattern.trim())
        }
        None => false,
    }
}

/// Whether groups and classes are closed and nothing is escaped or repeated at an end: the ways in which patterns that
/// people type fail to compile.
fn is_balanced(pattern: &str) -> bool {
    let (mut groups, mut in_class, mut escaped) = (0_u32, false, false);
    let mut repeatable = false;
    for c in pattern.chars() {
        let at_start = !repeatable;
        repeatable = true;
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' => {
                groups += 1;
                repeatable = false;
            }
            ')' if groups == 0 => return false,
            ')' => groups -= 1,
            '|' => repeatable = false,
            '*' | '+' if at_start => return false,
            _ => {}
        }
    }
    groups == 0 && !in_class && !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(name: &str, value: &str) -> Result<(), ConfigError> {
        validate_client_metrics("subscription", &Overrides::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_subscription_needs_a_name_and_known_settings() {
        assert!(validate_client_metrics("", &Overrides::new()).is_err());
        assert_eq!(
            validate("intervall.ms", "1"),
            Err(ConfigError::Request("Unknown client metrics configuration: intervall.ms".to_owned()))
        );
    }

    #[test]
    fn intervals_are_bounded() {
        assert_eq!(validate("interval.ms", "100"), Ok(()));
        assert_eq!(
            validate("interval.ms", "99"),
            Err(ConfigError::Request(
                "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                    .to_owned()
            ))
        );
    }

    #[test]
    fn criteria_name_a_parameter_and_a_pattern() {
        for good in ["client_id=a.*", "client_id=a,client_source_port=[0-9]+", "client_software_name=(a|b)?"]
        {
            assert_eq!(validate("match", good), Ok(()), "{good}");
        }
        for bad in [
            "client_id",
            "client_id=",
            "client=a",
            "client_id=a=b",
            "client_id=(a",
            "client_id=*",
            "client_id=a\\",
        ] {
            assert_eq!(
                validate("match", bad),
                Err(ConfigError::Config(format!("Illegal client matching pattern: {bad}")))
            );
        }
    }
}

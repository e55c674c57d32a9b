//! Configuration values: the types that Kafka's settings have, parsed from text and printed as Kafka prints them.
//!
//! Key invariant: text that parses prints in Java's canonical form (`" 0.30 "` becomes `0.3`), and parsing that form
//! again gives the same value. Ranges and allowed words are left to `check`.

use super::ConfigError;

/// The type of a setting, as Kafka names it in DescribeConfigs (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Boolean,
    Text,
    Int,
    Short,
    Long,
    Double,
    List,
    /// The name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// The number that stands for the type in a DescribeConfigs response.
    pub const fn wire(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Text => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// The name in the tables and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::Text => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [
            Self::Boolean,
            Self::Text,
            Self::Int,
            Self::Short,
            Self::Long,
            Self::Double,
            Self::List,
            Self::Class,
            Self::Password,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// A parsed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Boolean(bool),
    /// INT, SHORT and LONG; the width was checked when it was parsed.
    Integer(i64),
    Double(f64),
    /// STRING, CLASS and PASSWORD.
    Text(String),
    List(Vec<String>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Double(value) => f.write_str(&java_double(*value)),
            Self::Text(value) => f.write_str(value),
            Self::List(values) => f.write_str(&values.join(",")),
        }
    }
}

/// Parses `raw` as `kind`. The error is worded as Kafka words it; `name` is the setting's.
pub(super) fn parse(name: &str, raw: &str, kind: Kind) -> Result<Value, ConfigError> {
    let trimmed = java_trim(raw);
    let number = |bits: u32| match trimmed.parse::<i64>() {
        Ok(value) if fits(value, bits) => Ok(Value::Integer(value)),
        _ => Err(not_a_number(name, raw, kind)),
    };
    match kind {
        Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        Kind::Boolean => Err(invalid(name, raw, "Expected value to be either true or false")),
        Kind::Short => number(16),
        Kind::Int => number(32),
        Kind::Long => number(64),
        Kind::Double => parse_double(trimmed).map(Value::Double).ok_or_else(|| not_a_number(name, raw, kind)),
        Kind::Text | Kind::Class | Kind::Password => Ok(Value::Text(trimmed.to_owned())),
        Kind::List => Ok(Value::List(split_list(trimmed))),
    }
}

/// Kafka's message for a value that a setting cannot have.
pub(super) fn invalid(name: &str, value: impl std::fmt::Display, why: &str) -> ConfigError {
    ConfigError::Config(format!("Invalid value {value} for configuration {name}: {why}"))
}

fn not_a_number(name: &str, raw: &str, kind: Kind) -> ConfigError {
    invalid(name, raw, &format!("Not a number of type {}", kind.name()))
}

const fn fits(value: i64, bits: u32) -> bool {
    let unused = 64 - bits;
    (value << unused) >> unused == value
}

/// Removes what Java's `String.trim` removes: every character up to and including the space.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// Splits at commas and drops the white space around them; an empty text is an empty list.
fn split_list(trimmed: &str) -> Vec<String> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
    if trimmed.is_empty() {
        return Vec::new();
    }
    trimmed.split(',').map(|part| part.trim_matches(blank).to_owned()).collect()
}

/// Java's decimal forms. Not a number and infinity are refused, since no setting has a use for them.
fn parse_double(text: &str) -> Option<f64> {
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain {
        return None;
    }
    digits.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// `Double.toString` of Java 19 and later: the shortest digits that read back as the same number.
fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        // `{:?}` writes at least one digit after the point, as Java does.
        return format!("{value:?}");
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &str, kind: Kind) -> String {
        match parse("some.setting", raw, kind) {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_print_as_kafka_prints_them() {
        assert_eq!(shown(" TRUE\t", Kind::Boolean), "true");
        assert_eq!(shown(" +2000000 ", Kind::Int), "2000000");
        assert_eq!(shown("1d", Kind::Double), "1.0");
        assert_eq!(shown("0.30", Kind::Double), "0.3");
        assert_eq!(shown("1e-5", Kind::Double), "1.0E-5");
        assert_eq!(shown("1.7976931348623157E308", Kind::Double), "1.7976931348623157E308");
        assert_eq!(shown("12345678", Kind::Double), "1.2345678E7");
        assert_eq!(shown(" delete , compact ", Kind::List), "delete,compact");
        assert_eq!(shown("", Kind::List), "");
    }

    #[test]
    fn what_does_not_parse_is_named_with_its_value_as_given() {
        assert_eq!(
            shown("99999999999", Kind::Int),
            "Invalid value 99999999999 for configuration some.setting: Not a number of type INT"
        );
        assert_eq!(
            shown(" yes", Kind::Boolean),
            "Invalid value  yes for configuration some.setting: Expected value to be either true or false"
        );
        for (raw, kind) in [
            ("32768", Kind::Short),
            ("", Kind::Long),
            ("1.5", Kind::Int),
            ("inf", Kind::Double),
            ("0x1", Kind::Int),
        ] {
            let message = shown(raw, kind);
            assert!(message.ends_with(&format!("Not a number of type {}", kind.name())), "{raw}: {message}");
        }
    }
}

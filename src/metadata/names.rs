//! Which topic names are legal, internal, or too like each other, as Kafka decides it.
//!
//! Key invariant: a name without a fault is a safe part of a file name: it has no separator and is neither `.` nor `..`.

/// Where groups keep their offsets.
pub const CONSUMER_OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Where transactions keep their state.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
/// Where share groups keep their state.
pub const SHARE_GROUP_STATE_TOPIC: &str = "__share_group_state";
/// The name of Kafka's metadata log, which is no topic that a client may create.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";
/// Characters of the longest legal topic name: with a partition number it must remain a file name.
pub const TOPIC_NAME_CHARS_MAX: usize = 249;

/// Whether Metadata calls the topic internal.
pub fn is_internal(name: &str) -> bool {
    matches!(name, CONSUMER_OFFSETS_TOPIC | TRANSACTION_STATE_TOPIC | SHARE_GROUP_STATE_TOPIC)
}

/// What is wrong with `name` as a topic name, in Kafka's words, or `None` for a legal one.
pub fn topic_name_fault(name: &str) -> Option<String> {
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        // Kafka counts UTF-16 units, as Java's strings do.
        _ if name.encode_utf16().count() > TOPIC_NAME_CHARS_MAX => {
            format!("the length of '{name}' is longer than the max allowed length {TOPIC_NAME_CHARS_MAX}")
        }
        _ if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return None,
    };
    Some(format!("Topic name is invalid: {reason}"))
}

/// The name with `.` as `_`, under which two topics collide, since Kafka's metric names cannot tell them apart; `None`
/// for a name that has neither and so collides with none.
pub fn unified_name(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names_have_no_fault() {
        for name in ["a", "A.b_c-9", "...", "__consumer_offsets", &"x".repeat(249)] {
            assert_eq!(topic_name_fault(name), None, "{name}");
        }
    }

    #[test]
    fn faults_are_told_in_kafkas_words() {
        let cases = [
            ("", "Topic name is invalid: the empty string is not allowed"),
            (".", "Topic name is invalid: '.' is not allowed"),
            ("..", "Topic name is invalid: '..' is not allowed"),
            (
                "a/b",
                "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
            ),
        ];
        for (name, fault) in cases {
            assert_eq!(topic_name_fault(name).as_deref(), Some(fault));
        }
        let long = "x".repeat(250);
        let fault = format!(
            "Topic name is invalid: the length of '{long}' is longer than the max allowed length 249"
        );
        assert_eq!(topic_name_fault(&long), Some(fault));
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(unified_name("a.b"), unified_name("a_b"));
        assert_eq!(unified_name("a.b_c").as_deref(), Some("a_b_c"));
        assert_eq!(unified_name("ab-c"), None, "a name without such characters cannot collide");
        assert_ne!(unified_name("a.b"), unified_name("a.bc"));
    }
}

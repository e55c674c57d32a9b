//! Patterns of topic names (KIP-848, `SubscribedTopicRegex`): RE2's syntax, as Kafka's RE2J has it, on the `regex` crate.
//!
//! Key invariant: a pattern matches whole names only, in time linear in the name's length, and takes at most
//! [`COMPILED_BYTES_MAX`] when compiled.

use crate::coordinator::GroupError;

/// Bytes of a pattern's text. RE2J has no such bound; no name of a topic is longer than 249.
pub const PATTERN_BYTES_MAX: usize = 4_096;
/// Bytes of a compiled pattern: what keeps `((a{100}){100}){100}` out.
pub const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Groups within groups.
const NESTING_MAX: u32 = 64;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern(regex::Regex);

impl Pattern {
    /// Compiles the text that a member sent.
    pub fn new(text: &str) -> Result<Self, GroupError> {
        let refused = |why: &str| {
            let text = format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {why}.");
            GroupError::InvalidRegularExpression(text)
        };
        if text.len() > PATTERN_BYTES_MAX {
            let text = format!("SubscribedTopicRegex is longer than {PATTERN_BYTES_MAX} bytes.");
            return Err(GroupError::InvalidRegularExpression(text));
        }
        let text = translated(text);
        // On its own first: what is not balanced must not be completed by the anchors.
        compiled(&text).map_err(|error| refused(&reason(&error)))?;
        compiled(&format!(r"\A(?:{text})\z")).map(Self).map_err(|error| refused(&reason(&error)))
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

fn compiled(text: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
}

/// The last line of the error: the others draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.trim_start_matches("error: ").trim_end_matches('.').to_owned()
}

/// RE2's syntax in that of the `regex` crate: literal text between `\Q` and `\E`, octal escapes, and brackets, `&&`, `--` and
/// `~~` within a class, which mean themselves in RE2.
fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    // Within a class: whether nothing of it was read yet.
    let mut class = None;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if let Some(literal) = rest.strip_prefix(r"\Q") {
            let (quoted, tail) = literal.split_once(r"\E").unwrap_or((literal, ""));
            out.push_str(&regex::escape(quoted));
            rest = tail;
            continue;
        }
        if c == '\\' {
            rest = escape(after, &mut out);
            class = class.map(|_| false);
            continue;
        }
        rest = after;
        let Some(first) = class else {
            out.push(c);
            if c == '[' {
                class = Some(true);
                if let Some(tail) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = tail;
                }
            }
            continue;
        };
        class = Some(false);
        match c {
            // The first one in a class is a member of it.
            ']' if first => out.push_str(r"\]"),
            ']' => {
                class = None;
                out.push(c);
            }
            '[' if after.starts_with(':') && after.contains(":]") => {
                let end = after.find(":]").map_or(after.len(), |at| at + 2);
                out.push(c);
                out.push_str(&after[..end]);
                rest = &after[end..];
            }
            '[' | '&' | '~' => out.extend(['\\', c]),
            '-' if after.starts_with('-') => out.push_str(r"\-"),
            _ => out.push(c),
        }
    }
    out
}

/// Writes what an escape means, and gives what follows it. One digit alone would refer back to a group: RE2 has no such thing.
fn escape<'a>(after: &'a str, out: &mut String) -> &'a str {
    let digits = after.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    if digits > 1 || after.starts_with('0') {
        let code = u32::from_str_radix(&after[..digits], 8).unwrap_or_default();
        out.push_str(&format!(r"\x{{{code:x}}}"));
        return &after[digits..];
    }
    let escaped = after.chars().next().map_or(0, char::len_utf8);
    out.push('\\');
    out.push_str(&after[..escaped]);
    &after[escaped..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching<'a>(pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
        let pattern = Pattern::new(pattern).unwrap();
        names.iter().copied().filter(|name| pattern.matches(name)).collect()
    }

    #[test]
    fn whole_names_match() {
        let names = ["foo", "foobar", "a-foo", "bar", ""];
        assert_eq!(matching("foo", &names), ["foo"]);
        assert_eq!(matching("foo.*", &names), ["foo", "foobar"]);
        assert_eq!(matching("foo|bar", &names), ["foo", "bar"]);
        assert_eq!(matching("f|foo", &names), ["foo"], "the longer branch is tried too");
        assert_eq!(matching("^foo$", &names), ["foo"]);
        assert_eq!(matching(".*", &names), names);
    }

    #[test]
    fn the_syntax_is_re2s() {
        assert_eq!(matching(r"\Qa.b\E.*", &["a.b", "a.bc", "aXb"]), ["a.b", "a.bc"]);
        assert_eq!(matching(r"\Qa.b", &["a.b", "aXb"]), ["a.b"]);
        assert_eq!(matching("[[.]", &["[", ".", "a"]), ["[", "."]);
        assert_eq!(matching("[a&&b]", &["a", "&", "b", "c"]), ["a", "&", "b"]);
        assert_eq!(matching("[]a]", &["]", "a", "b"]), ["]", "a"]);
        assert_eq!(matching("[^]a]", &["]", "a", "b"]), ["b"]);
        assert_eq!(matching("[[:digit:]x]+", &["1x2", "a"]), ["1x2"]);
        assert_eq!(matching(r"[\]a-c]+", &["]b", "d"]), ["]b"]);
        assert_eq!(matching("(?i)ABC", &["abc"]), ["abc"]);
        assert_eq!(matching("(?P<name>a)b", &["ab"]), ["ab"]);
        assert_eq!(matching(r"\141", &["a"]), ["a"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in
            ["(", "a)(?:b", "[", "*", "(?=a)", r"(a)\1", "((a{1000}){1000}){1000}", &"a".repeat(5_000)]
        {
            let refused = Pattern::new(text);
            assert!(matches!(refused, Err(GroupError::InvalidRegularExpression(_))), "{text}: {refused:?}");
        }
        let deep = format!("{}a{}", "(".repeat(1_000), ")".repeat(1_000));
        assert!(Pattern::new(&deep).is_err());
    }
}

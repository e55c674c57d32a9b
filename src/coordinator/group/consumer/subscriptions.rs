//! What the members of a group are subscribed to: names, and patterns with the topics they matched.
//!
//! Key invariant: a name or pattern is counted once for each member that has it, and not at all without one. Topics of
//! patterns are sorted.

use std::collections::{BTreeMap, BTreeSet};

use crate::coordinator::group::space::{bytes_of, names_bytes};
use crate::coordinator::records::consumer::{MemberValue, RegexValue};
use crate::metadata::Image;

/// The subscriptions of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscriptions {
    names: BTreeMap<String, u32>,
    patterns: BTreeMap<String, u32>,
    resolved: BTreeMap<String, RegexValue>,
    /// What members brought, and what their patterns matched.
    bytes: usize,
}

impl Subscriptions {
    /// Counts a member.
    pub fn add(&mut self, value: &MemberValue) {
        self.bytes += bytes_of(value);
        for name in &value.subscribed_topics {
            add(&mut self.names, name);
        }
        if let Some(pattern) = &value.subscribed_regex {
            add(&mut self.patterns, pattern);
        }
    }

    /// Counts a member no more.
    pub fn remove(&mut self, value: &MemberValue) {
        self.bytes -= bytes_of(value);
        for name in &value.subscribed_topics {
            remove(&mut self.names, name);
        }
        if let Some(pattern) = &value.subscribed_regex {
            remove(&mut self.patterns, pattern);
        }
    }

    /// Sets what a pattern matched.
    pub fn resolve(&mut self, pattern: &str, value: Option<RegexValue>) {
        match value {
            Some(mut value) => {
                value.topics.sort_unstable();
                value.topics.dedup();
                self.bytes += resolved_bytes(pattern, &value);
                let before = self.resolved.insert(pattern.to_owned(), value);
                self.bytes -= before.map_or(0, |before| resolved_bytes(pattern, &before));
            }
            None => {
                let before = self.resolved.remove(pattern);
                self.bytes -= before.map_or(0, |before| resolved_bytes(pattern, &before));
            }
        }
    }

    /// What members brought, and what their patterns matched.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The patterns that members have.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = &str> {
        self.patterns.keys().map(String::as_str)
    }

    /// Whether a member has this pattern.
    pub fn has_pattern(&self, pattern: &str) -> bool {
        self.patterns.contains_key(pattern)
    }

    /// What the patterns matched.
    pub fn resolved(&self) -> &BTreeMap<String, RegexValue> {
        &self.resolved
    }

    /// The topics that a pattern matched; none for one that was not matched yet.
    pub fn matched(&self, pattern: &str) -> &[String] {
        self.resolved.get(pattern).map_or(&[], |value| &value.topics)
    }

    /// Whether a member is subscribed to the topic of that name.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.names.contains_key(topic)
            || self.patterns().any(|pattern| contains(self.matched(pattern), topic))
    }

    /// Whether one member's subscription has the topic.
    pub fn member_has(&self, value: &MemberValue, topic: &str) -> bool {
        let pattern = value.subscribed_regex.as_deref();
        contains(&value.subscribed_topics, topic)
            || pattern.is_some_and(|pattern| contains(self.matched(pattern), topic))
    }

    /// All topics that somebody is subscribed to, by name.
    pub fn topics(&self) -> BTreeSet<&str> {
        let named = self.names.keys().map(String::as_str);
        named
            .chain(self.patterns().flat_map(|pattern| self.matched(pattern).iter().map(String::as_str)))
            .collect()
    }

    /// Sums up the topics that exist: names, ids and partition counts. Another sum means another assignment; 0 without a
    /// topic. Kafka's own sum is another one: a group that comes from Kafka rebalances once.
    pub fn metadata_hash(&self, image: &Image) -> i64 {
        let mut sum = Fnv::default();
        let mut any = false;
        let mut take = |name: &str| {
            if let Some(topic) = image.topic(name) {
                any = true;
                sum.bytes(name.as_bytes());
                sum.bytes(&[0]);
                sum.bytes(topic.id.0.as_bytes());
                sum.bytes(&(topic.partitions.len() as u64).to_le_bytes());
            }
        };
        if self.patterns.is_empty() {
            self.names.keys().for_each(|name| take(name));
        } else {
            self.topics().into_iter().for_each(take);
        }
        if any { sum.0 as i64 } else { 0 }
    }
}

fn resolved_bytes(pattern: &str, value: &RegexValue) -> usize {
    pattern.len() + names_bytes(&value.topics)
}

/// Whether the sorted list has the name.
fn contains(sorted: &[String], name: &str) -> bool {
    sorted.binary_search_by(|entry| entry.as_str().cmp(name)).is_ok()
}

fn add(counts: &mut BTreeMap<String, u32>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => {
            counts.insert(key.to_owned(), 1);
        }
    }
}

fn remove(counts: &mut BTreeMap<String, u32>, key: &str) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(key);
        }
    }
}

/// FNV-1a, 64 bits: the same on every node and after every start.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

//! Names of topics, each in memory once.
//!
//! Key invariant: equal names that were handed out and are still held are the same memory.

use std::sync::Arc;

use hashbrown::HashSet;

/// The names that offsets of any group of a partition were committed for.
#[derive(Debug, Default)]
pub struct TopicNames {
    known: HashSet<Arc<str>>,
    /// What commits without metadata have for it, so that they share it.
    empty: Arc<str>,
}

impl TopicNames {
    /// The shared name.
    pub fn share(&mut self, name: &str) -> Arc<str> {
        self.known.get_or_insert_with(name, |name| name.into()).clone()
    }

    /// The shared empty text.
    pub fn empty(&self) -> Arc<str> {
        self.empty.clone()
    }

    /// Forgets the names that nobody else holds.
    pub fn sweep(&mut self) {
        self.known.retain(|name| Arc::strong_count(name) > 1);
    }

    /// All names, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.known.iter()
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no name is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

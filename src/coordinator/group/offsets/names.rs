//! Names of topics, each in memory once, and which topic had the name when it was last looked.
//!
//! Key invariant: equal names that were handed out and are still held are the same memory. A topic that is deleted, or deleted
//! and created anew, is noticed when its id is compared with the image's.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::metadata::Image;
use crate::model::TopicId;

/// The names that offsets of any group of a partition were committed for.
#[derive(Debug, Default)]
pub struct TopicNames {
    /// With the id of the topic as of the last look; `None` before the first.
    known: HashMap<Arc<str>, Option<TopicId>>,
    /// What commits without metadata have for it, so that they share it.
    empty: Arc<str>,
}

impl TopicNames {
    /// The shared name of a topic: of one that is there now by its id, of one that the log speaks of without.
    pub fn share(&mut self, name: &str, id: Option<TopicId>) -> Arc<str> {
        if let Some((name, _)) = self.known.get_key_value(name) {
            return name.clone();
        }
        let name: Arc<str> = name.into();
        self.known.insert(name.clone(), id);
        name
    }

    /// The shared empty text.
    pub fn empty(&self) -> Arc<str> {
        self.empty.clone()
    }

    /// The names whose topics are not those of the last look, in order.
    pub fn changed(&self, image: &Image) -> Vec<Arc<str>> {
        let differs = |(name, id): &(&Arc<str>, &Option<TopicId>)| match (image.topic(name), id) {
            (Some(now), Some(id)) => now.id != *id,
            _ => true,
        };
        let mut changed: Vec<Arc<str>> =
            self.known.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        changed.sort_unstable();
        changed
    }

    /// Notes what the names stand for in `image`.
    pub fn look(&mut self, image: &Image) {
        for (name, id) in &mut self.known {
            *id = image.topic(name).map(|topic| topic.id);
        }
    }

    /// Forgets the names that nobody else holds.
    pub fn sweep(&mut self) {
        self.known.retain(|name, _| Arc::strong_count(name) > 1);
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

//! Deleting topics by name or by id.
//!
//! Key invariant: every topic of the request gets at least one answer, and one that was named twice is not deleted.

use std::collections::BTreeSet;

use super::{Mutation, PlanInputs, Planned, duplicates};
use crate::metadata::{Command, Image, Reason, Refusal};
use crate::model::TopicId;

/// Deletes topics; the outcome says for each what was deleted or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopics {
    pub topics: Vec<TopicName>,
}

/// How a topic is named: by name, by id, or wrongly by both or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicName {
    pub name: Option<String>,
    /// [`TopicId::ZERO`] for none.
    pub id: TopicId,
}

/// What the error without words of its own says.
const UNKNOWN_TOPIC: &str = "This server does not host this topic-partition.";
const UNKNOWN_TOPIC_ID: &str = "This server does not host this topic ID.";

impl TopicName {
    /// A topic by its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), id: TopicId::ZERO }
    }

    /// A topic by its id.
    pub fn with_id(id: TopicId) -> Self {
        Self { name: None, id }
    }
}

impl Mutation for DeleteTopics {
    type Outcome = Vec<(TopicName, Result<(), Refusal>)>;

    fn plan(self, image: &Image, inputs: &mut PlanInputs<'_>) -> Result<Planned<Self::Outcome>, Refusal> {
        if !inputs.settings.topics.delete_enabled {
            return Err(Refusal::new(Reason::TopicDeletionDisabled, "Topic deletion is disabled."));
        }
        let repeated = duplicates(self.topics.iter());
        let mut outcome = Vec::with_capacity(self.topics.len());
        let mut found: Vec<(TopicId, &TopicName)> = Vec::new();
        let by_id = self.topics.iter().filter(|topic| topic.name.is_none());
        let by_id: BTreeSet<TopicId> = by_id.map(|topic| topic.id).collect();
        let mut refused_ids: BTreeSet<TopicId> = BTreeSet::new();
        for topic in self.topics.iter().filter(|topic| !repeated.contains(topic)) {
            match find(image, topic) {
                Ok(id) if topic.name.is_some() && by_id.contains(&id) => drop(refused_ids.insert(id)),
                Ok(id) => found.push((id, topic)),
                Err(refusal) => outcome.push((topic.clone(), Err(refusal))),
            }
        }
        for topic in repeated {
            outcome.push((topic.clone(), Err(repetition(topic))));
        }
        for id in &refused_ids {
            let name = image.topic_by_id(*id).map(|topic| topic.name.clone());
            let message = "The provided topic name maps to an ID that was already supplied.";
            outcome.push((TopicName { name, id: *id }, Err(Refusal::new(Reason::InvalidRequest, message))));
        }
        found.retain(|(id, _)| !refused_ids.contains(id));
        let mut commands = Vec::with_capacity(found.len());
        for (id, _) in found {
            let name = image.topic_by_id(id).map(|topic| topic.name.clone());
            commands.push(Command::DeleteTopic { id });
            outcome.push((TopicName { name, id }, Ok(())));
        }
        Ok(Planned { commands, outcome })
    }
}

/// What is said of a topic that the request names more than once.
fn repetition(topic: &TopicName) -> Refusal {
    match check_form(topic) {
        Err(fault) => fault,
        Ok(()) if topic.name.is_some() => Refusal::new(Reason::InvalidRequest, "Duplicate topic name."),
        Ok(()) => Refusal::new(Reason::InvalidRequest, "Duplicate topic id."),
    }
}

fn check_form(topic: &TopicName) -> Result<(), Refusal> {
    match (&topic.name, topic.id) {
        (None, TopicId::ZERO) => {
            Err(Refusal::new(Reason::InvalidRequest, "Neither topic name nor id were specified."))
        }
        (Some(_), id) if id != TopicId::ZERO => {
            Err(Refusal::new(Reason::InvalidRequest, "You may not specify both topic name and topic id."))
        }
        _ => Ok(()),
    }
}

fn find(image: &Image, topic: &TopicName) -> Result<TopicId, Refusal> {
    check_form(topic)?;
    match &topic.name {
        Some(name) => image
            .topic(name)
            .map(|topic| topic.id)
            .ok_or_else(|| Refusal::new(Reason::UnknownTopicOrPartition, UNKNOWN_TOPIC)),
        None => image
            .topic_by_id(topic.id)
            .map(|topic| topic.id)
            .ok_or_else(|| Refusal::new(Reason::UnknownTopicId, UNKNOWN_TOPIC_ID)),
    }
}

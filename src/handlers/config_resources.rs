//! What DescribeConfigs and both ways of altering settings share: which resource is meant, and whether it may be asked
//! for here.
//!
//! Key invariant: a resource that passes names something that this broker can answer for. Whether it exists and what
//! its settings may be is left to the controller.

use std::collections::HashSet;
use std::rc::Rc;

use super::Server;
use super::errors;
use crate::config::ResourceKind;
use crate::metadata::plan::{AlterConfigs, ConfigChange};
use crate::metadata::{ConfigResource, Presentation, topic_name_fault};
use crate::model::BrokerId;
use crate::protocol::ErrorCode;

/// Why one resource of a request is not answered as asked; the message is Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl Fault {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// INVALID_REQUEST in these words.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }
}

/// A resource as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked<'a> {
    /// The number of its kind; not every number is one.
    pub kind: i8,
    pub name: &'a str,
}

/// Whether settings are altered one by one, which alone can change log levels (KIP-412).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Whole,
    Incremental,
}

/// Which of the resources occur more than once; all of these are refused.
pub fn repeated<'a>(resources: impl Iterator<Item = Asked<'a>> + Clone) -> HashSet<Asked<'a>> {
    let mut seen = HashSet::new();
    resources.filter(|resource| !seen.insert(*resource)).collect()
}

/// Refuses a setting that is named twice, and values that are missing where one is needed.
pub fn check_settings<'a>(settings: impl Iterator<Item = (&'a str, bool)> + Clone) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    if !settings.clone().all(|(name, _)| seen.insert(name)) {
        return Err(Fault::request("Error due to duplicate config keys"));
    }
    let missing: Vec<&str> = settings.filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        return Err(Fault::request(format!("Null value not supported for : {}", missing.join(", "))));
    }
    Ok(())
}

/// The resource whose settings a request alters.
pub fn to_alter(asked: Asked<'_>, manner: Manner, nodes: &Presentation) -> Result<ConfigResource, Fault> {
    let (name, node) = (asked.name, nodes.broker());
    match ResourceKind::from_wire(asked.kind) {
        Some(ResourceKind::BrokerLogger) if manner == Manner::Incremental => logger(name, nodes),
        Some(ResourceKind::Broker) if name.is_empty() => Ok(ConfigResource::BrokerDefault),
        Some(ResourceKind::Broker) => {
            let id = nodes.resolve(node_id(name)?);
            if id != node {
                let message = format!("Unexpected broker id, expected {node}, but received {name}");
                return Err(Fault::request(message));
            }
            Ok(ConfigResource::Broker(id))
        }
        Some(ResourceKind::Topic) if name.is_empty() => {
            Err(Fault::request("Default topic resources are not allowed."))
        }
        Some(ResourceKind::Topic) => match topic_name_fault(name) {
            Some(fault) => Err(Fault::new(ErrorCode::InvalidTopicException, fault)),
            None => Ok(ConfigResource::Topic(name.to_owned())),
        },
        Some(ResourceKind::Group) if name.is_empty() => {
            Err(Fault::request("Default group resources are not allowed."))
        }
        Some(ResourceKind::Group) => Ok(ConfigResource::Group(name.to_owned())),
        Some(ResourceKind::ClientMetrics) => Ok(ConfigResource::ClientMetrics(name.to_owned())),
        Some(ResourceKind::BrokerLogger) | None => {
            Err(Fault::request(format!("Unknown resource type {}", asked.kind)))
        }
    }
}

fn logger(name: &str, nodes: &Presentation) -> Result<ConfigResource, Fault> {
    let (id, node) = (nodes.resolve(node_id(name)?), nodes.broker());
    if id != node {
        return Err(Fault::request(format!("Unexpected node id. Expected {node}, but received {id}")));
    }
    Ok(ConfigResource::BrokerLogger(id))
}

fn node_id(name: &str) -> Result<BrokerId, Fault> {
    name.parse()
        .map(BrokerId)
        .map_err(|_| Fault::request(format!("Node id must be an integer, but it is: {name}")))
}

/// The resource whose settings a request describes. The caller has sorted out numbers that are no kind.
pub fn to_describe(kind: ResourceKind, name: &str, nodes: &Presentation) -> Result<ConfigResource, Fault> {
    let node = nodes.broker();
    let broker = |expected: &str| match name.parse().map(|id| nodes.resolve(BrokerId(id))) {
        Ok(id) if id == node => Ok(id),
        Ok(_) => {
            Err(Fault::request(format!("Unexpected broker id, expected {expected} but received {name}")))
        }
        Err(_) => Err(Fault::request(format!("Broker id must be an integer, but it is: {name}"))),
    };
    match kind {
        ResourceKind::Topic => match topic_name_fault(name) {
            Some(fault) => Err(Fault::new(ErrorCode::InvalidTopicException, fault)),
            None => Ok(ConfigResource::Topic(name.to_owned())),
        },
        ResourceKind::Broker if name.is_empty() => Ok(ConfigResource::BrokerDefault),
        ResourceKind::Broker => broker(&format!("{node} or empty string,")).map(ConfigResource::Broker),
        ResourceKind::BrokerLogger if name.is_empty() => Err(Fault::request("Broker id must not be empty")),
        ResourceKind::BrokerLogger => broker(&node.to_string()).map(ConfigResource::BrokerLogger),
        ResourceKind::ClientMetrics if name.is_empty() => {
            Err(Fault::request("Client metrics subscription name must not be empty"))
        }
        ResourceKind::ClientMetrics => Ok(ConfigResource::ClientMetrics(name.to_owned())),
        ResourceKind::Group if name.is_empty() => Err(Fault::request("Group name must not be empty")),
        ResourceKind::Group => Ok(ConfigResource::Group(name.to_owned())),
    }
}

/// Asks the controller for the changes that were admitted; the rest keep their faults. One answer per entry, in order.
pub async fn submit(
    server: &Rc<Server>,
    admitted: Vec<Result<Option<(ConfigResource, ConfigChange)>, Fault>>,
    validate_only: bool,
) -> Vec<Result<(), Fault>> {
    let mut resources = Vec::new();
    let mut waiting = Vec::new();
    let mut answers: Vec<Result<(), Fault>> = Vec::with_capacity(admitted.len());
    for (place, entry) in admitted.into_iter().enumerate() {
        answers.push(entry.map(|change| {
            if let Some(change) = change {
                resources.push(change);
                waiting.push(place);
            }
        }));
    }
    if resources.is_empty() {
        return answers;
    }
    let fault = |refusal: &crate::metadata::Refusal| {
        let (code, message) = errors::of_refusal(refusal);
        Fault { code, message: message.map(str::to_owned) }
    };
    match server.controller().submit(AlterConfigs { resources, validate_only }).await {
        Ok(outcome) => {
            for (place, (_, answer)) in waiting.into_iter().zip(outcome) {
                answers[place] = answer.map_err(|refusal| fault(&refusal));
            }
        }
        Err(refusal) => {
            for place in waiting {
                answers[place] = Err(fault(&refusal));
            }
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: BrokerId = BrokerId(1);
    const WHOLE: Presentation = Presentation::whole(NODE);

    fn altered(kind: i8, name: &str) -> Result<ConfigResource, String> {
        to_alter(Asked { kind, name }, Manner::Incremental, &WHOLE)
            .map_err(|fault| fault.message.unwrap_or_default())
    }

    fn described(kind: ResourceKind, name: &str) -> Result<ConfigResource, String> {
        to_describe(kind, name, &WHOLE).map_err(|fault| fault.message.unwrap_or_default())
    }

    #[test]
    fn a_shard_that_appears_as_a_node_means_this_broker() {
        let ports = crate::config::ShardPorts::new(9093, 2).expect("there are ports");
        let nodes = Presentation::per_shard(NODE, ports);
        let altered = |kind, name| to_alter(Asked { kind, name }, Manner::Incremental, &nodes);
        assert_eq!(altered(4, "1000000001"), Ok(ConfigResource::Broker(NODE)));
        assert_eq!(altered(8, "1000000000"), Ok(ConfigResource::BrokerLogger(NODE)));
        assert!(altered(4, "1000000002").is_err());
        let described = |kind, name| to_describe(kind, name, &nodes);
        assert_eq!(described(ResourceKind::Broker, "1000000000"), Ok(ConfigResource::Broker(NODE)));
        assert_eq!(described(ResourceKind::Broker, "1"), Ok(ConfigResource::Broker(NODE)));
        assert!(described(ResourceKind::BrokerLogger, "1000000002").is_err());
        assert!(to_describe(ResourceKind::Broker, "1000000000", &WHOLE).is_err());
    }

    #[test]
    fn only_this_broker_and_the_default_of_all_can_be_altered() {
        assert_eq!(altered(4, ""), Ok(ConfigResource::BrokerDefault));
        assert_eq!(altered(4, "1"), Ok(ConfigResource::Broker(NODE)));
        assert_eq!(altered(4, "2"), Err("Unexpected broker id, expected 1, but received 2".to_owned()));
        assert_eq!(altered(4, "x"), Err("Node id must be an integer, but it is: x".to_owned()));
        assert_eq!(altered(8, "2"), Err("Unexpected node id. Expected 1, but received 2".to_owned()));
        assert_eq!(altered(3, "a"), Err("Unknown resource type 3".to_owned()));
        assert_eq!(altered(2, ""), Err("Default topic resources are not allowed.".to_owned()));
        assert_eq!(altered(32, ""), Err("Default group resources are not allowed.".to_owned()));
        assert!(altered(2, "a/b").is_err_and(|message| message.starts_with("Topic name is invalid")));
        let whole = to_alter(Asked { kind: 8, name: "1" }, Manner::Whole, &WHOLE);
        assert_eq!(whole, Err(Fault::request("Unknown resource type 8")));
    }

    #[test]
    fn what_can_be_described() {
        assert_eq!(described(ResourceKind::Broker, ""), Ok(ConfigResource::BrokerDefault));
        assert_eq!(described(ResourceKind::BrokerLogger, "1"), Ok(ConfigResource::BrokerLogger(NODE)));
        for (kind, name, message) in [
            (ResourceKind::Broker, "2", "Unexpected broker id, expected 1 or empty string, but received 2"),
            (ResourceKind::Broker, "x", "Broker id must be an integer, but it is: x"),
            (ResourceKind::BrokerLogger, "", "Broker id must not be empty"),
            (ResourceKind::BrokerLogger, "2", "Unexpected broker id, expected 1 but received 2"),
            (ResourceKind::ClientMetrics, "", "Client metrics subscription name must not be empty"),
            (ResourceKind::Group, "", "Group name must not be empty"),
        ] {
            assert_eq!(described(kind, name), Err(message.to_owned()));
        }
    }

    #[test]
    fn settings_are_named_once_and_have_values() {
        let check = |settings: &[(&str, bool)]| {
            check_settings(settings.iter().copied()).map_err(|fault| fault.message.unwrap_or_default())
        };
        assert_eq!(check(&[("a", false), ("b", false)]), Ok(()));
        assert_eq!(check(&[("a", true), ("a", false)]), Err("Error due to duplicate config keys".to_owned()));
        assert_eq!(
            check(&[("a", true), ("b", false), ("c", true)]),
            Err("Null value not supported for : a, c".to_owned())
        );
        let twice =
            [Asked { kind: 2, name: "a" }, Asked { kind: 4, name: "a" }, Asked { kind: 2, name: "a" }];
        assert_eq!(repeated(twice.into_iter()), HashSet::from([twice[0]]));
    }
}

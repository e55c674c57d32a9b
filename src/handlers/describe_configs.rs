//! DescribeConfigs (KIP-133, KIP-226, KIP-569): settings with their values, sources, synonyms and documentation.
//!
//! Key invariant: a sensitive value never leaves the broker, neither as a value nor as a synonym.

use std::rc::Rc;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::config_resources::{self, Fault};
use super::topics::text;
use super::{Server, loggers};
use crate::config::{
    BrokerSettings, Entry, Kind, ResourceKind, Source, describe_broker, describe_client_metrics,
    describe_cluster, describe_group, describe_topic,
};
use crate::metadata::{ConfigResource, Image, Presentation};
use crate::protocol::ErrorCode;

/// What a request wants to know besides values.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

/// Answers every resource in the order of the request.
pub async fn handle(server: &Rc<Server>, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let (image, settings) = (server.shard().image(), server.shard().settings());
    let detail = Detail { synonyms: request.include_synonyms, documentation: request.include_documentation };
    // As in Kafka, a number that is no kind of resource spoils the whole request.
    let unknown =
        request.resources.iter().find(|asked| ResourceKind::from_wire(asked.resource_type).is_none());
    let refused = unknown.map(|_| Fault::request(ErrorCode::InvalidRequest.message()));
    let results = request.resources.iter().map(|asked| {
        let entries = match &refused {
            Some(fault) => Err(fault.clone()),
            None => entries(asked, (&image, server.presentation()), &settings),
        };
        result(asked, entries, detail)
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// All settings of the resource that is asked for.
fn entries(
    asked: &DescribeConfigsResource,
    (image, nodes): (&Image, &Presentation),
    settings: &BrokerSettings,
) -> Result<Vec<Entry>, Fault> {
    let Some(kind) = ResourceKind::from_wire(asked.resource_type) else { return Ok(Vec::new()) };
    let resource = config_resources::to_describe(kind, &asked.resource_name, nodes)?;
    let stored = image.config(&resource);
    Ok(match &resource {
        ConfigResource::Topic(name) if image.topic(name).is_none() => {
            // Kafka answers this one without a message.
            return Err(Fault::new(ErrorCode::UnknownTopicOrPartition, ""));
        }
        ConfigResource::Topic(_) => describe_topic(stored, settings),
        ConfigResource::BrokerDefault => describe_cluster(settings),
        ConfigResource::Broker(_) => describe_broker(settings, image.brokers().len()),
        ConfigResource::BrokerLogger(_) => loggers::levels().into_iter().map(level).collect(),
        ConfigResource::ClientMetrics(_) => describe_client_metrics(stored),
        ConfigResource::Group(_) => describe_group(stored, settings),
    })
}

fn level((name, level): (&'static str, String)) -> Entry {
    Entry {
        name: name.to_owned(),
        value: Some(level),
        source: Source::Logger,
        sensitive: false,
        read_only: false,
        synonyms: Vec::new(),
        kind: None,
        documentation: Some(""),
    }
}

fn result(
    asked: &DescribeConfigsResource,
    entries: Result<Vec<Entry>, Fault>,
    detail: Detail,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(asked.resource_type)
        .with_resource_name(asked.resource_name.clone());
    match entries {
        Ok(entries) => {
            // No list of names, and an empty one, mean all settings.
            let names = asked.configuration_keys.as_deref().filter(|names| !names.is_empty());
            let wanted = |entry: &Entry| {
                names.is_none_or(|names| names.iter().any(|name| name.as_str() == entry.name))
            };
            let configs = entries.into_iter().filter(wanted).map(|entry| described(entry, detail));
            result.with_configs(configs.collect())
        }
        Err(fault) => result.with_error_code(fault.code.code()).with_error_message(fault.message.map(text)),
    }
}

fn described(entry: Entry, detail: Detail) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().filter(|_| detail.synonyms).map(|synonym| {
        DescribeConfigsSynonym::default()
            .with_name(text(synonym.name))
            .with_value(synonym.value.map(text))
            .with_source(synonym.source.wire())
    });
    let documentation = entry.documentation.filter(|_| detail.documentation);
    DescribeConfigsResourceResult::default()
        .with_name(text(entry.name))
        .with_value(entry.value.map(text))
        .with_read_only(entry.read_only)
        .with_config_source(entry.source.wire())
        .with_is_sensitive(entry.sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(entry.kind.map_or(0, Kind::wire))
        .with_documentation(documentation.map(StrBytes::from_static_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BrokerId;

    const WHOLE: Presentation = Presentation::whole(BrokerId(1));

    fn asked(kind: i8, name: &'static str, keys: Option<&[&'static str]>) -> DescribeConfigsResource {
        let key = |name: &&'static str| StrBytes::from_static_str(name);
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configuration_keys(keys.map(|keys| keys.iter().map(key).collect()))
    }

    fn answer(asked: &DescribeConfigsResource, detail: Detail) -> DescribeConfigsResult {
        let entries = entries(asked, (&Image::default(), &WHOLE), &BrokerSettings::default());
        result(asked, entries, detail)
    }

    const ALL: Detail = Detail { synonyms: true, documentation: true };
    const NONE: Detail = Detail { synonyms: false, documentation: false };

    #[test]
    fn names_select_settings_and_no_names_mean_all() {
        assert_eq!(answer(&asked(32, "g", None), ALL).configs.len(), 11);
        assert_eq!(answer(&asked(32, "g", Some(&[])), ALL).configs.len(), 11);
        let two = answer(&asked(32, "g", Some(&["share.isolation.level", "no.such"])), ALL);
        assert_eq!(
            two.configs.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["share.isolation.level"]
        );
    }

    #[test]
    fn synonyms_and_documentation_are_there_if_asked_for() {
        let asked = asked(4, "1", Some(&["log.retention.hours"]));
        let full = answer(&asked, ALL).configs.remove(0);
        assert_eq!((full.synonyms.len(), full.config_type, full.read_only), (1, 3, true));
        assert!(full.documentation.is_some_and(|text| !text.is_empty()));
        let bare = answer(&asked, NONE).configs.remove(0);
        assert_eq!((bare.synonyms.len(), bare.documentation, bare.config_source), (0, None, 5));
    }

    #[test]
    fn an_unknown_topic_is_an_error_without_a_message() {
        let unknown = answer(&asked(2, "t", None), ALL);
        assert_eq!((unknown.error_code, unknown.error_message.as_deref()), (3, Some("")));
        let illegal = answer(&asked(2, "a b", None), ALL);
        assert_eq!(illegal.error_code, 17);
        let other = answer(&asked(4, "2", None), ALL);
        assert_eq!(other.error_code, 42);
    }

    #[test]
    fn log_levels_have_a_source_of_their_own() {
        let levels = answer(&asked(8, "1", Some(&["root"])), ALL);
        let root = &levels.configs[0];
        assert_eq!((root.name.as_str(), root.config_source, root.config_type), ("root", 6, 0));
    }
}

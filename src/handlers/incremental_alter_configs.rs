//! IncrementalAlterConfigs (KIP-339): sets, resets, appends to and subtracts from single settings; also log levels.

use std::rc::Rc;

use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::config_resources::{self, Asked, Fault, Manner};
use super::topics::text;
use super::{Server, loggers};
use crate::config::{Change, ConfigError, Operation, ResourceKind, validate_logger};
use crate::metadata::plan::ConfigChange;
use crate::metadata::{ConfigResource, Presentation};
use crate::protocol::ErrorCode;

/// Answers every resource in the order of the request.
pub async fn handle(
    server: &Rc<Server>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let repeated = config_resources::repeated(request.resources.iter().map(asked));
    let mut admitted = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        if repeated.contains(&asked(resource)) {
            admitted.push(Err(Fault::request("Each resource must appear at most once.")));
            continue;
        }
        admitted.push(match admit(resource, server.presentation()) {
            Ok((ConfigResource::BrokerLogger(_), changes)) => {
                change_levels(&changes, request.validate_only).map(|()| None)
            }
            Ok((altered, changes)) => Ok(Some((altered, ConfigChange::Incremental(changes)))),
            Err(fault) => Err(fault),
        });
    }
    let answers = config_resources::submit(server, admitted, request.validate_only).await;
    let responses = request.resources.iter().zip(answers).map(|(resource, answer)| {
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match answer {
            Ok(()) => response.with_error_message(None),
            Err(fault) => {
                response.with_error_code(fault.code.code()).with_error_message(fault.message.map(text))
            }
        }
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn asked(resource: &AlterConfigsResource) -> Asked<'_> {
    Asked { kind: resource.resource_type, name: &resource.resource_name }
}

/// The changes that are asked for, if the request is well formed.
fn admit(
    resource: &AlterConfigsResource,
    nodes: &Presentation,
) -> Result<(ConfigResource, Vec<Change>), Fault> {
    let deletes = |operation| Operation::from_wire(operation) == Some(Operation::Delete);
    config_resources::check_settings(
        resource.configs.iter().map(|config| {
            (config.name.as_str(), config.value.is_none() && !deletes(config.config_operation))
        }),
    )?;
    let altered = config_resources::to_alter(asked(resource), Manner::Incremental, nodes)?;
    let is_logger = ResourceKind::from_wire(resource.resource_type) == Some(ResourceKind::BrokerLogger);
    let changes = resource.configs.iter().map(|config| {
        let number = config.config_operation;
        let operation = Operation::from_wire(number).ok_or_else(|| match is_logger {
            true => Fault::request(format!(
                "Unknown operation type {number} is not allowed for the BROKER_LOGGER resource"
            )),
            false => Fault::request(format!("Unknown operations type {number}")),
        })?;
        Ok(Change {
            name: config.name.to_string(),
            operation,
            value: config.value.as_ref().map(ToString::to_string),
        })
    });
    Ok((altered, changes.collect::<Result<_, Fault>>()?))
}

fn change_levels(changes: &[Change], validate_only: bool) -> Result<(), Fault> {
    validate_logger(changes, loggers::known()).map_err(|error| match error {
        ConfigError::Config(message) => Fault::new(ErrorCode::InvalidConfig, message),
        ConfigError::Request(message) => Fault::request(message),
    })?;
    if !validate_only {
        loggers::change(changes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::model::BrokerId;

    const WHOLE: Presentation = Presentation::whole(BrokerId(1));

    fn resource(
        kind: i8,
        name: &'static str,
        config: (&'static str, i8, Option<&'static str>),
    ) -> AlterConfigsResource {
        let (setting, operation, value) = config;
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configs(vec![
                AlterableConfig::default()
                    .with_name(StrBytes::from_static_str(setting))
                    .with_config_operation(operation)
                    .with_value(value.map(StrBytes::from_static_str)),
            ])
    }

    fn message(resource: &AlterConfigsResource) -> Option<String> {
        admit(resource, &WHOLE).err().and_then(|fault| fault.message)
    }

    #[test]
    fn only_a_deletion_needs_no_value() {
        let (altered, changes) =
            admit(&resource(2, "t", ("retention.ms", 1, None)), &WHOLE).expect("well formed");
        assert_eq!(altered, ConfigResource::Topic("t".to_owned()));
        let wanted = Change { name: "retention.ms".to_owned(), operation: Operation::Delete, value: None };
        assert_eq!(changes, [wanted]);
        assert_eq!(
            message(&resource(2, "t", ("retention.ms", 0, None))),
            Some("Null value not supported for : retention.ms".to_owned())
        );
    }

    #[test]
    fn unknown_operations_are_refused() {
        assert_eq!(
            message(&resource(4, "1", ("num.io.threads", 9, Some("1")))),
            Some("Unknown operations type 9".to_owned())
        );
        assert_eq!(
            message(&resource(8, "1", ("root", 9, Some("INFO")))),
            Some("Unknown operation type 9 is not allowed for the BROKER_LOGGER resource".to_owned())
        );
    }

    #[test]
    fn levels_are_only_checked_if_that_was_asked() {
        let before = loggers::levels();
        let change =
            Change { name: "corelog".to_owned(), operation: Operation::Set, value: Some("TRACE".to_owned()) };
        assert_eq!(change_levels(&[change], true), Ok(()));
        assert_eq!(loggers::levels(), before);
        let unknown =
            Change { name: "kafka".to_owned(), operation: Operation::Set, value: Some("INFO".to_owned()) };
        assert_eq!(
            change_levels(&[unknown], false),
            Err(Fault::new(ErrorCode::InvalidConfig, "Logger kafka does not exist!"))
        );
    }
}

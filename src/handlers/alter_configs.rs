//! AlterConfigs (KIP-133): replaces all settings of a resource. Settings that are not named are reset.

use std::rc::Rc;

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::Server;
use super::config_resources::{self, Asked, Fault, Manner};
use super::topics::text;
use crate::metadata::plan::ConfigChange;
use crate::metadata::{ConfigResource, Presentation};

/// Answers every resource in the order of the request.
pub async fn handle(server: &Rc<Server>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let repeated = config_resources::repeated(request.resources.iter().map(asked));
    let admitted = request.resources.iter().map(|resource| {
        if repeated.contains(&asked(resource)) {
            return Err(Fault::request("Each resource must appear at most once."));
        }
        admit(resource, server.presentation()).map(Some)
    });
    let answers = config_resources::submit(server, admitted.collect(), request.validate_only).await;
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
    AlterConfigsResponse::default().with_responses(responses.collect())
}

fn asked(resource: &AlterConfigsResource) -> Asked<'_> {
    Asked { kind: resource.resource_type, name: &resource.resource_name }
}

/// The change that is asked for, if the request is well formed.
fn admit(
    resource: &AlterConfigsResource,
    nodes: &Presentation,
) -> Result<(ConfigResource, ConfigChange), Fault> {
    config_resources::check_settings(
        resource.configs.iter().map(|config| (config.name.as_str(), config.value.is_none())),
    )?;
    let altered = config_resources::to_alter(asked(resource), Manner::Whole, nodes)?;
    let settings = resource
        .configs
        .iter()
        .filter_map(|config| config.value.as_ref().map(|value| (config.name.to_string(), value.to_string())));
    Ok((altered, ConfigChange::Replace(settings.collect())))
}

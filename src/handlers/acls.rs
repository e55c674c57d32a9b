//! DescribeAcls, CreateAcls and DeleteAcls (KIP-140): there is no authorizer, so there are no ACLs.
//!
//! Key invariants: nobody is told that access was restricted, since it is not. As in Kafka, a request that names
//! something by the code for "unknown" is malformed.

use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};

use super::topics::text;
use crate::protocol::ErrorCode;

const NO_AUTHORIZER: &str = "No Authorizer is configured.";
/// Kafka answers this one in its broker, the others in its controller, and in other words.
const NO_AUTHORIZER_ON_BROKER: &str = "No Authorizer is configured on the broker";
/// The code for "unknown" of resource types, pattern types, operations and permissions.
const UNKNOWN: i8 = 0;

/// A request that cannot be served: its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("it names a resource type, pattern type, operation or permission as unknown")]
pub struct NamesUnknown;

/// Answers DescribeAcls.
pub fn describe(request: &DescribeAclsRequest) -> Result<DescribeAclsResponse, NamesUnknown> {
    let DescribeAclsRequest { resource_type_filter, pattern_type_filter, operation, permission_type, .. } =
        request;
    check([*resource_type_filter, *pattern_type_filter, *operation, *permission_type])?;
    Ok(DescribeAclsResponse::default()
        .with_error_code(ErrorCode::SecurityDisabled.code())
        .with_error_message(Some(text(NO_AUTHORIZER_ON_BROKER))))
}

/// Answers CreateAcls, each creation apart.
pub fn create(request: &CreateAclsRequest) -> Result<CreateAclsResponse, NamesUnknown> {
    for acl in &request.creations {
        check([acl.resource_type, acl.resource_pattern_type, acl.operation, acl.permission_type])?;
    }
    let refused = AclCreationResult::default()
        .with_error_code(ErrorCode::SecurityDisabled.code())
        .with_error_message(Some(text(NO_AUTHORIZER)));
    Ok(CreateAclsResponse::default().with_results(vec![refused; request.creations.len()]))
}

/// Answers DeleteAcls, each filter apart.
pub fn delete(request: &DeleteAclsRequest) -> Result<DeleteAclsResponse, NamesUnknown> {
    for filter in &request.filters {
        let types = [filter.resource_type_filter, filter.pattern_type_filter];
        check([types[0], types[1], filter.operation, filter.permission_type])?;
    }
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(ErrorCode::SecurityDisabled.code())
        .with_error_message(Some(text(NO_AUTHORIZER)));
    Ok(DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()]))
}

fn check(codes: [i8; 4]) -> Result<(), NamesUnknown> {
    if codes.contains(&UNKNOWN) { Err(NamesUnknown) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::create_acls_request::AclCreation;
    use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;

    #[test]
    fn every_part_of_a_request_is_refused_for_want_of_an_authorizer() {
        let any = DescribeAclsRequest::default()
            .with_resource_type_filter(1)
            .with_pattern_type_filter(1)
            .with_operation(1)
            .with_permission_type(1);
        let disabled = ErrorCode::SecurityDisabled.code();
        assert_eq!(describe(&any).expect("it is well-formed").error_code, disabled);
        let acl = AclCreation::default()
            .with_resource_type(2)
            .with_resource_pattern_type(3)
            .with_operation(3)
            .with_permission_type(3);
        let created = create(&CreateAclsRequest::default().with_creations(vec![acl.clone(), acl]));
        let codes: Vec<i16> =
            created.expect("it is well-formed").results.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [disabled; 2]);
    }

    #[test]
    fn what_is_unknown_is_malformed() {
        let unknown = DescribeAclsRequest::default()
            .with_resource_type_filter(1)
            .with_pattern_type_filter(1)
            .with_operation(UNKNOWN)
            .with_permission_type(1);
        assert!(describe(&unknown).is_err());
        let acl = AclCreation::default().with_resource_type(UNKNOWN);
        assert!(create(&CreateAclsRequest::default().with_creations(vec![acl])).is_err());
        let filter = DeleteAclsFilter::default().with_permission_type(UNKNOWN);
        assert!(delete(&DeleteAclsRequest::default().with_filters(vec![filter])).is_err());
    }
}

//! DescribeAcls, CreateAcls and DeleteAcls (KIP-140): there is no authorizer, so there are no ACLs.
//!
//! Key invariant: nobody is told that access was restricted, since it is not.

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

/// Answers DescribeAcls.
pub async fn describe(_request: DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse::default()
        .with_error_code(ErrorCode::SecurityDisabled.code())
        .with_error_message(Some(text(NO_AUTHORIZER_ON_BROKER)))
}

/// Answers CreateAcls, each creation apart.
pub async fn create(request: CreateAclsRequest) -> CreateAclsResponse {
    let refused = AclCreationResult::default()
        .with_error_code(ErrorCode::SecurityDisabled.code())
        .with_error_message(Some(text(NO_AUTHORIZER)));
    CreateAclsResponse::default().with_results(vec![refused; request.creations.len()])
}

/// Answers DeleteAcls, each filter apart.
pub async fn delete(request: DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(ErrorCode::SecurityDisabled.code())
        .with_error_message(Some(text(NO_AUTHORIZER)));
    DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()])
}

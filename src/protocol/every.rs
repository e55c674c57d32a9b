//! One entry to the decoders of all offered requests, for what only asks whether bytes decode: tests, fuzzing, tools.
//!
//! Key invariant: every API of the table has an arm, and that is the decoder of its handler; a test walks the table.
//! Handlers decode the type that they serve and do not come here.

use super::offset_commit::OffsetCommitRequest;
use super::offset_fetch::OffsetFetchRequest;
use super::produce;
use super::share_acknowledge::ShareAcknowledgeRequest;
use super::share_fetch::ShareFetchRequest;
use super::share_group_offsets::DescribeShareGroupOffsetsRequest;
use super::{ApiKey, DecodeError, decode};
use bytes::{Buf, Bytes};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

/// Decodes the body of a request of `api`, drops it, and leaves in `body` what follows it.
pub fn decode_any(api: ApiKey, body: &mut Bytes, version: i16) -> Result<(), DecodeError> {
    let decoder: fn(&mut Bytes, i16) -> Result<(), DecodeError> = match api {
        ApiKey::Produce => discard_produce,
        ApiKey::Fetch => discard::<FetchRequest>,
        ApiKey::ListOffsets => discard::<ListOffsetsRequest>,
        ApiKey::Metadata => discard::<MetadataRequest>,
        ApiKey::OffsetCommit => discard::<OffsetCommitRequest>,
        ApiKey::OffsetFetch => discard::<OffsetFetchRequest>,
        ApiKey::FindCoordinator => discard::<FindCoordinatorRequest>,
        ApiKey::JoinGroup => discard::<JoinGroupRequest>,
        ApiKey::Heartbeat => discard::<HeartbeatRequest>,
        ApiKey::LeaveGroup => discard::<LeaveGroupRequest>,
        ApiKey::SyncGroup => discard::<SyncGroupRequest>,
        ApiKey::DescribeGroups => discard::<DescribeGroupsRequest>,
        ApiKey::ListGroups => discard::<ListGroupsRequest>,
        ApiKey::ApiVersions => discard::<ApiVersionsRequest>,
        ApiKey::CreateTopics => discard::<CreateTopicsRequest>,
        ApiKey::DeleteTopics => discard::<DeleteTopicsRequest>,
        ApiKey::DeleteRecords => discard::<DeleteRecordsRequest>,
        ApiKey::InitProducerId => discard::<InitProducerIdRequest>,
        ApiKey::OffsetForLeaderEpoch => discard::<OffsetForLeaderEpochRequest>,
        ApiKey::DescribeAcls => discard::<DescribeAclsRequest>,
        ApiKey::CreateAcls => discard::<CreateAclsRequest>,
        ApiKey::DeleteAcls => discard::<DeleteAclsRequest>,
        ApiKey::DescribeConfigs => discard::<DescribeConfigsRequest>,
        ApiKey::AlterConfigs => discard::<AlterConfigsRequest>,
        ApiKey::AlterReplicaLogDirs => discard::<AlterReplicaLogDirsRequest>,
        ApiKey::DescribeLogDirs => discard::<DescribeLogDirsRequest>,
        ApiKey::CreatePartitions => discard::<CreatePartitionsRequest>,
        ApiKey::DeleteGroups => discard::<DeleteGroupsRequest>,
        ApiKey::ElectLeaders => discard::<ElectLeadersRequest>,
        ApiKey::IncrementalAlterConfigs => discard::<IncrementalAlterConfigsRequest>,
        ApiKey::AlterPartitionReassignments => discard::<AlterPartitionReassignmentsRequest>,
        ApiKey::ListPartitionReassignments => discard::<ListPartitionReassignmentsRequest>,
        ApiKey::OffsetDelete => discard::<OffsetDeleteRequest>,
        ApiKey::DescribeQuorum => discard::<DescribeQuorumRequest>,
        ApiKey::UpdateFeatures => discard::<UpdateFeaturesRequest>,
        ApiKey::DescribeCluster => discard::<DescribeClusterRequest>,
        ApiKey::DescribeProducers => discard::<DescribeProducersRequest>,
        ApiKey::ConsumerGroupHeartbeat => discard::<ConsumerGroupHeartbeatRequest>,
        ApiKey::ConsumerGroupDescribe => discard::<ConsumerGroupDescribeRequest>,
        ApiKey::ListConfigResources => discard::<ListConfigResourcesRequest>,
        ApiKey::DescribeTopicPartitions => discard::<DescribeTopicPartitionsRequest>,
        ApiKey::ShareGroupHeartbeat => discard::<ShareGroupHeartbeatRequest>,
        ApiKey::ShareGroupDescribe => discard::<ShareGroupDescribeRequest>,
        ApiKey::ShareFetch => discard::<ShareFetchRequest>,
        ApiKey::ShareAcknowledge => discard::<ShareAcknowledgeRequest>,
        ApiKey::DescribeShareGroupOffsets => discard::<DescribeShareGroupOffsetsRequest>,
        ApiKey::AlterShareGroupOffsets => discard::<AlterShareGroupOffsetsRequest>,
        ApiKey::DeleteShareGroupOffsets => discard::<DeleteShareGroupOffsetsRequest>,
        other => return Err(DecodeError::NotOffered(other as i16)),
    };
    decoder(body, version)
}

fn discard<T: Request>(body: &mut Bytes, version: i16) -> Result<(), DecodeError> {
    decode::<T>(body, version).map(drop)
}

fn discard_produce(body: &mut Bytes, version: i16) -> Result<(), DecodeError> {
    let mut rest = &body[..];
    produce::ProduceRequest::decode(&mut rest, version)?;
    let taken = body.len() - rest.len();
    body.advance(taken);
    Ok(())
}

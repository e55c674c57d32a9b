//! Where the error codes of each answer stand, so that every error a client is told is counted.
//!
//! Key invariant: each code of an answer is visited once; no code means no error and counts nothing.

use kafka_protocol::messages::{
    AlterConfigsResponse, AlterPartitionReassignmentsResponse, AlterReplicaLogDirsResponse,
    AlterShareGroupOffsetsResponse, ApiVersionsResponse, ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatResponse, CreateAclsResponse, CreatePartitionsResponse, CreateTopicsResponse,
    DeleteAclsResponse, DeleteGroupsResponse, DeleteRecordsResponse, DeleteShareGroupOffsetsResponse,
    DeleteTopicsResponse, DescribeAclsResponse, DescribeClusterResponse, DescribeConfigsResponse,
    DescribeGroupsResponse, DescribeLogDirsResponse, DescribeProducersResponse, DescribeQuorumResponse,
    DescribeTopicPartitionsResponse, ElectLeadersResponse, FindCoordinatorResponse, HeartbeatResponse,
    IncrementalAlterConfigsResponse, InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse,
    ListConfigResourcesResponse, ListGroupsResponse, ListOffsetsResponse, ListPartitionReassignmentsResponse,
    MetadataResponse, OffsetDeleteResponse, OffsetForLeaderEpochResponse, ShareGroupDescribeResponse,
    ShareGroupHeartbeatResponse, SyncGroupResponse, UpdateFeaturesResponse,
};

use crate::protocol::offset_commit::OffsetCommitResponse;
use crate::protocol::offset_fetch::OffsetFetchResponse;
use crate::protocol::share_acknowledge::ShareAcknowledgeResponse;
use crate::protocol::share_group_offsets::DescribeShareGroupOffsetsResponse;

/// An answer whose error codes can be visited.
pub trait Codes {
    /// Calls `visit` with every error code, those of success included.
    fn each(&self, visit: &mut dyn FnMut(i16));
}

/// Implements [`Codes`]: the answer's own code where it has one, then those of the lists in it, each list's name with
/// the lists within.
macro_rules! codes {
    ($($answer:ident { $($own:ident,)? $([$($list:ident)+])* })*) => {
        $(impl Codes for $answer {
            fn each(&self, visit: &mut dyn FnMut(i16)) {
                $(visit(self.$own);)?
                $(codes!(@visit self, visit, $($list)+);)*
                // Some answers have neither.
                let _ = visit;
            }
        })*
    };
    (@visit $at:expr, $visit:ident, $list:ident) => {
        $at.$list.iter().for_each(|entry| $visit(entry.error_code))
    };
    (@visit $at:expr, $visit:ident, $list:ident $($rest:ident)+) => {
        $at.$list.iter().for_each(|entry| codes!(@visit entry, $visit, $($rest)+))
    };
}

codes! {
    AlterConfigsResponse { [responses] }
    AlterPartitionReassignmentsResponse { error_code, [responses partitions] }
    AlterReplicaLogDirsResponse { [results partitions] }
    AlterShareGroupOffsetsResponse { error_code, [responses partitions] }
    ApiVersionsResponse { error_code, }
    ConsumerGroupDescribeResponse { [groups] }
    ConsumerGroupHeartbeatResponse { error_code, }
    CreateAclsResponse { [results] }
    CreatePartitionsResponse { [results] }
    CreateTopicsResponse { [topics] }
    DeleteAclsResponse { [filter_results] }
    DeleteGroupsResponse { [results] }
    DeleteRecordsResponse { [topics partitions] }
    DeleteShareGroupOffsetsResponse { error_code, [responses] }
    DeleteTopicsResponse { [responses] }
    DescribeShareGroupOffsetsResponse { [groups] [groups topics partitions] }
    DescribeAclsResponse { error_code, }
    DescribeClusterResponse { error_code, }
    DescribeConfigsResponse { [results] }
    DescribeGroupsResponse { [groups] }
    DescribeLogDirsResponse { error_code, [results] }
    DescribeProducersResponse { [topics partitions] }
    DescribeQuorumResponse { error_code, [topics partitions] }
    DescribeTopicPartitionsResponse { [topics] [topics partitions] }
    ElectLeadersResponse { error_code, [replica_election_results partition_result] }
    FindCoordinatorResponse { error_code, [coordinators] }
    HeartbeatResponse { error_code, }
    IncrementalAlterConfigsResponse { [responses] }
    InitProducerIdResponse { error_code, }
    JoinGroupResponse { error_code, }
    LeaveGroupResponse { error_code, [members] }
    ListConfigResourcesResponse { error_code, }
    ListGroupsResponse { error_code, }
    ListOffsetsResponse { [topics partitions] }
    ListPartitionReassignmentsResponse { error_code, }
    MetadataResponse { [topics] [topics partitions] }
    OffsetCommitResponse { [topics partitions] }
    OffsetDeleteResponse { error_code, [topics partitions] }
    OffsetFetchResponse { [groups] [groups topics partitions] }
    OffsetForLeaderEpochResponse { [topics partitions] }
    SyncGroupResponse { error_code, }
    ShareAcknowledgeResponse { error_code, [responses partitions] }
    ShareGroupDescribeResponse { [groups] }
    ShareGroupHeartbeatResponse { error_code, }
    UpdateFeaturesResponse { error_code, [results] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::describe_topic_partitions_response::{
        DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
    };
    use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;

    fn visited(answer: &impl Codes) -> Vec<i16> {
        let mut codes = Vec::new();
        answer.each(&mut |code| codes.push(code));
        codes
    }

    #[test]
    fn own_codes_and_those_of_lists_are_visited() {
        let results = vec![UpdatableFeatureResult::default().with_error_code(7); 2];
        let answer = UpdateFeaturesResponse::default().with_error_code(5).with_results(results);
        assert_eq!(visited(&answer), [5, 7, 7]);
    }

    #[test]
    fn lists_within_lists_are_visited() {
        let partition = DescribeTopicPartitionsResponsePartition::default().with_error_code(3);
        let topic = DescribeTopicPartitionsResponseTopic::default().with_error_code(1);
        let topics = vec![topic.clone().with_partitions(vec![partition.clone(), partition]), topic];
        assert_eq!(visited(&DescribeTopicPartitionsResponse::default().with_topics(topics)), [1, 1, 3, 3]);
    }
}

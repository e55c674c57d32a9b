//! AlterReplicaLogDirs (KIP-113): a broker has one data directory, where its replicas are already.

use std::path::Path;
use std::rc::Rc;

use kafka_protocol::messages::alter_replica_log_dirs_request::AlterReplicaLogDirTopic;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

use super::Server;
use super::describe_log_dirs::data_directory;
use crate::model::PartitionIndex;
use crate::protocol::ErrorCode;

/// Answers each replica: moving to where it is succeeds, any other directory does not exist.
pub async fn handle(server: &Rc<Server>, request: AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse {
    let here = data_directory(server);
    let mut results = Vec::new();
    for directory in request.dirs {
        let known = Path::new(directory.path.as_str()) == here;
        results.extend(directory.topics.into_iter().map(|topic| answer(server, topic, known)));
    }
    AlterReplicaLogDirsResponse::default().with_results(results)
}

fn answer(server: &Server, topic: AlterReplicaLogDirTopic, known: bool) -> AlterReplicaLogDirTopicResult {
    let image = server.shard().image();
    let found = image.topic(&topic.name);
    let partitions = topic.partitions.iter().map(|index| {
        let exists = found.is_some_and(|topic| topic.partition(PartitionIndex(*index)).is_some());
        let code = match (known, exists) {
            (false, _) => ErrorCode::LogDirNotFound,
            (true, false) => ErrorCode::UnknownTopicOrPartition,
            (true, true) => ErrorCode::None,
        };
        AlterReplicaLogDirPartitionResult::default().with_partition_index(*index).with_error_code(code.code())
    });
    let partitions = partitions.collect();
    AlterReplicaLogDirTopicResult::default().with_topic_name(topic.name).with_partitions(partitions)
}

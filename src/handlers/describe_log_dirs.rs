//! DescribeLogDirs (KIP-113, KIP-827): what the data directory holds and how much room it has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};

use super::topics::text;
use super::{Client, Server};
use crate::metadata::Image;
use crate::model::{PartitionIndex, ShardId, TopicId};
use crate::protocol::ErrorCode;

/// From this version on the answer tells the room on the device.
const ROOM_FROM: i16 = 4;
/// What says that the room is not known.
const ROOM_UNKNOWN: i64 = -1;

/// Sizes in bytes of the partitions that are open.
type Sizes = BTreeMap<(TopicId, PartitionIndex), i64>;

/// Describes the partitions that are named, or all of them.
pub async fn handle(
    server: &Rc<Server>,
    client: &Client,
    request: DescribeLogDirsRequest,
    version: i16,
) -> DescribeLogDirsResponse {
    let image = server.shard().image();
    let sizes = sizes(server, server.shards_seen_by(client)).await;
    let topics = match &request.topics {
        None => image.topics().filter_map(|topic| described(&image, &sizes, &topic.name, None)).collect(),
        Some(topics) => {
            // A partition that is named twice is told once.
            let mut named: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
            for topic in topics {
                named.entry(topic.topic.as_str()).or_default().extend(&topic.partitions);
            }
            let one = |(name, partitions): (&str, BTreeSet<i32>)| {
                described(&image, &sizes, name, Some(&partitions))
            };
            named.into_iter().filter_map(one).collect()
        }
    };
    let directory = data_directory(server);
    let (total_bytes, usable_bytes) =
        if version >= ROOM_FROM { room(directory.clone()).await } else { (ROOM_UNKNOWN, ROOM_UNKNOWN) };
    let result = DescribeLogDirsResult::default()
        .with_error_code(ErrorCode::None.code())
        .with_log_dir(text(directory.to_string_lossy()))
        .with_topics(topics)
        .with_total_bytes(total_bytes)
        .with_usable_bytes(usable_bytes);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

/// The data directory as an absolute path.
pub(super) fn data_directory(server: &Server) -> PathBuf {
    let directory = &server.shard().settings().data_dir;
    std::path::absolute(directory).unwrap_or_else(|_| directory.clone())
}

/// Asks shards for the sizes of their partitions; a shard that is gone has none.
async fn sizes(server: &Rc<Server>, shards: Range<u16>) -> Sizes {
    let shard = server.shard();
    let mut sizes = Sizes::new();
    for number in shards {
        let job = |owner: Rc<crate::shard::Shard>| async move {
            let ready = owner.table().ready();
            let one = |partition: &Rc<crate::partition::Partition>| {
                let size = i64::try_from(partition.log().size_bytes()).unwrap_or(i64::MAX);
                ((partition.id().topic_id, partition.id().partition), size)
            };
            ready.iter().map(one).collect::<Vec<_>>()
        };
        sizes.extend(shard.on(ShardId(number), job).await.unwrap_or_default());
    }
    sizes
}

/// The topic's open partitions, or those of them that are named; `None` if there are none.
fn described(
    image: &Image,
    sizes: &Sizes,
    name: &str,
    partitions: Option<&BTreeSet<i32>>,
) -> Option<DescribeLogDirsTopic> {
    let topic = image.topic(name)?;
    let all = sizes.range((topic.id, PartitionIndex(0))..=(topic.id, PartitionIndex(i32::MAX)));
    let described: Vec<DescribeLogDirsPartition> = all
        .filter(|((_, index), _)| partitions.is_none_or(|named| named.contains(&index.get())))
        .map(|((_, index), size)| {
            DescribeLogDirsPartition::default().with_partition_index(index.get()).with_partition_size(*size)
        })
        .collect();
    let name = TopicName(text(name));
    (!described.is_empty())
        .then(|| DescribeLogDirsTopic::default().with_name(name).with_partitions(described))
}

/// Bytes of the file system, and those that this process may still use.
async fn room(directory: PathBuf) -> (i64, i64) {
    let facts = glommio::executor().spawn_blocking(move || rustix::fs::statvfs(&directory)).await;
    match facts {
        Ok(facts) => {
            let bytes =
                |blocks: u64| i64::try_from(blocks.saturating_mul(facts.f_frsize)).unwrap_or(i64::MAX);
            (bytes(facts.f_blocks), bytes(facts.f_bavail))
        }
        Err(error) => {
            tracing::warn!(%error, "the room in the data directory is not known");
            (ROOM_UNKNOWN, ROOM_UNKNOWN)
        }
    }
}

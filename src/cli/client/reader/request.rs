//! One Fetch request to one leader and its answer, by partition.
//!
//! Key invariant: every partition that was asked for gets a result. What a failure means is left to the reader.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};

use crate::cli::client::cluster::topic_name;
use crate::cli::client::{ClientError, Cluster, TopicFacts};
use crate::model::{Offset, PartitionIndex};

/// How long a broker without new records holds an answer back.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Bytes of an answer, and of one partition in it.
const ANSWER_BYTES: i32 = 32 << 20;
const PARTITION_BYTES: i32 = 4 << 20;

/// What each partition got: whole batches, perhaps none.
pub(super) type Answer = Vec<(PartitionIndex, Result<Bytes, ClientError>)>;

/// A fetch before it is sent.
pub(super) struct Load {
    pub(super) cluster: Rc<Cluster>,
    pub(super) topic: Rc<TopicFacts>,
    /// `None` while the partitions have no leader.
    pub(super) leader: Option<i32>,
    pub(super) partitions: Vec<(PartitionIndex, Offset)>,
}

impl Load {
    /// Sends the request and awaits its answer.
    pub(super) async fn run(self) -> Answer {
        let mut answers: Vec<_> = match self.exchange().await {
            Ok(response) => {
                let partitions = response.responses.into_iter().flat_map(|topic| topic.partitions);
                partitions.map(Some).collect()
            }
            // The same trouble for every partition.
            Err(error) => {
                let fail = |(index, _): (PartitionIndex, Offset)| (index, Err(error.clone()));
                return self.partitions.into_iter().map(fail).collect();
            }
        };
        let settle = |(index, _): &(PartitionIndex, Offset)| {
            let answer =
                answers.iter_mut().find(|a| a.as_ref().is_some_and(|a| a.partition_index == index.get()));
            let subject = format!("partition {index} of topic {}", self.topic.name);
            let result = match answer.and_then(Option::take) {
                // A broker whose answer is full leaves partitions out.
                None => Ok(Bytes::new()),
                Some(answer) if answer.error_code != 0 => {
                    Err(ClientError::refused(subject, answer.error_code, None))
                }
                Some(answer) => Ok(answer.records.unwrap_or_default()),
            };
            (*index, result)
        };
        self.partitions.iter().map(settle).collect()
    }

    async fn exchange(&self) -> Result<FetchResponse, ClientError> {
        let Some(leader) = self.leader else {
            let partition = self.partitions.first().map_or(0, |(index, _)| index.get());
            return Err(ClientError::Leaderless { topic: self.topic.name.clone(), partition });
        };
        let connection = self.cluster.broker(leader).await?;
        let partitions = self.partitions.iter().map(|(index, from)| {
            FetchPartition::default()
                .with_partition(index.get())
                .with_fetch_offset(from.get())
                .with_partition_max_bytes(PARTITION_BYTES)
        });
        let topic = FetchTopic::default()
            .with_topic(topic_name(&self.topic.name))
            .with_topic_id(self.topic.id.0)
            .with_partitions(partitions.collect());
        let request = FetchRequest::default()
            .with_max_wait_ms(WAIT_MAX.as_millis() as i32)
            .with_min_bytes(1)
            .with_max_bytes(ANSWER_BYTES)
            .with_topics(vec![topic]);
        let response = connection.call_held(&request, WAIT_MAX).await?;
        if response.error_code != 0 {
            return Err(ClientError::refused("the fetch", response.error_code, None));
        }
        Ok(response)
    }
}

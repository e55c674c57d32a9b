//! One Produce request: the batches that travel in it and what became of each.
//!
//! Key invariant: every batch that departs comes back with a result. What a failure means is left to the producer.

use std::collections::HashMap;
use std::rc::Rc;

use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;

use super::Acks;
use super::lane::Sealed;
use crate::cli::client::cluster::topic_name;
use crate::cli::client::{ClientError, Cluster, TopicFacts};
use crate::protocol::ErrorCode;

/// How long the broker may wait for replicas before it answers.
const BROKER_TIMEOUT_MS: i32 = 30_000;

/// What became of a batch.
pub(super) struct Outcome {
    pub(super) sealed: Sealed,
    pub(super) result: Result<(), ClientError>,
}

/// A request before it is sent.
pub(super) struct Trip {
    pub(super) cluster: Rc<Cluster>,
    pub(super) topic: Rc<TopicFacts>,
    /// `None` while the partitions have no leader.
    pub(super) leader: Option<i32>,
    pub(super) acks: Acks,
    pub(super) batches: Vec<Sealed>,
}

impl Trip {
    /// Sends the batches and awaits the answer.
    pub(super) async fn run(self) -> Vec<Outcome> {
        let answered = self.exchange().await;
        let name = &self.topic.name;
        let mut by_partition = match answered {
            Ok(by_partition) => by_partition,
            Err(error) => {
                let fail = |sealed| Outcome { sealed, result: Err(error.clone()) };
                return self.batches.into_iter().map(fail).collect();
            }
        };
        let settle = |sealed: Sealed| {
            let result = match by_partition.as_mut().map(|answers| answers.remove(&sealed.partition.get())) {
                // Nothing is answered with acks=0.
                None => Ok(()),
                Some(Some(answer)) => judge(name, answer),
                Some(None) => Err(ClientError::Request(format!(
                    "the broker's answer leaves out partition {} of topic {name}",
                    sealed.partition
                ))),
            };
            Outcome { sealed, result }
        };
        self.batches.into_iter().map(settle).collect()
    }

    /// The answers by partition; `None` with acks=0.
    async fn exchange(&self) -> Result<Option<HashMap<i32, PartitionProduceResponse>>, ClientError> {
        let Some(leader) = self.leader else {
            let partition = self.batches.first().map_or(0, |sealed| sealed.partition.get());
            return Err(ClientError::Leaderless { topic: self.topic.name.clone(), partition });
        };
        let connection = self.cluster.broker(leader).await?;
        let partitions = self.batches.iter().map(|sealed| {
            PartitionProduceData::default()
                .with_index(sealed.partition.get())
                .with_records(Some(sealed.batch.clone()))
        });
        let topic = TopicProduceData::default()
            .with_name(topic_name(&self.topic.name))
            .with_topic_id(self.topic.id.0)
            .with_partition_data(partitions.collect());
        let acks = match self.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let request = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(BROKER_TIMEOUT_MS)
            .with_topic_data(vec![topic]);
        if self.acks == Acks::None {
            connection.send_unanswered(&request).await?;
            return Ok(None);
        }
        let answer = connection.call(&request).await?;
        let partitions = answer.responses.into_iter().flat_map(|topic| topic.partition_responses);
        Ok(Some(partitions.map(|partition| (partition.index, partition)).collect()))
    }
}

fn judge(topic: &str, answer: PartitionProduceResponse) -> Result<(), ClientError> {
    // The broker has the batch already: an earlier answer was lost.
    let duplicate = answer.error_code == ErrorCode::DuplicateSequenceNumber.code();
    if answer.error_code == 0 || duplicate {
        return Ok(());
    }
    let subject = format!("partition {} of topic {topic}", answer.index);
    let record = answer.record_errors.into_iter().find_map(|error| error.batch_index_error_message);
    let message = answer.error_message.or(record).map(|text| text.to_string());
    Err(ClientError::refused(subject, answer.error_code, message))
}

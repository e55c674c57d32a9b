//! Which brokers there are, which topics, and who leads their partitions.
//!
//! Key invariant: as long as one broker that was ever heard of answers, so does [`Cluster`]: a lost connection is
//! replaced, by one to another broker if need be. Facts are those of the last answer; that they may be out of date shows
//! in the answers of brokers, and asking again is left to the caller.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use uuid::Uuid;

use super::{ClientError, ClientOptions, Connection};

/// How long to wait before asking again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// From this version of Metadata on, asking for a topic need not create it.
const NO_CREATION_FROM: i16 = 4;
/// How long a producer of transactions may take for one, in milliseconds; nothing here uses any.
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;

/// A broker, as metadata tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

impl Broker {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// A topic and its partitions in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    pub name: String,
    /// Nil where the broker is too old to tell.
    pub id: Uuid,
    pub partitions: Vec<PartitionFacts>,
}

/// A partition and who leads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFacts {
    pub index: i32,
    /// The broker's id; -1 for none.
    pub leader: i32,
    /// -1 where the broker is too old to tell.
    pub leader_epoch: i32,
    pub replicas: u16,
}

/// A cluster of brokers.
#[derive(Debug)]
pub struct Cluster {
    options: ClientOptions,
    brokers: Vec<Broker>,
    controller: i32,
    /// By address.
    connections: BTreeMap<String, Connection>,
}

impl Cluster {
    /// Connects to the first of the bootstrap addresses that answers, and asks it for the brokers.
    pub async fn connect(options: &ClientOptions) -> Result<Self, ClientError> {
        let mut cluster =
            Self { options: options.clone(), brokers: vec![], controller: -1, connections: BTreeMap::new() };
        cluster.refresh_brokers().await?;
        Ok(cluster)
    }

    /// Every broker of the last answer.
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// The broker with this id.
    pub fn broker(&self, id: i32) -> Option<&Broker> {
        self.brokers.iter().find(|broker| broker.id == id)
    }

    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// The facts about topics, in the order of `names`. A partition may be without a leader at the moment.
    pub async fn locate(&mut self, names: &[String]) -> Result<Vec<TopicFacts>, ClientError> {
        let deadline = self.deadline();
        loop {
            let located = self.locate_once(names).await;
            match located {
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    glommio::timer::sleep(RETRY_PAUSE).await;
                }
                _ => return located,
            }
        }
    }

    /// A producer's id and epoch, for idempotence (KIP-98).
    pub async fn init_producer(&mut self) -> Result<(i64, i16), ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(TRANSACTION_TIMEOUT_MS);
        let deadline = self.deadline();
        loop {
            let answer = self.call_any(|_| request.clone()).await?;
            if answer.error_code == 0 {
                return Ok((answer.producer_id.0, answer.producer_epoch));
            }
            let error = ClientError::refused("a producer id cannot be had", answer.error_code, None);
            // A broker that has just started may still be loading its coordinators.
            if !error.is_retriable() || Instant::now() >= deadline {
                return Err(error);
            }
            glommio::timer::sleep(RETRY_PAUSE).await;
        }
    }

    /// Asks who the brokers are and which of them is the controller.
    pub(super) async fn refresh_brokers(&mut self) -> Result<(), ClientError> {
        self.metadata(&[]).await.map(drop)
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    async fn locate_once(&mut self, names: &[String]) -> Result<Vec<TopicFacts>, ClientError> {
        if names.is_empty() {
            return Ok(vec![]);
        }
        let mut answered: BTreeMap<String, MetadataResponseTopic> = BTreeMap::new();
        for topic in self.metadata(names).await? {
            if let Some(name) = &topic.name {
                answered.insert(name.to_string(), topic);
            }
        }
        names.iter().map(|name| facts(name, answered.get(name))).collect()
    }

    async fn metadata(&mut self, names: &[String]) -> Result<Vec<MetadataResponseTopic>, ClientError> {
        let topics: Vec<MetadataRequestTopic> = names
            .iter()
            .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
            .collect();
        let request = |version| {
            MetadataRequest::default()
                .with_topics(Some(topics.clone()))
                .with_allow_auto_topic_creation(version < NO_CREATION_FROM)
        };
        let answer = self.call_any(request).await?;
        if answer.error_code != 0 {
            return Err(ClientError::refused("metadata cannot be had", answer.error_code, None));
        }
        let broker = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| Broker {
            id: broker.node_id.0,
            host: broker.host.to_string(),
            port: u16::try_from(broker.port).unwrap_or(0),
        };
        self.brokers = answer.brokers.iter().map(broker).collect();
        self.controller = answer.controller_id.0;
        Ok(answer.topics)
    }

    /// Calls whichever broker answers: one that is connected, another one, one of the bootstrap addresses.
    pub(super) async fn call_any<R: Request>(
        &mut self,
        request: impl Fn(i16) -> R,
    ) -> Result<R::Response, ClientError> {
        let mut addresses: Vec<String> = self.connections.keys().cloned().collect();
        addresses.extend(self.brokers.iter().map(Broker::address));
        addresses.extend(self.options.bootstrap.iter().cloned());
        let mut failure = None;
        for (place, address) in addresses.iter().enumerate() {
            if addresses[..place].contains(address) {
                continue;
            }
            match self.call(address, &request).await {
                // What a user can do something about comes from the first address, which he named.
                Err(error) if error.is_disconnect() => failure = failure.or(Some(error)),
                settled => return settled,
            }
        }
        let none = || ClientError::Unreachable {
            address: "(none)".to_owned(),
            reason: "no bootstrap address was given".to_owned(),
        };
        Err(failure.unwrap_or_else(none))
    }

    /// Calls the controller; brokers that pass such requests on are called if there is none.
    pub(super) async fn call_controller<R: Request>(
        &mut self,
        request: impl Fn(i16) -> R,
    ) -> Result<R::Response, ClientError> {
        match self.broker(self.controller).map(Broker::address) {
            Some(address) => match self.call(&address, &request).await {
                Err(error) if error.is_disconnect() => self.call_any(request).await,
                settled => settled,
            },
            None => self.call_any(request).await,
        }
    }

    /// Calls the broker with this id.
    pub(super) async fn call_broker<R: Request>(
        &mut self,
        id: i32,
        request: impl Fn(i16) -> R,
    ) -> Result<R::Response, ClientError> {
        let address = self.broker(id).map(Broker::address).ok_or_else(|| ClientError::Unreachable {
            address: format!("(broker {id})"),
            reason: "the cluster does not tell its address".to_owned(),
        })?;
        self.call(&address, request).await
    }

    async fn call<R: Request>(
        &mut self,
        address: &str,
        request: impl Fn(i16) -> R,
    ) -> Result<R::Response, ClientError> {
        let known = self.connections.remove(address);
        let reused = known.is_some();
        let mut connection = match known {
            Some(connection) => connection,
            None => Connection::open(address, &self.options).await?,
        };
        let mut outcome = connection.call(&request(connection.version::<R>()?)).await;
        // A connection that was left alone may have been closed as idle.
        if reused && matches!(outcome, Err(ClientError::Closed { .. })) {
            connection = Connection::open(address, &self.options).await?;
            outcome = connection.call(&request(connection.version::<R>()?)).await;
        }
        match outcome {
            Err(error) if error.is_disconnect() => Err(explained(error, &self.options)),
            settled => {
                self.connections.insert(address.to_owned(), connection);
                settled
            }
        }
    }
}

/// A broker closes the connection of a client that has not logged in, without a word.
fn explained(error: ClientError, options: &ClientOptions) -> ClientError {
    match error {
        ClientError::Closed { address, reason }
            if reason.is_empty() && options.security == super::Security::Plaintext =>
        {
            let reason = "; if this listener demands SASL, give user and password".to_owned();
            ClientError::Closed { address, reason }
        }
        other => other,
    }
}

/// A topic's name as the protocol crate has it.
pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn facts(name: &str, answered: Option<&MetadataResponseTopic>) -> Result<TopicFacts, ClientError> {
    use corelog::protocol::ErrorCode::UnknownTopicOrPartition;
    let unknown = || ClientError::UnknownTopic { topic: name.to_owned() };
    let topic = answered.ok_or_else(unknown)?;
    match topic.error_code {
        0 => {}
        code if code == UnknownTopicOrPartition.code() => return Err(unknown()),
        code => return Err(ClientError::refused(format!("topic {name}"), code, None)),
    }
    let mut partitions: Vec<PartitionFacts> = topic.partitions.iter().map(partition_facts).collect();
    partitions.sort_by_key(|partition| partition.index);
    Ok(TopicFacts { name: name.to_owned(), id: topic.topic_id, partitions })
}

fn partition_facts(partition: &MetadataResponsePartition) -> PartitionFacts {
    PartitionFacts {
        index: partition.partition_index,
        leader: partition.leader_id.0,
        leader_epoch: partition.leader_epoch,
        replicas: u16::try_from(partition.replica_nodes.len()).unwrap_or(u16::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_have_brackets() {
        let broker = |host: &str| Broker { id: 1, host: host.to_owned(), port: 9092 };
        assert_eq!(broker("::1").address(), "[::1]:9092");
        assert_eq!(broker("kafka.example").address(), "kafka.example:9092");
    }
}

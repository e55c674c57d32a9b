//! The brokers of one cluster: finding them through any of the given addresses, and who leads which partition.
//!
//! Key invariant: at most one connection per address, opened when it is needed and again when it was lost. What is
//! asked of a broker is left to the modules beside this one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::ClientError;
use super::connection::Connection;
use super::retry::retrying;
use crate::model::{PartitionIndex, TopicId};
use crate::protocol::ErrorCode;

/// How long a topic may be unknown, or a partition without leader, before that is the answer: metadata travels.
const SETTLING: Duration = Duration::from_secs(5);

/// How to reach the cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// `host:port`, several separated by commas, as Kafka's `--bootstrap-server`.
    pub bootstrap: String,
    /// Bounds each connection attempt and each answer.
    pub timeout: Duration,
}

/// What the cluster says of a topic.
#[derive(Clone, Debug)]
pub struct TopicFacts {
    pub name: String,
    pub id: TopicId,
    pub internal: bool,
    /// Ascending by index.
    pub partitions: Vec<PartitionFacts>,
}

/// What the cluster says of a partition. Broker ids as on the wire.
#[derive(Clone, Debug)]
pub struct PartitionFacts {
    pub index: PartitionIndex,
    /// `None` while there is none.
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
}

/// A cluster and the connections to its brokers.
pub struct Cluster {
    bootstrap: Vec<String>,
    timeout: Duration,
    connections: RefCell<HashMap<String, Rc<Connection>>>,
    /// Addresses of the brokers by node id, as of the last metadata.
    brokers: RefCell<HashMap<i32, String>>,
    controller: Cell<i32>,
}

impl Cluster {
    /// Connects to the first of the given addresses that answers.
    pub async fn connect(options: &ClusterOptions) -> Result<Rc<Self>, ClientError> {
        let addresses = options.bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty());
        let bootstrap = addresses.map(checked_address).collect::<Result<Vec<_>, _>>()?;
        if bootstrap.is_empty() {
            return Err(ClientError::Address(options.bootstrap.clone()));
        }
        let cluster = Rc::new(Self {
            bootstrap,
            timeout: options.timeout,
            connections: RefCell::default(),
            brokers: RefCell::default(),
            controller: Cell::new(-1),
        });
        cluster.any().await?;
        Ok(cluster)
    }

    /// Bounds each answer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A connection to any broker: an open one, else the first that can be opened.
    pub(super) async fn any(&self) -> Result<Rc<Connection>, ClientError> {
        let open = self.connections.borrow().values().find(|connection| connection.is_open()).cloned();
        if let Some(connection) = open {
            return Ok(connection);
        }
        let mut known: Vec<String> = self.bootstrap.clone();
        known.extend(self.brokers.borrow().values().cloned());
        let mut first_error = None;
        for address in known {
            match self.at(&address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| ClientError::Address(String::new())))
    }

    /// A connection to the broker with this id.
    pub(super) async fn broker(&self, id: i32) -> Result<Rc<Connection>, ClientError> {
        let address = self.brokers.borrow().get(&id).cloned();
        match address {
            Some(address) => self.at(&address).await,
            None => self.any().await,
        }
    }

    /// A connection to every broker of the cluster.
    pub(super) async fn every_broker(&self) -> Result<Vec<Rc<Connection>>, ClientError> {
        self.metadata(Some(Vec::new()), false).await?;
        let addresses: BTreeSet<String> = self.brokers.borrow().values().cloned().collect();
        let mut connections = Vec::new();
        for address in addresses {
            connections.push(self.at(&address).await?);
        }
        Ok(connections)
    }

    /// A connection to the broker that takes changes of topics.
    pub(super) async fn controller(&self) -> Result<Rc<Connection>, ClientError> {
        if self.controller.get() < 0 {
            self.metadata(Some(Vec::new()), false).await?;
        }
        self.broker(self.controller.get()).await
    }

    /// Awaits an answer on every open connection, so that what was sent before on it has been read.
    pub(super) async fn await_answers(&self) -> Result<(), ClientError> {
        let open: Vec<_> = self.connections.borrow().values().cloned().collect();
        for connection in open {
            connection.call(&MetadataRequest::default().with_topics(Some(Vec::new()))).await?;
        }
        Ok(())
    }

    /// Every topic of the cluster, by name.
    pub async fn all_topics(&self) -> Result<Vec<TopicFacts>, ClientError> {
        let answered = retrying(self.timeout, || self.metadata(None, false)).await?;
        let mut topics: Vec<TopicFacts> =
            answered.iter().filter(|topic| topic.error_code == 0).map(|topic| facts(topic, "")).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic; asks again for a little while if it is unknown or has partitions without leader. `create` lets a
    /// broker that is set so create it.
    pub async fn topic(&self, name: &str, create: bool) -> Result<TopicFacts, ClientError> {
        let settling = if create { SETTLING } else { Duration::ZERO };
        retrying(settling, || async {
            let entry = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            let answered = self.metadata(Some(vec![entry]), create).await?;
            let refused = |code: i16| {
                let unknown = code == ErrorCode::UnknownTopicOrPartition.code();
                let message = unknown.then(|| "there is no such topic".to_owned());
                ClientError::refused(format!("topic {name}"), code, message)
            };
            let missing = || refused(ErrorCode::UnknownTopicOrPartition.code());
            let topic = answered.first().ok_or_else(missing)?;
            match topic.error_code {
                0 => Ok(facts(topic, name)),
                code => Err(refused(code)),
            }
        })
        .await
    }

    async fn metadata(
        &self,
        topics: Option<Vec<MetadataRequestTopic>>,
        create: bool,
    ) -> Result<Vec<MetadataResponseTopic>, ClientError> {
        let connection = self.any().await?;
        let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(create);
        let answer = connection.call(&request).await?;
        if answer.error_code != 0 {
            return Err(ClientError::refused("metadata", answer.error_code, None));
        }
        let brokers = answer.brokers.iter().map(|b| (b.node_id.0, joined(b.host.as_str(), b.port)));
        *self.brokers.borrow_mut() = brokers.collect();
        self.controller.set(answer.controller_id.0);
        Ok(answer.topics)
    }

    /// A connection to the broker at `host:port`.
    pub(super) async fn at(&self, address: &str) -> Result<Rc<Connection>, ClientError> {
        let known = self.connections.borrow().get(address).filter(|connection| connection.is_open()).cloned();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let connection = Connection::open(address, self.timeout).await?;
        self.connections.borrow_mut().insert(address.to_owned(), Rc::clone(&connection));
        Ok(connection)
    }
}

/// A topic's name as the protocol crate has it.
pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// `name` is for answers that carry only an id.
fn facts(topic: &MetadataResponseTopic, name: &str) -> TopicFacts {
    let mut partitions: Vec<PartitionFacts> = topic.partitions.iter().map(partition_facts).collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicFacts {
        name: topic.name.as_ref().map_or_else(|| name.to_owned(), |name| name.to_string()),
        id: TopicId(topic.topic_id),
        internal: topic.is_internal,
        partitions,
    }
}

fn partition_facts(partition: &MetadataResponsePartition) -> PartitionFacts {
    PartitionFacts {
        index: PartitionIndex(partition.partition_index),
        leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.iter().map(|broker| broker.0).collect(),
        in_sync: partition.isr_nodes.iter().map(|broker| broker.0).collect(),
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn joined(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn checked_address(address: &str) -> Result<String, ClientError> {
    let bare = address.strip_prefix("PLAINTEXT://").unwrap_or(address);
    match bare.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(bare.to_owned()),
        _ => Err(ClientError::Address(address.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_host_and_a_port() {
        assert_eq!(checked_address("PLAINTEXT://[::1]:9092").ok().as_deref(), Some("[::1]:9092"));
        assert_eq!(joined("::1", 9092), "[::1]:9092");
        for wrong in ["localhost", ":9092", "localhost:port", "localhost:99999"] {
            assert!(checked_address(wrong).is_err(), "{wrong}");
        }
    }
}

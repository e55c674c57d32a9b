//! As what clients see this broker: as the one node that it is, or as a node for each shard (shard-direct listeners).
//!
//! Key invariant: ids of presented nodes are made here for answers, and undone here when a request brings one; an image
//! never holds one. A broker that appears as itself has every id unchanged.

use super::image::{BrokerImage, Image};
use crate::config::ShardPorts;
use crate::model::{BrokerId, ShardId, TopicPartition, owner_shard};

/// As what clients see the brokers of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presentation {
    broker: BrokerId,
    /// Where the shards of this broker are reached, if they are nodes of their own.
    shards: Option<ShardPorts>,
}

/// A node as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: BrokerId,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
}

impl Presentation {
    /// This broker is one node.
    pub const fn whole(broker: BrokerId) -> Self {
        Self { broker, shards: None }
    }

    /// Each shard of this broker is a node.
    pub const fn per_shard(broker: BrokerId, ports: ShardPorts) -> Self {
        Self { broker, shards: Some(ports) }
    }

    /// This broker's own id.
    pub fn broker(&self) -> BrokerId {
        self.broker
    }

    /// The ports of the shards, if each is a node.
    pub fn shard_ports(&self) -> Option<ShardPorts> {
        self.shards
    }

    /// The nodes that can be reached. One without an endpoint cannot.
    pub fn nodes(&self, image: &Image) -> Vec<Node> {
        self.ids(image).filter_map(|id| self.node(image, id)).collect()
    }

    /// The ids of all nodes.
    pub fn ids(&self, image: &Image) -> impl Iterator<Item = BrokerId> {
        image.brokers().flat_map(|broker| {
            let (first, count) = match self.shards_of(broker.id) {
                Some(ports) => (BrokerId::PRESENTED_FIRST, ports.shards()),
                None => (broker.id, 1),
            };
            (0..count).map(move |place| BrokerId(first.get() + i32::from(place)))
        })
    }

    /// The node of that id, if it can be reached.
    pub fn node(&self, image: &Image, id: BrokerId) -> Option<Node> {
        let broker = image.broker(self.resolve(id))?;
        let endpoint = broker.endpoints.first()?;
        let shard = self.shards.zip(self.shard(id));
        let port = shard.map_or(endpoint.port, |(ports, shard)| ports.port(shard));
        Some(Node { id, host: endpoint.host.clone(), port, rack: self.rack(broker) })
    }

    /// The node that answers as the controller. Each forwards what is the controller's, so any will do.
    pub fn controller(&self, image: &Image) -> BrokerId {
        let controller = image.controller().unwrap_or(self.broker);
        if self.shards_of(controller).is_some() { BrokerId::PRESENTED_FIRST } else { controller }
    }

    /// The node that stands for a broker where it is a replica of a partition: that of the shard that owns the partition.
    pub fn replica(&self, broker: BrokerId, id: TopicPartition) -> BrokerId {
        match self.shards_of(broker) {
            Some(ports) => {
                let owner = owner_shard(id.topic_id, id.partition, ports.shards());
                BrokerId(BrokerId::PRESENTED_FIRST.get() + i32::from(owner.0))
            }
            None => broker,
        }
    }

    /// The same for all replicas of a partition.
    pub fn replicas(&self, brokers: &[BrokerId], id: TopicPartition) -> Vec<BrokerId> {
        brokers.iter().map(|broker| self.replica(*broker, id)).collect()
    }

    /// The broker that a client means by a node's id. An id that is no node's stays what it is.
    pub fn resolve(&self, node: BrokerId) -> BrokerId {
        if self.shard(node).is_some() { self.broker } else { node }
    }

    /// The same for all ids of a list.
    pub fn resolve_all(&self, nodes: impl IntoIterator<Item = i32>) -> Vec<BrokerId> {
        nodes.into_iter().map(|node| self.resolve(BrokerId(node))).collect()
    }

    /// The shard that appears as the node of that id.
    fn shard(&self, node: BrokerId) -> Option<ShardId> {
        let place = node.get().checked_sub(BrokerId::PRESENTED_FIRST.get())?;
        let shard = u16::try_from(place).ok()?;
        self.shards.filter(|ports| shard < ports.shards()).map(|_| ShardId(shard))
    }

    fn shards_of(&self, broker: BrokerId) -> Option<ShardPorts> {
        self.shards.filter(|_| broker == self.broker)
    }

    /// Nodes of one broker stand and fall together, which a rack says: the broker's own, or else its host.
    fn rack(&self, broker: &BrokerImage) -> Option<String> {
        let host =
            || Some(broker.endpoints.first()?.host.clone()).filter(|_| self.shards_of(broker.id).is_some());
        broker.rack.clone().or_else(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Command, Endpoint, LogId};
    use crate::model::{PartitionIndex, TopicId};

    const SELF: BrokerId = BrokerId(1);
    const OTHER: BrokerId = BrokerId(2);
    const FIRST: BrokerId = BrokerId::PRESENTED_FIRST;
    const SECOND: BrokerId = BrokerId(FIRST.0 + 1);

    /// This broker and another, each with an endpoint.
    fn image(rack: Option<&str>) -> Image {
        let mut image = Image::default();
        for (broker, index) in [SELF, OTHER].into_iter().zip(1..) {
            let endpoint =
                Endpoint { listener: "PLAINTEXT".to_owned(), host: format!("host{broker}"), port: 9092 };
            let command = Command::StartBroker {
                broker,
                incarnation: uuid::Uuid::nil(),
                endpoints: vec![endpoint],
                rack: rack.map(str::to_owned),
            };
            image.apply(LogId { term: 1, index }, &command).expect("the command fits");
        }
        image
    }

    fn per_shard(shards: u16) -> Presentation {
        Presentation::per_shard(SELF, ShardPorts::new(9093, shards).expect("there are ports"))
    }

    fn node(id: BrokerId, host: &str, port: u16, rack: Option<&str>) -> Node {
        Node { id, host: host.to_owned(), port, rack: rack.map(str::to_owned) }
    }

    #[test]
    fn as_itself_a_broker_is_what_the_image_says() {
        let whole = Presentation::whole(SELF);
        let image = image(None);
        let nodes = vec![node(SELF, "host1", 9092, None), node(OTHER, "host2", 9092, None)];
        assert_eq!(whole.nodes(&image), nodes);
        assert_eq!(whole.controller(&image), SELF);
        let id = TopicPartition { topic_id: TopicId(uuid::Uuid::from_u128(7)), partition: PartitionIndex(3) };
        assert_eq!(whole.replicas(&[OTHER, SELF], id), [OTHER, SELF]);
        assert_eq!(whole.resolve_all([1, 2, FIRST.0]), [SELF, OTHER, FIRST]);
        assert_eq!(whole.node(&image, FIRST), None);
    }

    #[test]
    fn each_shard_of_this_broker_is_a_node_and_other_brokers_are_themselves() {
        let image = image(None);
        let nodes = vec![
            node(FIRST, "host1", 9093, Some("host1")),
            node(SECOND, "host1", 9094, Some("host1")),
            node(OTHER, "host2", 9092, None),
        ];
        assert_eq!(per_shard(2).nodes(&image), nodes);
        assert_eq!(per_shard(2).controller(&image), FIRST);
        assert_eq!(per_shard(2).node(&image, SECOND), Some(nodes[1].clone()));
        assert_eq!(per_shard(2).node(&image, BrokerId(SECOND.0 + 1)), None);
    }

    #[test]
    fn a_rack_that_was_configured_is_told_as_it_is() {
        let racks: Vec<_> = per_shard(1).nodes(&image(Some("r"))).into_iter().map(|node| node.rack).collect();
        assert_eq!(racks, [Some("r".to_owned()), Some("r".to_owned())]);
    }

    #[test]
    fn a_partition_is_on_the_node_of_the_shard_that_owns_it() {
        let shards = 3;
        let topic_id = TopicId(uuid::Uuid::from_u128(0x1234_5678_9abc_def0));
        for index in 0..6 {
            let id = TopicPartition { topic_id, partition: PartitionIndex(index) };
            let owner = owner_shard(topic_id, id.partition, shards);
            let expected = BrokerId(FIRST.0 + i32::from(owner.0));
            assert_eq!(per_shard(shards).replicas(&[SELF, OTHER], id), [expected, OTHER]);
            assert_eq!(per_shard(shards).resolve(expected), SELF);
        }
    }

    #[test]
    fn ids_beyond_the_shards_mean_nothing() {
        let ids = [FIRST.0 - 1, FIRST.0, SECOND.0, SECOND.0 + 1, i32::MAX, i32::MIN, -1, 1];
        let resolved = per_shard(2).resolve_all(ids);
        let expected = [FIRST.0 - 1, 1, 1, SECOND.0 + 1, i32::MAX, i32::MIN, -1, 1];
        assert_eq!(resolved, expected.map(BrokerId));
    }
}

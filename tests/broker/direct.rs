//! Shard-direct listeners: each shard is a node to clients, who reach it on a port of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeTopicPartitionsRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, ListGroupsRequest, MetadataRequest, MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::requests::{FETCH, PRODUCE, batch, create, fetch, fetched, name, produce, produced};
use crate::support::{Broker, Connection, free_address, serve_command};

const NODES: [i32; 2] = [1_000_000_000, 1_000_000_001];
const METADATA: i16 = 12;
const JOIN: i16 = 3;

/// Two ports, one after the other, that no test is given for anything else.
fn two_ports() -> u16 {
    loop {
        let (first, second) = (free_address().port(), free_address().port());
        if first.checked_add(1) == Some(second) {
            return first;
        }
    }
}

/// A broker whose two shards are nodes, and the port of the first.
fn start() -> (Broker, u16) {
    let first = two_ports();
    let ports = format!("corelog.shard.port.first={first}");
    let broker = Broker::start(&[
        "corelog.advertise=per-shard",
        &ports,
        "num.partitions=4",
        "group.initial.rebalance.delay.ms=0",
    ]);
    (broker, first)
}

fn metadata(connection: &mut Connection, version: i16) -> MetadataResponse {
    connection.ask(&MetadataRequest::default().with_topics(None), version)
}

/// Where each node is reached.
fn nodes(response: &MetadataResponse) -> BTreeMap<i32, SocketAddr> {
    let address = |host: &str, port: i32| format!("{host}:{port}").parse().unwrap();
    response.brokers.iter().map(|node| (node.node_id.0, address(&node.host, node.port))).collect()
}

/// The leader of each partition of a topic.
fn leaders(response: &MetadataResponse, topic: &str) -> Vec<i32> {
    let topic = response.topics.iter().find(|known| known.name == Some(name(topic))).unwrap();
    let mut leaders: Vec<_> = topic.partitions.iter().map(|p| (p.partition_index, p.leader_id.0)).collect();
    leaders.sort_unstable();
    leaders.into_iter().map(|(_, leader)| leader).collect()
}

#[test]
fn each_shard_is_a_node_with_the_partitions_that_it_owns() {
    let (broker, first) = start();
    let mut connection = broker.connect();
    create(&mut connection, "direct");
    for version in 0..=13 {
        let answer = match version {
            0 => connection.ask(&MetadataRequest::default().with_topics(Some(vec![])), version),
            _ => metadata(&mut connection, version),
        };
        let expected =
            [(NODES[0], first), (NODES[1], first + 1)].map(|(id, port)| (id, ([127, 0, 0, 1], port).into()));
        assert_eq!(nodes(&answer), BTreeMap::from(expected), "version {version}");
        if version > 0 {
            assert!(answer.brokers.iter().all(|node| node.rack.as_deref() == Some("127.0.0.1")));
            assert!(NODES.contains(&answer.controller_id.0));
        }
        let leaders = leaders(&answer, "direct");
        assert_eq!(leaders.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(NODES));
        for partition in &answer.topics[0].partitions {
            assert_eq!(partition.replica_nodes, [partition.leader_id]);
            assert_eq!(partition.isr_nodes, [partition.leader_id]);
        }
    }
    let cluster = connection.ask(&DescribeClusterRequest::default().with_endpoint_type(1), 1);
    assert_eq!(cluster.brokers.iter().map(|node| node.broker_id.0).collect::<Vec<_>>(), NODES);
    let page = DescribeTopicPartitionsRequest::default().with_response_partition_limit(100);
    let described = connection.ask(&page, 0);
    let told: Vec<i32> = described.topics[0].partitions.iter().map(|p| p.leader_id.0).collect();
    assert_eq!(told, leaders(&metadata(&mut connection, METADATA), "direct"));
}

#[test]
fn requests_to_the_owner_do_not_hop_and_others_are_answered_all_the_same() {
    let (broker, _) = start();
    let mut anywhere = broker.connect();
    create(&mut anywhere, "direct");
    let answer = metadata(&mut anywhere, METADATA);
    let mut at: BTreeMap<i32, Connection> =
        nodes(&answer).into_iter().map(|(id, address)| (id, Connection::to(address))).collect();
    let leaders = leaders(&answer, "direct");
    for (partition, leader) in (0..).zip(&leaders) {
        let connection = at.get_mut(leader).unwrap();
        for n in 0..20 {
            let written = connection.ask(&produce("direct", partition, batch(&["a"]), -1), PRODUCE);
            assert_eq!((produced(&written).error_code, produced(&written).base_offset), (0, n));
        }
        let read = connection.ask(&fetch("direct", &[(partition, 0)], 1_000, 1), FETCH);
        assert_eq!(fetched(&read).len(), 20);
    }
    assert!(broker.metric("corelog_requests_total{") >= 84.0);
    assert_eq!(broker.metric("corelog_routed_requests_total"), 0.0);
    assert_eq!(
        broker.metric("corelog_connections_open"),
        3.0,
        "the node's connections are served where they came"
    );
    for (partition, leader) in (0..).zip(&leaders) {
        let wrong = NODES.into_iter().find(|node| node != leader).unwrap();
        let connection = at.get_mut(&wrong).unwrap();
        let written = connection.ask(&produce("direct", partition, batch(&["b"]), -1), PRODUCE);
        assert_eq!((produced(&written).error_code, produced(&written).base_offset), (0, 20));
        let read = connection.ask(&fetch("direct", &[(partition, 0)], 1_000, 1), FETCH);
        assert_eq!(fetched(&read).len(), 21);
    }
    assert_eq!(broker.metric("corelog_routed_requests_total"), 8.0);
}

#[test]
fn many_connections_to_one_shard_stay_there() {
    let (broker, first) = start();
    let mut connections: Vec<Connection> =
        (0..8).map(|_| Connection::to(([127, 0, 0, 1], first).into())).collect();
    for connection in &mut connections {
        assert_eq!(metadata(connection, METADATA).brokers.len(), 2);
    }
    assert_eq!(broker.metric("corelog_connections_open{shard=\"0\"}"), 8.0);
    assert_eq!(broker.metric("corelog_connections_handed_over_total"), 0.0);
}

#[test]
fn a_group_joins_at_the_node_of_its_coordinator() {
    let (broker, _) = start();
    let mut anywhere = broker.connect();
    let reached = nodes(&metadata(&mut anywhere, METADATA));
    let groups: Vec<StrBytes> = (0..6).map(|n| StrBytes::from_string(format!("group-{n}"))).collect();
    let find = FindCoordinatorRequest::default().with_coordinator_keys(groups.clone());
    let mut hosts = BTreeMap::new();
    broker.wait_until("all coordinators are found", |broker| {
        broker.connect().ask(&find, 4).coordinators.iter().all(|found| found.error_code == 0)
    });
    for found in anywhere.ask(&find, 4).coordinators {
        let address: SocketAddr = format!("{}:{}", &*found.host, found.port).parse().unwrap();
        assert_eq!(reached.get(&found.node_id.0), Some(&address));
        hosts.insert(found.key.clone(), found.node_id.0);
        let mut connection = Connection::to(address);
        let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
        let id = GroupId(found.key.clone());
        let join = JoinGroupRequest::default()
            .with_group_id(id.clone())
            .with_session_timeout_ms(60_000)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        let joined = loop {
            let joined = connection.ask(&join, JOIN);
            // While the coordinator loads.
            if joined.error_code != 14 {
                break joined;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert_eq!(joined.error_code, 0);
        // Any node answers for the group, as for everything else.
        let beat = HeartbeatRequest::default()
            .with_group_id(id)
            .with_member_id(joined.member_id.clone())
            .with_generation_id(joined.generation_id);
        assert_ne!(anywhere.ask(&beat, 3).error_code, 16, "NOT_COORDINATOR");
    }
    assert_eq!(hosts.values().copied().collect::<BTreeSet<_>>(), BTreeSet::from(NODES));
    let mut listed = BTreeMap::new();
    for (node, address) in &reached {
        let mut connection = Connection::to(*address);
        for group in connection.ask(&ListGroupsRequest::default(), 4).groups {
            assert_eq!(listed.insert(group.group_id.0, *node), None, "each group is listed once");
        }
    }
    assert_eq!(listed, hosts);
    assert_eq!(anywhere.ask(&ListGroupsRequest::default(), 4).groups.len(), hosts.len());
}

#[test]
fn ids_of_nodes_are_understood_wherever_a_client_sends_one() {
    let (broker, _) = start();
    let mut anywhere = broker.connect();
    for id in [NODES[0].to_string(), NODES[1].to_string(), "1".to_owned()] {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(StrBytes::from_string(id));
        let asked = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let described = anywhere.ask(&asked, 4);
        assert_eq!(described.results[0].error_code, 0);
        let node = described.results[0].configs.iter().find(|config| &*config.name == "node.id").unwrap();
        assert_eq!(node.value.as_deref(), Some("1"));
    }
    let assigned = |partition, node| {
        CreatableReplicaAssignment::default()
            .with_partition_index(partition)
            .with_broker_ids(vec![BrokerId(node)])
    };
    let topic = CreatableTopic::default()
        .with_name(name("assigned"))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assigned(0, NODES[1]), assigned(1, NODES[0])]);
    let created =
        anywhere.ask(&CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000), 7);
    assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);
    // Which shard owns a partition is not the client's to choose, and each node tells of its own alone.
    let answer = metadata(&mut anywhere, METADATA);
    let mut seen = BTreeMap::new();
    for (node, address) in nodes(&answer) {
        let described = Connection::to(address).ask(&DescribeLogDirsRequest::default().with_topics(None), 4);
        for topic in described.results.iter().flat_map(|result| &result.topics) {
            for partition in &topic.partitions {
                assert_eq!(seen.insert(partition.partition_index, node), None);
            }
        }
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), leaders(&answer, "assigned"));
}

#[test]
fn a_client_that_is_told_another_leader_is_told_where_it_is() {
    let (broker, first) = start();
    let mut connection = broker.connect();
    create(&mut connection, "direct");
    let answer = metadata(&mut connection, METADATA);
    // No other broker is a replica here, so one that asks is told who leads (KIP-951).
    let partitions =
        (0..4).map(|n| FetchPartition::default().with_partition(n).with_partition_max_bytes(1024));
    let topic =
        FetchTopic::default().with_topic_id(answer.topics[0].topic_id).with_partitions(partitions.collect());
    let replica = ReplicaState::default().with_replica_id(BrokerId(7));
    let request = FetchRequest::default()
        .with_replica_state(replica)
        .with_max_bytes(1024)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let refused = connection.ask(&request, 16);
    let told: Vec<i32> =
        refused.responses[0].partitions.iter().map(|told| told.current_leader.leader_id.0).collect();
    assert_eq!(told, leaders(&answer, "direct"));
    let ports: Vec<_> = refused.node_endpoints.iter().map(|node| (node.node_id.0, node.port)).collect();
    assert_eq!(ports, [(NODES[0], i32::from(first)), (NODES[1], i32::from(first) + 1)]);
}

#[test]
fn a_port_of_a_shard_that_is_taken_ends_the_start() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", two_ports() + 1)).unwrap();
    let first = taken.local_addr().unwrap().port() - 1;
    let data = tempfile::tempdir().unwrap();
    let mut command = serve_command(data.path(), free_address(), free_address());
    command.args(["--set", "corelog.advertise=per-shard", "--set"]);
    let ended = command.arg(format!("corelog.shard.port.first={first}")).output().unwrap();
    assert!(!ended.status.success());
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(error.contains("choose others with corelog.shard.port.first"), "{error}");
    assert!(error.contains(&format!("127.0.0.1:{}", first + 1)), "{error}");
}

#[test]
fn what_is_stored_knows_nothing_of_it() {
    let (broker, _) = start();
    let mut connection = broker.connect();
    create(&mut connection, "direct");
    drop(connection);
    let broker = broker.crash_and_restart(&[]);
    let mut connection = broker.connect();
    let answer = metadata(&mut connection, METADATA);
    assert_eq!(nodes(&answer), BTreeMap::from([(1, broker.address)]));
    assert_eq!((answer.controller_id.0, &answer.brokers[0].rack), (1, &None));
    assert_eq!(leaders(&answer, "direct"), [1; 4]);
}

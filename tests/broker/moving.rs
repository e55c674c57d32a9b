//! Connections that move to the shard where their work is.

use crate::offsets::{commit, find};
use crate::requests::{FETCH, PRODUCE, batch, create, fetch, fetched, produce, produced};
use crate::support::{Broker, Connection};

const MOVED: &str = "corelog_connections_moved_total";
const ROUTED: &str = "corelog_routed_requests_total";
/// Far more than a connection's first move takes.
const REQUESTS: i64 = 400;

fn start() -> Broker {
    Broker::start(&["num.partitions=4"])
}

/// Two connections, one at each shard, and a partition of `topic` that the first one's shard does not own.
fn far_partition(broker: &Broker, topic: &str) -> (Connection, i32) {
    let mut connection = broker.connect();
    let partitions = create(&mut connection, topic) as i32;
    let far = (0..partitions).find(|partition| {
        let before = broker.metric(ROUTED);
        connection.ask(&produce(topic, *partition, batch(&["first"]), -1), PRODUCE);
        broker.metric(ROUTED) > before
    });
    (connection, far.expect("the partitions are spread over both shards"))
}

#[test]
fn a_producer_moves_to_the_shard_of_its_partition_between_pipelined_requests() {
    const IN_FLIGHT: i64 = 5;
    let broker = start();
    let (mut producer, partition) = far_partition(&broker, "one");
    let (mut sent, mut answered) = (0, 0);
    while answered < REQUESTS {
        while sent < REQUESTS && sent - answered < IN_FLIGHT {
            // Some requests are longer than what is received at once.
            let value = "v".repeat(if sent % 50 == 49 { 300_000 } else { 10 });
            producer.send(&produce("one", partition, batch(&[&value]), -1), PRODUCE);
            sent += 1;
        }
        let (_, written) = producer.receive::<kafka_protocol::messages::ProduceRequest>(PRODUCE);
        answered += 1;
        let written = produced(&written);
        assert_eq!((written.error_code, written.base_offset), (0, answered), "in the order of the requests");
    }
    assert_eq!(broker.metric(MOVED), 1.0);
    let routed = broker.metric(ROUTED);
    producer.ask(&produce("one", partition, batch(&["near"]), -1), PRODUCE);
    assert_eq!(broker.metric(ROUTED), routed, "it is where its partition is");
    assert!(broker.metric("corelog_connections_open{") >= 1.0);
    assert_eq!(broker.metric("corelog_connections_closed_total"), 0.0);
    drop(producer);
    broker.wait_until("the connection is gone", |broker| {
        broker.metric("corelog_connections_closed_total") == 1.0
            && broker.metric("corelog_connections_open{") == 0.0
    });
}

#[test]
fn a_consumer_moves_to_the_shard_of_its_coordinator() {
    let broker = start();
    let mut connections: Vec<Connection> = (0..2).map(|_| broker.connect()).collect();
    create(&mut connections[0], "committed");
    find(&mut connections[0], "g");
    // The two are at different shards, so one of them has to move.
    for connection in &mut connections {
        for offset in 0..REQUESTS {
            assert_eq!(commit(connection, "g", ("committed", 0, offset), 9), 0);
        }
    }
    assert_eq!(broker.metric(MOVED), 1.0);
}

#[test]
fn a_consumer_with_a_fetch_session_stays() {
    let broker = start();
    let (mut both, partition) = far_partition(&broker, "stays");
    let read = both.ask(&fetch("stays", &[(partition, 0)], 1_000, 1), FETCH);
    assert_eq!(fetched(&read).len(), 1);
    for _ in 0..REQUESTS {
        both.ask(&produce("stays", partition, batch(&["a"]), 1), PRODUCE);
    }
    assert_eq!(broker.metric(MOVED), 0.0);
}

#[test]
fn a_connection_that_is_idle_after_its_move_is_closed_as_any_other() {
    let broker = Broker::start(&["num.partitions=4", "connections.max.idle.ms=3000"]);
    let (mut producer, partition) = far_partition(&broker, "idle");
    for _ in 0..REQUESTS {
        producer.ask(&produce("idle", partition, batch(&["a"]), 1), PRODUCE);
    }
    assert_eq!(broker.metric(MOVED), 1.0);
    broker.wait_until("the connection is closed", |broker| broker.metric("corelog_connections_open{") == 0.0);
}

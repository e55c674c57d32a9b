//! Data: what is acknowledged is there, in order, once, also after a crash.

use crate::requests::{FETCH, PRODUCE, batch, create, fetch, fetched, produce, produced, sequenced};
use crate::support::Broker;
use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;

#[test]
fn acknowledged_records_survive_a_crash_and_a_restart() {
    let mut broker = Broker::start(&["num.partitions=3"]);
    let mut connection = broker.connect();
    assert_eq!(create(&mut connection, "kept"), 3);
    for partition in 0..3 {
        for n in 0..10 {
            let response = connection.ask(&produce("kept", partition, batch(&["a", "b"]), -1), PRODUCE);
            assert_eq!((produced(&response).error_code, produced(&response).base_offset), (0, n * 2));
        }
    }
    for crash in [true, false, true] {
        drop(connection);
        broker = if crash {
            broker.crash_and_restart(&[])
        } else {
            assert!(broker.stop().1);
            broker.restart(&[])
        };
        connection = broker.connect();
        broker.wait_until("all partitions serve", |broker| broker.metric("corelog_partitions") >= 3.0);
        let response = connection.ask(&fetch("kept", &[(0, 0), (1, 0), (2, 0)], 1_000, 1), FETCH);
        let offsets: Vec<i64> = fetched(&response).iter().map(|header| header.base_offset.0).collect();
        assert_eq!(offsets, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18].repeat(3));
    }
}

#[test]
fn a_repeated_batch_is_acknowledged_once_also_after_a_crash() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    create(&mut connection, "once");
    let first = produce("once", 0, sequenced(&["a", "b", "c"], 7, 0), -1);
    let gap = produce("once", 0, sequenced(&["x"], 7, 9), -1);
    assert_eq!(produced(&connection.ask(&first, PRODUCE)).base_offset, 0);
    assert_eq!(produced(&connection.ask(&first, PRODUCE)).base_offset, 0);
    assert_eq!(produced(&connection.ask(&gap, PRODUCE)).error_code, 45);
    let broker = broker.crash_and_restart(&[]);
    let mut connection = broker.connect();
    broker.wait_until("the partition serves", |broker| broker.metric("corelog_partitions") >= 1.0);
    let again = produced(&connection.ask(&first, PRODUCE)).clone();
    assert_eq!((again.error_code, again.base_offset), (0, 0));
    let next = produce("once", 0, sequenced(&["d"], 7, 3), -1);
    assert_eq!(produced(&connection.ask(&next, PRODUCE)).base_offset, 3);
}

#[test]
fn pipelined_requests_are_appended_and_answered_in_their_order() {
    let broker = Broker::start(&["num.partitions=4"]);
    let mut connection = broker.connect();
    create(&mut connection, "order");
    let rounds = 300;
    for n in 0..rounds {
        connection.send(&produce("order", n % 4, batch(&["a"]), 1), PRODUCE);
    }
    for n in 0..rounds {
        let (correlation, response) = connection.receive::<ProduceRequest>(PRODUCE);
        assert_eq!(correlation, n + 2, "the first id was the creation's");
        assert_eq!(produced(&response).base_offset, i64::from(n / 4));
    }
}

#[test]
fn a_failed_produce_without_acknowledgement_closes_the_connection() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    create(&mut connection, "silent");
    connection.send(&produce("silent", 0, batch(&["a"]), 0), PRODUCE);
    connection.send(&produce("silent", 99, batch(&["a"]), 0), PRODUCE);
    assert!(connection.receive_frame().is_none());
    let response = broker.connect().ask(&fetch("silent", &[(0, 0)], 1_000, 1), FETCH);
    assert_eq!(fetched(&response).len(), 1);
}

#[test]
fn of_a_partition_named_twice_the_last_batch_counts_also_if_it_is_refused() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    create(&mut connection, "twice");
    let twice = |first: Bytes, last: Bytes| {
        let mut request = produce("twice", 0, first, -1);
        let last = produce("twice", 0, last, -1).topic_data[0].partition_data[0].clone();
        request.topic_data[0].partition_data.push(last);
        request
    };
    let damaged = {
        let mut bytes = batch(&["damaged"]).to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Bytes::from(bytes)
    };
    let refused = connection.ask(&twice(batch(&["first"]), damaged.clone()), PRODUCE);
    assert_eq!(refused.responses[0].partition_responses.len(), 1);
    assert_eq!(produced(&refused).error_code, 2, "CORRUPT_MESSAGE");
    let accepted = connection.ask(&twice(damaged, batch(&["a", "b"])), PRODUCE);
    assert_eq!((produced(&accepted).error_code, produced(&accepted).base_offset), (0, 0));
    let response = connection.ask(&fetch("twice", &[(0, 0)], 1_000, 1), FETCH);
    assert_eq!(fetched(&response).len(), 1, "the first of the refused pair is not in the log");
}

#[test]
fn connections_are_evened_out_between_shards() {
    let broker = Broker::start(&[]);
    let mut connections: Vec<_> = (0..20).map(|_| broker.connect()).collect();
    for connection in &mut connections {
        create(connection, "even");
    }
    assert_eq!(broker.metric("corelog_connections_open{shard=\"0\"}"), 10.0);
    assert_eq!(broker.metric("corelog_connections_open{shard=\"1\"}"), 10.0);
}

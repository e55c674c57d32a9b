//! Fetches that wait: woken by data, ended by time, gone with their client.

use std::time::{Duration, Instant};

use crate::requests::{FETCH, PRODUCE, batch, create, fetch, fetched, produce};
use crate::support::Broker;
use kafka_protocol::messages::FetchRequest;

#[test]
fn a_waiting_fetch_is_answered_when_data_arrives_on_any_shard() {
    let broker = Broker::start(&["num.partitions=2"]);
    let (mut consumer, mut producer) = (broker.connect(), broker.connect());
    create(&mut consumer, "tail");
    for (round, partition) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let next = [(0, round + i64::from(partition == 1)), (1, round)];
        consumer.send(&fetch("tail", &next, 10_000, 1), FETCH);
        broker.wait_until("the fetch waits", |broker| broker.metric("corelog_waiting_fetches") == 1.0);
        let began = Instant::now();
        producer.ask(&produce("tail", partition, batch(&["x"]), -1), PRODUCE);
        let (_, response) = consumer.receive::<FetchRequest>(FETCH);
        assert_eq!(fetched(&response).len(), 1);
        assert!(began.elapsed() < Duration::from_secs(5), "not by the end of its wait");
    }
}

#[test]
fn a_wait_ends_with_its_time() {
    let broker = Broker::start(&[]);
    let mut consumer = broker.connect();
    create(&mut consumer, "quiet");
    let began = Instant::now();
    let response = consumer.ask(&fetch("quiet", &[(0, 0)], 300, 1), FETCH);
    assert!(fetched(&response).is_empty());
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_client_that_goes_away_leaves_no_wait_behind() {
    let broker = Broker::start(&["num.partitions=2"]);
    let mut consumers: Vec<_> = (0..10).map(|_| broker.connect()).collect();
    create(&mut consumers[0], "gone");
    for consumer in &mut consumers {
        consumer.send(&fetch("gone", &[(0, 0), (1, 0)], 60_000, 1), FETCH);
    }
    broker.wait_until("all wait", |broker| broker.metric("corelog_waiting_fetches") == 10.0);
    drop(consumers);
    broker.wait_until("none waits", |broker| broker.metric("corelog_waiting_fetches") == 0.0);
}

#[test]
fn a_fetch_waits_for_the_bytes_it_asks_for() {
    let broker = Broker::start(&[]);
    let (mut consumer, mut producer) = (broker.connect(), broker.connect());
    create(&mut consumer, "many");
    consumer.send(&fetch("many", &[(0, 0)], 10_000, 500), FETCH);
    broker.wait_until("the fetch waits", |broker| broker.metric("corelog_waiting_fetches") == 1.0);
    for _ in 0..8 {
        producer.ask(&produce("many", 0, batch(&["0123456789012345678901234567890123456789"]), -1), PRODUCE);
    }
    let (_, response) = consumer.receive::<FetchRequest>(FETCH);
    let bytes: u32 = fetched(&response).iter().map(|header| header.size_bytes).sum();
    assert!(bytes >= 500, "{bytes} bytes");
}

#[test]
fn a_partition_that_does_not_exist_does_not_hurry_the_others() {
    let broker = Broker::start(&[]);
    let mut consumer = broker.connect();
    create(&mut consumer, "patient");
    let began = Instant::now();
    let response = consumer.ask(&fetch("patient", &[(0, 0), (5, 0)], 300, 1), FETCH);
    let codes = response.responses.iter().flat_map(|topic| &topic.partitions).map(|found| found.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [0, 3]);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

//! Fetches that wait: woken by data, ended by time, gone with their client.

use std::thread;
use std::time::{Duration, Instant};

use crate::admin::delete;
use crate::requests::{FETCH, PRODUCE, batch, create, fetch, fetched, produce};
use crate::support::Broker;
use corelog::record::split_batches;
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
fn consumers_at_the_tail_get_every_batch_once_and_whole() {
    const PARTITIONS: usize = 6;
    const BATCHES: usize = 300;
    let broker = Broker::start(&["num.partitions=6"]);
    create(&mut broker.connect(), "stream");
    thread::scope(|scope| {
        let consumers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| read_to(&broker, [BATCHES; PARTITIONS]))).collect();
        for residue in 0..2 {
            let mut producer = broker.connect();
            scope.spawn(move || {
                for number in 0..BATCHES {
                    for partition in (0..PARTITIONS).filter(|partition| partition % 2 == residue) {
                        let value = format!("{partition}-{number}");
                        producer.ask(&produce("stream", partition as i32, batch(&[&value]), -1), PRODUCE);
                    }
                    if number % 50 == 0 {
                        // Time for all to come to the end, and wait.
                        thread::sleep(Duration::from_millis(30));
                    }
                }
            });
        }
        for consumer in consumers {
            let waited = consumer.join().unwrap();
            assert!(
                waited < Duration::from_secs(9),
                "a fetch came back after {waited:?}: by the end of its wait"
            );
        }
    });
    broker.wait_until("none waits", |broker| broker.metric("corelog_waiting_fetches") == 0.0);
}

/// Reads "stream" up to `ends`; its values tell their partition and offset. Returns the longest that a fetch took.
fn read_to<const N: usize>(broker: &Broker, ends: [usize; N]) -> Duration {
    let (mut consumer, mut next, mut longest) = (broker.connect(), [0; N], Duration::ZERO);
    while next != ends {
        let wanted: Vec<_> = (0..N).map(|partition| (partition as i32, next[partition] as i64)).collect();
        let began = Instant::now();
        let response = consumer.ask(&fetch("stream", &wanted, 10_000, 1), FETCH);
        longest = longest.max(began.elapsed());
        let answers = response.responses.iter().flat_map(|topic| &topic.partitions);
        for answer in answers {
            assert_eq!(answer.error_code, 0);
            let records = answer.records.clone().unwrap_or_default();
            for found in split_batches(&records) {
                let (bytes, header) = found.unwrap();
                let at = &mut next[answer.partition_index as usize];
                assert_eq!(header.base_offset.0, *at as i64);
                let value = format!("{}-{}", answer.partition_index, at);
                assert!(
                    bytes.windows(value.len()).any(|part| part == value.as_bytes()),
                    "{value} is not there"
                );
                *at += 1;
            }
        }
    }
    longest
}

#[test]
fn a_topic_that_is_deleted_ends_the_wait_for_its_partitions() {
    let broker = Broker::start(&["num.partitions=2"]);
    let (mut consumer, mut other) = (broker.connect(), broker.connect());
    create(&mut consumer, "leaving");
    for partition in 0..2 {
        other.ask(&produce("leaving", partition, batch(&["x"]), -1), PRODUCE);
    }
    consumer.send(&fetch("leaving", &[(0, 1), (1, 1)], 20_000, 1), FETCH);
    broker.wait_until("the fetch waits", |broker| broker.metric("corelog_waiting_fetches") == 1.0);
    let began = Instant::now();
    assert_eq!(delete(&mut other, "leaving"), 0);
    let (_, response) = consumer.receive::<FetchRequest>(FETCH);
    let codes = response.responses.iter().flat_map(|topic| &topic.partitions).map(|found| found.error_code);
    assert!(codes.into_iter().any(|code| code == 3), "{response:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "not by the end of its wait");
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

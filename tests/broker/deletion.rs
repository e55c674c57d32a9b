//! Deletion: what DeleteRecords and retention took is gone for good, and who may ask for it.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{CreateTopicsRequest, DeleteRecordsRequest, ListOffsetsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::requests::{FETCH, PRODUCE, batch, create, fetch, name, produce, produced};
use crate::support::{Broker, Connection};

/// Creates a topic of one partition with one setting.
fn create_with(connection: &mut Connection, topic: &str, setting: (&'static str, &'static str)) {
    let config = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str(setting.0))
        .with_value(Some(StrBytes::from_static_str(setting.1)));
    let wanted = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(5_000);
    assert_eq!(connection.ask(&request, 7).topics[0].error_code, 0);
}

/// Deletes the records of a partition below `offset`: the error code and the log start.
fn delete(connection: &mut Connection, topic: &str, partition: i32, offset: i64) -> (i16, i64) {
    let wanted = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![wanted]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    let response = connection.ask(&request, 2);
    let answer = &response.topics[0].partitions[0];
    (answer.error_code, answer.low_watermark)
}

/// The log start of partition 0.
fn log_start(connection: &mut Connection, topic: &str) -> i64 {
    let wanted = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_current_leader_epoch(-1)
        .with_timestamp(-2);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![wanted]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    connection.ask(&request, 9).topics[0].partitions[0].offset
}

#[test]
fn deleted_records_do_not_come_back_after_a_crash_or_a_restart() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect();
    create(&mut connection, "less");
    for _ in 0..3 {
        let response = connection.ask(&produce("less", 0, batch(&["a", "b", "c"]), -1), PRODUCE);
        assert_eq!(produced(&response).error_code, 0);
    }
    // The first within a batch.
    for (offset, crash) in [(4, true), (6, false), (-1, true)] {
        let start = if offset < 0 { 9 } else { offset };
        assert_eq!(delete(&mut connection, "less", 0, offset), (0, start));
        drop(connection);
        broker = if crash {
            broker.crash_and_restart(&[])
        } else {
            assert!(broker.stop().1);
            broker.restart(&[])
        };
        connection = broker.connect();
        broker.wait_until("the partition serves", |broker| broker.metric("corelog_partitions") >= 1.0);
        assert_eq!(log_start(&mut connection, "less"), start);
        let below = connection.ask(&fetch("less", &[(0, start - 1)], 0, 0), FETCH);
        assert_eq!(below.responses[0].partitions[0].error_code, 1, "OFFSET_OUT_OF_RANGE");
        let at = connection.ask(&fetch("less", &[(0, start)], 0, 0), FETCH);
        assert_eq!(at.responses[0].partitions[0].error_code, 0);
    }
    let response = connection.ask(&produce("less", 0, batch(&["d"]), -1), PRODUCE);
    assert_eq!((produced(&response).base_offset, produced(&response).log_start_offset), (9, 9));
}

#[test]
fn the_cleanup_policy_says_who_may_delete_records() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    for (policy, code) in [("delete", 0), ("compact,delete", 0), ("", 0), ("compact", 44)] {
        let topic = format!("policy-{}", policy.replace(',', "-"));
        create_with(&mut connection, &topic, ("cleanup.policy", policy));
        assert_eq!(delete(&mut connection, &topic, 0, -1).0, code, "{policy:?}");
        assert_eq!(delete(&mut connection, &topic, 1, -1).0, 3, "{policy:?}: UNKNOWN_TOPIC_OR_PARTITION");
    }
}

#[test]
fn retention_acts_on_a_running_broker_and_lasts() {
    let broker = Broker::start(&["log.retention.check.interval.ms=1000"]);
    let mut connection = broker.connect();
    create_with(&mut connection, "short", ("retention.ms", "1"));
    let response = connection.ask(&produce("short", 0, batch(&["a", "b"]), -1), PRODUCE);
    assert_eq!(produced(&response).error_code, 0);
    broker.wait_until("the records expire", |broker| log_start(&mut broker.connect(), "short") == 2);
    let broker = broker.crash_and_restart(&[]);
    let mut connection = broker.connect();
    broker.wait_until("the partition serves", |broker| broker.metric("corelog_partitions") >= 1.0);
    assert_eq!(log_start(&mut connection, "short"), 2);
}

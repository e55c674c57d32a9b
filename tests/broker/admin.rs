//! Administration: topics come, grow and go, and what was answered holds after a crash.

use crate::requests::{PRODUCE, batch, create, name, produce, produced, sequenced};
use crate::support::{Broker, Connection, free_address, serve_command};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_acls_request::DescribeAclsRequest;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_topic_partitions_request::{self, Cursor};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeProducersRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest,
};

const UNKNOWN_TOPIC: i16 = 3;

fn wanted(topic: &str, partitions: i32, factor: i16) -> CreatableTopic {
    let topic = CreatableTopic::default().with_name(name(topic));
    topic.with_num_partitions(partitions).with_replication_factor(factor)
}

/// Creates topics and returns each one's error code and message.
fn created(connection: &mut Connection, topics: Vec<CreatableTopic>, only: bool) -> Vec<(i16, String)> {
    let request = CreateTopicsRequest::default().with_topics(topics).with_validate_only(only);
    let response = connection.ask(&request, 7);
    let told = |text: Option<kafka_protocol::protocol::StrBytes>| text.map(|text| text.to_string());
    let answers = response.topics.into_iter();
    answers.map(|topic| (topic.error_code, told(topic.error_message).unwrap_or_default())).collect()
}

pub fn delete(connection: &mut Connection, topic: &str) -> i16 {
    let topic = DeleteTopicState::default().with_name(Some(name(topic)));
    connection.ask(&DeleteTopicsRequest::default().with_topics(vec![topic]), 6).responses[0].error_code
}

fn grow(connection: &mut Connection, topic: &str, count: i32) -> i16 {
    let topic =
        CreatePartitionsTopic::default().with_name(name(topic)).with_count(count).with_assignments(None);
    connection.ask(&CreatePartitionsRequest::default().with_topics(vec![topic]), 3).results[0].error_code
}

/// The partitions of a topic with their leader epochs, or its error code.
fn partitions(connection: &mut Connection, topic: &str) -> Result<Vec<(i32, i32)>, i16> {
    let topic = describe_topic_partitions_request::TopicRequest::default().with_name(name(topic));
    let request = DescribeTopicPartitionsRequest::default().with_topics(vec![topic]);
    let response = connection.ask(&request.with_response_partition_limit(1_000), 0);
    match &response.topics[0] {
        topic if topic.error_code != 0 => Err(topic.error_code),
        topic => Ok(topic.partitions.iter().map(|p| (p.partition_index, p.leader_epoch)).collect()),
    }
}

fn cluster_id(connection: &mut Connection) -> String {
    connection.ask(&DescribeClusterRequest::default(), 1).cluster_id.to_string()
}

#[test]
fn what_was_answered_about_topics_holds_after_a_crash() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    let id = cluster_id(&mut connection);
    let topics = vec![wanted("stays", 2, 1), wanted("goes", 1, -1), wanted("default", -1, -1)];
    assert_eq!(created(&mut connection, topics, false).iter().filter(|(code, _)| *code == 0).count(), 3);
    assert_eq!(grow(&mut connection, "stays", 4), 0);
    assert_eq!(delete(&mut connection, "goes"), 0);
    assert_eq!(partitions(&mut connection, "stays"), Ok((0..4).map(|index| (index, 0)).collect()));
    let broker = broker.crash_and_restart(&[]);
    let mut connection = broker.connect();
    assert_eq!(cluster_id(&mut connection), id);
    assert_eq!(partitions(&mut connection, "stays"), Ok((0..4).map(|index| (index, 1)).collect()));
    assert_eq!(partitions(&mut connection, "default"), Ok(vec![(0, 1)]));
    assert_eq!(partitions(&mut connection, "goes"), Err(UNKNOWN_TOPIC));
    assert_eq!(created(&mut connection, vec![wanted("goes", 3, 1)], false)[0].0, 0, "the name is free again");
    assert_eq!(partitions(&mut connection, "goes").map(|found| found.len()), Ok(3));
}

#[test]
fn refused_and_merely_validated_topics_are_not_created() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    assert_eq!(created(&mut connection, vec![wanted("only-checked", 1, 1)], true)[0].0, 0);
    let elsewhere = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(77)]);
    let cases = [
        (wanted("a", 1, 3), 38, "cannot be reached because only 1 broker(s) are registered"),
        (wanted("a", 0, 1), 37, "invalid non-positive value"),
        (wanted("../a", 1, 1), 17, "Topic name is invalid"),
        (wanted("__consumer_offsets", 50, 1), 17, "internal"),
        (wanted("a", 1_000_000, 1), 44, "Excessively large"),
        (wanted("a", -1, -1).with_assignments(vec![elsewhere]), 39, "broker 77"),
    ];
    for (topic, code, part) in cases {
        let answer = created(&mut connection, vec![topic], false).remove(0);
        assert!(answer.0 == code && answer.1.contains(part), "{answer:?}");
    }
    for topic in ["only-checked", "a"] {
        assert_eq!(partitions(&mut connection, topic), Err(UNKNOWN_TOPIC));
        assert_eq!(delete(&mut connection, topic), UNKNOWN_TOPIC);
        assert_eq!(grow(&mut connection, topic, 9), UNKNOWN_TOPIC);
    }
    assert_eq!(broker.metric("corelog_cluster_topics"), 0.0);
    let counted = |error: &str| {
        let shards = ["0", "1"].into_iter();
        let of = |shard| format!("corelog_errors_total{{shard=\"{shard}\",error=\"{error}\"}}");
        shards.map(|shard| broker.metric(&of(shard))).sum::<f64>()
    };
    assert_eq!(counted("INVALID_TOPIC_EXCEPTION"), 2.0);
    assert_eq!(counted("UNKNOWN_TOPIC_OR_PARTITION"), 6.0);
}

#[test]
fn topics_are_told_in_pages_that_leave_none_out() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    let topics: Vec<CreatableTopic> = (0..300).map(|n| wanted(&format!("t{n:03}"), 1 + n % 3, 1)).collect();
    let wanted: i32 = topics.iter().map(|topic| topic.num_partitions).sum();
    assert!(created(&mut connection, topics, false).iter().all(|(code, _)| *code == 0));
    let (mut cursor, mut told, mut pages) = (None, Vec::new(), 0);
    loop {
        let request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(70);
        let response = connection.ask(&request.with_cursor(cursor), 0);
        for topic in &response.topics {
            let name = topic.name.clone().unwrap_or_default().to_string();
            told.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
        }
        pages += 1;
        let Some(next) = response.next_cursor else { break };
        cursor = Some(
            Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index),
        );
    }
    let sorted = told.windows(2).all(|pair| pair[0] < pair[1]);
    assert_eq!((told.len(), sorted, pages), (wanted as usize, true, (wanted as usize).div_ceil(70)));
}

#[test]
fn sizes_and_producers_are_those_of_what_was_written() {
    let broker = Broker::start(&["num.partitions=2"]);
    let mut connection = broker.connect();
    create(&mut connection, "data");
    let records = sequenced(&["a", "b"], 4_711, 0);
    let size = records.len() as i64;
    assert_eq!(produced(&connection.ask(&produce("data", 0, records, -1), PRODUCE)).error_code, 0);
    assert_eq!(produced(&connection.ask(&produce("data", 1, batch(&["c"]), -1), PRODUCE)).error_code, 0);
    let topic = DescribableLogDirTopic::default().with_topic(name("data")).with_partitions(vec![0, 0, 7]);
    let response = connection.ask(&DescribeLogDirsRequest::default().with_topics(Some(vec![topic])), 4);
    let directory = &response.results[0];
    assert_eq!(directory.log_dir.as_str(), broker.data().to_str().unwrap());
    assert!(0 < directory.usable_bytes && directory.usable_bytes < directory.total_bytes);
    let told = &directory.topics[0].partitions;
    assert_eq!((told.len(), told[0].partition_index, told[0].partition_size), (1, 0, size));
    let topic = TopicRequest::default().with_name(name("data")).with_partition_indexes(vec![0, 1, 0, 7]);
    let response = connection.ask(&DescribeProducersRequest::default().with_topics(vec![topic]), 0);
    let [first, second, third] = &*response.topics[0].partitions else { panic!("each is told once") };
    let producer = &first.active_producers[0];
    assert_eq!((producer.producer_id.0, producer.last_sequence, first.active_producers.len()), (4_711, 1, 1));
    assert_eq!((second.active_producers.len(), third.error_code), (0, UNKNOWN_TOPIC));
}

#[test]
fn one_node_says_what_one_node_is() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect();
    let described = connection.ask(&DescribeClusterRequest::default().with_endpoint_type(1), 2);
    assert_eq!((described.error_code, described.brokers.len()), (0, 1));
    assert_eq!(described.controller_id, described.brokers[0].broker_id);
    assert_eq!(described.brokers[0].port, i32::from(broker.address.port()));
    let topic = kafka_protocol::messages::describe_quorum_request::TopicData::default()
        .with_topic_name(name("__cluster_metadata"))
        .with_partitions(vec![Default::default()]);
    let quorum = connection.ask(&DescribeQuorumRequest::default().with_topics(vec![topic]), 1);
    let log = &quorum.topics[0].partitions[0];
    assert_eq!((log.error_code, log.leader_id, log.current_voters.len()), (0, described.controller_id, 1));
    assert!(log.high_watermark > 0 && log.high_watermark == log.current_voters[0].log_end_offset);
    let any = DescribeAclsRequest::default().with_resource_type_filter(1).with_pattern_type_filter(1);
    let acls = connection.ask(&any.clone().with_operation(1).with_permission_type(1), 3);
    assert_eq!(acls.error_code, 54);
    connection.send(&any, 3);
    assert!(connection.receive_frame().is_none(), "unknown codes close the connection");
}

#[test]
fn damaged_metadata_is_an_error_that_names_the_file() {
    let mut broker = Broker::start(&[]);
    let topics = (0..50).map(|n| wanted(&format!("t{n}"), 1, 1)).collect();
    assert!(created(&mut broker.connect(), topics, false).iter().all(|(code, _)| *code == 0));
    assert!(broker.stop().1);
    let path = broker.data().join("metadata/metadata.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    // Everything but the database's own header.
    bytes[4_096..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let output = serve_command(broker.data(), free_address(), free_address()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("metadata.redb is damaged") && !told.contains("panicked"), "{told}");
}

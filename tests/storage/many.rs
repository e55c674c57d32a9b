//! Many partitions: all of them serve, also after a restart, with few open files.
//!
//! Key invariant: how many files the broker holds open follows from what it may have, never from how many partitions it
//! has. Times and memory are measured by `benches/engine/many-partitions.sh`.

use crate::admin;
use crate::consumer::fetch_all;
use crate::requests::{FETCH, PRODUCE, fetch, name, produce};
use crate::server::{Server, wait_for};
use crate::support::Connection;
use crate::values::{self, Shape, Tag, batch};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

const TOPIC: &str = "many";
const PARTITIONS: i32 = 2_000;
/// What the broker may open at all: fewer files than there are partitions.
const OPEN_FILES_MAX: u32 = 1_024;
/// Partitions of one request.
const AT_ONCE: i32 = 500;

/// Appends a record to every partition and sees to it that each got offset `expected`.
fn append_everywhere(connection: &mut Connection, expected: i64) {
    for from in (0..PARTITIONS).step_by(AT_ONCE as usize) {
        let data = (from..from + AT_ONCE).map(|index| {
            let record = batch(Tag::new(expected as u16, index as u64), Shape::SINGLE, None);
            PartitionProduceData::default().with_index(index).with_records(Some(record))
        });
        let topic = TopicProduceData::default().with_name(name(TOPIC)).with_partition_data(data.collect());
        let request = produce(TOPIC, 0, batch(Tag::new(0, 0), Shape::SINGLE, None), -1);
        let answer = connection.ask(&request.with_topic_data(vec![topic]), PRODUCE);
        let parts = &answer.responses[0].partition_responses;
        assert_eq!(parts.len(), AT_ONCE as usize);
        for part in parts {
            assert_eq!((part.error_code, part.base_offset), (admin::NONE, expected), "{}", part.index);
        }
    }
}

/// Sees to it that every partition holds its records, once it serves.
fn read_everywhere(connection: &mut Connection, writers: u16) {
    let mut left: Vec<i32> = (0..PARTITIONS).collect();
    wait_for("every partition serves", || {
        let asked: Vec<(i32, i64)> =
            left.iter().take(AT_ONCE as usize).map(|partition| (*partition, 0)).collect();
        let answer = connection.ask(&fetch(TOPIC, &asked, 100, 1), FETCH);
        for part in &answer.responses[0].partitions {
            assert!(part.error_code == admin::NONE || admin::is_passing(part.error_code));
            let read = values::read(&part.records.clone().unwrap_or_default(), 0);
            if read.is_empty() {
                continue;
            }
            let expected = (0..writers).map(|n| (i64::from(n), Tag::new(n, part.partition_index as u64)));
            assert!(read.into_iter().eq(expected), "partition {}", part.partition_index);
            left.retain(|partition| *partition != part.partition_index);
        }
        left.is_empty().then_some(())
    });
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count()
}

#[test]
fn more_partitions_than_open_files_serve_and_restart() {
    let mut server = Server::new(&[]);
    server.open_files_max = Some(OPEN_FILES_MAX);
    server.start();
    let mut connection = server.connect();
    admin::create(&mut connection, TOPIC, PARTITIONS, &[]);
    read_nothing(&mut connection);
    append_everywhere(&mut connection, 0);
    read_everywhere(&mut connection, 1);
    append_everywhere(&mut connection, 1);
    let opened = open_files(&server);
    assert!(opened < OPEN_FILES_MAX as usize * 3 / 4, "{opened} files are open");
    for kill in [true, false] {
        if kill {
            server.kill();
        } else {
            server.stop();
        }
        server.start();
        let mut connection = server.connect();
        read_everywhere(&mut connection, 2);
        let opened = open_files(&server);
        assert!(opened < OPEN_FILES_MAX as usize * 3 / 4, "{opened} files are open");
    }
    append_everywhere(&mut server.connect(), 2);
    let found = fetch_all(&mut server.connect(), TOPIC, PARTITIONS - 1, (0, 3));
    assert_eq!(found.len(), 3);
}

/// Waits until every partition of the new topic serves.
fn read_nothing(connection: &mut Connection) {
    for partition in 0..PARTITIONS {
        assert_eq!(admin::bounds(connection, TOPIC, partition), (0, 0));
    }
}

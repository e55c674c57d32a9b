//! Readers: one that reads a partition to its end, and one that follows all of them until the broker is gone.
//!
//! Key invariant: what is counted as seen came whole out of a fetch.

use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_response::PartitionData;

use crate::admin::{EARLIEST, NONE, OFFSET_OUT_OF_RANGE, is_passing, try_offset_at};
use crate::ledger::Told;
use crate::requests::{FETCH, fetch};
use crate::server::wait_for;
use crate::support::Connection;
use crate::values::{self, Tag};

/// Error code and answer of a fetch from one partition.
pub fn fetch_one(connection: &mut Connection, topic: &str, partition: i32, from: i64) -> PartitionData {
    let response = connection.ask(&fetch(topic, &[(partition, from)], 100, 1), FETCH);
    response.responses[0].partitions[0].clone()
}

/// All records from `bounds.0` to the high watermark, which must be `bounds.1`.
pub fn fetch_all(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    bounds: (i64, i64),
) -> Vec<(i64, Tag)> {
    let mut found = Vec::new();
    let mut from = bounds.0;
    while from < bounds.1 {
        let answer = wait_for("the partition serves", || {
            let answer = fetch_one(connection, topic, partition, from);
            let code = answer.error_code;
            assert!(code == NONE || is_passing(code), "error {code} from {topic}-{partition} at {from}");
            (code == NONE).then_some(answer)
        });
        assert_eq!(answer.high_watermark, bounds.1, "the high watermark of {topic}-{partition}");
        let read = values::read(&answer.records.unwrap_or_default(), from);
        let Some((last, _)) = read.last() else {
            panic!("{topic}-{partition} has nothing at {from}, below its high watermark {}", bounds.1);
        };
        from = last + 1;
        found.extend(read);
    }
    found
}

/// Follows all partitions of a topic from these offsets until the broker is gone or `done`.
pub fn follow(
    address: std::net::SocketAddr,
    topic: &str,
    mut positions: Vec<i64>,
    done: &AtomicBool,
) -> Vec<Told> {
    const WAIT_MS: i32 = 50;
    let mut seen = Vec::new();
    let Ok(mut connection) = Connection::try_to(address) else { return seen };
    while !done.load(Ordering::Relaxed) {
        let wanted: Vec<(i32, i64)> = (0..).zip(positions.iter().copied()).collect();
        if connection.try_send(&fetch(topic, &wanted, WAIT_MS, 1), FETCH).is_err() {
            break;
        }
        let Some((_, response)) = connection.try_receive::<FetchRequest>(FETCH) else { break };
        for partition in &response.responses[0].partitions {
            let at = partition.partition_index;
            let position = &mut positions[at as usize];
            match partition.error_code {
                NONE => {}
                OFFSET_OUT_OF_RANGE => {
                    // Deleted meanwhile: what else lies below the log's start was not told to anybody.
                    let Some((NONE, start)) = try_offset_at(&mut connection, topic, at, EARLIEST) else {
                        break;
                    };
                    assert!(start > *position, "{topic}-{at} starts at {start} and has no offset {position}");
                    *position = start;
                    continue;
                }
                code => {
                    assert!(is_passing(code), "a fetch from {topic}-{at} got error {code}");
                    continue;
                }
            }
            for (offset, tag) in values::read(&partition.records.clone().unwrap_or_default(), *position) {
                assert_eq!(offset, *position, "a consumer of {topic}-{at} missed a record");
                assert!(offset < partition.high_watermark, "{topic}-{at} shows what is not durable");
                seen.push((at, offset, tag));
                *position += 1;
            }
        }
    }
    seen
}

//! Clients that ask for much and do not read what they get, or send half of a request: what they keep from others.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use crate::requests::{FETCH, PRODUCE, batch, create, fetch, fetched, produce, produced};
use crate::support::{Broker, Connection};

pub const BATCHES: i64 = 40;
pub const BATCH_BYTES: usize = 50_000;
/// Requests of each; the answers to them are more than sockets take.
const PIPELINED: usize = 200;
/// Nothing has moved for so long: whoever could be answered is.
const QUIET: Duration = Duration::from_millis(500);

/// Two shards; half of that for answers: 2 MiB each.
pub const SMALL: [&str; 3] =
    ["num.partitions=2", "socket.request.max.bytes=1048576", "queued.max.request.bytes=8388608"];

/// A broker with batches in two partitions, and a start since then: nothing of them is in memory.
pub fn cold(settings: &[&str]) -> Broker {
    let mut broker = Broker::start(settings);
    let mut producer = broker.connect();
    assert_eq!(create(&mut producer, "cold"), 2);
    let value = "x".repeat(BATCH_BYTES);
    for turn in 0..2 * BATCHES {
        let response = producer.ask(&produce("cold", (turn % 2) as i32, batch(&[&value]), -1), PRODUCE);
        assert_eq!(produced(&response).error_code, 0);
    }
    assert!(broker.stop().1);
    broker.restart(settings)
}

/// Connections that fetch the last `batches` of each partition again and again, none of which is read. Returns when nothing
/// moves any more.
pub fn stuck(broker: &Broker, connections: usize, batches: i64) -> Vec<Connection> {
    let offset = BATCHES - batches;
    let open = |_| {
        let mut connection = broker.connect();
        for _ in 0..PIPELINED {
            connection.send(&fetch("cold", &[(0, offset), (1, offset)], 0, 1), FETCH);
        }
        connection
    };
    let connections = (0..connections).map(open).collect();
    broker.wait_until("nobody reads", |broker| {
        let before = broker.metric("corelog_sent_bytes_total");
        std::thread::sleep(QUIET);
        broker.metric("corelog_sent_bytes_total") == before
    });
    connections
}

/// Bytes of the batches in one answer.
pub fn ask(consumer: &mut Connection) -> u32 {
    let response = consumer.ask::<FetchRequest>(&fetch("cold", &[(0, 0), (1, 0)], 0, 1), FETCH);
    fetched(&response).iter().map(|header| header.size_bytes).sum()
}

#[test]
fn who_does_not_read_keeps_no_place_on_the_device() {
    let broker = cold(&["num.partitions=2"]);
    // More on each shard than reads of one kind in flight there. Their answers are small, so that several would be sent together.
    let slow = stuck(&broker, 64, 1);
    assert!(ask(&mut broker.connect()) > 0);
    drop(slow);
}

#[test]
fn who_does_not_read_makes_answers_smaller_and_keeps_none_away() {
    let broker = cold(&SMALL);
    let slow = stuck(&broker, 16, BATCHES);
    let meanwhile = ask(&mut broker.connect());
    assert!(meanwhile as usize >= BATCH_BYTES, "one batch at least");
    drop(slow);
    // Their answers let go of the records a moment after the connections are closed.
    broker.wait_until("they keep nothing small", |broker| ask(&mut broker.connect()) >= 2 * meanwhile);
}

#[test]
fn requests_that_are_half_here_keep_none_away_and_huge_ones_come_through() {
    const REQUEST_BYTES: usize = 6 << 20;
    const STALLED: usize = 12;
    // Two shards: 1.5 MiB each for whole requests, as much for those that are arriving.
    let settings = ["socket.request.max.bytes", "queued.max.request.bytes", "message.max.bytes"];
    let settings = settings.map(|setting| format!("{setting}={REQUEST_BYTES}"));
    let broker = Broker::start(&settings.each_ref().map(String::as_str));
    let mut producer = broker.connect();
    create(&mut producer, "busy");
    let huge = batch(&[&"x".repeat(REQUEST_BYTES - (1 << 20))]);
    assert_eq!(produced(&producer.ask(&produce("busy", 0, huge, -1), PRODUCE)).error_code, 0);
    let stall = |_| {
        let mut half = TcpStream::connect(broker.address).unwrap();
        half.set_write_timeout(Some(QUIET)).unwrap();
        half.write_all(&(REQUEST_BYTES as u32).to_be_bytes()).unwrap();
        // The broker need not take all of it.
        let _ = half.write_all(&vec![0; REQUEST_BYTES / 2]);
        half
    };
    let stalled: Vec<TcpStream> = (0..STALLED).map(stall).collect();
    // On both shards, since connections are evened out.
    for mut producer in [broker.connect(), broker.connect()] {
        let response = producer.ask(&produce("busy", 0, batch(&[&"x".repeat(BATCH_BYTES)]), -1), PRODUCE);
        assert_eq!(produced(&response).error_code, 0);
    }
    drop(stalled);
}

#[test]
fn who_does_not_read_and_holds_the_memory_of_requests_is_closed_for_those_who_wait() {
    const BUDGET: &str = "6000000";
    const REQUEST_BYTES: usize = 500_000;
    let settings = ["queued.max.request.bytes", "socket.request.max.bytes", "message.max.bytes"];
    let settings = settings.map(|setting| format!("{setting}={BUDGET}"));
    let mut settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    settings.push("num.partitions=2");
    let broker = cold(&settings);
    let mut unread = stuck(&broker, 2, BATCHES);
    for connection in &mut unread {
        // Their answers wait behind those that nobody reads.
        let large = produce("cold", 0, batch(&[&"x".repeat(REQUEST_BYTES)]), -1);
        connection.give_up_sending_after(QUIET);
        for _ in 0..20 {
            if connection.try_send(&large, PRODUCE).is_err() {
                break;
            }
        }
    }
    // On both shards, since connections are evened out.
    for mut producer in [broker.connect(), broker.connect()] {
        let response = producer.ask(&produce("cold", 1, batch(&[&"x".repeat(BATCH_BYTES)]), -1), PRODUCE);
        assert_eq!(produced(&response).error_code, 0);
    }
    assert!(broker.metric("corelog_connections_closed_total") >= 1.0);
}

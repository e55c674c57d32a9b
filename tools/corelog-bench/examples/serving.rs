//! How long until every partition of a topic serves, for a broker that is just starting.
//!
//! serving HOST:PORT TOPIC PARTITIONS SINCE_NS read|write
//!
//! SINCE_NS is when the broker was started, in ns since 1970 (`date +%s%N`). `read` asks every partition for its end;
//! `write` appends a record to each and fetches it back. Whatever is refused is asked again; after a minute it gives up.
//! Prints one line: milliseconds from SINCE_NS until the broker was connected to, and until the first, half and all of the
//! partitions had taken a record (or told their end), and had given it back.
//!
//! Key invariant: a partition counts when it answered without an error, and a record when its bytes came back.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use corelog::model::{Offset, TimestampMs};
use corelog::protocol::{decode_response, encode_request};
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::record::{BatchHeader, Codec};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, ProduceResponse,
    TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};

/// Partitions in one request, and requests under way at once.
const AT_ONCE: usize = 25;
const IN_FLIGHT_MAX: usize = 64;
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(2);
const LATEST: i64 = -1;

/// One step that every partition has to pass, and when each did, in ms.
#[derive(Default)]
struct Passed(Vec<f64>);

impl Passed {
    fn row(&self, step: &str) -> String {
        let at = |index: usize| self.0.get(index).map_or("-".to_owned(), |ms| format!("{ms:.0}"));
        let last = self.0.len().saturating_sub(1);
        format!("{step}_first_ms={} {step}_half_ms={} {step}_all_ms={}", at(0), at(last / 2), at(last))
    }
}

struct Probe {
    stream: TcpStream,
    topic: TopicName,
    since: SystemTime,
    deadline: Instant,
}

impl Probe {
    fn connect(address: &str, topic: &str, since: SystemTime) -> Self {
        let deadline = Instant::now() + GIVE_UP_AFTER;
        loop {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_read_timeout(Some(GIVE_UP_AFTER)).unwrap();
                stream.set_nodelay(true).unwrap();
                let topic = TopicName(StrBytes::from_string(topic.to_owned()));
                let mut probe = Self { stream, topic, since, deadline };
                // The listener of a broker that was killed may still be there for a moment.
                if probe.is_answered() {
                    return probe;
                }
            }
            assert!(Instant::now() < deadline, "nobody listens on {address}");
            std::thread::sleep(ASK_AGAIN_AFTER);
        }
    }

    /// Whether somebody answers a request for nothing.
    fn is_answered(&mut self) -> bool {
        let request = Ends.request(self.topic.clone(), &[]);
        let frame = encode_request("serving", 1, Ends::VERSION, &request).unwrap();
        let mut size = [0; 4];
        let asked = self.stream.write_all(&frame).and_then(|()| self.stream.read_exact(&mut size));
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        asked.and_then(|()| self.stream.read_exact(&mut answer)).is_ok()
    }

    fn elapsed_ms(&self) -> f64 {
        self.since.elapsed().unwrap().as_secs_f64() * 1e3
    }

    fn send<Q: Request>(&mut self, request: &Q, version: i16) {
        let frame = encode_request("serving", 1, version, request).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    fn receive<Q: Request>(&mut self, version: i16) -> Q::Response {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        decode_response::<Q>(&mut Bytes::from(frame), version).unwrap().1
    }

    /// Takes every one of `left` through a step; returns with what each passed.
    fn pass<S: Step>(&mut self, step: &S, mut left: Vec<(i32, i64)>) -> (Passed, Vec<(i32, i64)>) {
        let (mut passed, mut answers) = (Passed::default(), Vec::new());
        while !left.is_empty() {
            let mut refused = Vec::new();
            let mut asked = left.chunks(AT_ONCE);
            let mut under_way = VecDeque::new();
            loop {
                while under_way.len() < IN_FLIGHT_MAX
                    && let Some(some) = asked.next()
                {
                    let request = step.request(self.topic.clone(), some);
                    self.send(&request, S::VERSION);
                    under_way.push_back(some);
                }
                let Some(some) = under_way.pop_front() else { break };
                let answered = step.answered(self.receive::<S::Request>(S::VERSION));
                passed.0.resize(passed.0.len() + answered.len(), self.elapsed_ms());
                let refuses = |entry: &&(i32, i64)| !answered.iter().any(|(index, _)| *index == entry.0);
                refused.extend(some.iter().filter(refuses).copied());
                answers.extend(answered);
            }
            left = refused;
            if !left.is_empty() {
                assert!(Instant::now() < self.deadline, "{} partitions do not serve", left.len());
                std::thread::sleep(ASK_AGAIN_AFTER);
            }
        }
        (passed, answers)
    }
}

/// What every partition is asked for.
trait Step {
    type Request: Request;
    const VERSION: i16;

    /// A request for some partitions, each with what the step before answered.
    fn request(&self, topic: TopicName, some: &[(i32, i64)]) -> Self::Request;

    /// The partitions that passed, and with what.
    fn answered(&self, response: <Self::Request as Request>::Response) -> Vec<(i32, i64)>;
}

/// Asks for the end.
struct Ends;

/// Appends this batch; answers its offset.
struct Append<'a>(&'a Bytes);

/// Fetches this batch back.
struct Fetch<'a>(&'a Bytes);

impl Step for Ends {
    type Request = ListOffsetsRequest;
    const VERSION: i16 = 7;

    fn request(&self, topic: TopicName, some: &[(i32, i64)]) -> ListOffsetsRequest {
        let wanted = some.iter().map(|(index, _)| {
            let partition = ListOffsetsPartition::default().with_partition_index(*index);
            partition.with_timestamp(LATEST).with_current_leader_epoch(-1)
        });
        let topic = ListOffsetsTopic::default().with_name(topic).with_partitions(wanted.collect());
        ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
    }

    fn answered(&self, response: ListOffsetsResponse) -> Vec<(i32, i64)> {
        let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
        let passed = parts.filter(|part| part.error_code == 0);
        passed.map(|part| (part.partition_index, part.offset)).collect()
    }
}

impl Step for Append<'_> {
    type Request = ProduceRequest;
    const VERSION: i16 = 12;

    fn request(&self, topic: TopicName, some: &[(i32, i64)]) -> ProduceRequest {
        let data = some.iter().map(|(index, _)| {
            PartitionProduceData::default().with_index(*index).with_records(Some(self.0.clone()))
        });
        let topic = TopicProduceData::default().with_name(topic).with_partition_data(data.collect());
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
    }

    fn answered(&self, response: ProduceResponse) -> Vec<(i32, i64)> {
        let parts = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        parts.filter(|part| part.error_code == 0).map(|part| (part.index, part.base_offset)).collect()
    }
}

impl Step for Fetch<'_> {
    type Request = FetchRequest;
    const VERSION: i16 = 12;

    fn request(&self, topic: TopicName, some: &[(i32, i64)]) -> FetchRequest {
        let wanted = some.iter().map(|(index, offset)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_current_leader_epoch(-1)
                .with_last_fetched_epoch(-1)
                .with_partition_max_bytes(1 << 16)
        });
        let topic = FetchTopic::default().with_topic(topic).with_partitions(wanted.collect());
        FetchRequest::default().with_max_bytes(64 << 20).with_session_epoch(-1).with_topics(vec![topic])
    }

    fn answered(&self, response: FetchResponse) -> Vec<(i32, i64)> {
        let parts = response.responses.iter().flat_map(|topic| &topic.partitions);
        let holds = |records: &Bytes| {
            let header = BatchHeader::parse_whole(records);
            // Only the offset and the leader's epoch, before the checksum, are the broker's.
            header.is_ok_and(|header| records[..header.size_bytes as usize].ends_with(&self.0[16..]))
        };
        let passed = parts.filter(|part| part.error_code == 0 && part.records.as_ref().is_some_and(holds));
        passed.map(|part| (part.partition_index, 0)).collect()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, topic, partitions, since, mode] = &arguments[..] else {
        panic!("serving HOST:PORT TOPIC PARTITIONS SINCE_NS read|write");
    };
    let partitions: i32 = partitions.parse().unwrap();
    let since = UNIX_EPOCH + Duration::from_nanos(since.parse().unwrap());
    let mut probe = Probe::connect(address, topic, since);
    let connected = probe.elapsed_ms();
    let all: Vec<(i32, i64)> = (0..partitions).map(|index| (index, 0)).collect();
    if mode == "read" {
        let (told, _) = probe.pass(&Ends, all);
        println!("connected_ms={connected:.0} {}", told.row("read"));
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut batch = BatchBuilder::new(Codec::None);
    let value = Some(&b"does it serve?"[..]);
    batch.append(&NewRecord { timestamp: TimestampMs(now), value, ..NewRecord::default() });
    let record = batch.build(Offset::ZERO).unwrap();
    let (written, offsets) = probe.pass(&Append(&record), all);
    let (read, _) = probe.pass(&Fetch(&record), offsets);
    println!("connected_ms={connected:.0} {} {}", written.row("write"), read.row("read"));
}

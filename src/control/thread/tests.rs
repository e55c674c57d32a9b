//! Tests of the control thread over real connections.

use super::*;
use crate::cluster::{Boot, Booted, open};
use crate::config::{BrokerSettings, Endpoint};
use crate::control::{Phase, PhaseCell, bind};
use crate::metadata::plan::{CreateTopics, NewTopic};
use crate::metrics::ShardMetrics;
use crate::model::BrokerId;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

fn endpoint(port: u16) -> Endpoint {
    Endpoint { host: "127.0.0.1".to_owned(), port }
}

struct Running {
    thread: ControlThread,
    handle: ControllerHandle,
    address: SocketAddr,
    phase: PhaseCell,
    metrics: Arc<ShardMetrics>,
    _directory: tempfile::TempDir,
}

fn start() -> Running {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut settings = BrokerSettings::default();
    settings.data_dir = directory.path().join("data");
    let boot = Boot { settings: Arc::new(settings), endpoints: Vec::new(), features: Default::default() };
    let Booted { controller, handle, superblock: _ } = open(boot).expect("a new directory is taken");
    let (listener, address) = bind(&endpoint(0)).expect("some port is free");
    let (phase, metrics) = (PhaseCell::default(), Arc::new(ShardMetrics::default()));
    let facts = AdminFacts {
        version: "9.9.9",
        node: BrokerId(1),
        phase: phase.clone(),
        shards: vec![metrics.clone()],
    };
    let parts = ControlParts { listener, controller, handle: handle.clone(), shards: Vec::new(), facts };
    let thread = ControlThread::start(parts).expect("the thread starts");
    Running { thread, handle, address, phase, metrics, _directory: directory }
}

/// The status line and the body of one answer.
fn ask(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("the port is open");
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[test]
fn operators_see_the_phase_and_the_counters() {
    let running = start();
    let (status, body) = ask(running.address, "/health");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(body.contains("\"status\":\"starting\""), "{body}");
    running.phase.set(Phase::Ready);
    running.metrics.traffic.request(0);
    running.metrics.traffic.error(3);
    let (status, body) = ask(running.address, "/health");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for part in ["\"status\":\"ready\"", "\"version\":\"9.9.9\"", "\"node_id\":1", "\"shards\":1"] {
        assert!(body.contains(part), "{part} is missing in {body}");
    }
    let (status, body) = ask(running.address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "corelog_requests_total{shard=\"0\",api=\"Produce\"} 1",
        "corelog_errors_total{shard=\"0\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 1",
        "corelog_ready 1",
    ] {
        assert!(body.lines().any(|found| found == line), "{line} is missing in\n{body}");
    }
    assert_eq!(ask(running.address, "/nothing").0, "HTTP/1.1 404 Not Found");
    running.thread.stop();
}

#[test]
fn the_thread_drives_the_controller_until_it_is_stopped() {
    let running = start();
    let request = || CreateTopics { topics: vec![NewTopic::with_defaults("a")], validate_only: false };
    let created = futures_lite::future::block_on(running.handle.submit(request())).expect("it is taken");
    assert!(created[0].1.is_ok());
    assert!(ask(running.address, "/metrics").1.contains("\ncorelog_cluster_topics 1\n"));
    // A connection that is open and idle does not keep the thread from ending.
    let _idle = TcpStream::connect(running.address).expect("the port is open");
    let before = std::time::Instant::now();
    running.thread.stop();
    assert!(before.elapsed() < Duration::from_millis(STOP_WAIT_MS_MAX * 4));
    assert!(futures_lite::future::block_on(running.handle.submit(request())).is_err());
    assert!(TcpStream::connect(running.address).is_err());
}

#[test]
fn a_taken_port_is_an_error_that_says_what_to_do() {
    let (_listener, address) = bind(&endpoint(0)).expect("some port is free");
    let error = bind(&endpoint(address.port())).expect_err("the port is taken");
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("--admin HOST:PORT"), "{text}");
}

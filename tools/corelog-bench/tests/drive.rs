//! Runs against the ceiling with planted faults: what a run says must be what happened.

#![allow(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::time::Duration;

use corelog_bench::ceiling::{Ceiling, CeilingOptions, Faults, Stall};
use corelog_bench::client::{ClientOptions, Security};
use corelog_bench::drive::{self, DriveError, Job, Outcome};
use corelog_bench::host::Scheduling;
use corelog_bench::measure::Timing;
use corelog_bench::workload::{Arrivals, Encoding, Kind, StartAt, Workload};

/// A second, as latencies count.
const SECOND_US: u64 = 1_000_000;

fn serve(faults: Faults, brokers: usize) -> (Ceiling, Vec<String>) {
    let mut options = CeilingOptions::on("127.0.0.1:0".parse().unwrap());
    options.listen = vec!["127.0.0.1:0".parse().unwrap(); brokers];
    options.partitions = Some(4);
    options.faults = faults;
    let server = Ceiling::start(options).unwrap();
    let addresses = server.addresses().iter().map(ToString::to_string).collect();
    (server, addresses)
}

fn job(kind: Kind, bootstrap: Vec<String>) -> Job {
    let mut workload = Workload { name: "test".to_owned(), seed: 7, ..Workload::default() };
    workload.topic.partitions = 4;
    workload.producer.connections = 4;
    workload.length.warm_up_s = 0.2;
    workload.length.duration_s = Some(1.5);
    let timeout = Duration::from_secs(10);
    let options = ClientOptions { bootstrap, security: Security::Plaintext, timeout };
    let retry_for = Duration::from_secs(10);
    Job {
        kind,
        workload,
        options,
        cpus: vec![0],
        scheduling: Scheduling::default(),
        verify: false,
        lines: None,
        retry_for,
    }
}

/// Reads so many records from the beginning on.
fn reading(bootstrap: Vec<String>, records: u64) -> Job {
    let mut job = job(Kind::Consume, bootstrap);
    job.workload.consumer.start = StartAt::Beginning;
    job.workload.length.records = Some(records);
    job.workload.length.duration_s = Some(20.0);
    job
}

fn run(job: Job) -> Outcome {
    let outcome = drive::run(job, &mut |_| true).unwrap();
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    outcome
}

#[test]
fn a_stall_of_a_second_is_seen_by_every_record_that_was_due_in_it() {
    let stall = Stall { after: Duration::from_millis(700), length: Duration::from_secs(1) };
    let (_server, bootstrap) = serve(Faults { stall: Some(stall), ..Faults::default() }, 1);
    let mut job = job(Kind::Produce, bootstrap);
    job.workload.producer.rate = 2_000.0;
    job.workload.length.duration_s = Some(3.0);
    let outcome = run(job);
    let latencies = outcome.totals.latencies(Timing::Produce);
    // Of 6,000 records that were due, 2,000 were in the stall, waiting half a second on average. Without counting from the due
    // time only those in flight, at most 4 x 5 batches, would have seen it.
    let waited = latencies.count_between(SECOND_US / 10, SECOND_US * 2);
    assert!((1_500..=2_600).contains(&waited), "{waited} records waited for 100 ms and more");
    assert!(latencies.value_at_quantile(0.99) >= SECOND_US * 8 / 10);
    let all = outcome.totals.counts().produced_records + outcome.totals.counts().unanswered_records;
    assert!((5_900..=6_100).contains(&all), "{all} of 6,000 records");
}

#[test]
fn a_closed_loop_counts_a_stall_once_per_request_in_flight() {
    let stall = Stall { after: Duration::from_millis(700), length: Duration::from_secs(1) };
    let (_server, bootstrap) = serve(Faults { stall: Some(stall), ..Faults::default() }, 1);
    let mut job = job(Kind::Produce, bootstrap);
    job.workload.records.batch_bytes = 1;
    job.workload.length.duration_s = Some(2.5);
    let outcome = run(job);
    let waited = outcome.totals.latencies(Timing::Produce).count_between(SECOND_US / 2, SECOND_US * 2);
    assert!((1..=20).contains(&waited), "{waited} of at most 4 x 5 records in flight waited");
}

#[test]
fn lost_connections_and_errors_are_retried_and_told() {
    // 6: NOT_LEADER_OR_FOLLOWER.
    let faults = Faults { error_every: Some((97, 6)), close_every: Some(331), ..Faults::default() };
    let (server, bootstrap) = serve(faults, 1);
    let mut job = job(Kind::Produce, bootstrap);
    job.workload.producer.rate = 2_000.0;
    let outcome = run(job);
    let counts = outcome.totals.counts();
    assert!(server.produce_requests() > 1_000);
    assert!(counts.retries > 5 && counts.reconnects >= 1, "{counts:?}");
    assert!(outcome.totals.errors()["NOT_LEADER_OR_FOLLOWER"] > 5);
    assert!(outcome.totals.errors()["connection lost"] >= 1);
    assert_eq!(counts.unanswered_records, 0);
    assert!((2_900..=3_100).contains(&counts.produced_records), "{counts:?}");
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn a_moved_leader_is_followed() {
    let faults = Faults { move_leaders_after: Some(Duration::from_millis(800)), ..Faults::default() };
    let (server, bootstrap) = serve(faults, 2);
    let mut job = job(Kind::Produce, bootstrap);
    job.workload.producer.rate = 1_000.0;
    let outcome = run(job);
    let counts = outcome.totals.counts();
    assert!(counts.leader_changes >= 4, "{counts:?}");
    assert_eq!(counts.unanswered_records, 0);
    assert!((1_450..=1_550).contains(&counts.produced_records), "{counts:?}");
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn a_refusal_of_every_record_ends_the_run() {
    // 87: INVALID_RECORD.
    let (_server, bootstrap) = serve(Faults { error_every: Some((1, 87)), ..Faults::default() }, 1);
    let outcome = drive::run(job(Kind::Produce, bootstrap), &mut |_| true).unwrap();
    assert!(matches!(outcome.failure, Some(DriveError::Refused { code: 87, .. })), "{:?}", outcome.failure);
}

#[test]
fn a_broker_that_goes_away_ends_the_run_in_time_and_keeps_what_was_measured() {
    let (server, bootstrap) = serve(Faults::default(), 1);
    let mut job = job(Kind::Produce, bootstrap);
    job.retry_for = Duration::from_millis(500);
    job.workload.producer.rate = 1_000.0;
    job.workload.length.duration_s = Some(30.0);
    let mut server = Some(server);
    let outcome = drive::run(job, &mut |tick| {
        if tick.start_ns.is_some_and(|start_ns| tick.now_ns > start_ns + 1_000_000_000) {
            server.take();
        }
        true
    });
    let outcome = outcome.unwrap();
    assert!(matches!(outcome.failure, Some(DriveError::Lost { .. })), "{:?}", outcome.failure);
    assert!(outcome.totals.counts().produced_records > 300);
    assert!(outcome.totals.counts().unanswered_records > 0);
}

#[test]
fn bounds_of_records_are_kept_exactly() {
    let (_server, bootstrap) = serve(Faults::default(), 1);
    let mut job = job(Kind::Produce, bootstrap);
    job.workload.length.warm_up_s = 0.0;
    job.workload.length.duration_s = None;
    job.workload.length.records = Some(10_001);
    assert_eq!(run(job).totals.counts().produced_records, 10_001);
}

#[test]
fn whole_ready_made_batches_come_at_their_rate_and_unanswered_ones_too() {
    let (server, bootstrap) = serve(Faults::default(), 1);
    for acks in [-1, 0] {
        let mut job = job(Kind::Produce, bootstrap.clone());
        job.workload.records.encoding = Encoding::Ready;
        job.workload.records.batch_bytes = 10_240;
        job.workload.producer.rate = 4_000.0;
        job.workload.producer.acks = acks;
        job.workload.producer.arrivals = Arrivals::Together;
        let outcome = run(job);
        let counts = outcome.totals.counts();
        assert!((5_800..=6_200).contains(&counts.produced_records), "{counts:?}");
        assert_eq!(counts.produced_records % counts.produce_requests, 0, "every request is a whole batch");
    }
    let mut closed = job(Kind::Produce, bootstrap);
    closed.workload.producer.acks = 0;
    closed.workload.length.duration_s = Some(0.5);
    assert!(run(closed).totals.counts().produced_records > 1_000);
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn readers_count_what_they_are_sent_and_end() {
    let (server, bootstrap) = serve(Faults::default(), 1);
    let mut job = reading(bootstrap, 5_000);
    job.workload.consumer.fan_out = 2;
    let outcome = run(job);
    let counts = outcome.totals.counts();
    assert!(counts.fetched_records >= 5_000 && counts.fetch_requests > 0, "{counts:?}");
    assert!(!outcome.totals.latencies(Timing::Fetch).is_empty());
    assert_eq!(server.complaints(), Vec::<String>::new());
}

#[test]
fn a_bound_that_is_soon_reached_is_reached_in_the_counted_time() {
    let (_server, bootstrap) = serve(Faults::default(), 1);
    for _ in 0..5 {
        let mut job = reading(bootstrap.clone(), 1);
        job.workload.length.warm_up_s = 0.05;
        let outcome = run(job);
        let counts = outcome.totals.counts();
        assert!(counts.fetched_records >= 1, "{counts:?}");
    }
}

#[test]
fn an_interrupted_run_keeps_what_it_has() {
    let (_server, bootstrap) = serve(Faults::default(), 1);
    let mut job = job(Kind::Produce, bootstrap);
    job.workload.length.duration_s = Some(60.0);
    let mut watched = 0;
    let outcome = drive::run(job, &mut |tick| {
        watched += u32::from(tick.start_ns.is_some());
        watched < 8
    })
    .unwrap();
    assert!(outcome.interrupted && outcome.failure.is_none());
    assert!(outcome.totals.counts().produced_records > 0);
}

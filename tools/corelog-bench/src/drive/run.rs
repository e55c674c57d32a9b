//! A run from its first connection to its last: finds the topics, starts the threads, gathers what they tell.
//!
//! Key invariant: whatever ends a run early, what was measured until then is in the outcome.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use glommio::LocalExecutorBuilder;

use super::DriveError;
use super::clock::Clock;
use super::gather::Gathered;
use super::job::Job;
use super::locator::{Located, locate};
use super::shared::{Found, Shared};
use super::worker::{self, Message};
use crate::client::{Cluster, OffsetAt};
use crate::measure::{Evidence, Totals};
use crate::payload::{Lanes, Supply};
use crate::verify::LaneFindings;
use crate::workload::{Encoding, StartAt};

/// Between the last thread's readiness and the start.
const START_LEAD_NS: u64 = 20_000_000;
/// Messages of workers that wait to be gathered.
const MESSAGES_MAX: usize = 1_024;
/// How often the watcher is called.
const WATCH: Duration = Duration::from_millis(100);
/// How long workers may take to end once they are told to.
const ENDING_MAX: Duration = Duration::from_secs(15);
/// How long readers may take to read what was sent, unless the run is checked for losses.
const READING_REST_MAX: Duration = Duration::from_secs(10);

/// How far a run has come.
pub struct Tick<'a> {
    pub now_ns: u64,
    /// `None` while connections are opened.
    pub start_ns: Option<u64>,
    pub count_from_ns: u64,
    /// `u64::MAX` if the run is bounded by records or bytes.
    pub end_ns: u64,
    pub totals: &'a Totals,
}

/// What a run gave.
pub struct Outcome {
    pub totals: Totals,
    pub started_at: SystemTime,
    /// Node ids and addresses.
    pub brokers: Vec<(i32, String)>,
    pub client_cpu_s: Option<f64>,
    /// Of the brokers' processes, if all are on this host.
    pub broker_cpu_s: Option<f64>,
    pub evidence: Evidence,
    pub findings: Option<Vec<LaneFindings>>,
    /// Why the run ended early.
    pub failure: Option<DriveError>,
    pub interrupted: bool,
}

/// Runs a job. `watch` is called some times a second; it returns false to end the run early.
pub fn run(job: Job, watch: &mut dyn FnMut(&Tick<'_>) -> bool) -> Result<Outcome, DriveError> {
    job.workload.check(job.kind)?;
    if job.stamps() {
        job.workload.check_stamped()?;
    }
    if job.verify {
        job.workload.check_verified()?;
    }
    let clock = Clock::start();
    let supply = make_supply(&job, clock)?;
    let (found, located) = on_glommio(prepare(&job, clock.now_ns()))??;
    let shared = Arc::new(Shared::new(job, clock, supply, found));
    let outcome = drive(&shared, &located, watch);
    if shared.job.workload.topic.remove {
        on_glommio(remove_topics(&shared))??;
    }
    outcome
}

fn make_supply(job: &Job, clock: Clock) -> Result<Supply, DriveError> {
    let (records, topic) = (&job.workload.records, &job.workload.topic);
    let lines = job.lines.clone();
    let seed = job.workload.seed;
    let lanes = Lanes { topics: topic.topics, partitions: topic.partitions };
    let mut supply = Supply::new(records, lanes, seed, job.stamps(), lines)?;
    if job.produces() && records.encoding == Encoding::Ready {
        supply.prepare_ready(supply.records_per_batch(), clock.wall_ms(0))?;
    }
    Ok(supply)
}

/// Runs something short on an executor of this thread.
fn on_glommio<T>(future: impl Future<Output = T>) -> Result<T, DriveError> {
    let executor =
        LocalExecutorBuilder::default().make().map_err(|error| DriveError::Thread(error.to_string()))?;
    Ok(executor.run(future))
}

/// Creates topics if asked to, finds partitions and offsets, takes producer ids.
async fn prepare(job: &Job, now_ns: u64) -> Result<(Found, Located), DriveError> {
    let mut cluster = Cluster::connect(&job.options).await?;
    let plan = &job.workload.topic;
    if plan.create {
        cluster.create_topics(plan).await?;
    }
    let topics = job.topics();
    let located = locate(&mut cluster, &topics, now_ns).await?;
    for topic in &located.topics {
        if topic.partitions.len() != plan.partitions as usize {
            let (topic, found) = (topic.name.clone(), topic.partitions.len());
            return Err(DriveError::Partitions { topic, found, wanted: plan.partitions });
        }
    }
    let mut found =
        Found { topics, leaders: located.leaders.clone(), starts: vec![], ends: None, producer_ids: vec![] };
    if job.reads() {
        let catch_up = job.workload.consumer.start != StartAt::Tail && !job.stamps();
        let latest = offsets(&mut cluster, &found.topics, plan.partitions, OffsetAt::Latest).await?;
        found.starts = if catch_up {
            offsets(&mut cluster, &found.topics, plan.partitions, OffsetAt::Earliest).await?
        } else {
            latest.clone()
        };
        found.ends = catch_up.then_some(latest);
    }
    if job.produces() && job.workload.producer.idempotent {
        for _ in 0..job.workload.producer.connections {
            found.producer_ids.push(cluster.init_producer().await?);
        }
    }
    Ok((found, located))
}

async fn offsets(
    cluster: &mut Cluster,
    topics: &[String],
    partitions: i32,
    at: OffsetAt,
) -> Result<Vec<i64>, DriveError> {
    let partitions: Vec<i32> = (0..partitions).collect();
    let mut all = vec![];
    for topic in topics {
        all.extend(cluster.offsets(topic, &partitions, at).await?);
    }
    Ok(all)
}

async fn remove_topics(shared: &Shared) -> Result<(), DriveError> {
    let mut cluster = Cluster::connect(&shared.job.options).await?;
    Ok(cluster.remove_topics(&shared.job.workload.topic).await?)
}

/// Starts the threads and gathers until they have ended.
fn drive(
    shared: &Arc<Shared>,
    located: &Located,
    watch: &mut dyn FnMut(&Tick<'_>) -> bool,
) -> Result<Outcome, DriveError> {
    let (outbox, inbox) = sync_channel(MESSAGES_MAX);
    let workers = shared.job.cpus.len();
    let threads: Result<Vec<_>, _> =
        (0..workers).map(|number| worker::spawn(Arc::clone(shared), number, outbox.clone())).collect();
    drop(outbox);
    let threads = threads.inspect_err(|_| shared.stop())?;
    let mut gathered = Gathered::new(workers, Arc::clone(shared), located);
    gather(shared, &inbox, &mut gathered, watch);
    shared.stop();
    end_threads(threads, &inbox, &mut gathered);
    Ok(gathered.into_outcome())
}

/// Takes messages until every worker is done, the watcher has had enough or nothing comes any more.
fn gather(
    shared: &Shared,
    inbox: &Receiver<Message>,
    gathered: &mut Gathered,
    watch: &mut dyn FnMut(&Tick<'_>) -> bool,
) {
    let mut reading_since = None;
    while !gathered.is_done() {
        match inbox.recv_timeout(WATCH) {
            Ok(message) => gathered.on_message(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if gathered.all_ready() && shared.start_ns().is_none() {
            shared.start_at(shared.clock.now_ns() + START_LEAD_NS);
        }
        gathered.sample_brokers();
        if gathered.all_sent() && reading_since.is_none() {
            reading_since = Some(Instant::now());
            publish_ends(shared, gathered);
        }
        let rest_max =
            if shared.job.verify { shared.job.retry_for.max(READING_REST_MAX) } else { READING_REST_MAX };
        if reading_since.is_some_and(|since| since.elapsed() > rest_max) {
            shared.stop();
            return;
        }
        if !watch(&gathered.tick()) {
            gathered.interrupted = true;
            shared.stop_sending();
            shared.stop();
            return;
        }
    }
}

/// Tells readers how far to read: to what was sent. Without an answer they end where they are.
fn publish_ends(shared: &Shared, gathered: &mut Gathered) {
    if !shared.job.looks_into_records() || !shared.job.produces() || shared.ends.get().is_some() {
        shared.stop();
        return;
    }
    let ends = on_glommio(async {
        let mut cluster = Cluster::connect(&shared.job.options).await?;
        offsets(&mut cluster, &shared.topics, shared.job.workload.topic.partitions, OffsetAt::Latest).await
    });
    match ends.and_then(|ends| ends) {
        // Nobody else sets it.
        Ok(ends) => drop(shared.ends.set(ends)),
        Err(error) => {
            gathered.fail(error);
            shared.stop();
        }
    }
}

fn end_threads(threads: Vec<JoinHandle<()>>, inbox: &Receiver<Message>, gathered: &mut Gathered) {
    let deadline = Instant::now() + ENDING_MAX;
    while !gathered.is_done() && Instant::now() < deadline {
        match inbox.recv_timeout(WATCH) {
            Ok(message) => gathered.on_message(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // A thread that hangs is left to the end of the process: what it measured has been told.
    if gathered.is_done() {
        for thread in threads {
            if thread.join().is_err() {
                gathered.fail(DriveError::Thread("a driving thread panicked".to_owned()));
            }
        }
    }
}

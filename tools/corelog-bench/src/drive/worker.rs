//! One thread of a run: sets up its producers and readers, cuts intervals, ends them.
//!
//! Key invariant: a worker tells [`Message::Ready`], then intervals, then [`Message::Sent`] once, then [`Message::Done`] once,
//! whatever fails; nothing it waits for is without a bound.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::timer::sleep;
use glommio::{LocalExecutorBuilder, Placement};

use super::DriveError;
use super::deal::{deal, worker_of};
use super::local::Local;
use super::pacer;
use super::producer::Producer;
use super::reader::{Checked, Reader};
use super::recovery;
use super::shared::{SECOND_NS, Shared};
use crate::client::ClientError;
use crate::host::{self, CpuTime};
use crate::measure::Interval;
use crate::payload::Lane;
use crate::verify::Acknowledged;
use crate::workload::KeyPlan;

/// Between looks at the clock and at what is done.
const LOOK: Duration = Duration::from_millis(5);
/// How long answers may take after the end of a run, unless it is checked for losses.
const DRAIN: Duration = Duration::from_secs(5);
/// After the end of a run at a rate, what is due may still leave for so long.
const LATE_SENDING_MAX: Duration = Duration::from_millis(500);
/// Connections that are opened at once.
const OPENING_MAX: usize = 32;

/// What a worker tells.
pub enum Message {
    /// Connected; waits for the start.
    Ready,
    Interval(Interval),
    /// All is sent and answered, or given up, since this time on the run's clock.
    Sent(u64, Acknowledged),
    Done(Box<Done>),
}

/// The end of a worker.
pub struct Done {
    pub failure: Option<DriveError>,
    /// What the readers checked, lane by lane.
    pub checked: Vec<Checked>,
    /// Of its thread in the counted time, in seconds: on a CPU, and waiting for one.
    pub cpu: Option<CpuTime>,
    /// The counted time of this worker in seconds.
    pub counted_s: f64,
}

/// Starts a worker's thread.
pub fn spawn(
    shared: Arc<Shared>,
    number: usize,
    outbox: SyncSender<Message>,
) -> Result<JoinHandle<()>, DriveError> {
    let cpu = shared.job.cpus[number];
    let name = format!("bench-{number}");
    std::thread::Builder::new()
        .name(name)
        .spawn(move || {
            let failure = |reason: String| {
                let failure = Some(DriveError::Thread(reason));
                let done = Done { failure, checked: vec![], cpu: None, counted_s: 0.0 };
                // Nobody listens any more if the run was given up.
                let _ = outbox.send(Message::Done(Box::new(done)));
            };
            host::schedule(shared.job.scheduling);
            match LocalExecutorBuilder::new(Placement::Fixed(cpu)).make() {
                Ok(executor) => executor.run(work(shared, number, outbox)),
                Err(error) => failure(error.to_string()),
            }
        })
        .map_err(|error| DriveError::Thread(error.to_string()))
}

/// A worker's producers, readers and progress.
struct Worker {
    local: Rc<Local>,
    outbox: SyncSender<Message>,
    producers: Vec<Rc<Producer>>,
    readers: Vec<Rc<Reader>>,
    counting_from: Option<(u64, Option<CpuTime>)>,
    counted: Option<(u64, Option<CpuTime>)>,
    sent: bool,
}

async fn work(shared: Arc<Shared>, number: usize, outbox: SyncSender<Message>) {
    let local = Local::new(shared);
    let mut worker = Worker {
        local: Rc::clone(&local),
        outbox,
        producers: vec![],
        readers: vec![],
        counting_from: None,
        counted: None,
        sent: false,
    };
    match worker.set_up(number).await {
        Ok(()) => {
            worker.tell(Message::Ready);
            while local.shared.start_ns().is_none() && !local.shared.is_stopped() {
                sleep(LOOK / 5).await;
            }
            if let Some(start_ns) = local.shared.start_ns() {
                worker.run(start_ns).await;
            }
        }
        Err(error) => local.fail(error),
    }
    worker.end();
}

impl Worker {
    /// Tells the gathering side; if it is gone, the run was given up.
    fn tell(&self, message: Message) {
        if self.outbox.send(message).is_err() {
            self.local.shared.stop();
        }
    }

    /// Opens this worker's connections.
    async fn set_up(&mut self, number: usize) -> Result<(), DriveError> {
        let shared = Arc::clone(&self.local.shared);
        let (job, workers) = (&shared.job, shared.job.cpus.len());
        let located = self.local.locator.locate(0).await?;
        if job.produces() {
            let plan = &job.workload.producer;
            let everything = || (0..job.lanes()).map(Lane).collect::<Vec<_>>();
            // With keys every producer sends to every partition, as producers do; without, each has its own.
            let dealt = match job.workload.records.keys {
                KeyPlan::None => deal(&shared.leaders, plan.connections),
                _ => vec![everything(); plan.connections as usize],
            };
            let mine = dealt.into_iter().enumerate().filter(|(at, _)| worker_of(*at, workers) == number);
            self.producers = mine
                .map(|(at, lanes)| Producer::new(&self.local, at as u32, lanes, Arc::clone(&located)))
                .collect();
            open_all(&self.producers).await?;
        }
        if job.reads() {
            let plan = &job.workload.consumer;
            // A reader reads each partition once, so it has at most as many connections.
            let dealt = deal(&shared.leaders, plan.connections.min(job.lanes()));
            let all = (0..plan.fan_out).flat_map(|reader| dealt.iter().map(move |lanes| (reader, lanes)));
            let mine = all
                .enumerate()
                .filter(|(at, (_, lanes))| worker_of(*at, workers) == number && !lanes.is_empty());
            self.readers = mine.map(|(_, (reader, lanes))| Reader::new(&self.local, reader, lanes)).collect();
        }
        Ok(())
    }

    async fn run(&mut self, start_ns: u64) {
        let shared = Arc::clone(&self.local.shared);
        sleep(shared.clock.until(start_ns)).await;
        let count_from_ns = shared.count_from_ns(start_ns);
        let end_ns = shared.end_ns(start_ns);
        self.cut(self.local.now_ns());
        self.producers.iter().for_each(|producer| producer.begin(start_ns));
        self.begin_counting(count_from_ns);
        self.start();
        let mut next_cut_ns = start_ns + SECOND_NS as u64;
        while !shared.is_stopped() {
            let now_ns = self.local.now_ns();
            if self.begin_counting(count_from_ns) {
                next_cut_ns = now_ns + SECOND_NS as u64;
            } else if now_ns >= next_cut_ns {
                self.cut(now_ns);
                next_cut_ns += SECOND_NS as u64;
                let timeout_ns = shared.job.options.timeout.as_nanos() as u64;
                self.producers.iter().for_each(|producer| producer.check_timeouts(now_ns, timeout_ns));
            }
            if now_ns >= end_ns {
                self.end_sending(now_ns, end_ns);
            }
            if self.is_over(now_ns, end_ns) {
                break;
            }
            sleep(LOOK).await;
        }
    }

    /// Nothing is due after the end. What was due before may still leave for a moment; a closed loop ends at once.
    fn end_sending(&self, now_ns: u64, end_ns: u64) {
        let open = self.local.shared.job.workload.producer.rate > 0.0;
        if !open || now_ns >= end_ns + LATE_SENDING_MAX.as_nanos() as u64 {
            return self.local.shared.stop_sending();
        }
        self.producers.iter().for_each(|producer| producer.end_at(end_ns));
    }

    /// Whether everything is sent, and read as far as it is to be read.
    fn is_over(&mut self, now_ns: u64, end_ns: u64) -> bool {
        let shared = Arc::clone(&self.local.shared);
        if !self.sent {
            let drain = if shared.job.verify { shared.job.retry_for.max(DRAIN) } else { DRAIN };
            let late = now_ns > end_ns.saturating_add(drain.as_nanos() as u64);
            let done = self.producers.iter().all(|producer| producer.is_done());
            let reading =
                !shared.is_sending_stopped() && !shared.has_fetched_enough() && !self.have_read_all();
            if (done && (shared.job.produces() || !reading)) || late {
                self.finish_sending(now_ns.min(end_ns));
            }
            return false;
        }
        self.have_read_all()
    }

    fn have_read_all(&self) -> bool {
        self.readers.iter().all(|reader| reader.is_done())
    }

    /// The counted time ends with sending (and with reading, where nothing is sent).
    fn finish_sending(&mut self, end_ns: u64) {
        self.sent = true;
        let now_ns = self.local.now_ns();
        self.counted = Some((now_ns, own_time()));
        let mut acknowledged = Acknowledged::default();
        for producer in &self.producers {
            acknowledged.merge(producer.finish(end_ns));
        }
        self.cut(now_ns);
        self.tell(Message::Sent(now_ns, acknowledged));
    }

    /// Whether the counted time begins now.
    fn begin_counting(&mut self, count_from_ns: u64) -> bool {
        let now_ns = self.local.now_ns();
        let begins = self.counting_from.is_none() && now_ns >= count_from_ns;
        if begins {
            self.counting_from = Some((now_ns, own_time()));
            self.cut(now_ns);
            self.local.counting.set(true);
            self.producers.iter().for_each(|producer| producer.begin_counting());
        }
        begins
    }

    fn start(&self) {
        let plan = &self.local.shared.job.workload.producer;
        for producer in &self.producers {
            if plan.rate == 0.0 && plan.acks == 0 {
                glommio::spawn_local(pacer::press(Rc::clone(&self.local), Rc::clone(producer))).detach();
            } else {
                producer.pump();
            }
        }
        glommio::spawn_local(pacer::pace(Rc::clone(&self.local), self.producers.clone())).detach();
        for reader in &self.readers {
            reader.start();
        }
    }

    fn cut(&self, now_ns: u64) {
        let interval = self.local.recorder.borrow_mut().take(now_ns);
        self.tell(Message::Interval(interval));
    }

    /// Tells what is left to tell.
    fn end(mut self) {
        if !self.sent {
            self.finish_sending(self.local.now_ns());
        }
        self.cut(self.local.now_ns());
        let counted_s = match (self.counting_from, self.counted) {
            (Some((from_ns, _)), Some((to_ns, _))) => to_ns.saturating_sub(from_ns) as f64 / SECOND_NS,
            _ => 0.0,
        };
        let times = |at: Option<(u64, Option<CpuTime>)>| at.and_then(|(_, times)| times);
        let cpu = times(self.counting_from).zip(times(self.counted)).map(|(from, to)| between(from, to));
        let checked = self.readers.iter().flat_map(|reader| reader.take_checks()).collect();
        let failure = self.local.take_failure();
        self.tell(Message::Done(Box::new(Done { failure, checked, cpu, counted_s })));
    }
}

/// Opens the connections of producers, some at a time.
async fn open_all(producers: &[Rc<Producer>]) -> Result<(), ClientError> {
    for group in producers.chunks(OPENING_MAX) {
        let opening: Vec<_> = group
            .iter()
            .map(|producer| {
                let producer = Rc::clone(producer);
                glommio::spawn_local(async move { recovery::connect(&producer, 0).await })
            })
            .collect();
        for opened in opening {
            opened.await?;
        }
    }
    Ok(())
}

/// What this thread has used so far.
fn own_time() -> Option<CpuTime> {
    let id = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    host::own_threads().ok()?.into_iter().find(|thread| thread.id == id).map(|thread| thread.time)
}

fn between(from: CpuTime, to: CpuTime) -> CpuTime {
    CpuTime {
        ran_ns: to.ran_ns.saturating_sub(from.ran_ns),
        waited_ns: to.waited_ns.saturating_sub(from.waited_ns),
    }
}

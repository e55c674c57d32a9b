//! Reads partitions: one task, and within it one connection per leader, each with one fetch under way.
//!
//! Key invariant: a position only moves past batches that were received whole, so nothing is skipped and nothing counted
//! twice, also after a connection was lost.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corelog::record::{records, split_batches};
use glommio::timer::sleep;
use kafka_protocol::messages::FetchRequest;

use super::DriveError;
use super::local::Local;
use super::locator::{Located, no_leader};
use crate::client::{
    CLIENT_ID, ClientError, Connection, FetchAnswer, FetchFrom, FetchTerms, FetchedPartition, Pipe,
    error_name,
};
use crate::measure::Timing;
use crate::payload::Lane;
use crate::verify::LaneCheck;
use crate::workload::StartAt;

/// Before looking for the leaders again.
const PAUSE: Duration = Duration::from_millis(100);
/// The newest version of Fetch that requests are written in.
const FETCH_VERSION_MAX: i16 = 18;
/// Kafka's error for an offset that the log does not have (any more).
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// What a reader checked of a lane.
pub struct Checked {
    pub reader: u32,
    pub lane: Lane,
    pub check: LaneCheck,
}

/// How far a lane is read.
struct Position {
    lane: Lane,
    topic: usize,
    partition: i32,
    offset: i64,
    check: Option<LaneCheck>,
}

/// See the head of this file.
pub struct Reader {
    local: Rc<Local>,
    /// Several readers read everything.
    number: u32,
    positions: RefCell<Vec<Position>>,
    done: Cell<bool>,
    /// Connections of this reader should end: a leader has moved.
    halted: Cell<bool>,
}

impl Reader {
    /// Begins where the run's readers begin.
    pub fn new(local: &Rc<Local>, number: u32, lanes: &[Lane]) -> Rc<Self> {
        let shared = &local.shared;
        let position = |lane: &Lane| {
            let (topic, partition) = shared.place_of(*lane);
            let check = shared.job.verify.then(LaneCheck::default);
            let offset = shared.starts.get(lane.0 as usize).copied().unwrap_or(0);
            Position { lane: *lane, topic, partition, offset, check }
        };
        let positions = RefCell::new(lanes.iter().map(position).collect());
        let (done, halted) = (Cell::new(false), Cell::new(false));
        Rc::new(Self { local: Rc::clone(local), number, positions, done, halted })
    }

    /// Reads from now on.
    pub fn start(self: &Rc<Self>) {
        let reader = Rc::clone(self);
        glommio::spawn_local(async move { reader.read().await }).detach();
    }

    /// Whether all that is to be read is read.
    pub fn is_done(&self) -> bool {
        self.done.get()
    }

    /// Takes what was checked.
    pub fn take_checks(&self) -> Vec<Checked> {
        let mut positions = self.positions.borrow_mut();
        let taken = positions.iter_mut().filter_map(|position| Some((position.lane, position.check.take()?)));
        taken.map(|(lane, check)| Checked { reader: self.number, lane, check }).collect()
    }

    /// Reads until everything is read or the run is over; finds leaders again after each error.
    async fn read(self: &Rc<Self>) {
        let shared = Arc::clone(&self.local.shared);
        let mut since_ns = 0;
        let mut lost_ns = None;
        while !shared.is_stopped() && !self.has_read_all() {
            self.halted.set(false);
            let before = self.offsets_sum();
            let ended = match self.local.locator.locate(since_ns).await {
                Ok(located) => self.read_from(located).await,
                Err(error) => Err(error),
            };
            let Err(error) = ended else { continue };
            let now_ns = self.local.now_ns();
            since_ns = now_ns;
            if before != self.offsets_sum() {
                lost_ns = None;
            }
            let lost_for_ns = now_ns - *lost_ns.get_or_insert(now_ns);
            if lost_for_ns > shared.job.retry_for.as_nanos() as u64 {
                let seconds = shared.job.retry_for.as_secs();
                return self.local.fail(DriveError::Lost { seconds, last: error.to_string() });
            }
            sleep(PAUSE).await;
        }
        self.done.set(true);
    }

    fn offsets_sum(&self) -> i64 {
        self.positions.borrow().iter().map(|position| position.offset).sum()
    }

    /// Whether a position is at the end that was set for it.
    fn is_read(&self, position: &Position) -> bool {
        let ends = self.local.shared.ends.get();
        ends.and_then(|ends| ends.get(position.lane.0 as usize)).is_some_and(|end| position.offset >= *end)
    }

    fn has_read_all(&self) -> bool {
        self.positions.borrow().iter().all(|position| self.is_read(position))
    }

    /// Reads from every leader at once until all end, and returns the first error.
    async fn read_from(self: &Rc<Self>, located: Arc<Located>) -> Result<(), ClientError> {
        let mut by_leader: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (at, position) in self.positions.borrow().iter().enumerate() {
            by_leader.entry(located.leader_of(position.lane)).or_default().push(at);
        }
        let reading: Vec<_> = by_leader
            .into_iter()
            .map(|(node, mine)| {
                let (reader, located) = (Rc::clone(self), Arc::clone(&located));
                glommio::spawn_local(async move {
                    let ended = reader.read_leader(node, &mine, &located).await;
                    if ended.is_err() {
                        reader.halted.set(true);
                    }
                    ended
                })
            })
            .collect();
        let mut ended = Ok(());
        for task in reading {
            ended = ended.and(task.await);
        }
        ended
    }

    async fn read_leader(&self, node: i32, mine: &[usize], located: &Located) -> Result<(), ClientError> {
        let shared = &self.local.shared;
        let address = located.address_of(node).ok_or_else(|| no_leader(located, node))?;
        let connection = Connection::open(address, &shared.job.options).await?;
        let version = connection.version_at_most::<FetchRequest>(FETCH_VERSION_MAX)?;
        let pipe = connection.into_pipe();
        loop {
            if shared.is_stopped() || self.halted.get() || !self.ask(&pipe, version, mine, located) {
                return Ok(());
            }
            let asked_ns = self.local.now_ns();
            pipe.drain().await?;
            let mut frame = None;
            pipe.receive(&mut |received| frame = Some(received.to_bytes())).await?;
            let answer = FetchAnswer::parse(frame.unwrap_or_default(), version)
                .map_err(|malformed| pipe.malformed(malformed))?;
            if self.take_answer(answer, asked_ns, located, &pipe)? {
                self.local.recorder.borrow_mut().counts().fetch_requests += 1;
            }
        }
    }

    /// Queues a fetch for what is not read yet; false if that is nothing.
    fn ask(&self, pipe: &Pipe, version: i16, mine: &[usize], located: &Located) -> bool {
        let plan = &self.local.shared.job.workload.consumer;
        let terms = FetchTerms {
            version,
            client_id: CLIENT_ID,
            max_wait_ms: plan.max_wait_ms,
            min_bytes: plan.min_bytes,
            max_bytes: plan.max_bytes,
            partition_max_bytes: plan.partition_max_bytes,
        };
        let positions = self.positions.borrow();
        let unread = mine.iter().map(|at| &positions[*at]).filter(|position| !self.is_read(position));
        let wanted: Vec<_> = unread
            .map(|position| FetchFrom {
                topic: &located.topics[position.topic],
                partition: position.partition,
                offset: position.offset,
            })
            .collect();
        if wanted.is_empty() {
            return false;
        }
        pipe.queue_with(|out| terms.request(out, 0, &wanted));
        true
    }

    /// Takes the records of an answer; whether there were any.
    fn take_answer(
        &self,
        answer: FetchAnswer,
        asked_ns: u64,
        located: &Located,
        pipe: &Pipe,
    ) -> Result<bool, ClientError> {
        let now_ns = self.local.now_ns();
        self.refuse(answer.error, pipe)?;
        let mut some = false;
        for part in answer {
            let part = part.map_err(|malformed| pipe.malformed(malformed))?;
            let mut positions = self.positions.borrow_mut();
            let position = positions.iter_mut().find(|position| {
                position.partition == part.partition && part.topic.is(&located.topics[position.topic])
            });
            let Some(position) = position else { continue };
            if part.error == OFFSET_OUT_OF_RANGE {
                // Retention was faster: go on where the log begins now.
                position.offset = part.log_start_offset.max(position.offset);
            }
            self.refuse(part.error, pipe)?;
            some |= self.take_records(position, &part, now_ns);
        }
        if some {
            self.local.latency(Timing::Fetch, now_ns.saturating_sub(asked_ns), 1);
        }
        Ok(some)
    }

    fn refuse(&self, error: i16, pipe: &Pipe) -> Result<(), ClientError> {
        if error == 0 {
            return Ok(());
        }
        self.local.recorder.borrow_mut().error(&error_name(error));
        let what = format!("fetching from {}", pipe.address());
        Err(ClientError::Refused { what, code: error, message: "it was refused".to_owned() })
    }

    /// Moves on past the whole batches of a partition.
    fn take_records(&self, position: &mut Position, part: &FetchedPartition, now_ns: u64) -> bool {
        let look = self.local.shared.job.looks_into_records();
        let from = position.offset;
        let (mut taken, mut bytes) = (0, 0);
        for (batch, header) in split_batches(&part.records).map_while(Result::ok) {
            let after = header.last_offset().0 + 1;
            if after <= position.offset {
                continue;
            }
            if look {
                let (found, found_bytes) = self.look_into(position, &batch, now_ns);
                taken += found;
                bytes += found_bytes;
            } else {
                taken += header.record_count.unsigned_abs() as u64;
                bytes += batch.len() as u64;
            }
            position.offset = after;
        }
        let mut recorder = self.local.recorder.borrow_mut();
        let counts = recorder.counts();
        counts.fetched_records += taken;
        counts.fetched_bytes += bytes;
        counts.fetched_wire_bytes += part.records.len() as u64;
        // By what is counted and not by the time: this thread may cut the warm-up off late, and a bounded run would end short
        // of its bound.
        if self.local.counting.get() {
            self.local.shared.add_fetched(taken, bytes);
        }
        let moved = position.offset > from;
        self.turn_back(position);
        moved
    }

    /// Goes on at the beginning with what is read again and again.
    fn turn_back(&self, position: &mut Position) {
        let shared = &self.local.shared;
        if shared.job.workload.consumer.start == StartAt::Loop && self.is_read(position) {
            position.offset = shared.starts.get(position.lane.0 as usize).copied().unwrap_or(0);
        }
    }

    /// Reads the stamps of a batch; how many records, and bytes of keys and values.
    fn look_into(&self, position: &mut Position, batch: &Bytes, now_ns: u64) -> (u64, u64) {
        let (mut found, mut bytes) = (0, 0);
        let Ok(batch_records) = records(batch) else {
            self.local.recorder.borrow_mut().error("unreadable batch");
            return (0, 0);
        };
        let mut ignored = LaneCheck::default();
        for record in batch_records.map_while(Result::ok) {
            if record.offset.0 < position.offset {
                continue;
            }
            found += 1;
            let length = |field: &Option<Bytes>| field.as_ref().map_or(0, |field| field.len() as u64);
            bytes += length(&record.key) + length(&record.value);
            let check = position.check.as_mut().unwrap_or(&mut ignored);
            if let Some(stamp) = check.on_record(record.offset.0, record.value.as_deref()) {
                self.local.latency(Timing::EndToEnd, now_ns.saturating_sub(stamp.intended_ns), 1);
            }
        }
        (found, bytes)
    }
}

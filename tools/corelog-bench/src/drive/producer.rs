//! One producer: claims the records that are due, makes batches, keeps requests in flight, records their answers.
//!
//! Key invariants: at most `in_flight` requests are under way; a record's latency counts from the time it was due (from its
//! sending in a closed loop), however often it had to be sent; requests that must be sent again leave in their first order.
//! Finding the way back after an error is left to `recovery`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::DriveError;
use super::link::Link;
use super::local::Local;
use super::locator::Located;
use super::recovery;
use super::request::{Request, Verdict, judge};
use crate::client::{ProduceAnswer, error_name};
use crate::measure::Timing;
use crate::payload::{Lane, Maker, Origin};
use crate::schedule::{Arrivals, Claim};
use crate::verify::Acknowledged;
use crate::workload;

/// So many refused requests, and none accepted, end a run.
const REFUSED_MAX: u64 = 100;
/// Requests of one turn with acks=0, where no answer slows the sender down.
const UNANSWERED_PER_TURN_MAX: usize = 64;

/// What changes as a producer goes on.
pub struct State {
    pub maker: Maker,
    pub arrivals: Arrivals,
    pub in_flight: usize,
    /// Requests that must be sent again.
    pub failed: Vec<Request>,
    pub acknowledged: Acknowledged,
    next_order: u64,
    /// When a place for a request last came free.
    slot_free_ns: u64,
    /// The next sequence number of each lane (KIP-98).
    sequences: HashMap<Lane, i32>,
    accepted: u64,
    refused: u64,
}

/// See the head of this file.
pub struct Producer {
    pub local: Rc<Local>,
    pub number: u32,
    pub lanes: Vec<Lane>,
    pub state: RefCell<State>,
    pub links: RefCell<Vec<Rc<Link>>>,
    pub located: RefCell<Arc<Located>>,
    /// No new requests until the way back is found.
    pub recovering: Cell<bool>,
    batch_records: u32,
    linger_ns: u64,
}

impl Producer {
    /// A producer that is not connected yet; `start_ns` is set by [`Self::begin`].
    pub fn new(local: &Rc<Local>, number: u32, lanes: Vec<Lane>, located: Arc<Located>) -> Rc<Self> {
        let shared = &local.shared;
        let plan = &shared.job.workload.producer;
        let state = State {
            maker: Maker::new(Arc::clone(&shared.supply), number, lanes.clone()),
            arrivals: Arrivals::closed(),
            in_flight: 0,
            failed: vec![],
            acknowledged: Acknowledged::default(),
            next_order: 0,
            slot_free_ns: 0,
            sequences: HashMap::new(),
            accepted: 0,
            refused: 0,
        };
        Rc::new(Self {
            local: Rc::clone(local),
            number,
            lanes,
            state: RefCell::new(state),
            links: RefCell::default(),
            located: RefCell::new(located),
            recovering: Cell::new(true),
            batch_records: shared.supply.records_per_batch(),
            linger_ns: (plan.linger_ms * 1e6) as u64,
        })
    }

    /// Records are due from `start_ns` on.
    pub fn begin(&self, start_ns: u64) {
        let job = &self.local.shared.job;
        let plan = &job.workload.producer;
        let mut state = self.state.borrow_mut();
        if plan.rate > 0.0 {
            let ready = job.workload.records.encoding == workload::Encoding::Ready;
            let together = ready || plan.arrivals == workload::Arrivals::Together;
            let together = if together { self.batch_records } else { 1 };
            state.arrivals = Arrivals::open(start_ns, plan.rate, together, (self.number, plan.connections));
        }
        state.slot_free_ns = start_ns;
        self.recovering.set(false);
    }

    /// The counted time begins: from now on the producer's share of a bounded run is used up.
    pub fn begin_counting(&self) {
        if let Some(quota) = self.local.shared.quota(self.number) {
            self.state.borrow_mut().arrivals.end_after(quota);
        }
    }

    /// No record is due at `end_ns` or later.
    pub fn end_at(&self, end_ns: u64) {
        self.state.borrow_mut().arrivals.end_at(end_ns);
    }

    /// When records are due next, if they come at a rate.
    pub fn next_ns(&self) -> Option<u64> {
        self.state.borrow().arrivals.next_ns(self.batch_records, self.linger_ns)
    }

    /// Whether all that was to be sent is sent and answered.
    pub fn is_done(&self) -> bool {
        let state = self.state.borrow();
        let over = state.arrivals.is_finished() || self.local.shared.is_sending_stopped();
        over && state.in_flight == 0 && state.failed.is_empty()
    }

    /// Sends what is due, as far as requests may be in flight.
    pub fn pump(self: &Rc<Self>) {
        if self.recovering.get() || self.local.shared.is_sending_stopped() {
            return;
        }
        if let Err(error) = self.fill() {
            self.local.fail(error);
            return;
        }
        self.flush();
    }

    /// Sends what is queued on all connections.
    pub fn flush(self: &Rc<Self>) {
        let links = self.links.borrow();
        for link in links.iter().filter(|link| !link.is_lost()) {
            // The receiving task sees the same error and acts on it.
            if link.flush().is_err() {
                link.pipe.close();
            }
        }
    }

    fn fill(&self) -> Result<(), DriveError> {
        let plan = &self.local.shared.job.workload.producer;
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let mut unanswered = 0;
        while state.in_flight < plan.in_flight as usize {
            let now_ns = self.local.now_ns();
            let Some(claim) = state.arrivals.claim(now_ns, self.batch_records, self.linger_ns) else { break };
            let Some(request) = self.make(state, claim, now_ns)? else { break };
            let located = self.located.borrow();
            let Some(link) = self.link_of(request.lane, &located) else {
                state.failed.push(request);
                break;
            };
            if plan.acks == 0 {
                self.acknowledge(state, &request, now_ns);
                unanswered += 1;
            } else {
                state.in_flight += 1;
            }
            link.send(request, &located, &self.local.shared);
            if unanswered == UNANSWERED_PER_TURN_MAX || (plan.acks == 0 && link.is_draining()) {
                break;
            }
        }
        Ok(())
    }

    /// The connection to a lane's leader.
    pub fn link_of(&self, lane: Lane, located: &Located) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        let node = located.leader_of(lane);
        links.iter().find(|link| link.node == node && !link.is_lost()).cloned()
    }

    fn make(&self, state: &mut State, claim: Claim, now_ns: u64) -> Result<Option<Request>, DriveError> {
        let shared = &self.local.shared;
        let Some(lane) = state.maker.next_lane() else {
            state.arrivals.give_back(claim.records);
            return Ok(None);
        };
        let first_sequence = state.maker.next_sequence(lane);
        let origin =
            shared.producer_ids.get(self.number as usize).map(|(producer_id, producer_epoch)| Origin {
                producer_id: *producer_id,
                producer_epoch: *producer_epoch,
                base_sequence: state.sequences.get(&lane).copied().unwrap_or(0),
            });
        let open = state.arrivals.is_open();
        let arrivals = &state.arrivals;
        let due = |number: u32| if open { arrivals.due_ns(claim.first + u64::from(number)) } else { now_ns };
        let timestamp_ms = shared.clock.wall_ms(now_ns);
        let batch = state.maker.batch(lane, claim.records, timestamp_ms, origin, &due)?;
        let ready_ns = due(batch.records - 1).min(due(0) + self.linger_ns).max(state.slot_free_ns);
        self.local.latency(Timing::OwnDelay, now_ns.saturating_sub(ready_ns), 1);
        // A ready-made batch may hold more than the rest of a bounded run.
        state.arrivals.give_back(claim.records.saturating_sub(batch.records));
        if origin.is_some() {
            let sequence = state.sequences.entry(lane).or_default();
            // Sequence numbers wrap to 0 after the largest (KIP-98).
            *sequence =
                ((i64::from(*sequence) + i64::from(batch.records)) % (i64::from(i32::MAX) + 1)) as i32;
        }
        state.next_order += 1;
        Ok(Some(Request {
            order: state.next_order,
            correlation: 0,
            lane,
            records: batch.records,
            payload_bytes: batch.payload_bytes,
            batch: batch.bytes,
            first: claim.first,
            first_sequence,
            sent_ns: now_ns,
            attempts: 1,
        }))
    }

    /// An answer came.
    pub fn on_answer(self: &Rc<Self>, link: &Rc<Link>, frame: &[u8]) {
        let now_ns = self.local.now_ns();
        let answer = ProduceAnswer::parse(frame, link.version).ok();
        let Some((answer, request)) =
            answer.and_then(|answer| Some((answer, link.answered(answer.correlation)?)))
        else {
            self.local.recorder.borrow_mut().error("malformed answer");
            link.pipe.close();
            return;
        };
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.in_flight == self.local.shared.job.workload.producer.in_flight as usize {
            state.slot_free_ns = now_ns;
        }
        state.in_flight -= 1;
        match judge(answer.error) {
            Verdict::Acknowledged => self.acknowledge(state, &request, now_ns),
            Verdict::Again => {
                self.local.recorder.borrow_mut().error(&error_name(answer.error));
                state.failed.push(request);
                recovery::start(self);
            }
            Verdict::Failed => self.refuse(state, answer.error),
        }
    }

    fn acknowledge(&self, state: &mut State, request: &Request, now_ns: u64) {
        state.accepted += 1;
        self.record_latencies(&state.arrivals, request, now_ns);
        let mut recorder = self.local.recorder.borrow_mut();
        let counts = recorder.counts();
        counts.produce_requests += 1;
        counts.produced_records += u64::from(request.records);
        counts.produced_bytes += request.payload_bytes;
        counts.produced_wire_bytes += request.batch.len() as u64;
        if self.local.shared.job.stamps() {
            state.acknowledged.add(self.number, request.lane, request.first_sequence, request.records);
        }
    }

    /// The latencies of a request's records, as of `now_ns`.
    fn record_latencies(&self, arrivals: &Arrivals, request: &Request, now_ns: u64) {
        if !arrivals.is_open() {
            let elapsed_ns = now_ns.saturating_sub(request.sent_ns);
            return self.local.latency(Timing::Produce, elapsed_ns, u64::from(request.records));
        }
        let (first, last) = (request.first, request.first + u64::from(request.records) - 1);
        let (first_ns, last_ns) = (arrivals.due_ns(first), arrivals.due_ns(last));
        if first_ns == last_ns {
            let elapsed_ns = now_ns.saturating_sub(first_ns);
            return self.local.latency(Timing::Produce, elapsed_ns, u64::from(request.records));
        }
        for number in first..=last {
            let elapsed_ns = now_ns.saturating_sub(arrivals.due_ns(number));
            self.local.latency(Timing::Produce, elapsed_ns, 1);
        }
    }

    fn refuse(&self, state: &mut State, code: i16) {
        state.refused += 1;
        let name = error_name(code);
        self.local.recorder.borrow_mut().error(&name);
        if state.accepted == 0 && state.refused >= REFUSED_MAX {
            self.local.fail(DriveError::Refused { name, code });
        }
    }

    /// A connection was lost: its requests must be sent again.
    pub fn on_lost(self: &Rc<Self>, link: &Rc<Link>) {
        if link.is_lost() {
            return;
        }
        let lost = link.lose();
        {
            let mut state = self.state.borrow_mut();
            state.in_flight -= lost.len();
            state.failed.extend(lost);
        }
        if !self.local.shared.is_stopped() {
            self.local.recorder.borrow_mut().error("connection lost");
            recovery::start(self);
        }
    }

    /// Closes connections whose oldest request has waited for too long; the receiving task then finds them lost.
    pub fn check_timeouts(&self, now_ns: u64, timeout_ns: u64) {
        for link in self.links.borrow().iter().filter(|link| !link.is_lost()) {
            if link.oldest_ns().is_some_and(|sent_ns| now_ns.saturating_sub(sent_ns) > timeout_ns) {
                self.local.recorder.borrow_mut().error("timed out");
                link.pipe.close();
            }
        }
    }

    /// The end of the run: what has no answer counts with its age, and so do records that were due and never sent.
    pub fn finish(&self, end_ns: u64) -> Acknowledged {
        for link in self.links.borrow().iter() {
            let lost = link.lose();
            self.state.borrow_mut().failed.extend(lost);
        }
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let now_ns = self.local.now_ns();
        let mut unanswered = 0;
        for request in std::mem::take(&mut state.failed) {
            unanswered += u64::from(request.records);
            self.record_latencies(&state.arrivals, &request, now_ns);
        }
        if state.arrivals.is_open() {
            let first = state.arrivals.claimed();
            let due = state.arrivals.due(end_ns);
            for number in first..first + due {
                let elapsed_ns = now_ns.saturating_sub(state.arrivals.due_ns(number));
                self.local.latency(Timing::Produce, elapsed_ns, 1);
            }
            unanswered += due;
        }
        self.local.recorder.borrow_mut().counts().unanswered_records += unanswered;
        std::mem::take(&mut state.acknowledged)
    }
}

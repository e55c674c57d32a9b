//! A producer's connection to one broker: requests in the order of their sending, until their answers come.
//!
//! Key invariant: a request is in `waiting` from its sending until its answer or the loss of the connection.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::locator::Located;
use super::request::Request;
use super::shared::Shared;
use crate::client::{CLIENT_ID, ClientError, Pipe, ProduceTemplate, ProduceTerms};
use crate::payload::Lane;

/// How long a broker may wait for its replicas (`request.timeout.ms` of Kafka's producer), in milliseconds.
pub const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// An open connection.
pub struct Link {
    pub node: i32,
    pub pipe: Pipe,
    pub version: i16,
    acks: i16,
    waiting: RefCell<VecDeque<Request>>,
    next_correlation: Cell<i32>,
    templates: RefCell<HashMap<Lane, ProduceTemplate>>,
    draining: Cell<bool>,
    lost: Cell<bool>,
}

impl Link {
    /// Over a connection that speaks Produce in `version`.
    pub fn new(node: i32, pipe: Pipe, version: i16, acks: i16) -> Rc<Self> {
        Rc::new(Self {
            node,
            pipe,
            version,
            acks,
            waiting: RefCell::default(),
            next_correlation: Cell::new(1),
            templates: RefCell::default(),
            draining: Cell::new(false),
            lost: Cell::new(false),
        })
    }

    /// Queues a request; what is queued leaves with the next flush. With acks=0 nobody waits for an answer.
    pub fn send(&self, mut request: Request, located: &Located, shared: &Shared) {
        let correlation = self.next_correlation.get();
        self.next_correlation.set(correlation.wrapping_add(1));
        request.correlation = correlation;
        let mut templates = self.templates.borrow_mut();
        let template = templates.entry(request.lane).or_insert_with(|| {
            let (topic, partition) = shared.place_of(request.lane);
            let facts = &located.topics[topic];
            let terms = ProduceTerms {
                version: self.version,
                client_id: CLIENT_ID,
                acks: self.acks,
                timeout_ms: PRODUCE_TIMEOUT_MS,
            };
            ProduceTemplate::new(&terms, facts, partition)
        });
        self.pipe.queue_with(|out| template.head(out, correlation, request.batch.len()));
        self.pipe.queue_slice(request.batch.clone());
        self.pipe.queue(template.tail());
        if self.acks != 0 {
            self.waiting.borrow_mut().push_back(request);
        }
    }

    /// The request that an answer is for: the oldest.
    pub fn answered(&self, correlation: i32) -> Option<Request> {
        let mut waiting = self.waiting.borrow_mut();
        waiting
            .front()
            .is_some_and(|request| request.correlation == correlation)
            .then(|| waiting.pop_front())?
    }

    /// Sends what the socket takes, and the rest when it takes more. An error is the receiving side's to find.
    pub fn flush(self: &Rc<Self>) -> Result<bool, ClientError> {
        let done = self.pipe.flush()?;
        if !done && !self.draining.replace(true) {
            let link = Rc::clone(self);
            glommio::spawn_local(async move {
                if link.pipe.drain().await.is_err() {
                    link.pipe.close();
                }
                link.draining.set(false);
            })
            .detach();
        }
        Ok(done)
    }

    /// Whether bytes wait for the socket.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Requests without an answer.
    pub fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// When the oldest request without an answer was sent.
    pub fn oldest_ns(&self) -> Option<u64> {
        self.waiting.borrow().front().map(|request| request.sent_ns)
    }

    /// The connection is lost: returns what has no answer.
    pub fn lose(&self) -> VecDeque<Request> {
        self.lost.set(true);
        self.pipe.close();
        std::mem::take(&mut *self.waiting.borrow_mut())
    }

    /// Whether the connection was lost.
    pub fn is_lost(&self) -> bool {
        self.lost.get()
    }
}

//! One state machine and the partition that its records go to.
//!
//! Key invariants: the records of an event are appended as one batch, in the order of events, before anything else happens
//! on this shard. What an event answered leaves when the log is durable up to its records and all before. A state machine
//! whose records were not appended has promised what is not in the log: it is thrown away with all who wait for it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use hashbrown::HashMap;

use super::Kind;
use super::parked::Return;
use crate::coordinator::group::Turn;
use crate::coordinator::{GroupError, Hosted, RawRecord, Ticket};
use crate::model::{Offset, TimestampMs};
use crate::partition::{Partition, PartitionError};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{BatchHeader, Codec};
use crate::shard::Shard;

/// See the head of this file.
pub(super) struct Host<S: Hosted> {
    partition: Rc<Partition>,
    state: RefCell<S>,
    tickets: Cell<u64>,
    waiting: RefCell<HashMap<Ticket, Return>>,
    /// Its records could not be appended.
    broken: Cell<bool>,
}

impl<S: Kind> Host<S> {
    pub(super) fn new(partition: Rc<Partition>, state: S) -> Rc<Self> {
        Rc::new(Self {
            partition,
            state: RefCell::new(state),
            tickets: Cell::new(0),
            waiting: RefCell::default(),
            broken: Cell::new(false),
        })
    }

    pub(super) fn partition(&self) -> &Rc<Partition> {
        &self.partition
    }

    pub(super) fn next_deadline(&self) -> Option<TimestampMs> {
        self.state.borrow().next_deadline()
    }

    /// Begins the service of a state that was just loaded.
    pub(super) fn on_loaded(self: &Rc<Self>, shard: &Rc<Shard>) {
        drop(self.run(shard, |state, turn, actions| state.on_loaded(turn, actions)));
    }

    pub(super) fn on_metadata(self: &Rc<Self>, shard: &Rc<Shard>) {
        drop(self.run(shard, |state, turn, actions| state.on_metadata(turn, actions)));
    }

    /// Does what is due. False if nothing more can be done here now.
    pub(super) fn on_time(self: &Rc<Self>, shard: &Rc<Shard>) -> bool {
        self.run(shard, |state, turn, actions| state.on_time(turn, actions)).is_ok()
    }

    /// A ticket for a request whose answer goes to `to`.
    pub(super) fn ticket(&self, to: Return) -> Ticket {
        let ticket = Ticket(self.tickets.get());
        self.tickets.set(ticket.0 + 1);
        self.waiting.borrow_mut().insert(ticket, to);
        ticket
    }

    /// Looks at the state; what it says may be told when the log is durable up to the offset that comes with it.
    pub(super) fn look<A>(&self, shard: &Shard, look: impl FnOnce(&S, &Turn<'_>) -> A) -> (A, Offset) {
        let (image, settings) = (shard.image(), shard.group_settings());
        let turn = Turn { now: shard.now(), image: &image, settings: &settings };
        (look(&self.state.borrow(), &turn), self.partition.log().log_end_offset())
    }

    /// Runs an event and appends its records. Returns its answer and the end of the log, up to which it must be durable
    /// before the answer leaves.
    pub(super) fn run<A>(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        event: impl FnOnce(&mut S, &Turn<'_>, &mut S::Actions) -> A,
    ) -> Result<(A, Offset), GroupError> {
        self.check_serving()?;
        let (image, settings) = (shard.image(), shard.group_settings());
        let turn = Turn { now: shard.now(), image: &image, settings: &settings };
        let mut actions = S::Actions::default();
        let due_before = self.next_deadline();
        let answer = event(&mut self.state.borrow_mut(), &turn, &mut actions);
        let carried = S::carry(actions).map_err(|error| self.undo(shard, error))?;
        if !carried.records.is_empty() {
            self.append(&carried.records, turn.now).map_err(|error| self.undo(shard, error))?;
        }
        let end = self.partition.log().log_end_offset();
        if !carried.answers.is_empty() {
            self.answer_when_durable(shard, carried.answers, end);
        }
        if self.next_deadline() < due_before || due_before.is_none() {
            shard.coordinators().stir();
        }
        Ok((answer, end))
    }

    /// Waits until the log is durable up to `end`.
    pub(super) fn durable(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        end: Offset,
    ) -> impl Future<Output = Result<(), GroupError>> + use<S> {
        let (host, shard) = (self.clone(), shard.clone());
        async move { host.partition.durable(end).await.map_err(|error| host.undo(&shard, error)) }
    }

    fn check_serving(&self) -> Result<(), GroupError> {
        match self.broken.get() || self.partition.log().is_poisoned() {
            true => Err(GroupError::NotCoordinator),
            false => Ok(()),
        }
    }

    fn append(&self, records: &[RawRecord], now: TimestampMs) -> Result<(), PartitionError> {
        let mut builder = BatchBuilder::new(Codec::None);
        for (key, value) in records {
            let record =
                NewRecord { timestamp: now, key: Some(key), value: value.as_deref(), ..NewRecord::default() };
            builder.append(&record);
        }
        let batch = builder.build(Offset::ZERO).map_err(crate::storage::StorageError::from)?;
        let header = BatchHeader::parse_whole(&batch).map_err(crate::storage::StorageError::from)?;
        self.partition.append(&batch, &header, now).map(drop)
    }

    fn answer_when_durable(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        answers: Vec<(Ticket, S::Answer)>,
        end: Offset,
    ) {
        let answers: Vec<(Return, S::Answer)> = {
            let mut waiting = self.waiting.borrow_mut();
            answers
                .into_iter()
                .filter_map(|(ticket, answer)| Some((waiting.remove(&ticket)?, answer)))
                .collect()
        };
        let (durable, shard) = (self.durable(shard, end), shard.clone());
        glommio::spawn_local(async move {
            let outcome = durable.await;
            for (to, answer) in answers {
                match &outcome {
                    Ok(()) => shard.send_home(to, Some(answer)),
                    Err(_) => shard.send_home(to, None),
                }
            }
        })
        .detach();
    }

    /// The state has what the log will not have: nobody gets an answer from it any more, and the log is read again.
    fn undo(&self, shard: &Rc<Shard>, error: impl std::fmt::Display) -> GroupError {
        if !self.broken.replace(true) {
            tracing::warn!("coordinator partition {:?} is loaded anew: {error}", self.partition.id());
            self.break_off(shard);
        }
        GroupError::NotAvailable(error.to_string())
    }

    fn break_off(&self, shard: &Rc<Shard>) {
        let waiting: Vec<Return> = self.waiting.borrow_mut().drain().map(|(_, to)| to).collect();
        for to in waiting {
            shard.send_home(to, None);
        }
        shard.unload::<S>(self.partition.id());
    }
}

//! One state machine and the partition that its records go to.
//!
//! Key invariants: the records of an event join the open batch, which is appended a turn after its first event; so batches are
//! in the order of events, and an event is in one batch whole. What an event answered leaves when the log is durable up to its
//! records and all before. A state machine whose records were not appended has promised what is not in the log: it is thrown
//! away with all who wait for it, and appends nothing more.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use futures_lite::future::yield_now;
use hashbrown::HashMap;

use super::Kind;
use super::batch::Batch;
use super::parked::Return;
use crate::coordinator::group::Turn;
use crate::coordinator::{GroupError, Hosted, RawRecord, Ticket};
use crate::model::{Offset, TimestampMs};
use crate::partition::{Partition, PartitionError};
use crate::shard::Shard;
use crate::storage::StorageError;

/// What must be durable before an answer leaves.
pub(super) enum Due {
    /// The log up to there.
    Log(Offset),
    /// A batch, and with it all before.
    Batch(Rc<Batch>),
    /// What will not be: the state machine was given up.
    Never,
}

/// See the head of this file.
pub(super) struct Host<S: Hosted> {
    partition: Rc<Partition>,
    state: RefCell<S>,
    tickets: Cell<u64>,
    waiting: RefCell<HashMap<Ticket, Return>>,
    /// What the events of this turn left. Empty batches are not opened.
    open: RefCell<Option<Rc<Batch>>>,
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
            open: RefCell::default(),
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

    /// Looks at the state; what it says may be told when what comes with it is durable.
    pub(super) fn look<A>(&self, shard: &Shard, look: impl FnOnce(&S, &Turn<'_>) -> A) -> (A, Due) {
        let (image, settings) = (shard.image(), shard.group_settings());
        let turn = Turn { now: shard.now(), image: &image, settings: &settings };
        (look(&self.state.borrow(), &turn), self.due())
    }

    /// Runs an event; its records are appended with those of this turn's other events. Returns its answer and what must be
    /// durable before the answer leaves.
    pub(super) fn run<A>(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        event: impl FnOnce(&mut S, &Turn<'_>, &mut S::Actions) -> A,
    ) -> Result<(A, Due), GroupError> {
        self.check_serving()?;
        let (image, settings) = (shard.image(), shard.group_settings());
        let turn = Turn { now: shard.now(), image: &image, settings: &settings };
        let mut actions = S::Actions::default();
        let due_before = self.next_deadline();
        let answer = event(&mut self.state.borrow_mut(), &turn, &mut actions);
        let carried = S::carry(actions).map_err(|error| self.undo(shard, error))?;
        if !carried.records.is_empty() {
            self.gather(shard, &carried.records, turn.now).map_err(|error| self.undo(shard, error))?;
        }
        if !carried.answers.is_empty() {
            self.answer_when_durable(shard, carried.answers);
        }
        if self.next_deadline() < due_before || due_before.is_none() {
            shard.coordinators().stir();
        }
        Ok((answer, self.due()))
    }

    /// Waits until what is due is durable.
    pub(super) fn durable(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        due: Due,
    ) -> impl Future<Output = Result<(), GroupError>> + use<S> {
        let (host, shard) = (self.clone(), shard.clone());
        async move {
            match due {
                Due::Log(end) => host.partition.durable(end).await.map_err(|error| host.undo(&shard, error)),
                Due::Batch(batch) => batch.settled().await,
                Due::Never => Err(GroupError::NotCoordinator),
            }
        }
    }

    /// What must be durable before anything that the state says now may be told.
    fn due(&self) -> Due {
        match &*self.open.borrow() {
            _ if self.broken.get() => Due::Never,
            Some(batch) => Due::Batch(batch.clone()),
            None => Due::Log(self.partition.log().log_end_offset()),
        }
    }

    fn check_serving(&self) -> Result<(), GroupError> {
        match self.broken.get() || self.partition.log().is_poisoned() {
            true => Err(GroupError::NotCoordinator),
            false => Ok(()),
        }
    }

    /// Puts the records of an event into the open batch, or in front of a new one if they do not fit.
    fn gather(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        records: &[RawRecord],
        now: TimestampMs,
    ) -> Result<(), PartitionError> {
        if self.open.borrow().as_ref().is_some_and(|open| !open.has_room_for(records)) {
            self.append_open(now)?;
        }
        if let Some(open) = &*self.open.borrow() {
            open.add(records, now);
            return Ok(());
        }
        let batch = Batch::new();
        batch.add(records, now);
        self.open.replace(Some(batch.clone()));
        glommio::spawn_local(self.clone().see_through(shard.clone(), batch)).detach();
        Ok(())
    }

    /// Appends a batch when this turn is over, if it was not before, and tells how it came out.
    async fn see_through(self: Rc<Self>, shard: Rc<Shard>, batch: Rc<Batch>) {
        // glommio polls a new task at once: without this turn the first event of many would go alone.
        yield_now().await;
        // One that is neither appended nor given up is the open one.
        if batch.end().is_none()
            && !batch.is_settled()
            && let Err(error) = self.append_open(shard.now())
        {
            self.undo(&shard, error);
        }
        // Without an end it was given up, and who waited knows.
        let Some(end) = batch.end() else { return };
        let durable = self.partition.durable(end).await;
        batch.settle(&durable.map_err(|error| self.undo(&shard, error)));
    }

    /// Appends the open batch; it stays open if that fails.
    fn append_open(&self, now: TimestampMs) -> Result<(), PartitionError> {
        let Some(open) = self.open.borrow().clone() else { return Ok(()) };
        let (batch, header) = open.build().map_err(StorageError::from)?;
        open.appended(self.partition.append(&batch, &header, now)?.durable_at);
        self.open.take();
        Ok(())
    }

    fn answer_when_durable(self: &Rc<Self>, shard: &Rc<Shard>, answers: Vec<(Ticket, S::Answer)>) {
        let answers: Vec<(Return, S::Answer)> = {
            let mut waiting = self.waiting.borrow_mut();
            answers
                .into_iter()
                .filter_map(|(ticket, answer)| Some((waiting.remove(&ticket)?, answer)))
                .collect()
        };
        let (durable, shard) = (self.durable(shard, self.due()), shard.clone());
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
        let refusal = GroupError::NotAvailable(error.to_string());
        if !self.broken.replace(true) {
            tracing::warn!("coordinator partition {:?} is loaded anew: {error}", self.partition.id());
            // What is loaded anew must not get these records later.
            if let Some(open) = self.open.take() {
                open.settle(&Err(refusal.clone()));
            }
            self.break_off(shard);
        }
        refusal
    }

    fn break_off(&self, shard: &Rc<Shard>) {
        let waiting: Vec<Return> = self.waiting.borrow_mut().drain().map(|(_, to)| to).collect();
        for to in waiting {
            shard.send_home(to, None);
        }
        shard.unload::<S>(self.partition.id());
    }
}

#[cfg(test)]
mod tests;

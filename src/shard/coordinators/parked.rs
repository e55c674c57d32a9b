//! Requests that wait for a coordinator: joins wait for other members, for minutes if need be.
//!
//! Key invariant: a waiting request holds no call to another shard, since those are few; its answer comes as a note. A client
//! that goes away takes its place with it; the answer is then nobody's.

use std::cell::{Cell, RefCell};

use futures_channel::oneshot;
use hashbrown::HashMap;

use crate::coordinator::GroupAnswer;
use crate::model::ShardId;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Return {
    pub home: ShardId,
    pub number: u64,
}

/// The requests of one shard's connections that wait.
#[derive(Default)]
pub(super) struct Parked {
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<GroupAnswer>>>,
}

/// A place among them; dropping it gives it up.
pub(super) struct Place<'a> {
    parked: &'a Parked,
    pub number: u64,
    pub answer: oneshot::Receiver<GroupAnswer>,
}

impl Parked {
    /// Takes a place.
    pub(super) fn park(&self) -> Place<'_> {
        let number = self.next.get();
        self.next.set(number + 1);
        let (sender, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, sender);
        Place { parked: self, number, answer }
    }

    /// Answers, if somebody waits still.
    pub(super) fn answer(&self, number: u64, answer: GroupAnswer) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&number) {
            // The asker may be going away at this moment.
            let _ = waiting.send(answer);
        }
    }

    /// Forgets a place whose answer will not come: whoever waits learns so.
    pub(super) fn abandon(&self, number: u64) {
        self.waiting.borrow_mut().remove(&number);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.parked.abandon(self.number);
    }
}

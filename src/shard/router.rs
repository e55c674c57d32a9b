//! How shards ask each other: calls that travel over the lock-free mesh and come back with an answer.
//!
//! Key invariants: calls from one shard to another start in the order in which they were made. A call holds a credit
//! until its answer is there, so what waits for a peer is bounded; the task that receives never awaits a send, so two
//! shards with full queues towards each other cannot deadlock. Everything that gathered for a peer in one turn of the
//! executor travels as one message with one wake-up.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use futures_channel::oneshot;
use glommio::channels::channel_mesh::{Full, MeshBuilder, Receivers, Senders};
use glommio::channels::shared_channel::ConnectedReceiver;
use glommio::sync::{Semaphore, StaticPermit};
use slab::Slab;

use super::Signal;
use crate::model::ShardId;

/// Calls that one shard may have open at one other shard; more wait for a credit.
pub const CALLS_OPEN_MAX: u64 = 1024;
/// Messages, each a group of envelopes, in the queue between two shards.
const MESH_MESSAGES_MAX: usize = 64;

type Answer = Box<dyn Any + Send>;
type Work = Pin<Box<dyn Future<Output = Answer>>>;
type Job<S> = Box<dyn FnOnce(Rc<S>) -> Work + Send>;
type Note<S> = Box<dyn FnOnce(&Rc<S>) + Send>;

/// What one shard sends another.
pub enum Envelope<S> {
    /// Run this and send back what it returns.
    Call { id: u32, job: Job<S> },
    /// The answer to a call.
    Answer { id: u32, value: Answer },
    /// Run this; nothing comes back. Callers bound their number.
    Note(Note<S>),
}

/// The envelopes that travel together.
type Group<S> = Vec<Envelope<S>>;
/// The mesh that the executors join at their start.
pub type Mesh<S> = MeshBuilder<Group<S>, Full>;

/// The shard that was asked has stopped; the broker is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard that owns the partition has stopped")]
pub struct ShardGone;

struct OpenCall {
    answer: oneshot::Sender<Answer>,
    _credit: StaticPermit,
}

struct Peer<S> {
    outbox: RefCell<Group<S>>,
    filled: Signal,
    credits: Rc<Semaphore>,
}

/// One shard's end of the mesh.
pub struct Router<S: 'static> {
    me: ShardId,
    peers: Vec<Peer<S>>,
    open: RefCell<Slab<OpenCall>>,
}

/// The right to make one call to one shard.
pub struct Credit {
    to: ShardId,
    permit: StaticPermit,
}

/// Makes the mesh of `shards` executors.
///
/// One clone is leaked: the builder is `Send` around an `Rc` with a plain count, so no executor may drop the last one
/// while another clones or drops.
pub fn mesh<S: 'static>(shards: u16) -> Vec<Mesh<S>> {
    // A mesh of one peer would never finish joining; a single shard does not use it.
    let builder: Mesh<S> = MeshBuilder::full(usize::from(shards.max(1)), MESH_MESSAGES_MAX);
    let clones = (0..shards).map(|_| builder.clone()).collect();
    std::mem::forget(builder);
    clones
}

impl<S: 'static> Router<S> {
    /// A router for shard `me` of `shards`; it moves nothing until [`Router::run`].
    pub fn new(me: ShardId, shards: u16) -> Self {
        let peer = || Peer {
            outbox: RefCell::default(),
            filled: Signal::default(),
            credits: Rc::new(Semaphore::new(CALLS_OPEN_MAX)),
        };
        Self { me, peers: (0..shards).map(|_| peer()).collect(), open: RefCell::default() }
    }

    /// Waits until another call to `to` may be made.
    pub async fn credit(&self, to: ShardId) -> Result<Credit, ShardGone> {
        let peer = self.peers.get(to.index()).ok_or(ShardGone)?;
        let permit = peer.credits.acquire_static_permit(1).await.map_err(|_| ShardGone)?;
        Ok(Credit { to, permit })
    }

    /// Sends `job` to the shard that `credit` is for. The job is on its way when this returns, in the order of the
    /// calls; the future only waits for the answer, and may be dropped.
    pub fn start<R, F, W>(
        &self,
        credit: Credit,
        job: F,
    ) -> impl Future<Output = Result<R, ShardGone>> + use<R, F, W, S>
    where
        R: Send + 'static,
        F: FnOnce(Rc<S>) -> W + Send + 'static,
        W: Future<Output = R> + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let id = self.open.borrow_mut().insert(OpenCall { answer: sender, _credit: credit.permit });
        let job: Job<S> = Box::new(move |shard| {
            let work = job(shard);
            Box::pin(async move { Box::new(work.await) as Answer })
        });
        self.push(credit.to, Envelope::Call { id: id as u32, job });
        async move {
            let answer = receiver.await.map_err(|_| ShardGone)?;
            Ok(*answer.downcast::<R>().expect("an answer has the type of the call that its id belongs to"))
        }
    }

    /// Sends a note, to which no answer comes.
    pub fn note(&self, to: ShardId, note: impl FnOnce(&Rc<S>) + Send + 'static) {
        self.push(to, Envelope::Note(Box::new(note)));
    }

    fn push(&self, to: ShardId, envelope: Envelope<S>) {
        if let Some(peer) = self.peers.get(to.index()) {
            peer.outbox.borrow_mut().push(envelope);
            peer.filled.raise();
        }
    }

    /// Moves envelopes between `shard` and its peers from now on. `router` finds the router in the shard.
    pub fn run(shard: &Rc<S>, router: fn(&S) -> &Self, ends: (Senders<Group<S>>, Receivers<Group<S>>)) {
        let (senders, mut receivers) = ends;
        let senders = Rc::new(senders);
        let me = router(shard).me;
        for (from, receiver) in receivers.streams() {
            let from = ShardId(from as u16);
            glommio::spawn_local(receive(shard.clone(), router, from, receiver)).detach();
        }
        for to in (0..router(shard).peers.len()).filter(|to| *to != me.index()) {
            glommio::spawn_local(send(shard.clone(), router, to, senders.clone())).detach();
        }
    }

    fn deliver(shard: &Rc<S>, router: fn(&S) -> &Self, from: ShardId, envelope: Envelope<S>) {
        match envelope {
            Envelope::Call { id, job } => {
                // What the job does before its first await happens here, in the order of arrival.
                let work = job(shard.clone());
                let shard = shard.clone();
                glommio::spawn_local(async move {
                    let value = work.await;
                    router(&shard).push(from, Envelope::Answer { id, value });
                })
                .detach();
            }
            Envelope::Answer { id, value } => {
                let call = router(shard).open.borrow_mut().try_remove(id as usize);
                if let Some(call) = call {
                    // The asker may have gone away (a closed connection); then nobody wants the answer.
                    drop(call.answer.send(value));
                }
            }
            Envelope::Note(note) => note(shard),
        }
    }
}

async fn receive<S: 'static>(
    shard: Rc<S>,
    router: fn(&S) -> &Router<S>,
    from: ShardId,
    receiver: ConnectedReceiver<Group<S>>,
) {
    while let Some(group) = receiver.recv().await {
        for envelope in group {
            Router::deliver(&shard, router, from, envelope);
        }
    }
}

async fn send<S: 'static>(
    shard: Rc<S>,
    router: fn(&S) -> &Router<S>,
    to: usize,
    senders: Rc<Senders<Group<S>>>,
) {
    let peer = &router(&shard).peers[to];
    loop {
        peer.filled.wait().await;
        let group = peer.outbox.take();
        if !group.is_empty() && senders.send_to(to, group).await.is_err() {
            return; // The peer has stopped: the broker is shutting down.
        }
    }
}

#[cfg(test)]
mod tests;

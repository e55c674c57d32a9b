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
use std::task::{Context, Poll, Waker};

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

/// A call that has been there and comes back; the asker knows its type.
type Answer = Box<dyn Any + Send>;
type Note<S> = Box<dyn FnOnce(&Rc<S>) + Send>;

/// What one shard sends another.
pub enum Envelope<S: 'static> {
    /// Run this and send back what it returns.
    Call { id: u32, job: Box<dyn Job<S>> },
    /// The answer to a call.
    Answer { id: u32, value: Answer },
    /// Run this; nothing comes back. Callers bound their number.
    Note(Note<S>),
}

/// A call on its way there.
pub trait Job<S: 'static>: Send {
    /// Starts the work; what it does before its first await has happened when this returns.
    fn start(self: Box<Self>, shard: &Rc<S>, asker: Asker<S>);
}

/// Where an answer goes.
pub struct Asker<S: 'static> {
    router: fn(&S) -> &Router<S>,
    shard: ShardId,
    id: u32,
}

/// A call and its answer: one allocation travels there and back, and is freed by the shard that made it.
struct Errand<F, R> {
    job: Option<F>,
    answer: Option<R>,
}

impl<S, F, W, R> Job<S> for Errand<F, R>
where
    S: 'static,
    F: FnOnce(Rc<S>) -> W + Send + 'static,
    W: Future<Output = R> + 'static,
    R: Send + 'static,
{
    fn start(mut self: Box<Self>, shard: &Rc<S>, asker: Asker<S>) {
        let job = self.job.take().expect("a call is started once");
        let work = job(shard.clone());
        let shard = shard.clone();
        glommio::spawn_local(async move {
            self.answer = Some(work.await);
            let Asker { router, shard: to, id } = asker;
            router(&shard).push(to, Envelope::Answer { id, value: self });
        })
        .detach();
    }
}

/// Takes the answer out of what came back.
fn unpack<F: 'static, R: 'static>(value: Answer) -> R {
    let errand = value.downcast::<Errand<F, R>>();
    let answer = errand.ok().and_then(|errand| errand.answer);
    answer.expect("what comes back is the call that its id belongs to, and it was answered")
}

/// The envelopes that travel together.
type Group<S> = Vec<Envelope<S>>;
/// The mesh that the executors join at their start.
pub type Mesh<S> = MeshBuilder<Group<S>, Full>;

/// The shard that was asked has stopped; the broker is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard that owns the partition has stopped")]
pub struct ShardGone;

/// A call that is open at another shard, or whose answer is not taken yet.
struct OpenCall {
    state: CallState,
    /// Given back when the answer has come.
    credit: Option<StaticPermit>,
}

enum CallState {
    /// The asker waits, or will.
    Asked(Option<Waker>),
    Answered(Answer),
    /// The asker has gone away: nobody wants the answer.
    Forsaken,
    /// This shard ends.
    Gone,
}

type OpenCalls = Rc<RefCell<Slab<OpenCall>>>;

struct Peer<S: 'static> {
    outbox: RefCell<Group<S>>,
    filled: Signal,
    credits: Rc<Semaphore>,
}

/// One shard's end of the mesh.
pub struct Router<S: 'static> {
    me: ShardId,
    peers: Vec<Peer<S>>,
    open: OpenCalls,
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
        Self { me, peers: (0..shards).map(|_| peer()).collect(), open: Rc::default() }
    }

    /// Waits until another call to `to` may be made.
    pub async fn credit(&self, to: ShardId) -> Result<Credit, ShardGone> {
        let peer = self.peers.get(to.index()).ok_or(ShardGone)?;
        let permit = peer.credits.acquire_static_permit(1).await.map_err(|_| ShardGone)?;
        Ok(Credit { to, permit })
    }

    /// Sends `job` to the shard that `credit` is for. The job is on its way when this returns, in the order of the
    /// calls; what is returned only waits for the answer, and may be dropped.
    pub fn start<R, F, W>(&self, credit: Credit, job: F) -> Reply<R>
    where
        R: Send + 'static,
        F: FnOnce(Rc<S>) -> W + Send + 'static,
        W: Future<Output = R> + 'static,
    {
        let call = OpenCall { state: CallState::Asked(None), credit: Some(credit.permit) };
        let id = self.open.borrow_mut().insert(call);
        let job = Box::new(Errand { job: Some(job), answer: None });
        self.push(credit.to, Envelope::Call { id: id as u32, job });
        Reply { open: self.open.clone(), id, unpack: unpack::<F, R>, taken: false }
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
            Envelope::Call { id, job } => job.start(shard, Asker { router, shard: from, id }),
            Envelope::Answer { id, value } => router(shard).answered(id as usize, value),
            Envelope::Note(note) => note(shard),
        }
    }

    /// The answer to an open call has come.
    fn answered(&self, id: usize, value: Answer) {
        let (waker, dropped) = {
            let mut open = self.open.borrow_mut();
            let Some(call) = open.get_mut(id) else { return };
            let credit = call.credit.take();
            match std::mem::replace(&mut call.state, CallState::Answered(value)) {
                CallState::Asked(waker) => (waker, (credit, None)),
                _ => (None, (credit, Some(open.remove(id)))),
            }
        };
        // What runs from here on may make or drop calls.
        drop(dropped);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<S: 'static> Drop for Router<S> {
    fn drop(&mut self) {
        let ended: Vec<CallState> = {
            let mut open = self.open.borrow_mut();
            open.iter_mut()
                .filter(|(_, call)| matches!(call.state, CallState::Asked(_)))
                .map(|(_, call)| std::mem::replace(&mut call.state, CallState::Gone))
                .collect()
        };
        for state in ended {
            if let CallState::Asked(Some(waker)) = state {
                waker.wake();
            }
        }
    }
}

/// The answer to a call, once it is there. Dropping it takes nothing back: the call runs, and its answer is thrown away.
pub struct Reply<R> {
    open: OpenCalls,
    id: usize,
    unpack: fn(Answer) -> R,
    /// The call is no longer among the open ones.
    taken: bool,
}

impl<R> Future for Reply<R> {
    type Output = Result<R, ShardGone>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = {
            let mut open = self.open.borrow_mut();
            match open.get_mut(self.id).filter(|_| !self.taken).map(|call| &mut call.state) {
                Some(CallState::Asked(waker)) => {
                    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        *waker = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                Some(_) => Some(open.remove(self.id).state),
                None => None,
            }
        };
        self.taken = true;
        Poll::Ready(match ended {
            Some(CallState::Answered(value)) => Ok((self.unpack)(value)),
            _ => Err(ShardGone),
        })
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let dropped = {
            let mut open = self.open.borrow_mut();
            match open.get_mut(self.id) {
                Some(call) if matches!(call.state, CallState::Asked(_)) => {
                    std::mem::replace(&mut call.state, CallState::Forsaken)
                }
                Some(_) => open.remove(self.id).state,
                None => return,
            }
        };
        drop(dropped);
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

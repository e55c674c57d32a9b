//! What every handler has at hand: its shard, the controller, and the state that requests of one shard share.
//!
//! Key invariant: a [`Server`] lives on one shard; two requests of that shard never run at the same moment, so no
//! borrow of its cells is held across an await.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::affinity::Affinity;
use super::fetch::SessionCache;
use super::init_producer_id::ProducerIds;
use super::share_fetch::ShareSessions;
use crate::cluster::ControllerHandle;
use crate::metadata::Presentation;
use crate::model::BrokerId;
use crate::protocol::api_versions::Feature;
use crate::shard::{AnswerGrant, Shard, Sharer};

/// One shard's side of the protocol.
pub struct Server {
    shard: Rc<Shard>,
    controller: ControllerHandle,
    presentation: Presentation,
    pub(super) sessions: RefCell<SessionCache>,
    pub(super) share_sessions: RefCell<ShareSessions>,
    pub(super) producer_ids: ProducerIds,
    stopping: Cell<bool>,
}

impl Server {
    /// The server of `shard`, of a broker that appears to clients as `presentation` says.
    pub fn new(shard: Rc<Shard>, controller: ControllerHandle, presentation: Presentation) -> Rc<Self> {
        let slots = shard.settings().fetch.session_slots_max as usize;
        let per_shard = slots.div_ceil(usize::from(shard.shards().max(1)));
        // Ids of different runs differ, so that a client's old session is not taken for a new one.
        let seed = (shard.now().0 / 1_000) as u32;
        let sessions = SessionCache::new(per_shard, shard.id(), shard.shards(), seed);
        let slots = shard.group_settings().share.sessions_max as usize;
        let share_sessions = ShareSessions::new(slots.div_ceil(usize::from(shard.shards().max(1))));
        Rc::new(Self {
            shard,
            controller,
            presentation,
            sessions: RefCell::new(sessions),
            share_sessions: RefCell::new(share_sessions),
            producer_ids: ProducerIds::default(),
            stopping: Cell::new(false),
        })
    }

    /// The shard.
    pub fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// The controller, for changes of the metadata.
    pub fn controller(&self) -> &ControllerHandle {
        &self.controller
    }

    /// As what clients see this broker.
    pub fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// The shards that a client takes for the node it is connected to. A list of what a node has is a list of theirs:
    /// clients ask every node and put the answers together.
    pub fn shards_seen_by(&self, client: &Client) -> Range<u16> {
        match client.entrance {
            Entrance::Broker => 0..self.shard.shards(),
            Entrance::Shard => self.shard.id().0..self.shard.id().0.saturating_add(1),
        }
    }

    /// This broker's node id.
    pub fn broker_id(&self) -> BrokerId {
        self.shard.settings().node.id
    }

    /// The finalized level of a feature (KIP-584); 0 means that it is off.
    pub fn feature_level(&self, feature: &Feature) -> i16 {
        let image = self.shard.image();
        let level = image.cluster().features.get(feature.name).copied();
        // A cluster always has a version of its metadata.
        level.unwrap_or(if feature.min > 0 { feature.level } else { 0 })
    }

    /// From now on requests that write are refused.
    pub fn stop(&self) {
        self.stopping.set(true);
    }

    /// Whether the broker is shutting down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }
}

/// By which of the broker's ports a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The one on which all shards listen.
    Broker,
    /// The shard's own: to the client the shard is a node.
    Shard,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Client {
    peer: SocketAddr,
    entrance: Entrance,
    affinity: Affinity,
    /// The share sessions that it has opened; they end with it.
    pub(super) share_sessions: RefCell<HashMap<Sharer, u64>>,
}

impl Client {
    /// A client that connected from `peer`.
    pub fn new(peer: SocketAddr, entrance: Entrance) -> Self {
        Self::moved(peer, entrance, 0)
    }

    /// A client whose connection has come from another shard, the last of `moves` times.
    pub fn moved(peer: SocketAddr, entrance: Entrance, moves: u32) -> Self {
        let affinity = Affinity::after(moves);
        if entrance == Entrance::Shard {
            // It chose the shard.
            affinity.pin();
        }
        Self { peer, entrance, affinity, share_sessions: RefCell::default() }
    }

    /// Where its requests are served.
    pub fn affinity(&self) -> &Affinity {
        &self.affinity
    }

    /// Its address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// An encoded answer with its size; record batches in it are the log's own memory.
#[derive(Debug, Default)]
pub struct Response {
    pub slices: SmallVec<[Bytes; 1]>,
    /// The memory of the record batches, given back when the client has taken them.
    pub held: Option<AnswerGrant>,
}

impl From<Bytes> for Response {
    fn from(bytes: Bytes) -> Self {
        // `from_elem` would clone them, which is an allocation of its own.
        Self { slices: SmallVec::from_buf([bytes]), held: None }
    }
}

impl From<Vec<Bytes>> for Response {
    fn from(slices: Vec<Bytes>) -> Self {
        Self { slices: slices.into(), held: None }
    }
}

/// How a request ends.
#[derive(Debug)]
pub enum Outcome {
    Respond(Response),
    /// A produce request with `acks=0` has no answer.
    Silent,
    /// Close the connection, for this reason.
    Close(String),
}

/// The future of an outcome; it belongs to one shard.
type Pending = std::pin::Pin<Box<dyn Future<Output = Outcome>>>;

/// A request that has begun.
pub enum Begun {
    Ready(Option<Outcome>),
    Pending(Pending),
    /// Nothing of it has happened yet.
    Later(Pending),
}

impl Begun {
    /// An answer that is there.
    pub fn ready(response: impl Into<Response>) -> Self {
        Self::Ready(Some(Outcome::Respond(response.into())))
    }

    /// The connection must be closed.
    pub fn close(reason: impl Into<String>) -> Self {
        Self::Ready(Some(Outcome::Close(reason.into())))
    }

    /// An answer that comes later.
    pub fn pending(future: impl Future<Output = Outcome> + 'static) -> Self {
        Self::Pending(Box::pin(future))
    }

    /// A request that runs when its turn has come. It may hold what others wait for, such as a place on the device, so it is
    /// never begun and left: a connection whose client does not read would keep that.
    pub fn later(future: impl Future<Output = Outcome> + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    /// Waits for the outcome; to be called once.
    pub async fn outcome(&mut self) -> Outcome {
        match self {
            Self::Ready(outcome) => outcome.take().unwrap_or(Outcome::Silent),
            Self::Pending(future) | Self::Later(future) => future.await,
        }
    }

    /// The outcome, if it is there already. Does not begin what runs later.
    pub async fn outcome_now(&mut self) -> Option<Outcome> {
        match self {
            Self::Ready(outcome) => outcome.take(),
            Self::Pending(future) => futures_lite::future::poll_once(future).await,
            Self::Later(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_later_is_not_begun_by_asking_whether_it_is_there() {
        let begun = Rc::new(Cell::new(false));
        let begins = begun.clone();
        let mut request = Begun::later(async move {
            begins.set(true);
            Outcome::Silent
        });
        futures_lite::future::block_on(async {
            assert!(request.outcome_now().await.is_none());
            assert!(!begun.get());
            assert!(matches!(request.outcome().await, Outcome::Silent));
            assert!(begun.get());
        });
    }
}

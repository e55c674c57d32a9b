//! The controller: plan, make durable, apply, publish, answer; for many requests at a time.
//!
//! Key invariant: a request is answered with success only after its commands are durable in the store and every shard
//! has acknowledged an image that holds them (or was given up on after `ACK_WAIT_MS_MAX`, which is logged). After a
//! failed commit nothing more is accepted: what the store holds is unknown until it was opened anew.

use arc_swap::ArcSwap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::handle::{ControllerHandle, PlannedRequest, QUEUED_REQUESTS_MAX, Request};
use super::store::{Store, StoreError};
use crate::config::BrokerSettings;
use crate::metadata::plan::{Mutation, PlanInputs};
use crate::metadata::{ApplyError, Command, Image, LogId, Reason, Refusal};

/// Requests that share one durable commit at most.
pub const BATCH_REQUESTS_MAX: usize = 256;
/// How long the controller waits for shards to acknowledge an image.
pub const ACK_WAIT_MS_MAX: u64 = 5_000;

/// The acknowledgement of one image by one listener: `true` once it holds the image, `false` if it is gone.
pub type Published = Pin<Box<dyn Future<Output = bool>>>;

/// Who is told of each new image, such as a shard.
pub trait ImageSink {
    /// Hands the image over; the future ends when the listener works with it.
    fn publish(&self, image: Arc<Image>) -> Published;
}

/// What a controller is made of.
pub struct ControllerParts {
    pub store: Store,
    /// What the store held when it was opened.
    pub image: Image,
    /// What the broker was started with.
    pub settings: Arc<BrokerSettings>,
    /// A new random id at each call.
    pub new_id: Box<dyn FnMut() -> uuid::Uuid + Send>,
}

/// Drives the metadata of a quorum of one.
pub struct Controller {
    store: Store,
    settings: Arc<BrokerSettings>,
    new_id: Box<dyn FnMut() -> uuid::Uuid + Send>,
    image: Arc<Image>,
    shared: Arc<ArcSwap<Image>>,
    requests: mpsc::Receiver<Request>,
    failed: bool,
    ack_wait: Duration,
}

/// A batch as planned: the image after it, its commands, and who waits for it.
struct Batch {
    image: Image,
    commands: Vec<(LogId, Command)>,
    waiting: Vec<PlannedRequest>,
}

impl Controller {
    /// A controller over what `parts.store` holds, and the handle to it.
    pub fn new(parts: ControllerParts) -> (Self, ControllerHandle) {
        let ControllerParts { store, image, settings, new_id } = parts;
        let image = Arc::new(image);
        let shared = Arc::new(ArcSwap::new(Arc::clone(&image)));
        let (sender, requests) = mpsc::channel(QUEUED_REQUESTS_MAX);
        let handle = ControllerHandle { image: Arc::clone(&shared), requests: sender };
        let controller = Self {
            store,
            settings,
            new_id,
            image,
            shared,
            requests,
            failed: false,
            ack_wait: Duration::from_millis(ACK_WAIT_MS_MAX),
        };
        (controller, handle)
    }

    /// Makes a change before anyone listens: what a broker does at its start, before its shards open partitions.
    pub fn submit_at_start<M: Mutation>(
        &mut self,
        mutation: M,
    ) -> Result<Result<M::Outcome, Refusal>, StoreError> {
        let mut inputs = PlanInputs { settings: &self.settings, new_id: &mut *self.new_id };
        let planned = match mutation.plan(&self.image, &mut inputs) {
            Ok(planned) => planned,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut batch = self.batch();
        if let Err(error) = batch.add(&self.image, self.store.term(), planned.commands) {
            return Ok(Err(Refusal::new(Reason::StoreFailed, error.to_string())));
        }
        self.commit(batch)?;
        Ok(Ok(planned.outcome))
    }

    /// Serves requests until every handle is gone or `stop` ends; `sinks` are told of every image.
    pub async fn run(mut self, sinks: Vec<Box<dyn ImageSink>>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut taken = Vec::with_capacity(BATCH_REQUESTS_MAX);
        loop {
            let received = tokio::select! {
                biased;
                () = &mut stop => 0,
                received = self.requests.recv_many(&mut taken, BATCH_REQUESTS_MAX) => received,
            };
            if received == 0 {
                return;
            }
            self.serve(&mut taken, &sinks).await;
        }
    }

    /// Serves one batch of requests with one commit.
    async fn serve(&mut self, taken: &mut Vec<Request>, sinks: &[Box<dyn ImageSink>]) {
        let mut batch = self.batch();
        for request in taken.drain(..) {
            self.plan(&mut batch, request);
        }
        let waiting = std::mem::take(&mut batch.waiting);
        let changed = !batch.commands.is_empty();
        if let Err(error) = self.commit(batch) {
            tracing::error!(%error, "the metadata store failed; no change is accepted until the broker is started anew");
            waiting.into_iter().for_each(|request| (request.answer)(Err(store_failed())));
            return;
        }
        if changed {
            self.publish(sinks).await;
        }
        waiting.into_iter().for_each(|request| (request.answer)(Ok(())));
    }

    fn plan(&mut self, batch: &mut Batch, request: Request) {
        let mut inputs = PlanInputs { settings: &self.settings, new_id: &mut *self.new_id };
        let Some(mut planned) = request(&batch.image, &mut inputs) else { return };
        if self.failed {
            (planned.answer)(Err(store_failed()));
            return;
        }
        let commands = std::mem::take(&mut planned.commands);
        match batch.add(&self.image, self.store.term(), commands) {
            Ok(()) => batch.waiting.push(planned),
            Err(error) => {
                tracing::error!(%error, "a planned change did not fit the metadata");
                (planned.answer)(Err(Refusal::new(Reason::StoreFailed, error.to_string())));
            }
        }
    }

    fn batch(&self) -> Batch {
        Batch { image: (*self.image).clone(), commands: Vec::new(), waiting: Vec::new() }
    }

    /// Makes the batch durable, then visible to new readers of the handle.
    fn commit(&mut self, batch: Batch) -> Result<(), StoreError> {
        if batch.commands.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.store.append(&batch.commands, &batch.image) {
            self.failed = true;
            return Err(error);
        }
        self.image = Arc::new(batch.image);
        self.shared.store(Arc::clone(&self.image));
        Ok(())
    }

    /// Hands the image to every sink and waits until all have it.
    async fn publish(&self, sinks: &[Box<dyn ImageSink>]) {
        let pending: Vec<Published> =
            sinks.iter().map(|sink| sink.publish(Arc::clone(&self.image))).collect();
        let all = async {
            let mut gone = 0;
            for published in pending {
                gone += usize::from(!published.await);
            }
            gone
        };
        match timeout(self.ack_wait, all).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "some shards are gone and were not told of the metadata"),
            Err(_) => tracing::warn!(
                waited_ms = self.ack_wait.as_millis() as u64,
                applied = %self.image.applied(),
                "not every shard took the newest metadata in time"
            ),
        }
    }
}

impl Batch {
    /// Applies the commands of one request to the batch's image: all of them, or none on an error.
    fn add(&mut self, before: &Image, term: u64, commands: Vec<Command>) -> Result<(), ApplyError> {
        let planned = self.commands.len();
        for command in commands {
            let id = LogId { term, index: self.image.applied().index + 1 };
            if let Err(error) = self.image.apply(id, &command) {
                self.commands.truncate(planned);
                self.image = before.clone();
                for (id, command) in &self.commands {
                    self.image.apply(*id, command).expect("these commands applied to this image before");
                }
                return Err(error);
            }
            self.commands.push((id, command));
        }
        Ok(())
    }
}

fn store_failed() -> Refusal {
    Refusal::new(
        Reason::StoreFailed,
        "The metadata store failed; no change can be made until the broker is restarted.",
    )
}

#[cfg(test)]
mod tests;

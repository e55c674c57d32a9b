//! What handlers hold of the controller: the newest image and a bounded queue of requests.
//!
//! Key invariant: nothing here waits for room: a full queue is a refusal that the client may retry. The handle may be
//! used from any executor; the controller's answers wake the asker across threads.

use arc_swap::ArcSwap;
use futures_channel::oneshot;
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::metadata::plan::{Mutation, PlanInputs};
use crate::metadata::{Command, Image, Reason, Refusal};

/// Requests that may wait for the controller; more are refused as busy.
pub const QUEUED_REQUESTS_MAX: usize = 1_024;

/// A planned request: its commands, and what answers it once they are applied or refused.
pub(super) struct PlannedRequest {
    pub commands: Vec<Command>,
    pub answer: Box<dyn FnOnce(Result<(), Refusal>) + Send>,
}

/// A request on its way to the controller; planning consumes it. A refused plan answers at once and is `None`.
pub(super) type Request = Box<dyn FnOnce(&Image, &mut PlanInputs<'_>) -> Option<PlannedRequest> + Send>;

/// Asks the controller for changes and reads the newest image.
#[derive(Clone)]
pub struct ControllerHandle {
    pub(super) image: Arc<ArcSwap<Image>>,
    pub(super) requests: mpsc::Sender<Request>,
}

impl ControllerHandle {
    /// The newest image that is durable. Shards may have it a moment later; they read their own copy.
    pub fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// Makes a change: answers when it is durable and applied on every shard, or says why it was not made.
    pub async fn submit<M: Mutation>(&self, mutation: M) -> Result<M::Outcome, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let request: Request = Box::new(move |image, inputs| match mutation.plan(image, inputs) {
            Ok(planned) => Some(PlannedRequest {
                commands: planned.commands,
                // An asker that went away needs no answer.
                answer: Box::new(move |result| drop(sender.send(result.map(|()| planned.outcome)))),
            }),
            Err(refusal) => {
                drop(sender.send(Err(refusal)));
                None
            }
        });
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Refusal::new(Reason::Busy, "The controller has too many requests in hand; try again.")
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        receiver.await.unwrap_or_else(|_| Err(stopping()))
    }
}

fn stopping() -> Refusal {
    Refusal::new(Reason::Stopping, "The controller is stopping.")
}

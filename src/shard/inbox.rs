//! What the control thread tells a shard, and the bounded queue it travels through.
//!
//! Key invariant: notices are taken in order, one at a time, and each is acknowledged when the shard acts by it.

use std::sync::Arc;

use futures_channel::oneshot;
use tokio::sync::mpsc;

use crate::metadata::Image;

/// Notices that may wait for one shard.
const NOTICES_MAX: usize = 256;

/// Something that a shard must act by.
pub enum Notice {
    /// The metadata changed. Acknowledged when new partitions are open and deleted ones are gone.
    Image { image: Arc<Image>, done: oneshot::Sender<()> },
    /// Stop serving: close connections and logs. Acknowledged when everything is on the device.
    Stop { done: oneshot::Sender<()> },
}

/// The sending end; it may be used from any thread.
#[derive(Clone)]
pub struct ShardInbox {
    sender: mpsc::Sender<Notice>,
}

/// The shard's end.
pub struct Notices {
    receiver: mpsc::Receiver<Notice>,
}

/// Makes the queue to one shard.
pub fn inbox() -> (ShardInbox, Notices) {
    let (sender, receiver) = mpsc::channel(NOTICES_MAX);
    (ShardInbox { sender }, Notices { receiver })
}

impl ShardInbox {
    /// Sends a new image; the receiver resolves when the shard acts by it, or fails when the shard has stopped.
    pub async fn publish(&self, image: Arc<Image>) -> oneshot::Receiver<()> {
        let (done, acknowledged) = oneshot::channel();
        // A closed queue drops `done`, which the receiver reports.
        drop(self.sender.send(Notice::Image { image, done }).await);
        acknowledged
    }

    /// Asks the shard to stop; the receiver resolves when its logs are closed.
    pub async fn stop(&self) -> oneshot::Receiver<()> {
        let (done, acknowledged) = oneshot::channel();
        drop(self.sender.send(Notice::Stop { done }).await);
        acknowledged
    }
}

impl Notices {
    /// The next notice; `None` when the control thread is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        self.receiver.recv().await
    }
}

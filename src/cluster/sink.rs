//! Shards as listeners for images.

use std::sync::Arc;

use super::controller::{ImageSink, Published};
use crate::metadata::Image;
use crate::shard::ShardInbox;

impl ImageSink for ShardInbox {
    fn publish(&self, image: Arc<Image>) -> Published {
        let inbox = self.clone();
        Box::pin(async move {
            let acknowledged = inbox.publish(image).await;
            acknowledged.await.is_ok()
        })
    }
}

//! The topics of the coordinators: created when they are first needed.
//!
//! Key invariant: an internal topic exists only as its coordinator wants it.

use std::rc::Rc;
use std::sync::Arc;

use super::{Server, errors};
use crate::metadata::TopicImage;
use crate::metadata::plan::CreateInternalTopic;
use crate::model::{PartitionIndex, TopicPartition};
use crate::protocol::ErrorCode;

/// The internal topic of this name, created if it is not there. Its partitions are open when this made it.
pub async fn ensure(server: &Rc<Server>, name: &'static str) -> Result<Arc<TopicImage>, ErrorCode> {
    if let Some(topic) = server.shard().image().topic(name) {
        return Ok(topic.clone());
    }
    server.controller().submit(CreateInternalTopic { name }).await.map_err(|refusal| {
        let (code, message) = errors::of_refusal(&refusal);
        tracing::warn!("{name} is not created: {}", message.unwrap_or(code.message()));
        ErrorCode::CoordinatorNotAvailable
    })
}

/// Whether a partition serves, wherever it is.
pub async fn is_open(server: &Rc<Server>, topic: &TopicImage, partition: PartitionIndex) -> bool {
    let id = TopicPartition { topic_id: topic.id, partition };
    let owner = server.shard().owner_of(id);
    let open = server.shard().on(owner, move |owner| async move { owner.table().partition(id).is_ok() });
    open.await.unwrap_or(false)
}

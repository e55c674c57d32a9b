//! Loads a share partition: its state from the share coordinator; where a group without state begins, from its settings.
//!
//! Key invariant: a share partition serves only if its state is initialized at the share coordinator, which the group's
//! coordinator sees to before it assigns the partition.

use std::rc::Rc;
use std::time::Duration;

use super::{Place, ShareError, Slot};
use crate::config::group_text;
use crate::coordinator::GroupError;
use crate::coordinator::share::{OffsetReset, SharePartition, SharePartitionKey};
use crate::metadata::ConfigResource;
use crate::model::{Offset, TimestampMs};
use crate::partition::{OffsetQuery, Partition, PartitionError};
use crate::shard::Shard;

/// How long a failure is told to those who ask.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// Loads, and lets those know who wait for it.
pub(super) async fn load(shard: Rc<Shard>, key: SharePartitionKey, partition: Rc<Partition>) {
    let loaded = loaded(&shard, &key, &partition).await;
    let slot = match loaded {
        Ok(place) => Slot::Ready(place),
        Err(error) => {
            tracing::debug!("share partition {} is not available: {error}", key.coordinator_key());
            Slot::Failed(error)
        }
    };
    let ready = match &slot {
        Slot::Ready(place) => Some(place.clone()),
        _ => None,
    };
    let slots = &shard.coordinators().shares().by_key;
    slots.borrow_mut().insert(key.clone(), slot);
    partition.disturb();
    match ready {
        Some(place) => shard.write_share(&place),
        // Anybody can ask for groups that are not there: what is known of them does not stay.
        None => {
            glommio::timer::sleep(FAILURE_KEPT).await;
            let mut slots = slots.borrow_mut();
            if matches!(slots.get(&key), Some(Slot::Failed(_))) {
                slots.remove(&key);
            }
        }
    }
}

async fn loaded(
    shard: &Rc<Shard>,
    key: &SharePartitionKey,
    partition: &Rc<Partition>,
) -> Result<Rc<Place>, ShareError> {
    let (asked, epoch) = (key.clone(), partition.leader_epoch());
    let read = shard.share_states(key, move |states, _, actions| states.read(&asked, epoch, actions)).await?;
    if read.state_epoch == 0 && read.start == Offset::NONE {
        return Err(GroupError::UnknownTopicOrPartition.into());
    }
    let bounds = partition.bounds();
    let start = match read.start {
        Offset::NONE => first_offset(shard, key, partition).await?,
        start => start,
    };
    let mut state = SharePartition::load(&read, start, epoch.get());
    state.on_log_start(bounds.log_start);
    Ok(Place::new(key.clone(), partition.clone(), state))
}

/// Where a group without state begins: `share.auto.offset.reset`.
async fn first_offset(
    shard: &Rc<Shard>,
    key: &SharePartitionKey,
    partition: &Rc<Partition>,
) -> Result<Offset, PartitionError> {
    let image = shard.image();
    let own = image.config(&ConfigResource::Group(key.group.as_str().to_owned()));
    let reset = group_text("share.auto.offset.reset", own, &shard.settings()).unwrap_or_default();
    let bounds = partition.bounds();
    let ms = match OffsetReset::parse(&reset) {
        OffsetReset::Earliest => return Ok(bounds.log_start),
        OffsetReset::Latest => return Ok(bounds.high_watermark),
        OffsetReset::ByDuration { ms } => ms,
    };
    let since = TimestampMs(shard.now().get().saturating_sub(ms).max(0));
    let found = partition.find_offset(OffsetQuery::AtTime(since)).await?;
    Ok(if found.offset == Offset::NONE { bounds.high_watermark } else { found.offset })
}

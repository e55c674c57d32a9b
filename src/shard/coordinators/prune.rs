//! Keeps the partitions of `__share_group_state` short: states are written anew, and what lies before that is deleted.
//!
//! Key invariant: records are deleted only when a snapshot of every state follows them durably. Kafka deletes up to the oldest
//! snapshot that is still needed; here none is, so a state that never changes holds nothing up.

use std::ops::Bound;
use std::rc::Rc;

use super::host::Host;
use crate::coordinator::share::{SharePartitionKey, ShareStates};
use crate::partition::PartitionError;
use crate::shard::Shard;

/// Fewer records than this are left alone.
const RECORDS_MIN: i64 = 20_000;
/// For each state there may be so many records.
const RECORDS_PER_STATE: i64 = 10;
/// States that are written in one go.
const STATES_PER_BATCH: usize = 64;

impl Shard {
    /// Begins to shorten the first partition of share states that has grown long, unless one is under way.
    pub(super) fn begin_pruning(self: &Rc<Self>) {
        let pruning = &self.coordinators().pruning;
        if pruning.get() {
            return;
        }
        let long = self.coordinators().share_states.ready().into_iter().find(|host| {
            let bounds = host.partition().bounds();
            let (states, _) = host.look(self, |states, _| states.len());
            let allowed = RECORDS_MIN.max((states as i64).saturating_mul(RECORDS_PER_STATE));
            bounds.high_watermark.since(bounds.log_start) > allowed
        });
        let Some(host) = long else { return };
        pruning.set(true);
        let shard = self.clone();
        glommio::spawn_local(async move {
            if let Err(error) = shard.prune(&host).await {
                tracing::warn!("the share states of {:?} are not shortened: {error}", host.partition().id());
            }
            shard.coordinators().pruning.set(false);
        })
        .detach();
    }

    async fn prune(self: &Rc<Self>, host: &Rc<Host<ShareStates>>) -> Result<(), PartitionError> {
        let before = host.partition().log().log_end_offset();
        let mut after: Bound<SharePartitionKey> = Bound::Unbounded;
        loop {
            let from = after.clone();
            let written =
                host.run(self, |states, _, actions| states.snapshot(from, STATES_PER_BATCH, actions));
            // One that cannot be written is loaded anew; then it is somebody else's.
            let Ok((last, due)) = written else { return Ok(()) };
            if host.durable(self, due).await.is_err() {
                return Ok(());
            }
            match last {
                Some(last) => after = Bound::Excluded(last),
                None => break,
            }
        }
        host.partition().delete_records(before).await.map(drop)
    }
}

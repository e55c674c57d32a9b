//! Carries writes of share partitions to the share coordinator.
//!
//! Key invariant: one write of a share partition is under way at a time, so that they arrive in their order; it is tried again
//! while the coordinator is on its way up, and then given up: its acknowledgements failed, and the records are their members'
//! again.

use std::rc::Rc;

use super::{Place, Shard};
use crate::coordinator::GroupError;
use crate::coordinator::share::Write;

impl Shard {
    /// Begins to write what is to be written, unless that is under way.
    pub(super) fn write_share(self: &Rc<Self>, place: &Rc<Place>) {
        if place.writing.get() {
            return;
        }
        let Some(first) = place.state.borrow_mut().take_write() else { return };
        place.writing.set(true);
        let (shard, place) = (self.clone(), place.clone());
        glommio::spawn_local(async move {
            let mut next = Some(first);
            while let Some(write) = next {
                let written = shard.write_states(&place, write).await;
                shard.settle_write(&place, &written);
                next = place.state.borrow_mut().take_write();
            }
            place.writing.set(false);
        })
        .detach();
    }

    async fn write_states(self: &Rc<Self>, place: &Place, write: Write) -> Result<(), GroupError> {
        let key = place.key.clone();
        let written = self.share_states(&place.key, move |states, turn, actions| {
            let updates_max = turn.settings.share.updates_per_snapshot;
            states.write(&key, &write, (turn.now, updates_max), actions)
        });
        written.await
    }

    fn settle_write(self: &Rc<Self>, place: &Rc<Place>, written: &Result<(), GroupError>) {
        let changes = place.state.borrow_mut().on_written(written.is_ok());
        for change in changes {
            if let Some(waiting) = place.waiting.borrow_mut().remove(&change) {
                // Whoever asked may have gone away.
                let _ = waiting.send(written.clone());
            }
        }
        if let Err(error) = written {
            tracing::warn!(
                "the state of share partition {} is not written: {error}",
                place.key.coordinator_key()
            );
            if !error.may_pass() {
                self.forget_share(&place.key, Some(place));
            }
        }
        self.watch_locks(place);
        place.wake();
    }
}

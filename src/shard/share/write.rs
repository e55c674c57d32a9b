//! Carries writes of share partitions to the share coordinator.
//!
//! Key invariant: one write of a share partition is under way at a time, so that they arrive in their order; it is tried again
//! while the coordinator is on its way up, and then given up: its acknowledgements failed, and the records are their members'
//! again.

use std::rc::Rc;
use std::time::Duration;

use super::{Place, Shard};
use crate::coordinator::GroupError;
use crate::coordinator::share::Write;

/// How often a write is tried.
pub(super) const TRIES_MAX: u32 = 5;
/// The first pause between two tries; each further one is twice as long.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(50);

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
                let written = shard.write_until_known(&place, write).await;
                shard.settle_write(&place, &written);
                next = place.state.borrow_mut().take_write();
            }
            place.writing.set(false);
        })
        .detach();
    }

    async fn write_until_known(self: &Rc<Self>, place: &Place, write: Write) -> Result<(), GroupError> {
        let mut pause = PAUSE_FIRST;
        for _ in 1..TRIES_MAX {
            match self.write_once(place, write.clone()).await {
                Err(error) if may_pass(&error) => {
                    glommio::timer::sleep(pause).await;
                    pause *= 2;
                }
                known => return known,
            }
        }
        self.write_once(place, write).await
    }

    async fn write_once(self: &Rc<Self>, place: &Place, write: Write) -> Result<(), GroupError> {
        let key = place.key.clone();
        self.share_states(&place.key, move |states, turn, actions| {
            let updates_max = turn.settings.share.updates_per_snapshot;
            states.write(&key, &write, (turn.now, updates_max), actions)
        })
        .await
        .and_then(|written| written)
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
            if !may_pass(error) {
                self.forget_share(&place.key, Some(place));
            }
        }
        self.watch_locks(place);
        place.wake();
    }
}

/// Whether another try may find the coordinator up.
pub(super) fn may_pass(error: &GroupError) -> bool {
    matches!(error, GroupError::NotCoordinator | GroupError::LoadInProgress | GroupError::NotAvailable(_))
}

//! Reading ahead for whoever reads a log from the device in order.
//!
//! Key invariant: at most `AHEAD_MAX` windows are held or under way on a shard, each used at most once; the one asked for
//! longest ago is given up. A window is bytes that were durable when it was read; truncation gives up all of its log's.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use futures_channel::oneshot;

use super::error::StorageError;
use super::log::Log;
use super::read::Place;
use super::recent::{Recent, SegmentKey};
use crate::io::IoClass;
use crate::model::Offset;

/// Windows held or under way.
const AHEAD_MAX: usize = 16;

/// A window on its way: the bytes of `segment` from `position`.
struct Ahead {
    segment: Offset,
    position: u64,
    bytes: RefCell<Option<oneshot::Receiver<Bytes>>>,
}

/// The windows that a shard reads ahead, by the log and the offset that they begin at.
pub(super) struct ReadAhead {
    windows: RefCell<Recent<Ahead>>,
}

impl ReadAhead {
    pub(super) fn new() -> Self {
        Self { windows: RefCell::new(Recent::new(AHEAD_MAX)) }
    }

    /// Gives up what is read ahead of a log.
    pub(super) fn forget_log(&self, number: u64) {
        self.windows.borrow_mut().take(|key| key.0 == number);
    }

    fn take(&self, key: SegmentKey) -> Option<Rc<Ahead>> {
        self.windows.borrow_mut().take(|kept| kept == key).pop()
    }
}

impl Log {
    /// The bytes that were read ahead for `from`, with the place they are at, if someone did.
    pub(super) async fn read_ahead_for(&self, from: Offset) -> Option<(Place, Bytes)> {
        let ahead = self.store.read_ahead().take((self.number, from))?;
        let receiver = ahead.bytes.borrow_mut().take()?;
        // A failed read ahead is no failure: the reader reads for itself.
        let bytes = receiver.await.ok()?;
        let place = self.place_at(ahead.segment, ahead.position)?;
        Some((place, bytes))
    }

    /// Begins to read what follows `place`, where the batch at `next` begins.
    pub(super) fn begin_read_ahead(self: &Rc<Self>, next: Offset, place: Place, wanted: u64) {
        if place.position >= place.size {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        let ahead =
            Ahead { segment: place.segment, position: place.position, bytes: RefCell::new(Some(receiver)) };
        self.store.read_ahead().windows.borrow_mut().put((self.number, next), Rc::new(ahead));
        let log = self.clone();
        glommio::spawn_local(async move {
            match log.window(&place, place.position, wanted, IoClass::ColdRead).await {
                // Given up meanwhile: nobody takes it.
                Ok(bytes) => drop(sender.send(bytes)),
                Err(StorageError::OutOfRange { .. } | StorageError::Closed) => {}
                Err(error) => tracing::debug!(log = %log.directory.display(), %error, "reading ahead"),
            }
        })
        .detach();
    }
}

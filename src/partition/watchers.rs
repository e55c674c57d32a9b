//! Who waits for a partition's high watermark to pass an offset.
//!
//! Key invariant: a watcher is told at most once, and is gone from the partition when it has been told or taken back;
//! so what is held is bounded by the fetches that wait. The wait itself belongs to the shard of the connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use slab::Slab;

use crate::model::Offset;

/// Tells one waiting fetch, once, that one of its partitions has something new.
pub struct Alarm {
    ring: RefCell<Option<Box<dyn FnOnce()>>>,
    rung: Cell<bool>,
}

impl Alarm {
    /// An alarm that calls `ring` when the first of its partitions has news.
    pub fn new(ring: impl FnOnce() + 'static) -> Rc<Self> {
        Rc::new(Self { ring: RefCell::new(Some(Box::new(ring))), rung: Cell::new(false) })
    }

    /// Rings unless it has rung.
    pub fn ring(&self) {
        self.rung.set(true);
        if let Some(ring) = self.ring.take() {
            ring();
        }
    }

    /// Whether it has rung.
    pub fn has_rung(&self) -> bool {
        self.rung.get()
    }
}

/// The watchers of one partition.
#[derive(Default)]
pub struct Watchers {
    waiting: RefCell<Slab<(Offset, Rc<Alarm>)>>,
}

/// Which watcher of a partition; valid until it is taken back, even after it rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherKey(usize);

impl Watchers {
    /// Rings `alarm` when the high watermark passes `offset`.
    pub fn add(&self, offset: Offset, alarm: Rc<Alarm>) -> WatcherKey {
        WatcherKey(self.waiting.borrow_mut().insert((offset, alarm)))
    }

    /// Takes a watcher back.
    pub fn remove(&self, key: WatcherKey) {
        self.waiting.borrow_mut().try_remove(key.0);
    }

    /// The high watermark is now `high_watermark`.
    pub fn advanced(&self, high_watermark: Offset) {
        self.ring_where(|offset| offset < high_watermark);
    }

    /// Something happened that every waiting fetch must see: truncation, deletion, a failed disk.
    pub fn disturbed(&self) {
        self.ring_where(|_| true);
    }

    fn ring_where(&self, concerned: impl Fn(Offset) -> bool) {
        // Rung alarms stay until their owner takes them back, so that keys stay theirs.
        let alarms: Vec<Rc<Alarm>> = {
            let waiting = self.waiting.borrow();
            let due = waiting.iter().filter(|(_, (offset, alarm))| concerned(*offset) && !alarm.has_rung());
            due.map(|(_, (_, alarm))| alarm.clone()).collect()
        };
        for alarm in alarms {
            alarm.ring();
        }
    }

    /// How many watchers there are.
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rings_once_and_only_beyond_its_offset() {
        let rung = Rc::new(Cell::new(0));
        let (watchers, count) = (Watchers::default(), rung.clone());
        let alarm = Alarm::new(move || count.set(count.get() + 1));
        let key = watchers.add(Offset(5), alarm);
        watchers.advanced(Offset(5));
        assert_eq!(rung.get(), 0);
        watchers.advanced(Offset(6));
        watchers.advanced(Offset(7));
        watchers.disturbed();
        assert_eq!(rung.get(), 1);
        watchers.remove(key);
        assert!(watchers.is_empty());
    }
}

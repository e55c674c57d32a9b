//! What happens to one log between a start and a crash, drawn from the seed.
//!
//! Key invariant: what is known is noted before the log could show it, and after the log has said it.

use std::rc::Rc;

use super::known::Known;
use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::BatchHeader;
use crate::storage::testing::{Opened, batch};
use crate::storage::tests::invariants::Written;
use crate::storage::{ReadLimit, StorageError};

/// A log as long as one start lasts.
pub(super) struct Life {
    pub device: Rc<Simulated>,
    pub known: Rc<Known>,
    pub opened: Rc<Opened>,
}

impl Life {
    pub fn append(&self) {
        let serial = self.known.serials.get() + 1;
        self.known.serials.set(serial);
        let payload = match self.device.choose(10) {
            0 => self.device.choose(24_000),
            1..4 => self.device.choose(6_000),
            _ => self.device.choose(300),
        };
        let records = 1 + self.device.choose(4) as i32;
        let base = self.opened.log.log_end_offset().0;
        let bytes = batch(base, records, payload as usize, serial);
        let epoch = LeaderEpoch((serial / 50) as i32);
        match self.opened.log.append(&bytes, epoch, TimestampMs(serial)) {
            Ok(appended) => {
                assert_eq!(appended.base_offset.0, base);
                let next = base + i64::from(records);
                self.known.batches.borrow_mut().push(Written { base, next, serial });
                if self.known.retaining.get() {
                    self.known.start_asked.set(self.known.start_asked.get().max(next));
                }
                self.opened.observed.batches.set(self.opened.observed.batches.get() + 1);
            }
            Err(StorageError::Poisoned(_)) => assert!(self.opened.observed.poisoned.get()),
            // Deleted, and not created again before the power went.
            Err(StorageError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for durability, as a produce request does; a failure is an answer too.
    fn wait_in_background(&self) {
        let (known, opened) = (self.known.clone(), self.opened.clone());
        let end = opened.log.log_end_offset();
        known.begin();
        glommio::spawn_local(async move {
            if opened.log.wait_durable(end).await.is_ok() {
                known.acknowledge(end.0);
            }
            known.end();
        })
        .detach();
    }

    fn delete_records_in_background(&self) {
        let (known, opened) = (self.known.clone(), self.opened.clone());
        let (start, end) = (opened.log.log_start_offset().0, opened.log.durable_end_offset().0);
        let target = start + self.device.choose((end - start + 1) as u64) as i64;
        known.start_asked.set(known.start_asked.get().max(target));
        known.begin();
        glommio::spawn_local(async move {
            if opened.log.advance_log_start(Offset(target)).await.is_ok() {
                known.start_confirmed.set(known.start_confirmed.get().max(target));
            }
            known.end();
        })
        .detach();
    }

    fn retain_in_background(&self) {
        let (known, opened) = (self.known.clone(), self.opened.clone());
        known.retaining.set(true);
        known.start_asked.set(opened.log.log_end_offset().0.max(known.start_asked.get()));
        known.begin();
        glommio::spawn_local(async move {
            if opened.log.apply_retention(TimestampMs(0)).await.is_ok() {
                known.start_confirmed.set(opened.log.log_start_offset().0);
            }
            known.end();
        })
        .detach();
    }

    /// Cuts the log's end; nothing else may go on meanwhile.
    async fn truncate(&self) {
        // Whoever was answered has taken note before anything is given up.
        let settled = self.opened.log.wait_durable(self.opened.log.log_end_offset()).await;
        while self.known.busy.get() > 0 {
            futures_lite::future::yield_now().await;
        }
        if settled.is_err() {
            return;
        }
        let (start, end) = (self.opened.log.log_start_offset().0, self.opened.log.log_end_offset().0);
        let target = start + self.device.choose((end - start + 1) as u64) as i64;
        let cut =
            self.known.batches.borrow().iter().rev().find(|b| b.base <= target).map_or(start, |b| b.base);
        if target == end {
            return;
        }
        self.known.give_up(cut);
        if cut < start {
            self.known.producers_forgotten.set(true);
        }
        if let Ok(end) = self.opened.log.truncate_to(Offset(target)).await {
            self.known.batches.borrow_mut().retain(|batch| batch.next <= end.0);
            if cut < start {
                self.known.batches.borrow_mut().clear();
            }
            let left = self.known.batches.borrow().len() as u64;
            self.opened.observed.batches.set(left);
            self.opened.observed.durable.set(end.0);
            self.opened.log.producers_rebuilt();
        }
    }

    /// Reads in the middle of everything; the records may be deleted meanwhile.
    async fn read(&self) {
        let log = &self.opened.log;
        let (start, end) = (log.log_start_offset().0, log.durable_end_offset().0);
        let from = start + self.device.choose((end - start + 1) as u64) as i64;
        let limit = ReadLimit { end: Offset(end), bytes_max: 5_000, at_least_one: true };
        match log.read(Offset(from), limit).await {
            Ok(slices) if slices.is_empty() => assert_eq!(from, end),
            Ok(slices) => {
                let header = BatchHeader::parse_whole(&slices.bytes[0]).expect("a whole batch");
                header.check_crc(&slices.bytes[0]).expect("an intact batch");
                assert!(header.base_offset.0 <= from && from < header.next_offset().0);
            }
            Err(StorageError::OutOfRange { .. }) => assert!(from < log.log_start_offset().0),
            // What a failed cut left nobody knows before the next start.
            Err(_) if log.state.borrow().end_unsettled => assert!(log.is_poisoned()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn step(&self) {
        match self.device.choose(100) {
            0..55 => self.append(),
            55..75 => self.wait_in_background(),
            75..90 => {
                for _ in 0..self.device.choose(30) {
                    futures_lite::future::yield_now().await;
                }
            }
            90..93 => self.delete_records_in_background(),
            93..95 => self.retain_in_background(),
            95 => {
                self.opened.log.roll_if_due(TimestampMs(i64::MAX));
            }
            96 => self.truncate().await,
            97 => self.read().await,
            98 => self.opened.log.age_spares(),
            _ => {
                let log = &self.opened.log;
                log.start_epoch(LeaderEpoch((self.known.serials.get() / 50) as i32));
            }
        }
    }
}

//! A simulated device under the store: it keeps what was flushed and, after a power loss, any part of what was not.
//!
//! Key invariant: a sector of 512 bytes is written whole or not at all; nothing else is promised before a flush.

use redb::StorageBackend;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

const SECTOR_BYTES: usize = 512;

/// What is on the device, and what only its cache holds.
#[derive(Clone, Debug, Default)]
struct Content {
    flushed: Vec<u8>,
    current: Vec<u8>,
    /// Sectors that changed since the last flush, by number.
    dirty: BTreeSet<usize>,
    fails: bool,
}

/// The device; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Device(Arc<Mutex<Content>>);

impl Device {
    /// From now on writes and flushes fail.
    pub fn fail(&self) {
        self.lock().fails = true;
    }

    /// The device after a power loss: of the unflushed sectors those that `keep` says survive.
    pub fn after_power_loss(&self, mut keep: impl FnMut() -> bool) -> Self {
        let content = self.lock().clone();
        let mut bytes = content.flushed;
        bytes.resize(content.current.len().max(bytes.len()), 0);
        for sector in content.dirty.iter().filter(|_| keep()) {
            let range = sector * SECTOR_BYTES..content.current.len().min((sector + 1) * SECTOR_BYTES);
            if !range.is_empty() {
                bytes[range.clone()].copy_from_slice(&content.current[range]);
            }
        }
        let survived = Content { flushed: bytes.clone(), current: bytes, ..Content::default() };
        Self(Arc::new(Mutex::new(survived)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        self.0.lock().expect("no holder panics")
    }
}

impl Content {
    fn check(&self) -> io::Result<()> {
        if self.fails { Err(io::Error::other("the simulated device failed")) } else { Ok(()) }
    }
}

impl StorageBackend for Device {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let content = self.lock();
        let bytes = content.current.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.lock();
        content.check()?;
        content.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.lock();
        content.check()?;
        content.flushed = content.current.clone();
        content.dirty.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.lock();
        content.check()?;
        let at = offset as usize;
        content.current[at..at + data.len()].copy_from_slice(data);
        let sectors = at / SECTOR_BYTES..=(at + data.len().max(1) - 1) / SECTOR_BYTES;
        content.dirty.extend(sectors);
        Ok(())
    }
}

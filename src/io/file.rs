//! One file under direct I/O.
//!
//! Key invariant: a write through [`Access::Durable`] that returned `Ok` is whole and on the device (`O_DSYNC`); a short
//! write is an error. Positions and lengths of writes and reads are whole blocks; callers see to that.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use glommio::io::{DmaBuffer, DmaFile};

use super::classes::IoClass;
use super::disk::Disk;
use super::foreign::Foreign;
use super::memory::BLOCK_BYTES;
use super::scheduler::Place;
use super::simulated::SimulatedFile;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading a file that exists.
    Read,
    /// Reading and writing, created if absent; each write is durable when it completes.
    Durable,
}

/// Block-aligned memory for one write, with its place among those in flight; what it holds at first is unspecified.
pub struct WriteBuffer {
    memory: DmaBuffer,
    _place: Place,
}

impl WriteBuffer {
    pub(super) fn new(memory: DmaBuffer, place: Place) -> Self {
        Self { memory, _place: place }
    }

    /// The bytes to fill.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.memory.as_bytes_mut()
    }

    /// Bytes that will be written.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }
}

/// What a file is, behind one face.
pub(super) enum Inner {
    Direct(DmaFile),
    Simulated(SimulatedFile),
}

/// An open file of one shard.
pub struct File {
    disk: Rc<Disk>,
    inner: Inner,
}

impl File {
    pub(super) fn new(disk: Rc<Disk>, inner: Inner) -> Self {
        Self { disk, inner }
    }

    /// Writes the whole buffer at `position`.
    pub async fn write_at(&self, buffer: WriteBuffer, position: u64) -> io::Result<()> {
        debug_assert!(
            position.is_multiple_of(BLOCK_BYTES) && (buffer.len() as u64).is_multiple_of(BLOCK_BYTES)
        );
        let expected = buffer.len();
        let WriteBuffer { memory, _place } = buffer;
        let written = match &self.inner {
            Inner::Direct(file) => file.write_at(memory, position).await.map_err(io::Error::from)?,
            Inner::Simulated(file) => file.write_at(memory.as_bytes(), position).await?,
        };
        whole(written, expected)
    }

    /// Writes `bytes` bytes at `position` from where they lie, once there is a place among the operations of `class` in
    /// flight. `gather` says then where that is: parts that begin at a block's start in memory and are whole blocks long.
    pub async fn write_gathered(
        &self,
        position: u64,
        bytes: usize,
        class: IoClass,
        gather: impl FnOnce() -> Vec<Bytes>,
    ) -> io::Result<()> {
        let _place = self.disk.admit(class, bytes).await;
        let parts = gather();
        debug_assert!(parts.iter().all(|part| {
            (part.as_ptr() as u64).is_multiple_of(BLOCK_BYTES)
                && (part.len() as u64).is_multiple_of(BLOCK_BYTES)
        }));
        debug_assert!(position.is_multiple_of(BLOCK_BYTES));
        debug_assert_eq!(parts.iter().map(Bytes::len).sum::<usize>(), bytes);
        let written = match &self.inner {
            Inner::Direct(file) => file.write_gathered_at(parts, position).await.map_err(io::Error::from)?,
            Inner::Simulated(file) => file.write_at(&parts.concat(), position).await?,
        };
        whole(written, bytes)
    }

    /// Reads `length` bytes at `position`, once there is a place among those of its class in flight; fewer at the end of
    /// the file.
    pub async fn read_at(&self, position: u64, length: usize, class: IoClass) -> io::Result<Bytes> {
        debug_assert!(position.is_multiple_of(BLOCK_BYTES) && (length as u64).is_multiple_of(BLOCK_BYTES));
        self.disk.home().drain();
        let _place = self.disk.admit(class, length).await;
        match &self.inner {
            Inner::Direct(file) => {
                let read = file.read_at_aligned(position, length).await.map_err(io::Error::from)?;
                Ok(Bytes::from_owner(Foreign::new(self.disk.home(), read)))
            }
            Inner::Simulated(file) => file.read_at(position, length).await,
        }
    }

    /// Reserves space so that the file is `size` bytes long, zeros at its end. Not supported everywhere.
    pub async fn preallocate(&self, size: u64) -> io::Result<()> {
        match &self.inner {
            Inner::Direct(file) => file.pre_allocate(size, false).await.map_err(io::Error::from),
            Inner::Simulated(file) => file.preallocate(size),
        }
    }

    /// Cuts or extends the file to `size` bytes, durably.
    pub async fn truncate(&self, size: u64) -> io::Result<()> {
        match &self.inner {
            Inner::Direct(file) => {
                file.truncate(size).await.map_err(io::Error::from)?;
                file.fdatasync().await.map_err(io::Error::from)
            }
            Inner::Simulated(file) => file.truncate(size).await,
        }
    }

    /// The file's length in bytes.
    pub async fn size(&self) -> io::Result<u64> {
        match &self.inner {
            Inner::Direct(file) => file.file_size().await.map_err(io::Error::from),
            Inner::Simulated(file) => file.size(),
        }
    }

    /// Closes the file, if this is the last reference to it.
    pub async fn close(self: Rc<Self>) -> io::Result<()> {
        match Rc::try_unwrap(self) {
            Ok(Self { inner: Inner::Direct(file), .. }) => file.close().await.map_err(io::Error::from),
            _ => Ok(()),
        }
    }
}

/// A short write is an error.
fn whole(written: usize, expected: usize) -> io::Result<()> {
    if written == expected {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::WriteZero, format!("wrote {written} of {expected} bytes")))
}

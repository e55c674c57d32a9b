//! What fails on a simulated disk because a test asked for it.
//!
//! Key invariant: nothing fails that no test asked for, and asking draws nothing from the seed. A crash ends all of it.

use std::io;
use std::path::Path;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device cannot do it (`EIO`).
    Device,
    /// The file system has no room (`ENOSPC`): [`io::ErrorKind::StorageFull`].
    StorageFull,
}

impl Failure {
    /// The error as the kernel would report it.
    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Device => libc::EIO,
            Self::StorageFull => libc::ENOSPC,
        })
    }
}

/// Which files an operation fails on, and how.
struct Fault {
    hits: Box<dyn Fn(&Path) -> bool>,
    failure: Failure,
}

impl Fault {
    fn on(&self, path: &Path) -> Option<Failure> {
        (self.hits)(path).then_some(self.failure)
    }
}

/// All that fails now.
#[derive(Default)]
pub(super) struct Faults {
    /// Direct writes that still succeed before all fail; `None`: no end.
    writes_left: Option<u64>,
    writes: Option<Fault>,
    /// A direct write that fails takes its time before.
    late: bool,
    reads: Option<Fault>,
}

impl Faults {
    pub(super) fn fail_writes_after(&mut self, writes: u64) {
        self.writes_left = Some(writes);
    }

    pub(super) fn fail_writes_to(&mut self, hits: Box<dyn Fn(&Path) -> bool>, failure: Failure, late: bool) {
        self.writes = Some(Fault { hits, failure });
        self.late = late;
    }

    pub(super) fn are_late(&self) -> bool {
        self.late
    }

    pub(super) fn fail_reads_to(&mut self, hits: Box<dyn Fn(&Path) -> bool>, failure: Failure) {
        self.reads = Some(Fault { hits, failure });
    }

    /// A direct write begins.
    pub(super) fn on_write(&mut self, path: &Path) -> Option<Failure> {
        match &mut self.writes_left {
            Some(0) => return Some(Failure::Device),
            Some(left) => *left -= 1,
            None => {}
        }
        self.writes.as_ref()?.on(path)
    }

    /// Something else is about to change or take room: a reservation, a cut, a small file, a directory.
    pub(super) fn on_change(&self, path: &Path) -> io::Result<()> {
        fail(self.writes.as_ref(), path)
    }

    /// Something is about to be read.
    pub(super) fn on_read(&self, path: &Path) -> io::Result<()> {
        fail(self.reads.as_ref(), path)
    }
}

fn fail(fault: Option<&Fault>, path: &Path) -> io::Result<()> {
    match fault.and_then(|fault| fault.on(path)) {
        Some(failure) => Err(failure.error()),
        None => Ok(()),
    }
}

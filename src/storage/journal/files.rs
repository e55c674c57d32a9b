//! The files of a shard's journal, as this start of the broker writes them.
//!
//! A file is written with zeros before it is used: overwriting written blocks needs nothing of the file system's own
//! journal. The first file is small, so that a start waits for little; larger ones follow when they are needed.
//!
//! Key invariant: a file is in the ring only when all of it, header and zeros, is on the device. Files of earlier starts are
//! never written.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::group::GroupId;
use super::header::FileHeader;
use super::layout::GROUP_ALIGN_BYTES;
use super::load::{FileName, JOURNAL_DIRECTORY};
use super::manifest::{LogRecord, Manifest};
use crate::io::{Access, BACKGROUND_WRITE_BYTES, Disk, File, IoClass};

/// Bytes of one write when the first file is made, which the start of the broker waits for and nobody else.
const FIRST_WRITE_BYTES: u64 = 1 << 20;

/// Which journal this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalIdentity {
    /// A random number, so that no bytes of a client can pass for one of its groups.
    pub journal: u64,
    /// The start of the broker, one more than any before.
    pub incarnation: u64,
    pub shard: u16,
}

/// See the module.
pub struct RingFiles {
    disk: Rc<Disk>,
    directory: PathBuf,
    identity: JournalIdentity,
    files: RefCell<Vec<Rc<File>>>,
    growing: Cell<bool>,
    closed: Cell<bool>,
}

impl RingFiles {
    /// The journal's directory with no file in it yet.
    pub async fn create(disk: Rc<Disk>, identity: JournalIdentity) -> io::Result<Self> {
        let directory = disk.directory().join(JOURNAL_DIRECTORY);
        disk.create_directory(&directory).await?;
        let (growing, closed) = (Cell::new(false), Cell::new(false));
        Ok(Self { disk, directory, identity, files: RefCell::default(), growing, closed })
    }

    /// Makes a file of `bytes`, which are whole blocks; it is then the last one.
    pub async fn add(&self, bytes: u64) -> io::Result<()> {
        debug_assert!(bytes.is_multiple_of(GROUP_ALIGN_BYTES as u64));
        if self.closed.get() {
            // Its number would be that of a file that is still needed.
            return Err(io::Error::other("the journal is closed"));
        }
        let JournalIdentity { journal, incarnation, shard } = self.identity;
        let number = self.files.borrow().len() as u16;
        let path = self.directory.join(FileName::Journal { incarnation, shard, number }.to_string());
        let file = self.disk.open_file(&path, Access::Durable).await?;
        // Where that is not supported the zeros reserve the space.
        let _ = file.preallocate(bytes).await;
        let header = FileHeader { journal, incarnation, shard, number }.encode();
        let write_bytes = if number == 0 { FIRST_WRITE_BYTES } else { BACKGROUND_WRITE_BYTES };
        let mut at = 0;
        while at < bytes {
            let to = bytes.min(at + write_bytes);
            let mut buffer = self.disk.write_buffer((to - at) as usize, IoClass::Bypass).await?;
            buffer.as_mut_slice().fill(0);
            if at == 0 {
                buffer.as_mut_slice()[..header.len()].copy_from_slice(&header);
            }
            file.write_at(buffer, at).await?;
            at = to;
        }
        self.disk.sync_directory(&self.directory).await?;
        self.files.borrow_mut().push(file);
        Ok(())
    }

    /// The file of this number; none once they are closed.
    pub fn file(&self, number: usize) -> Option<Rc<File>> {
        self.files.borrow().get(number).filter(|_| !self.closed.get()).cloned()
    }

    /// Whether a file is being made; true from now on if none was.
    pub fn begin_growing(&self) -> bool {
        !self.growing.replace(true)
    }

    /// No file is being made any more.
    pub fn end_growing(&self) {
        self.growing.set(false);
    }

    /// Names a group.
    pub fn group_id(&self, sequence: u64, previous_crc: u32, overlaps: bool) -> GroupId {
        let JournalIdentity { journal, incarnation, .. } = self.identity;
        GroupId { journal, incarnation, sequence, previous_crc, overlaps }
    }

    /// The manifest of a checkpoint.
    pub fn manifest(&self, from_sequence: u64, logs: Vec<LogRecord>) -> Manifest {
        let JournalIdentity { journal, incarnation, shard } = self.identity;
        Manifest { journal, incarnation, shard, from_sequence, logs }
    }

    /// Where the manifest is.
    pub fn manifest_path(&self) -> PathBuf {
        {
            let JournalIdentity { incarnation, shard, .. } = self.identity;
            self.directory.join(FileName::Manifest { incarnation, shard }.to_string())
        }
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Closes the files, once nothing is written any more.
    pub async fn close(&self) {
        self.closed.set(true);
        let files: Vec<Rc<File>> = self.files.borrow_mut().drain(..).collect();
        for file in files {
            if let Err(error) = file.close().await {
                tracing::debug!(%error, "closing a journal file");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{DiskLimits, Simulated};
    use crate::storage::testing::run;

    #[test]
    fn a_further_file_is_made_in_writes_that_groups_fit_beside() {
        run(async {
            let device = Simulated::new(1);
            let disk = Disk::simulated(device.clone(), DiskLimits::default()).await.expect("a disk");
            let identity = JournalIdentity { journal: 7, incarnation: 1, shard: 0 };
            let files = RingFiles::create(disk.clone(), identity).await.expect("a directory");
            let mut writes = vec![];
            for _ in 0..2 {
                let before = disk.io_counts(IoClass::Bypass).operations;
                files.add(FIRST_WRITE_BYTES).await.expect("a file");
                writes.push(disk.io_counts(IoClass::Bypass).operations - before);
            }
            assert_eq!(writes, [1, 4]);
            let made: Vec<_> = device.files().into_iter().map(|(path, _)| device.content(&path)).collect();
            let header = FileHeader { journal: 7, incarnation: 1, shard: 0, number: 1 }.encode();
            let second = made.last().cloned().flatten().expect("the second file");
            assert_eq!(second.len() as u64, FIRST_WRITE_BYTES);
            assert_eq!(second[..header.len()], header[..]);
            assert!(second[header.len()..].iter().all(|byte| *byte == 0));
        });
    }
}

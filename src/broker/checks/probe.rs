//! Tries direct I/O in a directory: an aligned block is written durably, past the page cache, and read back.
//!
//! Key invariant: the file has no name, or loses it before it is written to, so that nothing is left even after a crash.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, unlink};

/// Size and alignment of the block.
const BLOCK_BYTES: usize = 4096;

/// Writes and reads a block in `directory`. Answers the logical block size of the device as far as direct I/O tells.
pub(super) fn write_and_read(directory: &Path) -> io::Result<u64> {
    let file = nameless(directory)?;
    let mut block = Block::new()?;
    for (at, byte) in block.bytes().iter_mut().enumerate() {
        *byte = (at % 251) as u8;
    }
    let written = rustix::io::pwrite(&file, block.bytes(), 0)?;
    let mut read_back = Block::new()?;
    let read = rustix::io::pread(&file, read_back.bytes(), 0)?;
    if written != BLOCK_BYTES || read != BLOCK_BYTES || block.bytes() != read_back.bytes() {
        return Err(io::Error::other("what was read is not what was written"));
    }
    Ok(direct_alignment(&file).unwrap_or(BLOCK_BYTES as u64))
}

/// A file for direct and durable writes that nobody can find.
fn nameless(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::DSYNC | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    if let Ok(file) = open(directory, flags | OFlags::TMPFILE, mode) {
        return Ok(file);
    }
    let path = directory.join(format!(".corelog-probe-{}", std::process::id()));
    let opened = open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode);
    // Some filesystems create the file before they refuse direct I/O.
    let removed = unlink(&path);
    let file = opened?;
    removed?;
    Ok(file)
}

/// What the kernel says direct I/O on this file must be aligned to (Linux 6.1).
fn direct_alignment(file: &OwnedFd) -> Option<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let facts = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    Some(u64::from(facts.stx_dio_offset_align)).filter(|alignment| *alignment > 0)
}

/// Aligned memory of one block.
struct Block {
    memory: std::ptr::NonNull<u8>,
}

impl Block {
    const LAYOUT: Layout = match Layout::from_size_align(BLOCK_BYTES, BLOCK_BYTES) {
        Ok(layout) => layout,
        Err(_) => panic!("4096 is a power of two"),
    };

    fn new() -> io::Result<Self> {
        // SAFETY: the layout is not of size zero.
        let memory = unsafe { alloc_zeroed(Self::LAYOUT) };
        let memory = std::ptr::NonNull::new(memory).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { memory })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the memory is ours, initialised, of this length, and borrowed as `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), BLOCK_BYTES) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout and is freed once.
        unsafe { dealloc(self.memory.as_ptr(), Self::LAYOUT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a temporary directory");
        // Whether direct I/O works depends on where the tests run; that nothing is left does not.
        let _ = write_and_read(directory.path());
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(write_and_read(&directory.path().join("gone")).is_err());
    }
}

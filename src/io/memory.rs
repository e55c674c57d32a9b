//! Memory aligned for direct I/O, appended to by one thread while its finished part is read by any.
//!
//! Key invariant: bytes below `len` are never written again, and every slice handed out ends at or below it. So a
//! slice is as immutable as any `Bytes`, although the memory behind it is still growing.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use super::pages::{self, Unit};
use super::streaming;

/// What direct writes are aligned to. The device here says 512, its physical block is 4096, and so is a page.
pub const BLOCK_BYTES: u64 = 4096;

/// The sizes of buffers whose memory comes from a pool and is used again.
pub const POOLED_BYTES_SMALL: usize = Unit::Page.bytes();
pub const POOLED_BYTES_LARGE: usize = Unit::Chunk.bytes();

/// `position` rounded down to a block.
pub const fn align_down(position: u64) -> u64 {
    position & !(BLOCK_BYTES - 1)
}

/// `position` rounded up to a block.
pub const fn align_up(position: u64) -> u64 {
    align_down(position + (BLOCK_BYTES - 1))
}

/// Whole blocks that any thread may free: from the pool if it has that size, else an allocation of their own.
struct Memory {
    pointer: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the allocation has no owner thread, and access to its bytes is ruled by `AppendBuffer`: one writer above the
// published length, readers below it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        match Unit::of_bytes(self.layout.size()) {
            // SAFETY: taken from the pool in `Memory::new`, since its size is that of a unit; given back only here.
            Some(unit) => unsafe { pages::give(unit, self.pointer) },
            // SAFETY: allocated in `Memory::new` with this layout, and freed only here.
            None => unsafe { dealloc(self.pointer.as_ptr(), self.layout) },
        }
    }
}

impl Memory {
    /// At least `capacity` bytes, in whole blocks.
    fn new(capacity: usize) -> Self {
        let bytes = capacity.max(1).next_multiple_of(BLOCK_BYTES as usize);
        let layout = Layout::from_size_align(bytes, BLOCK_BYTES as usize)
            .expect("a capacity fits into the address space");
        if let Some(unit) = Unit::of_bytes(bytes) {
            return Self { pointer: pages::take(unit), layout };
        }
        // SAFETY: the layout's size is not zero.
        let pointer = unsafe { alloc(layout) };
        let Some(pointer) = NonNull::new(pointer) else { handle_alloc_error(layout) };
        Self { pointer, layout }
    }
}

/// A part of the memory that is already published.
struct Published {
    memory: Arc<Memory>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Published {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the range lies below the published length (checked when it was made), where nothing is written again.
        unsafe {
            std::slice::from_raw_parts(self.memory.pointer.as_ptr().add(self.range.start), self.range.len())
        }
    }
}

/// Memory that grows at its end and is read as `Bytes` below it.
pub struct AppendBuffer {
    memory: Arc<Memory>,
    /// Where in the memory the first byte lies.
    lead: usize,
    len: usize,
}

impl AppendBuffer {
    /// Memory for at least `capacity` bytes, in whole blocks.
    pub fn new(capacity: usize) -> Self {
        Self::with_lead(0, capacity)
    }

    /// As [`Self::new`], with the first byte `lead` bytes into the memory, and room for `capacity` after it. What lies in its
    /// block as it lies in a block of a file can be written from there.
    pub fn with_lead(lead: usize, capacity: usize) -> Self {
        Self { memory: Arc::new(Memory::new(lead + capacity)), lead, len: 0 }
    }

    /// Bytes of memory that this takes.
    pub fn memory_bytes(&self) -> usize {
        self.memory.layout.size()
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.memory_bytes() - self.lead - self.len
    }

    /// Copies `bytes` to the end, lets `patch` change the copy, and only then publishes it. `bytes` must fit.
    pub fn append(&mut self, bytes: &[u8], patch: impl FnOnce(&mut [u8])) {
        // SAFETY: `append_by` says where they go to.
        self.append_by(bytes, patch, |bytes, target| unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        });
    }

    /// As [`Self::append`], for bytes that the device is to have and the CPU need not have at hand.
    pub fn append_for_device(&mut self, bytes: &[u8], patch: impl FnOnce(&mut [u8])) {
        // SAFETY: `append_by` says where they go to.
        self.append_by(bytes, patch, |bytes, target| unsafe { streaming::copy(bytes, target) });
    }

    /// `copy` gets a target that has room for all bytes, where nobody else reads or writes.
    fn append_by(&mut self, bytes: &[u8], patch: impl FnOnce(&mut [u8]), copy: impl FnOnce(&[u8], *mut u8)) {
        assert!(bytes.len() <= self.room(), "the caller asked for room first");
        // SAFETY: the target lies within the allocation and above the published length, so no slice covers it; `&mut
        // self` makes this the only writer.
        let copied = unsafe {
            let target = self.memory.pointer.as_ptr().add(self.lead + self.len);
            copy(bytes, target);
            std::slice::from_raw_parts_mut(target, bytes.len())
        };
        patch(copied);
        self.len += bytes.len();
    }

    /// The bytes of `range`, shared. Panics if the range ends above [`Self::len`].
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= self.len, "only published bytes are handed out");
        let range = self.lead + range.start..self.lead + range.end;
        Bytes::from_owner(Published { memory: self.memory.clone(), range })
    }

    /// The published bytes, borrowed.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: bytes below `len` are initialised and written by nobody again.
        unsafe { std::slice::from_raw_parts(self.memory.pointer.as_ptr().add(self.lead), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_outlives_the_buffer_and_later_appends() {
        let mut buffer = AppendBuffer::new(10);
        assert_eq!(buffer.memory_bytes(), 4096);
        buffer.append(b"hello", |copy| copy[0] = b'H');
        let slice = buffer.slice(0..5);
        buffer.append(b" world", |_| {});
        assert_eq!(buffer.as_slice(), b"Hello world");
        drop(buffer);
        let read = std::thread::spawn(move || slice.to_vec()).join().expect("the reader runs");
        assert_eq!(read, b"Hello");
    }

    #[test]
    fn memory_is_aligned_to_blocks() {
        let mut buffer = AppendBuffer::new(5000);
        assert_eq!(buffer.memory_bytes(), 8192);
        buffer.append(&[1; 5000], |_| {});
        assert_eq!(buffer.as_slice().as_ptr() as u64 % BLOCK_BYTES, 0);
        assert_eq!(align_down(4097), 4096);
        assert_eq!(align_up(4097), 8192);
        assert_eq!(align_up(4096), 4096);
    }

    #[test]
    fn a_lead_shifts_where_the_bytes_lie_and_nothing_else() {
        let mut buffer = AppendBuffer::with_lead(1000, 4000);
        assert_eq!((buffer.memory_bytes(), buffer.len(), buffer.room()), (8192, 0, 7192));
        buffer.append(&[1; 7000], |_| {});
        buffer.append(&[2; 192], |_| {});
        assert_eq!((buffer.len(), buffer.room()), (7192, 0));
        assert_eq!(buffer.as_slice()[6999..7001], [1, 2]);
        assert_eq!(buffer.slice(7000..7192), vec![2; 192]);
        assert_eq!(buffer.slice(3096..7192).as_ptr() as u64 % BLOCK_BYTES, 0);
    }

    #[test]
    #[should_panic(expected = "published")]
    fn unpublished_bytes_are_not_handed_out() {
        AppendBuffer::new(10).slice(0..1);
    }
}

//! The process's allocator: mimalloc, except that very large requests get address space without a promise of memory.
//!
//! The kafka-protocol crate reserves as many array elements as a peer claims. For requests `protocol::decode` finds the
//! counts out before; this is the second line, for whatever else decodes a message: a claim of a terabyte is then address
//! space that goes back when decoding fails, where another allocator would refuse and the process abort.
//!
//! Why mimalloc: what one shard allocates another often frees (a batch and its answer travel), and what is freed should be
//! used again before it is given back, since fresh memory costs a page fault for each page.
//!
//! Key invariant: which of the two allocators serves a block follows from its layout alone, so it is freed where it came
//! from. Memory is still used page by page as it is touched, and bounded by those who touch it.

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;

use mimalloc::MiMalloc as General;

/// Blocks of this size and more are mapped without reserving memory (`MAP_NORESERVE`). No block of the data path is so
/// large: the largest are frames, which are far smaller by default.
pub const UNRESERVED_FROM_BYTES: usize = 64 << 20;

/// Mappings begin at a page; blocks that need more are left to the general one.
const ALIGN_BYTES_MAX: usize = 4096;

#[cfg(not(feature = "foreign-allocator"))]
#[global_allocator]
static ALLOCATOR: UnreservedAllocator = UnreservedAllocator;

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub struct UnreservedAllocator;

/// Has the kernel give this process small pages only: mimalloc would ask for huge ones, of which an idle broker fills little
/// (20 MB more resident), and whose faults stall a shard where memory is in pieces (`docs/decisions/0010`). To be called before
/// the first thread; where the kernel refuses, memory is merely larger.
pub fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the process may be given huge pages");
    }
}

fn is_unreserved(layout: Layout) -> bool {
    layout.size() >= UNRESERVED_FROM_BYTES && layout.align() <= ALIGN_BYTES_MAX
}

/// Zeroed pages, or null if there is no address space or the system insists on reserving (`vm.overcommit_memory=2`).
fn map(bytes: usize) -> *mut u8 {
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    // SAFETY: without an address to map at, no existing mapping is touched.
    unsafe { mmap_anonymous(null_mut(), bytes, protection, flags) }.map_or(null_mut(), |pages| pages.cast())
}

// SAFETY: a block is a mapping of its own or the general one's, by `is_unreserved` of its layout; either way it is
// valid, aligned and not shared until it is freed with that layout. No function here unwinds.
unsafe impl GlobalAlloc for UnreservedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_unreserved(layout) {
            map(layout.size())
        } else {
            // SAFETY: the caller's promises are passed on.
            unsafe { General.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_unreserved(layout) {
            map(layout.size())
        } else {
            // SAFETY: the caller's promises are passed on.
            unsafe { General.alloc_zeroed(layout) }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_unreserved(layout) {
            // SAFETY: the block is a mapping of this size, since its layout says so. Failure would leave it mapped.
            let _ = unsafe { munmap(block.cast(), layout.size()) };
        } else {
            // SAFETY: the caller's promises are passed on.
            unsafe { General.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that, rounded up to the alignment, does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (is_unreserved(layout), is_unreserved(new_layout)) {
            // SAFETY: the caller's promises are passed on.
            (false, false) => unsafe { General.realloc(block, layout, new_size) },
            // SAFETY: the block is a mapping of the old size and may move; on failure it stays as it is.
            (true, true) => unsafe {
                let moved = mremap(block.cast(), layout.size(), new_size, MremapFlags::MAYMOVE);
                moved.map_or(null_mut(), |pages| pages.cast())
            },
            // SAFETY: both blocks hold the bytes that are copied and cannot overlap; the old one is freed as it came.
            _ => unsafe {
                let new_block = self.alloc(new_layout);
                if !new_block.is_null() {
                    new_block.copy_from_nonoverlapping(block, layout.size().min(new_size));
                    self.dealloc(block, layout);
                }
                new_block
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::MetadataResponse;
    use kafka_protocol::protocol::Decodable;

    #[test]
    fn a_claimed_terabyte_is_address_space() {
        let mut claimed = Vec::<u8>::with_capacity(1 << 40);
        claimed.push(7);
        claimed.spare_capacity_mut()[(1 << 40) - 2].write(8);
        assert_eq!(claimed, [7]);
    }

    #[test]
    fn a_hostile_count_that_nobody_checked_is_an_error() {
        for count in [i32::MAX, 1 << 30] {
            let mut body = bytes::Bytes::copy_from_slice(&count.to_be_bytes());
            assert!(MetadataResponse::decode(&mut body, 1).is_err());
        }
        let mut compact = bytes::Bytes::from_static(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(MetadataResponse::decode(&mut compact, 12).is_err());
    }

    #[test]
    fn blocks_keep_their_bytes_as_they_grow_and_shrink_across_the_border() {
        let mut bytes: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
        for size in [UNRESERVED_FROM_BYTES - 1, UNRESERVED_FROM_BYTES, UNRESERVED_FROM_BYTES * 3, 5000, 1000]
        {
            bytes.reserve_exact(size - bytes.len());
            bytes.shrink_to(size);
            assert_eq!(bytes.capacity(), size);
            assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8), "{size}");
        }
        assert!(vec![0_u8; UNRESERVED_FROM_BYTES + 1].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn layouts_choose_the_allocator() {
        let layout = |size, align| Layout::from_size_align(size, align).expect("valid");
        assert!(is_unreserved(layout(UNRESERVED_FROM_BYTES, 4096)));
        assert!(!is_unreserved(layout(UNRESERVED_FROM_BYTES, 8192)));
        assert!(!is_unreserved(layout(UNRESERVED_FROM_BYTES - 1, 1)));
    }
}

//! Single pages, aligned: what a partition that rarely sees a record keeps its newest batches in.
//!
//! A general allocator places a header before each aligned page, so that two of them lie two pages apart and the space
//! between is lost: with 10,000 idle partitions as much as the pages themselves. Here pages are cut from regions and kept in
//! lists, one for each thread.
//!
//! Key invariant: a page is in one list or in one owner's hands. Who frees it need not be who took it: it then joins the list
//! of that thread. What a thread has too many of goes to a list that all share, without its memory, and is taken from there
//! before anything is mapped: so regions, which are never unmapped, are bounded by the most pages ever in use.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// Pages mapped at once.
const REGION_PAGES: usize = 64;
/// Free pages that a thread keeps.
const KEPT_PAGES_MAX: usize = 1024;

/// A page that nobody uses.
struct Page(NonNull<u8>);

// SAFETY: a free page has no owner thread, and nobody looks at its bytes.
unsafe impl Send for Page {}

thread_local! {
    static FREE: RefCell<Vec<Page>> = const { RefCell::new(Vec::new()) };
}

/// What threads had too many of. Locked for a moment, once in many pages.
static SHARED: Mutex<Vec<Page>> = Mutex::new(Vec::new());

/// A page, with whatever is in it.
pub fn take() -> NonNull<u8> {
    let free = FREE.try_with(|free| free.borrow_mut().pop()).unwrap_or(None);
    free.unwrap_or_else(more).0
}

/// Fills this thread's list, if it has one still, and returns one page.
fn more() -> Page {
    let mut pages = shared_pages();
    if pages.is_empty() {
        pages = map_region();
    }
    let page = pages.pop().expect("neither list is empty");
    // At the end of a thread, when its list is gone, the other pages are left alone.
    let _ = FREE.try_with(|free| free.borrow_mut().append(&mut pages));
    page
}

/// Some of the pages that all share.
fn shared_pages() -> Vec<Page> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let rest = shared.len().saturating_sub(REGION_PAGES);
    shared.split_off(rest)
}

/// Fresh pages; the lowest is the last.
fn map_region() -> Vec<Page> {
    let bytes = REGION_PAGES * PAGE_BYTES;
    // SAFETY: without an address to map at, no existing mapping is touched.
    let region =
        unsafe { mmap_anonymous(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    let first = region.ok().and_then(|region| NonNull::new(region.cast::<u8>()));
    let Some(first) = first else {
        let layout =
            Layout::from_size_align(bytes, PAGE_BYTES).expect("a region fits into the address space");
        handle_alloc_error(layout)
    };
    // SAFETY: all these pages lie within the region.
    (0..REGION_PAGES).rev().map(|page| Page(unsafe { first.add(page * PAGE_BYTES) })).collect()
}

/// Gives a page back.
///
/// # Safety
///
/// The page comes from [`take`] and nobody refers to it any more.
pub unsafe fn give(page: NonNull<u8>) {
    let kept = FREE.try_with(|free| {
        let mut free = free.borrow_mut();
        let keep = free.len() < KEPT_PAGES_MAX;
        if keep {
            free.push(Page(page));
        }
        keep
    });
    if !kept.unwrap_or(false) {
        // SAFETY: the page is mapped, private and unused; it reads as zeros afterwards. Should the system refuse, the memory
        // stays, which is no harm.
        let _ = unsafe { madvise(page.as_ptr().cast(), PAGE_BYTES, Advice::LinuxDontNeed) };
        SHARED.lock().unwrap_or_else(PoisonError::into_inner).push(Page(page));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pages_are_aligned_distinct_and_used_again() {
        let taken: Vec<_> = (0..3 * REGION_PAGES).map(|_| take()).collect();
        let distinct: HashSet<usize> = taken.iter().map(|page| page.as_ptr() as usize).collect();
        assert_eq!(distinct.len(), taken.len());
        assert!(distinct.iter().all(|address| address.is_multiple_of(PAGE_BYTES)));
        for page in taken {
            // SAFETY: taken above, and not used again.
            unsafe { give(page) };
        }
        assert!(distinct.contains(&(take().as_ptr() as usize)));
    }

    #[test]
    fn what_a_thread_has_too_many_of_serves_another_and_is_empty() {
        let pages: Vec<usize> = (0..KEPT_PAGES_MAX + 2).map(|_| take().as_ptr() as usize).collect();
        let beyond: HashSet<usize> = pages[KEPT_PAGES_MAX..].iter().copied().collect();
        let giver = std::thread::spawn(move || {
            for page in pages {
                let page = NonNull::new(page as *mut u8).expect("a page is somewhere");
                // SAFETY: each page is written within its bounds and then given back once.
                unsafe {
                    page.as_ptr().write_bytes(7, PAGE_BYTES);
                    give(page);
                }
            }
        });
        giver.join().expect("the giver ends");
        let taker = std::thread::spawn(move || {
            let page = take();
            // SAFETY: the page is this thread's, and initialised by the system.
            (page.as_ptr() as usize, unsafe { page.as_ptr().read() })
        });
        let (page, first_byte) = taker.join().expect("the taker ends");
        assert!(beyond.contains(&page));
        assert_eq!(first_byte, 0);
    }
}

//! Memory in two sizes that the batch cache takes and gives back all the time: single pages, and whole chunks.
//!
//! Pages are what a partition that rarely sees a record keeps its newest batches in. A general allocator places a header
//! before each aligned page, so that two of them lie two pages apart and the space between is lost: with 10,000 idle
//! partitions as much as the pages themselves. Chunks are what bulk is copied into: fresh memory costs more than the copy, page
//! by page, so they are used again. They do not ask for huge pages: where memory is in pieces, or the host of a virtual machine
//! gives it page by page, a fault of 2 MiB stalls the shard (measured: bulk at half the rate).
//!
//! Key invariant: a unit is in one list or in one owner's hands. Who frees it need not be who took it: it then joins the list
//! of that thread. What a thread has too many of goes to a list that all share, without its memory, and is taken from there
//! before anything is mapped: so regions, which are never unmapped, are bounded by the most units ever in use.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Which of the two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Page,
    Chunk,
}

impl Unit {
    /// The unit of exactly `bytes`.
    pub fn of_bytes(bytes: usize) -> Option<Self> {
        [Self::Page, Self::Chunk].into_iter().find(|unit| unit.bytes() == bytes)
    }

    /// Bytes of a unit, which is aligned to pages.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Page => 4096,
            Self::Chunk => 512 << 10,
        }
    }

    /// Units mapped at once.
    const fn region_units(self) -> usize {
        match self {
            Self::Page => 64,
            Self::Chunk => 4,
        }
    }

    /// Free units that a thread keeps.
    const fn kept_max(self) -> usize {
        match self {
            Self::Page => 1024,
            Self::Chunk => 64,
        }
    }

    /// What all threads share.
    fn shared(self) -> &'static Mutex<Vec<Free>> {
        /// Locked for a moment, once in many units.
        static SHARED: [Mutex<Vec<Free>>; 2] = [const { Mutex::new(Vec::new()) }; 2];
        &SHARED[self as usize]
    }
}

/// A unit that nobody uses.
struct Free(NonNull<u8>);

// SAFETY: a free unit has no owner thread, and nobody looks at its bytes.
unsafe impl Send for Free {}

thread_local! {
    static FREE: [RefCell<Vec<Free>>; 2] = const { [const { RefCell::new(Vec::new()) }; 2] };
}

/// A unit, with whatever is in it.
pub fn take(unit: Unit) -> NonNull<u8> {
    let free = FREE.try_with(|free| free[unit as usize].borrow_mut().pop()).unwrap_or(None);
    free.unwrap_or_else(|| more(unit)).0
}

/// Fills this thread's list, if it has one still, and returns one unit.
fn more(unit: Unit) -> Free {
    let mut units = shared_units(unit);
    if units.is_empty() {
        units = map_region(unit);
    }
    let one = units.pop().expect("neither list is empty");
    // At the end of a thread, when its list is gone, the other units are left alone.
    let _ = FREE.try_with(|free| free[unit as usize].borrow_mut().append(&mut units));
    one
}

/// Some of the units that all share.
fn shared_units(unit: Unit) -> Vec<Free> {
    let mut shared = unit.shared().lock().unwrap_or_else(PoisonError::into_inner);
    let rest = shared.len().saturating_sub(unit.region_units());
    shared.split_off(rest)
}

/// Fresh units; the lowest is the last.
fn map_region(unit: Unit) -> Vec<Free> {
    let bytes = unit.region_units() * unit.bytes();
    // SAFETY: without an address to map at, no existing mapping is touched.
    let region =
        unsafe { mmap_anonymous(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    let first = region.ok().and_then(|region| NonNull::new(region.cast::<u8>()));
    let Some(first) = first else {
        let layout =
            Layout::from_size_align(bytes, Unit::Page.bytes()).expect("a region fits into the address space");
        handle_alloc_error(layout)
    };
    // SAFETY: all these units lie within the region.
    (0..unit.region_units()).rev().map(|at| Free(unsafe { first.add(at * unit.bytes()) })).collect()
}

/// Gives a unit back.
///
/// # Safety
///
/// It comes from [`take`] of the same kind and nobody refers to it any more.
pub unsafe fn give(unit: Unit, memory: NonNull<u8>) {
    let kept = FREE.try_with(|free| {
        let mut free = free[unit as usize].borrow_mut();
        let keep = free.len() < unit.kept_max();
        if keep {
            free.push(Free(memory));
        }
        keep
    });
    if !kept.unwrap_or(false) {
        // SAFETY: the memory is mapped, private and unused; it reads as zeros afterwards. Should the system refuse, it stays,
        // which is no harm.
        let _ = unsafe { madvise(memory.as_ptr().cast(), unit.bytes(), Advice::LinuxDontNeed) };
        unit.shared().lock().unwrap_or_else(PoisonError::into_inner).push(Free(memory));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn units_are_aligned_distinct_and_used_again() {
        for unit in [Unit::Page, Unit::Chunk] {
            let taken: Vec<_> = (0..3 * unit.region_units()).map(|_| take(unit)).collect();
            let distinct: HashSet<usize> = taken.iter().map(|memory| memory.as_ptr() as usize).collect();
            assert_eq!(distinct.len(), taken.len());
            assert!(distinct.iter().all(|address| address.is_multiple_of(Unit::Page.bytes())));
            for memory in taken {
                // SAFETY: taken above, written within its bounds, and not used again.
                unsafe {
                    memory.as_ptr().write_bytes(1, unit.bytes());
                    give(unit, memory);
                }
            }
            assert!(distinct.contains(&(take(unit).as_ptr() as usize)));
        }
    }

    #[test]
    fn what_a_thread_has_too_many_of_serves_another_and_is_empty() {
        let kept_max = Unit::Page.kept_max();
        let pages: Vec<usize> = (0..kept_max + 2).map(|_| take(Unit::Page).as_ptr() as usize).collect();
        let beyond: HashSet<usize> = pages[kept_max..].iter().copied().collect();
        let giver = std::thread::spawn(move || {
            for page in pages {
                let page = NonNull::new(page as *mut u8).expect("a page is somewhere");
                // SAFETY: each page is written within its bounds and then given back once.
                unsafe {
                    page.as_ptr().write_bytes(7, Unit::Page.bytes());
                    give(Unit::Page, page);
                }
            }
        });
        giver.join().expect("the giver ends");
        let taker = std::thread::spawn(move || {
            let page = take(Unit::Page);
            // SAFETY: the page is this thread's, and initialised by the system.
            (page.as_ptr() as usize, unsafe { page.as_ptr().read() })
        });
        let (page, first_byte) = taker.join().expect("the taker ends");
        assert!(beyond.contains(&page));
        assert_eq!(first_byte, 0);
    }
}

//! Memory in two sizes that the batch cache takes and gives back all the time: single pages, and whole chunks.
//!
//! Pages are what a partition that rarely sees a record keeps its newest batches in. A general allocator places a header
//! before each aligned page, so that two of them lie two pages apart and the space between is lost: with 10,000 idle
//! partitions as much as the pages themselves. Chunks are what bulk is copied into: fresh memory costs more than the copy, page
//! by page, so they are used again. They do not ask for huge pages: where memory is in pieces, or the host of a virtual machine
//! gives it page by page, a fault of 2 MiB stalls the shard (measured: bulk at half the rate).
//!
//! A thread keeps as many free chunks as its batch cache could take at once ([`keep`]): what a deleted topic or segment had is
//! used again as it is. What nobody wanted for minutes goes back to the system ([`trim`]).
//!
//! Key invariant: a unit is in one list or in one owner's hands. Who frees it need not be who took it: it then joins the list
//! of that thread. What a thread has too many of goes to a list that all share, without its memory, and is taken from there
//! before anything is mapped: so regions, which are never unmapped, are bounded by the most units ever in use.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::{Cell, RefCell};
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

    /// Free units that a thread keeps in any case.
    const fn kept_min(self) -> usize {
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
    /// Free chunks that the thread may keep.
    static KEPT_MAX: Cell<usize> = const { Cell::new(Unit::Chunk.kept_min()) };
    /// The fewest free chunks since the last trim: nobody wanted these.
    static UNWANTED: Cell<usize> = const { Cell::new(0) };
}

/// [`trim`] gives back one in so many chunks that nobody wanted.
const TRIM_SHARE: usize = 300;

/// From now on this thread keeps free chunks of up to `bytes`, and a few in any case.
pub fn keep(bytes: u64) {
    KEPT_MAX.set(Unit::Chunk.kept_min().max(bytes as usize / Unit::Chunk.bytes()));
}

/// Gives some of this thread's chunks that nobody wanted since the last call back to the system. Called every second it takes
/// minutes to give back most of them, so that no call holds the thread up for long.
pub fn trim() {
    FREE.with(|free| {
        let mut free = free[Unit::Chunk as usize].borrow_mut();
        let unwanted = UNWANTED.get().min(free.len()).saturating_sub(Unit::Chunk.kept_min());
        // Those that were free the longest are the first.
        free.drain(..unwanted.div_ceil(TRIM_SHARE)).for_each(|chunk| release(Unit::Chunk, chunk));
        UNWANTED.set(free.len());
    });
}

/// A unit, with whatever is in it.
pub fn take(unit: Unit) -> NonNull<u8> {
    let free = FREE.try_with(|free| {
        let mut free = free[unit as usize].borrow_mut();
        let one = free.pop();
        if unit == Unit::Chunk {
            UNWANTED.set(UNWANTED.get().min(free.len()));
        }
        one
    });
    free.unwrap_or(None).unwrap_or_else(|| more(unit)).0
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
        let kept_max = if unit == Unit::Chunk { KEPT_MAX.get() } else { unit.kept_min() };
        let keep = free.len() < kept_max;
        if keep {
            free.push(Free(memory));
        }
        keep
    });
    if !kept.unwrap_or(false) {
        release(unit, Free(memory));
    }
}

/// Gives a unit's memory back to the system, and the unit to all threads.
fn release(unit: Unit, free: Free) {
    // SAFETY: the memory is mapped, private and unused; it reads as zeros afterwards. Should the system refuse, it stays,
    // which is no harm.
    let _ = unsafe { madvise(free.0.as_ptr().cast(), unit.bytes(), Advice::LinuxDontNeed) };
    unit.shared().lock().unwrap_or_else(PoisonError::into_inner).push(free);
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
        let kept_max = Unit::Page.kept_min();
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

    /// Chunks in this thread's list.
    fn free_chunks() -> usize {
        FREE.with(|free| free[Unit::Chunk as usize].borrow().len())
    }

    #[test]
    fn chunks_are_kept_as_far_as_they_may_and_go_when_nobody_wants_them() {
        const MANY: usize = 400;
        let work = || {
            let chunks: Vec<_> = (0..MANY).map(|_| take(Unit::Chunk)).collect();
            let rest = free_chunks();
            keep((MANY / 2 * Unit::Chunk.bytes()) as u64);
            // SAFETY: each was taken above, never written, and is given back once.
            chunks.into_iter().for_each(|chunk| unsafe { give(Unit::Chunk, chunk) });
            assert!(rest < MANY / 2);
            assert_eq!(free_chunks(), MANY / 2);
            // The first call learns what is free; by the second nobody wanted any of it.
            trim();
            assert_eq!(free_chunks(), MANY / 2);
            trim();
            assert_eq!(free_chunks(), MANY / 2 - 1);
            // What is wanted in between is left alone.
            let wanted: Vec<_> = (0..MANY / 2 - 1).map(|_| take(Unit::Chunk)).collect();
            // SAFETY: as above.
            wanted.into_iter().for_each(|chunk| unsafe { give(Unit::Chunk, chunk) });
            trim();
            assert_eq!(free_chunks(), MANY / 2 - 1);
            for _ in 0..MANY {
                trim();
            }
            assert_eq!(free_chunks(), Unit::Chunk.kept_min());
        };
        std::thread::spawn(work).join().expect("the keeper ends");
    }
}

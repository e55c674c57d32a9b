//! Memory that belongs to one thread's I/O, readable on every thread, released at home.
//!
//! Key invariant: the value inside is dropped on the thread that made it, or never (when that thread is gone, its
//! allocator is too). Going home cannot fail and cannot block: the value's own node is pushed on a lock-free stack,
//! nothing is allocated. The home thread drains the stack whenever it does I/O.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread::{self, ThreadId};

/// A value whose bytes stay where they are, unchanged, until it is dropped.
///
/// # Safety
/// The slice's address and contents must not change while the value lives, and other threads may read them.
pub unsafe trait StableBytes {
    /// The bytes.
    fn stable_bytes(&self) -> &[u8];
}

// SAFETY: a read result keeps its buffer, which nobody writes to after the read completed.
unsafe impl StableBytes for glommio::io::ReadResult {
    fn stable_bytes(&self) -> &[u8] {
        self
    }
}

/// What the stack sees of a value: how to reach the next one, and how to drop this one.
#[repr(C)]
struct Link {
    next: *mut Link,
    release: unsafe fn(*mut Link),
}

/// The link first, so that a pointer to it is a pointer to the node.
#[repr(C)]
struct Node<T> {
    link: Link,
    value: T,
}

struct Returns {
    head: AtomicPtr<Link>,
    home: ThreadId,
}

/// The place that values return to: one for each thread that does I/O.
pub struct Home {
    returns: Arc<Returns>,
    /// Draining runs the values' own drops, which belong to this thread.
    _not_send: PhantomData<*const ()>,
    drained: Cell<u64>,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// A home on the current thread.
    pub fn new() -> Self {
        let returns = Returns { head: AtomicPtr::new(ptr::null_mut()), home: thread::current().id() };
        Self { returns: Arc::new(returns), _not_send: PhantomData, drained: Cell::new(0) }
    }

    /// Drops every value that came back since the last call.
    pub fn drain(&self) {
        if self.returns.head.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut next = self.returns.head.swap(ptr::null_mut(), Ordering::Acquire);
        while !next.is_null() {
            // SAFETY: the swap took the whole list, so its nodes are this thread's alone; each was made by
            // `Foreign::new` on this thread and pushed once. `next` is read before the node is freed.
            unsafe {
                let link = next;
                next = (*link).next;
                ((*link).release)(link);
            }
            self.drained.set(self.drained.get() + 1);
        }
    }

    /// How many values came back from other threads and were dropped.
    pub fn drained(&self) -> u64 {
        self.drained.get()
    }
}

/// One value that goes home to be dropped; see the module.
pub struct Foreign<T: StableBytes> {
    node: NonNull<Node<T>>,
    bytes: *const u8,
    len: usize,
    returns: ManuallyDrop<Arc<Returns>>,
}

// SAFETY: other threads only read the stable bytes, by pointer and length taken at home, and push the node.
unsafe impl<T: StableBytes> Send for Foreign<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: StableBytes> Sync for Foreign<T> {}

impl<T: StableBytes> Foreign<T> {
    /// Wraps `value`, which belongs to the current thread: it must be the home's.
    pub fn new(home: &Home, value: T) -> Self {
        let node = Box::new(Node { link: Link { next: ptr::null_mut(), release: release::<T> }, value });
        let node = NonNull::from(Box::leak(node));
        // SAFETY: just made, not shared yet.
        let stable = unsafe { node.as_ref() }.value.stable_bytes();
        Self {
            bytes: stable.as_ptr(),
            len: stable.len(),
            node,
            returns: ManuallyDrop::new(home.returns.clone()),
        }
    }
}

impl<T: StableBytes> AsRef<[u8]> for Foreign<T> {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `StableBytes` promises that these bytes stay until the value drops, which needs this to drop first.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl<T: StableBytes> Drop for Foreign<T> {
    fn drop(&mut self) {
        // SAFETY: taken once, in this drop.
        let returns = unsafe { ManuallyDrop::take(&mut self.returns) };
        let link = self.node.as_ptr().cast::<Link>();
        if thread::current().id() == returns.home {
            // SAFETY: this is the home thread and the only reference to the node.
            unsafe { release::<T>(link) };
            return;
        }
        let mut head = returns.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the node is this thread's until the exchange below succeeds.
            unsafe { (*link).next = head };
            match returns.head.compare_exchange_weak(head, link, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

/// Frees a node.
///
/// # Safety
/// `link` is the link of a `Node<T>` made by `Foreign::new`; runs on the home thread, once.
unsafe fn release<T>(link: *mut Link) {
    // SAFETY: the link is the first field of a leaked `Box<Node<T>>`.
    drop(unsafe { Box::from_raw(link.cast::<Node<T>>()) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    struct Local {
        bytes: Vec<u8>,
        dropped: Rc<Cell<u32>>,
        home: ThreadId,
    }

    // SAFETY: the vector is never changed.
    unsafe impl StableBytes for Local {
        fn stable_bytes(&self) -> &[u8] {
            &self.bytes
        }
    }

    impl Drop for Local {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.home, "dropped at home");
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    #[test]
    fn values_are_read_elsewhere_and_dropped_at_home() {
        let home = Home::new();
        let dropped = Rc::new(Cell::new(0));
        let local = |n: u8| {
            let value = Local { bytes: vec![n; 3], dropped: dropped.clone(), home: thread::current().id() };
            bytes::Bytes::from_owner(Foreign::new(&home, value))
        };
        let away: Vec<_> = (0..100).map(local).collect();
        let threads: Vec<_> = away
            .chunks(25)
            .map(|part| part.to_vec())
            .map(|part| thread::spawn(move || part.iter().map(|b| u32::from(b[2])).sum::<u32>()))
            .collect();
        drop(away);
        let sum: u32 = threads.into_iter().map(|t| t.join().expect("the reader runs")).sum();
        assert_eq!(sum, (0..100).sum::<u32>());
        home.drain();
        assert_eq!(dropped.get(), 100);
        drop(local(1));
        assert_eq!(dropped.get(), 101, "at home a value is dropped at once");
    }

    #[test]
    fn a_value_that_outlives_its_home_is_not_dropped_elsewhere() {
        let home = Home::new();
        let dropped = Rc::new(Cell::new(0));
        let value = Local { bytes: vec![7], dropped: dropped.clone(), home: thread::current().id() };
        let foreign = Foreign::new(&home, value);
        drop(home);
        thread::spawn(move || assert_eq!(foreign.as_ref(), [7])).join().expect("the reader runs");
        assert_eq!(dropped.get(), 0);
    }
}

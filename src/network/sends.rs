//! Small answers that become ready in one turn of a shard go to the kernel with one system call.
//!
//! A group of the journal answers many connections at once. Sent one by one, each answer is a system call, and wakes a client
//! of the same host, which then takes the shard's CPU for that one answer (decision 0023).
//!
//! Key invariants: what is queued is sent or taken back, so a descriptor is never used after its connection has ended; no send
//! waits (`MSG_DONTWAIT`), so the kernel is done with all memory and descriptors when the call returns.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::task::{Poll, Waker};

use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;

use super::send::Batch;
use crate::shard::Signal;

/// Answers of more bytes do not wait for others: their copy costs more than the call.
pub const GATHERED_BYTES_MAX: usize = 16 << 10;
/// Sends with one system call. What they copy keeps a shard for a quarter of a millisecond at most.
const TOGETHER_MAX: usize = 64;

/// What a socket took of a batch.
type Sent = rustix::io::Result<usize>;

/// Where a connection gets back what it had sent; it sends one batch at a time.
#[derive(Default)]
pub struct Outgoing {
    sent: Cell<Option<(Batch, Sent)>>,
    waiter: Cell<Option<Waker>>,
}

struct Queued {
    socket: RawFd,
    batch: Batch,
    outgoing: Rc<Outgoing>,
}

/// The small answers of one shard.
pub struct Sends {
    queue: RefCell<Vec<Queued>>,
    filled: Signal,
    /// None where the system has no ring to give.
    ring: RefCell<Option<Ring>>,
}

impl Sends {
    /// An empty queue; it moves nothing until [`Sends::run`].
    pub fn new() -> Self {
        let ring = Ring::new()
            .inspect_err(|error| tracing::warn!("answers are sent one by one: no io_uring for them: {error}"))
            .ok();
        Self { queue: RefCell::default(), filled: Signal::default(), ring: RefCell::new(ring) }
    }

    /// Sends what `socket` takes of a batch without waiting, at the end of this turn, and gives the batch back. Nothing is sent any
    /// more if the future is dropped before.
    pub async fn send(&self, socket: BorrowedFd<'_>, outgoing: &Rc<Outgoing>, batch: Batch) -> (Batch, Sent) {
        let queued = Queued { socket: socket.as_raw_fd(), batch, outgoing: outgoing.clone() };
        self.queue.borrow_mut().push(queued);
        self.filled.raise();
        let unsent = Unsent { sends: self, outgoing };
        let sent = poll_fn(|cx| match outgoing.sent.take() {
            Some(sent) => Poll::Ready(sent),
            None => {
                outgoing.waiter.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await;
        // It is in the queue no longer.
        std::mem::forget(unsent);
        sent
    }

    /// Sends what is queued, turn by turn, until the task is dropped.
    pub async fn run(&self) {
        loop {
            self.filled.wait().await;
            // Behind the tasks that can run already: what they answer goes too.
            futures_lite::future::yield_now().await;
            let mut queue = self.queue.take();
            while !queue.is_empty() {
                let rest = queue.split_off(queue.len().min(TOGETHER_MAX));
                self.send_all(std::mem::replace(&mut queue, rest));
            }
        }
    }

    fn send_all(&self, together: Vec<Queued>) {
        let mut sent = vec![None; together.len()];
        let mut ring = self.ring.borrow_mut();
        if together.len() > 1
            && let Some(Err(error)) = ring.as_mut().map(|ring| ring.send(&together, &mut sent))
        {
            tracing::warn!("answers are sent one by one from now on: io_uring: {error}");
            // With it goes what it has not taken.
            *ring = None;
        }
        for (Queued { socket, batch, outgoing }, sent) in together.into_iter().zip(sent) {
            // SAFETY: who waits for this has borrowed the socket, or it would have been taken back; nothing ran since then.
            let socket = unsafe { BorrowedFd::borrow_raw(socket) };
            let sent = sent.unwrap_or_else(|| batch.send(socket));
            outgoing.sent.set(Some((batch, sent)));
            if let Some(waiter) = outgoing.waiter.take() {
                waiter.wake();
            }
        }
    }
}

/// Takes a batch back from the queue when who waits for it goes away.
struct Unsent<'a> {
    sends: &'a Sends,
    outgoing: &'a Rc<Outgoing>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        let mine = |queued: &Queued| Rc::ptr_eq(&queued.outgoing, self.outgoing);
        // What it holds is dropped when the queue is free again.
        let _taken_back: Vec<Queued> =
            self.sends.queue.borrow_mut().extract_if(.., |queued| mine(queued)).collect();
        self.outgoing.sent.take();
    }
}

/// A ring of io_uring for sends alone, which is empty between calls.
struct Ring {
    ring: IoUring,
    /// The slices of all batches, and for each batch a header that points to its own; kept for their memory.
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::msghdr>,
}

impl Ring {
    fn new() -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(TOGETHER_MAX as u32)?, vectors: vec![], headers: vec![] })
    }

    /// Sends all batches, at most [`TOGETHER_MAX`], and sets for each what its socket took.
    ///
    /// # Errors
    ///
    /// What the kernel says if it takes no more. What it has taken is sent and set; the ring is not to be used again.
    fn send(&mut self, together: &[Queued], sent: &mut [Option<Sent>]) -> io::Result<()> {
        self.point_to(together);
        let mut entries = self.ring.submission();
        for (index, (queued, header)) in together.iter().zip(&self.headers).enumerate() {
            let entry = opcode::SendMsg::new(types::Fd(queued.socket), header)
                .flags((libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as u32)
                .build()
                .user_data(index as u64);
            // SAFETY: headers, vectors and slices stay where they are until this function returns, which is after the kernel has
            // completed the entry, or with an error, after which the ring and the entries that are still in it are dropped.
            unsafe { entries.push(&entry) }.map_err(io::Error::other)?;
        }
        drop(entries);
        let mut left = together.len();
        // All are complete when the call returns, since none waits; asking for that again is for the case that it was interrupted.
        let mut submitted = self.ring.submit();
        loop {
            match submitted {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for done in self.ring.completion() {
                let result = done.result();
                sent[done.user_data() as usize] =
                    Some(usize::try_from(result).map_err(|_| Errno::from_raw_os_error(-result)));
                left -= 1;
            }
            if left == 0 {
                break;
            }
            submitted = self.ring.submit_and_wait(left);
        }
        Ok(())
    }

    /// Makes the headers point to the batches' slices.
    fn point_to(&mut self, together: &[Queued]) {
        self.vectors.clear();
        self.headers.clear();
        for queued in together {
            let slices = queued.batch.slices();
            let vector = |slice: &io::IoSlice<'_>| libc::iovec {
                // The kernel only reads what it sends.
                iov_base: slice.as_ptr().cast_mut().cast(),
                iov_len: slice.len(),
            };
            self.vectors.extend(slices.iter().map(vector));
            // SAFETY: a header of zeros is one without address, slices or control data.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_iovlen = slices.len();
            self.headers.push(header);
        }
        // Only now do the vectors stay where they are.
        let mut rest = &mut self.vectors[..];
        for header in &mut self.headers {
            let (own, others) = rest.split_at_mut(header.msg_iovlen);
            header.msg_iov = own.as_mut_ptr();
            rest = others;
        }
    }
}

#[cfg(test)]
mod tests;

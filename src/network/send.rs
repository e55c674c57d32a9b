//! Answers on their way into a socket: slices sent from where they lie.
//!
//! Key invariant: bytes leave in order and exactly once, however little a send takes.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use bytes::{Buf, Bytes};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use smallvec::SmallVec;

use crate::handlers::Outcome;
use crate::shard::AnswerGrant;

/// Slices per vectored send; the kernel takes at most 1,024.
const SLICES_MAX: usize = 64;
/// Bytes that one system call copies into a socket: about 60 us. A socket takes megabytes, and meanwhile the shard does
/// nothing for anybody else.
pub const TURN_BYTES_MAX: usize = 256 << 10;

/// The slices that are still to be sent.
#[derive(Default)]
pub struct Batch {
    slices: VecDeque<Bytes>,
    bytes: usize,
    /// The memory of the records among them.
    held: Vec<AnswerGrant>,
}

impl Batch {
    /// Adds an answer; returns the reason if the connection must be closed after what was added before.
    pub fn add(&mut self, outcome: Outcome) -> Option<String> {
        match outcome {
            Outcome::Respond(response) => {
                self.held.extend(response.held);
                for slice in response.slices {
                    self.bytes += slice.len();
                    self.slices.push_back(slice);
                }
                None
            }
            Outcome::Silent => None,
            Outcome::Close(reason) => Some(reason),
        }
    }

    /// Bytes that are still to be sent.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything is sent.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The first slice.
    pub fn front(&self) -> Bytes {
        self.slices.iter().find(|slice| !slice.is_empty()).cloned().unwrap_or_default()
    }

    /// Sends as much as the socket takes without waiting, up to [`TURN_BYTES_MAX`].
    pub fn send(&self, socket: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(socket, &self.slices(), &mut SendAncillaryBuffer::default(), flags)
    }

    /// What goes with the next system call.
    pub fn slices(&self) -> SmallVec<[IoSlice<'_>; SLICES_MAX]> {
        let mut left = TURN_BYTES_MAX;
        let mut slices = SmallVec::new();
        for slice in self.slices.iter().take(SLICES_MAX) {
            let taken = slice.len().min(left);
            slices.push(IoSlice::new(&slice[..taken]));
            left -= taken;
            if left == 0 {
                break;
            }
        }
        slices
    }

    /// `count` bytes were sent.
    pub fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(front) = self.slices.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.slices.pop_front();
        }
    }
}

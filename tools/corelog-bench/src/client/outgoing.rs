//! The send side of a connection: bytes that wait to be sent, and the vectored sends that take them.
//!
//! Key invariant: bytes leave in the order in which they were added and exactly once, however little a send takes. Small
//! additions lie together in one buffer that is used again; large ones are sent from where they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

/// Slices per vectored send; the kernel takes at most 1,024.
const SLICES_MAX: usize = 64;
/// Slices below this size are copied: cheaper than a slice of their own in the send.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// With this much sent of the buffer of small additions, the rest is moved to its front.
const SENT_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug)]
enum Part {
    /// So many bytes of the buffer of small additions.
    Small(usize),
    Slice(Bytes),
}

/// What is to be sent on one connection.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    parts: VecDeque<Part>,
    small: Vec<u8>,
    /// Bytes of `small` that were sent.
    small_sent: usize,
    bytes: usize,
}

impl Outgoing {
    /// Bytes that are still to be sent.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.small.extend_from_slice(bytes);
        self.grew_small(bytes.len());
    }

    /// Lets `write` append to the buffer of small additions.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.small.len();
        write(&mut self.small);
        debug_assert!(self.small.len() >= before);
        if self.small.len() > before {
            self.grew_small(self.small.len() - before);
        }
    }

    fn grew_small(&mut self, count: usize) {
        self.bytes += count;
        match self.parts.back_mut() {
            Some(Part::Small(length)) => *length += count,
            _ => self.parts.push_back(Part::Small(count)),
        }
    }

    pub(super) fn push_slice(&mut self, bytes: Bytes) {
        if bytes.len() < COPIED_BYTES_MAX {
            self.push(&bytes);
        } else {
            self.bytes += bytes.len();
            self.parts.push_back(Part::Slice(bytes));
        }
    }

    /// What the next send should take, in order.
    pub(super) fn slices(&self) -> SmallVec<[IoSlice<'_>; SLICES_MAX]> {
        let mut at = self.small_sent;
        let slice = |part: &'_ Part| match part {
            Part::Small(length) => {
                at += length;
                at - length..at
            }
            Part::Slice(_) => 0..0,
        };
        let ranges = self.parts.iter().take(SLICES_MAX).map(slice);
        let parts = self.parts.iter().zip(ranges);
        parts
            .map(|(part, range)| match part {
                Part::Small(_) => IoSlice::new(&self.small[range]),
                Part::Slice(bytes) => IoSlice::new(bytes),
            })
            .collect()
    }

    /// `count` bytes of [`Self::slices`] were sent.
    pub(super) fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.bytes);
        self.bytes -= count;
        while count > 0 {
            let Some(front) = self.parts.front_mut() else { break };
            let length = match front {
                Part::Small(length) => *length,
                Part::Slice(bytes) => bytes.len(),
            };
            let sent = count.min(length);
            count -= sent;
            match front {
                Part::Small(length) => {
                    *length -= sent;
                    self.small_sent += sent;
                }
                Part::Slice(bytes) => bytes.advance(sent),
            }
            if sent == length {
                self.parts.pop_front();
            }
        }
        if self.small_sent == self.small.len() {
            self.small.clear();
            self.small_sent = 0;
        } else if self.small_sent >= SENT_BYTES_MAX {
            self.small.drain(..self.small_sent);
            self.small_sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_additions_are_one_slice() {
        let mut outgoing = Outgoing::default();
        outgoing.push(&[1; 10]);
        outgoing.push_slice(Bytes::from(vec![2; 100]));
        outgoing.push_with(|out| out.extend([3; 10]));
        assert_eq!(outgoing.slices().len(), 1);
        outgoing.push_slice(Bytes::from(vec![4; COPIED_BYTES_MAX]));
        outgoing.push(&[5]);
        assert_eq!(outgoing.slices().len(), 3);
        assert_eq!(outgoing.bytes(), 121 + COPIED_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn bytes_leave_in_order_and_once(
            additions in prop::collection::vec((0..10_000_usize, any::<bool>()), 1..150),
            takes in prop::collection::vec(0..400_000_usize, 1..20),
        ) {
            let mut outgoing = Outgoing::default();
            let (mut expected, mut sent): (Vec<u8>, Vec<u8>) = (vec![], vec![]);
            for (turn, (size, slice)) in additions.iter().enumerate() {
                let bytes: Vec<u8> = (0..*size).map(|at| (at * 31 + turn) as u8).collect();
                expected.extend(&bytes);
                if *slice { outgoing.push_slice(Bytes::from(bytes)) } else { outgoing.push(&bytes) }
                if turn % 3 == 0 {
                    send(&mut outgoing, takes[turn % takes.len()], &mut sent);
                }
            }
            while outgoing.bytes() > 0 {
                send(&mut outgoing, 7_777, &mut sent);
            }
            prop_assert!(outgoing.slices().is_empty());
            prop_assert_eq!(sent, expected);
        }
    }

    fn send(outgoing: &mut Outgoing, count: usize, sent: &mut Vec<u8>) {
        let offered: Vec<u8> = outgoing.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        let count = count.min(offered.len());
        sent.extend(&offered[..count]);
        outgoing.advance(count);
    }
}

//! Puts request frames together from what a socket delivers.
//!
//! A frame is a 4-byte big-endian size and that many bytes. Small frames are cut out of the shard's shared receive
//! buffer with one copy. One that takes most of that buffer and is at its front keeps it, copying nothing, and the shard gets
//! another from the pool; the rest of a larger one is received straight into its own memory.
//!
//! Key invariant: memory follows the bytes that really arrived, at most doubling them beyond a first buffer, never the size
//! that a peer announces. An announced size that is negative or above the limit is an error before a byte of it is kept.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::io::{RECEIVE_BYTES, ReceiveBuffer};

/// Bytes of the size that precedes every frame.
const SIZE_BYTES: usize = 4;
/// A frame with at least this much missing is received into its own memory instead of the shared buffer.
const DIRECT_BYTES_MIN: usize = 16 * 1024;
/// The least room that is made for a large frame at once.
const GROWTH_BYTES_MIN: usize = 256 * 1024;

/// A frame of this size and more that fits into a receive buffer keeps it: at least half of the memory is the frame's.
const KEEPS_BUFFER_BYTES_MIN: usize = RECEIVE_BYTES / 2;
const KEEPS_BUFFER_BYTES_MAX: usize = RECEIVE_BYTES - SIZE_BYTES;

/// What a peer sent as a frame's size is not acceptable; the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the request size {0} is negative")]
    Negative(i32),
    #[error("the request size {size} is larger than socket.request.max.bytes ({limit})")]
    TooLarge { size: u32, limit: u32 },
}

/// Assembles the frames of one connection.
#[derive(Debug)]
pub struct FrameAssembler {
    limit: u32,
    /// The size field while it is incomplete.
    size: [u8; SIZE_BYTES],
    size_filled: usize,
    /// The frame that is arriving, once its size is known.
    partial: Option<Partial>,
    complete: VecDeque<Bytes>,
}

#[derive(Debug)]
struct Partial {
    size: usize,
    filled: usize,
    memory: Memory,
}

/// What a frame under way is received into.
#[derive(Debug)]
enum Memory {
    /// Grows with what arrives; as many bytes as are filled are the frame's.
    Own(BytesMut),
    /// The frame begins after its size.
    Buffer(ReceiveBuffer),
}

impl FrameAssembler {
    /// Accepts frames of at most `limit` bytes (`socket.request.max.bytes`).
    pub fn new(limit: u32) -> Self {
        Self { limit, size: [0; SIZE_BYTES], size_filled: 0, partial: None, complete: VecDeque::new() }
    }

    /// The next complete frame, without its size.
    pub fn next(&mut self) -> Option<Bytes> {
        self.complete.pop_front()
    }

    /// Bytes of memory that the frame under way occupies.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| match &partial.memory {
            Memory::Own(bytes) => bytes.len(),
            Memory::Buffer(_) => RECEIVE_BYTES,
        })
    }

    /// Whether bytes of an unfinished frame are here.
    pub fn is_mid_frame(&self) -> bool {
        self.size_filled > 0 || self.partial.is_some()
    }

    /// Where the next bytes should be received directly, if a large frame is under way. Call [`Self::received`] after.
    pub fn direct(&mut self) -> Option<&mut [u8]> {
        let partial = self.partial.as_mut()?;
        if partial.size - partial.filled < DIRECT_BYTES_MIN {
            return None;
        }
        Some(partial.room(1))
    }

    /// `count` bytes were received into what [`Self::direct`] returned.
    pub fn received(&mut self, count: usize) {
        if let Some(partial) = self.partial.as_mut() {
            partial.filled += count;
        }
        self.finish();
    }

    /// Takes the first `count` bytes of the shard's receive buffer, which may be another one afterwards.
    pub fn take(&mut self, shared: &mut ReceiveBuffer, count: usize) -> Result<(), FrameError> {
        let received = &shared.as_slice()[..count];
        let size = match received.first_chunk() {
            Some(size) if !self.is_mid_frame() => i32::from_be_bytes(*size) as u32 as usize,
            _ => return self.feed(received),
        };
        if size > self.limit as usize || !(KEEPS_BUFFER_BYTES_MIN..=KEEPS_BUFFER_BYTES_MAX).contains(&size) {
            return self.feed(received);
        }
        let buffer = std::mem::take(shared);
        let end = SIZE_BYTES + size;
        if count < end {
            let memory = Memory::Buffer(buffer);
            self.partial = Some(Partial { size, filled: count - SIZE_BYTES, memory });
            return Ok(());
        }
        let mut received = buffer.freeze(SIZE_BYTES..count);
        self.complete.push_back(received.split_to(size));
        self.feed(&received)
    }

    /// Takes bytes that were received elsewhere.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), FrameError> {
        while !input.is_empty() {
            match self.partial.as_mut() {
                Some(partial) => {
                    let taken = input.len().min(partial.size - partial.filled);
                    partial.room(taken)[..taken].copy_from_slice(&input[..taken]);
                    partial.filled += taken;
                    input = &input[taken..];
                    self.finish();
                }
                None => input = self.begin(input)?,
            }
        }
        Ok(())
    }

    /// Reads a frame's size; a frame that is all there is cut out at once.
    fn begin<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let taken = input.len().min(SIZE_BYTES - self.size_filled);
        self.size[self.size_filled..self.size_filled + taken].copy_from_slice(&input[..taken]);
        self.size_filled += taken;
        let rest = &input[taken..];
        if self.size_filled < SIZE_BYTES {
            return Ok(rest);
        }
        self.size_filled = 0;
        let size = i32::from_be_bytes(self.size);
        let announced = u32::try_from(size).map_err(|_| FrameError::Negative(size))?;
        if announced > self.limit {
            return Err(FrameError::TooLarge { size: announced, limit: self.limit });
        }
        let size = announced as usize;
        if let Some(frame) = rest.get(..size) {
            self.complete.push_back(Bytes::copy_from_slice(frame));
            return Ok(&rest[size..]);
        }
        let memory = match size {
            KEEPS_BUFFER_BYTES_MIN..=KEEPS_BUFFER_BYTES_MAX => Memory::Buffer(ReceiveBuffer::default()),
            _ => Memory::Own(BytesMut::new()),
        };
        self.partial = Some(Partial { size, filled: 0, memory });
        Ok(rest)
    }

    fn finish(&mut self) {
        if let Some(partial) = self.partial.take_if(|partial| partial.filled == partial.size) {
            self.complete.push_back(match partial.memory {
                Memory::Own(mut bytes) => {
                    bytes.truncate(partial.size);
                    bytes.freeze()
                }
                Memory::Buffer(buffer) => buffer.freeze(SIZE_BYTES..SIZE_BYTES + partial.size),
            });
        }
    }
}

impl Partial {
    /// Room for at least `coming` more bytes, within the frame's size.
    fn room(&mut self, coming: usize) -> &mut [u8] {
        match &mut self.memory {
            Memory::Own(bytes) => {
                if bytes.len() - self.filled < coming {
                    let wanted = (self.filled * 2).max(self.filled + coming).max(GROWTH_BYTES_MIN);
                    bytes.resize(wanted.min(self.size), 0);
                }
                &mut bytes[self.filled..]
            }
            Memory::Buffer(buffer) => &mut buffer.as_mut_slice()[SIZE_BYTES..][self.filled..self.size],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn sizes_out_of_range_are_refused_before_anything_is_kept() {
        let mut assembler = FrameAssembler::new(100);
        assert_eq!(assembler.feed(&(-1i32).to_be_bytes()), Err(FrameError::Negative(-1)));
        let mut assembler = FrameAssembler::new(100);
        let expected = FrameError::TooLarge { size: 101, limit: 100 };
        assert_eq!(assembler.feed(&101i32.to_be_bytes()), Err(expected));
        assert_eq!(assembler.held_bytes(), 0);
    }

    #[test]
    fn memory_follows_what_arrived_not_what_was_announced() {
        let mut assembler = FrameAssembler::new(u32::MAX);
        assembler.feed(&(100 * 1024 * 1024i32).to_be_bytes()).unwrap();
        assert_eq!(assembler.held_bytes(), 0);
        let room = assembler.direct().unwrap().len();
        assert_eq!(room, GROWTH_BYTES_MIN);
        assembler.received(room);
        assert_eq!(assembler.direct().unwrap().len(), GROWTH_BYTES_MIN);
    }

    #[test]
    fn a_frame_that_takes_most_of_the_buffer_keeps_it() {
        let (mut assembler, mut shared) = (FrameAssembler::new(u32::MAX), ReceiveBuffer::default());
        let place = shared.as_slice()[SIZE_BYTES..].as_ptr();
        let large = frame(&vec![7; KEEPS_BUFFER_BYTES_MIN]);
        let stream = [&large, &frame(b"next")[..]].concat();
        shared.as_mut_slice()[..stream.len()].copy_from_slice(&stream);
        assembler.take(&mut shared, stream.len()).unwrap();
        let first = assembler.next().unwrap();
        assert_eq!((first.as_ptr(), first.len()), (place, KEEPS_BUFFER_BYTES_MIN));
        assert_eq!(assembler.next().unwrap(), "next");
        // One that arrives in two parts goes on where it began.
        let place = shared.as_slice()[SIZE_BYTES..].as_ptr();
        shared.as_mut_slice()[..1_000].copy_from_slice(&large[..1_000]);
        assembler.take(&mut shared, 1_000).unwrap();
        assert_eq!(assembler.held_bytes(), RECEIVE_BYTES);
        let room = assembler.direct().unwrap();
        let left = large.len() - 1_000;
        assert_eq!(room.len(), left);
        room.copy_from_slice(&large[1_000..]);
        assembler.received(left);
        assert_eq!(assembler.next().unwrap().as_ptr(), place);
        assert_eq!(assembler.held_bytes(), 0);
    }

    #[test]
    fn a_size_beyond_the_limit_is_refused_in_the_shared_buffer_too() {
        let mut shared = ReceiveBuffer::default();
        for (size, limit) in [(KEEPS_BUFFER_BYTES_MIN as u32, 1_000), (u32::MAX, u32::MAX)] {
            shared.as_mut_slice()[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
            assert!(FrameAssembler::new(limit).take(&mut shared, SIZE_BYTES).is_err());
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            sizes in prop::collection::vec(prop_oneof![0..200usize, 60_000..131_200usize, 300_000..700_000usize], 1..5),
            cuts in prop::collection::vec(1..=RECEIVE_BYTES, 1..20),
            direct in any::<bool>(),
        ) {
            let payloads: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(n, size)| (0..*size).map(|at| (at * 7 + n) as u8).collect()).collect();
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
            let (mut assembler, mut shared) = (FrameAssembler::new(1 << 20), ReceiveBuffer::default());
            let (mut at, mut turn, mut out) = (0, 0, vec![]);
            while at < stream.len() {
                let cut = cuts[turn % cuts.len()].min(stream.len() - at);
                turn += 1;
                let taken = match assembler.direct().filter(|_| direct) {
                    Some(room) => {
                        let taken = cut.min(room.len());
                        room[..taken].copy_from_slice(&stream[at..at + taken]);
                        assembler.received(taken);
                        taken
                    }
                    None => {
                        shared.as_mut_slice()[..cut].copy_from_slice(&stream[at..at + cut]);
                        assembler.take(&mut shared, cut).unwrap();
                        // What comes next must not change what was handed out.
                        shared.as_mut_slice().fill(0xa5);
                        cut
                    }
                };
                at += taken;
                out.extend(std::iter::from_fn(|| assembler.next()));
            }
            prop_assert!(!assembler.is_mid_frame());
            prop_assert_eq!(out.len(), payloads.len());
            prop_assert!(out.iter().zip(&payloads).all(|(frame, payload)| frame == payload));
        }
    }
}

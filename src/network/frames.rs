//! Puts request frames together from what a socket delivers.
//!
//! A frame is a 4-byte big-endian size and that many bytes. Small frames are cut out of the shard's shared receive
//! buffer with one copy; the rest of a large one is received straight into its own memory. After a large one the next is
//! expected to be as large, and received into memory of its own from its first byte: then it is not copied at all.
//!
//! Key invariant: memory follows the bytes that really arrived, never the size that a peer announces. An announced size that is
//! negative or above the limit is an error before a byte of it is kept; what waits for a first byte has no memory.

use std::collections::VecDeque;
use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of the size that precedes every frame.
const SIZE_BYTES: usize = 4;
/// A frame with at least this much missing is received into its own memory instead of the shared buffer.
const DIRECT_BYTES_MIN: usize = 16 * 1024;
/// The least room that is made for a large frame at once, and the most for one that is only expected.
const GROWTH_BYTES_MIN: usize = 256 * 1024;
/// Room behind an expected frame: a receive that does not fill it tells that the socket has no more, and saves asking.
const BEHIND_BYTES: usize = 4 * 1024;

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
    /// What the last frame took with its size, if it was a large one.
    expected: usize,
    /// Memory for the expected frame and its size, while it is received into.
    ahead: Option<BytesMut>,
    complete: VecDeque<Bytes>,
}

#[derive(Debug)]
struct Partial {
    size: usize,
    /// What is here of it; its capacity grows with that.
    bytes: BytesMut,
}

impl FrameAssembler {
    /// Accepts frames of at most `limit` bytes (`socket.request.max.bytes`).
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            size: [0; SIZE_BYTES],
            size_filled: 0,
            partial: None,
            expected: 0,
            ahead: None,
            complete: VecDeque::new(),
        }
    }

    /// The next complete frame, without its size.
    pub fn next(&mut self) -> Option<Bytes> {
        self.complete.pop_front()
    }

    /// Bytes of memory that the frame under way occupies.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes.capacity())
    }

    /// Bytes of memory that the frame under way will occupy once more of it is received directly.
    pub fn coming_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let grows = partial.is_direct() && partial.room() == 0;
            if grows { partial.grown() } else { partial.bytes.capacity() }
        })
    }

    /// Whether bytes of an unfinished frame are here.
    pub fn is_mid_frame(&self) -> bool {
        self.size_filled > 0 || self.partial.is_some()
    }

    /// Where the next bytes should be received, if a large frame is under way or expected. Call [`Self::received`] after, or
    /// [`Self::give_up`] if there are none yet.
    pub fn room(&mut self) -> Option<&mut [MaybeUninit<u8>]> {
        if let Some(partial) = self.partial.as_mut() {
            if !partial.is_direct() {
                return None;
            }
            if partial.room() == 0 {
                partial.take_room(partial.grown());
            }
            let room = partial.room();
            return Some(&mut partial.bytes.spare_capacity_mut()[..room]);
        }
        if self.expected == 0 || self.size_filled > 0 {
            return None;
        }
        let ahead = BytesMut::with_capacity(self.expected + BEHIND_BYTES);
        Some(self.ahead.insert(ahead).spare_capacity_mut())
    }

    /// Nothing was received into what [`Self::room`] returned: a peer that is silent has no memory.
    pub fn give_up(&mut self) {
        self.ahead = None;
    }

    /// `count` bytes were received into what [`Self::room`] returned.
    ///
    /// # Safety
    ///
    /// The first `count` bytes of it are initialised.
    pub unsafe fn received(&mut self, count: usize) -> Result<(), FrameError> {
        if let Some(mut ahead) = self.ahead.take() {
            // SAFETY: the caller received so many bytes into its capacity; it was empty.
            unsafe { ahead.set_len(count) };
            return self.take_ahead(ahead);
        }
        if let Some(partial) = self.partial.as_mut() {
            // SAFETY: the caller received so many bytes behind those that are here.
            unsafe { partial.bytes.set_len(partial.bytes.len() + count) };
        }
        self.finish();
        Ok(())
    }

    /// Takes bytes that were received elsewhere.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), FrameError> {
        while !input.is_empty() {
            match self.partial.as_mut() {
                Some(partial) => {
                    let taken = input.len().min(partial.missing());
                    partial.append(&input[..taken]);
                    input = &input[taken..];
                    self.finish();
                }
                None => input = self.begin(input)?,
            }
        }
        Ok(())
    }

    /// Goes on with memory that an expected frame was received into, if much of it is used.
    fn take_ahead(&mut self, mut bytes: BytesMut) -> Result<(), FrameError> {
        if bytes.len() < DIRECT_BYTES_MIN {
            return self.feed(&bytes);
        }
        let size = self.check(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))?;
        if size < bytes.capacity() / 2 {
            // A frame that came out smaller must not hold so much: what it counts for is its size.
            return self.feed(&bytes);
        }
        bytes.advance(SIZE_BYTES);
        if bytes.len() < size {
            self.partial = Some(Partial { size, bytes });
            return Ok(());
        }
        let behind: Vec<u8> = bytes[size..].to_vec();
        bytes.truncate(size);
        self.complete(bytes.freeze());
        self.feed(&behind)
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
        let size = self.check(i32::from_be_bytes(self.size))?;
        if let Some(frame) = rest.get(..size) {
            self.complete(Bytes::copy_from_slice(frame));
            return Ok(&rest[size..]);
        }
        self.partial = Some(Partial { size, bytes: BytesMut::new() });
        Ok(rest)
    }

    /// The size of a frame, if it is acceptable.
    fn check(&self, size: i32) -> Result<usize, FrameError> {
        let announced = u32::try_from(size).map_err(|_| FrameError::Negative(size))?;
        if announced > self.limit {
            return Err(FrameError::TooLarge { size: announced, limit: self.limit });
        }
        Ok(announced as usize)
    }

    fn finish(&mut self) {
        if let Some(partial) = self.partial.take_if(|partial| partial.missing() == 0) {
            self.complete(partial.bytes.freeze());
        }
    }

    fn complete(&mut self, frame: Bytes) {
        let is_large = frame.len() >= DIRECT_BYTES_MIN;
        self.expected = if is_large { (SIZE_BYTES + frame.len()).min(GROWTH_BYTES_MIN) } else { 0 };
        self.complete.push_back(frame);
    }
}

impl Partial {
    fn missing(&self) -> usize {
        self.size - self.bytes.len()
    }

    fn is_direct(&self) -> bool {
        self.missing() >= DIRECT_BYTES_MIN
    }

    /// What can be received without more memory.
    fn room(&self) -> usize {
        (self.bytes.capacity() - self.bytes.len()).min(self.missing())
    }

    /// The memory after room was made to receive into, within the frame's size.
    fn grown(&self) -> usize {
        (self.bytes.len() * 2).max(GROWTH_BYTES_MIN).min(self.size)
    }

    /// Takes `bytes` in. Room for more is made only for the little that does not come directly.
    fn append(&mut self, bytes: &[u8]) {
        if self.room() < bytes.len() {
            let left = self.missing() - bytes.len();
            let wanted = if left < DIRECT_BYTES_MIN { self.size } else { self.bytes.len() + bytes.len() };
            self.take_room(wanted);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Moves to memory of `capacity` bytes.
    fn take_room(&mut self, capacity: usize) {
        let mut bytes = BytesMut::with_capacity(capacity);
        bytes.extend_from_slice(&self.bytes);
        self.bytes = bytes;
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
        assert_eq!((assembler.held_bytes(), assembler.coming_bytes()), (0, GROWTH_BYTES_MIN));
        assert_eq!(receive(&mut assembler, &vec![0; 1 << 20]), GROWTH_BYTES_MIN);
        assert_eq!(
            (assembler.held_bytes(), assembler.coming_bytes()),
            (GROWTH_BYTES_MIN, 2 * GROWTH_BYTES_MIN)
        );
        assert_eq!(assembler.room().unwrap().len(), GROWTH_BYTES_MIN);
        let mut assembler = FrameAssembler::new(u32::MAX);
        assembler.feed(&(100 * 1024 * 1024i32).to_be_bytes()).unwrap();
        assembler.feed(&[0; 1000]).unwrap();
        assert_eq!((assembler.held_bytes(), assembler.coming_bytes()), (1000, GROWTH_BYTES_MIN));
    }

    /// Receives what there is room for; returns how much that was.
    fn receive(assembler: &mut FrameAssembler, stream: &[u8]) -> usize {
        let room = assembler.room().unwrap();
        let count = room.len().min(stream.len());
        room[..count].write_copy_of_slice(&stream[..count]);
        // SAFETY: written just now.
        unsafe { assembler.received(count) }.unwrap();
        count
    }

    #[test]
    fn a_frame_as_large_as_the_one_before_is_received_where_it_stays() {
        let payload = vec![7; 100_000];
        let mut assembler = FrameAssembler::new(1 << 20);
        assert!(assembler.room().is_none(), "nothing large is expected at first");
        assembler.feed(&frame(&payload)).unwrap();
        assert_eq!(assembler.next().unwrap(), payload);
        assert!(assembler.room().is_some());
        assembler.give_up();
        assert_eq!((assembler.held_bytes(), assembler.is_mid_frame()), (0, false), "silence takes no memory");
        let stream = [frame(&payload), frame(&[1; 10])].concat();
        let room = assembler.room().unwrap();
        room[..stream.len()].write_copy_of_slice(&stream);
        let received_at = room[SIZE_BYTES..].as_ptr().cast();
        // SAFETY: written just now.
        unsafe { assembler.received(stream.len()) }.unwrap();
        let first = assembler.next().unwrap();
        assert_eq!(first, payload);
        assert_eq!(first.as_ptr(), received_at);
        assert_eq!(assembler.next().unwrap(), vec![1; 10]);
        assert!(assembler.room().is_none(), "the last one was small");
    }

    #[test]
    fn what_is_expected_and_does_not_come_is_held_no_longer() {
        let large = frame(&[7; 100_000]);
        let mut assembler = FrameAssembler::new(1 << 20);
        assembler.feed(&large).unwrap();
        receive(&mut assembler, &frame(&[8; 20]));
        let sizes: Vec<_> = std::iter::from_fn(|| assembler.next()).map(|frame| frame.len()).collect();
        assert_eq!(sizes, [100_000, 20]);
        assembler.feed(&large).unwrap();
        receive(&mut assembler, &large[..10]);
        assert_eq!(assembler.held_bytes(), 6, "little came: it was copied");
        let smaller = frame(&[9; 30_000]);
        for (received, held) in [(smaller.len(), 0), (20_000, 30_000)] {
            let mut assembler = FrameAssembler::new(1 << 20);
            assembler.feed(&large).unwrap();
            receive(&mut assembler, &smaller[..received]);
            assert_eq!(assembler.held_bytes(), held, "as much as it will take, not what was expected");
        }
        let expected = FrameError::Negative(-1);
        let mut assembler = FrameAssembler::new(1 << 20);
        assembler.feed(&large).unwrap();
        let room = assembler.room().unwrap();
        room[..20_000].fill(MaybeUninit::new(0xff));
        // SAFETY: written just now.
        assert_eq!(unsafe { assembler.received(20_000) }, Err(expected));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            sizes in prop::collection::vec(prop_oneof![0..200usize, 60_000..90_000usize, 300_000..700_000usize], 1..5),
            cuts in prop::collection::vec(1..100_000usize, 1..20),
            direct in any::<bool>(),
        ) {
            let payloads: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(n, size)| (0..*size).map(|at| (at * 7 + n) as u8).collect()).collect();
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
            let mut assembler = FrameAssembler::new(1 << 20);
            let (mut at, mut turn, mut out) = (0, 0, vec![]);
            while at < stream.len() {
                let cut = cuts[turn % cuts.len()].min(stream.len() - at);
                turn += 1;
                let taken = match assembler.room().is_some() && direct {
                    true => receive(&mut assembler, &stream[at..at + cut]),
                    false => {
                        assembler.give_up();
                        assembler.feed(&stream[at..at + cut]).unwrap();
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
